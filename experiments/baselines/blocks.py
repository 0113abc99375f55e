"""Intervals for means over time, whose neighbours are not independent: the bootstrap of moving blocks."""

from __future__ import annotations

import numpy as np


def resampled(values: np.ndarray, length: int, draws: int = 2000, seed: int = 0) -> np.ndarray:
    """Sums over resampled series, made of blocks of neighbouring rows drawn with replacement.

    Args:
        values: ``[N, ...]``, one row a day or another unit of time, in order.
        length: rows of a block; as many as errors reach over. It is cut to N.
        draws: resampled series.
        seed: of the draws.

    Returns:
        ``[draws, ...]``, the sum over the N rows of each resampled series.

    Source: Künsch (1989), "The jackknife and the bootstrap for general stationary observations".
    """
    rows, length = len(values), min(length, len(values))
    starts = np.random.default_rng(seed).integers(0, rows - length + 1, (draws, -(-rows // length)))
    drawn = (starts[..., None] + np.arange(length)).reshape(draws, -1)[:, :rows]
    return values[drawn].sum(axis=1)


def ratio(numerator: np.ndarray, denominator: np.ndarray, length: int, coverage: float = 0.95) -> tuple[float, float]:
    """Interval for the ratio of two means over the same rows, ``[N]`` each, resampled together."""
    sums = resampled(np.stack([numerator, denominator], axis=-1), length)
    low, high = np.quantile(sums[:, 0] / sums[:, 1], [(1 - coverage) / 2, (1 + coverage) / 2])
    return float(low), float(high)
