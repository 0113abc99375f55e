"""The settings of `recurrax train`."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Literal

from recurrax.cli import models
from recurrax.cli.command import HOSTS as HOSTS
from recurrax.cli.settings import FREE, Settings
from recurrax.tasks import TASKS


@dataclasses.dataclass(frozen=True)
class Base(Settings):
    """All seeds and a grid of settings for each cell and size, on one task."""

    task: Literal[*TASKS] = "adding"  # type: ignore[valid-type]
    """The memory task; `recurrax list tasks` describes the tasks."""
    length: int = 100
    """Size of the task: the delay of copy and recall, the lag of time_lag, the length of the others."""
    variant: str | None = None
    """Published definition of the task; unset: the default, see `recurrax list tasks`."""
    cells: tuple[Literal[*models.CELLS], ...] = ("RNN", "GRU", "LSTM")  # type: ignore[valid-type]
    """Cells to train, one after another."""
    hidden: tuple[int, ...] = (32,)
    """Units of every cell (H), one size after another."""
    backend: Literal[*models.BACKENDS] = "auto"  # type: ignore[valid-type]
    """Engine that runs the cells; `recurrax tune` finds the fastest."""
    seeds: tuple[int, ...] = (10, 11, 12, 13, 14)
    """Training seeds; each of them is reported."""
    learning_rate: tuple[float, ...] = (1e-3, 3e-3, 1e-2, 3e-2)
    """Learning rates of Adam. Every seed runs with each of them, and with each value of the following settings."""
    clip_norm: tuple[float, ...] = (1.0,)
    """Largest norms of the gradient, for clipping."""
    steps: int = 500
    """Largest number of updates of every run; training ends earlier once all runs have met the task's criterion. A
    larger number resumes runs that have ended."""
    batch_size: int = 32
    """New examples for each update."""
    chunk: int = 50
    """Updates between evaluations; this is the resolution of the updates to the criterion."""
    held_out: int = 512
    """Examples for each evaluation."""
    freeze_solved: bool = False
    """Stop updating a run once it has met the criterion."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """Precision of the model's computation; parameters, optimiser and loss are always float32."""
    devices: int | None = dataclasses.field(default=None, metadata=FREE)
    """Number of devices to use; unset: all. Runs are split over devices first, then the batch."""
    hosts: str | None = dataclasses.field(default=None, metadata=FREE)
    """Run the same command on several hosts: auto (reads the cluster's environment) or HOST:PORT,PROCESSES,PROCESS."""
    checkpoint_every: int | None = dataclasses.field(default=None, metadata=FREE)
    """Updates between checkpoints; unset: every chunk, so that a crash loses at most one chunk."""
    keep: int = dataclasses.field(default=2, metadata=FREE)
    """Number of latest checkpoints to keep."""
    tensorboard: bool = dataclasses.field(default=False, metadata=FREE)
    """Also write TensorBoard's event files."""
    fresh: bool = dataclasses.field(default=False, metadata=FREE)
    """Start again, and delete the saved files of these runs."""
    out: Path = dataclasses.field(default=Path("runs") / "train", metadata=FREE)
    """Folder of the record, its page and its figure, and of the checkpoints and metrics of every cell."""


Config = models.flags(Base, "Config", tasks=True)

SMOKE = Config(
    length=8, cells=("GRU",), hidden=(4,), seeds=(0, 1), learning_rate=(1e-2, 2e-2), steps=20, batch_size=4, chunk=10,
    held_out=16,
)  # fmt: skip

ACCELERATOR = Config(
    length=750, hidden=(128,), seeds=tuple(range(10, 20)), learning_rate=(3e-4, 1e-3, 3e-3), steps=20_000,
    batch_size=128, chunk=500,
)  # fmt: skip

PRESETS = {"default": Config(), "smoke": SMOKE, "accelerator": ACCELERATOR}
