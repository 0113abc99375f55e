"""The contract: every engine equals a plain loop for every cell, in values and in all derivatives."""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from reference import (
    BATCH,
    FIRST_ORDER,
    PAIRS,
    Case,
    D,
    H,
    T,
    build,
    case,
    dot,
    engine_named,
    jit,
    loop,
    loop_without_gaps,
    noise,
    pick,
    refusal,
)
from tolerances import close

from recurrax import unroll

every_pair = pytest.mark.parametrize(("cell", "engine"), PAIRS)
every_second_order_pair = pytest.mark.parametrize(
    ("cell", "engine"), [pair for pair in PAIRS if pair[1] not in FIRST_ORDER]
)
# Runs of the ensemble: run t looks at output t alone, then come the last carry alone, all outputs, all with flags.
LAST, ALL, FLAGGED = T, T + 1, T + 2
RUNS = T + 3


@pytest.fixture(autouse=True)
def supported(x64, request):
    pair = request.node.callspec.params if hasattr(request.node, "callspec") else {}
    if "engine" in pair and (reason := refusal(pair["cell"], pair["engine"])):
        pytest.skip(reason)


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
    return unroll(cell, xs, carry, mask=mask, resets=resets, backend=engine_named(engine))


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
    carry, ys = noise((runs.carry, jax.ShapeDtypeStruct((RUNS, T, *BATCH, H), jnp.float64)), seed=3)
    carry = jax.tree.map(lambda w: w.at[:T].set(0), carry)
    ys = ys.at[: T + 1].multiply(jnp.eye(T + 1, T).reshape(T + 1, T, *(1,) * len(BATCH), 1))
    mask, resets = np.ones((2, RUNS, T, *BATCH), bool)
    resets[:] = False
    mask[FLAGGED], resets[FLAGGED] = flags()
    return runs, (carry, ys), noise(runs, seed=4), Flags(mask, resets)


@functools.cache
def programs(engine: str) -> tuple[Any, Any]:
    """One run; the ensemble with flags, to second order where the engine has it."""
    run = functools.partial(sequence, engine)

    def with_flags(primals: Case, weights: Any, direction: Case, flags: Flags) -> Result:
        def flagged(*primals: Any) -> Any:
            return run(*primals, *flags)

        if engine in FIRST_ORDER:
            return first_order(flagged, primals, weights)
        return second_order(flagged, primals, weights, direction)

    return jit(functools.partial(first_order, run)), jit(jax.vmap(with_flags))


def run_ensemble(cell: str, engine: str, runs: Case) -> Result:
    """With NaN and infinity in every input that the masks hide."""
    _, weights, directions, flags = ensemble(cell)
    poison = np.where(np.arange(D) == 0, np.inf, np.nan)
    hidden = runs._replace(xs=jnp.asarray(np.where(flags.mask[..., None], runs.xs, poison)))
    return programs(engine)[1](hidden, weights, directions, flags)


@functools.cache
def result(cell: str, engine: str) -> Result:
    return run_ensemble(cell, engine, ensemble(cell)[0])


@functools.cache
def by_hand(cell: str) -> Result:
    runs, weights, *_ = ensemble(cell)
    return jax.vmap(functools.partial(first_order, loop))(runs, weights)


@functools.cache
def by_hand_with_flags(cell: str) -> Result:
    runs, weights, _, flags = ensemble(cell)

    def one(primals: Case, weights: Any, flags: Flags) -> Result:
        return first_order(lambda *primals: loop_without_gaps(*primals, *flags), primals, weights)

    return jax.vmap(one)(runs, weights, flags)


@every_pair
def test_values_and_gradients_are_those_of_the_loop(cell, engine):
    out, gradients, *_ = result(cell, engine)
    close(*pick((Result(out, gradients), by_hand(cell)), slice(FLAGGED)))


