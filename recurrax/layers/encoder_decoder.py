"""Encoder-decoder models: the decoder gets a carry from the encoder and, optionally, attention."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx

from recurrax.cell import data, show_signature
from recurrax.layers.attention import AdditiveAttention
from recurrax.layers.bidirectional import Bidirectional, concatenate
from recurrax.layers.model import embedding
from recurrax.layers.rnn import RNN
from recurrax.layers.sequences import check_tokens
from recurrax.layers.stack import Stack, check_dropout, drop
from recurrax.pickling import Picklable


class Memory(NamedTuple):
    """The encoder's outputs ``[*batch, S, M]`` for the decoder's attention, and the mask of valid steps."""

    outputs: jax.Array
    mask: jax.Array


class EncoderDecoder(Picklable, nnx.Module):
    r"""Maps a source and the previous target tokens to logits: ``source: [*batch, S]``, ``previous: [*batch, T]``.

    .. math::
        m = \mathrm{encoder}(E x), \quad h_0 = \tanh(W m_{last} + b), \quad h = \mathrm{decoder}(E' y_{<}, h_0), \quad
        o_t = W_o [h_t, r_t]

    Every array of the decoder's initial carry is computed from the encoder's last output, so any cell can be the
    decoder. With attention, `AdditiveAttention` reads r_t from m with the query h_t. It reads after the decoder's step,
    as in Luong et al. (2015), so that the decoder runs on every engine. Without attention there is no r.

    Args:
        encoder: a layer of one or both directions.
        decoder: a layer of one direction.
        source_vocabulary: number of tokens of the source.
        target_vocabulary: V, number of tokens of the target.
        attention: whether the decoder attends to the source.
        attention_features: size of the attention's hidden layer; None uses the decoder's size.
        dropout: rate on embeddings and before the last Linear, applied in a call that is given a ``dropout_key``.
        rngs: source of keys (``rngs.params``).

    Raises:
        TypeError: encoder or decoder is not a layer.
        ValueError: a layer is time-major or has unknown sizes, the decoder runs in both directions, or the encoder's
            two directions are not concatenated.

    Source: Sutskever, Vinyals & Le (2014); Cho et al. (2014); Bahdanau, Cho & Bengio (2015).
    """

    def __init__(
        self,
        encoder: RNN | Bidirectional | Stack,
        decoder: RNN | Stack,
        source_vocabulary: int,
        target_vocabulary: int,
        *,
        attention: bool = True,
        attention_features: int | None = None,
        dropout: float = 0.0,
        rngs: nnx.Rngs,
    ):
        read, written = _sizes("encoder", encoder), _sizes("decoder", decoder)
        self.encoder, self.decoder, self.dropout = encoder, decoder, check_dropout(dropout)
        self.source, self.target = (
            embedding(size, features, rngs)
            for size, features in ((source_vocabulary, read[0]), (target_vocabulary, written[0]))
        )
        start = decoder.initialize_carry((1, written[0]))
        self.start = data(jax.tree.map(lambda leaf: nnx.Linear(read[1], leaf.shape[-1], rngs=rngs), start))
        hidden = attention_features or written[1]
        self.attention = AdditiveAttention(written[1], read[1], hidden, rngs=rngs) if attention else None
        self.head = nnx.Linear(written[1] + read[1] * attention, target_vocabulary, rngs=rngs)

    @property
    def out_features(self) -> int:
        """V, the number of target tokens."""
        return self.target.num_embeddings

    def __call__(
        self,
        inputs: tuple[jax.Array, jax.Array],
        *,
        seq_lengths: jax.Array | None = None,
        dropout_key: jax.Array | None = None,
    ) -> jax.Array:
        """Logits ``[*batch, T, V]`` of the next target token at every step.

        Args:
            inputs: the source, int ``[*batch, S]``, and the target tokens before each step, int ``[*batch, T]``.
            seq_lengths: int ``[*batch]``, 1 to S, of the sources.
            dropout_key: PRNG key for dropout, inside encoder and decoder too; None means evaluation.

        Raises:
            TypeError: tokens are not integers.
            ValueError: a token at a valid step is outside its vocabulary. Inside `jax.jit`, where tokens are unknown,
                the outputs that depend on it are NaN instead.
        """
        source, previous = inputs
        keys = (None,) * 4 if dropout_key is None else jax.random.split(dropout_key, 4)
        check_tokens(previous, self.target.num_embeddings, what="target tokens")
        carry, memory = self.encode(source, seq_lengths, keys[0])
        embedded = drop(self.dropout, self.target(previous), keys[1])
        _, hs = self.decoder(embedded, initial_carry=carry, return_carry=True, dropout_key=keys[2])
        return self._predictions(hs, memory, keys[3])[0]

    def encode(self, source: jax.Array, seq_lengths: Any = None, dropout_key: Any = None) -> tuple[Any, Memory]:
        """The decoder's initial carry, and the memory: ``source: int [*batch, S]``."""
        source = jnp.asarray(source)
        lengths = jnp.full(source.shape[:-1], source.shape[-1]) if seq_lengths is None else jnp.asarray(seq_lengths)
        mask = jnp.arange(source.shape[-1]) < lengths[..., None]
        self.check_source(source, mask)
        below, inside = (None, None) if dropout_key is None else jax.random.split(dropout_key)
        embedded = drop(self.dropout, self.source(jnp.where(mask, source, 0)), below)
        outputs = self.encoder(embedded, seq_lengths=lengths, return_carry=False, dropout_key=inside)
        last = self._summary(outputs, lengths)
        carry = jax.tree.map(lambda linear: jnp.tanh(linear(last)), self.start, is_leaf=_is_linear)
        return carry, Memory(outputs, mask)

    def check_source(self, source: Any, mask: Any = None) -> None:
        """Raises TypeError for tokens that are not integers, ValueError for tokens outside the vocabulary if known."""
        check_tokens(source, self.source.num_embeddings, mask, "source tokens")

    def step(self, carry: Any, token: jax.Array, memory: Memory) -> tuple[Any, jax.Array]:
        """One step of decoding: ``(carry, token: int [*batch], memory)`` to ``(carry, logits [*batch, V])``."""
        carry, h = self.decoder.step(carry, self.target(token))
        return carry, self._predictions(h[..., None, :], memory)[0][..., 0, :]

    def alignment(self, source: jax.Array, previous: jax.Array, seq_lengths: Any = None) -> jax.Array:
        """The attention weights ``[*batch, T, S]`` of each target step over the source.

        Raises:
            ValueError: the model has no attention.
        """
        if self.attention is None:
            raise ValueError("the model has no attention; allowed: one with it. Build it with attention=True.")
        carry, memory = self.encode(source, seq_lengths)
        _, hs = self.decoder(self.target(previous), initial_carry=carry, return_carry=True)
        return self._predictions(hs, memory)[1]

    def _predictions(self, hs: jax.Array, memory: Memory, key: Any = None) -> tuple[jax.Array, Any]:
        weights = None
        if self.attention is not None:
            read, weights = self.attention(hs, memory.outputs, memory.mask)
            hs = jnp.concatenate([hs, read], axis=-1)
        return self.head(drop(self.dropout, hs, key)), weights

    def _summary(self, outputs: jax.Array, lengths: jax.Array) -> jax.Array:
        """The last output ``[*batch, M]``, of each direction at its end."""
        last = jnp.take_along_axis(outputs, (lengths - 1)[..., None, None], axis=-2)[..., 0, :]
        if not _runs_both_ways(self.encoder):
            return last
        half = outputs.shape[-1] // 2
        return jnp.concatenate([last[..., :half], outputs[..., 0, half:]], axis=-1)


show_signature(EncoderDecoder)


def _runs_both_ways(layer: Any) -> bool:
    top = layer.layers[-1] if isinstance(layer, Stack) else layer
    return isinstance(top, Bidirectional)


def _is_linear(leaf: Any) -> bool:
    return isinstance(leaf, nnx.Linear)


def _sizes(what: str, layer: Any) -> tuple[int, int]:
    """D and O of a layer; raises if it cannot be used."""
    if not isinstance(layer, RNN | Bidirectional | Stack):
        raise TypeError(f"the {what} is a {type(layer).__name__}; allowed: a layer, such as rx.LSTM or rx.RNN(cell).")
    if what == "decoder" and _runs_both_ways(layer):
        raise ValueError("the decoder runs in both directions; allowed: forward, as it writes one token at a time.")
    if layer.time_major:
        raise ValueError(f"the {what} is time-major; allowed: batch-major. Build it with time_major=False.")
    if layer.in_features is None or layer.out_features is None:
        raise ValueError(f"the {what} does not tell its sizes (a Foreign cell); allowed: a layer that does.")
    top = layer.layers[-1] if isinstance(layer, Stack) else layer
    if isinstance(top, Bidirectional) and top.merge_fn is not concatenate:
        raise ValueError(f"the {what} merges its directions by {top.merge_fn}; allowed: concatenated. Leave merge_fn.")
    return layer.in_features, layer.out_features
