"""The contract: every engine equals a plain loop for every cell, in values and in all derivatives.

One test a pair of cell and engine: to compile the pair's programs is nearly all of the cost, and what they give is
looked at from all sides. Each property is a function whose name says what broke.
"""

import functools
from typing import Any, NamedTuple

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from reference import (
    BATCH,
    CELLS,
    ENGINES,
    PAIRS,
    REFUSED,
    SECOND_ORDER,
    Case,
    D,
    H,
    T,
    abstract,
    build,
    case,
    dot,
    engine_named,
    is_everyday,
    is_run_by,
    jit,
    loop,
    loop_without_gaps,
    noise,
    pick,
)
from tolerances import close

from recurrax import cells, unroll

# Runs of the ensemble: run t looks at output t alone, then come the last carry alone, all outputs, all with flags.
LAST, ALL, FLAGGED = T, T + 1, T + 2
RUNS = T + 3
OWN = [cell.short for cell in cells.ALL]


def tiered(pairs: list[tuple[str, str]]) -> list[Any]:
    """The pairs, of which those of most cells are part of the slow tier, as all of them take half an hour."""
    return [pytest.param(*pair, marks=[] if is_everyday(pair[0]) else [pytest.mark.slow]) for pair in pairs]


def outputs(cell: str) -> int:
    """Features of the cell's outputs; a function does not know them."""
    return abstract(cell).out_features or H


class Flags(NamedTuple):
    """Which steps exist, and which start anew; one sequence has holes, one ends early, one has no step at all."""

    mask: Any
    resets: Any


class Result(NamedTuple):
    """Of a run and of a weighted sum of its outputs."""

    out: Any  # carry, ys
    gradients: Case
    tangents: Any = None  # of out, in forward mode
    curvature: Case | None = None  # Hessian times a direction


def flags() -> Flags:
    mask, resets = np.ones((2, T, *BATCH), bool)
    resets[:] = False
    mask[1, 0, 0] = mask[2:4, 0, 1] = mask[3:, 1, 0] = mask[:, 1, 1] = False
    resets[0, 0, 0] = resets[4, 0, 0] = resets[2, 1, 0] = resets[1, 1, 1] = True  # the last of them does not exist
    resets[3, 0, 1] = resets[5, 0, 1] = True  # the first of them does not exist
    return Flags(mask, resets)


def sequence(engine: str, cell: Any, carry: Any, xs: jax.Array, mask: Any = None, resets: Any = None) -> Any:
    backend = engine if engine == "auto" else engine_named(engine)
    return unroll(cell, xs, carry, mask=mask, resets=resets, backend=backend)


def first_order(run: Any, primals: Case, weights: Any) -> Result:
    def weighted(*primals: Any) -> tuple[jax.Array, Any]:
        out = run(*primals)
        return dot(weights, out), out

    gradients, out = jax.grad(weighted, argnums=(0, 1, 2), has_aux=True)(*primals)
    return Result(out, Case(*gradients))


def second_order(run: Any, primals: Case, weights: Any, direction: Case) -> Result:
    (out, gradients, *_), (tangents, curvature, *_) = jax.jvp(
        lambda primals: first_order(run, primals, weights), (primals,), (direction,)
    )
    return Result(out, gradients, tangents, curvature)


@functools.cache
def ensemble(cell: str) -> tuple[Case, Any, Case, Flags]:
    """Independent runs, weights of their outputs, directions, flags."""
    one = case(cell, seed=1)
    runs = jax.tree.map(lambda leaf: np.broadcast_to(leaf, (RUNS, *leaf.shape)), one)
    runs = noise(runs, seed=2, around=1, scale=0.2)
    carry, ys = noise((runs.carry, jax.ShapeDtypeStruct((RUNS, T, *BATCH, outputs(cell)), jnp.float64)), seed=3)
    carry = jax.tree.map(lambda w: w.at[:T].set(0), carry)
    ys = ys.at[: T + 1].multiply(jnp.eye(T + 1, T).reshape(T + 1, T, *(1,) * len(BATCH), 1))
    mask, resets = np.ones((2, RUNS, T, *BATCH), bool)
    resets[:] = False
    mask[FLAGGED], resets[FLAGGED] = flags()
    return runs, (carry, ys), noise(runs, seed=4), Flags(mask, resets)


