"""The definition of a task: it draws an example, calls a model on a batch, and judges the outputs.

A task describes ONE example; `vmap` makes the batch:

    task = make_task("adding", 100)
    examples = jax.vmap(task.sample)(jax.random.split(key, 32))     # inputs: [32, T, D]
    outputs = task.apply(model, examples)                           # outputs: [32, T, O]
    losses = jax.vmap(task.loss)(outputs, examples)                 # losses: [32]

A `Task` needs `sample` and `loss`; everything else has a default. A `MemoryTask` of the catalogue also has two
reference values for every result: `chance_level()`, the loss of a predictor that remembers nothing, and `criterion`,
the result that counts as solved. Published definitions of a task differ, and their numbers cannot be compared, so each
definition is a `variant` named after its source. T: time, D: input features, O: output features.
"""

from __future__ import annotations

import abc
import functools
import math
from collections.abc import Mapping, Sequence
from statistics import NormalDist
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import Array

from recurrax.tasks.calling import call

CERTAIN = 50.0  # log odds of an oracle that knows the answer


class Example(NamedTuple):
    """One example of a task, without a batch dimension; every field may be a tree of arrays.

    inputs: [T, D] float32, zero after the last valid step; or token ids [T]; or anything that the model accepts.
    targets: [T, O] float32 (regression) or [T] int32 (classes); or anything that the loss accepts.
    weights: [T] float32, the weights of the steps in the loss, with a positive sum; or a scalar; None means 1.
    lengths: a scalar int32, the number of valid steps; None if all steps are valid.
    resets: [T] bool, True where the carry is reset to the initial carry before the step; None means never.
    """

    inputs: Any
    targets: Any
    weights: Any = None
    lengths: Array | None = None
    resets: Array | None = None


class Task(abc.ABC):
    """Base class of tasks for `recurrax.training.fit`; a subclass is a frozen dataclass of static settings.

    Attributes:
        monitor: the metric for the choice of the best model and for early stopping.
        mode: "min" if smaller values are better, "max" if larger values are better.
    """

    monitor: ClassVar[str] = "loss"
    mode: ClassVar[str] = "min"

    @abc.abstractmethod
    def sample(self, key: Array) -> Example:
        """Draws one example; pure, so `jit` and `vmap` apply. key: one PRNG key."""

    @abc.abstractmethod
    def loss(self, outputs: Any, example: Example) -> Array:
        """Loss of one example, a scalar in at least float32. outputs: [T, O], logits for classes."""

    def apply(self, model: Any, example: Example, key: Array | None = None) -> Any:
        """Calls a model on a batch of examples; returns the outputs ``[B, T, O]``.

        By default it calls ``model(inputs)``, with ``seq_lengths`` and ``resets`` if the examples have them, and in
        training with ``dropout_key`` (or ``rngs``) if the model accepts it.

        Args:
            model: the model.
            example: a batch; every leaf has a leading axis B.
            key: for dropout and other noise; None in evaluation.

        Raises:
            ValueError: the examples have lengths or resets, but the model's call does not accept them.
        """
        return call(model, example.inputs, {"seq_lengths": example.lengths, "resets": example.resets}, key)

    def accuracy(self, outputs: Any, example: Example) -> Array | None:
        """Share of the answer that is correct, a float32 scalar in [0, 1]; None if the task has no accuracy."""
        del outputs, example
        return None

    def metrics(self, outputs: Any, example: Example) -> dict[str, Array]:
        """Metrics of one example, scalars by name: the loss, and the accuracy if there is one.

        An evaluation averages them over the drawn examples, or over all steps of a split that count.
        """
        scores = {"loss": self.loss(outputs, example), "accuracy": self.accuracy(outputs, example)}
        return {name: score for name, score in scores.items() if score is not None}

    def finish(self, means: dict[str, Array]) -> dict[str, Array]:
        """The metrics to report, from the means of `metrics`; e.g. ``means | {"rmse": sqrt(means["squared_error"])}``.

        Runs inside a compiled program and elementwise; it must keep ``loss``.
        """
        return means

    @property
    def criterion(self) -> str:
        """The success criterion as text; `success` computes it."""
        return "none"

    def success(self, loss: Any, accuracy: Any) -> Any:
        """Whether held-out means of `loss` and `accuracy` count as solved, elementwise on arrays; by default never."""
        del accuracy
        return np.zeros(np.shape(loss), bool)

    def solved(self, metrics: Mapping[str, Any]) -> Any:
        """Whether held-out metrics count as solved, elementwise on arrays; by default it uses loss and accuracy."""
        return self.success(metrics["loss"], metrics.get("accuracy"))


