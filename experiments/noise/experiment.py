"""Trains and looks into every cell at every delay, all levels, rates and seeds in one program; writes the record."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

from experiments import parts
from experiments.models import clipped_adam
from experiments.noise import figure, tables
from experiments.noise.config import Config
from experiments.noise.levels import Apart, leveled
from experiments.noise.mechanism import measure
from recurrax import report
from recurrax.tasks import Recall
from recurrax.training import Plan

NAME = "noise"


def prepare(config: Config) -> None:
    """Finds everything that can be wrong with the settings before anything is compiled."""
    for rate in config.learning_rate:
        clipped_adam(rate)
    for delay in config.delays:
        for level in config.noise:
            Recall(delay, noise=level)
    plan_of(config)
    report.check_folder(config.out)


def main(config: Config, prepared: None = None) -> dict[str, Any]:
    """Measures, prints the tables, and writes record, table and figure; gives the record."""
    measured = {
        f"delay={delay} {cell}": functools.partial(learn, config, delay, cell)
        for delay in config.delays
        for cell in config.cells
    }
    record = parts.measure(NAME, config, measured)
    print(render(record, config.out))
    return record


def learn(config: Config, delay: int, cell: str) -> dict[str, Any]:
    """Every level, learning rate and seed of a cell at one delay, and what lets the noise into its models."""
    task = Apart(delay)
    build = leveled(cell, delay, config.hidden)
    history = parts.train(config, f"delay={delay} {cell}", build, task, clipped_adam, plan_of(config))
    chosen = {
        "best_loss": history.loss.min(axis=1),
        "mechanism": measure(history.best_model, task, cell, config.examples),
    }
    return {**parts.outcome(history), **chosen}


def plan_of(config: Config) -> Plan:
    """The plan of each cell and delay."""
    return Plan(
        steps=config.steps,
        batch_size=config.batch_size,
        chunk=config.chunk,
        held_out=config.held_out,
        seeds=config.seeds,
        sweep={"learning_rate": config.learning_rate, "noise": config.noise},
    )


def render(record: dict[str, Any], folder: Path) -> str:
    """Writes the table and the figure of a record beside it; gives the table."""
    return parts.publish(record, folder, tables.document, figure.draw)
