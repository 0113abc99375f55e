"""What cells start from: each gate by itself, biases that keep, and ensembles of independent draws."""

import functools
import inspect

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from reference import jit, pick
from tolerances import TOLERANCE, close

from recurrax import GRUCell, LSTMCell, cells, initializers
from recurrax.initializers import Chrono


def starts_orthogonal(cell):
    """Whether the default of its recurrent kernels is an orthogonal matrix for each gate."""
    init = inspect.signature(cell).parameters.get("recurrent_kernel_init")
    return init is not None and "orthogonal" in getattr(init.default, "__qualname__", "")


ORTHOGONAL = [cell for cell in cells.ALL if starts_orthogonal(cell)]
MANY = 400  # units, so that statistics are sharp


def built(cell, *sizes, **options):
    return jit(lambda: cell(*sizes, **options, rngs=nnx.Rngs(0)))()


wide = functools.partial(built, recurrent_kernel_init=initializers.zeros)  # an orthogonal one takes long


def singular_values(kernel):
    return np.linalg.svd(np.asarray(kernel, np.float64), compute_uv=False)


@pytest.mark.parametrize("cell", ORTHOGONAL)
def test_recurrent_kernels_are_orthogonal_for_each_gate(cell):
    one = built(cell, 3, 16)
    np.testing.assert_allclose(singular_values(one.recurrent_kernel[...]), 1, **TOLERANCE["float32"])


def test_a_fused_kernel_would_not_be():
    """Flax's optimised LSTM draws [H, 4H] at once: the test above fails for it."""
    theirs = built(nnx.OptimizedLSTMCell, 3, 16)
    gates = jnp.stack(jnp.split(theirs.dense_h.kernel[...], 4, axis=-1))
    assert singular_values(gates).min() < 0.5


@pytest.mark.parametrize("cell", ORTHOGONAL)
def test_gates_are_drawn_independently(cell):
    one = built(cell, 5, 5, bias_init=initializers.normal())
    arrays = [*one.kernel[...], *one.recurrent_kernel[...]]
    correlations = np.corrcoef([np.asarray(array).ravel() for array in arrays])
    assert (np.abs(correlations - np.eye(len(arrays))) < 0.7).all()


def test_kernels_are_lecun_normal_for_each_gate():
    for kernel in wide(LSTMCell, 50, MANY).kernel[...]:
        assert abs(kernel.mean()) < 0.005
        np.testing.assert_allclose(kernel.std(), (1 / 50) ** 0.5, rtol=0.03)


def test_glorot_sees_the_sizes_of_one_gate():
    bound = (6 / (50 + MANY)) ** 0.5  # a fused kernel would have 4 times the outputs, and half the bound
    for kernel in wide(LSTMCell, 50, MANY, kernel_init=initializers.glorot_uniform()).kernel[...]:
        np.testing.assert_allclose([kernel.min(), kernel.max()], [-bound, bound], rtol=0.01)
        np.testing.assert_allclose(kernel.std(), bound / 3**0.5, rtol=0.03)


def test_irnn():
    one = built(cells.RNNCell, 2, 4, activation_fn=jax.nn.relu, recurrent_kernel_init=initializers.identity())
    np.testing.assert_array_equal(one.recurrent_kernel[0], np.eye(4))
    scaled = built(cells.RNNCell, 2, 4, recurrent_kernel_init=initializers.identity(0.5))
    np.testing.assert_array_equal(scaled.recurrent_kernel[0], 0.5 * np.eye(4))
    held, _ = one(jnp.arange(4.0), jnp.zeros(2))
    np.testing.assert_array_equal(held, np.arange(4.0))
    with pytest.raises(ValueError, match=r"identity\(\) got shape \(2, 4\); it allows square matrices only"):
        cells.RNNCell(2, 4, kernel_init=initializers.identity(), rngs=nnx.Rngs(0))


