"""Valid steps of a batch of sequences: lengths, masks, resets, and their reversal."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from recurrax.engines.checks import check_flags
from recurrax.engines.engine import where


def existing(
    seq_lengths: Any, mask: Any, steps: tuple[int, ...], time_major: bool
) -> tuple[jax.Array | None, jax.Array | None]:
    """The mask of valid steps, ``[T, *batch]``, and the lengths; raises ValueError if both are given."""
    if seq_lengths is None:
        return flags_first("mask", mask, steps, time_major), None
    if mask is not None:
        raise ValueError(
            "seq_lengths and mask were both given; allowed: one of them. Drop one, or fold it into the other."
        )
    lengths = check_lengths(seq_lengths, steps)
    return jnp.arange(steps[0]).reshape(-1, *(1,) * len(steps[1:])) < lengths[None], lengths


def last(ys: jax.Array, mask: jax.Array | None) -> jax.Array:
    """The output of the last valid step of ``ys: [T, *batch, O]``; 0 if there is none."""
    if mask is None:
        return ys[-1]
    steps = jnp.arange(1, ys.shape[0] + 1).reshape(-1, *(1,) * (mask.ndim - 1))
    index = jnp.max(jnp.where(mask, steps, 0), axis=0)  # 1 to T; 0 means no step
    index = index.reshape(1, *index.shape, *(1,) * (ys.ndim - 1 - index.ndim))
    return jnp.where(index == 0, 0, jnp.take_along_axis(ys, jnp.maximum(index - 1, 0), axis=0))[0]


def check_lengths(seq_lengths: jax.Array, steps: tuple[int, ...]) -> jax.Array:
    """Raises if lengths are not int ``[*batch]`` from 0 to T, for ``steps = (T, *batch)``; returns int32."""
    T, *batch = steps
    if not isinstance(seq_lengths, jax.Array):
        seq_lengths = np.asarray(seq_lengths)
    if not jnp.issubdtype(jnp.result_type(seq_lengths), jnp.integer):
        raise TypeError(
            f"seq_lengths has dtype {jnp.result_type(seq_lengths)}; allowed: integers. Use seq_lengths.astype(int)."
        )
    if jnp.shape(seq_lengths) != tuple(batch):
        raise ValueError(
            f"seq_lengths has shape {jnp.shape(seq_lengths)}; allowed: one length a sequence, {tuple(batch)}. "
            "Reshape it to that shape."
        )
    if not isinstance(seq_lengths, Tracer) and isinstance(T, int):  # inside jit the values are unknown
        values = np.asarray(seq_lengths)  # NumPy keeps the value of a constant inside jit known
        low, high = values.min(), values.max()
        if low < 0 or high > T:
            raise ValueError(
                f"seq_lengths run from {low} to {high}; allowed: 0 to T = {T}. Clip them, or check which axis is time."
            )
    return jnp.clip(jnp.asarray(seq_lengths, jnp.int32), 0, T)


def flip_sequences(
    inputs: jax.Array, seq_lengths: jax.Array | None = None, num_batch_dims: int | None = None, time_major: bool = False
) -> jax.Array:
    """Reverses each sequence within its length and leaves the padding at the end: ``inputs: [*batch, T, ...]``.

    Arguments are Flax's; ``num_batch_dims`` is by default the rank of ``seq_lengths``, or 1 without lengths.
    """
    lengths = None if seq_lengths is None else jnp.asarray(seq_lengths)
    axes = num_batch_dims if num_batch_dims is not None else 1 if lengths is None else lengths.ndim
    xs = inputs if time_major else jnp.moveaxis(inputs, axes, 0)
    if lengths is None:
        xs = jnp.flip(xs, 0)
    else:
        steps = jnp.arange(xs.shape[0]).reshape(-1, *(1,) * lengths.ndim)
        source = jnp.where(steps < lengths[None], lengths[None] - 1 - steps, steps)
        xs = jnp.take_along_axis(xs, source.reshape(*source.shape, *(1,) * (xs.ndim - source.ndim)), axis=0)
    return xs if time_major else jnp.moveaxis(xs, 0, axes)


def flags_first(name: str, flags: Any, steps: tuple[int, ...], time_major: bool) -> jax.Array | None:
    """A mask or resets as bool ``[T, *batch]``; raises for other shapes and dtypes."""
    flags = check_flags(name, flags, steps if time_major else (*steps[1:], steps[0]))
    return flags if flags is None or time_major else jnp.moveaxis(flags, -1, 0)


def flip(flags: jax.Array | None) -> jax.Array | None:
    """The flags of the reversed sequence."""
    return None if flags is None else jnp.flip(flags, 0)


def flip_resets(resets: jax.Array | None, mask: jax.Array | None) -> jax.Array | None:
    """Resets for the reversed sequence, cut at the same places: a step resets if its successor starts a segment."""
    if resets is None:
        return None
    mask = jnp.ones_like(resets) if mask is None else mask
    segment = jnp.cumsum(resets & mask, axis=0)
    none = jnp.full_like(segment[:1], -1)
    # The segment of the next valid step. Segment numbers never decrease, so it is the smallest of the later ones.
    later = jax.lax.cummin(jnp.where(mask, segment, segment[-1:] + 1), axis=0, reverse=True)
    later = jnp.concatenate([later[1:], none])
    return jnp.flip((later > segment) & (later <= segment[-1:]), 0)


def restarting(
    run: Callable[..., tuple[Any, Any]], xs: jax.Array, given: Any, fresh: Any, mask: Any, resets: jax.Array
) -> tuple[Any, Any]:
    """``(carry, ys)`` of sequences that continue from a given carry, and from a fresh carry after each reset.

    An engine resets to the carry it starts from. So it runs two copies of every sequence side by side: one is valid
    before the first reset and starts from the given carry, the other is valid afterwards. Invalid outputs are 0.

    Args:
        run: ``(xs, carry, mask, resets) -> (carry, ys)``.
        xs: ``[T, *batch, D]``.
        given: the carry before the first step, ``[*batch, H]``.
        fresh: the carry after a reset, ``[*batch, H]``.
        mask: bool ``[T, *batch]``, or None.
        resets: bool ``[T, *batch]``.
    """
    exists = jnp.ones_like(resets) if mask is None else mask
    begun = jnp.cumsum(resets & exists, axis=0) > 0
    both = jnp.stack([exists & ~begun, exists & begun], axis=1)
    given = jax.tree.map(lambda a, b: jnp.broadcast_to(a, b.shape).astype(b.dtype), given, fresh)
    carries, ys = run(
        jnp.stack([xs, xs], axis=1),
        jax.tree.map(lambda a, b: jnp.stack([a, b]), given, fresh),
        both,
        jnp.stack([resets, resets], axis=1),
    )
    carry = jax.tree.map(lambda both: where(begun[-1], both[1], both[0]), carries)
    return carry, jax.tree.map(lambda y: jnp.sum(y, axis=1), ys)


def check_tokens(tokens: Any, size: int, exists: Any = None, what: str = "tokens") -> None:
    """Raises TypeError for tokens that are not integers, ValueError for tokens outside the vocabulary if known.

    Args:
        tokens: int ``[*batch, T]``.
        size: size of the vocabulary.
        exists: bool of the same shape, the tokens to check; None checks all.
        what: the name of the tokens in messages.
    """
    tokens = jnp.asarray(tokens)
    if not jnp.issubdtype(tokens.dtype, jnp.integer):
        raise TypeError(f"{what} have dtype {tokens.dtype}; allowed: integers. Write tokens.astype(int).")
    if isinstance(tokens, Tracer):
        return
    outside = (tokens < 0) | (tokens >= size)
    outside = outside if exists is None else outside & exists
    if not isinstance(outside, Tracer) and outside.any():
        found = np.asarray(tokens)[np.asarray(outside)]
        raise ValueError(
            f"{what} from {found.min()} to {found.max()} are outside the vocabulary; allowed: 0 to {size - 1}. Map "
            "other tokens to one of their own, or build the model with a larger vocabulary."
        )
