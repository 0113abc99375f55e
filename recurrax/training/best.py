"""Saves the best model of each run in its own folder: ``<folder>/best/<seed and settings>``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils

from recurrax.saving import save
from recurrax.storage.description import describe
from recurrax.storage.folders import CheckpointError
from recurrax.training.history import History
from recurrax.training.mesh import with_keys, without_keys


def save_best(folder: Path, history: History) -> None:
    """Saves the best model of each run for `recurrax.load`; does not overwrite existing ones.

    Args:
        folder: parent of one folder per run, see `run_name`.
        history: history of a finished `fit`.

    Raises:
        CheckpointError: a model cannot be written.
    """
    abouts = [_about(history, run) for run in range(len(history))]
    new = [run for run, about in enumerate(abouts) if not _is_there(folder / run_name(history, run), about)]
    if not new:
        return
    leaves, tree = jax.tree.flatten(history.best_model)
    arrays = [_whole(without_keys(leaf)) for leaf in leaves]
    for run in new:
        one = [with_keys(leaf, array[run]) for leaf, array in zip(leaves, arrays, strict=True)]
        try:
            save(folder / run_name(history, run), jax.tree.unflatten(tree, one), overwrite=True, about=abouts[run])
        except CheckpointError as error:
            raise CheckpointError(f"{error} The run itself is saved: the same command resumes from here.") from error


def run_name(history: History, run: int) -> str:
    """The folder of a run's best model: ``seed=3`` or ``seed=3,learning_rate=0.001``."""
    settings = (f"{name}={float(values[run])!r}" for name, values in history.settings.items())
    return ",".join([f"seed={int(history.seeds[run])}", *settings])


def _about(history: History, run: int) -> dict[str, Any]:
    """Seed and settings, the model's number of updates, and its held-out metrics."""
    updates = int(history.best_at[run])
    place = np.flatnonzero(history.steps == updates)
    return {
        "seed": int(history.seeds[run]),
        "settings": {name: float(values[run]) for name, values in history.settings.items()},
        "updates": updates,
        "metrics": {name: float(values[run, place[0]]) for name, values in history.metrics.items() if len(place)},
    }


def _is_there(folder: Path, about: dict[str, Any]) -> bool:
    try:
        return json.loads((folder / "model.json").read_text())["about"] == describe(about)
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _whole(leaf: Any) -> np.ndarray:
    """The values of an array, including those on other hosts."""
    if not leaf.is_fully_addressable:
        leaf = multihost_utils.process_allgather(leaf, tiled=True)
    return np.asarray(leaf)
