"""The power of scores of days to detect disrupted days, with intervals."""

from __future__ import annotations

from typing import Any

import numpy as np

from experiments.lab import Record

BLOCK = 3  # days of a block, as bad days come in a row
KINDS = {"both": "", "delay": ", delays alone", "departures": ", departures alone", "lateness": ", lateness"}


def area(score: np.ndarray, disrupted: np.ndarray) -> float:
    """AUROC: the probability that a disrupted day scores higher than another one, by the Mann-Whitney statistic."""
    from scipy.stats import rankdata

    ones = int(disrupted.sum())
    ranks = rankdata(score)[disrupted].sum()
    return float((ranks - ones * (ones + 1) / 2) / (ones * (len(score) - ones)))


def precision(score: np.ndarray, disrupted: np.ndarray) -> float:
    """Average precision of the days in order of their scores."""
    from sklearn.metrics import average_precision_score

    return float(average_precision_score(disrupted, score))


def drawn(days: int, draws: int = 1000) -> np.ndarray:
    """Resampled days in moving blocks, ``[draws, days]``."""
    length = min(BLOCK, days)
    starts = np.random.default_rng(0).integers(0, days - length + 1, (draws, -(-days // length)))
    return (starts[..., None] + np.arange(length)).reshape(draws, -1)[:, :days]


def interval(scores: np.ndarray, disrupted: np.ndarray, other: np.ndarray | None = None) -> tuple[float, float]:
    """95% interval of the block bootstrap for the AUROC, mean over seeds, or for the difference from another score's.

    Args:
        scores: ``[S, days]``.
        disrupted: bool ``[days]``.
        other: ``[days]``.
    """
    found = []
    for days in drawn(len(disrupted)):
        label = disrupted[days]
        if label.all() or not label.any():
            continue
        value = np.mean([area(score[days], label) for score in scores])
        found.append(value - (area(other[days], label) if other is not None else 0))
    low, high = np.quantile(found, [0.025, 0.975])
    return float(low), float(high)


def split(record: Record) -> tuple[Any, dict[str, Any]]:
    """The days' entry, and the cells by name."""
    results = record["results"]
    return results["days"], {name: entry for name, entry in results.items() if name not in ("days", "streaming")}


def all_scores(record: Record) -> dict[str, np.ndarray]:
    """Scores ``[S, days]`` by name: of the baselines one row, of the cells one a seed."""
    base, cells = split(record)
    found = {name: np.asarray([values], float) for name, values in base["scores"].items()}
    for cell, entry in cells.items():
        for kind, suffix in KINDS.items():
            found[f"{cell}{suffix}"] = np.asarray([one[kind] for one in entry["test"]], float)
    return found