@functools.cache
def programs(engine: str, order: int = 1) -> tuple[Any, Any]:
    """One run; the ensemble with flags, to that order of derivatives."""
    run = functools.partial(sequence, engine)

    def with_flags(primals: Case, weights: Any, direction: Case, flags: Flags) -> Result:
        def flagged(*primals: Any) -> Any:
            return run(*primals, *flags)

        if order == 1:
            return first_order(flagged, primals, weights)
        return second_order(flagged, primals, weights, direction)

    return jit(functools.partial(first_order, run)), jit(jax.vmap(with_flags))


def run_ensemble(cell: str, engine: str, runs: Case, order: int) -> Result:
    """With NaN and infinity in every input that the masks hide."""
    _, weights, directions, flags = ensemble(cell)
    poison = np.where(np.arange(D) == 0, np.inf, np.nan)
    hidden = runs._replace(xs=jnp.asarray(np.where(flags.mask[..., None], runs.xs, poison)))
    return programs(engine, order)[1](hidden, weights, directions, flags)


@functools.cache
def result(cell: str, engine: str, order: int) -> Result:
    return run_ensemble(cell, engine, ensemble(cell)[0], order)


@functools.cache
def by_hand(cell: str) -> Result:
    runs, weights, *_ = ensemble(cell)
    return jit(jax.vmap(functools.partial(first_order, loop)))(runs, weights)


@functools.cache
def by_hand_with_flags(cell: str) -> Result:
    runs, weights, _, flags = ensemble(cell)

    def one(primals: Case, weights: Any, flags: Flags) -> Result:
        return first_order(lambda *primals: loop_without_gaps(*primals, *flags), primals, weights)

    return jit(jax.vmap(one))(runs, weights, flags)


@pytest.mark.parametrize(("cell", "engine"), tiered(PAIRS))
def test_the_engine_is_the_loop(cell, engine, x64):
    whole = result(cell, engine, 1)
    values_and_gradients_are_those_of_the_loop(cell, whole)
    an_output_depends_on_all_inputs_up_to_it_and_on_none_after(whole)
    masks_and_resets_are_those_of_each_sequence_alone(cell, whole)
    two_halves_alone_are_the_whole_in_an_ensemble(cell, engine, whole)
    a_second_cell_built_alike_compiles_nothing(cell, engine)
    the_dtype_of_the_parameters_is_kept(cell, engine)


def values_and_gradients_are_those_of_the_loop(cell: str, whole: Result) -> None:
    close(*pick((Result(whole.out, whole.gradients), by_hand(cell)), slice(FLAGGED)))


def an_output_depends_on_all_inputs_up_to_it_and_on_none_after(whole: Result) -> None:
    size = jnp.abs(whole.gradients.xs[:T]).max(axis=(2, 3, 4))  # of d ys[t] / d xs[s]: [t, s]
    np.testing.assert_array_equal(size > 0, np.tri(T, dtype=bool))


def masks_and_resets_are_those_of_each_sequence_alone(cell: str, whole: Result) -> None:
    (carry, ys), gradients, *_ = pick(whole, FLAGGED)
    close(Result((carry, ys), gradients), pick(by_hand_with_flags(cell), FLAGGED))
    mask, _ = flags()
    for hidden in (ys, gradients.xs):
        np.testing.assert_array_equal(np.asarray(hidden)[~mask], 0)
    nothing, start = pick(carry, (1, 1)), pick(ensemble(cell)[0].carry, (FLAGGED, 1, 1))
    chex.assert_trees_all_equal(nothing, start)


