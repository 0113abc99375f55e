"""Gradient flow: closed forms, brute force, and the promises about zeros, nan, vmap, jit and errors."""

from typing import Any, NamedTuple

import flax.linen
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from jax.flatten_util import ravel_pytree
from jax.nn import relu, sigmoid

from recurrax.gradflow import (
    band,
    by_lag,
    gate_activations,
    jacobian_norms,
    slope,
    state_gradients,
    time_constants,
)

# Nats; the absolute part is for rounding that adds up over 2000 steps.
TOLERANCE: dict[str, Any] = {
    "float32": {"rtol": 1e-6, "atol": 5e-4},
    "float64": {"rtol": 1e-13, "atol": 1e-11},
}
# Nats per step, and ratios.
RATE: dict[str, Any] = {"float32": {"rtol": 1e-5, "atol": 1e-6}, "float64": {"rtol": 1e-11, "atol": 1e-13}}
DIFFERENCES = {"rtol": 1e-7}  # central, of width 1e-5, in float64
LONG = 2000

enable_x64: Any = getattr(jax, "enable_x64", None)
if enable_x64 is None:  # older than its move to the top
    enable_x64 = __import__("jax.experimental", fromlist=["enable_x64"]).enable_x64


@pytest.fixture(params=["float32", "float64"])
def dtype(request):
    with enable_x64(request.param == "float64"):
        yield request.param


@pytest.fixture
def double():
    with enable_x64(True):
        yield "float64"


def normal(*shape: int, dtype: Any = "float32", seed: int = 0) -> jax.Array:
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape), dtype)


def close(actual: Any, expected: Any, tolerance: Any) -> None:
    np.testing.assert_allclose(np.asarray(actual, np.float64), np.asarray(expected, np.float64), **tolerance)


def lagged(log_norms: Any) -> np.ndarray:
    return np.flip(np.asarray(log_norms, np.float64) - np.asarray(log_norms)[..., -1:], -1)


def both(step: Any, carry: Any, xs: Any, loss: Any = None) -> jax.Array:
    return jnp.stack([state_gradients(step, carry, xs, loss), jacobian_norms(step, carry, xs)])


def measure(step: Any, carry: Any, xs: Any, loss: Any = None) -> np.ndarray:
    return np.asarray(jax.jit(lambda carry, xs: both(step, carry, xs, loss))(carry, xs))


def emit(update: Any) -> Any:
    """The step whose output is its state, h' = update(h, x)."""
    return lambda h, x: (lambda h: (h, h))(update(h, x))


# Closed forms


@pytest.mark.slow
def test_scaled_orthogonal_matrix_gives_ln_gamma_per_step(dtype):
    """ln gamma * lag over 2000 steps; the same for tanh at zero input and state, where tanh' = 1."""
    matrix = np.linalg.qr(np.random.default_rng(0).normal(size=(6, 6)))[0].astype(dtype)
    gammas, linear = np.meshgrid(np.array([0.25, 0.9, 1.0, 1.1], dtype), [True, False])

    def one(gamma, linear):
        step = emit(lambda h, x: (lambda a: jnp.where(linear, a, jnp.tanh(a)))(gamma * matrix @ h + x))
        log_norms = both(step, jnp.zeros(6, dtype), jnp.zeros((LONG, 6), dtype))
        return log_norms, slope(log_norms)

    log_norms, slopes = jax.jit(jax.vmap(one))(gammas.ravel(), linear.ravel())
    assert log_norms.shape == (8, 2, LONG + 1) and log_norms.dtype == dtype
    rates = np.log(gammas.astype("float64")).reshape(8, 1) * np.ones(2)
    close(lagged(log_norms), rates[..., None] * np.arange(LONG + 1), TOLERANCE[dtype])
    close(slopes, rates, RATE[dtype])


def scalar(dtype):
    step = emit(lambda h, x: -0.3 * h + x)
    return step, jnp.zeros((), dtype), jnp.zeros(400, dtype), np.log(0.3) * np.arange(401)


def gru(dtype):
    """h' = (1-z) n + z h with z from x alone, equal for all units: the product of the z."""
    xs = normal(300, 3, dtype=dtype)
    step = emit(lambda h, x: (1 - sigmoid(x[0])) * jnp.tanh(x) + sigmoid(x[0]) * h)
    rates = -np.log1p(np.exp(-np.asarray(xs[:, 0], np.float64)))
    return step, jnp.zeros(3, dtype), xs, np.append(0, np.cumsum(rates[::-1]))


