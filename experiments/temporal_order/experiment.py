"""Trains every network by every method at every length, writes the record after each part, and prints the tables."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

from experiments import parts
from experiments.temporal_order import figure, tables
from experiments.temporal_order.config import METHODS, STARTS, Config
from experiments.temporal_order.networks import builder, penalty
from experiments.tuning import count
from recurrax import report
from recurrax.tasks import TemporalOrder
from recurrax.training import Plan, adam, fit, sgd

NAME = "temporal_order"


def prepare(config: Config) -> None:
    """Finds everything that can be wrong with the settings before anything is compiled."""
    for length in config.lengths:
        task_of(config, length)
    for method in METHODS:
        optimizer(config, method)
    plan_of(config)
    report.check_folder(config.out)


def main(config: Config, prepared: None = None) -> dict[str, Any]:
    """Measures, prints the tables, and writes record, table and figure; gives the record."""
    with warnings.catch_warnings():  # that runs diverge is part of what is measured
        warnings.filterwarnings("ignore", ".*diverged", RuntimeWarning)
        record = parts.measure(NAME, config, plan(config))
    print(render(record, config.out))
    return record


def plan(config: Config) -> dict[str, Callable[[], Any]]:
    """The parts by name, ``"network, method, T"``."""
    return {
        f"{network}, {method}, T={length}": functools.partial(train, config, network, method, length)
        for length in config.lengths
        for network in config.networks
        for method in config.methods
        if network in STARTS or method in ("SGD-C", "Adam")
    }


def train(config: Config, network: str, method: str, length: int) -> dict[str, Any]:
    """Every seed of one network by one method at one length."""
    task, budget = task_of(config, length), plan_of(config)
    build = builder(network, task, config.hidden)
    regulariser = penalty(task, config.omega_weight) if method == "SGD-CR" else None
    output = parts.output(config, f"{network} {method} T={length}", budget)
    history = fit(build, task, optimizer(config, method), budget, output, regulariser)
    return {**parts.outcome(history), "parameters": count(build)}


def task_of(config: Config, length: int) -> TemporalOrder:
    """The task at a length."""
    return TemporalOrder(length, "pascanu2013", config.symbols)


def optimizer(config: Config, method: str) -> Any:
    """The optimiser of a method."""
    if method == "Adam":
        return adam(config.adam_rate, config.clip_norm)
    return sgd(config.learning_rate, None if method == "SGD" else config.clip_norm)


def plan_of(config: Config) -> Plan:
    """The same for every run; a run that has succeeded is left as it is."""
    return Plan(
        steps=config.steps,
        batch_size=config.batch_size,
        chunk=config.chunk,
        held_out=config.held_out,
        seeds=config.seeds,
        freeze_solved=True,
    )


def render(record: dict[str, Any], folder: Path) -> str:
    """Writes the table and the figure of a record beside it; gives the table."""
    return parts.publish(record, folder, tables.document, figure.draw)
