"""Singular values, Lyapunov exponents, sensitivity, capacity, fixed points: closed forms and brute force."""

from typing import Any

import flax.linen
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import recurrax as rx
from recurrax import gradflow

pytestmark = pytest.mark.usefixtures("quick")

# Nats, and nats per step; float32 loses digits over hundreds of factors.
LOGS: dict[str, Any] = {"float32": {"rtol": 1e-5, "atol": 2e-3}, "float64": {"rtol": 1e-12, "atol": 1e-10}}
RATES: dict[str, Any] = {"float32": {"rtol": 0, "atol": 1e-5}, "float64": {"rtol": 0, "atol": 1e-12}}
T = 500


@pytest.fixture(params=["float32", pytest.param("float64", marks=pytest.mark.slow)])
def dtype(request):
    if request.param == "float64":
        request.getfixturevalue("x64")
    return request.param


def close(actual, expected, tolerance):
    np.testing.assert_allclose(np.asarray(actual), np.asarray(expected), **tolerance)


def linear(W):
    """s' = W s, y = s'."""

    def step(s, x):
        s = W @ s
        return s, s

    return step


def orthogonal(n, dtype, seed=0):
    return jnp.linalg.qr(jax.random.normal(jax.random.key(seed), (n, n), dtype))[0]


def silent(steps, dtype="float32"):
    return jnp.zeros((steps, 1), dtype)


@pytest.mark.slow
def test_scaled_orthogonal_matrix(dtype):
    """W = gamma Q: every singular value gamma^lag, every exponent ln gamma."""
    gamma, n = 0.9, 6
    step, carry, xs = linear(gamma * orthogonal(n, dtype)), jnp.ones(n, dtype), silent(T, dtype)
    lags = np.arange(T, -1, -1)
    for curve in gradflow.jacobian_spectrum(step, carry, xs):
        close(curve, lags * np.log(gamma), LOGS[dtype])
    close(gradflow.lyapunov_spectrum(step, carry, xs).exponents, np.full(n, np.log(gamma)), RATES[dtype])


@pytest.mark.slow
def test_values_of_very_different_size(dtype):
    """W = diag(0.99, 0.5, 0.1): after 500 steps they differ by 1e497, and each is right."""
    sizes = np.array([0.99, 0.5, 0.1])
    step, carry, xs = linear(jnp.diag(jnp.asarray(sizes, dtype))), jnp.ones(3, dtype), silent(T, dtype)
    largest, mean, smallest = gradflow.jacobian_spectrum(step, carry, xs)
    lags = np.arange(T, -1, -1)
    close(largest, lags * np.log(0.99), LOGS[dtype])
    close(mean, lags * np.log(sizes).mean(), LOGS[dtype])
    close(smallest, lags * np.log(0.1), LOGS[dtype])
    found = gradflow.lyapunov_spectrum(step, carry, xs, warmup=100).exponents
    close(found, np.log(sizes), RATES[dtype])


def gru(dtype, seed=0):
    return rx.GRUCell(2, 5, param_dtype=dtype, rngs=nnx.Rngs(seed))


def normal(*shape, dtype="float32", seed=1):
    return jax.random.normal(jax.random.key(seed), shape, dtype)


def test_spectrum_by_brute_force(x64):
    """The singular values of the explicit product of explicit Jacobians, in float64."""
    cell = rx.cells.RNNCell(2, 4, param_dtype="float64", rngs=nnx.Rngs(0))
    carry, xs = jax.tree.map(lambda a: a + 0.1, cell.initialize_carry((2,))), normal(12, 2, dtype="float64")
    J = np.asarray(gradflow.jacobians(cell, carry, xs))
    largest, mean, smallest = gradflow.jacobian_spectrum(cell, carry, xs)
    product = np.eye(J.shape[1])
    for t in range(12, -1, -1):
        sigma = np.linalg.svd(product, compute_uv=False)
        np.testing.assert_allclose(largest[t], np.log(sigma[0]), rtol=1e-9, atol=1e-9)
        if sigma[-1] > 1e-6 * sigma[0]:  # beyond that the explicit product itself has lost the small ones
            expected = np.log(sigma).mean(), np.log(sigma[-1])
            np.testing.assert_allclose((mean[t], smallest[t]), expected, rtol=1e-8, atol=1e-8)
        product = product @ J[t - 1] if t else product