def irnn(dtype):
    """ReLU and the identity matrix on positive states keep every gradient."""
    step = emit(lambda h, x: relu(jnp.eye(4, dtype=dtype) @ h + x))
    return step, jnp.ones(4, dtype), jnp.abs(normal(100, 4, dtype=dtype)), np.zeros(101)


def lru(dtype):
    """s' = lambda s + x with |lambda| = .8: a complex state counts as its real and imaginary parts."""
    eigenvalues = jnp.asarray(0.8 * np.exp([0.3j, 1.2j, 2.5j]), jnp.result_type(dtype, "complex64"))
    step = emit(lambda s, x: eigenvalues * s + x)
    real = lambda s, x: (lambda s, y: (s, y.real))(*step(s, x))  # noqa: E731
    return real, jnp.zeros_like(eigenvalues), normal(500, 3, dtype=dtype), np.log(0.8) * np.arange(501)


CASES = [(scalar, "float64"), (irnn, "float32"), *((cell, size) for cell in (gru, lru) for size in TOLERANCE)]


@pytest.mark.parametrize(("setting", "dtype"), CASES, indirect=["dtype"])
def test_closed_forms_without_mixing(setting, dtype):
    step, carry, xs, expected = setting(dtype)
    close(lagged(measure(step, carry, xs)), np.stack([expected, expected]), TOLERANCE[dtype])


def test_lstm_without_recurrent_weights(dtype):
    """s = (c, h), constant f: J_t = [[f, 0], [a_t f, 0]] with a = o tanh'(c). At lag k >= 1 |dL/ds| is
    f^k |1| for L = sum c_T, f^k |a_T| for L = sum h_T, and sigma_max = f^k sqrt(1 + max a_T^2)."""

    def step(carry, x):
        c = sigmoid(jnp.asarray(1, dtype)) * carry[0] + sigmoid(x) * jnp.tanh(x)
        h = sigmoid(x + 0.5) * jnp.tanh(c)
        return (c, h), h

    def run(carry, xs):
        (c, _), _ = jax.lax.scan(step, carry, xs)
        on_c = state_gradients(step, carry, xs, lambda carry, y: jnp.sum(carry[0]))
        return sigmoid(xs[-1] + 0.5) * (1 - jnp.tanh(c) ** 2), on_c, slope(on_c), *both(step, carry, xs)

    a, on_c, rate, on_h, norms = jax.jit(run)((jnp.zeros(4, dtype),) * 2, normal(LONG, 4, dtype=dtype))
    a, ln_f, start = np.asarray(a, np.float64), -np.log1p(np.exp(-1.0)), np.ones(LONG)
    decay = ln_f * np.arange(LONG, -1, -1)
    close(on_c, np.log(2) + decay, TOLERANCE[dtype])
    close(on_h, np.log(np.append(np.linalg.norm(a) * start, 2)) + decay, TOLERANCE[dtype])
    close(norms, np.append(0.5 * np.log1p(np.max(a**2)) * start, 0) + decay, TOLERANCE[dtype])
    close(rate, ln_f, RATE[dtype])


def test_lag_zero_is_the_gradient_in_the_new_state(double):
    """y = h: |dL/dh_T| = |1| for the sum, |2 h_T| for squares, also of a jitted step; y = C h: |C^T 1|."""
    shapes = [(5, 5), (3, 5), (5,), (4, 5)]
    weights, read, h, xs = (normal(*shape, dtype=double, seed=i) for i, shape in enumerate(shapes))
    step = emit(lambda h, x: jnp.tanh(weights @ h + x))
    squares = [lambda carry, y: jnp.sum(y**2), lambda carry, y: jnp.sum(carry**2), lambda carry, y: carry @ y]
    head = lambda h, x: (lambda h, y: (h, read @ y))(*step(h, x))  # noqa: E731
    cases = [(step, None), (jax.jit(step), None), *((step, loss) for loss in squares), (head, None)]
    run = jax.jit(lambda h, xs: [state_gradients(step, h, xs, loss)[-1] for step, loss in cases])
    end = 2 * np.linalg.norm(jax.lax.scan(step, h, xs)[0])
    expected = [5**0.5, 5**0.5, end, end, end, np.linalg.norm(read.sum(0))]
    close(run(h, xs), np.log(expected), TOLERANCE[double])


