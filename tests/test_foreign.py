"""Foreign: any step (carry, x) -> (carry, y) as a cell."""

from typing import Any

import flax.linen
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from jax.flatten_util import ravel_pytree
from reference import BATCH, D, H, T, build, cast, jit, noise
from tolerances import close

from recurrax import RNN, Foreign, Structure, cells, gradflow, unroll
from recurrax.gradflow.spectrum import generic_basis


@pytest.fixture(scope="module")
def xs():
    return noise(jax.ShapeDtypeStruct((T, *BATCH, D), jnp.float32), seed=0)


def running_mean(carry: Any, x: jax.Array) -> Any:
    count, total = carry
    count, total = count + 1, total + x
    return (count, total), total / count


def test_a_plain_function_with_a_carry_of_any_structure(xs):
    start = (jnp.zeros((*BATCH, 1)), jnp.zeros((*BATCH, D)))
    _, ys = unroll(Foreign(running_mean), xs, start)
    np.testing.assert_allclose(ys, np.cumsum(xs, 0) / np.arange(1, T + 1).reshape(-1, 1, 1, 1), rtol=1e-5)
    with_shape = Foreign(running_mean, initialize_carry=lambda shape: jax.tree.map(jnp.zeros_like, start))
    close(unroll(with_shape, xs)[1], ys, "float32")


@pytest.mark.slow
def test_a_function_with_parameters_gets_gradients(x64):
    cell, xs = build("RNN", seed=0), noise(jax.ShapeDtypeStruct((T, *BATCH, D), jnp.float64), seed=0)

    def step(params: Any, h: jax.Array, x: jax.Array) -> Any:
        W, U, b = params
        h = jnp.tanh(x @ W + h @ U + b)
        return h, h

    theirs = Foreign(step, params=(cell.kernel[0].T, cell.recurrent_kernel[0].T, cell.bias[0]))
    h0 = cell.initialize_carry((*BATCH, D))

    @jit
    def both(cell: Any, theirs: Any) -> Any:
        return [jax.grad(lambda cell: jnp.sum(unroll(cell, xs, h0)[1] ** 2))(one) for one in (cell, theirs)]

    expected, actual = both(cell, theirs)
    close(actual.params, (expected.kernel[0].T, expected.recurrent_kernel[0].T, expected.bias[0]))


@pytest.mark.parametrize("kind", [nnx.LSTMCell, nnx.OptimizedLSTMCell, nnx.GRUCell, nnx.SimpleCell])
def test_flax_nnx_cells_run_as_in_flax(kind, xs):
    theirs = jit(lambda: kind(D, H, rngs=nnx.Rngs(0)))()
    ours = Foreign(theirs)
    assert (ours.structure, ours.hidden_features, ours.promoted_dtype()) == (Structure.GENERAL, H, jnp.float32)
    batch_major = jnp.moveaxis(xs, 0, 2)
    close(*jit(lambda cell: (RNN(cell)(batch_major), nnx.RNN(cell)(batch_major)))(theirs), "float32")
    gradient = jax.eval_shape(jax.grad(lambda cell: jnp.sum(unroll(cell, xs)[1])), ours)
    assert jax.tree.structure(gradient) == jax.tree.structure(ours)


@pytest.mark.parametrize("kind", [flax.linen.LSTMCell, flax.linen.GRUCell, flax.linen.MGUCell, flax.linen.SimpleCell])
def test_flax_linen_cells_run_as_in_flax(kind, xs):
    module = kind(features=H)
    batch_major = jnp.moveaxis(xs, 0, 2)
    rnn = flax.linen.RNN(module)
    variables = jit(rnn.init)(jax.random.key(0), batch_major)
    (params,) = variables["params"].values()
    ours = Foreign.linen(module, {"params": params})
    assert (ours.hidden_features, ours.num_feature_axes) == (H, 1)
    actual = jit(lambda cell: RNN(cell)(batch_major))(ours)
    close(actual, jit(rnn.apply)(variables, batch_major), "float32")


