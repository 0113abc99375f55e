"""The differences from other libraries that docs/comparison.md states, run against what is installed."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import recurrax as rx

XS = jax.random.normal(jax.random.key(0), (2, 5, 3))


def gone(difference: str) -> None:
    pytest.skip(f"no longer so in the installed version: {difference}. Take it out of docs/comparison.md.")


def blocks(kernel, gates: int) -> np.ndarray:
    """Singular values of each gate's block: ``[G, H]``."""
    return np.linalg.svd(np.stack(np.split(np.asarray(kernel), gates, axis=-1)), compute_uv=False)


@pytest.mark.slow
def test_orthogonal_is_so_for_each_gate():
    ours = rx.GRUCell(3, 8, rngs=nnx.Rngs(0)).recurrent_kernel[...]
    np.testing.assert_allclose(np.linalg.svd(np.asarray(ours), compute_uv=False), 1, atol=1e-5)
    theirs = nnx.GRUCell(3, 8, rngs=nnx.Rngs(0)).dense_h.kernel[...]
    if abs(blocks(theirs, 3) - 1).max() < 1e-3:
        gone("flax.nnx.GRUCell's gates are not orthogonal")


def test_orthogonal_in_keras(monkeypatch):
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    keras = pytest.importorskip("keras", reason="the peers need recurrax[bench]")
    for layer, gates in ((keras.layers.LSTM(8), 4), (keras.layers.GRU(8), 3)):
        layer.build((None, None, 3))
        if abs(blocks(layer.cell.recurrent_kernel, gates) - 1).max() < 1e-3:
            gone("Keras' gates are not orthogonal")


@pytest.mark.slow
def test_length_0_returns_the_initial_carry():
    cell, lengths = nnx.GRUCell(3, 4, rngs=nnx.Rngs(0)), jnp.array([0, 5])
    start = jnp.full((2, 4), 0.5)
    carry, _ = rx.RNN(rx.Foreign(cell))(XS, seq_lengths=lengths, initial_carry=start, return_carry=True)
    np.testing.assert_array_equal(carry[0], start[0])
    theirs, _ = nnx.RNN(cell)(XS, seq_lengths=lengths, initial_carry=start, return_carry=True)
    np.testing.assert_allclose(theirs[1], carry[1], rtol=1e-5)
    if np.allclose(theirs[0], start[0]):
        gone("flax.nnx.RNN returns the carry after the padding for length 0")


def test_length_0_is_refused_by_pytorch():
    torch = pytest.importorskip("torch", reason="the peers need recurrax[bench]")
    with pytest.raises(RuntimeError, match="greater than 0"):
        torch.nn.utils.rnn.pack_padded_sequence(torch.zeros(2, 5, 3), torch.tensor([5, 0]), batch_first=True)


@pytest.mark.slow
def test_nan_in_the_padding_reaches_no_gradient():
    xs, lengths = XS.at[0, 3:].set(jnp.nan), jnp.array([3, 5])
    cell = nnx.GRUCell(3, 4, rngs=nnx.Rngs(0))

    def ours(cell):
        return rx.RNN(rx.Foreign(cell))(xs, seq_lengths=lengths, return_carry=True)[0].sum()

    def theirs(cell):
        return nnx.RNN(cell)(xs, seq_lengths=lengths, return_carry=True)[0].sum()

    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(jax.grad(ours)(cell)))
    if all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(jax.grad(theirs)(cell))):
        gone("NaN in the padding spoils the gradients of flax.nnx.RNN")


def test_lengths_with_two_batch_axes():
    xs, lengths = jnp.stack([XS, XS, XS]), jnp.array([[3, 5], [1, 2], [0, 4]])
    cell = nnx.GRUCell(3, 4, rngs=nnx.Rngs(0))
    carry, _ = rx.RNN(rx.Foreign(cell))(xs, seq_lengths=lengths, return_carry=True)
    assert carry.shape == (3, 2, 4)
    try:
        nnx.RNN(cell)(xs, seq_lengths=lengths, return_carry=True)
    except ValueError:
        return
    gone("flax.nnx.RNN refuses lengths with two batch axes")


@pytest.mark.slow
def test_the_gru_has_the_bias_inside_the_reset_gate():
    def biases(cell) -> int:  # all but the matrices, of which one side is 5 or 4 and neither is 3
        return sum(leaf.size for leaf in jax.tree.leaves(cell) if 5 not in leaf.shape and leaf.shape[-2:] not in SQUARE)

    SQUARE = ((4, 4), (4, 12))
    ours, theirs = rx.GRUCell(5, 4, rngs=nnx.Rngs(0)), nnx.GRUCell(5, 4, rngs=nnx.Rngs(0))
    assert biases(ours) == 4 * 4
    if biases(theirs) != 3 * 4:
        gone("flax.nnx.GRUCell has no b_hn")


@pytest.mark.slow
def test_bfloat16_gives_bfloat16():
    ours = rx.RNN(rx.LSTMCell(3, 4, param_dtype=jnp.bfloat16, rngs=nnx.Rngs(0)))(XS.astype(jnp.bfloat16))
    assert ours.dtype == jnp.bfloat16
    theirs = nnx.RNN(nnx.LSTMCell(3, 4, dtype=jnp.bfloat16, rngs=nnx.Rngs(0)))(XS)
    if theirs.dtype == jnp.bfloat16:
        gone("flax.nnx.LSTMCell in bfloat16 gives float32")
