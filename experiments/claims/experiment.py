"""Measures everything the claims are about, writes the record after each part, and prints the verdicts."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

from experiments import parts
from experiments.claims import figure, flow, structure, tables, training
from experiments.claims.config import Config
from experiments.models import clipped_adam
from recurrax import report
from recurrax.tasks import Adding
from recurrax.training import Plan

NAME = "claims"


def prepare(config: Config) -> None:
    """Finds everything that can be wrong with the settings before anything is compiled."""
    for rate in (*config.learning_rate, *config.stability_rates):
        clipped_adam(rate)
    for length in config.lengths:
        Adding(length)
    Plan(steps=config.steps, batch_size=config.batch_size, chunk=config.chunk, seeds=config.seeds)
    report.check_folder(config.out)


def main(config: Config, prepared: None = None) -> dict[str, Any]:
    """Measures, prints the claims with their verdicts, and writes record, table and figure; gives the record."""
    with warnings.catch_warnings():  # that runs diverge at a learning rate of 1 is what is being measured
        warnings.filterwarnings("ignore", ".*diverged", RuntimeWarning)
        record = parts.measure(NAME, config, plan(config))
    print(render(record, config.out))
    return record


def plan(config: Config) -> dict[str, Callable[[], Any]]:
    """The parts by name. Times come first, while nothing else has warmed the machine."""
    measured: dict[str, Callable[[], Any]] = {"structure": structure.count}
    for hidden in config.cost_hidden:
        measured[f"cost H={hidden}"] = functools.partial(structure.cost, hidden, config.cost_rounds)
    measured["flow"] = functools.partial(flow.measure, config)
    for length in config.lengths:
        for cell in training.CELLS:
            measured[f"adding T={length} {cell}"] = functools.partial(training.learn, config, length, cell)
    for cell in training.CELLS:
        measured[f"stability {cell}"] = functools.partial(training.stability, config, cell)
    return measured


def render(record: dict[str, Any], folder: Path) -> str:
    """Writes the table and the figure of a record beside it; gives the table."""
    return parts.publish(record, folder, tables.document, figure.draw)