@pytest.mark.slow
def test_a_singular_jacobian_is_minus_infinity():
    """diag(0.9, 0): one direction dies in the first step."""
    largest, mean, smallest = gradflow.jacobian_spectrum(
        linear(jnp.diag(jnp.array([0.9, 0.0]))), jnp.ones(2), silent(T)
    )
    assert np.isfinite(largest).all()
    assert (mean[:-1] == -np.inf).all() and (smallest[:-1] == -np.inf).all() and mean[-1] == smallest[-1] == 0


@pytest.mark.slow
def test_lyapunov_sum_rule(x64, every=5):
    """The exponents add up to the mean of ln |det J_t|, found from explicit Jacobians."""
    cell, xs = gru("float64"), normal(100, 2, dtype="float64")
    found = gradflow.lyapunov_spectrum(cell, cell.initialize_carry((2,)), xs, every=every)
    determinants = np.linalg.slogdet(np.asarray(gradflow.jacobians(cell, cell.initialize_carry((2,)), xs)))[1]
    np.testing.assert_allclose(found.exponents.sum(), determinants.mean(), rtol=1e-10)
    assert (np.diff(found.exponents) < 0.05).all() and found.windows.shape == (100 // every, 5)


@pytest.mark.slow
def test_first_exponents_alone_and_warmup(x64):
    cell, xs = gru("float64"), normal(300, 2, dtype="float64")
    carry = cell.initialize_carry((2,))
    every = gradflow.lyapunov_spectrum(cell, carry, xs)
    two = gradflow.lyapunov_spectrum(cell, carry, xs, k=2)
    close(two.exponents, every.exponents[:2], RATES["float64"])
    late = gradflow.lyapunov_spectrum(cell, carry, xs, warmup=100)
    close(late.windows, every.windows[100:], RATES["float64"])
    close(late.exponents, every.windows[100:].mean(0), RATES["float64"])


@pytest.mark.slow
def test_the_slope_of_the_gradient_is_the_first_exponent(x64):
    """At long lags, for the same trajectory."""
    cell, xs = gru("float64"), normal(2000, 2, dtype="float64")
    carry = cell.initialize_carry((2,))
    exponent = gradflow.lyapunov_spectrum(cell, carry, xs, k=1, warmup=100).exponents[0]
    slope = gradflow.slope(gradflow.state_gradients(cell, carry, xs), 100, 1900)
    np.testing.assert_allclose(slope, exponent, rtol=0.02)


@pytest.mark.slow
def test_complex_diagonal_cell(dtype):
    """An LRU's exponents are ln |lambda_i|, each twice: a complex number is two real ones."""
    kind = "complex128" if dtype == "float64" else "complex64"
    values = jnp.asarray([0.9 * np.exp(0.3j), 0.7 * np.exp(2j)], kind)

    def step(s, x):
        s = values * s
        return s, s.real

    found = gradflow.lyapunov_spectrum(step, jnp.ones(2, kind), silent(T, dtype), warmup=200).exponents
    close(found, np.log([0.9, 0.9, 0.7, 0.7]), RATES[dtype])
    eigen = np.abs(gradflow.eigenvalues(step, jnp.ones(2, kind), silent(3, dtype)))
    close(eigen, np.tile([0.9, 0.9, 0.7, 0.7], (3, 1)), {"rtol": 1e-5, "atol": 0})


@pytest.mark.slow
def test_random_matrix_tends_to_ln_g():
    """W_ij ~ N(0, g^2 / n), linear: lambda_1 is near ln g for large n (Ginibre)."""
    n, g = 300, 0.8
    found = gradflow.lyapunov_spectrum(linear(g / np.sqrt(n) * normal(n, n)), jnp.ones(n), silent(300), k=1, warmup=50)
    np.testing.assert_allclose(found.exponents[0], np.log(g), atol=0.06)


@pytest.mark.slow
def test_bootstrap_is_the_standard_error():
    draws = 3 * normal(400, 2)
    found = gradflow.bootstrap(jax.random.key(0), draws, samples=2000)
    close(found, draws.std(axis=0) / 20, {"rtol": 0.1})


@pytest.mark.slow
def test_scalar_sensitivity_and_horizon(dtype):
    """h' = a h + x: s(k) = a^k and H_eps = floor(ln eps / ln a)."""
    rates = [0.5, 0.9, 0.99]

    def measure(a):
        def step(h, x):
            h = a * h + x
            return h, h

        return gradflow.input_sensitivity(step, jnp.zeros(1, dtype), silent(1000, dtype))

    for a, log_s in zip(rates, jax.vmap(measure)(jnp.asarray(rates, dtype)), strict=True):
        close(log_s, np.arange(999, -1, -1) * np.log(a), LOGS[dtype])
        for eps in (1e-1, 1e-2):
            assert gradflow.memory_horizon(log_s, eps) == int(np.floor(np.log(eps) / np.log(a)))


@pytest.mark.slow
def test_sensitivity_by_brute_force(x64):
    cell = rx.LSTMCell(2, 4, param_dtype="float64", rngs=nnx.Rngs(0))
    carry, xs = cell.initialize_carry((2,)), normal(9, 2, dtype="float64")
    J = jax.jacrev(lambda xs: jax.lax.scan(cell, carry, xs)[1][-1])(xs)  # [H, T, D]
    expected = np.log(np.sqrt((np.asarray(J) ** 2).sum((0, 2))))
    close(gradflow.input_sensitivity(cell, carry, xs), expected, LOGS["float64"])


@pytest.mark.slow
def test_sensitivity_of_an_output_that_reads_only_the_input():
    log_s = gradflow.input_sensitivity(lambda s, x: (0.5 * s, 3 * x), jnp.ones(2), silent(5))
    close(log_s, [-np.inf] * 4 + [np.log(3)], {"rtol": 1e-6})
    assert gradflow.memory_horizon(log_s) == 0
    assert gradflow.memory_horizon(jnp.full(5, -jnp.inf)) == -1


@pytest.mark.slow
def test_a_shift_register_has_the_capacity_of_its_length():
    """n delays recall n inputs, and none before: MC = n, Jaeger's bound."""
    n = 6

    def register(s, x):
        s = jnp.concatenate([x, s[:-1]])
        return s, s

    recalled = gradflow.memory_capacity(register, jnp.zeros(n), jax.random.uniform(jax.random.key(0), 4000), 12)
    close(recalled[:n], np.ones(n), {"atol": 1e-4})
    close(recalled[n:], np.zeros(13 - n), {"atol": 5e-3})
    close(recalled.sum(), n, {"rtol": 0, "atol": 2e-2})


@pytest.mark.slow
def test_capacity_of_a_leaky_unit():
    """s' = a s + u: corr^2(u_{t-k}, s_t) = (1 - a^2) a^{2k}, for independent u."""
    a = 0.8

    def leaky(s, x):
        s = a * s + x
        return s, s

    us = jax.random.uniform(jax.random.key(0), 40_000, minval=-1)
    recalled = gradflow.memory_capacity(leaky, jnp.zeros(1), us, 5)
    close(recalled, (1 - a**2) * a ** (2 * np.arange(6)), {"rtol": 0, "atol": 0.02})


def test_fixed_points_of_two_bistable_units(x64):
    """s' = tanh(2 s) for each: 0 (unstable, 2) and +-s* (stable, 2 (1 - s*^2)), so nine of them, four stable."""

    def step(s, x):
        s = jnp.tanh(2 * s)
        return s, s

    starts = jax.random.uniform(jax.random.key(0), (200, 2), "float64", -1.5, 1.5)
    found = gradflow.fixed_points(step, starts, jnp.zeros(0), jax.random.key(1), noise=0.3)
    star = 0.957504
    assert len(found.states) == 9 and found.found.sum() <= found.searches == 200 and found.stable.sum() == 4
    np.testing.assert_allclose(np.sort(np.unique(np.round(np.abs(found.states), 4))), [0, np.round(star, 4)], atol=1e-4)
    for state, values in zip(found.states, found.eigenvalues, strict=True):
        expected = np.sort(2 * (1 - np.tanh(2 * state) ** 2))[::-1]
        np.testing.assert_allclose(np.abs(values), expected, atol=1e-6)
    np.testing.assert_allclose(found.time_constants, 1 / np.abs(np.log(np.abs(found.eigenvalues))))


@pytest.mark.slow
def test_fixed_points_of_an_lstm_and_of_a_cell_without_any():
    cell = rx.LSTMCell(1, 2, rngs=nnx.Rngs(0))
    starts = jax.tree.map(lambda a: jnp.zeros((5, *a.shape)), cell.initialize_carry((1,)))
    found = gradflow.fixed_points(cell, starts, jnp.zeros(1), jax.random.key(0))
    assert found.found.sum() == 5 and found.states.shape[1] == 4 and found.stable.all()
    none = gradflow.fixed_points(lambda s, x: (s + 1, s), jnp.zeros((2, 2)), jnp.zeros(0), jax.random.key(0))
    assert none.states.shape == (0, 2) and none.eigenvalues.shape == (0, 2) and none.searches == 2


def test_saturation_counts_steps():
    f = jnp.asarray([[0.05, 0.5], [0.95, 0.5], [0.99, 0.09], [0.5, 0.91]])
    closed, opened = gradflow.saturation(f)
    close(closed, [0.25, 0.25], {})
    close(opened, [0.5, 0.25], {})


def linen_gru():
    module, carry = flax.linen.GRUCell(3), jnp.zeros(3)
    return rx.Foreign.linen(module, module.init(jax.random.key(0), carry, jnp.zeros(2))), carry


@pytest.mark.slow
def test_flax_cells_and_transforms():
    """Every function takes a foreign cell, jitted and vmapped over examples, and gives what it gives for one."""
    cell, carry = linen_gru()
    xs = normal(2, 12, 2)

    def every(x):
        return (
            gradflow.jacobian_spectrum(cell, carry, x),
            gradflow.lyapunov_spectrum(cell, carry, x, k=2).exponents,
            gradflow.input_sensitivity(cell, carry, x),
            gradflow.jacobians(cell, carry, x),
            gradflow.memory_capacity(lambda s, u: cell(s, jnp.concatenate([u, u])), carry, x[:, 0], 1, warmup=2),
        )

    together, alone = jax.jit(jax.vmap(every))(xs), jax.jit(every)(xs[1])
    for many, one in zip(jax.tree.leaves(together), jax.tree.leaves(alone), strict=True):
        assert not np.isnan(one).any()
        np.testing.assert_allclose(many[1], one, rtol=1e-3, atol=1e-3)


STEP = linear(jnp.eye(2))
ERRORS = {
    "k=3; allowed: 1 to n = 2": lambda: gradflow.lyapunov_spectrum(STEP, jnp.ones(2), silent(5), k=3),
    "every=6; allowed: 1 to T = 5": lambda: gradflow.lyapunov_spectrum(STEP, jnp.ones(2), silent(5), every=6),
    "warmup=5; allowed: 0 or more": lambda: gradflow.lyapunov_spectrum(STEP, jnp.ones(2), silent(5), warmup=5),
    "W >= 2": lambda: gradflow.bootstrap(jax.random.key(0), jnp.zeros((1, 3))),
    "eps=0; allowed: above 0": lambda: gradflow.memory_horizon(jnp.zeros(3), 0),
    r"it must be \[..., T\]": lambda: gradflow.memory_horizon(jnp.zeros(())),
    "max_lag=-1; allowed": lambda: gradflow.memory_capacity(STEP, jnp.ones(2), jnp.zeros(50), -1),
    "T=50 steps leave 0": lambda: gradflow.memory_capacity(STEP, jnp.ones(2), jnp.zeros(50), 3, warmup=50),
    r"us has shape \(5, 2\)": lambda: gradflow.memory_capacity(STEP, jnp.ones(2), jnp.zeros((5, 2)), 3),
    "noise=-1": lambda: gradflow.fixed_points(STEP, jnp.ones((1, 2)), jnp.zeros(0), jax.random.key(0), noise=-1),
    "one common N": lambda: gradflow.fixed_points(STEP, jnp.ones(()), jnp.zeros(0), jax.random.key(0)),
    "low=0.9, high=0.1": lambda: gradflow.saturation(jnp.zeros((3, 2)), 0.9, 0.1),
}


@pytest.mark.parametrize("words", ERRORS)
def test_errors_name_the_value(words):
    with pytest.raises(ValueError, match=words):
        ERRORS[words]()


def test_integer_inputs_have_no_derivative():
    with pytest.raises(TypeError, match=r"xs has leaves of .*int32.*Embed tokens first"):
        gradflow.input_sensitivity(lambda s, x: (s, s), jnp.ones(2), jnp.zeros(5, "int32"))
