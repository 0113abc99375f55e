"""Greedy decoding of networks trained with CTC."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp


@functools.partial(jax.jit, static_argnames="blank")
def ctc_greedy(logits: jax.Array, lengths: jax.Array | None = None, blank: int = 0) -> tuple[jax.Array, jax.Array]:
    """Tokens of the likeliest path: from ``logits: [*batch, T, V]`` to tokens ``[*batch, T]`` and lengths ``[*batch]``.

    It takes the likeliest token of each step, merges repeated tokens, and then drops blanks: with blank -, the path ``-
    a a - a b b`` is ``a a b``. This is not always the likeliest text, whose probability is a sum over paths.

    Args:
        logits: logits of V tokens including the blank.
        lengths: lengths of the sequences, int ``[*batch]``; None if all have T steps. Later steps are ignored.
        blank: the number of the blank token.

    Returns:
        Tokens, int32 ``[*batch, T]``, filled up with ``blank``, and their number, int32 ``[*batch]``.

    Raises:
        ValueError: the blank is outside 0 to V - 1, or the logits have fewer than two axes.

    Source: Graves et al. (2006), "Connectionist temporal classification", section 3.2.
    """
    if logits.ndim < 2 or not 0 <= blank < logits.shape[-1]:
        raise ValueError(
            f"logits of shape {logits.shape} with blank={blank}; allowed: [*batch, T, V] and a blank from 0 to V - 1. "
            "Give the token that the loss was given."
        )
    *batch, T, V = logits.shape
    steps = jnp.full(batch, T, jnp.int32) if lengths is None else jnp.asarray(lengths, jnp.int32)
    tokens, counts = jax.vmap(functools.partial(_one, blank=blank))(logits.reshape(-1, T, V), steps.reshape(-1))
    return tokens.reshape(*batch, T), counts.reshape(batch)


def _one(logits: jax.Array, length: jax.Array, blank: int) -> tuple[jax.Array, jax.Array]:
    """Decodes one sequence ``[T, V]``."""
    path = jnp.argmax(logits, axis=-1).astype(jnp.int32)
    T = len(path)
    changed = path != jnp.concatenate([jnp.full(1, -1, jnp.int32), path[:-1]])
    kept = changed & (path != blank) & (jnp.arange(T) < length)
    places = jnp.where(kept, jnp.cumsum(kept) - 1, T)  # index T is outside and dropped
    return jnp.full(T, blank, jnp.int32).at[places].set(path, mode="drop"), jnp.sum(kept, dtype=jnp.int32)
