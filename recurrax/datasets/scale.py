"""Scaling of split examples, fitted on the valid steps of the training split."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from recurrax.datasets.arrays import Arrays
from recurrax.datasets.dataset import SPLITS, Dataset
from recurrax.datasets.scaler import Scaler


def scale(data: Dataset[Arrays], inputs: str | None = "standard", targets: str | None = None) -> Dataset[Arrays]:
    """The data set with each column of its inputs or targets scaled by statistics of the training split.

    The fit ignores padding, where inputs stay 0. The data set keeps the scalers, so that
    ``data.scalers.targets.inverse(predictions)`` is in the original units.

    Args:
        data: data set of `Arrays` with inputs ``[N, T, F]`` and targets ``[N]`` or ``[N, ..., F]``, or in the shape of
            the weights.
        inputs, targets: a kind of scaler, see `Scaler.fit`; None leaves them as they are.

    Raises:
        ValueError: the values are scaled already, or are not one array of floating-point numbers.
    """
    changes, scalers = {split: {} for split in SPLITS}, data.scalers
    for name, kind in (("inputs", inputs), ("targets", targets)):
        if kind is None:
            continue
        _check(data, name)
        scaler = Scaler.fit(_columns(data.train, name)[_counted(data.train, name)], kind)
        scalers = scalers._replace(**{name: scaler})
        for split in SPLITS:
            changes[split][name] = _scaled(getattr(data, split), name, scaler)
    splits = {split: dataclasses.replace(getattr(data, split), **changes[split]) for split in SPLITS}
    return dataclasses.replace(data, scalers=scalers, **splits)


def _check(data: Dataset[Arrays], name: str) -> None:
    if getattr(data.scalers, name) is not None:
        raise ValueError(f"the {name} of {data.name} are scaled already; allowed: once. Scale the original data set.")
    leaves = jax.tree.leaves(getattr(data.train, name))
    least = 3 if name == "inputs" else 1
    if len(leaves) != 1 or not jnp.issubdtype(leaves[0].dtype, jnp.floating) or leaves[0].ndim < least:
        found = ", ".join(f"{leaf.dtype}{list(leaf.shape)}" for leaf in leaves)
        raise ValueError(
            f"the {name} of {data.name} are {found}; allowed: one array of floating-point numbers, "
            f"{'[N, T, F]' if least == 3 else '[N] or [N, ..., F]'}. Scale others before the split with Scaler, leave "
            f"tokens and classes as they are ({name}=None), or add an axis (x[..., None])."
        )


def _columns(arrays: Arrays, name: str) -> np.ndarray:
    """The single array with an axis of columns: ``[N, ..., F]``."""
    array = np.asarray(jax.tree.leaves(getattr(arrays, name))[0])
    single = name == "targets" and arrays.weights is not None and arrays.weights.shape == array.shape
    return array[..., None] if array.ndim == 1 or single else array


def _counted(arrays: Arrays, name: str) -> np.ndarray:
    """The rows of `_columns` that are not padding, bool ``[N, ...]``."""
    array = _columns(arrays, name)
    rows: np.ndarray = np.ones(array.shape[:-1], bool)
    weights = None if arrays.weights is None else np.asarray(arrays.weights)
    inputs = jax.tree.leaves(arrays.inputs)[0]
    if arrays.lengths is not None and rows.ndim > 1 and rows.shape[1] == inputs.shape[1]:
        steps = np.arange(rows.shape[1]) < np.asarray(arrays.lengths)[:, None]
        rows &= steps.reshape(*steps.shape, *(1,) * (rows.ndim - 2))
    if name == "targets" and weights is not None and weights.shape == rows.shape:
        rows &= weights > 0
    return rows


def _scaled(arrays: Arrays, name: str, scaler: Scaler) -> Any:
    scaled = scaler.transform(_columns(arrays, name))
    if name == "inputs":
        scaled = np.where(_counted(arrays, name)[..., None], scaled, 0)
    return jax.tree.map(lambda leaf: scaled.reshape(leaf.shape), getattr(arrays, name))