@every_pair
def test_an_output_depends_on_all_inputs_up_to_it_and_on_none_after(cell, engine):
    size = jnp.abs(result(cell, engine).gradients.xs[:T]).max(axis=(2, 3, 4))  # of d ys[t] / d xs[s]: [t, s]
    np.testing.assert_array_equal(size > 0, np.tri(T, dtype=bool))


@every_pair
def test_two_halves_alone_are_the_whole_in_an_ensemble(cell, engine):
    alone, _ = programs(engine)
    runs, weights, *_ = ensemble(cell)
    run, (w_carry, w_ys) = pick((runs, weights), ALL)
    one, two = (run._replace(xs=run.xs[half]) for half in (slice(None, T // 2), slice(T // 2, None)))
    (carry, ys_one), *_ = alone(one, (w_carry, w_ys[: T // 2]))
    (carry, ys_two), d_two, *_ = alone(two._replace(carry=carry), (w_carry, w_ys[T // 2 :]))
    _, d_one, *_ = alone(one, (d_two.carry, w_ys[: T // 2]))  # what comes back through the carry handed over
    gradients = Case(jax.tree.map(jnp.add, d_one.cell, d_two.cell), d_one.carry, jnp.concatenate([d_one.xs, d_two.xs]))
    whole = pick(result(cell, engine), ALL)
    close(((carry, jnp.concatenate([ys_one, ys_two])), gradients), (whole.out, whole.gradients))


@every_pair
def test_masks_and_resets_are_those_of_each_sequence_alone(cell, engine):
    (carry, ys), gradients, *_ = pick(result(cell, engine), FLAGGED)
    close(Result((carry, ys), gradients), pick(by_hand_with_flags(cell), FLAGGED))
    mask, _ = flags()
    for hidden in (ys, gradients.xs):
        np.testing.assert_array_equal(np.asarray(hidden)[~mask], 0)
    nothing, start = pick(carry, (1, 1)), pick(ensemble(cell)[0].carry, (FLAGGED, 1, 1))
    jax.tree.map(np.testing.assert_array_equal, nothing, start)


@every_second_order_pair
def test_forward_mode_and_second_order_are_those_of_scan(cell, engine):
    actual, expected = result(cell, engine), result(cell, "scan")
    close((actual.tangents, actual.curvature), (expected.tangents, expected.curvature))


@every_second_order_pair
def test_derivatives_are_those_of_differences(cell, engine):
    runs, _, direction, _ = ensemble(cell)
    step = 2e-6
    ahead = run_ensemble(cell, engine, jax.tree.map(lambda p, d: p + step * d, runs, direction))
    behind = run_ensemble(cell, engine, jax.tree.map(lambda p, d: p - step * d, runs, direction))
    slopes = jax.tree.map(lambda a, b: (a - b) / (2 * step), ahead, behind)
    actual = result(cell, engine)
    close((actual.tangents, actual.curvature), (slopes.out, slopes.gradients), "differences")


@every_pair
def test_a_second_cell_built_alike_compiles_nothing(cell, engine):
    alone, _ = programs(engine)
    run, weights = pick(ensemble(cell)[:2], ALL)
    half = run._replace(xs=run.xs[: T // 2])
    weights = (weights[0], weights[1][: T // 2])
    for _ in range(2):  # the first call may import a module that changes JAX's context
        alone(half, weights)
    before = alone._cache_size()
    alone(half._replace(cell=build(cell, seed=5)), weights)
    assert alone._cache_size() == before


@every_pair
def test_the_dtype_of_the_parameters_is_kept(cell, engine):
    one = case(cell, seed=1, dtype=jnp.bfloat16)
    carry, ys = jax.eval_shape(functools.partial(sequence, engine), *one, *flags())
    assert ys.dtype == jnp.bfloat16
    state = one.cell.state_dtype  # that of the parameters, or complex
    assert {leaf.dtype for leaf in jax.tree.leaves(carry)} == {jnp.dtype(state)}
