"""Prediction in long sequences: the next token of a text, or the values of a series some steps ahead.

    text = recurrax.datasets.Text.contiguous(book)
    task = NextToken(text, window=128)                  # a model: SequenceModel(layer, V, vocabulary=V)

    parts = recurrax.datasets.Series(values).split().scaled()
    task = NextValue(parts.steps(horizon=1), window=64)

Both tasks are streams: the carry continues from window to window, and the validation and test splits are read from
beginning to end.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any, ClassVar, final

import jax.numpy as jnp
import numpy as np
import optax
from jax import Array

from recurrax.datasets import SPLITS, Dataset, Steps, Text
from recurrax.tasks.stream import Stream
from recurrax.tasks.task import Example, check_choice, check_size, weighted_mean, with_root


@final
@dataclasses.dataclass(frozen=True)
class NextToken(Stream):
    """Language modelling: the cross entropy of the next token in nats, with ``bits`` and ``perplexity`` per token.

    Args:
        data: the text.
        window: T, steps of an update; gradients flow through one window.
        evaluation_streams: number of streams into which a split is cut for evaluation.
        restart_rate: probability that a stream begins a window of training from the initial carry, see `Stream`.

    Raises:
        TypeError: the data are not `Text`, or a size is not an int.
        ValueError: a size is below 1, or the rate is not a probability.
    """

    name: ClassVar[str] = "next_token"
    data: Text = dataclasses.field(metadata={"setting": False})
    window: int = 128
    evaluation_streams: int = 1
    restart_rate: float = 0.0
    sha256: str = dataclasses.field(init=False, repr=False)

    def __post_init__(self) -> None:
        if not isinstance(self.data, Text):
            raise TypeError(f"NextToken got {type(self.data).__name__}; allowed: Text. Use Text.contiguous(text).")
        _check_settings(self)
        object.__setattr__(self, "sha256", self.data.sha256)

    @property
    def out_features(self) -> int:
        """V, the size of the vocabulary, of inputs and of outputs."""
        return self.data.vocabulary_size

    def sequence(self, split: str) -> Example:
        """A whole split as one example of N steps."""
        return _sequence(getattr(self.data, split))

    def loss(self, outputs: Array, example: Example) -> Array:
        """Cross entropy in nats, averaged over the steps that count. outputs: ``[T, V]`` logits; returns a scalar."""
        losses = optax.softmax_cross_entropy_with_integer_labels(
            _counted(outputs, example, self.out_features), example.targets
        )
        return _mean(losses, example)

    def accuracy(self, outputs: Array, example: Example) -> Array:
        """Share of counted steps whose likeliest token is right. outputs: ``[T, V]``; returns a scalar."""
        return _mean(jnp.argmax(outputs, axis=-1) == example.targets, example)

    def finish(self, means: dict[str, Array]) -> dict[str, Array]:
        """The mean metrics, with ``bits``, loss / ln 2, and ``perplexity``, e^loss."""
        return means | {"bits": means["loss"] / math.log(2), "perplexity": jnp.exp(means["loss"])}

    def chance_level(self) -> float:
        """Test loss of the training split's token frequencies, with half a count added to each token.

        Source: Krichevsky & Trofimov (1981).
        """
        counts = np.bincount(self.data.train.targets, minlength=self.out_features) + 0.5
        return float(-np.mean(np.log(counts / counts.sum())[np.asarray(self.data.test.targets)]))


@final
@dataclasses.dataclass(frozen=True)
class NextValue(Stream):
    """Forecasting at every step: the error of predicted values of a series some steps ahead.

    It reports ``rmse`` and ``mae`` in the original units, over all target columns together.

    Args:
        data: splits of `recurrax.datasets.Steps`, the result of `SeriesSplits.steps`.
        objective: "regression", the squared error, or "absolute"; the mean over the target columns, in the data's
            units.
        window: T, steps of an update; gradients flow through one window.
        evaluation_streams: number of streams into which a split is cut for evaluation.
        restart_rate: probability that a stream begins a window of training from the initial carry, see `Stream`.

    Raises:
        TypeError: the data are not of `Steps`, or a size is not an int.
        ValueError: the objective is unknown, a size is below 1, or the rate is not a probability.
    """

    name: ClassVar[str] = "next_value"
    data: Dataset[Steps] = dataclasses.field(metadata={"setting": False})
    objective: str = "regression"
    window: int = 128
    evaluation_streams: int = 1
    restart_rate: float = 0.0
    sha256: str = dataclasses.field(init=False, repr=False)

    def __post_init__(self) -> None:
        if not all(isinstance(getattr(self.data, split, None), Steps) for split in SPLITS):
            kind = type(getattr(self.data, "train", self.data)).__name__
            raise TypeError(f"NextValue got {kind}; allowed: a Dataset of Steps. Use Series(...).split().steps().")
        check_choice("objective", self.objective, ("regression", "absolute"))
        _check_settings(self)
        object.__setattr__(self, "sha256", self.data.sha256)

    @property
    def in_features(self) -> int:
        """D, the number of input columns."""
        return self.data.train.inputs.shape[-1]

    @property
    def out_features(self) -> int:
        """O, the number of target columns."""
        return self.data.train.targets.shape[-1]

    def sequence(self, split: str) -> Example:
        """A whole split as one example of N steps."""
        return _sequence(getattr(self.data, split))

    def loss(self, outputs: Array, example: Example) -> Array:
        """The objective, averaged over columns and the steps that count. outputs: ``[T, O]``; returns a scalar."""
        errors = _counted(outputs, example, self.out_features) - example.targets
        return _mean(jnp.mean(errors**2 if self.objective == "regression" else jnp.abs(errors), axis=-1), example)

    def metrics(self, outputs: Array, example: Example) -> dict[str, Array]:
        """Loss, and squared and absolute errors in the original units."""
        scaler = self.data.scalers.targets
        units = 1.0 if scaler is None else np.asarray(scaler.scale, np.float32)
        errors = (_counted(outputs, example, self.out_features) - example.targets) * units
        squared, absolute = (_mean(jnp.mean(e, axis=-1), example) for e in (errors**2, jnp.abs(errors)))
        return {"loss": self.loss(outputs, example), "squared_error": squared, "mae": absolute}

    def finish(self, means: dict[str, Array]) -> dict[str, Array]:
        """The metrics to report: the root of the mean squared error in place of its square."""
        return with_root(means)

    def chance_level(self) -> float:
        """Test loss of the training split's mean of each column, or of its median for absolute errors."""
        (train, kept), (test, counted) = (_targets(steps) for steps in (self.data.train, self.data.test))
        errors = test[counted > 0] - (np.mean if self.objective == "regression" else np.median)(train[kept > 0], axis=0)
        return float(np.mean(errors**2 if self.objective == "regression" else np.abs(errors)))


