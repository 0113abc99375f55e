"""What the record says, in the terms of the claims."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from experiments.compare import best_runs, marked, updates
from recurrax.report import censored, solved


class Evidence:
    """A record of `experiments.claims` as numbers; of the learning rates of a grid, that counts which solved most."""

    def __init__(self, record: dict[str, Any]):
        self.results, self.lengths = record["results"], record["config"]["lengths"]
        self.shortest, self.longest = min(self.lengths), max(self.lengths)
        self.sizes = record["config"]["cost_hidden"]
        self.batch_size = record["config"]["batch_size"]

    def run(self, cell: str, length: int) -> dict[str, np.ndarray]:
        """Of a cell at a length, the seeds at its better learning rate: updates to the criterion (inf: not met)."""
        entry = self.results[f"adding T={length} {cell}"]
        at, chosen = updates(entry), best_runs(entry)
        per_update = entry["seconds"] / (entry["steps"][-1] * len(at))
        return {
            "updates": at[chosen],
            "seconds": at[chosen] * per_update,
            "loss": np.asarray(entry["test_loss"], float)[chosen],
            "signal_to_noise": np.asarray(entry["signal_to_noise"], float)[chosen],
        }

    def count(self, cell: str, length: int) -> tuple[int, int]:
        """Seeds that solved a length, and how many there were."""
        updates = self.run(cell, length)["updates"]
        return int(np.isfinite(updates).sum()), len(updates)

    def horizon(self, cell: str) -> int:
        """The longest length that at least half of the seeds solved; 0 if there is none."""
        return max((T for T in self.lengths if 2 * self.count(cell, T)[0] >= self.count(cell, T)[1]), default=0)

    def share(self, cell: str, length: int) -> str:
        """``k/n [low, high]`` of the seeds."""
        return solved(marked(self.run(cell, length)["updates"]))

    def updates(self, cell: str, length: int) -> str:
        """Median and range of the updates to the criterion."""
        budget = int(self.results[f"adding T={length} {cell}"]["steps"][-1])
        return censored(marked(self.run(cell, length)["updates"]), budget)

    def slopes(self, name: str) -> np.ndarray:
        """Nats per step of lag of each initialisation; a gradient that is exactly zero has slope -inf."""
        return np.asarray([-math.inf if slope is None else slope for slope in self.results["flow"][name]["slopes"]])

    def factor(self, name: str) -> str:
        """Factor of the gradient per step of lag, median and range over initialisations."""
        low, median, high = np.exp(np.quantile(self.slopes(name), [0, 0.5, 1], method="nearest"))
        return f"{median:.3f} ({low:.3f} to {high:.3f})"

    def milliseconds(self, cell: str, hidden: int) -> np.ndarray:
        """Of training steps."""
        return np.asarray(self.results[f"cost H={hidden}"][cell]["training"])

    def ratio(self, cell: str, other: str, hidden: int) -> tuple[float, float, float]:
        """Time of a training step over that of another cell, turn by turn: median and quartiles."""
        low, median, high = np.quantile(
            self.milliseconds(cell, hidden) / self.milliseconds(other, hidden), [0.25, 0.5, 0.75]
        )
        return median, low, high

    def unstable(self, cell: str, *, clipped: bool) -> tuple[int, int]:
        """Runs that diverged, or whose loss rose above twice the chance level once it had settled, and how many."""
        entry = self.results[f"stability {cell}"]
        chosen = (np.asarray(entry["settings"]["clip_norm"]) <= 1) == clipped
        bad = (np.asarray(entry["diverged_at"]) >= 0) | (np.asarray(entry["spikes"], float) > 0)
        return int(bad[chosen].sum()), int(chosen.sum())
