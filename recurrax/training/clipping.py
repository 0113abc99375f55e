"""Gradient clipping that counts how many updates it changed."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax


class ClipState(NamedTuple):
    """The number of updates and the number of clipped updates; int32 scalars."""

    updates: jax.Array
    clipped: jax.Array


def clip_by_norm(max_norm: float) -> optax.GradientTransformation:
    r"""Limits the global norm of the gradient like `optax.clip_by_global_norm`, and counts the clipped updates.

    .. math:: g \leftarrow g \, \min(1, c / |g|_2)

    Args:
        max_norm: c; may be a traced scalar, in a sweep.

    Returns:
        A transformation; `clipped_fraction` reads its state. A norm that is not finite counts as clipped.

    Raises:
        ValueError: c is not positive and finite.

    Source: Pascanu, Mikolov & Bengio (2013), algorithm 1.
    """
    check_positive("max_norm", max_norm)
    return counted(optax.clip_by_global_norm(max_norm))


def clip_by_value(max_value: float) -> optax.GradientTransformation:
    """Clips every entry of the gradient to ``[-c, c]`` like `optax.clip`, and counts the clipped updates.

    Args:
        max_value: c; may be a traced scalar, in a sweep.

    Returns:
        A transformation; `clipped_fraction` reads its state. An update counts as clipped if an entry was clipped or is
        NaN.

    Raises:
        ValueError: c is not positive and finite.

    Source: Mikolov (2012), PhD thesis, section 3.2.2.
    """
    check_positive("max_value", max_value)
    return counted(optax.clip(max_value))


def counted(clip: optax.GradientTransformation) -> optax.GradientTransformation:
    """Counts the updates that a transformation changes; NaN counts as changed because it never equals itself.

    Around a chain of clippings it counts the updates that at least one of them changed.
    """

    def start(params: Any) -> tuple[ClipState, optax.OptState]:
        return ClipState(jnp.zeros((), jnp.int32), jnp.zeros((), jnp.int32)), clip.init(params)

    def update(updates: Any, state: Any, params: Any = None) -> Any:
        count, inner = state
        clipped, inner = clip.update(updates, inner, params)
        pairs = zip(jax.tree.leaves(updates), jax.tree.leaves(clipped), strict=True)
        changed = sum((jnp.any(old != new) for old, new in pairs), start=jnp.zeros((), jnp.int32)) > 0
        return clipped, (ClipState(count.updates + 1, count.clipped + changed), inner)

    return optax.GradientTransformation(start, update)


def clipped_fraction(state: optax.OptState) -> jax.Array | None:
    """Share of clipped updates so far, in [0, 1]; NaN before the first update, None without a counter.

    Args:
        state: state of any Optax transformation that contains `clip_by_norm`, `clip_by_value` or `counted`. With
            several counters the result is the largest share, a lower bound; `counted` around all of them is exact.
    """
    leaves = jax.tree.leaves(state, is_leaf=lambda node: isinstance(node, ClipState))
    shares = [node.clipped / node.updates for node in leaves if isinstance(node, ClipState)]
    return jnp.max(jnp.stack(shares), axis=0) if shares else None


def check_positive(name: str, value: Any) -> None:
    """Raises ValueError unless the value is a finite number above 0; a traced array passes."""
    if isinstance(value, jax.Array):
        return
    if isinstance(value, bool) or not (isinstance(value, int | float) and math.isfinite(value) and value > 0):
        raise ValueError(f"{name}={value!r}; allowed: a finite number > 0. Try {name}=1e-3.")
