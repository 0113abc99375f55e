"""Newton's method over all steps at once: what it finds, what it reports, and what it does where it finds nothing."""

import dataclasses
import functools
import itertools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from reference import BATCH, Case, D, case, cast, dot, jit, noise
from tolerances import close

from recurrax import Foreign, cells, unroll
from recurrax.engines.newton import Newton, newton

T = 20
MAX = 60
STRICT = Newton(max_iterations=MAX, on_failure="nan")  # no fallback that would hide a failure
pytestmark = pytest.mark.usefixtures("x64")


def long(name: str) -> Case:
    """A reference case of T steps."""
    one = case(name, seed=1)
    return one._replace(xs=noise(jax.ShapeDtypeStruct((T, *BATCH, D), jnp.float64), seed=3))


def expansive(gain: float = 3.0, steps: int = 100) -> Case:
    """An RNN whose recurrent matrix is ``gain`` times an orthogonal one: chaos."""
    cell = cells.RNNCell(D, 8, param_dtype=jnp.float64, rngs=nnx.Rngs(0))
    cell.recurrent_kernel[...] *= gain
    return Case(
        cell, *noise((jax.ShapeDtypeStruct((8,), jnp.float64), jax.ShapeDtypeStruct((steps, D), jnp.float64)), 1)
    )


def flags() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    mask, resets = rng.random((2, T, *BATCH)) < np.array([0.7, 0.2])[:, None, None, None]
    mask[:, 1, 1], resets[0, 0, 0] = False, True
    return mask, resets


def objective(backend: Any, one: Case, mask: Any = None, resets: Any = None) -> tuple[jax.Array, Any]:
    """A weighted sum of all that a run gives, and the run."""
    carry, ys = unroll(one.cell, one.xs, one.carry, mask=mask, resets=resets, backend=backend)
    return dot(noise((carry, ys), seed=7), (carry, ys)), (carry, ys)


@functools.cache
def program(backend: Any) -> Any:
    """Outputs and gradients."""
    return jit(jax.grad(functools.partial(objective, backend), has_aux=True))


def solution(one: Case, **options: Any) -> Any:
    return jit(functools.partial(newton, options=Newton(max_iterations=MAX, **options)))(*one)


@pytest.mark.parametrize("jacobian", ["dense", "diagonal"])
@pytest.mark.parametrize("name", ["RNN", "GRU", "LSTM"])
def test_it_equals_scan_with_masks_and_resets(name, jacobian):
    one, (mask, resets) = long(name), flags()
    one = one._replace(xs=jnp.where(mask[..., None], one.xs, jnp.nan))
    engine = Newton(max_iterations=MAX, jacobian=jacobian, on_failure="nan")
    close(program(engine)(one, mask, resets), program("scan")(one, mask, resets))


@pytest.mark.slow
def test_it_equals_scan_in_forward_mode_and_second_order():
    one = long("LSTM")

    def both(backend: Any) -> Any:
        gradient = jax.grad(functools.partial(objective, backend), has_aux=True)
        return jit(lambda one, direction: jax.jvp(gradient, (one,), (direction,)))(one, noise(one, seed=8))

    close(both(STRICT), both("scan"))


@pytest.mark.slow
def test_it_reports_how_it_converged():
    one = long("GRU")
    dense, diagonal = solution(one), solution(one, jacobian="diagonal")
    (_, ys) = unroll(*one[::2], one.carry, backend="scan")
    for found in dense, diagonal:
        n = int(found.iterations)
        assert found.converged and found.residual <= 8 * jnp.finfo(jnp.float64).eps
        assert found.residuals.shape == (MAX,) and found.residuals[n - 1] == found.residual
        np.testing.assert_array_equal(np.isnan(found.residuals), np.arange(MAX) >= n)
        close((found.carry, found.carries), (ys[-1], ys))
    assert dense.iterations < diagonal.iterations


def test_convergence_is_quadratic_with_the_dense_jacobian():
    residuals = np.asarray(solution(long("GRU")).residuals)
    pairs = [(r, then) for r, then in itertools.pairwise(residuals) if 1e-7 < r < 0.3]
    assert len(pairs) >= 2 and all(then <= 2 * r**2 for r, then in pairs)


@pytest.mark.parametrize(("name", "jacobian"), [("RNN-identity", "dense"), ("MinGRU", "diagonal")])
def test_one_iteration_solves_a_linear_cell_and_a_second_one_sees_it(name, jacobian):
    one = long(name)
    found = solution(one, tolerance=1e-13, jacobian=jacobian)
    assert found.converged and found.iterations == 2 and found.residuals[0] <= 1e-13
    close((found.carry, found.carries), unroll(one.cell, one.xs, one.carry, backend="scan"))


def test_states_that_are_already_right_need_none():
    one = long("RNN")
    found = jit(newton)(*one, np.zeros((T, *BATCH), bool))
    assert found.converged and found.iterations == 0
    close(found.carry, one.carry)


@pytest.mark.slow
def test_n_iterations_make_n_steps_exact_whatever_the_jacobian():
    one = expansive(gain=4)
    (_, ys) = unroll(one.cell, one.xs, one.carry, backend="scan")
    for options in {}, {"jacobian": "diagonal", "damping": 0.5}:
        found = jit(functools.partial(newton, options=Newton(max_iterations=8, **options)))(*one)
        assert not found.converged and found.iterations == 8 and found.residual == found.residuals[-1]
        close(found.carries[:9], ys[:9])  # one more: the carries are f of the states


