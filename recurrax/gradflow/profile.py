"""Profiles over the lag: log norms by distance from the loss, their slope, and their spread over examples."""

from typing import NamedTuple

import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike


class Profile(NamedTuple):
    """The median and a percentile band over examples or seeds, each [...] in nats."""

    median: Array
    low: Array
    high: Array


def by_lag(log_norms: ArrayLike) -> Array:
    """Reorders log norms from time t to lag k = T - t, relative to lag 0.

        result_k = log_norms_{T-k} - log_norms_T

    Args:
        log_norms: [..., T+1] in nats by time, the results of `state_gradients` and `jacobian_norms`.

    Returns:
        [..., T+1] in nats by lag; index 0 is 0. All values are nan if lag 0 is not finite.

    Raises:
        ValueError: there is no time axis.
    """
    log_norms = jnp.asarray(log_norms)
    _last_time(log_norms)
    reference = log_norms[..., -1:]
    return jnp.flip(log_norms, -1) - jnp.where(jnp.isfinite(reference), reference, jnp.nan)


def slope(log_norms: ArrayLike, first: int | None = None, last: int | None = None) -> Array:
    """Growth of log norms per step of lag, by least squares over a range of lags; negative if gradients vanish.

        d ln g / dk,  k = T - t = first .. last

    The default range, the middle half, skips two transients: near the loss the gradient still turns towards its slowest
    direction, and near s_0 the states still settle.

    Args:
        log_norms: [..., T+1] in nats **by time**, the results of `state_gradients` and `jacobian_norms` (not by lag,
            which would change the sign).
        first: the smallest lag, by default T // 4.
        last: the largest lag, included, by default T - T // 4; 0 <= first < last <= T.

    Returns:
        [...] in nats per step. Entries of -inf (gradients of exactly zero) are left out. If fewer than two others
        remain, the slope is -inf, so that a median over seeds counts it as the steepest. nan and +inf give nan.

    Raises:
        ValueError: the range is empty or not within the lags 0 .. T.
    """
    log_norms = jnp.asarray(log_norms)
    end = _last_time(log_norms)
    first = end // 4 if first is None else first
    last = end - end // 4 if last is None else last
    if not 0 <= first < last <= end:
        raise ValueError(
            f"the range of lags first={first}, last={last} must satisfy 0 <= first < last <= T = {end}; "
            "log_norms has T+1 entries, and a slope needs two."
        )
    values = jnp.flip(log_norms, -1)[..., first : last + 1]
    kept = values != -jnp.inf  # nan and +inf stay and make the result nan
    count = jnp.sum(kept, -1, keepdims=True)
    lags = jnp.arange(last - first + 1, dtype=jnp.result_type(values, jnp.float32))
    centred = jnp.where(kept, lags - jnp.sum(kept * lags, -1, keepdims=True) / jnp.maximum(count, 1), 0)
    numbers = jnp.where(kept, values, 0)
    numbers = jnp.where(kept, numbers - jnp.sum(numbers, -1, keepdims=True) / jnp.maximum(count, 1), 0)
    enough = count[..., 0] >= 2
    fit = jnp.sum(centred * numbers, -1) / jnp.where(enough, jnp.sum(centred**2, -1), 1)
    return jnp.where(enough | jnp.isnan(fit), fit, -jnp.inf)


def band(log_norms_by_lag: ArrayLike, low: float = 10, high: float = 90) -> Profile:
    """The median and percentiles over examples or seeds, the leading axis.

    Args:
        log_norms_by_lag: [S, ...] in nats, the result of `by_lag` under `vmap`; -inf is below every number.
        low: lower percentile, 0 to 50.
        high: upper percentile, 50 to 100.

    Returns:
        Profile of [...] in nats. Percentiles between two entries are interpolated; between -inf and a number
        they are -inf. nan in any example gives nan.

    Raises:
        ValueError: the percentiles are out of order, or there is no leading axis.
    """
    log_norms_by_lag = jnp.asarray(log_norms_by_lag)
    if not 0 <= low <= 50 <= high <= 100:
        raise ValueError(f"percentiles low={low}, high={high} must satisfy 0 <= low <= 50 <= high <= 100.")
    if log_norms_by_lag.ndim < 2 or not log_norms_by_lag.shape[0]:
        raise ValueError(
            f"log_norms_by_lag has shape {log_norms_by_lag.shape}; it must be [S, T+1] or [S, ...] with "
            "S >= 1 examples or seeds first. For one example there is no band: plot the curve itself."
        )
    at = jnp.asarray([50, low, high], log_norms_by_lag.dtype)
    values = jnp.percentile(log_norms_by_lag, at, axis=0)
    below = jnp.percentile(log_norms_by_lag, at, axis=0, method="lower")
    return Profile(*jnp.where(below == -jnp.inf, below, values))  # in interpolation -inf * 0 gives nan


def _last_time(log_norms: Array) -> int:
    if not log_norms.ndim or not log_norms.shape[-1]:
        raise ValueError(f"log_norms has shape {log_norms.shape}; it must be [..., T+1], for t = 0 .. T.")
    return log_norms.shape[-1] - 1
