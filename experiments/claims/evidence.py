"""The results of a record, in the terms of the claims."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from experiments.claims.config import BRIEF, LINEAR
from experiments.claims.intervals import Effect, more_solved, paired_difference, paired_ratio, ratio
from experiments.compare import as_solved_at, rate, updates
from recurrax.report import censored, solved

FEW = 1000  # training sequences up to which data count as few
AS_OFTEN = 0.2  # difference of two shares of seeds within which a task counts as solved as often
AS_GOOD = 1.25  # ratio of errors, or of updates, within which they count as the same
AS_LONG = 1.15  # ratio of times within which they count as the same
AS_STABLE = 0.1  # difference of two shares of unstable runs within which they count as the same


class Evidence:
    """A record of `experiments.claims` as numbers."""

    def __init__(self, record: dict[str, Any]):
        self.results, self.config = record["results"], record["config"]
        self.lengths, self.sizes = self.config["lengths"], self.config["cost_hidden"]
        self.longest = max(self.lengths)
        self.short = [f"adding T={T}" for T in self.lengths if T <= BRIEF]
        self.short += [f"digits T={T}" for T in self.config["digit_steps"]]
        self.curves = [f"adding T={T}" for T in self.config["data_lengths"]] + ["digits T=8"]

    def named(self, task: str) -> str:
        """A task in words: "adding of 10 steps", "digits in 8 steps"."""
        name, T = task.split(" T=")
        return f"{name} {'in' if name == 'digits' else 'of'} {T} steps"

    def updates(self, task: str, cell: str) -> np.ndarray:
        """Updates to the criterion of every seed, infinite where it was not met within the budget."""
        return updates(self.results[f"{task} {cell}"])

    def values(self, name: str, task: str, cell: str) -> np.ndarray:
        """Another result of every seed; one that is not finite was stored as null and is infinite here."""
        return _numbers(self.results[f"{task} {cell}"][name])

    def count(self, task: str, cell: str) -> tuple[int, int]:
        """Seeds that solved a task, and how many there were."""
        at = self.updates(task, cell)
        return int(np.isfinite(at).sum()), len(at)

    def half(self, task: str, cell: str) -> bool:
        """Whether at least half of the seeds solved a task."""
        k, n = self.count(task, cell)
        return 2 * k >= n

    def horizon(self, cell: str) -> int:
        """The longest adding problem that at least half of the seeds solved; 0 if there is none."""
        return max((T for T in self.lengths if self.half(f"adding T={T}", cell)), default=0)

    def share(self, task: str, cell: str) -> str:
        """``k/n [low, high]`` of the seeds."""
        return solved(as_solved_at(self.updates(task, cell)))

    def shown_updates(self, task: str, cell: str) -> str:
        """Median and range of the updates to the criterion."""
        return censored(as_solved_at(self.updates(task, cell)), self.config["steps"])

    def solves_more(self, task: str, cell: str, other: str) -> Effect:
        """Share of the seeds that solved a task, beyond that of another cell."""
        return more_solved(self.count(task, cell), self.count(task, other), AS_OFTEN)

    def takes_longer(self, task: str, cell: str, other: str) -> Effect:
        """Updates to the criterion over those of another cell."""
        return ratio(self.updates(task, cell), self.updates(task, other), AS_GOOD)

    def slopes(self, name: str) -> np.ndarray:
        """Nats per step of lag of each initialisation whose loss reaches a state before the last; -inf: all gone."""
        entry = self.results["flow"][name]
        found = -_numbers([None if slope is None else -slope for slope in entry["slopes"]])
        return found[np.asarray(entry["reached"], bool)]

    def unreached(self) -> int:
        """Initialisations, of all starts together, whose loss reaches no state before the last."""
        return sum(not reached for entry in self.results["flow"].values() for reached in entry["reached"])

    def factor(self, name: str) -> str:
        """Factor of the gradient per step of lag, median and range over initialisations."""
        low, median, high = np.exp(np.quantile(self.slopes(name), [0, 0.5, 1], method="nearest"))
        return f"{median:.3f} ({low:.3f} to {high:.3f})"

    def time(self, cell: str, other: str, hidden: int, margin: float = AS_LONG) -> Effect:
        """Time of a training step over that of another cell, turn by turn."""
        times = self.results[f"cost H={hidden}"]
        return paired_ratio(np.asarray(times[cell]["training"]), np.asarray(times[other]["training"]), margin)

    def milliseconds(self, task: str, cell: str) -> float:
        """Median time of an update on a short task."""
        return float(np.median(self.results["cost of short sequences"][task][cell]))

    def costs_more(self, task: str, cell: str, other: str) -> Effect:
        """Time to the criterion of a short task over that of another cell: updates times the time of an update."""
        mine, its = (self.updates(task, c) * self.milliseconds(task, c) for c in (cell, other))
        return ratio(mine, its, AS_GOOD)

    def numbers(self, task: str) -> list[int]:
        """Training sequences of a learning curve."""
        return sorted({int(number) for number in self.results[f"data {task} LSTM"]["settings"]["count"]})

    def errors(self, task: str, cell: str) -> np.ndarray:
        """Held-out error of every seed at every number of training sequences, ``[S, numbers]``.

        The mean squared error of adding; of the digits the share of wrong ones, at least half of one in the test.
        """
        entry = self.results[f"data {task} {cell}"]
        counts = np.asarray(entry["settings"]["count"])
        if task.startswith("digits"):
            found = np.maximum(1 - _numbers(entry["test_accuracy"]), 0.5 / 300)
        else:
            found = _numbers(entry["test_loss"])
        return np.stack([found[counts == number] for number in self.numbers(task)], axis=1)

    def few(self, task: str) -> list[int]:
        """The numbers of training sequences that count as few; the smallest at least."""
        return [n for n in self.numbers(task) if n <= FEW] or self.numbers(task)[:1]

    def needs_data(self, task: str, cell: str, other: str) -> Effect:
        """Held-out error over that of another cell: geometric means over the few training sequences of each seed."""
        mine, its = (np.exp(np.log(self.errors(task, c)[:, : len(self.few(task))]).mean(axis=1)) for c in (cell, other))
        return ratio(mine, its, AS_GOOD)

    def unstable(self, cell: str, *, clipped: bool) -> np.ndarray:
        """Whether each run diverged, or its loss rose above twice the chance level once settled: ``[S, rates]``."""
        entry = self.results[f"stability {cell}"]
        bad = (np.asarray(entry["diverged_at"]) >= 0) | (np.asarray(entry["spikes"], float) > 0)
        chosen = (np.asarray(entry["settings"]["clip_norm"]) <= 1) == clipped
        rates = np.asarray(entry["settings"]["learning_rate"])
        return np.stack([bad[chosen & (rates == rate)] for rate in self.config["stability_rates"]], axis=1)

    def less_stable(self, cell: str, other: str, *, clipped: bool) -> Effect:
        """Share of the learning rates at which a seed is unstable, beyond that of another cell."""
        mine, its = (self.unstable(c, clipped=clipped).mean(axis=1) for c in (cell, other))
        return paired_difference(mine, its, AS_STABLE)

    def shown_unstable(self, cell: str, *, clipped: bool) -> str:
        """``k/n`` unstable runs with their interval."""
        bad = self.unstable(cell, clipped=clipped)
        return rate(int(bad.sum()), bad.size)

    def simplest(self, task: str) -> dict[str, tuple[Effect, Effect]]:
        """For each simpler model of a short task: how much oftener the LSTM solves it, and how much dearer it is."""
        return {
            model: (self.solves_more(task, "LSTM", model), self.costs_more(task, "LSTM", model))
            for model in (LINEAR, "RNN")
        }


def _numbers(values: Any) -> np.ndarray:
    found = np.asarray([math.inf if value is None else value for value in values], float)
    return np.where(np.isnan(found), math.inf, found)