# Brute force, on a random nonlinear step with a nested carry of 2 + 3 numbers and an output that skips it


def tangled(dtype):
    weights, inputs, read = (normal(*s, dtype=dtype, seed=i) for i, s in enumerate([(5, 5), (5, 2), (4, 5)]))

    def step(carry, x):
        state = jnp.concatenate([carry["a"], carry["b"][0].ravel()])
        moved = jnp.tanh(weights @ state + inputs @ x["x"]) + 0.1 * x["gain"] * state**2
        y = jnp.sin(read @ moved) + jnp.sum(state)
        return {"a": moved[:2], "b": (moved[2:].reshape(3, 1),)}, y

    carry = {"a": normal(2, dtype=dtype, seed=3), "b": (normal(3, 1, dtype=dtype, seed=4),)}
    return step, carry, {"x": normal(12, 2, dtype=dtype, seed=5), "gain": normal(12, dtype=dtype, seed=6)}


def mixed_loss(carry, y):
    return jnp.sum(y**2) + jnp.prod(carry["a"])


def sum_of_outputs(carry, y):
    return jnp.sum(y)


def zero_probe_norms(step, carry, xs, loss):
    """ln |dL/de_t|, t = 0 .. T-1, with a zero probe e_t added to the carry before every step of the scan."""
    vector, unravel = ravel_pytree(carry)

    def objective(probes):
        def probed(carry, point):
            return step(jax.tree.map(jnp.add, carry, unravel(point[1])), point[0])

        final, ys = jax.lax.scan(probed, carry, (xs, probes))
        return loss(final, ys[-1])

    probes = jnp.zeros((jax.tree.leaves(xs)[0].shape[0], vector.size), vector.dtype)
    return jnp.log(jnp.linalg.norm(jax.grad(objective)(probes), axis=1))


@pytest.mark.slow
def test_state_gradients_equal_zero_probes(double):
    step, carry, xs = tangled(double)

    @jax.jit
    def run(carry, xs):
        measured = [state_gradients(step, carry, xs, loss)[:-1] for loss in (mixed_loss, None)]
        return measured, [zero_probe_norms(step, carry, xs, loss) for loss in (mixed_loss, sum_of_outputs)]

    measured, expected = run(carry, xs)
    close(measured, expected, TOLERANCE[double])


def test_both_equal_brute_force(double):
    """Central differences of the loss, and the singular values of the Jacobian of the composed function."""
    step, carry, xs = tangled(double)

    def rest(t, vector, xs):
        later = jax.tree.map(lambda leaf: leaf[t:], xs)
        final, ys = jax.lax.scan(step, ravel_pytree(carry)[1](vector), later)
        return jnp.append(ravel_pytree(final)[0], mixed_loss(final, ys[-1]))

    @jax.jit
    def run(start, middle, xs):
        results = []
        for t, vector in ((0, start), (7, middle)):
            moved = vector + 1e-5 * jnp.concatenate([jnp.eye(5), -jnp.eye(5)])
            losses = jax.vmap(lambda vector, t=t: rest(t, vector, xs)[-1])(moved)
            jacobian = jax.jacfwd(lambda vector, t=t: rest(t, vector, xs)[:-1])(vector)
            results.append((t, losses, jacobian))
        return both(step, carry, xs, mixed_loss), results

    middle, _ = jax.lax.scan(step, carry, jax.tree.map(lambda leaf: leaf[:7], xs))
    (gradients, norms), results = run(ravel_pytree(carry)[0], ravel_pytree(middle)[0], xs)
    for t, losses, jacobian in results:
        close(np.exp(gradients[t]), np.linalg.norm(losses[:5] - losses[5:]) / 2e-5, DIFFERENCES)
        close(norms[t], np.log(np.linalg.svd(jacobian, compute_uv=False)[0]), TOLERANCE[double])
    assert norms[-1] == 0


# Any cell, and jax transforms


def nnx_lstm():
    init = nnx.initializers.normal(0.5)
    cell = nnx.LSTMCell(3, 5, kernel_init=init, recurrent_kernel_init=init, rngs=nnx.Rngs(0))
    return cell, (jnp.zeros(5), jnp.zeros(5))


