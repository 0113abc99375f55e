"""Random weight guessing: draw all weights anew until a net classifies every training sequence.

The net is A1 of Schmidhuber, Hochreiter & Bengio (2001): one input, one hidden and one output unit, both logistic,
fully recurrent, a bias for the hidden one, weights from U[-100, 100]. (How many hidden units theirs had was not read.)
"""

from __future__ import annotations

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from recurrax.tasks import Example, TwoSequence
from recurrax.training.progress import progress
from recurrax.training.run import batch

BOUND = 100.0
WEIGHTS = 7  # of input, hidden and output unit to each of the last two, and a bias
TRAINING = 256  # sequences that must all be right
AT_ONCE = 512  # guesses


def guess(task: TwoSequence, trials: int, cap: int, seed: int, test: int) -> dict[str, Any]:
    """Guesses and presented sequences until success, -1 where ``cap`` guesses were in vain, and a test on fresh ones.

    A guess is given up at its first wrong answer; only the sequences up to there count as presented.
    """
    entry: dict[str, list[Any]] = {name: [] for name in ("guesses", "met", "wrong", "error")}
    with progress("guessing", trials) as show:
        for trial in range(trials):
            key = jax.random.fold_in(jax.random.key(seed), trial)
            found = search(task, key, cap)
            for name, value in zip(entry, (*found[:2], *tested(task, found[2], key, test)), strict=True):
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
