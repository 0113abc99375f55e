"""Runs the rows, all trials of a row in one program; writes record, table and figure."""

from __future__ import annotations

import dataclasses
import functools
import time
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from experiments import parts
from experiments.hochreiter1997 import figure, guessing, tables
from experiments.hochreiter1997.config import Config
from experiments.hochreiter1997.network import Network, weights
from experiments.hochreiter1997.online import Setup, Trial, examine, train
from experiments.hochreiter1997.published import GUESSING
from experiments.hochreiter1997.rows import setups
from experiments.hochreiter1997.sources import fresh, sets
from recurrax import report
from recurrax.tasks import EmbeddedReber, TwoSequence

NAME = "hochreiter1997"
GUESSES = 1_000_000
POINTS = 60  # of a learning curve that the record keeps
BINS = 10  # of targets


def prepare(config: Config) -> None:
    """Finds everything that can be wrong with the settings before anything is compiled."""
    setups(config.length)
    report.check_folder(config.out)


def main(config: Config, prepared: None = None) -> dict[str, Any]:
    """Runs, prints the table, and writes record, table and figure; gives the record."""
    measured = {row: functools.partial(guess if row in GUESSING else run, config, row) for row in config.rows}
    record = parts.measure(NAME, config, measured)
    print(render(record, config.out))
    return record


def render(record: dict[str, Any], folder: Path) -> str:
    """Writes the table and the figure of a record beside it; gives the table."""
    return parts.publish(record, folder, tables.document, figure.draw)


def setup_of(config: Config, row: str) -> Setup:
    """The row with what the settings change."""
    setup = setups(config.length)[row]
    setup = dataclasses.replace(setup, trials=config.trials or setup.trials, cap=config.cap or setup.cap)
    return dataclasses.replace(setup, chunk=min(setup.chunk, setup.cap))


def guess(config: Config, row: str) -> dict[str, Any]:
    """A row of random weight guessing; its values that tell the class are the number in its name."""
    task = TwoSequence(config.length, "hochreiter1997-3a", int(row.split("-")[1]))
    return guessing.guess(task, config.trials or 10, config.cap or GUESSES, config.seed, config.test)


def run(config: Config, row: str) -> dict[str, Any]:
    """All trials of a row until each has met its rules or the cap; then a test of the nets on fresh sequences."""
    setup, began = setup_of(config, row), time.perf_counter()
    strings = isinstance(setup.task, EmbeddedReber)
    sources = sets(setup.task, setup.trials, config.seed) if strings else fresh(setup.trials)
    trials, curve = train(setup, sources, config.seed, row)
    keys = jax.vmap(lambda key: jax.random.fold_in(key, 0xF4E5))(trials.key)
    trials = trials._replace(source=fresh(setup.trials))
    wrong, error = jax.jit(jax.vmap(functools.partial(test, setup, config.test)))(trials, keys)
    entry = {
        "weights": weights(Network(setup.net, setup.task, rngs=nnx.Rngs(0))),
        "trials": setup.trials,
        "cap": setup.cap,
        "met": np.asarray(trials.met).T,
        "wrong": np.asarray(wrong).T.astype(int),
        "error": np.asarray(error).T,
        "added": np.asarray(trials.on),
        "curve": thin(curve),
        "seconds": time.perf_counter() - began,
    }
    if setup.task.out_features == 1:
        shares = jax.jit(jax.vmap(functools.partial(by_target, setup, config.test)))(trials, keys)
        entry["by_target"] = np.asarray(shares)
    return entry


def test(setup: Setup, size: int, trial: Trial, key: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Wrong answers and mean error on fresh sequences, of the net kept for each rule: two arrays ``[rules]``."""

    def one(network: Network) -> tuple[jax.Array, jax.Array]:
        return examine(setup, trial, network, key, size, limit=size + 1)

    return jax.lax.map(one, trial.kept)


def by_target(setup: Setup, size: int, trial: Trial, key: jax.Array) -> jax.Array:
    """Share of wrong answers where the target is in each tenth of [0, 1]; NaN where none was drawn: ``[10]``."""
    examples = trial.source.batch(setup.task, key, size)
    network = jax.tree.map(lambda leaf: leaf[-1], trial.kept)
    wrong = jax.vmap(lambda example: setup.judge(setup.task, network(example.inputs), example)[0])(examples)
    target = jnp.sum(examples.targets[..., 0] * examples.weights, axis=1)
    bins = jnp.clip(jnp.floor(BINS * target), 0, BINS - 1)[:, None] == jnp.arange(BINS)
    return jnp.sum(wrong[:, None] * bins, axis=0) / jnp.sum(bins, axis=0)


def thin(curve: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Some points of the curves, medians over trials."""
    count = len(curve["sequences"])
    at = np.unique(np.round(np.geomspace(1, count, POINTS)).astype(int)) - 1
    return {
        "sequences": curve["sequences"][at],
        "wrong": np.median(curve["wrong"], axis=0)[at],
        "error": np.median(curve["error"], axis=0)[at],
    }