def linen_gru():
    cell = flax.linen.GRUCell(5)
    parameters = jax.jit(cell.init)(jax.random.key(0), jnp.zeros(5), jnp.zeros(3))
    return lambda carry, x: cell.apply(parameters, carry, x), jnp.zeros(5)


@pytest.mark.slow
@pytest.mark.parametrize("build", [nnx_lstm, linen_gru])
def test_flax_cells(build):
    step, carry = build()
    xs, probes = normal(40, 3), zero_probe_norms
    run = jax.jit(lambda carry: (both(step, carry, xs), probes(step, carry, xs, sum_of_outputs)))
    (gradients, norms), expected = run(carry)
    close(gradients, np.append(expected, 0.5 * np.log(5)), TOLERANCE["float32"])  # y_T is h_T: 1 per unit
    assert np.all(gradients - gradients[-1] <= norms + TOLERANCE["float32"]["atol"])


@pytest.mark.slow
def test_vmap_equals_a_loop_and_the_jacobian_bounds_the_gradient(double):
    """Over examples and over weights that the step closes over."""
    shapes = [(8, 4, 4), (8, 4), (8, 60, 4)]
    arguments = [normal(*shape, dtype=double, seed=i) for i, shape in enumerate(shapes)]
    run = jax.jit(lambda weights, h, xs: both(emit(lambda h, x: jnp.tanh(weights @ h + x)), h, xs))
    gradients, norms = np.moveaxis(np.asarray(jax.vmap(run)(*arguments)), 1, 0)
    loop = np.stack([run(*(argument[i] for argument in arguments)) for i in range(8)], 1)
    close([gradients, norms], loop, TOLERANCE[double])
    assert np.all(gradients - gradients[:, -1:] <= norms + TOLERANCE[double]["atol"])


@pytest.mark.slow
def test_differentiable_in_the_parameters(double):
    """The slope of gamma * identity is ln gamma, with derivative 1/gamma, though all singular values tie."""
    arguments = jnp.zeros(4), jnp.zeros((200, 4))
    slopes = jax.jacrev(lambda gamma: slope(both(emit(lambda h, x: gamma * jnp.eye(4) @ h + x), *arguments)))
    close(jax.jit(slopes)(0.4), [2.5, 2.5], RATE[double])


def test_control_flow_in_the_step_and_low_precision():
    def update(h, x):
        h = jax.lax.cond(jnp.sum(x) > 1e6, lambda h: 0 * h, lambda h: h, h + x)
        return jax.lax.scan(lambda h, _: (h / 2, None), h, None, length=2)[0]

    log_norms = measure(emit(update), jnp.zeros(3, jnp.bfloat16), jnp.zeros((LONG, 3), jnp.bfloat16))
    assert log_norms.dtype == np.float32
    close(lagged(log_norms), np.log(0.25) * np.arange(LONG + 1) * np.ones((2, 1)), TOLERANCE["float32"])


# Zeros and nan


def test_a_gradient_that_is_exactly_zero_is_minus_infinity():
    """A ReLU that is dead at step 6 of 10 cuts the past off; derivatives of what is left are free of nan."""
    h, xs = jnp.ones(3), jnp.ones((10, 3)).at[5].set(-1e3)
    run = lambda scale: both(emit(lambda h, x: relu(scale * h + x)), h, xs)  # noqa: E731
    log_norms, derivative = jax.jit(lambda scale: (run(scale), jax.jacfwd(run)(scale)))(0.5)
    assert np.all(np.isneginf(log_norms[:, :6])) and np.all(np.isfinite(log_norms[:, 6:]))
    close(derivative, np.array([0] * 6 + [8, 6, 4, 2, 0]) * np.ones((2, 1)), RATE["float32"])


@pytest.mark.slow
def test_an_output_that_does_not_read_the_new_state():
    """y = x: zero throughout. y = 3 h_{T-1} adds nothing at T and enters one step before. Not jitted."""
    nowhere = state_gradients(lambda h, x: (0.5 * h, x), jnp.ones(4), jnp.ones((5, 4)))
    assert np.all(np.isneginf(nowhere)) and np.all(np.isnan(by_lag(nowhere)))
    old = state_gradients(lambda h, x: (0.5 * h + x, 3 * h), jnp.ones(4), jnp.ones((5, 4)))
    close(old, np.append(np.log(6) + np.log(0.5) * np.arange(4, -1, -1), -np.inf), TOLERANCE["float32"])


