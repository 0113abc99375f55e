"""A layer with what stands below and above it: tokens in, predictions out."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from flax import nnx

from recurrax.layers.compose import Bidirectional, Stack, check_dropout, drop
from recurrax.layers.rnn import RNN, check_lengths

READS = ("every", "last")


class SequenceModel(nnx.Module):
    """``outputs = Linear(dropout(layer(embed(inputs))))``, batch-major, from Flax's own Embed, Dropout and Linear.

    Args:
        layer: `RNN`, `Bidirectional` or `Stack`.
        out_features: O.
        read: "every" gives an output for every step, ``[*batch, T, O]``; "last" reads the last step that exists,
            ``[*batch, O]`` (at ``seq_lengths - 1``, not at the padded end).
        vocabulary: number of tokens; inputs are then int ``[*batch, T]`` and embedded in the layer's D.
        dropout: rate before the Linear, applied in a call that is given a ``dropout_key``.
        rngs: source of keys (``rngs.params``).

    Raises:
        TypeError: ``layer`` is no layer.
        ValueError: ``read`` is not known, a rate is out of range, or the layer does not tell its sizes.
    """

    def __init__(
        self,
        layer: RNN | Bidirectional | Stack,
        out_features: int,
        *,
        read: str = "every",
        vocabulary: int | None = None,
        dropout: float = 0.0,
        rngs: nnx.Rngs,
    ):
        if read not in READS:
            raise ValueError(
                f"read={read!r}; allowed: {', '.join(map(repr, READS))}. 'every' gives an output for each step."
            )
        if not isinstance(layer, RNN | Bidirectional | Stack):
            raise TypeError(
                f"SequenceModel got {type(layer).__name__}; allowed: RNN, Bidirectional or Stack. Wrap it, RNN(cell)."
            )
        features = layer.out_features
        if features is None:
            raise ValueError(
                "the layer does not know its out_features (a Foreign cell that does not tell); allowed: one that does. "
                "Set foreign.hidden_features to the size of the step's output."
            )
        if layer.time_major:
            raise ValueError(
                "the layer is time-major; allowed: a batch-major one, [*batch, T, D]. Build it with time_major=False."
            )
        self.layer, self.read, self.dropout = layer, read, check_dropout(dropout)
        embed = None
        if vocabulary is not None:
            in_features = first_cell(layer).in_features
            if in_features is None:
                raise ValueError(
                    f"vocabulary={vocabulary} needs the cell's in_features, which a Foreign cell does not tell; "
                    "allowed: a recurrax cell. Embed the tokens before the layer and leave vocabulary out."
                )
            embed = nnx.Embed(vocabulary, in_features, rngs=rngs)
            embed.dtype = None  # that of the parameter, also once the model is cast
        self.embed = embed
        self.head = nnx.Linear(features, out_features, rngs=rngs)

    def __call__(
        self,
        inputs: jax.Array,
        *,
        seq_lengths: jax.Array | None = None,
        resets: jax.Array | None = None,
        dropout_key: jax.Array | None = None,
    ) -> jax.Array:
        """``inputs: [*batch, T, D]`` (or int tokens ``[*batch, T]``) to ``[*batch, T, O]`` or ``[*batch, O]``."""
        xs = inputs if self.embed is None else self.embed(inputs)
        below = above = None
        if dropout_key is not None:
            below, above = jax.random.split(dropout_key)
        dropout = {"dropout_key": below} if isinstance(self.layer, Stack) else {}
        hs = self.layer(xs, seq_lengths=seq_lengths, resets=resets, return_carry=False, **dropout)
        if self.read == "last":
            hs = self._last(hs, seq_lengths)
        return self.head(drop(self.dropout, hs, above))

    def _last(self, hs: jax.Array, seq_lengths: jax.Array | None) -> jax.Array:
        if seq_lengths is None:
            return hs[..., -1, :]
        index = check_lengths(seq_lengths, (hs.shape[-2], *hs.shape[:-2]))[..., None, None] - 1
        read = jnp.take_along_axis(hs, jnp.maximum(index, 0), axis=-2)
        return jnp.where(index < 0, 0, read)[..., 0, :]  # no step, no output


def first_cell(layer: RNN | Bidirectional | Stack):
    """The cell that reads the inputs."""
    if isinstance(layer, Stack):
        return first_cell(layer.layers[0])
    return layer.cell if isinstance(layer, RNN) else layer.forward_rnn.cell
