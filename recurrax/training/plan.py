"""The settings of a fit: the training plan and the output."""

from __future__ import annotations

import dataclasses
import operator
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jax
import numpy as np

from recurrax.storage.folders import expanded
from recurrax.training.run import check_precision

if TYPE_CHECKING:
    from recurrax.training.history import History

SEEDS = 2**32  # JAX takes a seed modulo this number
LARGEST = float(np.finfo(np.float32).max)  # largest value of a sweep, because runs store the values as float32


@dataclasses.dataclass(frozen=True)
class Plan:
    """The training plan: all seeds at all points of the sweep, in one compiled program.

    Scalars and arrays of NumPy and JAX, lists and ranges are accepted as numbers.

    Args:
        steps: largest number of updates of each run.
        batch_size: new examples for each update; for a `FiniteTask` they are drawn from the training split.
        chunk: updates between two evaluations; this is the resolution of the steps to the criterion.
        held_out: examples per evaluation, the same ones every time and for every run. For a `FiniteTask` it is the
            batch size for evaluating the whole validation split; a `Stream` is always evaluated as a whole.
        seeds: seeds of the runs, from 0 to 2**32 - 1; all of them are reported.
        sweep: values of hyperparameters by name, e.g. ``{"learning_rate": (1e-3, 3e-3)}``; numbers only, because they
            become arrays. Each name is an argument of ``build``, ``optimizer`` or ``penalty``.
        stop_when_solved: stop when every run has met the criterion or diverged.
        freeze_solved: stop updating a run once it has met the criterion.
        precision: "float32" or "bfloat16" for the model's computation; None uses the dtype of the parameters.
        devices: number of devices to use; by default all devices of every host.
        patience: stop a run after this number of successive evaluations without improvement of the monitored metric;
            None means never.

    Raises:
        ValueError: there are no seeds, a seed occurs twice, a number is out of range, a sweep has other values than
            different finite numbers, or the precision is unknown.
    """

    steps: int = 2000
    batch_size: int = 32
    chunk: int = 50
    held_out: int = 512
    seeds: Sequence[int] = (0, 1, 2, 3, 4)
    sweep: Mapping[str, Sequence[float]] = dataclasses.field(default_factory=dict)
    stop_when_solved: bool = True
    freeze_solved: bool = False
    precision: str | None = None
    devices: int | None = None
    patience: int | None = None

    def __post_init__(self) -> None:
        for name in ("steps", "batch_size", "chunk", "held_out", "devices", "patience"):
            value = getattr(self, name)
            if value is not None or name not in ("devices", "patience"):
                object.__setattr__(self, name, _count("Plan", name, value))
        for name in ("stop_when_solved", "freeze_solved"):
            object.__setattr__(self, name, _switch("Plan", name, getattr(self, name)))
        object.__setattr__(self, "seeds", _seeds(self.seeds))
        object.__setattr__(self, "sweep", _sweep(self.sweep))
        check_precision(self.precision)


@dataclasses.dataclass(frozen=True)
class Output:
    """The output of a fit: progress and files.

    Args:
        folder: a folder for this run alone, with checkpoints, ``metrics.jsonl``, ``metrics.csv``, ``settings.json``,
            and at the end ``best/``, the best model of each run, see `recurrax.load`. With the same folder and settings
            a fit resumes where it stopped. ``~`` is the home folder; None writes nothing.
        title: label of the progress; "" means "training".
        progress: None shows a bar in terminals and notebooks, and elsewhere occasional lines if there is a title; True
            shows the lines without a title too; False shows nothing.
        checkpoint_every: updates between checkpoints, rounded to whole chunks; by default every chunk, so that a crash
            loses at most one chunk.
        keep: number of latest checkpoints to keep.
        tensorboard: also write TensorBoard's event files (needs the extra ``tensorboard``).
        config: additional values that must be equal for a run to resume, e.g. an experiment's settings; stored with the
            run.
        on_chunk: function called after every evaluation with the history so far, e.g. to plot it.

    Raises:
        ValueError: a number is below 1, or ``progress`` is not one of the three values.
    """

    folder: str | Path | None = None
    title: str = ""
    checkpoint_every: int | None = None
    keep: int = 2
    tensorboard: bool = False
    config: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    on_chunk: Callable[[History], None] | None = None
    progress: bool | None = None

    def __post_init__(self) -> None:
        if self.folder is not None:
            object.__setattr__(self, "folder", expanded(self.folder))
        object.__setattr__(self, "keep", _count("Output", "keep", self.keep))
        if self.checkpoint_every is not None:
            every = _count("Output", "checkpoint_every", self.checkpoint_every)
            object.__setattr__(self, "checkpoint_every", every)
        if self.progress is not None:
            object.__setattr__(self, "progress", _switch("Output", "progress", self.progress, "True, False or None"))


def _count(where: str, name: str, value: Any) -> int:
    number = _integer(value)
    if number is None or number < 1:
        raise ValueError(f"{where} got {name}={value!r}; allowed: an int >= 1. Try {name}=100.")
    return number


def _switch(where: str, name: str, value: Any, allowed: str = "True or False") -> bool:
    value = _plain(value)
    if not isinstance(value, bool):
        raise ValueError(f"{where} got {name}={value!r}; allowed: {allowed}. Try {name}=True.")
    return value


def _seeds(seeds: Any) -> tuple[int, ...]:
    numbers = [_integer(seed) for seed in _entries(seeds)]
    fine = {number for number in numbers if number is not None and 0 <= number < SEEDS}
    if not numbers or len(fine) < len(numbers):
        raise ValueError(
            f"Plan got seeds={seeds!r}; allowed: one or more, all different, each an int from 0 to 2**32 - 1, as JAX "
            "takes seeds modulo 2**32. Try seeds=(0, 1, 2)."
        )
    return tuple(number for number in numbers if number is not None)


def _sweep(sweep: Any) -> dict[str, tuple[float, ...]]:
    if not isinstance(sweep, Mapping):
        raise ValueError(
            f"Plan got sweep={sweep!r}; allowed: a dict of numbers by name. "
            'Try sweep={"learning_rate": (1e-3, 1e-2)}.'
        )
    return {name: _numbers(name, values) for name, values in sweep.items()}


def _numbers(name: str, values: Any) -> tuple[float, ...]:
    numbers = [_plain(value) for value in _entries(values)]
    for number in numbers:
        sized = isinstance(number, int | float) and not isinstance(number, bool)
        if not sized or not abs(number) <= LARGEST:  # also rejects NaN
            raise ValueError(
                f"sweep {name} holds {number!r}; allowed: finite numbers, which float32 can hold. Make it a fit of its "
                "own."
            )
    if not numbers or len({float(np.float32(number)) for number in numbers}) < len(numbers):
        raise ValueError(
            f"sweep {name}={values!r}; allowed: one or more different numbers, also as float32, which a run holds. Try "
            f"{name}=(1e-3, 1e-2)."
        )
    return tuple(numbers)


def _entries(values: Any) -> list[Any]:
    """The entries of a sequence or an array; empty for other values."""
    if isinstance(values, str | bytes | Mapping) or not isinstance(values, Iterable) or not getattr(values, "ndim", 1):
        return []
    return list(values)


def _plain(value: Any) -> Any:
    """The Python number of a NumPy or JAX scalar; other values are returned unchanged."""
    if isinstance(value, np.generic | np.ndarray | jax.Array) and value.ndim == 0:
        return value.item()
    return value


def _integer(value: Any) -> int | None:
    value = _plain(value)
    try:
        return None if isinstance(value, bool) else operator.index(value)
    except TypeError:
        return None