def test_a_diverged_state_is_never_reported_as_zero():
    log_norms = measure(emit(lambda h, x: h**2), jnp.full(2, 10.0), jnp.zeros((20, 1)))
    assert not np.any(np.isneginf(log_norms)) and not np.any(np.isfinite(log_norms[:, :-1]))


# Profiles

fit = jax.jit(slope, static_argnums=(1, 2))


def test_slope_of_lines_over_the_default_and_a_given_range(double):
    """Any leading axes; the default is the middle half of the lags, both ends included."""
    slopes, lags = np.array([[-0.7, 0.0], [-1.4, 2.0]]), np.arange(100, -1, -1)
    bent = np.where((lags >= 25) & (lags <= 75), slopes[..., None] * lags, 1e3)
    close(fit(bent), slopes, RATE[double])
    assert all(np.all(np.abs(fit(bent, *ends) - slopes) > 0.1) for ends in ((24, 75), (25, 76)))
    noise = np.random.default_rng(0).normal(size=31)
    close(fit(noise, 3, 20), np.polyfit(np.arange(3, 21), noise[::-1][3:21], 1)[0], RATE[double])
    close(fit(np.array([2, 4, 9])), -3.5, RATE[double])


def test_slope_leaves_out_minus_infinity():
    lags = np.arange(8, -1, -1)
    dead, gone = (np.where(lags > limit, -np.inf, -2.0 * lags) for limit in (4, 0))
    broken = np.where(lags == 3, np.nan, dead)
    close(fit(np.stack([-2.0 * lags, dead, gone, broken]), 0, 8), [-2, -2, -np.inf, np.nan], RATE["float32"])
    close(fit(np.stack([dead, broken]), 3, 8), [-2, np.nan], RATE["float32"])
    close(fit(dead, 4, 8), -np.inf, RATE["float32"])
    assert np.isfinite(jax.jit(jax.grad(lambda values: slope(values, 0, 8)))(dead)).all()


def test_by_lag_and_band(double):
    log_norms = np.array([[1.0, 3.0, 7.0], [-np.inf, 0.0, 2.0]])
    np.testing.assert_array_equal(by_lag(log_norms), [[0, -4, -6], [0, -2, -np.inf]])
    curves = np.arange(11.0)[:, None] * np.array([1, -2])
    close(band(curves), [[5, -10], [1, -18], [9, -2]], TOLERANCE[double])
    close(band(curves, 25, 75).low, [2.5, -15], TOLERANCE[double])
    dead = np.array([[-np.inf] * 3, [-np.inf, 1, np.nan], [-np.inf, 3, 1]])
    expected = [[-np.inf, 1, np.nan], [-np.inf, -np.inf, np.nan], [-np.inf, 3, np.nan]]
    close(band(dead, 0, 100), expected, TOLERANCE[double])


# Gates


class Gates(NamedTuple):
    keep: jax.Array
    write: jax.Array


class Gated:
    def gates(self, carry: jax.Array, x: jax.Array) -> Any:
        return Gates(sigmoid(carry + x), sigmoid(x))

    def __call__(self, carry: jax.Array, x: jax.Array) -> tuple[jax.Array, jax.Array]:
        carry = sigmoid(carry + x) * carry + sigmoid(x)
        return carry, carry


class Unnamed(Gated):
    def gates(self, carry: jax.Array, x: jax.Array) -> Any:
        return carry, x


def test_gate_activations_belong_to_the_carry_before_the_step():
    cell, carries, xs = Gated(), normal(2, 3), normal(2, 6, 3, seed=1)
    activations = jax.jit(jax.vmap(lambda carry, xs: gate_activations(cell, carry, xs)))(carries, xs)
    assert list(activations) == ["keep", "write"]
    for t in range(6):
        expected = cell.gates(carries, xs[:, t])
        carries, _ = cell(carries, xs[:, t])
        close([activations["keep"][:, t], activations["write"][:, t]], expected, RATE["float32"])


