"""Linear forecasts: ridge regression on the whole window, and one coefficient for each step ahead."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

ALPHAS = tuple(10.0**power for power in range(-1, 6))


def ridge(
    inputs: np.ndarray, targets: np.ndarray, splits: Mapping[str, np.ndarray], alphas: Sequence[float] = ALPHAS
) -> tuple[np.ndarray, float]:
    """Forecasts of scikit-learn's ridge regression from standardised inputs, and the penalty.

    The penalty with the smallest mean absolute error on the validation split is taken; means and deviations are those
    of the training split.

    Args:
        inputs: ``[N, F]``.
        targets: ``[N, H]``.
        splits: the examples of "train", "validation" and "test".
        alphas: the penalties that are tried.

    Returns:
        Forecasts ``[N, H]`` for every example, and the penalty.
    """
    from sklearn.linear_model import Ridge

    train, validation = splits["train"], splits["validation"]
    inputs = np.asarray(inputs, np.float64)
    mean, deviation = inputs[train].mean(axis=0), inputs[train].std(axis=0)
    scaled = (inputs - mean) / np.where(deviation > 0, deviation, 1)
    found: list[tuple[float, float, Any]] = []
    for alpha in alphas:
        model = Ridge(alpha=alpha).fit(scaled[train], targets[train])
        errors = model.predict(scaled[validation]).reshape(-1, targets.shape[1]) - targets[validation]
        found.append((float(np.abs(errors).mean()), alpha, model))
    _, alpha, model = min(found, key=lambda entry: entry[0])
    return model.predict(scaled).reshape(-1, targets.shape[1]), alpha


def slopes(now: np.ndarray, targets: np.ndarray, train: np.ndarray) -> np.ndarray:
    """The least-squares phi_h of ``targets_h = phi_h now`` on the training examples, ``[H]``.

    Args:
        now: ``[N]``.
        targets: ``[N, H]``.
        train: the training examples.
    """
    x = now[train]
    return (x @ targets[train]) / (x @ x)
