"""The settings, and the learning rates that the grid has chosen."""

from __future__ import annotations

import dataclasses
from typing import Literal

from experiments import lab

CELLS = ("RNN", "GRU", "LSTM")
# Adam's learning rates: those of --preset grid which solve most of its runs; a test compares them with its record.
RATES = {
    "copy": {"RNN": 1e-2, "GRU": 2e-2, "LSTM": 2e-2},
    "adding": {"RNN": 3e-3, "GRU": 2e-2, "LSTM": 2e-2},
}


@dataclasses.dataclass(frozen=True)
class Config(lab.Settings):
    """Gradients and learning of RNN, GRU and LSTM; the defaults take two to three minutes on two CPU cores."""

    seeds: tuple[int, ...] = (0, 1, 2, 3, 4)
    """Training seeds, all in one compiled program; each of them is reported."""
    cells: tuple[Literal["RNN", "GRU", "LSTM"], ...] = CELLS
    """Cells to train."""
    hidden: int = 32
    """Units of every cell (H)."""
    copy_delays: tuple[int, ...] = (2, 5, 10)
    """Delays of five-bit copy: blank steps between the bits and their recall."""
    copy_steps: int = 1200
    """Updates on copy at most, for every cell; training stops when all seeds have solved the task."""
    adding_lengths: tuple[int, ...] = (10, 30, 100)
    """Sequence lengths T of adding."""
    adding_steps: int = 600
    """Updates on adding at most, for every cell."""
    learning_rate: tuple[float, ...] | None = None
    """Adam's learning rates, for every cell and task; by default the one that the grid has chosen for each."""
    batch_size: int = 32
    """Fresh examples of an update."""
    chunk: int = 50
    """Updates between evaluations; updates to the criterion are known to this precision."""
    profile_examples: int = 16
    """Held-out sequences of each trained model for its gradient and its gates."""


GRID_RATES = (1e-3, 3e-3, 1e-2, 2e-2)
PRESETS = {
    "default": Config(),
    "grid": Config(seeds=(100, 101, 102), learning_rate=GRID_RATES),
    "smoke": Config(
        seeds=(0, 1), hidden=8, copy_delays=(1, 2), copy_steps=10, adding_lengths=(10,), adding_steps=20, chunk=10,
        profile_examples=3,
    ),
    "accelerator": Config(
        seeds=tuple(range(10)), hidden=128, copy_delays=(10, 30, 100, 300), copy_steps=20_000,
        adding_lengths=(100, 200, 400, 750), adding_steps=10_000, learning_rate=(1e-3, 3e-3), batch_size=128, chunk=250,
    ),
}  # fmt: skip
