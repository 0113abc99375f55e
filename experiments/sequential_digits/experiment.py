"""Trains every cell on every order, writes the record after each, and prints what was found."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

from experiments import parts
from experiments.sequential_digits import figure, tables
from experiments.sequential_digits.config import Config
from experiments.sequential_digits.linear import linear, majority
from experiments.tuning import count, start
from recurrax import datasets, report
from recurrax.tasks import SequentialImages
from recurrax.training import Plan, adam

NAME = "sequential_digits"


def prepare(config: Config) -> datasets.Dataset:
    """Everything that can be wrong with the settings, found before anything is compiled; gives the data."""
    for rate in config.learning_rate:
        adam(rate, config.clip_norm)
    plan_of(config)
    report.check_folder(config.out)
    return datasets.load(config.data, config.data_dir)


def main(config: Config, data: datasets.Dataset) -> dict[str, Any]:
    """Measures, prints the tables and the findings, and writes record, table and figure; gives the record."""
    measured = {
        "data": functools.partial(describe, data),
        "linear": functools.partial(linear, data, config.penalties),
        **{
            f"{order} {cell}": functools.partial(learn, config, data, order, cell)
            for order in config.orders
            for cell in config.cells
        },
    }
    record = parts.measure(NAME, config, measured)
    print(render(record, config.out))
    return record


def describe(data: datasets.Dataset) -> dict[str, Any]:
    """What the data are, and what a constant answer scores."""
    return {
        "name": data.name,
        "source": data.source,
        "sha256": data.sha256,
        "sizes": data.sizes,
        "majority": majority(data),
        "chance_level": SequentialImages(data).chance_level(),
    }


def learn(config: Config, data: datasets.Dataset, order: str, cell: str) -> dict[str, Any]:
    """Every seed and learning rate of a cell on an order of reading, to the end."""
    task = SequentialImages(data, order)
    build = start(cell, task, config.hidden)
    optimizer = functools.partial(adam, clip_norm=config.clip_norm)
    history = parts.train(config, f"{order} {cell}", build, task, optimizer, plan_of(config))
    return {
        "order": order,
        "cell": cell,
        "length": task.sequence_length,
        "parameters": count(build),
        **parts.outcome(history),
        "best_at": history.best_at,
    }


def plan_of(config: Config) -> Plan:
    """The plan of each cell."""
    return Plan(
        steps=config.steps,
        batch_size=config.batch_size,
        chunk=config.chunk,
        held_out=config.held_out,
        seeds=config.seeds,
        sweep={"learning_rate": config.learning_rate},
        stop_when_solved=False,
    )


def render(record: dict[str, Any], folder: Path) -> str:
    """Writes the tables and the figure of a record beside it; gives the tables."""
    return parts.publish(record, folder, tables.document, figure.draw)
