"""Tasks whose examples come from a data set instead of a rule."""

from __future__ import annotations

import abc
import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from recurrax.datasets import SPLITS, Dataset
from recurrax.tasks.task import Example, Task, as_integers, draw_bits


@dataclasses.dataclass(frozen=True)
class FiniteTask(Task):
    """A task on a data set with three splits, which `recurrax.training.fit` keeps separate.

    `sample` draws from the training split uniformly and with replacement; N draws correspond to an epoch of N examples.
    `fit` evaluates on the whole validation split and tests once on the whole test split; there a loss is the mean over
    all steps that count. The arrays stay uint8 on the device.

    Args:
        data: the result of `recurrax.datasets.load`.
    """

    data: Dataset = dataclasses.field(metadata={"setting": False})
    sha256: str = dataclasses.field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "sha256", self.data.sha256)

    @abc.abstractmethod
    def example(self, split: str, index: Array) -> Example:
        """One example of a split: "train", "validation" or "test"; index: an integer scalar."""

    def sample(self, key: Array) -> Example:
        """Draws one example of the training split; pure. key: one PRNG key."""
        return self.example("train", as_integers(draw_bits(key, 1)[0], 0, self.data.sizes[0]))

    def examples(self, split: str) -> Example:
        """All examples of a split in order: inputs ``[N, T, D]``."""
        one = functools.partial(self.example, split)
        return jax.jit(jax.vmap(one))(jnp.arange(self.data.sizes[SPLITS.index(split)]))

    def oracle(self, inputs: Array) -> Any:
        """A data set has no oracle.

        Raises:
            NotImplementedError: always.
        """
        raise NotImplementedError(
            f"{type(self).__name__} on {self.data.name} has no oracle, for no rule makes its answers; allowed: a task "
            "that makes its own examples. Compare with a baseline on the same data."
        )
