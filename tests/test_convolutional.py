"""The convolutional LSTM: Flax's with the same weights, sums by hand, and layers over inputs with image axes."""

import functools
from typing import Any

import flax.linen
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from equations import sigmoid
from flax import nnx
from reference import Case, cast, dot, jit, loop, noise, where
from scipy.signal import correlate
from tolerances import close

import recurrax as rx
from recurrax.cells import ConvLSTMCell

T, B, D, H = 5, 3, 2, 3
KERNELS = {"one axis": (3,), "two axes": (3, 2), "three axes": (2, 1, 3)}
IMAGES = {1: (6,), 2: (4, 5), 3: (3, 2, 4)}


def case(size: tuple[int, ...], dtype: Any = jnp.float64) -> Case:
    """A cell whose parameters are all away from their start, a carry and films ``[T, B, *image, D]``."""
    cell = ConvLSTMCell(D, H, kernel_size=size, rngs=nnx.Rngs(0))
    cell = noise(cast(cell, dtype), 1, around=1, scale=0.3)
    image = IMAGES[len(size)]
    carry = jax.eval_shape(lambda: cell.initialize_carry((B, *image, D)))
    return Case(cell, *noise((carry, jax.ShapeDtypeStruct((T, B, *image, D), dtype)), 2))


def flax_parameters(cell: ConvLSTMCell) -> Any:
    """Theirs: gates i, g, f, o beside each other; 1 is added to the forget gate's bias."""
    order, parts = jnp.array([1, 2, 0, 3]), {}
    for name, kernel in (("ih", cell.kernel[...]), ("hh", cell.recurrent_kernel[...])):
        W = jnp.moveaxis(kernel[order], 0, -2)
        parts[name] = {"kernel": W.reshape(*W.shape[:-2], -1), "bias": jnp.zeros(4 * H)}
    parts["ih"]["bias"] = (cell.bias[...] - jnp.array([1.0, 0, 0, 0])[:, None])[order].reshape(-1)
    return {"params": parts}


@pytest.mark.parametrize("size", KERNELS.values(), ids=KERNELS)
def test_flax_with_the_same_weights_gives_the_same_outputs_and_gradients(size, x64):
    primals = case(size)
    module = flax.linen.ConvLSTMCell(H, size)

    def theirs(cell: Any, carry: Any, xs: jax.Array) -> Any:
        return jax.lax.scan(functools.partial(module.apply, flax_parameters(cell)), carry, xs)

    def weighted(run: Any, primals: Case) -> Any:
        out = run(*primals)
        return dot(out, noise(out, 3)), out

    def mine(backend: str, cell: Any, carry: Any, xs: jax.Array) -> Any:
        return rx.unroll(cell, xs, carry, backend=backend)

    expected, *actual = (
        jit(jax.grad(functools.partial(weighted, run), has_aux=True))(primals)
        for run in (theirs, *(functools.partial(mine, backend) for backend in ("auto", "scan")))
    )
    for one in actual:
        close(one, expected)


def test_a_step_is_that_of_sums_by_hand(x64):
    cell, carry, xs = case((3, 3))
    c, h = (np.asarray(state[0]) for state in carry)
    x, gates = np.asarray(xs[0, 0]), []
    for g in range(4):
        total = np.zeros((*x.shape[:2], H)) + np.asarray(cell.bias[g])
        for image, kernel in ((x, np.asarray(cell.kernel[g])), (h, np.asarray(cell.recurrent_kernel[g]))):
            for a, b in np.ndindex(image.shape[-1], H):
                total[..., b] += correlate(image[..., a], kernel[..., a, b], "same")
        gates.append(total)
    f, i, c_tilde, o = sigmoid(gates[0]), sigmoid(gates[1]), np.tanh(gates[2]), sigmoid(gates[3])
    c = f * c + i * c_tilde
    expected = (c, o * np.tanh(c))
    new, y = cell(jax.tree.map(lambda leaf: leaf[0], carry), xs[0, 0])
    close((new, y), (expected, expected[1]))
    close(cell.gates(jax.tree.map(lambda leaf: leaf[0], carry), xs[0, 0]), rx.cells.gated.LSTMGates(f, i, c_tilde, o))


@pytest.mark.parametrize("backend", ["auto", "scan"])
def test_masks_and_resets_are_those_of_each_film_alone(backend, x64):
    cell, carry, xs = case((3, 2))
    mask, resets = np.ones((T, B), bool), np.zeros((T, B), bool)
    mask[1, 0] = mask[3:, 1] = mask[:, 2] = False
    resets[2, 0] = resets[1, 1] = True
    poisoned = where(jnp.asarray(mask), xs, jnp.full_like(xs, jnp.nan))

    def run(xs: jax.Array) -> Any:
        return rx.unroll(cell, xs, carry, mask=mask, resets=resets, backend=backend)

    (c, h), ys = jit(run)(poisoned)
    for k, steps in enumerate([[[0], [2, 3, 4]], [[0], [1, 2]], []]):
        state = jax.tree.map(lambda leaf, k=k: leaf[k], carry)
        last = state
        for part in steps:  # each begins with the initial carry
            last, expected = loop(cell, state, xs[np.array(part), k])
            close(ys[np.array(part), k], expected)
        close((c[k], h[k]), last)
    assert not np.asarray(ys)[~mask].any()
    gradient = jit(jax.grad(lambda xs: dot(run(xs), noise(run(xs), 4))))(poisoned)
    assert np.isfinite(gradient).all() and not np.asarray(gradient)[~mask].any()


