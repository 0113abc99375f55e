"""The recogniser: recurrent layers over frames that are masked at random in training, and logits of letters."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from flax import nnx

from recurrax.layers import GRU, LSTM, SequenceModel, SimpleRNN

LAYERS = {"RNN": SimpleRNN, "GRU": GRU, "LSTM": LSTM}


class Recogniser(nnx.Module):
    """``inputs: [B, T, D]`` to logits ``[B, T, V]``; stripes of time and of frequency are hidden in training.

    Args:
        features, tokens: D and V.
        cell: RNN, GRU or LSTM; "forward" in front of it reads in one direction.
        hidden: H, of each direction.
        layers: one above the other.
        dropout: between layers and before the logits.
        stack: frames in one step, which share the frequencies that are hidden.
        rngs: source of keys.

    Source: masks: Park et al. (2019), "SpecAugment".
    """

    def __init__(
        self, features: int, tokens: int, cell: str, hidden: int, *, layers: int = 2, dropout: float = 0.3,
        stack: int = 3, masks: tuple[int, int] = (8, 6), rngs: nnx.Rngs,
    ):  # fmt: skip
        make = LAYERS[cell.removeprefix("forward ")]
        both = not cell.startswith("forward ")
        layer = make(features, hidden, layers, bidirectional=both, dropout=dropout, rngs=rngs)
        self.model = SequenceModel(layer, tokens, dropout=dropout, rngs=rngs)
        self.stack, self.masks = stack, masks

    def __call__(self, inputs: jax.Array, *, seq_lengths: jax.Array, dropout_key: jax.Array | None = None) -> jax.Array:
        """The logits; with a key in training."""
        if dropout_key is None:
            return self.model(inputs, seq_lengths=seq_lengths)
        masking, key = jax.random.split(dropout_key)
        masked = jax.vmap(self.masked)(inputs, seq_lengths, jax.random.split(masking, len(inputs)))
        return self.model(masked, seq_lengths=seq_lengths, dropout_key=key)

    def masked(self, frames: jax.Array, length: jax.Array, key: jax.Array) -> jax.Array:
        """Frames ``[T, D]`` with two stripes of frequencies and two of steps set to 0, the mean of scaled inputs."""
        frequencies, steps = frames.shape[1] // self.stack, frames.shape[0]
        keys = jax.random.split(key, 2)
        seen = stripes(keys[0], frequencies, jnp.asarray(frequencies), self.masks[0])
        heard = stripes(keys[1], steps, length, self.masks[1])
        return frames * jnp.tile(seen, self.stack) * heard[:, None]


def stripes(key: jax.Array, size: int, length: jax.Array, widest: int) -> jax.Array:
    """1 outside two stripes of 0 to ``widest`` places below ``length``, and 0 inside; float32 ``[size]``."""
    widths, starts = jax.random.uniform(key, (2, 2))
    widths = jnp.floor(widths * (widest + 1))
    starts = jnp.floor(starts * (length - widths + 1))
    places = jnp.arange(size)
    inside = (places >= starts[:, None]) & (places < (starts + widths)[:, None])
    return 1.0 - jnp.any(inside, axis=0)
