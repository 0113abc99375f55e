"""The laws of `Cell` that engines build on, and what an engine's options promise: truncation, memory, derivatives."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from reference import (
    BATCH,
    CELLS,
    ENGINES,
    OPTIONS,
    Case,
    D,
    T,
    abstract,
    case,
    dot,
    engine_named,
    is_run_by,
    jit,
    noise,
    pick,
)
from tolerances import close

from recurrax import Adjoint, LSTMCell, Scan, Structure, unroll
from recurrax.cell import preactivations
from recurrax.kernels import STEP_ROWS

SPLIT = [name for name in CELLS if abstract(name).structure is not Structure.GENERAL]
every_split_cell = pytest.mark.parametrize("name", SPLIT)
REAL = 4  # bytes of a float32


@every_split_cell
def test_mix_is_affine_in_the_carry(name, x64):
    cell, one, _ = case(name, seed=1)
    two = noise(one, seed=2)
    between = jax.tree.map(lambda a, b: 0.3 * a + 0.7 * b, one, two)
    expected = jax.tree.map(lambda a, b: 0.3 * a + 0.7 * b, cell.mix(one), cell.mix(two))
    close(cell.mix(between), expected)


@every_split_cell
def test_update_reads_no_parameter(name, x64):
    cell, carry, xs = case(name, seed=1)
    a = preactivations(cell.project(xs[0]), cell.mix(carry))
    ruined = jax.tree.map(lambda leaf: jnp.full_like(leaf, jnp.nan), cell)
    assert any(np.isnan(leaf).all() for leaf in jax.tree.leaves(ruined.project(xs[0])))
    jax.tree.map(np.testing.assert_array_equal, ruined.update(carry, a), cell.update(carry, a))


@pytest.mark.parametrize("name", [name for name in SPLIT if abstract(name).structure is Structure.MATRIX])
def test_update_of_matrices_works_head_by_head(name, x64):
    cell, carry, xs = case(name, seed=1)
    before = carry, cell.project(xs[0])
    (*batch, _), head = (slice(None),) * (len(BATCH) + 1), 1
    after = jax.tree.map(lambda leaf: leaf.at[(*batch, head)].add(0.5), before)
    for old, new in zip(jax.tree.leaves(cell.update(*before)), jax.tree.leaves(cell.update(*after)), strict=True):
        np.testing.assert_array_equal(old[(*batch, 0)], new[(*batch, 0)])
        assert (old[(*batch, head)] != new[(*batch, head)]).any()


@pytest.mark.parametrize("name", [name for name in SPLIT if abstract(name).structure is not Structure.MATRIX])
def test_update_works_unit_by_unit(name, x64):
    cell, carry, xs = case(name, seed=1)
    before = carry, preactivations(cell.project(xs[0]), cell.mix(carry))
    unit = 2
    after = jax.tree.map(lambda leaf: leaf.at[..., unit].add(0.5), before)
    for old, new in zip(jax.tree.leaves(cell.update(*before)), jax.tree.leaves(cell.update(*after)), strict=True):
        others = np.arange(old.shape[-1]) != unit
        np.testing.assert_array_equal(old[..., others], new[..., others])
        assert (old[..., unit] != new[..., unit]).any()


@every_split_cell
def test_a_step_is_project_mix_update_readout_for_any_leading_axes(name, x64):
    cell, carry, xs = case(name, seed=1)
    new = cell.update(carry, preactivations(cell.project(xs[0]), cell.mix(carry)))
    close(cell(carry, xs[0]), (new, cell.readout(new, xs[0])))
    close(pick(cell.project(xs), 0), cell.project(xs[0]))
    carries = jax.tree.map(lambda leaf: jnp.stack([leaf] * T), new)
    close(cell.readout(carries, xs)[0], cell.readout(new, xs[0]))


@pytest.mark.parametrize("name", [name for name in CELLS if name not in SPLIT])
def test_a_cell_without_the_split_says_how_to_use_it(name):
    cell, carry, _ = case(name, seed=1, dtype=jnp.float32)
    with pytest.raises(NotImplementedError, match=r"defines no mix\(\).*GENERAL.*cell\(carry, x\)"):
        cell.mix(carry)


def truncated_loop(window: int, cell: Any, carry: Any, xs: jax.Array, resets: np.ndarray) -> Any:
    """The windows one after the other, each from a carry that is a constant; a reset starts from the true one."""
    initial, ys = carry, []
    for t, x in enumerate(xs):
        if t > 0 and t % window == 0:
            carry = jax.lax.stop_gradient(carry)
        carry = jax.tree.map(lambda start, now, t=t: jnp.where(resets[t][..., None], start, now), initial, carry)
        carry, y = cell(carry, x)
        ys.append(y)
    return carry, jnp.stack(ys)


@pytest.mark.slow
@pytest.mark.parametrize("window", [2, 4, T])
@pytest.mark.parametrize(("name", "with_resets"), [("RNN", False), ("Foreign-function", True)])
def test_truncation_cuts_gradients_between_windows_and_changes_no_value(name, window, with_resets, x64):
    one = case(name, seed=1)
    resets = np.zeros((T, *BATCH), bool)
    resets[3, 0, 0] = resets[4, 0, 1] = with_resets

    def by_hand(primals: Case, window: int) -> tuple[jax.Array, Any]:
        out = truncated_loop(window, *primals, resets)
        return dot(out, noise(out, seed=2)), out

    actual = gradient(Scan(truncate_every=window))(one, {"resets": resets} if with_resets else {})
    close(actual, jax.grad(functools.partial(by_hand, window=window), has_aux=True)(one))
    whole, values = jax.grad(functools.partial(by_hand, window=2 * T), has_aux=True)(one)
    close(actual[1], values)
    assert np.allclose(actual[0].xs, whole.xs) == (window >= T)


def test_the_initial_carry_gets_its_gradient_from_the_first_window(x64):
    cell, carry, xs = case("LSTM", seed=1)

    def late(carry: Any, backend: Any) -> jax.Array:
        return jnp.sum(unroll(cell, xs, carry, backend=backend)[1][2:])

    of_carry = jit(jax.grad(functools.partial(late, backend=Scan(truncate_every=2))))(carry)
    jax.tree.map(lambda g: np.testing.assert_array_equal(g, 0), of_carry)


def weighted(backend: Any, primals: Case, flags: dict[str, Any]) -> tuple[jax.Array, Any]:
    cell, carry, xs = primals
    out = unroll(cell, xs, carry, **flags, backend=backend)
    return dot(out, noise(out, seed=2)), out


@functools.cache
def gradient(backend: Any) -> Any:
    return jit(jax.grad(functools.partial(weighted, backend), has_aux=True))


# One flag without the other is another program, with a cell of either structure.
@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "engine"),
    [(c, e) for c in ("RNN", "MinGRU", "Foreign-function") for e in ENGINES | OPTIONS if is_run_by(c, e)],
)
@pytest.mark.parametrize("flag", ["mask", "resets"])
def test_one_flag_alone_is_both_with_the_other_idle(name, engine, flag, x64):
    one = case(name, seed=1)
    flags = {"mask": np.ones((T, *BATCH), bool), "resets": np.zeros((T, *BATCH), bool)}
    flags[flag] = np.random.default_rng(0).random((T, *BATCH)) < 0.5
    close(gradient(engine_named(engine))(one, {flag: flags[flag]}), gradient(Scan())(one, flags))


def temporary_bytes(run: Any, *args: Any) -> int:
    options = {"xla_backend_optimization_level": 0} if jax.default_backend() == "cpu" else None  # of code, not memory
    analysis = jax.jit(run, compiler_options=options).lower(*args).compile().memory_analysis()
    size = getattr(analysis, "temp_size_in_bytes", 0)
    if not size:
        pytest.skip(f"no memory analysis on {jax.default_backend()}, jax {jax.__version__}")
    return size


@pytest.fixture
def long():
    steps, batch, features = 200, 8, 64
    return jnp.zeros((steps, batch, D)), features, steps * batch * features * REAL


@pytest.mark.slow
def test_the_adjoint_needs_less_memory_than_scan_and_recomputation_a_fraction(long):
    xs, features, stack = long
    model = LSTMCell(D, features, rngs=nnx.Rngs(0))

    def energy(cell: Any, xs: jax.Array, backend: Any) -> jax.Array:
        return jnp.sum(unroll(cell, xs, backend=backend)[1] ** 2)

    scan, adjoint, checkpointed, root = (
        temporary_bytes(jax.grad(functools.partial(energy, backend=backend), argnums=(0, 1)), model, xs)
        for backend in (Scan(), Adjoint(), Scan(checkpoint_every=14), Scan(checkpoint_every="sqrt"))
    )
    assert adjoint < scan - 2 * stack
    assert checkpointed < scan / 4
    assert root < 1.1 * checkpointed


def test_few_sequences_need_no_more_memory_than_many(long):
    """They are multiplied by the kernels of all gates at once, in copies that the backward pass need not keep."""
    _, features, _ = long
    model = LSTMCell(D, features, rngs=nnx.Rngs(0))

    def energy(cell: Any, xs: jax.Array) -> jax.Array:
        return jnp.sum(unroll(cell, xs, backend="scan")[1] ** 2)

    few, many = (temporary_bytes(jax.grad(energy), model, jnp.zeros((200, B, D))) for B in (STEP_ROWS, STEP_ROWS + 1))
    assert few < many


@pytest.mark.slow
def test_nested_recomputation_needs_memory_that_grows_with_the_logarithm_of_the_steps():
    model = LSTMCell(D, 64, rngs=nnx.Rngs(0))

    def last(cell: Any, xs: jax.Array, backend: Any) -> jax.Array:  # of the last carry alone: no output is stacked
        return jnp.sum(unroll(cell, xs, backend=backend)[0][1])

    def size(backend: Any, steps: int) -> int:
        xs = jnp.zeros((steps, 8, D))
        return temporary_bytes(jax.grad(functools.partial(last, backend=backend)), model, xs) - xs.nbytes

    root = [size(Scan(checkpoint_every="sqrt"), steps) for steps in (256, 4096)]
    nested = [size(Scan(checkpoint_every="log"), steps) for steps in (256, 4096)]
    assert root[1] > 3 * root[0]  # 4 times
    assert nested[1] < 1.6 * nested[0]  # 12 in place of 8 halvings


@pytest.mark.parametrize("backend", ["scan", "adjoint"])
def test_a_forward_pass_stacks_no_cell_state(backend, long):
    xs, features, stack = long
    model = LSTMCell(D, features, rngs=nnx.Rngs(0))
    size = temporary_bytes(lambda cell, xs: unroll(cell, xs, backend=backend)[1], model, xs)
    assert 4 * stack < size < 5.5 * stack  # the four projected gates and one array more; c would be the sixth

    def last(cell: Any, xs: jax.Array, lengths: jax.Array) -> Any:
        mask = jnp.arange(len(xs))[:, None] < lengths
        return unroll(cell, xs, mask=mask, backend=backend)[0]

    size = temporary_bytes(last, model, xs, jnp.zeros(8, int))
    assert 4 * stack < size < 5.5 * stack  # the carry at the lengths is held, not gathered from a stack of all
