"""What Adjoint chooses and how it lays things out; that no choice changes a number is in the contract."""

import functools
import re
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from recurrax.engines.layout import Joined, fused, leading, transposed
from recurrax.engines.sums import sums_of
from reference import BATCH, CELLS, Case, D, H, build, case, dot, jit, noise
from tolerances import close

from recurrax import Adjoint, Cell, GRUCell, LSTMCell, Scan, cells, unroll
from recurrax.cell import Kernels, SideBySide, affine
from recurrax.cells.gated import LSTMGates
from recurrax.engines.chunks import divisor
from recurrax.engines.tuning import Tuning, tune


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("RNN", [True]),
        ("LSTM", [True] * 4),
        ("CIFG", [True] * 3),
        ("GRU", [True, True, False]),  # n = tanh(u_n + r v_n)
        ("MinGRU", [False, False]),  # no v at all
    ],
)
def test_halves_that_are_only_added_are_found(name, expected):
    cell, carry, xs = case(name, seed=1, dtype=jnp.float32)
    assert list(sums_of(cell, carry, xs).only) == expected


class Odd(Cell):
    """Reads the halves of its gates in every way but one sum."""

    in_features, hidden_features = D, H

    def __init__(self, rngs: nnx.Rngs):
        self.weights = nnx.Param(jax.random.normal(rngs.params(), (D, H)))  # not laid out anew: no Kernels

    def project(self, x: jax.Array) -> Any:
        u = x @ self.weights[...]
        return {"difference": u, "twice": u, "product": u, "sum": u}

    def mix(self, carry: jax.Array) -> Any:
        v = carry @ self.weights[:H, :H] if D >= H else carry[..., :D] @ self.weights[...]
        return {"difference": v, "twice": v, "product": v, "sum": v}

    def update(self, carry: jax.Array, u: Any, v: Any) -> jax.Array:
        a = u["twice"] + v["twice"]
        return jnp.tanh(u["difference"] - v["difference"] + a * u["twice"] + u["product"] * v["product"]) + (
            u["sum"] + v["sum"]
        )


@functools.partial(jit, static_argnums=1)
def gradient(primals: Case, backend: Any) -> Any:
    def weighted(primals: Case) -> jax.Array:
        out = unroll(primals.cell, primals.xs, primals.carry, backend=backend)
        return dot(out, noise(out, seed=2))

    return jax.grad(weighted)(primals)


def test_other_uses_are_not_taken_for_a_sum_and_give_the_gradients_of_scan(x64):
    cell = Odd(nnx.Rngs(0))
    cell = jax.tree.map(lambda leaf: leaf.astype(jnp.float64), cell)
    carry, xs = noise((jax.ShapeDtypeStruct((*BATCH, H), jnp.float64), jax.ShapeDtypeStruct((5, *BATCH, D), float)), 1)
    assert dict(zip(sorted(cell.mix(carry)), sums_of(cell, carry, xs).only, strict=True)) == {
        "difference": False, "product": False, "sum": True, "twice": False,
    }  # fmt: skip

    close(gradient(Case(cell, carry, xs), Adjoint()), gradient(Case(cell, carry, xs), Scan()))


@pytest.mark.parametrize("platform", ["cpu", "gpu"])
@pytest.mark.parametrize("name", ["RNN", "LSTM", "GRU"])
@pytest.mark.parametrize("keep", ["states", "preactivations"])
def test_gates_in_one_array_give_the_gradients_of_scan(monkeypatch, name, keep, platform, x64):
    cell, carry, xs = case(name, seed=1)
    engine = Adjoint(gates="fused", keep=keep, projection="inside", chunk=2, unroll=1)
    exact = gradient(Case(cell, carry, xs), Scan())
    monkeypatch.setattr(jax, "default_backend", lambda: platform)
    tuning = tune(engine, cell, carry, xs)
    assert tuning.sums.together == (name != "GRU")  # of a GRU one sum is none
    assert tuning.joint == (tuning.sums.together and platform == "cpu")

    close(gradient.__wrapped__(Case(cell, carry, xs), engine), exact)


class Louder(LSTMCell):
    """Works on its inputs, which one product with the states' allows."""

    def project(self, x: jax.Array) -> Any:
        return super().project(3 * x)


