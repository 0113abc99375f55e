"""Scores of unusual days that need no network: distances from usual days, and an isolation forest."""

from __future__ import annotations

import numpy as np


def distance(values: np.ndarray, usual: np.ndarray) -> np.ndarray:
    """Mean distance of each day from what was usual, ``[N]``; missing values do not count. Both ``[N, F]``."""
    return np.nanmean(np.abs(values - usual), axis=1)


def isolation(values: np.ndarray, train: np.ndarray, trees: int = 300) -> np.ndarray:
    """The isolation of each day among the training days, ``[N]``, by scikit-learn's IsolationForest.

    Args:
        values: ``[N, F]``; missing values count as 0.
        train: the days that the forest is fitted to.
        trees: of the forest.

    Source: Liu, Ting & Zhou (2008), "Isolation forest".
    """
    from sklearn.ensemble import IsolationForest

    filled = np.nan_to_num(values)
    return -IsolationForest(n_estimators=trees, random_state=0).fit(filled[train]).score_samples(filled)