def films(dtype: Any = jnp.float32) -> jax.Array:
    return noise(jax.ShapeDtypeStruct((B, T, *IMAGES[2], D), dtype), 5)


def test_a_layer_takes_image_axes_after_time():
    cell, films_ = ConvLSTMCell(D, H, rngs=nnx.Rngs(0)), films()
    layer = rx.RNN(cell, return_carry=True)
    (c, h), ys = layer(films_)
    assert layer.num_feature_axes == 3 and layer.out_features == H
    assert c.shape == h.shape == (B, *IMAGES[2], H) and ys.shape == (B, T, *IMAGES[2], H)
    major = layer(jnp.moveaxis(films_, 1, 0), time_major=True)[1]
    np.testing.assert_array_equal(jnp.moveaxis(major, 0, 1), ys)
    lengths = jnp.array([0, 2, T])
    (_, h), ys = layer(films_, seq_lengths=lengths)
    np.testing.assert_array_equal(h[1], ys[1, 1])
    np.testing.assert_array_equal(layer(films_, seq_lengths=lengths, read="last")[1], h)
    assert not ys[1, 2:].any() and not h[0].any()
    backward = rx.RNN(cell, reverse=True, keep_order=True)(films_)
    close(jnp.flip(backward, 1), rx.RNN(cell)(jnp.flip(films_, 1)), "float32")
    state, streamed = layer.initialize_carry((B, *IMAGES[2], D)), []
    for t in range(T):
        state, y = layer.step(state, films_[:, t])
        streamed.append(y)
    close(jnp.stack(streamed, 1), layer(films_)[1], "float32")


def test_a_carry_that_goes_on_is_left_at_a_reset():
    layer, films_ = rx.RNN(ConvLSTMCell(D, H, rngs=nnx.Rngs(0)), return_carry=True), films()
    given, _ = layer(films_)
    resets = jnp.zeros((B, T), bool).at[1, 2].set(True)
    carry, ys = layer(films_, initial_carry=given, resets=resets)
    whole, alone = layer(films_, initial_carry=given), layer(films_[:, 2:])
    close((ys[0], ys[1, :2], ys[1, 2:]), (whole[1][0], whole[1][1, :2], alone[1][1]), "float32")
    close(carry[1][1], alone[0][1][1], "float32")


def test_films_go_through_a_stack_in_both_directions():
    one, two, three = (rx.RNN(ConvLSTMCell(n, H, rngs=nnx.Rngs(seed))) for seed, n in enumerate((D, D, 2 * H)))
    stack = rx.Stack([rx.Bidirectional(one, two), three], layer_norm=True)
    lengths = jnp.array([1, 2, T])
    ys = stack(films(), seq_lengths=lengths)
    assert ys.shape == (B, T, *IMAGES[2], H) and not ys[0, 1:].any()
    residual = rx.Stack([rx.RNN(ConvLSTMCell(H, H, rngs=nnx.Rngs(0)))], residual=True)
    xs = noise(jax.ShapeDtypeStruct((B, T, *IMAGES[2], H), jnp.float32), 6)
    close(residual(xs), residual.layers[0](xs) + xs, "float32")
    last = residual(xs, read="last", seq_lengths=lengths)
    close(last, residual(xs, seq_lengths=lengths)[jnp.arange(B), lengths - 1], "float32")
    model = rx.SequenceModel(stack, D, rngs=nnx.Rngs(3))
    assert model(films()).shape == films().shape


def test_what_cannot_be_run_is_refused():
    cell = ConvLSTMCell(D, H, rngs=nnx.Rngs(0))
    for backend in ("newton", "pallas"):
        with pytest.raises(ValueError, match=r"got ConvLSTMCell with 3 feature axes; allowed: cells with one"):
            rx.RNN(cell, backend=backend)(films())
    with pytest.raises(ValueError, match=r"learn_initial_carry=True with ConvLSTMCell"):
        rx.RNN(cell, learn_initial_carry=True)
    with pytest.raises(ValueError, match=r"shape \(3, 2\); allowed: 2 image axes"):
        cell.initialize_carry((3, D))
    with pytest.raises(ValueError, match=r"kernel_size=0; allowed: an int >= 1"):
        ConvLSTMCell(D, H, kernel_size=(3, 0), rngs=nnx.Rngs(0))
    with pytest.raises(ValueError, match=r"kernel_size=0"):
        ConvLSTMCell(D, H, kernel_size=(), rngs=nnx.Rngs(0))


def test_a_square_kernel_is_one_number_and_the_forget_bias_is_that_of_its_gate():
    cell = ConvLSTMCell(D, H, kernel_size=3, forget_bias=2.0, rngs=nnx.Rngs(0))
    assert cell.kernel.shape == (4, 3, 3, D, H) and cell.recurrent_kernel.shape == (4, 3, 3, H, H)
    assert np.all(cell.bias[0] == 2) and not np.asarray(cell.bias[1:]).any()