class Softer(LSTMCell):
    """Works on a product, which has to be there then."""

    def mix(self, carry: Any) -> Any:
        return jax.tree.map(lambda v: v / 3, super().mix(carry))


class Biased(LSTMCell):
    """Has a bias beside the recurrent kernels too."""

    def mix(self, carry: Any) -> Any:
        _, h = carry
        return LSTMGates(*affine(h, self.recurrent_kernel, self.bias))


class Astray(LSTMCell):
    """Mixes the gates in another order than it projects them."""

    def mix(self, carry: Any) -> Any:
        f, i, *others = super().mix(carry)
        return LSTMGates(i, f, *others)


@pytest.mark.parametrize(
    ("kind", "one"), [(LSTMCell, True), (Louder, True), (Softer, False), (Biased, False), (Astray, False)]
)
def test_one_product_for_states_and_inputs_is_what_two_are(kind, one, x64):
    cell = noise(kind(D, H, dtype=jnp.float64, rngs=nnx.Rngs(0)), seed=1)
    carry, xs = noise((cell.initialize_carry((*BATCH, D)), jax.ShapeDtypeStruct((5, *BATCH, D), float)), seed=2)
    joined = Joined.of(fused(cell, inputs=True), carry, xs[0])
    assert (joined is not None) == one
    if joined is not None:
        sums = jax.tree.map(jnp.add, cell.project(xs[0]), cell.mix(carry))
        close(joined.sums(carry, jnp.concatenate([xs[0], jnp.ones((*BATCH, 1))], -1)), jnp.concatenate(sums, -1))
    engine = Adjoint(gates="fused", projection="inside")
    close(gradient(Case(cell, carry, xs), engine), gradient(Case(cell, carry, xs), Scan()))


def test_no_product_is_joined_of_kernels_that_are_not_side_by_side():
    cell, carry, xs = case("LSTM", seed=1, dtype=jnp.float32)
    assert Joined.of(cell, carry, xs[0]) is None
    assert Joined.of(fused(cell), carry, xs[0]) is None


@pytest.mark.parametrize("name", ["RNN", "LSTM", "GRU", "NoInputGate"])
def test_layouts_multiply_by_the_same_numbers(name, x64):
    cell, carry, xs = case(name, seed=1)
    side, turned = fused(cell), transposed(fused(cell))
    for laid in (side, turned, transposed(turned), leading(side), leading(turned), fused(cell, inputs=True)):
        assert isinstance(laid.recurrent_kernel, SideBySide)  # type: ignore[attr-defined]
        close(laid.mix(carry), cell.mix(carry))
    assert not isinstance(fused(cell).kernel, SideBySide)  # type: ignore[attr-defined]
    assert isinstance(laid.kernel, SideBySide)  # type: ignore[attr-defined]
    for inputs in (xs, xs[0]):  # all steps, and one
        close(laid.project(inputs), cell.project(inputs))
    assert isinstance(transposed(cell).recurrent_kernel, Kernels)  # type: ignore[attr-defined]


@pytest.mark.parametrize("projection", ["hoisted", "inside"])
@pytest.mark.parametrize("kind", [cells.RNNCell, LSTMCell, GRUCell, Biased])
def test_kernels_that_come_first_give_the_derivatives_of_scan(monkeypatch, kind, projection, x64):
    monkeypatch.setattr(jax, "default_backend", lambda: "cpu")
    monkeypatch.setattr("recurrax.engines.tuning.HEAVY", 1)
    monkeypatch.setattr("recurrax.engines.tuning.REPAYS", 1)
    cell = noise(kind(D, H, dtype=jnp.float64, rngs=nnx.Rngs(0)), seed=1)
    carry, xs = noise((cell.initialize_carry((*BATCH, D)), jax.ShapeDtypeStruct((5, *BATCH, D), float)), seed=2)
    engine = Adjoint(projection=projection)
    assert tune(engine, cell, carry, xs).leading

    def slope(cell: Any, backend: Any) -> Any:
        return gradient.__wrapped__(Case(cell, carry, xs), backend).cell

    def second(backend: Any) -> Any:
        return jax.jvp(functools.partial(slope, backend=backend), (cell,), (noise(cell, seed=3),))

    close(gradient.__wrapped__(Case(cell, carry, xs), engine), gradient(Case(cell, carry, xs), Scan()))
    close(second(engine), second(Scan()))
    ensemble = jax.tree.map(lambda leaf: jnp.stack([leaf, -leaf]), cell)
    close(*(jax.vmap(functools.partial(slope, backend=backend))(ensemble) for backend in (engine, Scan())))


