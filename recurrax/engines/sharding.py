"""Carries that lie on the devices of a mesh as the inputs do."""

from __future__ import annotations

from typing import Any

import jax
from jax.sharding import NamedSharding, PartitionSpec


def placed_like(xs: jax.Array, batch_axes: int, carry: Any) -> Any:
    """The carry ``[*batch, H]`` on the mesh axes of ``xs: [T, *batch, D]``, where those are explicit or manual.

    A loop over time hands back a carry that lies as the inputs do, so it must start from one.
    """
    kind = jax.typeof(xs)
    batch, varying = kind.sharding.spec[1 : 1 + batch_axes], getattr(kind, "vma", frozenset())
    if not varying and not any(axis is not None for axis in batch):
        return carry

    def place(leaf: jax.Array) -> jax.Array:
        spec = PartitionSpec(*batch, *(None,) * (leaf.ndim - batch_axes))
        if jax.typeof(leaf).sharding.spec != spec and any(axis is not None for axis in batch):
            leaf = jax.sharding.reshard(leaf, NamedSharding(kind.sharding.mesh, spec))
        missing = tuple(varying - getattr(jax.typeof(leaf), "vma", frozenset()))
        return _vary(leaf, missing) if missing else leaf

    return jax.tree.map(place, carry)


def _vary(leaf: jax.Array, axes: tuple[str, ...]) -> jax.Array:
    """The same on all devices as something that may differ between them, as `jax.shard_map` tells apart."""
    if hasattr(jax.lax, "pcast"):
        return jax.lax.pcast(leaf, axes, to="varying")
    return jax.lax.pvary(leaf, axes)  # its name before jax 0.9
