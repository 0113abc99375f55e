"""Supervised learning on your own labelled sequences, with one target per sequence or per step.

    data = recurrax.datasets.Arrays.padded(sequences, labels).split(seed=0)
    task = Supervised(data)
    history = recurrax.training.fit(build, task, optax.adam(1e-3), plan)

    objective       targets of an answer        outputs         loss, mean over the answers that count
    classification  a class, an integer         logits [O]      -ln softmax(y)[class], in nats
    multilabel      0 or 1 for each of O        logits [O]      mean over o of the cross entropy, in nats
    regression      numbers, O in all           O numbers       mean over o of (y - target)^2, in the data's units
    absolute        numbers, O in all           O numbers       mean over o of |y - target|, likewise

Regression also reports ``rmse`` and ``mae``, in the original units if the targets were scaled.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from typing import Any, ClassVar, final

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import Array

from recurrax.datasets import SPLITS, Arrays
from recurrax.tasks.finite import FiniteTask
from recurrax.tasks.task import Example, as_uniform, check_choice, draw_bits, weighted_mean, with_root

OBJECTIVES = ("classification", "multilabel", "regression", "absolute")


@final
@dataclasses.dataclass(frozen=True)
class Supervised(FiniteTask):
    """Supervised learning on labelled sequences of equal or padded length.

    If examples have weights, training draws them with probabilities proportional to the weights.

    Args:
        data: a `recurrax.datasets.Dataset` of `Arrays`, from `Arrays.split` or `SeriesSplits.windows`.
        objective: a row of the table above; None means classification for integer targets and regression otherwise.
        per_step: whether each step has an answer. Otherwise each sequence has one: a model's outputs ``[B, O]``, or the
            outputs of the last valid step if they are ``[B, T, O]``.

    Raises:
        TypeError: the data are not `Arrays`.
        ValueError: the objective is unknown or does not fit the targets, or the splits have different shapes.
    """

    name: ClassVar[str] = "supervised"
    objective: str | None = None
    per_step: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if not all(isinstance(getattr(self.data, split), Arrays) for split in SPLITS):
            kind = type(self.data.train).__name__
            raise TypeError(f"Supervised got splits of {kind}; allowed: Arrays. Use Arrays(inputs, targets).split().")
        if self.objective is None:
            integers = all(jnp.issubdtype(leaf.dtype, jnp.integer) for leaf in jax.tree.leaves(self.data.train.targets))
            object.__setattr__(self, "objective", "classification" if integers else "regression")
        check_choice("objective", str(self.objective), OBJECTIVES)
        self._check_shapes()
        self._check_targets()
        check_counted(self.data)

    @property
    def in_features(self) -> int:
        """D, the size of one input.

        Raises:
            ValueError: the inputs are tokens, or a tree of arrays.
        """
        leaves = jax.tree.leaves(self.data.train.inputs)
        if len(leaves) != 1 or leaves[0].ndim != 3:
            found = ", ".join(f"{leaf.dtype}{list(leaf.shape)}" for leaf in leaves)
            raise ValueError(f"the inputs are {found} and have no in_features; allowed: [N, T, D]. Tokens: vocabulary.")
        return leaves[0].shape[-1]

    @property
    def vocabulary(self) -> int:
        """The number of input tokens: the largest token of all splits plus 1."""
        return 1 + max(
            int(np.asarray(leaf).max()) for split in SPLITS for leaf in jax.tree.leaves(self._split(split).inputs)
        )

    @functools.cached_property
    def out_features(self) -> int:
        """O, the number of classes, or of values in an answer."""
        if self.objective == "classification":
            # In NumPy, because the first access may happen while a program is traced.
            return 1 + max(int(np.asarray(self._split(split).targets).max()) for split in SPLITS)
        return math.prod(self.data.train.targets.shape[1 + self.per_step :])

    @property
    def sequence_length(self) -> int:
        """T, the number of steps of the padded inputs."""
        return jax.tree.leaves(self.data.train.inputs)[0].shape[1]

    def sample(self, key: Array) -> Example:
        """Draws one example of the training split, in proportion to its weight; pure. key: one PRNG key."""
        if self._cumulative is None:
            return super().sample(key)
        return self.example("train", draw(key, self._cumulative))

    def example(self, split: str, index: Array) -> Example:
        """One example; if each step has an answer, the weights are 0 past the length."""
        one = jax.tree.map(lambda leaf: leaf[index], self._split(split))
        return as_example(one, self.per_step)

    def answer(self, outputs: Array, example: Example) -> Array:
        """The outputs of the answer in at least float32: ``[O]``, or ``[T, O]`` if each step has an answer.

        Raises:
            ValueError: the outputs have another size.
        """
        outputs, size = outputs.astype(jnp.promote_types(outputs.dtype, jnp.float32)), self.out_features
        steps = jax.tree.leaves(example.inputs)[0].shape[0]
        if self.per_step and outputs.size == steps * size:
            return outputs.reshape(steps, size)
        if not self.per_step and outputs.size == size:
            return outputs.reshape(size)
        if not self.per_step and outputs.shape == (steps, size):
            return outputs[steps - 1 if example.lengths is None else example.lengths - 1]
        allowed = f"[{steps}, {size}]" if self.per_step else f"[{size}], or [{steps}, {size}] to read the last step"
        raise ValueError(
            f"the model's outputs for one example have shape {list(outputs.shape)}; allowed: {allowed}. Build it with "
            f"out_features={size}{' and read every step' if self.per_step else ''}."
        )

    def loss(self, outputs: Array, example: Example) -> Array:
        """The objective, averaged over the answers that count; a scalar. outputs: ``[O]`` or ``[T, O]``."""
        y = self._counted(outputs, example)
        if self.objective == "classification":
            return _mean(optax.softmax_cross_entropy_with_integer_labels(y, example.targets), example.weights)
        if self.objective == "multilabel":
            return _mean(optax.sigmoid_binary_cross_entropy(y, example.targets), example.weights)
        errors = y - example.targets
        return _mean(errors**2 if self.objective == "regression" else jnp.abs(errors), example.weights)

    def accuracy(self, outputs: Array, example: Example) -> Array | None:
        """Share of correct classes or labels; None for regression. outputs: ``[O]`` or ``[T, O]``."""
        if self.objective not in ("classification", "multilabel"):
            return None
        y = self._counted(outputs, example)
        if self.objective == "classification":
            return _mean(jnp.argmax(y, axis=-1) == example.targets, example.weights)
        return _mean((y > 0) == (example.targets > 0.5), example.weights)

    def metrics(self, outputs: Array, example: Example) -> dict[str, Array]:
        """Loss and accuracy; for regression the loss, and squared and absolute errors in the original units."""
        loss, accuracy = self.loss(outputs, example), self.accuracy(outputs, example)
        if accuracy is not None:
            return {"loss": loss, "accuracy": accuracy}
        errors, weights = (self._counted(outputs, example) - example.targets) * self._units, example.weights
        return {"loss": loss, "squared_error": _mean(errors**2, weights), "mae": _mean(jnp.abs(errors), weights)}

    def finish(self, means: dict[str, Array]) -> dict[str, Array]:
        """The metrics to report: the root of the mean squared error in place of its square."""
        return with_root(means)

    def chance_level(self) -> float:
        """Test loss of the best constant answer from the training split; steps count as in an evaluation.

        For classes and labels it uses their frequencies with half a count added, (n_k + 1/2) / (n + O/2), after
        Krichevsky & Trofimov (1981). For regression it uses the mean of each of the O values, or the median for
        absolute errors.
        """
        examples = self.examples("test")
        shape = (self.sequence_length,) * self.per_step + (self.out_features,)
        outputs = jnp.broadcast_to(jnp.asarray(self._constant, jnp.float32), shape)
        losses = jax.vmap(self.loss, in_axes=(None, 0))(outputs, examples)
        return float(np.average(losses, weights=jax.vmap(lambda weights: jnp.sum(weights))(examples.weights)))

    def _split(self, split: str) -> Arrays:
        return getattr(self.data, split)

    def _counted(self, outputs: Array, example: Example) -> Array:
        """The outputs in the targets' shape, set to 0 where the weight is 0, so that NaN there has no effect."""
        y = self.answer(outputs, example)
        if self.objective != "classification":
            y = y.reshape(example.targets.shape)
        weights = example.weights
        return (
            jnp.where(weights.reshape(*weights.shape, *(1,) * (y.ndim - weights.ndim)) > 0, y, 0) if weights.ndim else y
        )

    @functools.cached_property
    def _units(self) -> Any:
        """The size of a unit error in the original units, for each column."""
        scaler = self.data.scalers.targets
        if scaler is None:
            return np.float32(1)
        scale = np.asarray(scaler.scale, np.float32)
        return scale[0] if len(scale) == 1 else scale

    @functools.cached_property
    def _cumulative(self) -> np.ndarray | None:
        """See `cumulative`."""
        return cumulative(self.data.train.weights)

    @property
    def _constant(self) -> np.ndarray:
        """The constant outputs that fit the training split best: ``[O]``."""
        examples, size = self.examples("train"), self.out_features
        targets, weights = np.asarray(examples.targets), np.asarray(examples.weights, np.float64)
        weights = np.broadcast_to(weights.reshape(*weights.shape, *(1,) * (targets.ndim - weights.ndim)), targets.shape)
        if self.objective == "classification":
            return np.log(np.bincount(targets.ravel(), weights=weights.ravel(), minlength=size) + 0.5)
        targets, weights = targets.reshape(-1, size).astype(np.float64), weights.reshape(-1, size)
        if self.objective == "multilabel":
            ones, zeros = ((weights * labels).sum(axis=0) + 0.5 for labels in (targets, 1 - targets))
            return np.log(ones) - np.log(zeros)
        if self.objective == "regression":
            return np.average(targets, axis=0, weights=weights)
        return np.asarray(
            [np.median(column[counted > 0]) for column, counted in zip(targets.T, weights.T, strict=True)]
        )

    def _check_shapes(self) -> None:
        shapes = {}
        for split in SPLITS:
            part = self._split(split)
            leaves = jax.tree_util.tree_leaves_with_path({"inputs": part.inputs, "targets": part.targets})
            shapes[split] = {jax.tree_util.keystr(path): leaf.shape[1:] for path, leaf in leaves}
        if shapes["train"] != shapes["validation"] or shapes["train"] != shapes["test"]:
            raise ValueError(
                f"the splits have examples of {shapes}; allowed: the same shapes. Pad them to one length, "
                "Arrays.padded(..., length=T)."
            )

    def _check_targets(self) -> None:
        targets = jax.tree.leaves(self.data.train.targets)
        found = ", ".join(f"{leaf.dtype}{list(leaf.shape)}" for leaf in targets)
        steps = "[N, T]" if self.per_step else "[N]"
        whole = all(jnp.issubdtype(leaf.dtype, jnp.integer) for leaf in targets)
        least = min(int(np.min(leaf)) for split in SPLITS for leaf in jax.tree.leaves(self._split(split).targets))
        fits = len(targets) == 1 and (not self.per_step or targets[0].shape[1:2] == (self.sequence_length,))
        allowed = f"one array of numbers, {steps[:-1]}, ...]"
        if self.objective == "classification":
            fits = fits and whole and targets[0].ndim == 1 + self.per_step and least >= 0
            allowed = f"classes from 0 on, integers {steps}"
        if not fits:
            raise ValueError(
                f"{self.objective} with per_step={self.per_step} got targets {found}, the least {least}; allowed: "
                f"{allowed}. Choose another objective, or per_step={not self.per_step}."
            )


