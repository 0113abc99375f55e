"""Matrix states where they are hard: equal keys, decays of 0 and 1, gains of e^100, any length; and their gradients."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from reference import jit
from tolerances import close

from recurrax import Chunkwise, Scan, cells, gradflow, unroll
from recurrax.cells import Write
from recurrax.engines.chunkwise import inverse

N, K, V = 2, 4, 3
LENGTH, CHUNK = 11, 4  # no multiple of it


class Given(cells.MatrixCell):
    """A cell whose inputs are what it writes and reads, so that a test says what happens at every step."""

    key_features, value_features, heads = K, V, N

    def __init__(self, channels: int = 1, rate: bool = False, gain: bool = False):
        self.channels, self.rate, self.has_gain = channels, rate, gain
        self.in_features = N * (channels + 2 * K + V + rate + gain)
        self.scale = nnx.Param(jnp.ones((), jnp.float64))

    def project(self, x: jax.Array) -> Write:
        x = self.in_heads(x) * self.scale[...]
        ends = self.channels, self.channels + K, self.channels + K + V
        g, k, v, rest = jnp.split(x[..., :-K], ends, -1)
        last = rest[..., 0] if self.rate or self.has_gain else None
        return Write(g, k, v, last if self.rate else None, last if self.has_gain else None)

    def query(self, x: jax.Array) -> jax.Array:
        return self.in_heads(x)[..., -K:]

    def output(self, read: jax.Array, m: jax.Array | None, x: jax.Array) -> jax.Array:
        return super().output(read if m is None else read * jnp.exp(jnp.minimum(m, 0))[..., None], m, x)


def steps(log_decay: Any, key: Any, last: Any = None) -> jax.Array:
    """Inputs ``[T, B, D]`` with these decays, keys, and rates or gains; values and queries are drawn."""
    rng = np.random.default_rng(0)
    sizes = [np.shape(log_decay)[-1], K, V, *([] if last is None else [1]), K]
    drawn = [rng.normal(size=(LENGTH, 2, N, size)) for size in sizes]
    drawn[0] = np.broadcast_to(log_decay, (LENGTH, 2, N, sizes[0]))
    lengths = np.linalg.norm(drawn[1], axis=-1, keepdims=True)
    drawn[1] = drawn[1] / lengths if key is None else np.broadcast_to(key, drawn[1].shape)
    if last is not None:
        drawn[3] = np.broadcast_to(np.reshape(last, (-1, 1, 1, 1)), drawn[3].shape)
    return jnp.asarray(np.concatenate(drawn, axis=-1).reshape(LENGTH, 2, -1))


EQUAL = np.ones(K) / 2  # of length 1
HARD: dict[str, tuple[dict[str, Any], Any]] = {
    "equal keys, rate 1": ({"rate": True}, lambda: steps([0.0], EQUAL, 1.0)),
    "equal keys, rate 2": ({"rate": True}, lambda: steps([0.0], EQUAL, 2.0)),
    "decay 0": ({"rate": True}, lambda: steps([-np.inf], None, 0.5)),
    "decay 1": ({"rate": True}, lambda: steps([0.0], None, 0.5)),
    "decays that underflow": ({"rate": True}, lambda: steps([-300.0], None, 0.5)),
    "channels of decay 0 and 1": ({"channels": K}, lambda: steps([0.0, -np.inf, -300.0, -0.1], None)),
    "gains of e^100": ({"gain": True}, lambda: steps([-0.1], None, np.linspace(-100, 100, LENGTH))),
    "gains of e^-100": ({"gain": True}, lambda: steps([-0.1], None, np.linspace(100, -100, LENGTH))),
    "gain and decay 0": ({"gain": True}, lambda: steps([-300.0], None, 0.0)),
}


@pytest.mark.parametrize("name", HARD)
def test_hard_cases_are_those_of_a_loop(name, x64):
    options, inputs = HARD[name]
    cell, xs = Given(**options), inputs()
    mask = np.ones(xs.shape[:2], bool)
    mask[3, 0] = mask[8:, 1] = False
    resets = np.zeros_like(mask)
    resets[5, 0] = resets[4, 1] = True

    def run(engine: Any, xs: jax.Array) -> Any:
        carry, ys = unroll(cell, xs, mask=mask, resets=resets, backend=engine)
        return jnp.sin(ys).sum() + sum(jnp.sin(leaf).sum() for leaf in jax.tree.leaves(carry)), (carry, ys)

    runs = [jit(jax.value_and_grad(functools.partial(run, e), has_aux=True)) for e in (Chunkwise(chunk=CHUNK), Scan())]
    (actual, expected) = (one(xs) for one in runs)
    assert np.isfinite(np.asarray(actual[0][1][1])).all()
    finite = np.isfinite(np.asarray(xs))  # there is no slope at a decay of exactly 0
    close(actual[0], expected[0])
    np.testing.assert_array_equal(np.isfinite(np.asarray(actual[1]))[finite], True)
    np.testing.assert_allclose(np.asarray(actual[1])[finite], np.asarray(expected[1])[finite], rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("T", [1, 2, 63, 64, 65, 130])
@pytest.mark.parametrize("cell", [cells.MLSTMCell, cells.GatedDeltaNetCell, cells.GLACell])
def test_any_number_of_steps(cell, T, x64):
    one = cell(3, 8, heads=2, param_dtype=jnp.float64, rngs=nnx.Rngs(0))
    xs = jax.random.normal(jax.random.key(1), (T, 2, 3), jnp.float64)
    close(*(jit(functools.partial(unroll, backend=engine))(one, xs) for engine in (Chunkwise(), Scan())))


def test_the_inverse_of_equal_keys_is_exact_in_float32():
    """Where every key is the same and the rate is 1, powers of the system hold binomials of 64, which cancel."""
    ones = jnp.tril(jnp.ones((64, 64)), -1)
    expected = np.eye(64) - np.eye(64, k=-1)
    np.testing.assert_array_equal(inverse(ones), expected)


@pytest.mark.parametrize(
    "cell", [cells.MLSTMCell, cells.GatedDeltaNetCell, cells.GLACell, cells.S5Cell, cells.MambaCell]
)
def test_gradient_flow_sees_matrices_and_complex_numbers(cell, x64):
    """Against the Jacobian that JAX takes of all steps at once."""
    T, one = 5, cell(3, 4, param_dtype=jnp.float64, rngs=nnx.Rngs(0))
    xs = jax.random.normal(jax.random.key(1), (T, 3), jnp.float64)
    carry = jax.tree.map(lambda leaf: leaf + 0.1, one.initialize_carry((3,)))
    norms = gradflow.state_gradients(one, carry, xs)

    def last(carry: Any, first: int) -> jax.Array:
        return unroll(one, xs[first:], carry, backend="scan")[1][-1].sum()

    expected = []
    for first in range(T):
        gradient = jax.grad(last)(carry, first)
        expected.append(0.5 * np.log(sum(float((jnp.abs(leaf) ** 2).sum()) for leaf in jax.tree.leaves(gradient))))
        carry, _ = one(carry, xs[first])
    np.testing.assert_allclose(norms[:T], expected, rtol=1e-9)


@pytest.mark.parametrize("cell", [cells.MLSTMCell, cells.DeltaNetCell, cells.S5Cell])
def test_spectrum_and_singular_values_of_matrix_and_complex_states(cell, x64):
    one = cell(2, 2, param_dtype=jnp.float64, rngs=nnx.Rngs(0))
    xs = jax.random.normal(jax.random.key(1), (30, 2), jnp.float64)
    carry = one.initialize_carry((2,))
    exponents = np.asarray(gradflow.lyapunov_spectrum(one, carry, xs, k=4, warmup=5).exponents)
    assert np.isfinite(exponents).all()
    if isinstance(one, cells.S5Cell):  # all exponents of a state add up to how its volume shrinks
        rates = -np.exp(np.asarray(one.rho[...] + one.log_step[...]))
        np.testing.assert_allclose(exponents.sum(), 2 * rates.sum(), rtol=1e-9)  # a complex number is two real ones
    largest = gradflow.jacobian_norms(one, carry, xs)
    gradients = gradflow.state_gradients(one, carry, xs)
    assert (np.asarray(gradients - gradients[-1]) <= np.asarray(largest) + 1e-9).all()
