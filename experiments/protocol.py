"""How a row of the baseline table is made: settings that are the same for every cell, free of jax.

For each task and cell:

1. Grid: every learning rate, for ``grid_steps`` updates, with seeds that are used for nothing else. The rate at which
   most of them meet the criterion is taken; among equals that with the fewest updates, then that with the lowest
   held-out loss (both the lower median: of two seeds, the better one).
2. Report: the other seeds at that rate, for at most ``steps`` updates. All are reported, tested once on examples
   that chose nothing.
"""

from __future__ import annotations

import dataclasses
from typing import Any

STARTS = {
    "RNN": "orthogonal U",
    "IRNN": "U = I, W from N(0, 0.001^2)",
    "GRU": "b_z = 0",
    "GRU-chrono": "b_z = log U[1, T-1]",
    "LSTM-fb0": "b_f = 0",
    "LSTM-fb1": "b_f = 1",
    "LSTM-chrono": "b_f = log U[1, T-1] = -b_i",
    "LRU": "ring 0.9 to 0.999",
    "MinGRU": "b_z = 0",
    "MinGRU-chrono": "b_z = log U[1, T-1]",
    "MinLSTM": "b_f = 1",
    "MinLSTM-chrono": "b_f = log U[1, T-1] = -b_i",
}  # cell and how it starts; T is the length of the sequence


@dataclasses.dataclass(frozen=True)
class Protocol:
    """What every experiment of the baseline table lets one choose."""

    cells: tuple[str, ...] = ("RNN", "IRNN", "GRU", "LSTM-fb0", "LSTM-fb1", "LSTM-chrono")
    """Cells with their initialisation, one after another."""
    hidden: int = 32
    """Units of every cell (H)."""
    parameters: int = 0
    """If above 0, each cell has as many units as make about that many parameters, in place of --hidden."""
    learning_rate: tuple[float, ...] = (1e-3, 3e-3, 1e-2, 3e-2)
    """Adam's learning rates, the same grid for every cell; the norm of the gradient is clipped at 1."""
    grid_seeds: tuple[int, ...] = (0, 1)
    """Seeds that choose the learning rate and are not reported."""
    grid_steps: int = 500
    """Updates of each of them."""
    seeds: tuple[int, ...] = (10, 11, 12, 13, 14)
    """Seeds that are reported, all of them."""
    steps: int = 10_000
    """Updates of each of them at most, the same for every cell."""
    batch_size: int = 32
    """Fresh examples of an update."""
    chunk: int = 100
    """Updates between evaluations; steps to criterion are known to this precision."""
    held_out: int = 512
    """Examples of an evaluation, and of the test."""

    def __post_init__(self) -> None:
        """Refuses what cannot be run, before anything is compiled."""
        unknown = [cell for cell in self.cells if cell not in STARTS]
        if unknown or not self.cells:
            raise ValueError(f"cells={self.cells}; allowed: one or more of {', '.join(STARTS)}. Try --cells LSTM-fb1.")
        shared = sorted(set(self.seeds) & set(self.grid_seeds))
        if shared or not self.grid_seeds:
            raise ValueError(
                f"grid_seeds={self.grid_seeds}, seeds={self.seeds}; allowed: one or more grid seeds, none of which is "
                "reported. Try --grid-seeds 0 1."
            )
        if not self.learning_rate:
            raise ValueError("learning_rate is empty; allowed: one or more numbers > 0. Try --learning-rate 1e-2.")
        check_at_least("hidden", self.hidden, 1)
        check_at_least("parameters", self.parameters, 0)
        check_at_least("grid_steps", self.grid_steps, 1)


def check_at_least(name: str, value: Any, least: int) -> None:
    """Raises ValueError for a number below the least one."""
    if value < least:
        flag = name.replace("_", "-")
        raise ValueError(f"{name}={value}; allowed: an int >= {least}. Try --{flag} {max(least, 32)}.")