def count(example: Example) -> Array:
    """The weight of one example in a mean over a split: the sum of its weights, or 1; a scalar."""
    if example.weights is None:
        return jnp.ones(())
    return sum((jnp.sum(leaf) for leaf in jax.tree.leaves(example.weights)), start=jnp.zeros(()))


class MemoryTask(Task):
    """A sequence task of the catalogue; a subclass is a final frozen dataclass of static sizes, so it is hashable.

    `variant` names the published definition by author and year; `VARIANTS` lists all of them.
    """

    name: ClassVar[str]
    VARIANTS: ClassVar[tuple[str, ...]]
    variant: str

    @property
    @abc.abstractmethod
    def in_features(self) -> int:
        """D, the size of one input."""

    @property
    @abc.abstractmethod
    def out_features(self) -> int:
        """O, the size of one output: the number of classes or of predicted values."""

    @property
    @abc.abstractmethod
    def sequence_length(self) -> int:
        """T, the number of steps of the arrays; shorter sequences are padded."""

    @property
    @abc.abstractmethod
    def criterion(self) -> str:
        """The success criterion as text; `success` computes it."""

    @abc.abstractmethod
    def accuracy(self, outputs: Array, example: Example) -> Array:
        """Share of the answer that is correct, a float32 scalar in [0, 1]. outputs: [T, O]."""

    @abc.abstractmethod
    def chance_level(self) -> float:
        """Expected loss, in closed form, of the best predictor that knows the step but not the inputs."""

    def least_loss(self) -> float:
        """Expected loss of the best predictor that has read the inputs: 0 unless the answer is partly random."""
        return 0.0

    @abc.abstractmethod
    def success(self, loss: Any, accuracy: Any) -> Any:
        """Whether held-out means of `loss` and `accuracy` count as solved; elementwise on arrays."""

    @abc.abstractmethod
    def oracle(self, inputs: Array) -> Array:
        """The best causal outputs computed from the inputs: [T, D] -> [T, O]."""


class Classification(MemoryTask):
    """A task with classes as answers: cross entropy, accuracy, and the criterion of more than 99% correct answers.

    For tasks with one answer this is the criterion of Pascanu, Mikolov & Bengio (2013): less than 1% of 10,000 wrong.
    """

    @property
    def criterion(self) -> str:
        """The success criterion in words."""
        return "held-out accuracy > 0.99"

    def loss(self, outputs: Array, example: Example) -> Array:
        """Cross entropy in nats, averaged over the steps that count. outputs: [T, O] logits; returns a scalar."""
        return cross_entropy(outputs, example)

    def accuracy(self, outputs: Array, example: Example) -> Array:
        """Share of counted steps whose likeliest class is correct. outputs: [T, O]; returns a scalar."""
        return weighted_mean(jnp.argmax(outputs, axis=-1) == example.targets, example.weights)

    def success(self, loss: Any, accuracy: Any) -> Any:
        """Accuracy > 0.99; elementwise on arrays."""
        return accuracy > 0.99


def weighted_mean(values: Array, weights: Array) -> Array:
    """Mean over steps, m = sum_t w_t v_t / sum_t w_t, in float32; 0 if no step counts. values, weights: [T]."""
    total = jnp.sum(weights)
    return jnp.sum(weights * values) / jnp.where(total > 0, total, 1)


def with_root(means: dict[str, Array]) -> dict[str, Array]:
    """The metrics of an evaluation with ``rmse`` instead of the mean ``squared_error``, if there is one."""
    found = {name: value for name, value in means.items() if name != "squared_error"}
    return found | ({"rmse": jnp.sqrt(means["squared_error"])} if "squared_error" in means else {})


