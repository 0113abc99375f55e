"""What needs no memory: a linear classifier of all pixels at once, and the most frequent class."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from recurrax.datasets import SPLITS, Dataset


def linear(data: Dataset, penalties: Sequence[float]) -> dict[str, Any]:
    """Accuracies of logistic regression at each penalty, and which of them the validation split chooses.

    Pixels are standardised as the task does it, which takes their mean and deviation over the training split.
    """
    from sklearn.linear_model import LogisticRegression

    pixels = {split: np.asarray(getattr(data, split).images, np.float32) for split in SPLITS}
    mean, deviation = (f(pixels["train"], axis=(0, 1, 2)) for f in (np.mean, np.std))
    xs = {split: ((images - mean) / deviation).reshape(len(images), -1) for split, images in pixels.items()}
    ys = {split: np.asarray(getattr(data, split).labels) for split in SPLITS}
    entry: dict[str, Any] = {"penalty": list(penalties), "validation": [], "test": [], "iterations": []}
    for penalty in penalties:
        model = LogisticRegression(C=1 / penalty, max_iter=1000).fit(xs["train"], ys["train"])
        entry["iterations"].append(int(np.max(model.n_iter_)))
        for split in ("validation", "test"):
            entry[split].append(float(model.score(xs[split], ys[split])))
    entry["chosen"] = int(np.argmax(entry["validation"]))
    return entry


def majority(data: Dataset) -> float:
    """Test accuracy of always naming the class that is most frequent in the training split."""
    labels = np.asarray(data.train.labels)
    return float(np.mean(np.asarray(data.test.labels) == np.bincount(labels).argmax()))