@pytest.mark.skipif(jax.default_backend() != "cpu", reason="the rules are those of a CPU")
@pytest.mark.parametrize("kind", [cells.RNNCell, GRUCell])
def test_kernels_come_first_in_the_compiled_products_of_both_passes(monkeypatch, kind):
    """XLA moves transpositions into products, where it can."""
    B, T, D, H = 3, 20, 10, 7
    cell = kind(D, H, rngs=nnx.Rngs(0))
    GH, xs = len(cell.recurrent_kernel[...]) * H, jnp.zeros((T, B, D))

    def products() -> set[tuple[int, int]]:
        """Shapes as they lie in memory, which is with the rows of the first factor outermost."""
        run = jax.jit(jax.grad(lambda cell: jnp.sum(unroll(cell, xs, backend=Adjoint())[1] ** 2)))
        found = re.findall(r"f32\[(\d+),(\d+)\]\{(\d),\d\} dot\(", run.lower(cell).compile().as_text())
        return {
            (int(rows), int(columns)) if minor == "1" else (int(columns), int(rows)) for rows, columns, minor in found
        }

    rows, columns = {(B, GH), (B, H)}, {(GH, B), (H, B)}
    assert products() & (rows | columns) == rows
    monkeypatch.setattr("recurrax.engines.tuning.HEAVY", 1)
    assert products() & (rows | columns) == columns


def test_a_kernel_is_fused_where_the_cell_is_wrapped_too_and_a_plain_parameter_never(x64):
    cell = build("GRU", seed=1)
    wrapped = fused(cells.TruncatedGradient(cell))
    assert isinstance(wrapped.cell.recurrent_kernel, SideBySide)  # type: ignore[attr-defined]
    assert isinstance(fused(cell).kernel, nnx.Param)  # type: ignore[attr-defined]
    jax.tree.map(np.testing.assert_array_equal, fused(Odd(nnx.Rngs(0))), Odd(nnx.Rngs(0)))


def test_recurrent_kernels_of_dense_cells_are_free_to_be_laid_out():
    for name in CELLS:
        cell = build(name, seed=0, dtype=jnp.float32)
        if getattr(cell, "recurrent_kernel", jnp.zeros(())).ndim == 3:  # [G, H, H]; of 1997 it is no stack of gates
            assert isinstance(cell.recurrent_kernel, Kernels), name


@pytest.mark.parametrize(
    ("T", "size", "expected"), [(784, 28, 28), (784, 30, 28), (100, 30, 25), (100, 100, None), (787, 28, None)]
)
def test_chunks_are_divisors_of_the_steps(T, size, expected):
    assert divisor(T, size) == expected
    assert divisor(T, None) is None


def test_auto_is_decided_for_every_option_and_what_is_given_stays():
    cell = LSTMCell(2, 8, rngs=nnx.Rngs(0))
    carry, xs = cell.initialize_carry((4, 2)), jnp.zeros((60, 4, 2))
    decided = tune(Adjoint(), cell, carry, xs)
    assert "auto" not in decided[:5]
    given = Adjoint(gates="apart", keep="preactivations", projection="inside", chunk=7, unroll=3)
    assert tune(given, cell, carry, xs)[:5] == ("apart", "preactivations", "inside", 6, 3)


def decide(cell: Any, shape: tuple[int, int, int, int]) -> Tuning:
    B, T, D, H = shape
    made = cell(D, H, rngs=nnx.Rngs(0))
    return tune(Adjoint(), made, made.initialize_carry((B, D)), jnp.zeros((T, B, D)))


