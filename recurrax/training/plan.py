"""The settings of a fit: what is trained for how long, and what is written where."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recurrax.storage import expanded
from recurrax.training.run import check_precision

if TYPE_CHECKING:
    from recurrax.training.history import History


@dataclasses.dataclass(frozen=True)
class Plan:
    """How long and on what to train: every seed at every point of the sweep, all in one compiled program.

    Args:
        steps: updates at most, for each run.
        batch_size: examples of an update, all fresh; of a `FiniteTask`, drawn from its training split.
        chunk: updates between two evaluations; steps to criterion are known to this precision.
        held_out: examples of an evaluation, the same ones every time and for every run. Of a `FiniteTask` the whole
            validation split is evaluated, and so many of its examples at once.
        seeds: one run each; all of them are reported.
        sweep: values of hyperparameters by name, e.g. ``{"learning_rate": (1e-3, 3e-3)}``; numbers only, for they
            become arrays. Each name is an argument of ``build`` or of ``optimizer``.
        stop_when_solved: end when every run has met the criterion or diverged.
        freeze_solved: a run that has met the criterion makes no further updates.
        precision: "float32" or "bfloat16" for the model's computation alone; None is that of the parameters.
        devices: how many to use; all of every host by default.
        patience: evaluations without a better monitored metric after which a run stops; None never stops one.

    Raises:
        ValueError: no seeds, the same seed twice, a number below 1, or an unknown precision.
    """

    steps: int = 2000
    batch_size: int = 32
    chunk: int = 50
    held_out: int = 512
    seeds: tuple[int, ...] = (0, 1, 2, 3, 4)
    sweep: Mapping[str, tuple[float, ...]] = dataclasses.field(default_factory=dict)
    stop_when_solved: bool = True
    freeze_solved: bool = False
    precision: str | None = None
    devices: int | None = None
    patience: int | None = None

    def __post_init__(self) -> None:
        for name in ("steps", "batch_size", "chunk", "held_out"):
            _check_count("Plan", name, getattr(self, name))
        if self.devices is not None:
            _check_count("Plan", "devices", self.devices)
        if not self.seeds or len(set(self.seeds)) < len(self.seeds):
            raise ValueError(
                f"Plan got seeds={self.seeds!r}; allowed: one or more, all different. Try seeds=(0, 1, 2)."
            )
        check_precision(self.precision)


@dataclasses.dataclass(frozen=True)
class Output:
    """What a fit shows and where it writes.

    Args:
        folder: of this run and no other: checkpoints, ``metrics.jsonl``, ``metrics.csv``, ``settings.json``, and at
            the end ``best/``, the best model of each run, see `recurrax.load`. With the same folder and settings a fit
            goes on where it stopped. ``~`` is the home folder; None writes nothing.
        title: stands before the progress; "" shows none.
        checkpoint_every: updates between checkpoints, counted in whole chunks; each chunk by default, so that a crash
            costs the chunk in flight and no more.
        keep: how many of the last checkpoints stay.
        tensorboard: also write TensorBoard's event files (needs the extra ``tensorboard``).
        config: whatever else must be the same for a run to go on, e.g. an experiment's settings; kept beside it.
        on_chunk: called after every evaluation with the history so far, e.g. to draw it.

    Raises:
        ValueError: a number below 1.
    """

    folder: str | Path | None = None
    title: str = ""
    checkpoint_every: int | None = None
    keep: int = 2
    tensorboard: bool = False
    config: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    on_chunk: Callable[[History], None] | None = None

    def __post_init__(self) -> None:
        if self.folder is not None:
            object.__setattr__(self, "folder", expanded(self.folder))
        _check_count("Output", "keep", self.keep)
        if self.checkpoint_every is not None:
            _check_count("Output", "checkpoint_every", self.checkpoint_every)


def _check_count(where: str, name: str, value: Any) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ValueError(f"{where} got {name}={value!r}; allowed: an int >= 1. Try {name}=100.")
