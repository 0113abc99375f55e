"""The placement of arrays on devices: a mesh with the axes "run" and "batch", and the start of several hosts."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from recurrax.storage.folders import barrier as barrier
from recurrax.storage.folders import is_main as is_main


def connect(coordinator: str | None = None, processes: int | None = None, process: int | None = None) -> None:
    """Connects this process to the processes on other hosts; call it before anything else uses jax.

    Without arguments `jax.distributed.initialize` reads the cluster's environment (SLURM, GKE, Cloud TPU, Open MPI).

    Args:
        coordinator: ``host:port`` of process 0.
        processes: the number of processes.
        process: the index of this process, from 0.

    Raises:
        ValueError: only some of the arguments are given, or none is given and no cluster is found.
    """
    given = [value is not None for value in (coordinator, processes, process)]
    if any(given) and not all(given):
        raise ValueError(
            f"connect got coordinator={coordinator}, processes={processes}, process={process}; allowed: all or none. "
            "Without any, the cluster's environment is read."
        )
    try:
        jax.distributed.initialize(coordinator, processes, process)
    except (ValueError, RuntimeError) as error:
        raise ValueError(
            f"no cluster found ({error}); allowed: a SLURM, GKE, Cloud TPU or Open MPI job, or all of coordinator, "
            "processes and process given. On one host leave several hosts out."
        ) from error


def first_devices(count: int | None) -> list[Any] | None:
    """The first ``count`` devices; None takes all.

    Raises:
        ValueError: there are fewer devices.
    """
    if count is None:
        return None
    if count > jax.device_count():
        raise ValueError(
            f"devices={count}; allowed: 1 to {jax.device_count()}, as many as JAX has here. Leave it out to use all."
        )
    return jax.devices()[:count]


def make_mesh(runs: int, batch_size: int, devices: Sequence[Any] | None = None) -> Mesh:
    """The mesh ``run x batch`` for an ensemble: it splits runs first, because they never communicate, then the batch.

    With N devices the axis "run" has gcd(N, runs) of them, and "batch" gcd(N / run, batch_size).

    Args:
        runs: S.
        batch_size: B, the examples of one update.
        devices: the devices; by default all devices of every host.

    Raises:
        ValueError: there is no device; or, with several hosts, the sizes leave a device unused.

    Warns:
        RuntimeWarning: the sizes leave a device unused.
    """
    devices = jax.devices() if devices is None else list(devices)
    if not devices:
        raise ValueError("make_mesh got no device; allowed: one or more. Leave devices out to use all of them.")
    over_runs = math.gcd(len(devices), runs)
    over_batch = math.gcd(len(devices) // over_runs, batch_size)
    used = over_runs * over_batch
    if used < len(devices):
        text = f"{runs} runs of batch size {batch_size} use {used} of {len(devices)} devices"
        fix = "make the number of runs or the batch size a multiple of the number of devices"
        if jax.process_count() > 1:
            raise ValueError(f"{text}, but every host must take part; allowed: sizes that use all. Try to {fix}.")
        warnings.warn(f"{text}; {fix} to use all.", RuntimeWarning, stacklevel=2)
    grid = np.array(devices[:used]).reshape(over_runs, over_batch)
    return Mesh(grid, ("run", "batch"), axis_types=(AxisType.Auto, AxisType.Auto))


def sharded_by_run(mesh: Mesh) -> NamedSharding:
    """Sharding of leaves with a leading axis S over the mesh axis "run"."""
    return NamedSharding(mesh, PartitionSpec("run"))


def replicated(mesh: Mesh) -> NamedSharding:
    """Sharding of leaves that are replicated on every device, so that all hosts can read them."""
    return NamedSharding(mesh, PartitionSpec())


def split_batch(mesh: Mesh, tree: Any) -> Any:
    """Shards the leading axis B of a tree over the mesh axis "batch", inside a jitted program."""
    if mesh.size == 1:
        return tree
    sharding = NamedSharding(mesh, PartitionSpec("batch"))
    return jax.tree.map(lambda leaf: jax.lax.with_sharding_constraint(leaf, sharding), tree)


def place(tree: Any, sharding: NamedSharding) -> Any:
    """Places the tree on the devices of the sharding, on other hosts too; every host passes the same values."""
    if jax.process_count() == 1:
        return jax.device_put(tree, sharding)

    def one(leaf: Any) -> Any:
        values = np.asarray(without_keys(leaf))
        return with_keys(leaf, jax.make_array_from_callback(values.shape, sharding, lambda index: values[index]))

    return jax.tree.map(one, tree)


def without_keys(leaf: Any) -> Any:
    """The leaf, or its bits if it holds random keys."""
    return jax.random.key_data(leaf) if _is_key(leaf) else leaf


def with_keys(like: Any, leaf: Any) -> Any:
    """The leaf, converted to random keys if ``like`` holds keys."""
    return jax.random.wrap_key_data(leaf, impl=jax.random.key_impl(like)) if _is_key(like) else leaf


def _is_key(leaf: Any) -> bool:
    return jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)