def squared_error(outputs: Array, example: Example) -> Array:
    """Weighted mean over steps of sum_o (y_to - target_to)^2. outputs: [T, O]; returns a scalar."""
    errors = _counted(outputs, example.weights) - example.targets
    return weighted_mean(jnp.sum(errors**2, axis=-1), example.weights)


def cross_entropy(outputs: Array, example: Example) -> Array:
    """Weighted mean over steps of -log softmax(y_t)[target_t], in nats. outputs: [T, O]; returns a scalar."""
    logits = _counted(outputs, example.weights)
    losses = optax.softmax_cross_entropy_with_integer_labels(logits, example.targets)
    return weighted_mean(losses, example.weights)


def _counted(outputs: Array, weights: Array) -> Array:
    """Outputs in at least float32, set to 0 where the weight is 0, so that NaN there has no effect."""
    outputs = outputs.astype(jnp.promote_types(outputs.dtype, jnp.float32))
    return jnp.where(weights[:, None] > 0, outputs, 0)


def draw_bits(key: Array, count: int) -> Array:
    """All random bits of an example in one draw, [count] uint32; they are the same in 64-bit mode.

    One draw instead of one for each quantity saves compile time, most of which goes to the generator.
    """
    return jax.random.bits(key, (count,), jnp.uint32)


def as_uniform(bits: Array) -> Array:
    """Uniform in [0, 1) on the grid of 2^-24, float32."""
    return (bits >> 8).astype(jnp.float32) * jnp.float32(2.0**-24)


def as_integers(bits: Array, start: Array | int, stop: Array | int) -> Array:
    """Uniform in start, ..., stop - 1, int32; probabilities are equal up to (stop - start) / 2^32."""
    span = (jnp.asarray(stop, jnp.int32) - jnp.asarray(start, jnp.int32)).astype(jnp.uint32)
    return (bits % span).astype(jnp.int32) + jnp.asarray(start, jnp.int32)


def as_normal(bits: Array, deviation: float) -> Array:
    """Normal of mean 0 and this standard deviation, float32, from the upper 28 bits: the sum of two table entries.

    A table is used because the inverse error function may round differently in a batch than for a single example. The
    distribution function of the sum is accurate to 1e-4, finer than the resolution of measured accuracies.
    """
    halves = jnp.stack([bits >> 20, (bits >> 4) & 4095])
    return jnp.sum(jnp.asarray(_quantiles(deviation))[halves], axis=0)


@functools.cache
def _quantiles(deviation: float) -> np.ndarray:
    """4096 equally likely values whose sum of two has the distribution N(0, deviation^2), float32."""
    values = np.array([NormalDist().inv_cdf((i + 0.5) / 4096) for i in range(4096)])
    return (deviation / math.sqrt(2) * values / values.std()).astype(np.float32)


def as_distinct(bits: Array, count: int) -> Array:
    """`count` different numbers of 0, ..., n - 1 in random order, all orders equally likely, int32. bits: [n]."""
    return jnp.argsort(bits)[:count].astype(jnp.int32)


def one_hot(symbols: Array, size: int) -> Array:
    """Float32 one-hot vectors. symbols: [...] int; returns [..., size]."""
    return jax.nn.one_hot(symbols, size, dtype=jnp.float32)


def at_step(step: Array | int, length: int) -> Array:
    """Float32 [length] with 1 at one step and 0 at the others: the weights for one answer."""
    return (jnp.arange(length) == step).astype(jnp.float32)


def check_size(what: str, size: int, least: int) -> None:
    """Raises unless `size` is an int (TypeError) of at least `least` (ValueError)."""
    if not isinstance(size, int) or isinstance(size, bool):
        kind = type(size).__name__
        raise TypeError(f"{what}={size!r} is a {kind}; allowed is an int >= {least}; pass {what}=int(...)")
    if size < least:
        raise ValueError(f"{what}={size} is too short; allowed is an int >= {least}; pass at least {least}")


def check_choice(what: str, value: str, allowed: Sequence[str]) -> None:
    """Raises ValueError unless `value` is one of `allowed`."""
    if value not in allowed:
        names = ", ".join(map(repr, allowed))
        raise ValueError(f"{what}={value!r} is unknown; allowed are {names}; pass one of these")