def test_convolutional_cells_keep_their_feature_axes():
    module, images = flax.linen.ConvLSTMCell(2, (3,)), jnp.ones((4, T, 8, D))
    carry = jnp.zeros((2, 4, 8, 2))
    variables = jax.eval_shape(module.init, jax.random.key(0), tuple(carry), images[:, 0])
    ours = Foreign.linen(module, noise(variables, seed=1))
    lengths = jnp.array([0, 1, 3, T])
    (c, h), ys = jit(lambda cell: RNN(cell, return_carry=True)(images, seq_lengths=lengths))(ours)
    assert c.shape == h.shape == (4, 8, 2) and ys.shape == (4, T, 8, 2)
    np.testing.assert_array_equal(h[1:], ys[jnp.arange(1, 4), lengths[1:] - 1])
    assert not h[0].any() and not ys[1, 1:].any()


@pytest.mark.slow
def test_equinox_cells_run_as_in_equinox(xs):
    equinox = pytest.importorskip("equinox", reason="Equinox is not installed")
    gru = equinox.nn.GRUCell(D, H, key=jax.random.key(0))
    cell = Foreign(lambda params, h, x: 2 * (params(x, h),), params=gru)  # one sequence: vmap makes the batch
    one = xs[:, 0, 0]
    carry, ys = jit(unroll)(cell, one, jnp.zeros(H))
    h, step = jnp.zeros(H), jit(lambda x, h: gru(x, h))
    for x, y in zip(one, ys, strict=True):
        h = step(x, h)
        close(y, h, "float32")
    close(carry, h, "float32")
    gradient = jit(jax.grad(lambda cell: jnp.sum(unroll(cell, one, jnp.zeros(H))[1])))(cell)
    assert all(leaf.any() for leaf in jax.tree.leaves(gradient.params))


def test_haiku_cells_run_as_in_haiku(xs):
    haiku = pytest.importorskip("haiku", reason="Haiku is not installed")
    module = haiku.without_apply_rng(haiku.transform(lambda h, x: haiku.VanillaRNN(H)(x, h)))
    params = noise(jax.eval_shape(module.init, jax.random.key(0), jnp.zeros((*BATCH, H)), xs[0]), seed=1)

    def step(params: Any, h: jax.Array, x: jax.Array) -> Any:
        y, h = module.apply(params, h, x)
        return h, y

    _, ys = jit(unroll)(Foreign(step, params=params), xs, jnp.zeros((*BATCH, H)))
    w, v = params["vanilla_rnn/linear"], params["vanilla_rnn/linear_1"]
    h = jnp.zeros((*BATCH, H))
    for x, y in zip(xs, ys, strict=True):
        h = jax.nn.relu(x @ w["w"] + w["b"] + h @ v["w"] + v["b"])
        close(y, h, "float32")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["Foreign-nnx-LSTM", "Foreign-linen-GRU"])
def test_flax_cells_run_in_the_promoted_dtype_of_inputs_and_parameters(name, xs):
    """Flax starts them in float32, and fails where a step then gives another dtype."""
    cell = build(name, 0, jnp.float32)
    for parameters, inputs, expected in (
        (jnp.bfloat16, jnp.bfloat16, jnp.bfloat16),
        (jnp.bfloat16, jnp.float32, jnp.float32),
        (jnp.float32, jnp.bfloat16, jnp.float32),
    ):
        out = jax.eval_shape(unroll, cast(cell, parameters), xs.astype(inputs))
        assert {leaf.dtype for leaf in jax.tree.leaves(out)} == {jnp.dtype(expected)}


def test_a_second_wrapper_of_the_same_linen_module_compiles_nothing(xs):
    module = flax.linen.SimpleCell(features=H)
    variables = jax.eval_shape(module.init, jax.random.key(0), jnp.zeros(H), jnp.zeros(D))
    run = jit(lambda cell: unroll(cell, xs)[1])
    for seed in (0, 1):
        run(Foreign.linen(module, noise(variables, seed)))
    assert run._cache_size() == 1


def test_errors_say_what_to_do(xs):
    with pytest.raises(TypeError, match=r"step=3; allowed: a callable \(carry, x\) -> \(carry, y\)"):
        Foreign(3)
    with pytest.raises(
        ValueError, match=r"does not know its initial carry; allowed: .* Pass Foreign\(step, initialize_c"
    ):
        unroll(Foreign(running_mean), xs)
    with pytest.raises(TypeError, match=r"the carry has structure .*Foreign allows .*initialize_carry"):
        unroll(build("Foreign-nnx-LSTM", 0, jnp.float32), xs, jnp.zeros((*BATCH, H)))
    assert Foreign(running_mean).dtype is None