def test_where_it_does_not_converge_the_sequence_is_scanned():
    one, engine = expansive(), Newton(max_iterations=5)
    assert not jit(functools.partial(newton, options=engine))(*one).converged
    actual, expected = program(engine)(one), program("scan")(one)
    close(actual, expected)
    close(actual[1], expected[1])


@pytest.mark.slow
def test_damping_converges_where_iterates_blow_up_without():
    cell = cells.GRUCell(D, 8, param_dtype=jnp.float64, rngs=nnx.Rngs(0))
    cell.recurrent_kernel[...] *= 3  # steps contract at the solution but not at what is first guessed
    one = Case(cell, jnp.zeros(8), noise(jax.ShapeDtypeStruct((400, D), jnp.float64), 1))
    options = Newton(tolerance=1e-5, max_iterations=70)
    without, damped = (
        jit(functools.partial(newton, options=dataclasses.replace(options, damping=k)))(*one) for k in (0.0, 0.1)
    )
    assert not without.converged and damped.converged
    (_, ys) = unroll(one.cell, one.xs, one.carry, backend="scan")
    np.testing.assert_allclose(damped.carries, ys, atol=1e-3)


def test_half_precision_is_as_close_to_scan_as_its_rounding():
    one = cast(long("LSTM"), jnp.bfloat16)
    out = [jit(functools.partial(objective, backend))(one)[1] for backend in (STRICT, "scan")]
    assert {leaf.dtype for leaf in jax.tree.leaves(out)} == {jnp.dtype(jnp.bfloat16)}
    close(*out, "bfloat16")


@pytest.mark.slow
def test_in_an_ensemble_each_run_is_judged_alone():
    runs = jax.tree.map(lambda *leaves: jnp.stack(leaves), expansive(gain=0.3), expansive(gain=3))
    engine = Newton(max_iterations=20)
    found = jit(jax.vmap(functools.partial(newton, options=engine)))(*runs)
    np.testing.assert_array_equal(found.converged, [True, False])
    assert found.iterations[0] < 20 == found.iterations[1]
    gradients = [jax.grad(functools.partial(objective, backend), has_aux=True) for backend in (engine, "scan")]
    close(*(jit(jax.vmap(gradient))(runs) for gradient in gradients))


@pytest.mark.slow
def test_nan_fills_outputs_and_derivatives():
    one = expansive()
    gradients, out = program(Newton(max_iterations=5, on_failure="nan"))(one)
    assert all(jnp.isnan(leaf).all() for leaf in jax.tree.leaves(out))
    assert jnp.isnan(gradients.xs).all() and jnp.isnan(gradients.carry).all()
    assert all(jnp.isnan(leaf).all() for leaf in jax.tree.leaves(gradients.cell))


def test_error_raises_outside_jit_and_is_nan_inside():
    one, engine = expansive(steps=20), Newton(max_iterations=3, on_failure="error")
    with pytest.raises(RuntimeError, match=r"in 3 iterations: its residual is \d.*on_failure='scan'"):
        objective(engine, one)
    assert all(jnp.isnan(leaf).all() for leaf in jax.tree.leaves(program(engine)(one)[1]))
    few = one._replace(xs=one.xs[:2])
    close(objective(engine, few), objective("scan", few))


def test_inputs_that_are_nan_give_what_scan_gives():
    one = long("RNN")
    one = one._replace(xs=one.xs.at[T // 2].set(jnp.nan))
    out = [jit(functools.partial(objective, backend))(one)[1] for backend in (Newton(max_iterations=3), "scan")]
    np.testing.assert_allclose(*(ys for _, ys in out))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"tolerance": 0.0}, "tolerance=0.0; allowed: a finite number > 0 or None. Try"),
        ({"tolerance": float("nan")}, "tolerance=nan"),
        ({"max_iterations": 0}, "max_iterations=0; allowed: an int >= 1"),
        ({"max_iterations": True}, "max_iterations=True"),
        ({"jacobian": "full"}, "jacobian='full'; allowed: 'dense', 'diagonal'. Try jacobian='dense'"),
        ({"damping": 1.5}, "damping=1.5; allowed: a number from 0 to 1"),
        ({"damping": "0"}, "damping='0'"),
        ({"on_failure": None}, "on_failure=None; allowed: 'scan', 'error', 'nan'"),
    ],
)
def test_bad_options(options, message):
    with pytest.raises(ValueError, match="Newton got " + message.replace(".", r"\.")):
        Newton(**options)


def test_a_general_cell_is_refused():
    one = case("Foreign-function", seed=1)
    assert isinstance(one.cell, Foreign)
    for run in newton, STRICT:
        with pytest.raises(ValueError, match=r"Newton got Foreign of Structure\.GENERAL; allowed: .*DENSE.*LINEAR"):
            run(*one)


def test_a_complex_carry_is_refused():
    one = case("RNN", seed=1)
    with pytest.raises(ValueError, match="complex carry; allowed: a real one"):
        newton(one.cell, one.carry.astype(complex), one.xs)
