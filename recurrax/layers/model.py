"""A sequence model: an embedding or features, a recurrent layer, and a linear head."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from recurrax.cell import show_signature
from recurrax.layers.bidirectional import Bidirectional
from recurrax.layers.block import Block
from recurrax.layers.rnn import RNN, check_read
from recurrax.layers.sequences import check_tokens, existing
from recurrax.layers.stack import Stack, check_dropout, drop
from recurrax.pickling import Picklable


class SequenceModel(Picklable, nnx.Module):
    """``outputs = Linear(dropout(layer(embed(inputs))))``, batch-major, from Flax's own Embed, Dropout and Linear.

    Args:
        layer: `RNN`, `Bidirectional`, `Block` or `Stack`, including `LSTM`, `GRU` and `SimpleRNN`.
        out_features: O.
        read: "every" gives an output for every step, ``[*batch, T, O]``; "last" reads the last valid step,
            ``[*batch, O]`` (at ``seq_lengths - 1``, not at the padded end); a `Bidirectional` layer is read at the end
            of each direction.
        vocabulary: number of tokens; the inputs are then int ``[*batch, T]`` and embedded in D features.
        tie_embeddings: the outputs are ``h E^T`` with the embedding E, ``[vocabulary, D]``, instead of a separate
            Linear.
        dropout: rate before the Linear, applied in a call that is given a ``dropout_key``.
        rngs: source of keys (``rngs.params``).

    Raises:
        TypeError: ``layer`` is not a layer.
        ValueError: ``read`` is not known, a rate is out of range, the layer has unknown sizes, or embeddings cannot be
            tied.

    Source: tied embeddings: Press & Wolf (2017), "Using the output embedding to improve language models".
    """

    def __init__(
        self,
        layer: RNN | Bidirectional | Block | Stack,
        out_features: int,
        *,
        read: str = "every",
        vocabulary: int | None = None,
        tie_embeddings: bool = False,
        dropout: float = 0.0,
        rngs: nnx.Rngs,
    ):
        check_read(read)
        if not isinstance(layer, RNN | Bidirectional | Block | Stack):
            raise TypeError(
                f"SequenceModel got {type(layer).__name__}; allowed: RNN, Bidirectional, Block or Stack. Wrap it, "
                "RNN(cell)."
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
        self.out_features = out_features
        self.embed = None if vocabulary is None else embedding(vocabulary, layer.in_features, rngs)
        if not tie_embeddings:
            self.head = nnx.Linear(features, out_features, rngs=rngs)
            return
        if vocabulary is None or (features, out_features) != (layer.in_features, vocabulary):
            raise ValueError(
                f"tie_embeddings=True with vocabulary={vocabulary}, D={layer.in_features}, a layer of {features} "
                f"outputs and out_features={out_features}; allowed: out_features=vocabulary and as many outputs of the "
                "layer as D. Change the sizes, or leave tie_embeddings out."
            )
        self.head = None

    def __call__(
        self,
        inputs: jax.Array,
        *,
        initial_carry: Any = None,
        seq_lengths: jax.Array | None = None,
        mask: jax.Array | None = None,
        resets: jax.Array | None = None,
        return_carry: bool = False,
        read: str | None = None,
        rngs: nnx.Rngs | nnx.RngStream | None = None,
        dropout_key: jax.Array | None = None,
    ) -> Any:
        """Maps ``inputs: [*batch, T, D]`` (or int tokens ``[*batch, T]``) to ``[*batch, T, O]`` or ``[*batch, O]``.

        The other arguments are those of `RNN`. With ``return_carry`` it returns ``(carry, outputs)``. ``read``
        overrides the constructor's setting.

        Raises:
            ValueError: a token at a valid step is outside the vocabulary (inside `jax.jit`, where tokens are unknown,
                the outputs that depend on it are NaN instead); or `RNN` raises it.
        """
        if self.embed is not None:
            self.check_tokens(inputs, seq_lengths, mask)
            inputs = self._embedded(inputs)
        below, above = (None, None) if dropout_key is None else jax.random.split(dropout_key)
        carry, hs = self.layer(
            inputs, initial_carry=initial_carry, seq_lengths=seq_lengths, mask=mask, resets=resets, return_carry=True,
            read=read or self.read, rngs=rngs, dropout_key=below,
        )  # fmt: skip
        outputs = self._predictions(drop(self.dropout, hs, above))
        return (carry, outputs) if return_carry else outputs

    def step(self, carry: Any, x: jax.Array) -> tuple[Any, jax.Array]:
        """One step of streaming inference: ``(carry, x: [*batch, D] or tokens [*batch])`` to ``(carry, [*batch, O])``.

        Start from `initialize_carry`, or from the carry of a call with ``return_carry=True``.
        """
        carry, h = self.layer.step(carry, x if self.embed is None else self._embedded(x))
        return carry, self._predictions(h)

    def initialize_carry(self, batch: tuple[int, ...] = (), rngs: nnx.Rngs | None = None) -> Any:
        """The initial carry for `step`, for ``batch`` axes."""
        return self.layer.initialize_carry((*batch, self.layer.in_features or 1), rngs)

    def check_tokens(self, tokens: Any, seq_lengths: Any = None, mask: Any = None) -> None:
        """Raises TypeError for tokens that are not integers, ValueError for tokens outside the vocabulary if known."""
        shape = jnp.shape(tokens)
        exists, _ = existing(seq_lengths, mask, (shape[-1], *shape[:-1]), time_major=False)
        exists = None if exists is None else jnp.moveaxis(exists, 0, -1)
        check_tokens(tokens, self._embedding.num_embeddings, exists)

    @property
    def _embedding(self) -> nnx.Embed:
        if self.embed is None:
            raise ValueError("the model has no vocabulary; allowed: one with tokens. Build it with vocabulary=V.")
        return self.embed

    def _embedded(self, tokens: Any) -> jax.Array:
        """The embedding ``E_x`` of each token x; NaN for a token outside the vocabulary."""
        tokens, size = jnp.asarray(tokens), self._embedding.num_embeddings
        outside = (tokens < 0) | (tokens >= size)
        return jnp.where(outside[..., None], jnp.nan, self._embedding(jnp.clip(tokens, 0, size - 1)))

    def _predictions(self, hs: jax.Array) -> jax.Array:
        return self._embedding.attend(hs) if self.head is None else self.head(hs)


show_signature(SequenceModel)


def embedding(vocabulary: int, features: int | None, rngs: nnx.Rngs) -> nnx.Embed:
    """Flax's embedding with the dtype of its parameter; raises ValueError if its size is not known."""
    if features is None:
        raise ValueError(
            f"vocabulary={vocabulary} needs the cell's in_features, which a Foreign cell does not tell; "
            "allowed: a recurrax cell. Embed the tokens before the layer and leave vocabulary out."
        )
    embed = nnx.Embed(vocabulary, features, rngs=rngs)
    embed.dtype = None  # use the dtype of the parameter, even after the model is cast
    return embed
