"""Clipping that counts: Optax's own, with how many of the updates it changed."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax


class ClipState(NamedTuple):
    """How many updates there were, and how many of them were clipped; int32 scalars."""

    updates: jax.Array
    clipped: jax.Array


def clip_by_norm(max_norm: float) -> optax.GradientTransformation:
    r"""Scales the gradient of all parameters together down to a largest norm: `optax.clip_by_global_norm`, counted.

    .. math:: g \leftarrow g \, \min(1, c / |g|_2)

    Args:
        max_norm: c; may be a traced scalar, in a sweep.

    Returns:
        A transformation whose state `clipped_fraction` reads. A norm that is not finite counts as clipped.

    Raises:
        ValueError: c is not positive and finite.

    Source: Pascanu, Mikolov & Bengio (2013), algorithm 1.
    """
    check_positive("max_norm", max_norm)
    return counted(optax.clip_by_global_norm(max_norm))


def clip_by_value(max_value: float) -> optax.GradientTransformation:
    """Cuts every entry of the gradient to ``[-c, c]``: `optax.clip`, counted.

    Args:
        max_value: c; may be a traced scalar, in a sweep.

    Returns:
        A transformation whose state `clipped_fraction` reads. An update counts as clipped if one entry was, or is NaN.

    Raises:
        ValueError: c is not positive and finite.

    Source: Mikolov (2012), PhD thesis, section 3.2.2.
    """
    check_positive("max_value", max_value)
    return counted(optax.clip(max_value))


def counted(clip: optax.GradientTransformation) -> optax.GradientTransformation:
    """The transformation, with a count of the updates that it changed; NaN, which equals nothing, counts as changed.

    Around a chain of several clippings it counts the updates that any of them changed.
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
    """Share of the updates so far in which something was clipped, in [0, 1]; NaN before the first, None if none counts.

    Args:
        state: of any Optax transformation with `clip_by_norm`, `clip_by_value` or `counted` in it. With several counts
            it is the largest share, which is a lower bound; `counted` around all of them is exact.
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
