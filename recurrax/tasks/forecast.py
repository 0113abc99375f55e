"""Probabilistic forecasts: a distribution for each of the numbers that follow a sequence.

data = Series(values).split().scaled().windows(length=96, horizon=24, targets="demand")
task = Forecast(data, Quantiles((0.05, 0.5, 0.95)))
model = SequenceModel(layer, task.out_features, read="last", rngs=rngs)
"""

from __future__ import annotations

import dataclasses
import functools
import math
from typing import ClassVar, final

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from recurrax.datasets import SPLITS, Arrays
from recurrax.heads import Gaussian, Head
from recurrax.tasks.finite import FiniteTask
from recurrax.tasks.supervised import as_example, check_counted, cumulative, draw
from recurrax.tasks.task import Example, weighted_mean, with_root


@final
@dataclasses.dataclass(frozen=True)
class Forecast(FiniteTask):
    """Forecasts the distributions of the H numbers that follow each sequence, read from its last step.

    It reports the loss of the head; ``mae`` and ``rmse`` of the median, in the original units if the targets were
    scaled; and ``coverage``, the share of targets in the central interval.

    Args:
        data: a `recurrax.datasets.Dataset` of `Arrays` with targets ``[N, H]`` or ``[N, H, F]``; weights ``[N]``, to
            which the probability of drawing an example is proportional, or ``[N, H]``, 0 if a target is missing.
        head: the distribution, see `recurrax.heads`.
        interval: probability of the central interval; `Quantiles` need it between their outer levels.

    Raises:
        TypeError: the data are not `Arrays`, or the head is not a `Head`.
        ValueError: the targets are not numbers ``[N, H]``, the splits have different shapes, all examples of a split
            have weight 0, or the head does not know the interval.
    """

    name: ClassVar[str] = "forecast"
    head: Head = dataclasses.field(default_factory=Gaussian)
    interval: float = 0.9

    def __post_init__(self) -> None:
        super().__post_init__()
        if not all(isinstance(getattr(self.data, split), Arrays) for split in SPLITS):
            kind = type(self.data.train).__name__
            raise TypeError(f"Forecast got splits of {kind}; allowed: Arrays. Use Arrays(inputs, targets).split_at().")
        if not isinstance(self.head, Head):
            raise TypeError(f"Forecast got head={self.head!r}; allowed: a recurrax.heads.Head. Try heads.Quantiles().")
        self._check_targets()
        self.head.interval(jnp.zeros(self.out_features), self.interval)  # raises if the head does not know the level

    @property
    def in_features(self) -> int:
        """D, the size of one input."""
        return self.data.train.inputs.shape[-1]

    @property
    def horizon(self) -> int:
        """The number of values forecast for each sequence: H, or H F."""
        return math.prod(self.data.train.targets.shape[1:])

    @property
    def out_features(self) -> int:
        """O, the number of model outputs: those of the head for all targets."""
        return self.head.out_features(self.horizon)

    @property
    def sequence_length(self) -> int:
        """T, the number of steps of the inputs."""
        return self.data.train.inputs.shape[1]

    def sample(self, key: Array) -> Example:
        """Draws one example of the training split, in proportion to its weight; pure. key: one PRNG key."""
        if self._cumulative is None:
            return super().sample(key)
        return self.example("train", draw(key, self._cumulative))

    def example(self, split: str, index: Array) -> Example:
        """One example: inputs ``[T, D]``, targets ``[H]`` or ``[H, F]``."""
        return as_example(jax.tree.map(lambda leaf: leaf[index], getattr(self.data, split)), per_step=False)

    def answer(self, outputs: Array, example: Example) -> Array:
        """The outputs of the forecast, ``[O]``; if a model returns ``[T, O]``, those of the last valid step.

        Raises:
            ValueError: the outputs have another size.
        """
        steps, size = jax.tree.leaves(example.inputs)[0].shape[0], self.out_features
        if outputs.shape == (steps, size):
            return outputs[steps - 1 if example.lengths is None else example.lengths - 1]
        if outputs.shape != (size,):
            raise ValueError(
                f"the model's outputs for one example have shape {list(outputs.shape)}; allowed: [{size}], or "
                f"[{steps}, {size}] to read the last step. Build it with out_features={size}."
            )
        return outputs

    def loss(self, outputs: Array, example: Example) -> Array:
        """The head's loss, averaged over the targets that count; a scalar. outputs: ``[O]`` or ``[T, O]``."""
        y, targets, weights = self._counted(outputs, example)
        return weighted_mean(self.head.loss(y, targets), weights)

    def metrics(self, outputs: Array, example: Example) -> dict[str, Array]:
        """Loss, squared and absolute error of the median in the original units, and coverage of the interval."""
        y, targets, weights = self._counted(outputs, example)
        errors = (self.head.median(y) - targets) * self._units
        low, high = self.head.interval(y, self.interval)
        found = {
            "loss": self.head.loss(y, targets),
            "squared_error": errors**2,
            "mae": jnp.abs(errors),
            "coverage": ((low <= targets) & (targets <= high)).astype(jnp.float32),
        }
        return {name: weighted_mean(values, weights) for name, values in found.items()}

    def finish(self, means: dict[str, Array]) -> dict[str, Array]:
        """The metrics to report, with the root mean squared error instead of the mean squared error."""
        return with_root(means)

    def chance_level(self) -> float:
        """Test loss of the best constant forecast from the training split, see `recurrax.heads.Head.constant`."""
        train, test = self.examples("train"), self.examples("test")
        targets = np.asarray(train.targets).reshape(-1, self.horizon)
        outputs = jnp.asarray(self.head.constant(targets, self._weights(train)), jnp.float32)
        losses = jax.vmap(self.loss, in_axes=(None, 0))(outputs, test)
        return float(np.average(losses, weights=np.asarray(test.weights).reshape(len(losses), -1).sum(axis=1)))

    def _counted(self, outputs: Array, example: Example) -> tuple[Array, Array, Array]:
        """Outputs ``[O]``, targets and weights ``[H F]``; those without weight are 0, so that NaN has no effect."""
        y, targets = self.answer(outputs, example), example.targets.reshape(-1)
        weights = self._spread(example.weights, example.targets.shape)
        y = y.astype(jnp.promote_types(y.dtype, jnp.float32))
        return jnp.where(jnp.repeat(weights > 0, self.head.parameters), y, 0), targets, weights

    def _spread(self, weights: Array, shape: tuple[int, ...]) -> Array:
        """Weights of every target; all targets of an example have its weight."""
        weights = (weights > 0).astype(jnp.float32) if weights.ndim == 0 else weights
        return _over(weights, shape).reshape(-1)

    def _weights(self, examples: Example) -> np.ndarray:
        """Weights of every target of every example, ``[N, H F]``."""
        shape = examples.targets.shape
        return np.asarray(_over(jnp.asarray(examples.weights), shape)).reshape(shape[0], -1)

    @functools.cached_property
    def _units(self) -> np.ndarray:
        """The size of a unit error in the original units, for each target ``[H F]``."""
        scaler, shape = self.data.scalers.targets, self.data.train.targets.shape[1:]
        scale = np.ones(1) if scaler is None else np.asarray(scaler.scale)
        return np.broadcast_to(scale, shape).reshape(-1).astype(np.float32)

    @functools.cached_property
    def _cumulative(self) -> np.ndarray | None:
        """See `recurrax.tasks.supervised.cumulative`."""
        return cumulative(self.data.train.weights)

    def _check_targets(self) -> None:
        leaves = jax.tree.leaves([getattr(self.data, split).targets for split in SPLITS])
        numbers = len(leaves) == 3 and all(
            leaf.ndim >= 2 and jnp.issubdtype(leaf.dtype, jnp.floating) for leaf in leaves
        )
        if not numbers or len({leaf.shape[1:] for leaf in leaves}) > 1:
            found = ", ".join(f"{leaf.dtype}{list(leaf.shape)}" for leaf in leaves)
            raise ValueError(
                f"the targets of train, validation and test are {found}; allowed: floating-point numbers [N, H] or "
                "[N, H, F] with the same H and F in each. Use Series.windows, or y[:, None] for one number."
            )
        check_counted(self.data)


def _over(weights: Array, shape: tuple[int, ...]) -> Array:
    """Broadcasts weights of the leading axes of a shape to the whole shape."""
    return jnp.broadcast_to(weights.reshape(*weights.shape, *(1,) * (len(shape) - weights.ndim)), shape)