def cumulative(weights: Any) -> np.ndarray | None:
    """Normalised cumulative sums of the examples' weights ``[N]``; None if examples have no weights."""
    if weights is None or weights.ndim > 1:
        return None
    sums = np.cumsum(np.asarray(weights, np.float64))
    return (sums / sums[-1]).astype(np.float32)


def draw(key: Array, sums: np.ndarray) -> Array:
    """Draws the index of an example in proportion to its weight, from the `cumulative` sums of the weights."""
    return jnp.searchsorted(jnp.asarray(sums), as_uniform(draw_bits(key, 1)[0]), side="right")


def check_counted(data: Any) -> None:
    """Raises ValueError if all examples of a split have weight 0."""
    for split in SPLITS:
        if (weights := getattr(data, split).weights) is not None and not np.any(weights):
            raise ValueError(
                f"no example of the {split} split counts, by its weights; allowed: one or more. Split anew."
            )


def as_example(one: Any, per_step: bool) -> Example:
    """Converts one entry of `Arrays` to an example of a task, with tokens and classes as int32."""
    inputs, targets = jax.tree.map(_as_numbers, (one.inputs, one.targets))
    if not per_step:
        return Example(inputs, targets, jnp.ones(()) if one.weights is None else one.weights, one.lengths)
    steps = jax.tree.leaves(targets)[0].shape[0]
    weights = jnp.ones(steps) if one.weights is None else jnp.broadcast_to(one.weights, (steps,))
    if one.lengths is not None:
        weights = jnp.where(jnp.arange(steps) < one.lengths, weights, 0)
    return Example(inputs, targets, weights, one.lengths)


def _as_numbers(leaf: Array) -> Array:
    if jnp.issubdtype(leaf.dtype, jnp.integer):
        return leaf.astype(jnp.int32)
    return leaf.astype(jnp.promote_types(leaf.dtype, jnp.float32))


def _mean(values: Array, weights: Array) -> Array:
    """Mean of values ``[...]`` over the axes without weights, then the weighted mean over the others; a scalar."""
    if weights.ndim == 0:
        return jnp.mean(values, dtype=jnp.promote_types(jnp.float32, values.dtype))
    values = jnp.mean(values.reshape(*weights.shape, -1), axis=-1, dtype=jnp.promote_types(jnp.float32, values.dtype))
    return weighted_mean(values, weights)