def test_time_constants(dtype):
    """-1/ln f and not 1/(1-f): bias 0 1.44 (2), 1 3.19 (3.72), 5 148.9 (149.4). Geometric: .1 and .4 in turn
    decay by .04 in two steps. The limits f = 1 and f = 0 are inf and 0."""
    biases = np.array([0.0, 1.0, 5.0])
    tau = time_constants(jnp.broadcast_to(sigmoid(jnp.asarray(biases, dtype)), (50, 2, 3)))
    close(tau[0], [1.44, 3.19, 148.9], {"rtol": 2e-3})
    close(tau, np.tile(1 / np.log1p(np.exp(-biases)), (2, 1)), RATE[dtype])
    keep = jnp.asarray([[0.1, 1.0, 0.0, 1.0], [0.4, 1.0, 1.0, 0.5]], dtype)
    close(time_constants(keep), [-2 / np.log(0.04), np.inf, 0, 2 / np.log(2)], RATE[dtype])


# Errors


def hold(carry, x):
    return carry, x


H, XS, LINE = np.ones(2, "float32"), np.ones((3, 2), "float32"), np.arange(11.0)
ARGUMENTS = [
    (
        hold,
        {"h": H, "n": np.int32(0)},
        XS,
        TypeError,
        r"carry\['n'\]: int32.*floating or complex.*Keep counters",
    ),
    (hold, (), XS, ValueError, "holds no numbers"),
    (hold, H[:0], XS, ValueError, "holds no numbers"),
    (hold, H, XS[:0], ValueError, "T = 0 steps.*needs T >= 1"),
    (hold, H, None, ValueError, r"\[T, \.\.\.\].*xs of shape \[T, 0\]"),
    (hold, H, (XS, XS[:2]), ValueError, "one common T"),
    (lambda h, x: ((h, h), x), H, XS, TypeError, "changes the carry"),
    (lambda h, x: (h[:1], x), H, XS, TypeError, "changes the carry"),
    (lambda h, x: (h.astype(jnp.bfloat16), x), H, XS, TypeError, "changes the carry.*bfloat16"),
    (lambda h, x: h, H, XS, TypeError, r"must return a pair \(carry, y\)"),
]
CALLS = [
    (lambda: state_gradients(hold, H, XS, lambda carry, y: y), ValueError, r"loss returned float32\[2\]"),
    (
        lambda: state_gradients(hold, H, XS, lambda carry, y: jnp.int32(1)),
        ValueError,
        r"loss returned int32\[\]",
    ),
    (lambda: state_gradients(lambda h, x: (h, 1), H, XS), ValueError, "default loss.*int32.*Pass loss"),
    (lambda: slope(LINE, 5, 5), ValueError, "first=5, last=5 must satisfy .* <= T = 10"),
    (lambda: slope(LINE, -1, 5), ValueError, "first=-1"),
    (lambda: slope(LINE, 2, 11), ValueError, "last=11"),
    (lambda: slope(LINE[:1]), ValueError, "T = 0"),
    (lambda: slope(LINE[0]), ValueError, r"shape \(\); it must be \[\.\.\., T\+1\]"),
    (lambda: by_lag(LINE[:0]), ValueError, r"shape \(0,\)"),
    (lambda: band(LINE), ValueError, r"shape \(11,\).*plot the curve itself"),
    (lambda: band(LINE[None], 60, 90), ValueError, "low=60, high=90 must satisfy"),
    (lambda: band(LINE[None], 10, 101), ValueError, "high=101"),
    (
        lambda: gate_activations(hold, H, XS),
        TypeError,
        r"function has no method gates\(carry, x\).*NamedTuple",
    ),
    (lambda: gate_activations(Unnamed(), H, XS), TypeError, "Unnamed.gates returned tuple; .* NamedTuple"),
    (lambda: gate_activations(Gated(), H, XS[:0]), ValueError, "T = 0"),
    (lambda: time_constants(LINE[:0]), ValueError, "T = 0"),
]


@pytest.mark.parametrize("diagnostic", [state_gradients, jacobian_norms])
@pytest.mark.parametrize(("step", "carry", "xs", "error", "message"), ARGUMENTS)
def test_errors_of_step_carry_and_inputs(diagnostic, step, carry, xs, error, message):
    with pytest.raises(error, match=message):
        diagnostic(step, carry, xs)


@pytest.mark.parametrize(("call", "error", "message"), CALLS)
def test_errors_of_losses_profiles_and_gates(call, error, message):
    with pytest.raises(error, match=message):
        jax.eval_shape(call)
