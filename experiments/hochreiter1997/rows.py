"""The parts of a row: a task, a net, the error, right answers, stop rules and the update."""

from __future__ import annotations

import dataclasses
import math

import jax
import jax.numpy as jnp
import optax

from experiments.hochreiter1997.network import Net
from recurrax.tasks import EmbeddedReber, Example, MemoryTask, TimeLag, TwoSequence

WINDOW = 2000  # last training sequences that are looked at


@dataclasses.dataclass(frozen=True)
class Rule:
    """Fewer than ``wrong`` wrong answers and a mean error below ``error``, over the last 2,000 or in a test."""

    wrong: int = 1
    error: float = math.inf
    """Limit of the mean over sequences of the mean absolute error of the judged outputs."""
    test: int = 0
    """Fresh sequences of a test with weights held still; 0: the last 2,000 training sequences."""

    def met(self, wrong: jax.Array, error: jax.Array) -> jax.Array:
        """Whether these wrong answers and this mean error meet the rule; an error that is not a number meets none."""
        return (wrong < self.wrong) & (error < self.error)


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
        steps = counted(example, self.at)
        errors = jnp.where(steps[:, None], jnp.abs(outputs - targets), 0)
        mean = jnp.sum(errors) / (jnp.sum(steps) * outputs.shape[-1])
        if isinstance(task, EmbeddedReber):
            return 1 - task.accuracy(outputs, example), mean
        return (~(jnp.max(errors) < self.tolerance)).astype(jnp.float32), mean  # NaN is wrong


def wanted(task: MemoryTask, example: Example) -> jax.Array:
    """Targets of the output units, ``[T, O]``; of classes, one unit each."""
    if example.targets.ndim == 2:
        return example.targets
    return jax.nn.one_hot(example.targets, task.out_features)


def counted(example: Example, at: str) -> jax.Array:
    """The steps that count, bool ``[T]``: "counted", all with a weight; "end", the last of them."""
    steps = example.weights > 0
    return steps & (jnp.cumsum(steps) == jnp.sum(steps)) if at == "end" else steps


@dataclasses.dataclass(frozen=True)
class Setup:
    """One row of the experiment: a task, a net and how it is trained and judged."""

    task: MemoryTask
    net: Net
    rate: float
    judge: Judge
    rules: tuple[Rule, ...]
    trials: int
    cap: int
    """Sequences after which a trial is given up."""
    chunk: int = 1000
    """Sequences between two looks."""
    adam: bool = False
    """Adam in place of plain gradient descent."""
    stepwise: bool = False
    """An update after every step, not after every sequence."""
    grows: bool = False
    """The hidden layer is added once the error has stopped decreasing."""
    error: str = "half"
    """E: "half", 1/2 sum (y - t)^2; "whole", sum (y - t)^2 as in equations 16 and 17, which doubles every update;
    "direct": dE/d(net input) is y - t itself, without the slope of the output unit."""
    error_at: str = "counted"
    """Steps with an error: "counted", all that count in the task; "end", the last of them."""

    def __post_init__(self) -> None:
        """Refuses errors and updates that the exact gradient has no code for."""
        if not self.net.by_hand and (self.error, self.error_at, self.stepwise) != ("half", "counted", False):
            raise ValueError("an exact gradient with another error or update; allowed: the defaults. Use Net(1).")

    @property
    def once(self) -> bool:
        """Whether a sequence has an error at one step alone."""
        return self.error_at == "end" or not (isinstance(self.task, EmbeddedReber) or self._every)

    @property
    def _every(self) -> bool:
        """Whether every step of the task has a target."""
        return isinstance(self.task, TimeLag) and self.task.variant != "hochreiter1997-2c"

    @property
    def optimizer(self) -> optax.GradientTransformation:
        """Batch 1, no momentum."""
        return optax.adam(self.rate) if self.adam else optax.sgd(self.rate)

    def objective(self, outputs: jax.Array, example: Example) -> jax.Array:
        """``E = 1/2 sum_t sum_o (y_to - target_to)^2`` over the steps with an error, whatever is descended on."""
        steps = counted(example, self.error_at)
        errors = jnp.where(steps[:, None], outputs - wanted(self.task, example), 0)
        return jnp.sum(errors**2) / 2

    def slopes(self, outputs: jax.Array, target: jax.Array, counts: jax.Array) -> jax.Array:
        """``dE/d(net input)`` of output units, ``[..., O]``; ``counts: [...]`` is false where there is no error."""
        slope = 1 if self.error == "direct" else self.net.slope(outputs)
        factor = 2 if self.error == "whole" else 1
        return jnp.where(counts[..., None], factor * slope * (outputs - target), 0)
