"""What Adjoint chooses and how it lays things out; that no choice changes a number is in the contract."""

import functools
import re
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from reference import BATCH, CELLS, Case, D, H, abstract, build, case, dot, jit, noise
from tolerances import close

from recurrax import Adjoint, Cell, GRUCell, Kernel, LSTMCell, Scan, Structure, affine, cells, unroll
from recurrax.cell import preactivations
from recurrax.engines.chunks import divisor
from recurrax.engines.joint import Joint
from recurrax.engines.tuning import Tuning, tune
from recurrax.kernels import RecurrentKernel, SideBySide, for_steps, side_by_side

JOINT = Adjoint(projection="joint", keep="states", chunk=2, unroll=1)


class Odd(Cell):
    """Its parameters are plain, and its gates come from the input alone, from both, and from the carry alone."""

    in_features, hidden_features = D, H

    def __init__(self, rngs: nnx.Rngs):
        self.weights = nnx.Param(jax.random.normal(rngs.params(), (D, H)))  # not laid out anew: no kernel
        self.recurrent = nnx.Param(jax.random.normal(rngs.params(), (H, H)))

    def project(self, x: jax.Array) -> Any:
        u = x @ self.weights[...]
        return u, 2 * u, None

    def mix(self, carry: jax.Array) -> Any:
        v = carry @ self.recurrent[...]
        return None, v, 3 * v

    def update(self, carry: jax.Array, a: Any) -> jax.Array:
        return jnp.tanh(a[0] - a[1] * a[2]) + 0.5 * carry


@functools.partial(jit, static_argnums=1)
def gradient(primals: Case, backend: Any) -> Any:
    def weighted(primals: Case) -> jax.Array:
        out = unroll(primals.cell, primals.xs, primals.carry, backend=backend)
        return dot(out, noise(out, seed=2))

    return jax.grad(weighted)(primals)


def of(kind: Any) -> Case:
    cell = noise(kind(D, H, param_dtype=jnp.float64, rngs=nnx.Rngs(0)), seed=1)
    carry, xs = noise((cell.initialize_carry((*BATCH, D)), jax.ShapeDtypeStruct((5, *BATCH, D), float)), seed=2)
    return Case(cell, carry, xs)


@pytest.mark.parametrize("engine", [Adjoint(), Adjoint(keep="preactivations", chunk=2), JOINT])
def test_gates_of_one_half_alone_have_the_gradients_of_scan(engine, x64):
    cell = jax.tree.map(lambda leaf: leaf.astype(jnp.float64), Odd(nnx.Rngs(0)))
    carry, xs = noise((jax.ShapeDtypeStruct((*BATCH, H), jnp.float64), jax.ShapeDtypeStruct((5, *BATCH, D), float)), 1)
    one = Case(cell, carry, xs)
    assert not tune(engine, *one).joint
    close(gradient(one, engine), gradient(one, Scan()))


class Louder(LSTMCell):
    """Works on its inputs."""

    def project(self, x: jax.Array) -> Any:
        return super().project(3 * x)


class Softer(LSTMCell):
    """Works on a product."""

    def mix(self, carry: Any) -> Any:
        return jax.tree.map(lambda v: v / 3, super().mix(carry))


class Biased(LSTMCell):
    """Has a bias beside the recurrent kernels too."""

    def mix(self, carry: Any) -> Any:
        return affine(carry[-1], self.recurrent_kernel, self.bias)


class Astray(LSTMCell):
    """Mixes the gates in another order than it projects them."""

    def mix(self, carry: Any) -> Any:
        f, i, *others = super().mix(carry)
        return i, f, *others


class Leaky(LSTMCell):
    """Another update, the same pre-activations."""

    def update(self, carry: Any, a: Any) -> Any:
        c, h = super().update(carry, a)
        return 0.9 * c, h


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "joint"),
    [
        (cells.RNNCell, True),
        (LSTMCell, True),
        (cells.CIFGCell, True),
        (Leaky, True),
        (Louder, False),
        (Softer, False),
        (Biased, False),
        (Astray, False),
        (GRUCell, False),
    ],
)
def test_one_product_is_for_cells_whose_two_products_are_affine_cell_s_own(kind, joint, x64):
    """A subclass that overrides either is not joint, and still right."""
    one = of(kind)
    assert tune(JOINT, *one).joint == joint
    close(gradient(one, JOINT), gradient(one, Scan()))


@pytest.mark.parametrize("name", ["RNN", "LSTM", "NoInputGate"])
def test_the_joint_product_is_the_sum_of_both(name, x64):
    cell, carry, xs = case(name, seed=1)
    joint = Joint.of(side_by_side(cell))
    expected = preactivations(cell.project(xs[0]), cell.mix(carry))
    (actual,) = joint.preactivations(carry, jnp.concatenate([xs[0], jnp.ones((*BATCH, 1))], -1))
    close(actual, jnp.concatenate(expected, -1))
    close(joint.mix(carry)[0], jnp.concatenate(cell.mix(carry), -1))
    close(joint.update(carry, (actual,)), cell.update(carry, expected))


