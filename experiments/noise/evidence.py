"""The numbers of a record that tables and figure show: every seed at the better learning rate."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from recurrax.report import interval
from recurrax.tasks import Recall

Record = dict[str, Any]
WRITING = ("LSTM", "ShutLSTM", "CIFG", "GRU")  # cells with a gate on what is written


class Evidence:
    """What a record says of a cell at a delay and a level of noise."""

    def __init__(self, record: Record):
        self.config, self.results = record["config"], record["results"]
        self.cells, self.levels, self.delays = (self.config[name] for name in ("cells", "noise", "delays"))

    def task(self, delay: int, level: float) -> Recall:
        """The task of these runs."""
        return Recall(delay, noise=level)

    def runs(self, cell: str, delay: int, level: float) -> np.ndarray:
        """Indices of the runs that count: those of the learning rate with the lower median held-out loss."""
        entry = self.results[f"delay={delay} {cell}"]
        rates, levels = (np.asarray(entry["settings"][name], float) for name in ("learning_rate", "noise"))
        loss = numbers(entry["best_loss"], math.inf)
        groups = [np.flatnonzero((rates == rate) & np.isclose(levels, level)) for rate in np.unique(rates)]
        return min(groups, key=lambda group: np.median(loss[group]))

    def accuracy(self, cell: str, delay: int, level: float) -> np.ndarray:
        """Test accuracy of every seed; a run that never had a finite loss guesses."""
        entry = self.results[f"delay={delay} {cell}"]
        return numbers(entry["test_accuracy"], 0.5)[self.runs(cell, delay, level)]

    def rate(self, cell: str, delay: int, level: float) -> float:
        """The learning rate that counts."""
        entry = self.results[f"delay={delay} {cell}"]
        return float(entry["settings"]["learning_rate"][self.runs(cell, delay, level)[0]])

    def solved(self, cell: str, delay: int, level: float) -> np.ndarray:
        """Whether each seed met the criterion of its level on the test examples."""
        return np.asarray(self.task(delay, level).success(0.0, self.accuracy(cell, delay, level)))

    def pooled(self, cell: str, delays: Any, levels: Any) -> tuple[int, int]:
        """How many of how many runs solved it, at all of some delays and levels."""
        met = [self.solved(cell, delay, level) for delay in delays for level in levels]
        return int(np.sum(met)), int(np.size(met))

    def mechanism(self, quantity: str, cell: str, delay: int, level: float) -> np.ndarray:
        """What `mechanism.measure` found, every seed; null is minus infinity, where the cue does not count at all."""
        found = self.results[f"delay={delay} {cell}"]["mechanism"][quantity]
        return numbers(found, -math.inf)[self.runs(cell, delay, level)]

    def writes(self, cell: str, delay: int, level: float) -> np.ndarray:
        """Write gate at the cue and later, mean over units, then that of the most selective unit: ``[seeds, 4]``."""
        cue, later = (self.mechanism(f"write_{name}", cell, delay, level) for name in ("cue", "else"))
        most = np.argmax(cue - later, axis=-1)[:, None]
        best = [np.take_along_axis(gate, most, axis=-1)[:, 0] for gate in (cue, later)]
        return np.stack([cue.mean(axis=-1), later.mean(axis=-1), *best], axis=-1)


def numbers(values: Any, null: float) -> np.ndarray:
    """Nested lists of a record as floats."""
    array = np.asarray(values, float)
    return np.where(np.isnan(array), null, array)


def share(k: int, n: int) -> str:
    """``k/n [low, high]``."""
    low, high = interval(k, n)
    return f"{k}/{n} [{low:.2f}, {high:.2f}]"