@pytest.mark.parametrize("bias", [1.0, 0.0, -2.5])
def test_forget_bias_is_that_of_the_forget_gate_alone(bias):
    one = built(LSTMCell, 2, 4) if bias == 1 else built(LSTMCell, 2, 4, forget_bias=bias)  # 1 is the default
    np.testing.assert_array_equal(one.bias[...], np.outer([bias, 0, 0, 0], np.ones(4)))
    gates = one.gates(one.initialize_carry((2,)), jnp.zeros(2))
    np.testing.assert_allclose(gates.f, 1 / (1 + np.exp(-bias)), rtol=1e-6)
    np.testing.assert_array_equal(gates.c_tilde, 0)
    np.testing.assert_array_equal([gates.i, gates.o], 0.5)


@pytest.mark.parametrize("bias", [0.0, 1.5])
def test_update_bias_is_that_of_the_gate_that_keeps(bias):
    one = built(GRUCell, 2, 4) if bias == 0 else built(GRUCell, 2, 4, update_bias=bias)  # 0 is the default
    np.testing.assert_array_equal(one.bias[...], np.outer([0, bias, 0], np.ones(4)))
    np.testing.assert_array_equal(one.recurrent_bias[...], 0)
    h = jnp.ones(4)
    one.bias = nnx.Param(one.bias[...].at[1].add(20))
    np.testing.assert_allclose(one(h, jnp.zeros(2))[0], h, rtol=1e-6)  # a large one keeps the state


@pytest.mark.parametrize("t_max", [10.0, 784])
def test_chrono_spreads_time_constants_uniformly(t_max):
    lstm, gru = wide(LSTMCell, 2, MANY, forget_bias=Chrono(t_max)), wide(GRUCell, 2, MANY, update_bias=Chrono(t_max))
    f, i, c, o = lstm.bias[...]
    np.testing.assert_array_equal(i, -f)
    np.testing.assert_array_equal([c, o], 0)
    r, z, n = gru.bias[...]
    np.testing.assert_array_equal([r, n], 0)
    for keep in (f, z):
        times = np.sort(np.exp(np.asarray(keep, np.float64))) + 1  # 1 / (1 - sigmoid(b)) steps
        assert times[0] >= 2 and times[-1] <= t_max
        expected = 2 + (t_max - 2) * (np.arange(MANY) + 0.5) / MANY
        assert np.abs(times - expected).max() < 0.1 * t_max  # Kolmogorov-Smirnov, 1.63 / sqrt(400) at 1%


@pytest.mark.parametrize("t_max", [2, 1.5, 0, -3.0, float("nan")])
def test_chrono_refuses(t_max):
    with pytest.raises(ValueError, match=rf"t_max={t_max}; allowed: greater than 2.*Chrono\(t_max=200\)"):
        Chrono(t_max)


def test_a_bias_may_be_drawn_by_any_initialiser():
    one = wide(LSTMCell, 2, MANY, forget_bias=initializers.uniform(3.0), bias_init=initializers.normal(0.1))
    f, i, *_ = one.bias[...]
    assert f.min() >= 0 and 2.8 < f.max() <= 3
    assert 0.05 < i.std() < 0.2 and not np.allclose(i, -f)


@pytest.mark.parametrize("cell", cells.ALL)
def test_vmap_over_keys_is_an_ensemble_of_independent_draws(cell):
    def build(key):
        return cell(3, 4, rngs=nnx.Rngs(key))

    keys = jax.random.split(jax.random.key(0), 3)
    ensemble, one = jit(jax.vmap(build))(keys), jit(build)
    for run, key in enumerate(keys):
        close(pick(ensemble, run), one(key), "float32")
    for kernel in (value[...] for name, value in vars(ensemble).items() if "kernel" in name):
        assert len(np.unique(kernel)) == kernel.size


@pytest.mark.parametrize("cell", cells.ALL)
def test_the_same_key_gives_the_same_cell_in_the_dtype_asked_for(cell):
    one, two = built(cell, 3, 4, param_dtype=jnp.bfloat16), built(cell, 3, 4)
    assert {leaf.dtype for leaf in jax.tree.leaves(one)} == {jnp.dtype(jnp.bfloat16)}
    close(one, two, "bfloat16")  # an orthogonal kernel too, though QR does not know bfloat16