@pytest.mark.parametrize("batch", [(), (3,), BATCH])
@pytest.mark.parametrize("name", ["RNN", "LSTM", "GRU", "NoInputGate"])
def test_layouts_multiply_by_the_same_numbers_and_have_the_same_gradients(name, batch, x64):
    cell, carry, _ = case(name, seed=1)
    carry = noise(jax.tree.map(lambda leaf: jax.ShapeDtypeStruct((*batch, H), leaf.dtype), carry), seed=4)
    side = side_by_side(cell)
    turned, leading = for_steps(side, leading=False), for_steps(side, leading=True)
    stored = [(laid.recurrent_kernel.stored, laid.recurrent_kernel.leading) for laid in (side, turned, leading)]
    assert stored == [(True, False), (False, False), (True, True)]
    assert for_steps(turned, leading=True).recurrent_kernel == turned.recurrent_kernel  # turned once, and so it stays

    def slopes(lay: Any) -> Any:
        def weighted(cell: Any, carry: Any) -> jax.Array:
            out = tuple(v for v in lay(cell).mix(carry) if v is not None)
            return dot(out, noise(out, seed=5))

        return jax.value_and_grad(weighted, argnums=(0, 1))(cell, carry)

    expected = slopes(lambda cell: cell)
    for lay in (
        side_by_side,
        lambda cell: for_steps(side_by_side(cell), leading=False),
        lambda cell: for_steps(side_by_side(cell), leading=True),
    ):
        close(slopes(lay), expected)


@pytest.mark.parametrize("shape", [(D,), (3, D), (7, 3, D), (7, 40, D), (7, 40, 33)])
def test_affine_is_a_matrix_product_and_a_sum_for_every_number_of_rows(shape, x64):
    """One step, a few, and many; few inputs and many."""
    x = noise(jax.ShapeDtypeStruct(shape, jnp.float64), seed=1)
    kernel, bias = noise((jax.ShapeDtypeStruct((2, H, shape[-1]), float), jax.ShapeDtypeStruct((2, H), float)), 2)

    def ours(x: Any, kernel: Any, bias: Any) -> Any:
        return affine(x, Kernel(kernel), nnx.Param(bias))

    def by_hand(x: Any, kernel: Any, bias: Any) -> Any:
        return tuple(jnp.einsum("...d,hd->...h", x, W) + b for W, b in zip(kernel, bias, strict=True))

    def slopes(run: Any) -> Any:
        return jax.grad(lambda *args: dot(run(*args), noise(run(*args), 3)), argnums=(0, 1, 2))(x, kernel, bias)

    close(ours(x, kernel, bias), by_hand(x, kernel, bias))
    close(affine(x, Kernel(kernel)), by_hand(x, kernel, 0 * bias))
    close(slopes(ours), slopes(by_hand))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "projection"),
    [
        (cells.RNNCell, "joint"),
        (GRUCell, "hoisted"),
        *(pytest.param(*pair, marks=pytest.mark.slow) for pair in [(LSTMCell, "joint"), (Biased, "hoisted")]),
    ],
)
def test_kernels_that_come_first_give_the_derivatives_of_scan(monkeypatch, kind, projection, x64):
    monkeypatch.setattr(jax, "default_backend", lambda: "cpu")
    monkeypatch.setattr("recurrax.engines.tuning.HEAVY", 1)
    monkeypatch.setattr("recurrax.engines.tuning.REPAYS", 1)
    one = of(kind)
    engine = Adjoint(projection=projection)
    assert tune(engine, *one).leading

    def everything(backend: Any, one: Case) -> Any:
        def slope(cell: Any) -> Any:
            return gradient.__wrapped__(one._replace(cell=cell), backend).cell

        second = jax.jvp(slope, (one.cell,), (noise(one.cell, seed=3),))
        ensemble = jax.tree.map(lambda leaf: jnp.stack([leaf, -leaf]), one.cell)
        return gradient.__wrapped__(one, backend), second, jax.vmap(slope)(ensemble)

    close(*(jit(functools.partial(everything, backend))(one) for backend in (engine, Scan())))


@pytest.mark.slow
@pytest.mark.skipif(jax.default_backend() != "cpu", reason="the rules are those of a CPU")
@pytest.mark.parametrize("kind", [cells.RNNCell, GRUCell])
def test_kernels_come_first_in_the_compiled_product_of_the_forward_pass(monkeypatch, kind):
    """XLA moves transpositions into products, where it can. The backward pass reads kernels as they are stored."""
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

    steps = {(B, GH), (B, H), (GH, B), (H, B)}
    assert products() & steps == {(B, GH), (B, H)}
    monkeypatch.setattr("recurrax.engines.tuning.HEAVY", 1)
    assert products() & steps == {(GH, B), (B, H)}


