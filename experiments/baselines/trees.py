"""Gradient boosting of scikit-learn, a model for each step ahead, and a classifier of events."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

ROUNDS = 200
OPTIONS: dict[str, Any] = {"learning_rate": 0.05, "early_stopping": False, "random_state": 0}


def boosting(
    inputs: np.ndarray, targets: np.ndarray, splits: Mapping[str, np.ndarray], steps: Sequence[int]
) -> tuple[np.ndarray, list[int]]:
    """Forecasts of HistGradientBoostingRegressor for some steps ahead; the validation split chooses the trees.

    Args:
        inputs: ``[N, F]``.
        targets: ``[N, H]``.
        splits: the examples of "train" and "validation".
        steps: numbers of the columns of the targets to forecast.

    Returns:
        ``[N, H]``, linear between the steps that are forecast, and the number of trees of each of them.

    Source: Ke et al. (2017), "LightGBM".
    """
    from sklearn.ensemble import HistGradientBoostingRegressor

    train, validation = splits["train"], splits["validation"]
    found, trees = [], []
    for step in steps:
        model = HistGradientBoostingRegressor(**OPTIONS, max_iter=ROUNDS)
        model.fit(inputs[train], targets[train, step])
        staged = [np.abs(y - targets[validation, step]).mean() for y in model.staged_predict(inputs[validation])]
        trees.append(int(np.argmin(staged)) + 1)
        for number, prediction in enumerate(model.staged_predict(inputs), start=1):
            if number == trees[-1]:
                found.append(prediction)
                break
    known = np.stack(found, axis=1)
    whole = [np.interp(np.arange(targets.shape[1]), steps, row) for row in known]
    return np.stack(whole), trees


def classifier(inputs: np.ndarray, labels: np.ndarray, train: np.ndarray) -> np.ndarray:
    """Probability ``[N]`` of an event by HistGradientBoostingClassifier. inputs: ``[N, F]``; labels: ``[N]`` bool."""
    from sklearn.ensemble import HistGradientBoostingClassifier

    model = HistGradientBoostingClassifier(
        learning_rate=0.05,
        max_iter=ROUNDS // 2,
        early_stopping=False,  # type: ignore
        random_state=0,  # type: ignore[arg-type]  # its stub knows the word alone
    )
    return model.fit(inputs[train], labels[train]).predict_proba(inputs)[:, 1]
