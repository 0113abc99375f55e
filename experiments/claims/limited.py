"""Tasks whose runs have training sets of their own, of a size that is swept, and digits read in few steps or many.

A task is static and the same for all runs of a program. So a model carries the key and the size of its training set,
and in training the task takes the place of fresh examples by some of that set; it is evaluated on fresh ones. The
larger sets of a seed hold the smaller ones, and all cells have the same sets.
"""

from __future__ import annotations

import bisect
import dataclasses
import functools
from collections.abc import Callable
from typing import Any, NamedTuple, final

import jax
import jax.numpy as jnp
from flax import nnx
from jax import Array

from experiments.claims.config import LINEAR, PIXELS, SHUT
from experiments.models import builder
from experiments.tuning import count
from recurrax.tasks import Adding, Example, FiniteTask, MemoryTask, SequentialImages, Task

ENOUGH = 0.9  # accuracy that counts as having learned to read the digits


class Owner(NamedTuple):
    """A model with the key (as uint32 words) and the size of the training set of its run, neither of them trained."""

    model: Any
    key: Array
    count: Array

    def __call__(self, inputs: Array) -> Array:
        """``inputs: [B, T, D]`` to outputs ``[B, T, O]``."""
        return self.model(inputs)


def owning(build: Callable[..., Any], most: int) -> Callable[..., Owner]:
    """``build(key, count) -> Owner``; by default it has the whole training set, ``most`` examples."""

    def owner(key: Array, count: Array | float = most) -> Owner:
        own = jax.random.key_data(jax.random.fold_in(key, 1))
        return Owner(build(key), own, jnp.asarray(count, jnp.int32))

    return owner


def picks(model: Owner, key: Array, batch: int) -> Array:
    """Numbers of examples of the training set, each as likely, with replacement: ``[B]``."""
    return jax.random.randint(key, (batch,), 0, model.count)


@final
@dataclasses.dataclass(frozen=True)
class LimitedAdding(Task):
    """`Adding` on the training set of each `Owner`; an answer is judged with the target that belongs to it.

    Args:
        task: makes the examples.
    """

    task: Adding

    @property
    def in_features(self) -> int:
        """D of the adding problem."""
        return self.task.in_features

    @property
    def out_features(self) -> int:
        """O of the adding problem."""
        return self.task.out_features

    def sample(self, key: Array) -> Example:
        """A fresh example."""
        return self.task.sample(key)

    def apply(self, model: Owner, example: Example, key: Array | None = None) -> tuple[Array, Array]:
        """Outputs and targets, ``[B, T, 1]`` each: of fresh examples, or in training of the model's own."""
        if key is not None:
            own = jax.random.wrap_key_data(model.key)
            numbers = picks(model, key, len(example.inputs))
            example = jax.vmap(lambda number: self.task.sample(jax.random.fold_in(own, number)))(numbers)
        return model(example.inputs), example.targets

    def loss(self, outputs: tuple[Array, Array], example: Example) -> Array:
        """Squared error of the last step."""
        return self.task.loss(outputs[0], example._replace(targets=outputs[1]))

    def success(self, loss: Any, accuracy: Any) -> Any:
        """The criterion of the adding problem."""
        return self.task.success(loss, accuracy)


@final
@dataclasses.dataclass(frozen=True)
class Digits(FiniteTask):
    """Digits of 8 x 8 pixels in T steps of 64 / T pixels; after the last one the class is asked for.

    Solved is a held-out accuracy above 90%. The training set of an `Owner` begins at a place of its own of the
    training split, which is in no order of its own.

    Args:
        data: ``recurrax.datasets.load("digits")``.
        steps: T.
    """

    steps: int = 8

    @property
    def in_features(self) -> int:
        """D, the pixels of a step."""
        return PIXELS // self.steps

    @property
    def out_features(self) -> int:
        """O, the number of classes."""
        return self._pixels.out_features

    def example(self, split: str, index: Array) -> Example:
        """One digit: inputs ``[T, D]``, the target at the last step."""
        one = self._pixels.example(split, index)
        last = slice(PIXELS - self.steps, None)  # the answer is due at the last of so many steps
        return Example(one.inputs.reshape(self.steps, self.in_features), one.targets[last], one.weights[last])

    def apply(self, model: Owner, example: Example, key: Array | None = None) -> tuple[Array, Array]:
        """Logits ``[B, T, O]`` and targets ``[B, T]``: of these examples, or in training of the model's own."""
        if key is not None:
            size = self.data.sizes[0]
            numbers = (model.key[0] % size + picks(model, key, len(example.inputs))) % size
            example = jax.vmap(lambda number: self.example("train", number))(numbers)
        return model(example.inputs), example.targets

    def loss(self, outputs: tuple[Array, Array], example: Example) -> Array:
        """Cross entropy of the last step in nats."""
        return self._pixels.loss(outputs[0], example._replace(targets=outputs[1]))

    def accuracy(self, outputs: tuple[Array, Array], example: Example) -> Array:
        """1 where the likeliest class of the last step is right, else 0."""
        return self._pixels.accuracy(outputs[0], example._replace(targets=outputs[1]))

    def success(self, loss: Any, accuracy: Any) -> Any:
        """Accuracy above 90%."""
        del loss
        return accuracy > ENOUGH

    @functools.cached_property
    def _pixels(self) -> SequentialImages:
        return SequentialImages(self.data)


class Flat(nnx.Module):
    """A linear model of the whole sequence, ``y = W [x_1; ...; x_T] + b``, which gives its answer at every step."""

    def __init__(self, features: int, out_features: int, *, rngs: nnx.Rngs):
        self.head = nnx.Linear(features, out_features, rngs=rngs)

    def __call__(self, inputs: Array) -> Array:
        """``inputs: [B, T, D]`` to ``[B, T, O]``."""
        y = self.head(inputs.reshape(*inputs.shape[:-2], -1))
        return jnp.broadcast_to(y[..., None, :], (*inputs.shape[:-1], y.shape[-1]))


def model_of(cell: str, task: MemoryTask | LimitedAdding | Digits, hidden: int) -> Callable[..., Any]:
    """``build(key) -> model``: a recurrent layer of a cell with a linear head, or the linear model of all inputs."""
    if cell == LINEAR:
        steps = task.steps if isinstance(task, Digits) else task.sequence_length  # type: ignore[union-attr]
        return lambda key: Flat(steps * task.in_features, task.out_features, rngs=nnx.Rngs(key))
    start = {"forget_bias": 0.0} if cell == SHUT else {}
    build = builder("LSTM" if cell == SHUT else cell, task, hidden, **start)  # type: ignore[arg-type]
    return lambda key: build(key)


def equal_units(cell: str, task: LimitedAdding | Digits, weights: int) -> int:
    """The units H with which a cell and its head come closest to so many weights."""

    def size(hidden: int) -> int:
        return count(model_of(cell, task, hidden))

    above = 1 + bisect.bisect_left(range(1, weights), weights, key=size)
    return min((above, max(1, above - 1)), key=lambda hidden: abs(size(hidden) - weights))
