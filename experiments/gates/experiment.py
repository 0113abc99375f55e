"""Trains every cell on both tasks, reads its gates, writes the record after each, and prints what was found."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

from experiments import parts
from experiments.gates import figure, tables
from experiments.gates.config import Config
from experiments.gates.reading import read
from experiments.models import builder, clipped_adam
from recurrax import report
from recurrax.tasks import Adding, Copy, MemoryTask
from recurrax.training import Plan

NAME = "gates"
Tasks = dict[str, tuple[MemoryTask, int]]


def prepare(config: Config) -> Tasks:
    """Everything that can be wrong with the settings, found before anything is compiled; gives tasks and budgets."""
    for rate in config.learning_rate:
        clipped_adam(rate)
    plan_of(config, config.adding_steps)
    report.check_folder(config.out)
    return {
        f"adding T={config.adding_length}": (Adding(config.adding_length), config.adding_steps),
        f"copy delay={config.copy_delay}": (Copy(config.copy_delay, "s4"), config.copy_steps),
    }


def main(config: Config, tasks: Tasks) -> dict[str, Any]:
    """Measures, prints the tables and the findings, and writes record, table and figure; gives the record."""
    measured = {
        f"{name} {cell}": functools.partial(learn, config, name, task, steps, cell)
        for name, (task, steps) in tasks.items()
        for cell in config.cells
    }
    record = parts.measure(NAME, config, measured)
    print(render(record, config.out))
    return record


def learn(config: Config, name: str, task: MemoryTask, steps: int, cell: str) -> dict[str, Any]:
    """Every seed and learning rate of a cell on a task, and the gates of the best models."""
    build, plan = builder(cell, task, config.hidden), plan_of(config, steps)
    history = parts.train(config, f"{name} {cell}", build, task, clipped_adam, plan)
    return {
        "task": name,
        "cell": cell,
        **parts.outcome(history),
        **read(history.best_model, task, config.examples),
        "chance_level": task.chance_level(),
        "criterion": task.criterion,
    }


def plan_of(config: Config, steps: int) -> Plan:
    """The plan of each cell."""
    return Plan(
        steps=steps,
        batch_size=config.batch_size,
        chunk=config.chunk,
        seeds=config.seeds,
        sweep={"learning_rate": config.learning_rate},
    )


def render(record: dict[str, Any], folder: Path) -> str:
    """Writes the tables and the figure of a record beside it; gives the tables."""
    return parts.publish(record, folder, tables.document, figure.draw)
