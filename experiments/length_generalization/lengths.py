"""Training on several lengths, and the test at any other."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any, ClassVar, final

import jax
import jax.numpy as jnp
from jax import Array

from recurrax.tasks import Example, MemoryTask

BATCH = 500  # sequences of a test that are in memory at once


@final
@dataclass(frozen=True)
class MixedLengths(MemoryTask):
    """One of several lengths of a task, equally likely for every example; shorter ones are padded with zeros.

    (The code of Pascanu et al. draws one length for all examples of a batch.)

    Args:
        tasks: the same task at each of the lengths.

    Raises:
        ValueError: there are none, or they differ in more than length.
    """

    tasks: tuple[MemoryTask, ...]

    VARIANTS: ClassVar[tuple[str, ...]] = ()

    def __post_init__(self) -> None:
        """Refuses tasks that one network could not learn."""
        kinds = {(task.name, task.variant, task.in_features, task.out_features) for task in self.tasks}
        if len(kinds) != 1:
            raise ValueError(f"tasks={self.tasks}; allowed: one or more, the same but for the length.")

    @property
    def variant(self) -> str:
        """Of the tasks."""
        return self.longest.variant

    @property
    def longest(self) -> MemoryTask:
        """The task with the longest sequences."""
        return max(self.tasks, key=lambda task: task.sequence_length)

    @property
    def in_features(self) -> int:
        """Of the tasks."""
        return self.longest.in_features

    @property
    def out_features(self) -> int:
        """Of the tasks."""
        return self.longest.out_features

    @property
    def sequence_length(self) -> int:
        """Of the longest."""
        return self.longest.sequence_length

    @property
    def criterion(self) -> str:
        """The success criterion in words."""
        return "no held-out answer wrong"

    def sample(self, key: Array) -> Example:
        """An example of each length, of which one is taken."""
        choice, *keys = jax.random.split(key, len(self.tasks) + 1)
        T = self.sequence_length

        def padded(array: Array) -> Array:
            return jnp.pad(array, [(0, T - len(array)), *[(0, 0)] * (array.ndim - 1)])

        drawn = [jax.tree.map(padded, task.sample(key)) for task, key in zip(self.tasks, keys, strict=True)]
        index = jax.random.randint(choice, (), 0, len(drawn))
        return jax.tree.map(lambda *arrays: jnp.stack(arrays)[index], *drawn)

    def loss(self, outputs: Array, example: Example) -> Array:
        """Of the tasks."""
        return self.longest.loss(outputs, example)

    def accuracy(self, outputs: Array, example: Example) -> Array:
        """Of the tasks."""
        return self.longest.accuracy(outputs, example)

    def chance_level(self) -> float:
        """The mean over the lengths."""
        return sum(task.chance_level() for task in self.tasks) / len(self.tasks)

    def success(self, loss: Any, accuracy: Any) -> Any:
        """Whether no answer is wrong, where the code of Pascanu et al. stops; elementwise on arrays."""
        return accuracy > 1 - 1e-6  # a float32 mean of ones may be rounded below 1

    def oracle(self, inputs: Array) -> Array:
        """Of the longest; for tasks whose oracle does not depend on the length."""
        return self.longest.oracle(inputs)


@functools.partial(jax.jit, static_argnums=(0, 3))
def accuracies(task: MemoryTask, models: Any, key: Array, count: int) -> Array:
    """Mean accuracy of each of several models on the same fresh examples, of which one answer is due: ``[S]``.

    Only the state that answers is kept, so that memory does not grow with the length but for the examples themselves.
    """
    size = min(count, BATCH)
    batches = -(-count // size)
    keys = jax.random.split(key, batches * size).reshape(batches, size)

    def one(model: Any, examples: Example) -> Array:
        cell = model.layer.cell

        def step(state: tuple[Any, Array], point: tuple[Array, Array]) -> tuple[tuple[Any, Array], None]:
            (carry, kept), (x, weight) = state, point
            carry, y = cell(carry, x)
            return (carry, jnp.where(weight[:, None] > 0, y, kept)), None

        start = cell.initialize_carry(examples.inputs[:, 0].shape)
        points = jnp.moveaxis(examples.inputs, 1, 0), examples.weights.T
        (_, kept), _ = jax.lax.scan(step, (start, jnp.zeros((size, cell.hidden_features))), points)
        outputs = jnp.broadcast_to(model.head(kept)[:, None], (*examples.weights.shape, task.out_features))
        return jax.vmap(task.accuracy)(outputs, examples)

    def batch(keys: Array) -> Array:
        examples = jax.vmap(task.sample)(keys)
        return jax.vmap(one, in_axes=(0, None))(models, examples)

    found = jax.lax.map(batch, keys)  # [batches, S, size]
    return jnp.mean(jnp.moveaxis(found, 1, 0).reshape(found.shape[1], -1)[:, :count], axis=1)
