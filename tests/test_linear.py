"""Linear cells and the associative scan: initialisation, long sequences, memory, refusals.

Equations are tested in test_cells.py; values, derivatives, masks and resets of every engine in the contract.
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from reference import jit
from tolerances import close

from recurrax import Associative, LSTMCell, Scan, Structure, cells, gradflow, unroll
from recurrax.cells import DiagonalRNNCell, LRUCell, MinGRUCell, MinLSTMCell
from recurrax.engines.recurrence import solve
from recurrax.initializers import Chrono, Ring

LINEAR = [cell for cell in cells.ALL if cell.structure is Structure.LINEAR]
MANY = 4000


def eigenvalues(ring: Ring) -> Any:
    keys = jax.random.split(jax.random.key(0))
    nu, theta = (np.asarray(draw, np.float64) for draw in (ring.nu(keys[0], (MANY,)), ring.theta(keys[1], (MANY,))))
    return np.exp(-np.exp(nu) + 1j * np.exp(theta))


def test_eigenvalues_fill_the_ring_uniformly():
    values = eigenvalues(Ring(r_min=0.5, r_max=0.9, max_phase=1.0))
    square, phase = np.abs(values) ** 2, np.angle(values)
    assert 0.25 <= square.min() and square.max() <= 0.81 + 1e-6 and 0 < phase.min() and phase.max() <= 1 + 1e-6
    for sample, low, high in (square, 0.25, 0.81), (phase, 0, 1):
        deciles = np.quantile(sample, np.linspace(0, 1, 11))
        np.testing.assert_allclose(deciles, np.linspace(low, high, 11), atol=0.03 * (high - low))


def test_a_whole_disc_is_finite():
    assert np.isfinite(np.log(eigenvalues(Ring(r_min=0.0, r_max=1.0)))).all()


@pytest.mark.parametrize("options", [{"r_min": 0.9, "r_max": 0.9}, {"r_max": 1.1}, {"r_min": -0.1}, {"max_phase": 7.0}])
def test_a_ring_that_is_none_is_refused(options):
    with pytest.raises(ValueError, match=r"allowed: 0 <= r_min < r_max <= 1"):
        Ring(**options)


@pytest.mark.slow
def test_gamma_gives_every_unit_the_same_variance():
    """Of white noise: abs(gamma)^2 sum_k abs(lambda)^2k = 1 for every unit, times the variance of B x."""
    cell = LRUCell(16, 256, ring=Ring(r_min=0.5, r_max=0.99), rngs=nnx.Rngs(0))
    radius = np.exp(-np.exp(np.asarray(cell.nu[...], np.float64)))
    gain = np.exp(2 * np.asarray(cell.log_gamma[...], np.float64)) / (1 - radius**2)
    np.testing.assert_allclose(gain, 1, rtol=1e-4)
    xs = jax.random.normal(jax.random.key(1), (2000, 16))
    carry, _ = jit(functools.partial(unroll, backend="associative"))(cell, xs)
    assert 0.8 < np.mean(np.abs(carry) ** 2) < 1.2


@pytest.mark.slow
def test_keep_biases_of_the_minimal_cells():
    b_f, b_i, b_c = MinLSTMCell(2, 50, forget_bias=Chrono(100), rngs=nnx.Rngs(0)).bias[...]
    assert 0 <= b_f.min() and b_f.max() <= np.log(99) + 1e-6 and len(np.unique(b_f)) == 50
    np.testing.assert_array_equal([b_i, b_c], [-b_f, 0 * b_f])
    np.testing.assert_array_equal(MinLSTMCell(2, 3, rngs=nnx.Rngs(0)).bias[...], [[1] * 3, [0] * 3, [0] * 3])
    np.testing.assert_array_equal(MinGRUCell(2, 3, update_bias=2.0, rngs=nnx.Rngs(0)).bias[...], [[2] * 3, [0] * 3])


@pytest.mark.slow
def test_gates_of_minlstm_sum_to_one_where_both_are_zero_in_float32():
    cell = MinLSTMCell(1, 2, forget_bias=-200.0, bias_init=lambda *_: jnp.full(2, -199.0), rngs=nnx.Rngs(0))
    f, i, _ = cell.gates(None, jnp.zeros(1))
    np.testing.assert_allclose(f, 1 / (1 + np.e), rtol=1e-5)
    np.testing.assert_allclose(f + i, 1, rtol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("kind", LINEAR)
@pytest.mark.parametrize("chunk", [None, 500])
def test_a_long_sequence_in_single_precision_is_that_of_scan(kind, chunk):
    cell = kind(2, 8, rngs=nnx.Rngs(0))
    xs = jax.random.normal(jax.random.key(1), (16_384, 2))

    @functools.partial(jit, static_argnums=2)
    def run(cell: Any, xs: jax.Array, backend: Any) -> Any:
        return jax.value_and_grad(lambda cell: jnp.mean(unroll(cell, xs, backend=backend)[1] ** 2))(cell)

    close(run(cell, xs, Associative(chunk=chunk)), run(cell, xs, Scan()), "long")


@pytest.mark.slow
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_nothing_outlives_a_reset(bad):
    cell, xs = MinGRUCell(2, 3, rngs=nnx.Rngs(0)), jax.random.normal(jax.random.key(0), (9, 2)).at[2].set(bad)
    resets = jnp.arange(9) == 5
    (last, ys), (expected, _) = (unroll(cell, xs, resets=resets, backend=b) for b in ("associative", "scan"))
    assert not np.isfinite(ys[4]).all() and np.isfinite(ys[5:]).all()
    close(last, expected, "float32")


@pytest.mark.slow
def test_matrices_compose_as_maps(x64):
    A, b = (jax.random.normal(jax.random.key(seed), shape) for seed, shape in ((0, (7, 2, 3, 3)), (1, (7, 2, 3))))
    initial, states = jnp.ones((2, 3)), []
    state = initial
    for A_t, b_t in zip(A, b, strict=True):
        state = (A_t @ state[..., None])[..., 0] + b_t
        states.append(state)
    close(solve(A, b, initial), jnp.stack(states))


@pytest.mark.slow
def test_chunks_bound_the_memory_of_a_training_step():
    cell = MinGRUCell(2, 32, rngs=nnx.Rngs(0))

    def last(cell: Any, xs: jax.Array, backend: Any) -> jax.Array:  # no output is stacked
        return jnp.sum(unroll(cell, xs, backend=backend)[0] ** 2)

    def size(backend: Any, steps: int) -> int:
        program = jax.jit(jax.grad(functools.partial(last, backend=backend)))
        return program.lower(cell, jnp.zeros((steps, 2))).compile().memory_analysis().temp_size_in_bytes

    stack = 32 * 4
    one, two = (size(Associative(chunk=256), steps) for steps in (2**14, 2**15))
    assert size(Associative(), 2**14) > 4 * 2**14 * stack
    assert two - one < 2**14 * stack / 8  # the states between chunks, and the inputs


@pytest.mark.slow
def test_other_cells_and_options_are_refused():
    with pytest.raises(ValueError, match=r"got LSTMCell of Structure.DENSE; allowed: Structure.LINEAR.*backend='auto'"):
        unroll(LSTMCell(2, 3, rngs=nnx.Rngs(0)), jnp.zeros((4, 2)), backend="associative")
    for chunk in (0, -1, 2.0, True):
        with pytest.raises(ValueError, match=r"got chunk=.*allowed: an int >= 1 or None"):
            Associative(chunk=chunk)  # type: ignore[arg-type]


@pytest.mark.slow
def test_gradients_flow_back_as_powers_of_the_largest_eigenvalue(x64):
    """The closed form of a diagonal recurrence: sigma_max of the Jacobian over k steps is max abs(lambda)^k."""
    cell = LRUCell(2, 5, param_dtype=jnp.float64, rngs=nnx.Rngs(0))
    xs = jax.random.normal(jax.random.key(0), (12, 2), jnp.float64)
    norms = jit(gradflow.jacobian_norms)(cell, cell.initialize_carry((2,)), xs)
    slope = np.log(np.exp(-np.exp(np.asarray(cell.nu[...]))).max())
    np.testing.assert_allclose(norms, slope * np.arange(12, -1, -1), rtol=1e-10, atol=1e-12)


def test_decays_are_below_one_for_every_parameter():
    cell = DiagonalRNNCell(2, 3, rngs=nnx.Rngs(0))
    cell.nu[...] = jnp.array([-30.0, 0.0, 30.0])
    a, _ = cell.project(jnp.zeros(2))
    assert (a >= 0).all() and (a <= 1).all()
