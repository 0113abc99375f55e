"""Measures gradient, loss surface and training, writes the record after each part, and prints the tables."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

from experiments import parts
from experiments.exploding_gradients import figure, gradient, surface, tables, training
from experiments.exploding_gradients.config import Config
from recurrax import report
from recurrax.engines import Scan
from recurrax.tasks import Adding
from recurrax.training import sgd

NAME = "exploding_gradients"


def prepare(config: Config) -> None:
    """Finds everything that can be wrong with the settings before anything is compiled."""
    for rate in config.learning_rate:
        sgd(rate, config.clip_norm, config.clip_value)
    Scan(clip_cotangents=config.clip_cotangents)
    Adding(config.length)
    training.plan_of(config, (0,))
    report.check_folder(config.out)


def main(config: Config, prepared: None = None) -> dict[str, Any]:
    """Measures, prints the tables, and writes record, table and figure; gives the record."""
    with warnings.catch_warnings():  # that runs diverge is what is being measured
        warnings.filterwarnings("ignore", ".*diverged", RuntimeWarning)
        warnings.filterwarnings("ignore", "overflow encountered", RuntimeWarning)
        record = parts.measure(NAME, config, plan(config))
    print(render(record, config.out))
    return record


def plan(config: Config) -> dict[str, Callable[[], Any]]:
    """The parts by name."""
    measured: dict[str, Callable[[], Any]] = {}
    for activation in gradient.SUBJECTS:
        measured[f"gradient {activation}"] = functools.partial(gradient.measure, config, activation)
    measured["surface"] = functools.partial(surface.measure, config)
    measured["descent"] = functools.partial(surface.descend, config)
    for activation in config.networks:
        measured[f"training {activation}"] = functools.partial(training.learn, config, activation)
        measured[f"recurrence {activation}"] = functools.partial(training.learn_in_recurrence, config, activation)
    return measured


def render(record: dict[str, Any], folder: Path) -> str:
    """Writes the table and the figure of a record beside it; gives the table."""
    return parts.publish(record, folder, tables.document, figure.draw)