@pytest.mark.skipif(jax.default_backend() != "cpu", reason="the rules are those of a CPU")
@pytest.mark.parametrize(
    ("cell", "shape", "keep", "projection", "chunk"),
    [
        (LSTMCell, (32, 100, 2, 32), "preactivations", "inside", None),
        (GRUCell, (32, 100, 2, 32), "preactivations", "hoisted", None),
        (cells.RNNCell, (32, 100, 2, 32), "preactivations", "inside", None),
        (cells.RNNCell, (8, 100, 2, 32), "preactivations", "hoisted", None),
        (cells.RNNCell, (32, 100, 9, 32), "preactivations", "hoisted", None),
        (GRUCell, (1, 1000, 32, 64), "states", "hoisted", None),
        (GRUCell, (1, 1000, 32, 128), "preactivations", "hoisted", None),
        (cells.RNNCell, (1, 1000, 32, 64), "preactivations", "hoisted", None),
        (LSTMCell, (64, 784, 1, 128), "states", "inside", 56),
        (GRUCell, (64, 784, 1, 128), "states", "hoisted", 56),
        (LSTMCell, (16, 1024, 768, 768), "preactivations", "hoisted", 32),
    ],
)
def test_auto_follows_the_measurements(cell, shape, keep, projection, chunk):
    decided = decide(cell, shape)
    assert (decided.gates, decided.keep, decided.projection, decided.chunk) == ("fused", keep, projection, chunk)


@pytest.mark.skipif(jax.default_backend() != "cpu", reason="the rules are those of a CPU")
@pytest.mark.parametrize(
    ("cell", "shape", "transpose"),
    [
        (LSTMCell, (32, 100, 2, 128), True),
        (LSTMCell, (32, 100, 2, 256), True),
        (LSTMCell, (32, 100, 2, 257), False),
        (LSTMCell, (32, 63, 2, 256), False),
        (LSTMCell, (1, 1000, 32, 256), False),
        (cells.RNNCell, (32, 100, 2, 600), True),
        (cells.RNNCell, (16, 1024, 768, 768), False),
        (GRUCell, (16, 1024, 768, 768), False),
    ],
)
def test_narrow_kernels_are_transposed_for_the_backward_pass(cell, shape, transpose):
    assert decide(cell, shape).transpose == transpose


@pytest.mark.skipif(jax.default_backend() != "cpu", reason="the rules are those of a CPU")
@pytest.mark.parametrize(
    ("cell", "shape", "leads"),
    [
        (GRUCell, (20, 35, 650, 650), True),
        (GRUCell, (33, 35, 650, 650), False),
        (GRUCell, (20, 15, 650, 650), False),
        (LSTMCell, (1, 100, 2, 314), True),
        (LSTMCell, (1, 100, 2, 313), False),
        (cells.RNNCell, (16, 1024, 768, 768), True),
        (cells.RNNCell, (32, 100, 2, 512), False),
    ],
)
def test_large_kernels_come_first_in_products_with_few_rows(cell, shape, leads):
    decided = decide(cell, shape)
    assert decided.leading == leads and not (decided.leading and decided.transpose)


@pytest.mark.parametrize(("D", "projection"), [(8, "inside"), (9, "hoisted")])
def test_auto_on_a_gpu(monkeypatch, D, projection):
    cell = GRUCell(D, 4, rngs=nnx.Rngs(0))
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    decided = tune(Adjoint(), cell, cell.initialize_carry((2, D)), jnp.zeros((2**19, 2, D)))
    assert decided[:5] == ("fused", "states", projection, None, 16)


@pytest.mark.parametrize(
    "option",
    [
        {"gates": "one"},
        {"keep": None},
        {"projection": 1},
        {"chunk": 0},
        {"chunk": True},
        {"unroll": None},
        {"unroll": 0},
    ],
)
def test_options_that_are_none_are_refused(option):
    (name,) = option
    with pytest.raises(ValueError, match=rf"Adjoint got {name}=.*; allowed: 'auto'"):
        Adjoint(**option)


def test_chunks_need_a_fraction_of_the_memory():
    cell, xs = GRUCell(2, 64, rngs=nnx.Rngs(0)), jnp.zeros((200, 8, 2))

    def size(backend: Any) -> int:
        program = jax.jit(jax.grad(lambda cell: jnp.mean(unroll(cell, xs, backend=backend)[1] ** 2)))
        return program.lower(cell).compile().memory_analysis().temp_size_in_bytes

    whole, chunked = (size(Adjoint(keep="states", chunk=chunk)) for chunk in (None, 10))
    assert chunked < whole / 2
