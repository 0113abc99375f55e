"""Comparisons of the forecasts in a record of `experiments.forecasting`, with their uncertainty."""

from __future__ import annotations

from typing import Any

import numpy as np

from experiments.baselines import blocks
from experiments.lab import Record

REFERENCE = {"electricity": "weekly naive", "weather": "persistence", "stocks": "zero"}
BLOCK = {
    "electricity": 2,
    "weather": 5,
    "stocks": 4,
}  # days of a block, of stocks weeks: longer than a forecast reaches


def by_series(record: Record) -> dict[str, tuple[Any, dict[str, Any]]]:
    """The baselines and the cells of each series."""
    entries = list(record["results"].values())
    found: dict[str, tuple[Any, dict[str, Any]]] = {
        name: (next(one for one in entries if one["series"] == name and "rows" in one), {})
        for name in record["config"]["data"]
    }
    for entry in entries:
        if "cell" in entry:
            found[entry["series"]][1][entry["cell"]] = entry
    return found


def seeds(entry: Any, measure: str) -> np.ndarray:
    """A measure of every seed of a cell on the test split."""
    return np.asarray([one[measure] for one in entry["test"]], float)


def daily(entry: Any, kind: str = "absolute") -> np.ndarray:
    """Mean error of each day of the test, ``[days]``; of a cell the mean over its seeds."""
    runs = entry["test"] if "test" in entry else [entry]
    return np.mean([one["by_day"][kind] for one in runs], axis=0)


def best_baseline(base: Any, measure: str = "mae") -> str:
    """The baseline with the smallest error on the test split, which is the hardest to beat."""
    return min(base["rows"], key=lambda name: base["rows"][name][measure])


def compared(entry: Any, other: Any, name: str) -> tuple[float, float, float]:
    """MAE over that of another forecast of the same days, with a 95% interval of the block bootstrap."""
    counts = np.asarray((other if "by_day" in other else other["test"][0])["by_day"]["count"], float)
    ours, theirs = daily(entry) * counts, daily(other) * counts
    return (float(ours.sum() / theirs.sum()), *blocks.ratio(ours, theirs, BLOCK[name]))


def skill(entry: Any, base: Any) -> tuple[float, float, float]:
    """R2 against a forecast of 0, with a 95% interval of the block bootstrap over days."""
    one = entry["test"][0] if "test" in entry else entry
    counts = np.asarray(one["by_day"]["count"], float)
    errors, total = daily(entry, "squared") * counts, np.asarray(base["squared_targets"]) * counts
    low, high = blocks.ratio(errors, total, BLOCK["stocks"])
    return 1 - float(errors.sum() / total.sum()), 1 - high, 1 - low


def verdict(interval: tuple[float, float, float]) -> str:
    """Whether an interval of a ratio of errors lies below 1, above it or on both sides."""
    _, low, high = interval
    return "better" if high < 1 else "worse" if low > 1 else "not told apart"