@pytest.mark.slow
def test_a_cell_of_the_package_may_be_foreign_too(xs):
    cell = build("LSTM", seed=0, dtype=jnp.float32)
    assert isinstance(cell, cells.LSTMCell)
    close(unroll(Foreign(cell), xs), unroll(cell, xs), "float32")


def nnx_lstm() -> Any:
    cell = nnx.LSTMCell(2, 3, param_dtype=jnp.float64, rngs=nnx.Rngs(0))
    return Foreign(cell), (jnp.zeros(3), jnp.zeros(3))


def linen_gru() -> Any:
    module = flax.linen.GRUCell(3, param_dtype=jnp.float64)
    return Foreign.linen(module, module.init(jax.random.key(0), jnp.zeros(3), jnp.zeros(2))), jnp.zeros(3)


def equinox_lstm() -> Any:
    equinox = pytest.importorskip("equinox", reason="Equinox is not installed: pip install recurrax[bench]")
    params, static = equinox.partition(
        equinox.nn.LSTMCell(2, 3, dtype=jnp.float64, key=jax.random.key(0)), equinox.is_array
    )

    def step(params: Any, carry: Any, x: jax.Array) -> Any:
        carry = equinox.combine(params, static)(x, carry)
        return carry, carry[0]

    return Foreign(step, params=params), (jnp.zeros(3), jnp.zeros(3))


@pytest.mark.parametrize(
    "make", [nnx_lstm, *(pytest.param(m, marks=pytest.mark.slow) for m in (linen_gru, equinox_lstm))]
)
def test_gradient_flow_by_brute_force(make, x64):
    """From the derivatives of the last state and output by a zero probe added to every state, and by every input."""
    cell, start = make()
    carry, xs = noise((start, jax.ShapeDtypeStruct((T, 2), jnp.float64)), seed=2)
    vector, unravel = ravel_pytree(carry)
    n = vector.size

    def probed(carry: Any, point: Any) -> Any:
        return cell(jax.tree.map(jnp.add, carry, unravel(point[1])), point[0])

    def ends(probes: jax.Array, xs: jax.Array) -> Any:
        last, ys = jax.lax.scan(probed, carry, (xs, probes))
        return ravel_pytree(last)[0], ys[-1]

    @jit
    def run(cell: Any, probes: jax.Array) -> Any:
        measured = (
            gradflow.state_gradients(cell, carry, xs),
            gradflow.jacobian_spectrum(cell, carry, xs),
            gradflow.lyapunov_spectrum(cell, carry, xs).exponents,
            gradflow.input_sensitivity(cell, carry, xs),
        )
        return measured, jax.jacobian(ends, argnums=(0, 1))(probes, xs)

    (gradients, spectrum, exponents, sensitivity), ((J, _), (y_by_state, y_by_input)) = run(cell, jnp.zeros((T, n)))
    J = np.moveaxis(np.asarray(J), 1, 0)  # ds_T/ds_t of t = 0 .. T-1: [T, n, n]
    sizes = np.linalg.svd(J, compute_uv=False)
    digits = 1e-11 + np.finfo(float).eps * sizes[:, 0] / sizes[:, -1]  # what J itself has lost of its small directions
    growth = np.diagonal(np.linalg.qr(J[0] @ generic_basis(n, n, jnp.float64))[1])
    close(gradients[:-1], np.log(np.linalg.norm(np.sum(y_by_state, 0), axis=-1)))
    close(spectrum.largest[:-1], np.log(sizes[:, 0]))
    assert (np.abs(spectrum.geometric_mean[:-1] - np.linalg.slogdet(J)[1] / n) < digits).all()
    assert (np.abs(spectrum.smallest[:-1] - np.log(sizes[:, -1])) < digits).all()
    assert (np.abs(exponents - np.log(np.abs(growth)) / T) < digits[0]).all() and digits[0] < 1e-3
    close(sensitivity, np.log(np.linalg.norm(np.moveaxis(np.asarray(y_by_input), 1, 0), axis=(1, 2))))
