"""Measures kernels, slopes and learning, writes the record after each part, and prints what was found."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

from experiments import parts
from experiments.initialization import figure, kernels, slopes, tables, training
from experiments.initialization.config import Config
from experiments.models import clipped_adam
from recurrax import report
from recurrax.tasks import Adding

NAME = "initialization"


def prepare(config: Config) -> None:
    """Finds everything that can be wrong with the settings before anything is compiled."""
    for rate in config.learning_rate:
        clipped_adam(rate)
    Adding(config.length)
    training.plan_of(config, 1)
    report.check_folder(config.out)


def main(config: Config, prepared: None = None) -> dict[str, Any]:
    """Measures, prints the tables and the findings, and writes record, table and figure; gives the record."""
    measured: dict[str, Any] = {"kernels": functools.partial(kernels.measure, config)}
    for kind, measure in (("slopes", slopes.measure), ("training", training.learn)):
        measured |= {f"{kind} {cell}": functools.partial(measure, config, cell) for cell in config.cells}
    record = parts.measure(NAME, config, measured)
    print(render(record, config.out))
    return record


def render(record: dict[str, Any], folder: Path) -> str:
    """Writes the tables and the figure of a record beside it; gives the tables."""
    return parts.publish(record, folder, tables.document, figure.draw)
