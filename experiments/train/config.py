"""The settings, free of jax so that ``--help`` is fast."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Literal

CELLS = ("RNN", "GRU", "LSTM")
RESULTS = Path(__file__).parents[1] / "results" / "train"
FREE = {"setting": False}  # of a field that changes no number of the result, and so not the hash of its record


@dataclasses.dataclass(frozen=True)
class Sweep:
    """The grid: every seed runs at every combination, all in one program."""

    learning_rate: tuple[float, ...] = (1e-3, 3e-3, 1e-2, 3e-2)
    """Adam's learning rates."""
    clip_norm: tuple[float, ...] = (1.0,)
    """Largest norms of the gradient."""
    forget_bias: tuple[float, ...] = ()
    """Forget-gate biases, with --cells LSTM only; its default, 1, if none is given."""


@dataclasses.dataclass(frozen=True)
class Config:
    """Seeds times a grid of settings for each cell and size, on one task."""

    task: Literal["adding", "copy"] = "adding"
    """What must be remembered."""
    length: int = 100
    """Its size: sequence length T of adding, delay of copy."""
    variant: str = "arjovsky2016"
    """Its published definition."""
    cells: tuple[str, ...] = CELLS
    """Cells to train, of RNN, GRU and LSTM, one after another."""
    hidden: tuple[int, ...] = (32,)
    """Units of every cell (H), one size after another."""
    seeds: tuple[int, ...] = (10, 11, 12, 13, 14)
    """Training seeds; each of them is reported."""
    sweep: Sweep = Sweep()
    """The grid."""
    steps: int = 500
    """Updates at most, the same for every run. A larger number goes on with runs that have ended."""
    batch_size: int = 32
    """Fresh examples of an update."""
    chunk: int = 50
    """Updates between evaluations; steps to criterion are known to this precision."""
    held_out: int = 512
    """Examples of an evaluation."""
    freeze_solved: bool = False
    """A run that has met the criterion makes no further updates."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """Of the model's computation; parameters, optimiser and loss are float32 in any case."""
    devices: int | None = dataclasses.field(default=None, metadata=FREE)
    """How many devices to use; all by default. Runs are split over them first, then the batch."""
    checkpoint_every: int | None = dataclasses.field(default=None, metadata=FREE)
    """Updates between checkpoints; each chunk by default, so that a crash costs the chunk in flight."""
    keep: int = dataclasses.field(default=2, metadata=FREE)
    """How many of the last checkpoints stay."""
    tensorboard: bool = dataclasses.field(default=False, metadata=FREE)
    """Also write TensorBoard's event files."""
    fresh: bool = dataclasses.field(default=False, metadata=FREE)
    """Start again, deleting what these runs have saved."""
    out: Path = dataclasses.field(default=RESULTS, metadata=FREE)
    """Folder of the record, the table and the figure; runs/ in it holds checkpoints and metrics."""

    def __post_init__(self) -> None:
        """Refuses what cannot be run, before anything is compiled."""
        unknown = [cell for cell in self.cells if cell not in CELLS]
        if unknown or not self.cells:
            raise ValueError(f"cells={self.cells}; allowed: one or more of {', '.join(CELLS)}. Try --cells LSTM.")
        if not self.hidden or min(self.hidden) < 1:
            raise ValueError(f"hidden={self.hidden}; allowed: one or more ints >= 1. Try --hidden 32.")
        if self.sweep.forget_bias and set(self.cells) != {"LSTM"}:
            raise ValueError(
                f"sweep.forget_bias={self.sweep.forget_bias} with cells={self.cells}; allowed: the LSTM alone, for the "
                "others have no forget gate. Add --cells LSTM."
            )


SMOKE = Config(
    length=8, cells=("GRU",), hidden=(4,), seeds=(0, 1), sweep=Sweep(learning_rate=(1e-2, 2e-2)), steps=20,
    batch_size=4, chunk=10, held_out=16,
)  # fmt: skip

ACCELERATOR = Config(
    length=750, hidden=(128,), seeds=tuple(range(10, 20)), sweep=Sweep(learning_rate=(3e-4, 1e-3, 3e-3)), steps=20_000,
    batch_size=128, chunk=500,
)  # fmt: skip

PRESETS = {"default": Config(), "smoke": SMOKE, "accelerator": ACCELERATOR}
