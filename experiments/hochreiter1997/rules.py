"""What counts as a wrong answer, and when training stops: the paper's own rules."""

from __future__ import annotations

import dataclasses
import math

import jax
import jax.numpy as jnp

from recurrax.tasks import EmbeddedReber, Example, MemoryTask, TwoSequence

WINDOW = 2000  # last training sequences that are looked at


@dataclasses.dataclass(frozen=True)
class Rule:
    """Fewer than ``wrong`` wrong answers and a mean error below ``error``, over the last 2,000 or in a test."""

    wrong: int = 1
    error: float = math.inf
    """Of the mean over sequences of the mean absolute error of the outputs that are judged."""
    test: int = 0
    """Fresh sequences of a test with weights held still; 0: the last 2,000 training sequences."""


@dataclasses.dataclass(frozen=True)
class Judge:
    """An answer is right if each absolute error is below ``tolerance``.

    at: "counted", all steps that count in the objective; "end", the last of them. In `EmbeddedReber` an answer is right
    if at each step every symbol that may follow is more active than all others.
    """

    tolerance: float
    at: str = "counted"

    def __call__(self, task: MemoryTask, outputs: jax.Array, example: Example) -> tuple[jax.Array, jax.Array]:
        """Whether the answer is wrong and its mean absolute error: two float32 scalars."""
        noisy = isinstance(task, TwoSequence) and task.variant == "hochreiter1997-3c"
        targets = task.oracle(example.inputs) if noisy else wanted(task, example)  # without the targets' noise
        steps = example.weights > 0
        if self.at == "end":
            steps &= jnp.cumsum(steps) == jnp.sum(steps)
        errors = jnp.where(steps[:, None], jnp.abs(outputs - targets), 0)
        mean = jnp.sum(errors) / (jnp.sum(steps) * outputs.shape[-1])
        if isinstance(task, EmbeddedReber):
            return 1 - task.accuracy(outputs, example), mean
        return (jnp.max(errors) >= self.tolerance).astype(jnp.float32), mean


def wanted(task: MemoryTask, example: Example) -> jax.Array:
    """Targets of the output units, ``[T, O]``; of classes, one unit each."""
    if example.targets.ndim == 2:
        return example.targets
    return jax.nn.one_hot(example.targets, task.out_features)


def objective(task: MemoryTask, outputs: jax.Array, example: Example) -> jax.Array:
    """``E = 1/2 sum_t sum_o (y_to - target_to)^2`` over the steps that count."""
    errors = jnp.where(example.weights[:, None] > 0, outputs - wanted(task, example), 0)
    return jnp.sum(errors**2) / 2
