"""Clipping that counts: Optax's own, with how many of the updates it touched."""

from __future__ import annotations

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

    Source: Pascanu, Mikolov & Bengio (2013), algorithm 1.
    """
    return _counted(optax.clip_by_global_norm(max_norm), lambda g: ~(_norm(g) < max_norm))


def clip_by_value(max_value: float) -> optax.GradientTransformation:
    """Cuts every entry of the gradient to ``[-c, c]``: `optax.clip`, counted.

    Args:
        max_value: c; may be a traced scalar, in a sweep.

    Returns:
        A transformation whose state `clipped_fraction` reads. An update counts as clipped if one entry was, or is NaN.

    Source: Mikolov (2012), PhD thesis, section 3.2.2.
    """

    def outside(gradient: Any) -> jax.Array:
        return ~jnp.all(jnp.stack([jnp.all(jnp.abs(leaf) <= max_value) for leaf in jax.tree.leaves(gradient)]))

    return _counted(optax.clip(max_value), outside)


def clipped_fraction(state: optax.OptState) -> jax.Array | None:
    """Share of the updates so far in which something was clipped, in [0, 1]; NaN before the first, None if none counts.

    Args:
        state: of any Optax transformation with `clip_by_norm` or `clip_by_value` in it; if with both, the larger share.
    """
    leaves = jax.tree.leaves(state, is_leaf=lambda node: isinstance(node, ClipState))
    shares = [node.clipped / node.updates for node in leaves if isinstance(node, ClipState)]
    return jnp.max(jnp.stack(shares), axis=0) if shares else None


def _counted(clip: optax.GradientTransformation, touched: Any) -> optax.GradientTransformation:
    def start(params: Any) -> tuple[ClipState, optax.OptState]:
        return ClipState(jnp.zeros((), jnp.int32), jnp.zeros((), jnp.int32)), clip.init(params)

    def update(updates: Any, state: Any, params: Any = None) -> Any:
        count, inner = state
        count = ClipState(count.updates + 1, count.clipped + touched(updates).astype(jnp.int32))
        updates, inner = clip.update(updates, inner, params)
        return updates, (count, inner)

    return optax.GradientTransformation(start, update)


def _norm(tree: Any) -> jax.Array:
    """Optax's own has had three names since 0.2.5, two of which warn."""
    return jnp.sqrt(sum((jnp.sum(leaf**2) for leaf in jax.tree.leaves(tree)), start=jnp.zeros(())))