def two_halves_alone_are_the_whole_in_an_ensemble(cell: str, engine: str, whole: Result) -> None:
    alone, _ = programs(engine)
    runs, weights, *_ = ensemble(cell)
    run, (w_carry, w_ys) = pick((runs, weights), ALL)
    one, two = (run._replace(xs=run.xs[half]) for half in (slice(None, T // 2), slice(T // 2, None)))
    (carry, ys_one), *_ = alone(one, (w_carry, w_ys[: T // 2]))
    (carry, ys_two), d_two, *_ = alone(two._replace(carry=carry), (w_carry, w_ys[T // 2 :]))
    _, d_one, *_ = alone(one, (d_two.carry, w_ys[: T // 2]))  # what comes back through the carry handed over
    gradients = Case(jax.tree.map(jnp.add, d_one.cell, d_two.cell), d_one.carry, jnp.concatenate([d_one.xs, d_two.xs]))
    at_once = pick(whole, ALL)
    close(((carry, jnp.concatenate([ys_one, ys_two])), gradients), (at_once.out, at_once.gradients))


def a_second_cell_built_alike_compiles_nothing(cell: str, engine: str) -> None:
    alone, _ = programs(engine)
    run, weights = pick(ensemble(cell)[:2], ALL)
    half = run._replace(xs=run.xs[: T // 2])
    weights = (weights[0], weights[1][: T // 2])
    alone(half, weights)
    before = alone._cache_size()
    alone(half._replace(cell=build(cell, seed=5)), weights)
    assert alone._cache_size() == before


def the_dtype_of_the_parameters_is_kept(cell: str, engine: str) -> None:
    one = case(cell, seed=1, dtype=jnp.bfloat16)
    carry, ys = jax.eval_shape(functools.partial(sequence, engine), *one, *flags())
    assert ys.dtype == jnp.bfloat16
    state = one.cell.state_dtype()  # that of the parameters, complex, or at least float32
    assert {leaf.dtype for leaf in jax.tree.leaves(carry)} == {jnp.dtype(state)}


@pytest.mark.parametrize(("cell", "engine"), tiered(SECOND_ORDER))
def test_forward_mode_and_second_order_are_those_of_scan_and_of_differences(cell, engine, x64):
    actual, expected = result(cell, engine, 2), result(cell, "scan", 2)
    close((actual.tangents, actual.curvature), (expected.tangents, expected.curvature))
    runs, _, direction, _ = ensemble(cell)
    step = 2e-6
    ahead = run_ensemble(cell, engine, jax.tree.map(lambda p, d: p + step * d, runs, direction), 2)
    behind = run_ensemble(cell, engine, jax.tree.map(lambda p, d: p - step * d, runs, direction), 2)
    slopes = jax.tree.map(lambda a, b: (a - b) / (2 * step), ahead, behind)
    close((actual.tangents, actual.curvature), (slopes.out, slopes.gradients), "differences")


@pytest.mark.parametrize(("cell", "engine"), REFUSED)
def test_an_engine_refuses_the_cells_that_it_cannot_run(cell, engine, x64):
    one = case(cell, seed=1)
    with pytest.raises(ValueError, match="allowed"):
        jax.eval_shape(functools.partial(sequence, engine), *one)


def with_all_flags(engine: str, primals: Case, weights: Any) -> Result:
    """Values and gradients of one run with mask and resets."""
    return first_order(lambda *primals: sequence(engine, *primals, *flags()), primals, weights)


def weighted_case(cell: str, dtype: Any) -> tuple[Case, Any]:
    one = case(cell, seed=1, dtype=dtype)
    return one, noise((one.carry, jax.ShapeDtypeStruct((T, *BATCH, outputs(cell)), dtype)), seed=3)


OFTEN = ("LSTM", "GRU", "RNN", "LRU")


@pytest.mark.parametrize("cell", [pytest.param(c, marks=[] if c in OFTEN else [pytest.mark.slow]) for c in CELLS])
def test_auto_is_the_loop_in_single_precision(cell, exact):
    one, weights = weighted_case(cell, jnp.float32)
    actual = jit(functools.partial(with_all_flags, "auto"))(one, weights)
    expected = jit(functools.partial(first_order, lambda *primals: loop_without_gaps(*primals, *flags())))(one, weights)
    chex.assert_trees_all_equal_dtypes(actual, expected)
    close(actual, expected, "float32")


@pytest.mark.parametrize(("cell", "engine"), tiered([(c, e) for c in OWN for e in ENGINES if is_run_by(c, e)]))
def test_no_rank_is_promoted(cell, engine):
    """What is broadcast is broadcast on purpose: users may have JAX refuse the rest."""
    one, weights = weighted_case(cell, jnp.float32)
    with jax.numpy_rank_promotion("raise"):
        jax.eval_shape(functools.partial(with_all_flags, engine), one, weights)
        jax.eval_shape(one.cell, pick(one.carry, 0), one.xs[0, 0])


@pytest.mark.parametrize(("cell", "engine"), tiered([(c, e) for c in OWN for e in ("scan", "auto")]))
def test_padding_of_nan_makes_no_nan(cell, engine):
    """Nor one that disappears again: JAX looks at what every program gives, and here at every operation outside one."""
    one, weights = weighted_case(cell, jnp.float32)
    padded = one._replace(xs=jnp.asarray(np.where(flags().mask[..., None], one.xs, np.nan)))
    with jax.debug_nans(True):
        out = sequence(engine, *padded, *flags())
        whole = jit(functools.partial(with_all_flags, engine))(padded, weights)
    chex.assert_tree_all_finite((out, whole))
