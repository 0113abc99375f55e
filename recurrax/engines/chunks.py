"""Chunks of time: a long sequence runs as a loop over short ones, which bounds the memory."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from recurrax.cell import Carry

BRANCHES = 16  # with "log", the ratio of two successive chunk sizes; 3 sizes reach T = 65,536


def in_chunks(
    run: Callable[[Carry, Any], tuple[Carry, Any]], carry: Carry, inputs: Any, size: int
) -> tuple[Carry, Any]:
    """Scans ``run(carry, inputs) -> (carry, outputs)`` over chunks of ``size`` steps; the last may be shorter."""
    T = jax.tree.leaves(inputs)[0].shape[0]
    if T <= size:
        return run(carry, inputs)
    full = T // size * size
    carry, ys = jax.lax.scan(run, carry, separate(jax.tree.map(lambda a: a[:full], inputs), size))
    ys = join(ys)
    if full == T:
        return carry, ys
    carry, rest = run(carry, jax.tree.map(lambda a: a[full:], inputs))
    return carry, jax.tree.map(lambda a, b: jnp.concatenate([a, b]), ys, rest)


def separate(tree: Any, size: int) -> Any:
    """Splits arrays ``[T, ...]`` into ``[T / size, size, ...]``."""
    return jax.tree.map(lambda a: a.reshape(-1, size, *a.shape[1:]), tree)


def join(tree: Any) -> Any:
    """The inverse of `separate`."""
    return jax.tree.map(lambda a: a.reshape(-1, *a.shape[2:]), tree)


def divisor(T: int, size: int | None) -> int | None:
    """The largest divisor of T up to ``size``; None, for no chunks, if that is T itself or far below ``size``."""
    if size is None or size >= T:
        return None
    best = max(d for d in range(1, size + 1) if T % d == 0)
    return best if 4 * best >= size else None


def chunk_sizes(sizes: int | tuple[int, ...] | str | None, T: int) -> tuple[int, ...]:
    """Nested sizes of chunks, largest first, for T steps."""
    if sizes is None:
        return ()
    if sizes == "sqrt":
        return (math.isqrt(T - 1) + 1,)
    if sizes == "log":
        levels = max(1, math.ceil(math.log(T, BRANCHES)) - 1)
        return tuple(BRANCHES**level for level in range(levels, 0, -1))
    return sizes if isinstance(sizes, tuple) else (sizes,)  # type: ignore[return-value]


def check_sizes(sizes: Any) -> None:
    """Raises ValueError if `chunk_sizes` does not accept ``checkpoint_every``."""
    if sizes is None or sizes in ("sqrt", "log"):
        return
    each: Any = sizes if isinstance(sizes, tuple) and sizes else (sizes,)
    whole = all(isinstance(size, int) and not isinstance(size, bool) and size >= 1 for size in each)
    if not whole or any(large % small or large == small for large, small in itertools.pairwise(each)):
        raise ValueError(
            f"Scan got checkpoint_every={sizes!r}; allowed: an int >= 1, 'sqrt', 'log', None, or a tuple of ints, each "
            "a multiple of the next one. Try checkpoint_every='sqrt' or leave it out."
        )
