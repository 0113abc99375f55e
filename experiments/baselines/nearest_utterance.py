"""The nearest neighbour by dynamic time warping: the answer of the training sequence that is most like the query."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def dtw_distances(query: np.ndarray, references: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    r"""Distances by dynamic time warping from one sequence ``[S, D]`` to N padded ones ``[N, T, D]``, ``[N]``.

    .. math::
        d_{ij} = |q_i - r_j| + \min(d_{i-1,j}, \; d_{i-1,j-1}, \; d_{i,j-1}), \qquad d = d_{ST} / (S + T)

    The last term runs along the row: with t the least of the first two and :math:`C_j` the sum of the costs up to j,
    :math:`d_{ij} = C_j + \min_{k \le j} (t_k - C_{k-1})`, a running minimum. So a row of all N is a few operations.

    Args:
        query: the sequence that is asked about.
        references: padded with anything.
        lengths: T of each, ``[N]``.

    Source: Sakoe & Chiba (1978).
    """
    N, T, D = references.shape
    squared = (query**2).sum(axis=1)[:, None] + (references**2).sum(axis=2).reshape(1, -1)
    costs = np.sqrt(np.maximum(squared - 2 * query @ references.reshape(-1, D).T, 0)).reshape(len(query), N, T)
    sums = np.cumsum(costs, axis=2)
    row = sums[0]
    for cost, total in zip(costs[1:], sums[1:], strict=True):
        best = row.copy()
        best[:, 1:] = np.minimum(row[:, 1:], row[:, :-1])
        row = total + np.minimum.accumulate(best - (total - cost), axis=1)
    return row[np.arange(N), lengths - 1] / (len(query) + lengths)


def nearest(queries: Sequence[np.ndarray], references: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """The number of the nearest reference of each query, ``[Q]``; arguments as in `dtw_distances`."""
    return np.array([int(np.argmin(dtw_distances(query, references, lengths))) for query in queries])
