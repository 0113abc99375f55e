"""The memory of a cell, measured by gradients (`input_sensitivity`) and by its state (`memory_capacity`)."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

from recurrax.gradflow.gradients import Scaled, Step, length, log_root, rescale, trajectory


def input_sensitivity(step: Step, carry: Any, xs: Any) -> Array:
    """Log norms of the derivative of the last output with respect to every input.

        result_{t-1} = ln |dy_T/dx_t|_F,  t = 1 .. T

    It handles one example; use `vmap` over examples and seeds. With O numbers in the output, each step costs O backward
    passes: time O(T O n^2) for a dense cell, memory O(T n + O n). Values are rescaled at every step, so they never
    underflow.

    Args:
        step: `(carry, x) -> (carry, y)`, pure.
        carry: initial state s_0, a pytree of floating or complex arrays.
        xs: inputs, [T, D] or any pytree of floating [T, ...], T >= 1.

    Returns:
        [T] in nats **by time**. A derivative of exactly zero gives -inf.

    Raises:
        TypeError: the carry, the inputs or the output have an integer leaf, or the step changes the carry's structure.
        ValueError: there are no steps or no state.
    """
    path = trajectory(step, carry, xs)
    _check_floats("xs", path.xs)
    last = path.states[-1], jax.tree.map(lambda leaf: leaf[-1], path.xs)

    def output(state: Array, x: Any) -> Array:
        y = step(path.unravel(state), x)[1]
        _check_floats("y", y)
        return jnp.concatenate([jnp.ravel(leaf).astype(path.final.dtype) for leaf in jax.tree.leaves(y)])

    y, backward = jax.vjp(output, *last)
    G, to_input = jax.vmap(backward)(jnp.eye(y.size, dtype=y.dtype))  # dy_T/ds_{T-1}: [O, n], and dy_T/dx_T
    at_end = _log_norm(to_input, jnp.zeros((), jnp.int32))

    def pull(after: Scaled, point: tuple[Array, Any]) -> tuple[Scaled, Array]:
        G, exponent = after
        G, to_input = jax.vmap(jax.vjp(path.advance, *point)[1])(G)
        log_norm = _log_norm(to_input, exponent)
        G, shift = rescale(G)
        return (G, exponent + shift), log_norm

    earlier = path.states[:-1], jax.tree.map(lambda leaf: leaf[:-1], path.xs)
    _, log_norms = jax.lax.scan(pull, rescale(G), earlier, reverse=True)
    return jnp.append(log_norms, at_end)


def memory_horizon(log_sensitivity: ArrayLike, eps: float = 1e-2) -> Array:
    """The longest lag at which the sensitivity to an input is still a given share of its maximum.

        s(k) = |dy_T/dx_{T-k}|,  H_eps = max {k: s(k) >= eps max_j s(j)}

    It measures gradients, not learning, and not the state as `memory_capacity` does. Take the mean over examples first,
    ``jax.nn.logsumexp(log_s, 0) - ln S``.

    Args:
        log_sensitivity: [..., T] in nats **by time**, the result of `input_sensitivity`.
        eps: share of the maximum, above 0 and at most 1.

    Returns:
        [...] int, in steps, 0 to T-1; T-1 means that the sequence may be too short. -1 means that no input matters.

    Raises:
        ValueError: eps is out of range, or there is no time axis.
    """
    log_s = jnp.asarray(log_sensitivity)
    if not 0 < eps <= 1:
        raise ValueError(f"eps={eps}; allowed: above 0 and at most 1. Try eps=0.01.")
    if not log_s.ndim or not log_s.shape[-1]:
        raise ValueError(f"log_sensitivity has shape {log_s.shape}; it must be [..., T].")
    largest = jnp.max(log_s, axis=-1, keepdims=True)
    # A lag exactly at eps counts, regardless of the last bit of its logarithm.
    felt = (log_s >= largest + jnp.log(eps) - 1e-5) & (log_s > -jnp.inf)
    first = jnp.argmax(felt, axis=-1)
    return jnp.where(felt.any(axis=-1), log_s.shape[-1] - 1 - first, -1)


def memory_capacity(step: Step, carry: Any, us: ArrayLike, max_lag: int, *, warmup: int = 100) -> Array:
    """Jaeger's memory capacity for each lag: how well a linear readout of the state recalls earlier inputs.

        MC_k = corr^2(u_{t-k}, w_k . s_t) with the best w_k,  MC = sum_k MC_k <= n

    for independent inputs. The squared correlation is corrected for the n fitted weights (adjusted R^2), so a forgotten
    lag gives 0 on average and sometimes slightly less. It handles one sequence; use `vmap` over sequences.

    Args:
        step: `(carry, x) -> (carry, y)` that reads inputs x of shape [1].
        carry: initial state s_0, a pytree of floating or complex arrays, n numbers in all.
        us: inputs, [T] or [T, 1], independent draws, e.g. uniform in [-1, 1].
        max_lag: the largest lag k.
        warmup: steps at the start to ignore, at least max_lag.

    Returns:
        [max_lag + 1], dimensionless, for k = 0 .. max_lag; their sum is the capacity.

    Raises:
        ValueError: the sequence is too short for n weights, or an argument is out of range.

    Jaeger, 2001, "Short term memory in echo state networks", GMD report 152.
    """
    us = jnp.asarray(us)
    us = us[:, None] if us.ndim == 1 else us
    if us.ndim != 2 or us.shape[1] != 1:
        raise ValueError(f"us has shape {us.shape}; allowed: [T] or [T, 1]. One scalar input for each step.")
    if max_lag < 0:
        raise ValueError(f"max_lag={max_lag}; allowed: an int >= 0. Try twice the number of units.")
    path = trajectory(step, carry, us)
    n, T, skip = path.final.size, length(us), max(warmup, max_lag)
    if T - skip < n + 2:
        raise ValueError(
            f"T={T} steps leave {T - skip} after {skip} of warm-up; allowed: more than n + 1 = {n + 1}, better 20 n. "
            "Give a longer sequence."
        )
    states = jnp.concatenate([path.states[1:], path.final[None]])[skip:]  # s_t beside u_t
    basis, sizes, _ = jnp.linalg.svd(states - states.mean(axis=0), full_matrices=False)
    limits = jnp.finfo(states.dtype)
    real = sizes > sizes[0] * limits.eps * max(states.shape)  # the other directions are rounding errors
    basis, rank, N = jnp.where(real, basis, 0), jnp.sum(real), T - skip

    def recalled(lag: Array) -> Array:
        target = jax.lax.dynamic_slice_in_dim(us[:, 0], skip - lag, N)
        target = target - target.mean()
        squared = jnp.sum((basis.T @ target) ** 2) / jnp.sum(target**2)
        return 1 - (1 - squared) * (N - 1) / (N - 1 - rank)

    return jax.vmap(recalled)(jnp.arange(max_lag + 1))


def _log_norm(matrices: Any, exponent: Array) -> Array:
    parts = [jnp.ravel(leaf).astype(jnp.promote_types(leaf.dtype, jnp.float32)) for leaf in jax.tree.leaves(matrices)]
    mantissa, shift = rescale(jnp.concatenate(parts))
    return log_root(jnp.sum(mantissa**2), exponent + shift)


def _check_floats(what: str, tree: Any) -> None:
    kinds = [jnp.result_type(leaf) for leaf in jax.tree.leaves(tree)]
    if not kinds or not all(jnp.issubdtype(kind, jnp.floating) for kind in kinds):
        raise TypeError(
            f"{what} has leaves of {[kind.name for kind in kinds]}; allowed: floating ones, for there is no derivative "
            "by others. Embed tokens first, and measure from the embedding on."
        )