def test_the_matrix_is_laid_out_where_the_cell_is_wrapped_too_and_a_plain_parameter_never(x64):
    cell = build("GRU", seed=1)
    wrapped = side_by_side(cells.TruncatedGradient(cell))
    assert isinstance(wrapped.cell.recurrent_kernel, SideBySide)
    assert isinstance(side_by_side(cell).kernel, nnx.Param)
    jax.tree.map(np.testing.assert_array_equal, side_by_side(Odd(nnx.Rngs(0))), Odd(nnx.Rngs(0)))


def test_recurrent_kernels_of_dense_cells_are_free_to_be_laid_out():
    for name in CELLS:
        cell = abstract(name)
        if cell.structure is not Structure.DENSE or name == "coRNN":  # whose two kernels multiply two states
            continue
        if getattr(cell, "recurrent_kernel", jnp.zeros(())).ndim == 3:  # [G, H, H]; of 1997 it is no stack of gates
            assert isinstance(cell.recurrent_kernel, RecurrentKernel), name


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
    assert "auto" not in decided
    given = Adjoint(keep="states", projection="joint", chunk=7, unroll=3)
    assert tune(given, cell, carry, xs)[:4] == ("states", "joint", 6, 3)
    other = Adjoint(keep="preactivations", projection="hoisted", chunk=None, unroll=1)
    assert tune(other, cell, carry, xs)[:4] == ("preactivations", "hoisted", None, 1)


def decide(cell: Any, shape: tuple[int, int, int, int]) -> Tuning:
    B, T, D, H = shape
    made = jax.eval_shape(lambda: cell(D, H, rngs=nnx.Rngs(0)))
    carry = jax.eval_shape(lambda: made.initialize_carry((B, D)))
    return tune(Adjoint(), made, carry, jax.ShapeDtypeStruct((T, B, D), jnp.float32))


@pytest.mark.skipif(jax.default_backend() != "cpu", reason="the rules are those of a CPU")
@pytest.mark.parametrize(
    ("cell", "shape", "keep", "projection", "chunk"),
    [
        (LSTMCell, (32, 100, 2, 32), "preactivations", "joint", None),
        (GRUCell, (32, 100, 2, 32), "preactivations", "hoisted", None),
        (cells.RNNCell, (32, 100, 2, 32), "preactivations", "joint", None),
        (cells.RNNCell, (8, 100, 2, 32), "preactivations", "hoisted", None),
        (cells.RNNCell, (32, 100, 9, 32), "preactivations", "hoisted", None),
        (GRUCell, (1, 1000, 32, 64), "states", "hoisted", None),
        (GRUCell, (1, 1000, 32, 128), "preactivations", "hoisted", None),
        (cells.RNNCell, (1, 1000, 32, 64), "preactivations", "hoisted", None),
        (LSTMCell, (64, 784, 1, 128), "states", "joint", 56),
        (GRUCell, (64, 784, 1, 128), "states", "hoisted", 56),
        (LSTMCell, (16, 1024, 768, 768), "preactivations", "hoisted", 32),
    ],
)
def test_auto_follows_the_measurements(cell, shape, keep, projection, chunk):
    decided = decide(cell, shape)
    assert (decided.keep, decided.projection, decided.chunk, decided.unroll) == (keep, projection, chunk, 1)


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
    assert decide(cell, shape).leading == leads


@pytest.mark.parametrize(("D", "projection"), [(8, "joint"), (9, "hoisted")])
def test_auto_on_a_gpu(monkeypatch, D, projection):
    cell = LSTMCell(D, 4, rngs=nnx.Rngs(0))
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    decided = tune(Adjoint(), cell, cell.initialize_carry((2, D)), jnp.zeros((2**19, 2, D)))
    assert decided == Tuning("states", projection, None, 16, leading=False)


def test_auto_elsewhere_is_what_holds_for_large_arrays(monkeypatch):
    cell = LSTMCell(2, 512, recurrent_kernel_init=nnx.initializers.zeros, rngs=nnx.Rngs(0))
    monkeypatch.setattr(jax, "default_backend", lambda: "tpu")
    decided = tune(Adjoint(), cell, cell.initialize_carry((2, 2)), jnp.zeros((2**16, 2, 2)))
    assert decided == Tuning("preactivations", "hoisted", None, 1, leading=False)


@pytest.mark.parametrize(
    "option",
    [
        {"keep": None},
        {"projection": 1},
        {"projection": "inside"},
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


@pytest.mark.slow
def test_chunks_need_a_fraction_of_the_memory():
    cell, xs = GRUCell(2, 64, rngs=nnx.Rngs(0)), jnp.zeros((200, 8, 2))

    def size(backend: Any) -> int:
        program = jax.jit(jax.grad(lambda cell: jnp.mean(unroll(cell, xs, backend=backend)[1] ** 2)))
        return program.lower(cell).compile().memory_analysis().temp_size_in_bytes

    whole, chunked = (size(Adjoint(keep="states", chunk=chunk)) for chunk in (None, 10))
    assert chunked < whole / 2
