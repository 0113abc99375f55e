"""Cells, carries and flags that lie on the devices of a mesh as the inputs do."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
from jax.core import Tracer
from jax.sharding import NamedSharding, PartitionSpec


def place_like(xs: jax.Array, batch_axes: int) -> Callable[..., Any]:
    """A function that puts the batch axes of arrays where those of ``xs: [T, *batch, D]`` lie.

    On an explicit mesh a loop over time hands back a carry that lies as the inputs do, so it must start from one, and a
    weight gets its gradient only where it lies on the same mesh. ``put(tree, after=n)`` takes arrays with n axes before
    those of the batch; ``put(tree, None)`` arrays without a batch, the same on all devices.
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
    """Raises ValueError in a `jax.shard_map` that checks what varies, which JAX's loops of this engine do not pass."""
    if axes := _varying(jax.typeof(xs)):
        raise ValueError(
            f"{engine} got inputs that vary over the mesh axes {sorted(axes)} of a jax.shard_map; allowed: one with "
            "check_vma=False. Give it that, or use backend='auto'."
        )


def is_varying(xs: jax.Array) -> bool:
    """Whether the inputs are those of a `jax.shard_map` that checks what varies."""
    return bool(_varying(jax.typeof(xs)))


def _varying(kind: Any) -> frozenset[str]:
    """The manual axes of the mesh over which an array of this type differs from device to device."""
    if hasattr(kind, "manual_axis_type"):
        return kind.manual_axis_type.varying
    return getattr(kind, "vma", frozenset())  # its name before jax 0.10


def _vary(leaf: jax.Array, varying: frozenset[str], after: int | None) -> jax.Array:
    """What is the same on all devices as something that may differ between them, as `jax.shard_map` tells apart."""
    axes = tuple(varying - _varying(jax.typeof(leaf)))
    if after is None or not axes:  # parameters: JAX makes them vary where they are used, and sums their gradients
        return leaf
    if hasattr(jax.lax, "pcast"):
        return jax.lax.pcast(leaf, axes, to="varying")
    return jax.lax.pvary(leaf, axes)  # type: ignore[attr-defined]  # its name before jax 0.9
