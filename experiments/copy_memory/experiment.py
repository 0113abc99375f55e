"""Tunes and trains every cell at every delay, writes the record after each, and prints what was found."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from experiments import parts
from experiments.copy_memory import figure, tables
from experiments.copy_memory.config import Config
from experiments.criterion import LossBelow
from experiments.models import clipped_adam
from experiments.tuning import grid_plan, report_plan, tune_and_train
from recurrax import report
from recurrax.tasks import Copy, Example
from recurrax.training import History
from recurrax.training.fit import TEST_KEY
from recurrax.training.run import batch

NAME = "copy_memory"


def prepare(config: Config) -> dict[int, LossBelow]:
    """Everything that can be wrong with the settings, found before anything is compiled; gives the tasks by delay."""
    for rate in config.learning_rate:
        clipped_adam(rate)
    grid_plan(config)
    report_plan(config, config.learning_rate[0], True)
    report.check_folder(config.out)
    tasks = (Copy(delay, config.variant) for delay in config.delays)
    return {task.delay: LossBelow(task, config.share * task.chance_level()) for task in tasks}


def main(config: Config, tasks: dict[int, LossBelow]) -> dict[str, Any]:
    """Measures, prints the tables, and writes record, table and figure; gives the record."""
    measured = {
        f"T={delay} {cell}": functools.partial(measure, config, delay, task, cell)
        for delay, task in tasks.items()
        for cell in config.cells
    }
    record = parts.measure(NAME, config, measured)
    print(render(record, config.out))
    return record


def measure(config: Config, delay: int, task: LossBelow, cell: str) -> dict[str, Any]:
    """A cell at a delay."""
    entry, history = tune_and_train(config, f"copy memory, T = {delay} ({config.variant})", task, cell)
    symbols, sequences = recalled(history, task, config.held_out)
    return {"delay": delay, **entry, "symbols": symbols, "sequences": sequences}


def recalled(history: History, task: LossBelow, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Shares of recalled symbols and of whole recalls that are right, of the best model of each run: ``[S]`` each.

    The examples are those of the test.
    """
    examples = batch(task, jax.random.key(TEST_KEY), size)
    memorized = (task.sequence_length - task.task.delay) // 2  # type: ignore[attr-defined]

    @jax.jit
    @functools.partial(jax.vmap, in_axes=(0, None))
    def shares(model: Any, examples: Example) -> tuple[jax.Array, jax.Array]:
        right = jnp.argmax(model(examples.inputs), axis=-1) == examples.targets
        right = right[:, -memorized:]
        return jnp.mean(right), jnp.mean(jnp.all(right, axis=1))

    symbols, sequences = shares(history.best_model, examples)
    return np.asarray(symbols), np.asarray(sequences)


def render(record: dict[str, Any], folder: Path) -> str:
    """Writes the tables and the figure of a record beside it; gives the tables."""
    return parts.publish(record, folder, tables.document, figure.draw)
