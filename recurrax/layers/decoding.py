"""Decoding with an encoder-decoder, greedily or by beam search, as compiled loops."""

from __future__ import annotations

import functools
from typing import Any

import jax
import jax.numpy as jnp

from recurrax.layers.encoder_decoder import EncoderDecoder, Memory


def greedy(
    model: EncoderDecoder, source: jax.Array, steps: int, end: int, *, seq_lengths: jax.Array | None = None
) -> jax.Array:
    """Greedy decoding, the likeliest token at every step: int ``[*batch, S]`` to int32 ``[*batch, steps]``.

    Args:
        model: an `EncoderDecoder`.
        source: tokens of the source.
        steps: the largest number of tokens to write.
        end: the token that ends a target. It also precedes the first token, and fills up targets that have ended.
        seq_lengths: int ``[*batch]``, 1 to S, of the sources.

    Raises:
        TypeError: the model is not an `EncoderDecoder`.
        ValueError: steps or end are out of range, or a source token is outside the vocabulary.
    """
    _check(model, steps, end)
    return _greedy(model, *_known(model, source, seq_lengths), steps=steps, end=end)


def beam_search(
    model: EncoderDecoder,
    source: jax.Array,
    steps: int,
    end: int,
    *,
    beams: int = 4,
    length_penalty: float = 0.0,
    seq_lengths: jax.Array | None = None,
) -> tuple[jax.Array, jax.Array]:
    r"""Beam search: keeps the best few partial sequences at every step.

    .. math:: \mathrm{score}(y) = \frac{1}{L^a} \sum_{t=1}^{L} \log P(y_t \mid y_{<t}, x)

    with L the number of tokens of y including its end, and a the length penalty. One beam without a penalty is
    `greedy`.

    Args:
        model, source, steps, end, seq_lengths: see `greedy`.
        beams: K, the number of sequences kept at every step.
        length_penalty: a; 0 prefers short targets, 1 takes the mean over tokens.

    Returns:
        The tokens ``[*batch, K, steps]``, best first, and their scores ``[*batch, K]``; the score is -inf for missing
        sequences if fewer than K were found.

    Raises:
        TypeError, ValueError: as for `greedy`; or beams is below 1, or the length penalty is below 0.

    Source: Graves (2012); length penalty: Wu et al. (2016), with ((5 + L) / 6)^a instead of L^a.
    """
    _check(model, steps, end)
    if isinstance(beams, bool) or not isinstance(beams, int) or beams < 1:
        raise ValueError(f"beam_search got beams={beams!r}; allowed: an int >= 1. Try beams=4.")
    if not length_penalty >= 0:
        raise ValueError(f"beam_search got length_penalty={length_penalty!r}; allowed: a number >= 0. Try 1.0.")
    known = _known(model, source, seq_lengths)
    return _beam_search(model, *known, jnp.float32(length_penalty), steps=steps, end=end, beams=beams)


@functools.partial(jax.jit, static_argnames=("steps", "end"))
def _greedy(model: EncoderDecoder, source: jax.Array, seq_lengths: Any, *, steps: int, end: int) -> jax.Array:
    carry, memory = model.encode(source, seq_lengths)

    def step(state: Any, _: None) -> tuple[Any, jax.Array]:
        carry, token, ended = state
        carry, logits = model.step(carry, token, memory)
        token = jnp.where(ended, end, jnp.argmax(logits, axis=-1)).astype(jnp.int32)
        return (carry, token, ended | (token == end)), token

    first = jnp.full(source.shape[:-1], end, jnp.int32)
    _, tokens = jax.lax.scan(step, (carry, first, jnp.zeros(first.shape, bool)), length=steps)
    return jnp.moveaxis(tokens, 0, -1)


@functools.partial(jax.jit, static_argnames=("steps", "end", "beams"))
def _beam_search(
    model: EncoderDecoder, source: jax.Array, seq_lengths: Any, penalty: jax.Array, *, steps: int, end: int, beams: int
) -> tuple[jax.Array, jax.Array]:
    carry, memory = model.encode(source, seq_lengths)
    batch, K, V = source.shape[:-1], beams, model.out_features

    def spread(leaf: jax.Array) -> jax.Array:
        """Repeats along a new axis of K beams after the batch axes."""
        leaf = jnp.expand_dims(leaf, len(batch))
        return jnp.broadcast_to(leaf, (*batch, K, *leaf.shape[len(batch) + 1 :]))

    def follow(leaf: jax.Array, origin: jax.Array) -> jax.Array:
        return jnp.take_along_axis(leaf, origin.reshape(*origin.shape, *(1,) * (leaf.ndim - origin.ndim)), len(batch))

    memory = Memory(*map(spread, memory))

    def step(state: Any, number: jax.Array) -> tuple[Any, None]:
        carry, written, log_p, lengths, ended = state
        before = jnp.where(number == 0, end, written[..., jnp.maximum(number - 1, 0)])
        carry, logits = model.step(carry, before, memory)
        more = jax.nn.log_softmax(logits.astype(jnp.float32), axis=-1)
        only_end = jnp.where(jnp.arange(V) == end, 0.0, -jnp.inf)  # a beam that has ended stays unchanged
        sums = log_p[..., None] + jnp.where(ended[..., None], only_end, more)
        grown = jnp.where(ended, lengths, lengths + 1)
        scores = (sums / (grown[..., None] ** penalty)).reshape(*batch, K * V)
        _, chosen = jax.lax.top_k(scores, K)
        origin, token = chosen // V, (chosen % V).astype(jnp.int32)
        log_p = jnp.take_along_axis(sums.reshape(*batch, K * V), chosen, axis=-1)
        carry, written, lengths, ended = jax.tree.map(lambda leaf: follow(leaf, origin), (carry, written, grown, ended))
        written = jnp.where(jnp.arange(steps) == number, token[..., None], written)
        return (carry, written, log_p, lengths, ended | (token == end)), None

    only_first = jnp.where(jnp.arange(K) == 0, 0.0, -jnp.inf)  # before the first step all beams are equal
    state = (
        jax.tree.map(spread, carry),
        jnp.full((*batch, K, steps), end, jnp.int32),
        jnp.broadcast_to(only_first, (*batch, K)),
        jnp.zeros((*batch, K), jnp.float32),
        jnp.zeros((*batch, K), bool),
    )
    (_, written, log_p, lengths, _), _ = jax.lax.scan(step, state, jnp.arange(steps))
    return written, log_p / lengths**penalty


def _check(model: Any, steps: int, end: int) -> None:
    if not isinstance(model, EncoderDecoder):
        raise TypeError(
            f"decoding got {type(model).__name__}; allowed: an EncoderDecoder. A SequenceModel writes by generate."
        )
    if isinstance(steps, bool) or not isinstance(steps, int) or steps < 1:
        raise ValueError(f"decoding got steps={steps!r}; allowed: an int >= 1. Try the longest target's length.")
    if isinstance(end, bool) or not isinstance(end, int) or not 0 <= end < model.out_features:
        raise ValueError(
            f"decoding got end={end!r}; allowed: an int from 0 to {model.out_features - 1}, the token that ends a "
            "target. It is the one that the task was given."
        )


def _known(model: EncoderDecoder, source: Any, seq_lengths: Any) -> tuple[jax.Array, Any]:
    """Source and lengths as arrays, checked here because their values are known."""
    source = jnp.asarray(source)
    exists = None if seq_lengths is None else jnp.arange(source.shape[-1]) < jnp.asarray(seq_lengths)[..., None]
    model.check_source(source, exists)
    return source, seq_lengths
