"""Where sequences come from: drawn anew each time, or one of the sets of strings of experiment 1."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from recurrax.tasks import Example, MemoryTask
from recurrax.training.run import batch

STRINGS = 256
SETS = 3  # numbers of strings


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Fresh:
    """Every sequence is drawn anew. ``number`` is that of the trial: an array, so that trials can be mapped over."""

    number: jax.Array

    def sample(self, task: MemoryTask, key: jax.Array) -> Example:
        """A training sequence."""
        return task.sample(key)

    def batch(self, task: MemoryTask, key: jax.Array, first: jax.Array, size: int) -> Example:
        """Sequences ``first, ..., first + size - 1`` of a test."""
        return jax.vmap(task.sample)(jax.random.split(jax.random.fold_in(key, first), size))


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Sets:
    """256 strings to train on, and as many others; both together are the test."""

    strings: Example  # [512, T, ...], those to train on first

    def sample(self, task: MemoryTask, key: jax.Array) -> Example:
        """One of the strings to train on."""
        index = jax.random.randint(key, (), 0, STRINGS)
        return jax.tree.map(lambda leaf: leaf[index], self.strings)

    def batch(self, task: MemoryTask, key: jax.Array, first: jax.Array, size: int) -> Example:
        """Strings ``first, ..., first + size - 1`` of all, whatever the key."""
        return jax.tree.map(lambda leaf: jax.lax.dynamic_slice_in_dim(leaf, first, size), self.strings)


def fresh(trials: int) -> Fresh:
    """The data of each trial."""
    return Fresh(jnp.arange(trials))


def sets(task: MemoryTask, trials: int, seed: int) -> Sets:
    """The data of each trial; a third of the trials, at most one more, share a set of strings."""
    drawn = [strings(task, jax.random.key(1000 * seed + number)) for number in range(SETS)]
    stacked = jax.tree.map(lambda *leaves: np.stack([leaves[k * SETS // trials] for k in range(trials)]), *drawn)
    return Sets(jax.tree.map(jnp.asarray, stacked))


def strings(task: MemoryTask, key: jax.Array) -> Example:
    """256 random strings, then 256 more, of those drawn, that are none of the first: ``[512, T, ...]``."""
    drawn = jax.device_get(batch(task, key, 32 * STRINGS))
    names = [row.tobytes() for row in drawn.inputs.argmax(-1) * drawn.weights]
    first = set(names[:STRINGS])
    others = [k for k, name in enumerate(names) if name not in first][:STRINGS]
    if len(others) < STRINGS:
        raise ValueError(f"only {len(others)} strings that are not trained on; allowed: {STRINGS}. Draw longer ones.")
    chosen = np.r_[np.arange(STRINGS), others]
    return jax.tree.map(lambda leaf: leaf[chosen], drawn)
