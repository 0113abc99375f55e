"""Solves linear recurrences ``s_t = a_t s_{t-1} + b_t`` for all steps at once by an associative scan.

The composition of affine maps ``s -> a s + b`` is associative, so T maps need log T rounds (Blelloch, 1990, "Prefix
sums and their applications"). The derivative is another linear recurrence that runs backwards. `custom_linear_solve`
solves it instead of differentiating the rounds, in forward and reverse mode and to any order.
"""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp


def solve(a: jax.Array, b: jax.Array, initial: jax.Array) -> jax.Array:
    """All states of ``s_t = a_t s_{t-1} + b_t``, real or complex: from ``b: [T, *batch, N]`` to ``[T, *batch, N]``.

    Args:
        a: ``[T, *batch, N]``, elementwise; or ``[T, *batch, N, N]``, one matrix per step: ``s_t = A_t s_{t-1} + b_t``.
        b: ``[T, *batch, N]``.
        initial: ``s_0: [*batch, N]``, the state before the first step.

    The work is O(T N) elementwise and O(T N^3) with matrices.
    """
    b = b.at[0].add(_apply(a[0], initial))
    a = a.at[0].set(0)  # the first step starts from zero: its initial state is in b

    def residual(a: jax.Array, states: jax.Array) -> jax.Array:
        return states - _apply(a, _later(states))

    def forward(_: object, b: jax.Array) -> jax.Array:
        return _scan(a, b)

    def backward(_: object, b: jax.Array) -> jax.Array:
        transposed = a if a.ndim == b.ndim else jnp.swapaxes(a, -1, -2)
        return jnp.flip(_scan(_later(jnp.flip(transposed, 0)), jnp.flip(b, 0)), 0)

    return jax.lax.custom_linear_solve(functools.partial(residual, a), b, forward, backward)


def _apply(a: jax.Array, s: jax.Array) -> jax.Array:
    return a * s if a.ndim == s.ndim else jnp.einsum("...ij,...j->...i", a, s)


def _later(a: jax.Array) -> jax.Array:
    """Shifts by one step and fills with zeros: ``out[t] = a[t - 1]``."""
    return jnp.concatenate([jnp.zeros_like(a[:1]), a[:-1]])


def _scan(a: jax.Array, b: jax.Array) -> jax.Array:
    """The recurrence from zero."""
    return jax.lax.associative_scan(_compose, (a, b))[1]


def _compose(first: tuple[jax.Array, jax.Array], then: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
    """The map that applies ``first`` and then ``then``: ``s -> a2 (a1 s + b1) + b2``."""
    (a1, b1), (a2, b2) = first, then
    if a1.ndim > b1.ndim:
        return a2 @ a1, _apply(a2, b1) + b2
    # A factor of 0 forgets everything before it, so that NaN and infinity do not survive a reset.
    forgets = a2 == 0
    return jnp.where(forgets, 0, a2 * a1), jnp.where(forgets, 0, a2 * b1) + b2
