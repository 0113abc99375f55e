"""Combines sequences of different lengths into one array padded with zeros."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np


def is_ragged(values: Any) -> bool:
    """Whether the values are sequences that need padding: a list of trees, or of arrays of different lengths."""
    if not isinstance(values, list):
        return False
    if any(isinstance(value, dict | tuple) for value in values):
        return True
    return len({len(value) if hasattr(value, "__len__") and np.ndim(value[:1]) else None for value in values}) > 1


def tree_lengths(sequences: Sequence[Any], what: str) -> np.ndarray:
    """The lengths L_i of sequences ``[L_i, ...]`` or of trees of them, int32 ``[N]``.

    Raises:
        ValueError: a sequence is empty, there are none, or the leaves of one have different lengths.
    """
    found = []
    for number, sequence in enumerate(sequences):
        sizes = {np.shape(leaf)[0] if np.ndim(leaf) else 0 for leaf in _leaves(sequence)}
        if len(sizes) != 1 or 0 in sizes:
            raise ValueError(
                f"sequence {number} of the {what} has {' and '.join(map(str, sorted(sizes))) or 'no'} steps; allowed: "
                "one or more, the same number in all its arrays (tuples and dicts are trees of arrays). Leave out "
                "empty sequences."
            )
        found += sizes
    if not found:
        raise ValueError(f"there is no sequence of {what}; allowed: one or more. Check what was read.")
    return np.asarray(found, np.int32)


def pad(sequences: Sequence[Any], lengths: np.ndarray, length: int | None = None) -> Any:
    """Pads sequences to one array ``[N, T, ...]``, or a tree of arrays; T is the longest length, or ``length``.

    Raises:
        ValueError: a sequence is longer than ``length``, or the steps of the sequences have different shapes.
    """
    longest = int(lengths.max())
    if length is not None and longest > length:
        raise ValueError(
            f"sequence {lengths.argmax()} has {longest} steps, more than length={length}; allowed: at most that. Cut "
            "the sequences, or leave length out."
        )

    def one(*leaves: Any) -> np.ndarray:
        arrays = [np.asarray(leaf) for leaf in leaves]
        shapes = {array.shape[1:] for array in arrays}
        if len(shapes) > 1:
            raise ValueError(
                f"the steps of the sequences have shapes {sorted(shapes)}; allowed: one shape. Check which axis of "
                "each is time: the first."
            )
        steps = longest if length is None else length
        padded = np.zeros((len(arrays), steps, *shapes.pop()), np.result_type(*arrays))
        for row, array in zip(padded, arrays, strict=True):
            row[: len(array)] = array
        return padded

    return jax.tree.map(one, *sequences, is_leaf=lambda leaf: isinstance(leaf, list))


def segment(sequences: Sequence[Any], length: int, stride: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Cuts recordings into windows of equal length, each from one recording; the rest at an end is dropped.

        windows, owners = segment(recordings, length=100, stride=50)
        arrays = Arrays(windows, labels[owners], groups=people[owners])

    Give the windows groups, because windows that overlap or come from one recording must not be in two splits.

    Args:
        sequences: arrays ``[L_i, ...]``.
        length: steps of a window.
        stride: steps from one window to the next; None is the length, so that windows do not overlap.

    Returns:
        The windows ``[n, length, ...]``, and the number of the sequence of each window, int32 ``[n]``.

    Raises:
        ValueError: a sequence is shorter than a window, or a number is below 1.
    """
    stride = length if stride is None else stride
    if length < 1 or stride < 1:
        raise ValueError(f"length={length} and stride={stride}; allowed: ints >= 1. Try length=100, stride=50.")
    arrays = [np.asarray(sequence) for sequence in sequences]
    short = [number for number, array in enumerate(arrays) if len(array) < length]
    if short or not arrays:
        raise ValueError(
            f"{len(short)} of {len(arrays)} sequences are shorter than length={length}, e.g. {short[:3]}; allowed: at "
            "least one window in each. Leave them out, or lower the length."
        )
    starts = [np.arange(0, len(array) - length + 1, stride) for array in arrays]
    windows = [array[first[:, None] + np.arange(length)] for array, first in zip(arrays, starts, strict=True)]
    owners = np.repeat(np.arange(len(arrays), dtype=np.int32), [len(first) for first in starts])
    return np.concatenate(windows), owners


def first_not_finite(array: np.ndarray, lengths: np.ndarray | None = None) -> tuple[int, ...] | None:
    """The index of the first NaN or infinity at a valid step of ``[N, T, ...]``; None if there is none."""
    if not jnp.issubdtype(array.dtype, jnp.inexact):
        return None
    bad = ~np.isfinite(array)
    if lengths is not None and array.ndim > 1:
        exists = np.arange(array.shape[1]) < np.asarray(lengths)[:, None]
        bad &= exists.reshape(*exists.shape, *(1,) * (array.ndim - 2))
    if not bad.any():
        return None
    return tuple(int(place) for place in np.unravel_index(bad.argmax(), array.shape))


def _leaves(sequence: Any) -> list[Any]:
    return jax.tree.leaves(sequence, is_leaf=lambda leaf: isinstance(leaf, list))
