"""Trains every network on the short lengths and tests it on the long ones; writes the record after each part."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np

from experiments import parts
from experiments.length_generalization import figure, tables
from experiments.length_generalization.config import NETWORKS, VARIANTS, Config
from experiments.length_generalization.lengths import MixedLengths, accuracies
from experiments.temporal_order.networks import builder, penalty
from experiments.tuning import count
from recurrax import report
from recurrax.tasks import make_task
from recurrax.training import Plan, adam, fit, sgd

NAME = "length_generalization"
TEST_KEY = 2**31 - 3  # of the test at every length; neither training nor evaluation starts from it


def prepare(config: Config) -> None:
    """Finds everything that can be wrong with the settings before anything is compiled."""
    for name in config.tasks:
        task_of(config, name)
        make_task(name, config.test_lengths[0], VARIANTS[name])
    for network in NETWORKS:
        optimizer(config, network)
    plan_of(config)
    report.check_folder(config.out)


def main(config: Config, prepared: None = None) -> dict[str, Any]:
    """Measures, prints the tables, and writes record, table and figure; gives the record."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*diverged", RuntimeWarning)
        record = parts.measure(NAME, config, plan(config))
    print(render(record, config.out))
    return record


def plan(config: Config) -> dict[str, Callable[[], Any]]:
    """The parts by name, ``"task, network"``."""
    return {
        f"{name}, {network}": functools.partial(train_and_test, config, name, network)
        for name in config.tasks
        for network in config.networks
    }


def train_and_test(config: Config, name: str, network: str) -> dict[str, Any]:
    """Every seed of one network: its training, and the share of wrong answers at every length ``[lengths, S]``."""
    task, budget = task_of(config, name), plan_of(config)
    regulariser = penalty(task, config.omega_weight) if NETWORKS[network] == "SGD-CR" else None
    output = parts.output(config, f"{name} {network}", budget)
    build = builder(network, task, config.hidden)
    history = fit(build, task, optimizer(config, network), budget, output, regulariser)
    wrong = []
    for length in config.test_lengths:
        parts.say(f"    test at T = {length}")
        key = jax.random.fold_in(jax.random.key(TEST_KEY), length)
        tested = make_task(name, length, VARIANTS[name])
        wrong.append(1 - np.asarray(accuracies(tested, history.best_model, key, config.tested), float))
    return {
        **parts.outcome(history),
        "wrong": wrong,
        "chance_level": task.chance_level(),
        "criterion": task.criterion,
        "parameters": count(build),
    }


def task_of(config: Config, name: str) -> MixedLengths:
    """The task at the training lengths."""
    return MixedLengths(tuple(make_task(name, length, VARIANTS[name]) for length in config.train_lengths))


def optimizer(config: Config, network: str) -> Any:
    """The optimiser of a network."""
    if NETWORKS[network] == "Adam":
        return adam(config.adam_rate, config.clip_norm)
    return sgd(config.learning_rate, config.clip_norm)


def plan_of(config: Config) -> Plan:
    """The same for every run: the whole budget, of which the model with the lowest held-out loss is tested."""
    return Plan(
        steps=config.steps,
        batch_size=config.batch_size,
        chunk=config.chunk,
        held_out=config.held_out,
        seeds=config.seeds,
        stop_when_solved=False,
    )


def render(record: dict[str, Any], folder: Path) -> str:
    """Writes the table and the figure of a record beside it; gives the table."""
    return parts.publish(record, folder, tables.document, figure.draw)
