"""Tunes and trains every cell at every length, writes the record after each, and prints what was found."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

from experiments import parts
from experiments.adding_problem import figure, tables
from experiments.adding_problem.config import Config
from experiments.criterion import LossBelow
from experiments.models import clipped_adam
from experiments.tuning import grid_plan, report_plan, tune_and_train
from recurrax import report
from recurrax.tasks import Adding

NAME = "adding_problem"


def prepare(config: Config) -> dict[int, LossBelow]:
    """Everything that can be wrong with the settings, found before anything is compiled; gives the tasks by length."""
    for rate in config.learning_rate:
        clipped_adam(rate)
    grid_plan(config)
    report_plan(config, config.learning_rate[0], True)
    report.check_folder(config.out)
    return {length: LossBelow(Adding(length, config.variant), config.loss) for length in config.lengths}


def main(config: Config, tasks: dict[int, LossBelow]) -> dict[str, Any]:
    """Measures, prints the tables, and writes record, table and figure; gives the record."""
    measured = {
        f"T={length} {cell}": functools.partial(measure, config, length, task, cell)
        for length, task in tasks.items()
        for cell in config.cells
    }
    record = parts.measure(NAME, config, measured)
    print(render(record, config.out))
    return record


def measure(config: Config, length: int, task: LossBelow, cell: str) -> dict[str, Any]:
    """A cell at a length."""
    entry, _ = tune_and_train(config, f"adding problem, T = {length} ({config.variant})", task, cell)
    return {"length": length, **entry}


def render(record: dict[str, Any], folder: Path) -> str:
    """Writes the tables and the figure of a record beside it; gives the tables."""
    return parts.publish(record, folder, tables.document, figure.draw)
