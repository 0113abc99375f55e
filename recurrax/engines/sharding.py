"""Shards cells, carries and flags over a mesh in the same way as the inputs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
from jax.core import Tracer
from jax.sharding import NamedSharding, PartitionSpec


def place_like(xs: jax.Array, batch_axes: int) -> Callable[..., Any]:
    """Returns a function that shards the batch axes of arrays like those of ``xs: [T, *batch, D]``.

    On an explicit mesh a loop over time returns a carry with the sharding of the inputs, so it must start from such a
    carry. A weight gets a gradient only if it is on the same mesh. ``put(tree, after=n)`` takes arrays with n axes
    before the batch axes; ``put(tree, None)`` takes arrays without batch axes and replicates them.
    """
    kind = jax.typeof(xs)
    batch, varying = kind.sharding.spec[1 : 1 + batch_axes], _varying(kind)
    explicit = any(axis is not None for axis in batch)
    mesh = kind.sharding.mesh if isinstance(xs, Tracer) or not explicit else xs.sharding.mesh  # type: ignore[attr-defined]

    def put(tree: Any, after: int | None = 0) -> Any:
        if not explicit and not varying:
            return tree
        return jax.tree.map(lambda leaf: _vary(_reshard(leaf, after), varying, after), tree)

    def _reshard(leaf: jax.Array, after: int | None) -> jax.Array:
        spec = PartitionSpec(*(None,) * leaf.ndim)
        if after is not None:
            spec = PartitionSpec(*(None,) * after, *batch, *(None,) * (leaf.ndim - after - batch_axes))
        known = jax.typeof(leaf).sharding
        if not explicit or (known.spec == spec and known.mesh == kind.sharding.mesh):
            return leaf
        move = jax.sharding.reshard if isinstance(leaf, Tracer) else jax.device_put
        return move(leaf, NamedSharding(mesh, spec))

    return put


def check_not_varying(engine: str, xs: jax.Array) -> None:
    """Raises ValueError inside a `jax.shard_map` with ``check_vma=True``, which this engine's loops do not pass."""
    if axes := _varying(jax.typeof(xs)):
        raise ValueError(
            f"{engine} got inputs that vary over the mesh axes {sorted(axes)} of a jax.shard_map; allowed: one with "
            "check_vma=False. Give it that, or use backend='auto'."
        )


def is_varying(xs: jax.Array) -> bool:
    """Whether the inputs belong to a `jax.shard_map` with ``check_vma=True``."""
    return bool(_varying(jax.typeof(xs)))


def _varying(kind: Any) -> frozenset[str]:
    """The manual mesh axes over which an array of this type varies."""
    if hasattr(kind, "manual_axis_type"):
        return kind.manual_axis_type.varying
    return getattr(kind, "vma", frozenset())  # the attribute's name before jax 0.10


def _vary(leaf: jax.Array, varying: frozenset[str], after: int | None) -> jax.Array:
    """Marks arrays that are equal on all devices as varying, as `jax.shard_map` requires."""
    axes = tuple(varying - _varying(jax.typeof(leaf)))
    if after is None or not axes:  # parameters: JAX marks them as varying where they are used, and sums their gradients
        return leaf
    if hasattr(jax.lax, "pcast"):
        return jax.lax.pcast(leaf, axes, to="varying")
    return jax.lax.pvary(leaf, axes)  # type: ignore[attr-defined]  # its name before jax 0.9
