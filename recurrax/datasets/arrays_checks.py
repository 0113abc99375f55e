"""Checks of `Arrays`: mismatched sizes, lengths and weights out of range, missing values, text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

from recurrax.datasets.padding import first_not_finite


def check_sizes(fields: dict[str, Any]) -> None:
    """Raises ValueError unless there are inputs and targets, and all arrays have the same leading axis N >= 1."""
    leaves = jax.tree_util.tree_leaves_with_path(fields)
    sizes = {jax.tree_util.keystr(path): leaf.shape[0] if leaf.ndim else None for path, leaf in leaves}
    found = set(sizes.values())
    if fields["inputs"] is None or fields["targets"] is None or len(found) != 1 or None in found:
        raise ValueError(
            f"the arrays have {sizes} examples; allowed: inputs and targets with the same N in front of all of them. "
            "Check which axis is the first."
        )
    if 0 in found:
        raise ValueError("there is no example; allowed: one or more. Check what was read.")


def check_lengths(lengths: Any, inputs: Any) -> np.ndarray:
    """Lengths as int32 ``[N]``; raises TypeError if they are not integers, ValueError if one is outside 1 to T."""
    if not np.issubdtype(lengths.dtype, np.integer) or lengths.ndim != 1:
        raise TypeError(f"lengths are {lengths.dtype}{list(lengths.shape)}; allowed: integers [N]. Use astype(int).")
    steps = min((leaf.shape[1] if leaf.ndim > 1 else 0) for leaf in jax.tree.leaves(inputs))
    low, high = lengths.min(), lengths.max()
    if low < 1 or high > steps:
        raise ValueError(
            f"lengths run from {low} to {high}; allowed: 1 to T = {steps}. Leave out empty sequences, and check that "
            "the second axis of the inputs is time."
        )
    return lengths.astype(np.int32)


def check_weights(weights: Any) -> None:
    """Raises ValueError if a weight is negative or not finite, or all steps of an example have weight 0."""
    if not (np.isfinite(weights) & (weights >= 0)).all() or not weights.any():
        raise ValueError(
            f"weights run from {weights.min()} to {weights.max()}; allowed: finite numbers from 0 on, not all of them "
            "0. Leave out what does not count."
        )
    sums = weights.reshape(len(weights), -1).sum(axis=1)
    if weights.ndim > 1 and not sums.all():
        raise ValueError(
            f"no step of example {np.argmin(sums)} counts, by its weights; allowed: one or more. Leave it out, with "
            "take(weights.any(axis=1))."
        )


def check_values(name: str, tree: Any, lengths: Any = None) -> None:
    """Raises TypeError if an array is not numeric, ValueError if a value at a valid step is not finite."""
    for path, leaf in jax.tree_util.tree_leaves_with_path(tree):
        where = f"{name}{jax.tree_util.keystr(path)}"
        if leaf.dtype.kind in "OUSMm":
            raise TypeError(
                f"{where} is of {leaf.dtype}; allowed: numbers. Number classes by names, targets = np.unique(labels, "
                "return_inverse=True), and text by Vocabulary.encode."
            )
        if (place := first_not_finite(leaf, lengths)) is not None:
            raise ValueError(
                f"{where}{list(place)} is {leaf[place]}; allowed: finite numbers. Fill or leave out what is missing, "
                'or give a series as Series(..., missing="mask").'
            )


def check_apart(what: str, parts: Sequence[np.ndarray]) -> None:
    """Raises ValueError if a number is in two of these sets."""
    names, counts = np.unique(np.concatenate(parts), return_counts=True)
    if (counts > 1).any():
        shared = names[counts > 1]
        raise ValueError(
            f"{len(shared)} {what} are in two splits, e.g. {shared[:3].tolist()}; allowed: each in one. Take them out "
            "of the other split."
        )
