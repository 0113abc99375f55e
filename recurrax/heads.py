"""Heads that turn the outputs of a model into predictive distributions, or into some of their quantiles.

    head = Quantiles((0.05, 0.5, 0.95))
    model = SequenceModel(layer, head.out_features(48), read="last", rngs=rngs)    # 48 targets, 3 numbers each
    losses = head.loss(outputs, targets)                                           # [..., 144], [..., 48] -> [..., 48]
    low, high = head.interval(outputs, 0.9)

A head has no parameters. The outputs for n targets are ``[..., n P]``; the P numbers of one target are adjacent.
"""

from __future__ import annotations

import abc
import dataclasses
import math
from collections.abc import Sequence
from statistics import NormalDist
from typing import Any, final

import jax
import jax.numpy as jnp
import numpy as np

Array = jax.Array | np.ndarray
LEAST_SCALE = 1e-3  # a scale of 0 would make the density infinite
LEVELS = (0.05, 0.25, 0.5, 0.75, 0.95)


class Head(abc.ABC):
    """A predictive distribution of each target, independent of the others given the outputs."""

    @property
    @abc.abstractmethod
    def parameters(self) -> int:
        """P, the numbers that a model gives for one target."""

    @abc.abstractmethod
    def loss(self, outputs: Array, targets: Array) -> jax.Array:
        """Loss of each target, in at least float32: ``outputs: [..., n P], targets: [..., n]`` to ``[..., n]``."""

    @abc.abstractmethod
    def quantile(self, outputs: Array, level: float) -> jax.Array:
        """The quantile of each target at a level in (0, 1): ``[..., n P]`` to ``[..., n]``."""

    @abc.abstractmethod
    def constant(self, targets: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
        """The outputs ``[n P]`` of the best constant prediction of targets ``[N, n]`` with ``weights: [N, n]``."""

    def out_features(self, targets: int) -> int:
        """The number of outputs that a model needs for n targets: n P."""
        return targets * self.parameters

    def median(self, outputs: Array) -> jax.Array:
        """The median of each target: ``[..., n P]`` to ``[..., n]``."""
        return self.quantile(outputs, 0.5)

    def interval(self, outputs: Array, coverage: float) -> tuple[jax.Array, jax.Array]:
        """The ends of the central interval that holds a target with this probability, each ``[..., n]``."""
        return self.quantile(outputs, (1 - coverage) / 2), self.quantile(outputs, (1 + coverage) / 2)

    def _split(self, outputs: Array) -> jax.Array:
        """The outputs of each target, ``[..., n, P]``, in at least float32."""
        outputs = jnp.asarray(outputs)
        if outputs.ndim == 0 or outputs.shape[-1] % self.parameters:
            raise ValueError(
                f"{self!r} got outputs of shape {list(outputs.shape)}; allowed: [..., n * {self.parameters}] for n "
                "targets. Build the model with out_features=head.out_features(n)."
            )
        outputs = outputs.astype(jnp.promote_types(outputs.dtype, jnp.float32))
        return outputs.reshape(*outputs.shape[:-1], -1, self.parameters)


@final
@dataclasses.dataclass(frozen=True)
class Gaussian(Head):
    r"""A normal distribution of each target.

    .. math:: \sigma = \mathrm{softplus}(s) + 10^{-3}, \quad
        \ell = \frac{(y - \mu)^2}{2 \sigma^2} + \ln \sigma + \frac{1}{2} \ln 2 \pi

    The outputs of a target are ``(mu, s)``; the loss is the negative log likelihood in nats. Scale targets to a
    standard deviation near 1 first, as sigma is never below 0.001.

    Source: Nix & Weigend (1994), "Estimating the mean and variance of the target probability distribution".
    """

    @property
    def parameters(self) -> int:
        """P = 2."""
        return 2

    def loss(self, outputs: Array, targets: Array) -> jax.Array:
        """Negative log likelihood in nats: ``[..., 2 n], [..., n]`` to ``[..., n]``."""
        mu, sigma = _location_scale(self._split(outputs))
        z = (jnp.asarray(targets) - mu) / sigma
        return 0.5 * z**2 + jnp.log(sigma) + 0.5 * math.log(2 * math.pi)

    def quantile(self, outputs: Array, level: float) -> jax.Array:
        """``mu + sigma z`` with z of the standard normal: ``[..., 2 n]`` to ``[..., n]``."""
        mu, sigma = _location_scale(self._split(outputs))
        return mu + sigma * NormalDist().inv_cdf(_level(level))

    def constant(self, targets: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
        """The mean and the standard deviation: ``[N, n]`` to ``[2 n]``."""
        targets, weights = _weighted(targets, weights)
        mu = np.average(targets, axis=0, weights=weights)
        sigma = np.sqrt(np.average((targets - mu) ** 2, axis=0, weights=weights))
        return np.stack([mu, _as_raw(sigma)], axis=-1).reshape(-1)


@final
@dataclasses.dataclass(frozen=True)
class Laplace(Head):
    r"""A double exponential distribution of each target, whose tails are heavier than the normal one's.

    .. math:: b = \mathrm{softplus}(s) + 10^{-3}, \quad \ell = \frac{|y - \mu|}{b} + \ln 2 b

    The outputs of a target are ``(mu, s)``; the loss is the negative log likelihood in nats. Scale targets to a
    standard deviation near 1 first, as b is never below 0.001.
    """

    @property
    def parameters(self) -> int:
        """P = 2."""
        return 2

    def loss(self, outputs: Array, targets: Array) -> jax.Array:
        """Negative log likelihood in nats: ``[..., 2 n], [..., n]`` to ``[..., n]``."""
        mu, b = _location_scale(self._split(outputs))
        return jnp.abs(jnp.asarray(targets) - mu) / b + jnp.log(2 * b)

    def quantile(self, outputs: Array, level: float) -> jax.Array:
        """``mu - b sign(p - 1/2) ln(1 - 2 |p - 1/2|)``: ``[..., 2 n]`` to ``[..., n]``."""
        mu, b = _location_scale(self._split(outputs))
        offset = _level(level) - 0.5
        return mu - b * (math.copysign(1, offset) * math.log1p(-2 * abs(offset)))

    def constant(self, targets: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
        """The median and the mean distance from it: ``[N, n]`` to ``[2 n]``."""
        targets, weights = _weighted(targets, weights)
        mu = _quantiles(targets, weights, (0.5,))[:, 0]
        b = np.average(np.abs(targets - mu), axis=0, weights=weights)
        return np.stack([mu, _as_raw(b)], axis=-1).reshape(-1)


@final
@dataclasses.dataclass(frozen=True)
class Quantiles(Head):
    r"""Quantiles of each target at given levels, which never cross.

    The middle quantile, number m of the sorted levels, is an output itself. Each other quantile is a softplus further
    out:

    .. math:: q_m = o_m, \quad q_k = q_{k-1} + \mathrm{softplus}(o_k) \; (k > m), \quad
        q_k = q_{k+1} - \mathrm{softplus}(o_k) \; (k < m)

    The loss of a target is its pinball loss in the units of the targets, averaged over the K levels p_k:

    .. math:: \ell = \frac{1}{K} \sum_k \max(p_k (y - q_k), (p_k - 1) (y - q_k))

    Args:
        levels: different numbers in (0, 1), which are stored in ascending order.

    Raises:
        ValueError: there is no level, one is out of range, or two are equal.

    Source: Koenker & Bassett (1978), "Regression quantiles"; increments that keep them apart: Park et al. (2022).
    """

    levels: Sequence[float] = LEVELS

    def __post_init__(self) -> None:
        levels = tuple(sorted(map(float, self.levels)))
        if not levels or len(set(levels)) < len(levels) or not all(0 < level < 1 for level in levels):
            raise ValueError(
                f"Quantiles got levels={self.levels!r}; allowed: one or more different numbers between 0 and 1. Try "
                f"levels={LEVELS}."
            )
        object.__setattr__(self, "levels", levels)

    @property
    def parameters(self) -> int:
        """K, the number of levels."""
        return len(self.levels)

    def all(self, outputs: Array) -> jax.Array:
        """Every quantile, ascending: ``[..., n K]`` to ``[..., n, K]``."""
        raw, m = self._split(outputs), len(self.levels) // 2
        middle, steps = raw[..., m : m + 1], jax.nn.softplus(raw)
        above = middle + jnp.cumsum(steps[..., m + 1 :], axis=-1)
        below = middle - jnp.cumsum(steps[..., :m][..., ::-1], axis=-1)[..., ::-1]
        return jnp.concatenate([below, middle, above], axis=-1)

    def loss(self, outputs: Array, targets: Array) -> jax.Array:
        """Pinball loss, mean over the levels: ``[..., n K], [..., n]`` to ``[..., n]``."""
        return jnp.mean(pinball(self.all(outputs), targets[..., None], jnp.asarray(self.levels)), axis=-1)

    def quantile(self, outputs: Array, level: float) -> jax.Array:
        """The quantile at a level, interpolated linearly between two of the head's levels.

        Raises:
            ValueError: the level is below the head's lowest or above its highest level.
        """
        if not self.levels[0] - 1e-9 <= level <= self.levels[-1] + 1e-9:
            raise ValueError(
                f"level={level} of {self!r}; allowed: from {self.levels[0]} to {self.levels[-1]}. Give the head this "
                "level."
            )
        place = float(np.interp(level, self.levels, np.arange(len(self.levels))))
        nearest = round(place)
        place = nearest if abs(place - nearest) < 1e-6 else place
        below, found = math.floor(place), self.all(outputs)
        share = place - below
        return found[..., below] if not share else (1 - share) * found[..., below] + share * found[..., below + 1]

    def constant(self, targets: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
        """The quantiles of the targets: ``[N, n]`` to ``[n K]``."""
        targets, weights = _weighted(targets, weights)
        raw, m = _quantiles(targets, weights, self.levels), len(self.levels) // 2
        steps = _as_raw(np.diff(raw, axis=-1), least=0.0)
        return np.concatenate([steps[:, :m], raw[:, m : m + 1], steps[:, m:]], axis=-1).reshape(-1)


def pinball(quantiles: Any, targets: Any, levels: Any) -> jax.Array:
    """``max(p (y - q), (p - 1) (y - q))``, elementwise with broadcasting; the p-quantile minimises its mean."""
    errors = targets - quantiles
    return jnp.maximum(levels * errors, (levels - 1) * errors)


def _location_scale(raw: jax.Array) -> tuple[jax.Array, jax.Array]:
    return raw[..., 0], jax.nn.softplus(raw[..., 1]) + LEAST_SCALE


def _level(level: float) -> float:
    if not 0 < level < 1:
        raise ValueError(f"level={level}; allowed: a number between 0 and 1. Try level=0.9.")
    return level


def _as_raw(scale: np.ndarray, least: float = LEAST_SCALE) -> np.ndarray:
    """The raw output for this scale, the inverse of the softplus plus the least scale; never minus infinity."""
    return np.log(np.expm1(np.maximum(scale - least, 1e-6)))


def _weighted(targets: np.ndarray, weights: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    targets = np.asarray(targets, np.float64)
    return targets, np.ones(targets.shape) if weights is None else np.broadcast_to(weights, targets.shape)


def _quantiles(targets: np.ndarray, weights: np.ndarray, levels: Sequence[float]) -> np.ndarray:
    """Quantiles ``[n, K]`` of each column, over the targets with positive weight."""
    pairs = zip(targets.T, weights.T, strict=True)
    return np.stack([np.quantile(y[w > 0], levels, weights=w[w > 0], method="inverted_cdf") for y, w in pairs])
