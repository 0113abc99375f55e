"""All trials of a row in one program, then a test of their nets."""

from __future__ import annotations

import dataclasses
import functools
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from experiments.hochreiter1997 import drift
from experiments.hochreiter1997.config import Config
from experiments.hochreiter1997.network import Network, weights
from experiments.hochreiter1997.published import GUESSING
from experiments.hochreiter1997.rows import Setup
from experiments.hochreiter1997.sources import fresh, sets
from experiments.hochreiter1997.table10 import setups
from experiments.hochreiter1997.training import Trial, examine, train
from recurrax.tasks import EmbeddedReber, Example, TwoSequence
from recurrax.training.progress import progress
from recurrax.training.run import batch

GUESSES = 1_000_000
POINTS = 60  # points of a learning curve in the record
BINS = 10  # range of targets
BOUND = 100.0  # range of guessed weights
WEIGHTS = 7  # weights from input, hidden and output unit to each of the last two, and a bias
TRAINING = 256  # sequences that must all be right
AT_ONCE = 512  # guesses


def parts(config: Config) -> dict[str, Callable[[], Any]]:
    """The rows."""
    setups(config.length)  # refuses a length that a task cannot have
    return {row: functools.partial(guess if row in GUESSING else run, config, row) for row in config.rows}


def setup_of(config: Config, row: str) -> Setup:
    """The row with what the settings change."""
    setup = setups(config.length)[row]
    setup = dataclasses.replace(setup, trials=config.trials or setup.trials, cap=config.cap or setup.cap)
    return dataclasses.replace(setup, chunk=min(setup.chunk, setup.cap))


def run(config: Config, row: str) -> dict[str, Any]:
    """All trials of a row until each has met its rules or the cap; then a test of the nets on fresh sequences."""
    setup, began = setup_of(config, row), time.perf_counter()
    strings = isinstance(setup.task, EmbeddedReber)
    sources = sets(setup.task, setup.trials, config.seed) if strings else fresh(setup.trials)
    trials, curve = train(setup, sources, config.seed, row)
    drifted = {"drift": drift.measure(setup, trials)} if strings and setup.net.by_hand else {}
    keys = jax.vmap(lambda key: jax.random.fold_in(key, 0xF4E5))(trials.key)
    trials = trials._replace(source=fresh(setup.trials))
    wrong, error = jax.jit(lambda *of: jax.lax.map(lambda each: test(setup, config.test, *each), of))(trials, keys)
    entry = drifted | {
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
        shares = jax.jit(lambda *of: jax.lax.map(lambda each: by_target(setup, config.test, *each), of))(trials, keys)
        entry["by_target"] = np.asarray(shares)
    return entry


def test(setup: Setup, size: int, trial: Trial, key: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Wrong answers and mean error on fresh sequences, of the net kept for each rule: two arrays ``[rules]``."""

    def one(network: Network) -> tuple[jax.Array, jax.Array]:
        return examine(setup, trial, network, key, size, limit=size + 1)

    return jax.lax.map(one, trial.kept)


def by_target(setup: Setup, size: int, trial: Trial, key: jax.Array) -> jax.Array:
    """Share of wrong answers where the target is in each tenth of [0, 1]; NaN where none was drawn: ``[10]``."""
    examples = trial.source.batch(setup.task, key, jnp.int32(0), size)
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


def guess(config: Config, row: str) -> dict[str, Any]:
    """A row of random weight guessing: all weights are drawn anew until a net classifies every training sequence.

    Gives guesses and presented sequences until success, -1 where the cap was in vain, and a test on fresh sequences. A
    guess is given up at its first wrong answer; only the sequences up to there count as presented. The net is A1 of
    Schmidhuber, Hochreiter & Bengio (2001): one input, one hidden and one output unit, both logistic, fully recurrent,
    a bias for the hidden one, weights from U[-100, 100]. (How many hidden units theirs had was not read.)
    """
    task = TwoSequence(config.length, "hochreiter1997-3a", int(row.split("-")[1]))  # values that tell the class
    trials, cap = config.trials or 10, config.cap or GUESSES
    entry: dict[str, list[Any]] = {name: [] for name in ("guesses", "met", "wrong", "error")}
    with progress("guessing", trials) as show:
        for trial in range(trials):
            key = jax.random.fold_in(jax.random.key(config.seed), trial)
            found = search(task, key, cap)
            for name, value in zip(entry, (*found[:2], *tested(task, found[2], key, config.test)), strict=True):
                entry[name].append(value)
            show(trial + 1, f"{found[0]} guesses")
    rules = {name: [value] for name, value in entry.items() if name != "guesses"}
    return {**rules, "guesses": entry["guesses"], "weights": WEIGHTS, "cap": cap, "trials": trials}


def search(task: TwoSequence, key: jax.Array, cap: int) -> tuple[int, int, jax.Array]:
    """Guesses and sequences until all training sequences are right, and those weights."""
    training, presented, weights = batch(task, jax.random.fold_in(key, 0), TRAINING), 0, jnp.zeros((AT_ONCE, 2, 4))
    for first in range(0, cap, AT_ONCE):
        draw = jax.random.fold_in(jax.random.fold_in(key, 1), first)
        weights = jax.random.uniform(draw, (AT_ONCE, 2, 4), minval=-BOUND, maxval=BOUND)
        right = np.asarray(answers(task, weights, training)[0])
        solved = np.flatnonzero(right.all(axis=1))
        shown = np.where(right.all(axis=1), TRAINING, right.argmin(axis=1) + 1)
        if solved.size:
            return first + int(solved[0]) + 1, presented + int(shown[: solved[0] + 1].sum()), weights[solved[0]]
        presented += int(shown.sum())
    return -1, -1, weights[0]


def tested(task: TwoSequence, weights: jax.Array, key: jax.Array, size: int) -> tuple[int, float]:
    """Wrong answers among fresh sequences, and the mean absolute error."""
    right, error = answers(task, weights[None], batch(task, jax.random.fold_in(key, 2), size))
    return int(size - right.sum()), float(error.mean())


@functools.partial(jax.jit, static_argnums=0)
def answers(task: TwoSequence, weights: jax.Array, examples: Example) -> tuple[jax.Array, jax.Array]:
    """Whether each answer is right, and its absolute error: ``weights: [G, 2, 4]`` to two arrays ``[G, sequences]``."""

    def one(W: jax.Array, example: Example) -> tuple[jax.Array, jax.Array]:
        def step(units: jax.Array, x: jax.Array) -> tuple[jax.Array, jax.Array]:
            units = jax.nn.sigmoid(W[:, 0] * x + W[:, 1:3] @ units + W[:, 3] * jnp.array([1.0, 0.0]))
            return units, units[1]

        _, outputs = jax.lax.scan(step, jnp.zeros(2), example.inputs[:, 0])
        error = jnp.sum(example.weights * jnp.abs(outputs - example.targets[:, 0]))
        return task.accuracy(outputs[:, None], example) == 1, error

    return jax.vmap(jax.vmap(one, in_axes=(None, 0)), in_axes=(0, None))(weights, examples)