def _sequence(steps: Any) -> Example:
    """Steps as an example; a reset at the first step alone is dropped because streams begin there anyway."""
    several = bool(np.any(np.asarray(steps.resets)[1:]))
    return Example(steps.inputs, steps.targets, steps.weights, resets=steps.resets if several else None)


def _targets(steps: Steps) -> tuple[np.ndarray, np.ndarray]:
    """Targets ``[N, O]`` and weights ``[N]``."""
    targets = np.asarray(steps.targets, np.float64)
    return targets, np.ones(len(targets)) if steps.weights is None else np.asarray(steps.weights)


def _counted(outputs: Array, example: Example, size: int) -> Array:
    """Outputs in at least float32, set to 0 where the weight is 0, so that NaN there has no effect."""
    if outputs.shape[-1] != size:
        raise ValueError(
            f"the model gives {outputs.shape[-1]} outputs a step; allowed: {size}, as the task has them. Build it with "
            f"out_features={size}."
        )
    outputs = outputs.astype(jnp.promote_types(outputs.dtype, jnp.float32))
    return outputs if example.weights is None else jnp.where(example.weights[:, None] > 0, outputs, 0)


def _mean(values: Array, example: Example) -> Array:
    """Mean over the steps that count, in at least float32; 0 for a window without such steps."""
    values = values.astype(jnp.promote_types(values.dtype, jnp.float32))
    if example.weights is None:
        return jnp.mean(values)
    return weighted_mean(values, example.weights)


def _check_settings(task: Any) -> None:
    check_size("window", task.window, 1)
    check_size("evaluation_streams", task.evaluation_streams, 1)
    rate = task.restart_rate
    if isinstance(rate, bool) or not isinstance(rate, int | float) or not 0 <= rate <= 1:
        raise ValueError(f"restart_rate={rate!r}; allowed: a number from 0 to 1. Try 0.05; 0 is without restarts.")
