"""Assigns examples to splits: at random, by group, stratified by class, or in folds."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np


def shares(count: int, fractions: Sequence[float], what: str = "examples") -> list[int]:
    """The sizes of the parts of ``count`` examples: the rounded fractions; the first part gets the rest.

    Raises:
        ValueError: the fractions are not positive or do not sum to 1, or a part would be empty.
    """
    if any(fraction <= 0 for fraction in fractions) or abs(sum(fractions) - 1) > 1e-6:
        raise ValueError(
            f"fractions={tuple(fractions)} sum to {sum(fractions):g}; allowed: positive numbers that sum to 1. Try "
            f"{(0.7, 0.15, 0.15) if len(fractions) == 3 else (0.85, 0.15)}."
        )
    sizes = [round(fraction * count) for fraction in fractions[1:]]
    sizes = [count - sum(sizes), *sizes]
    if min(sizes) < 1:
        raise ValueError(
            f"{count} {what} in the fractions {tuple(fractions)} give parts of {', '.join(map(str, sizes))}; allowed: "
            f"one or more in each. Change the fractions, or use more {what}."
        )
    return sizes


def at_random(count: int, fractions: Sequence[float], seed: int) -> list[np.ndarray]:
    """Random parts of the numbers below ``count``; as in scikit-learn, the last part is drawn first."""
    return _cut(_permutation(count, seed), shares(count, fractions))


def by_group(groups: np.ndarray, fractions: Sequence[float], seed: int) -> list[np.ndarray]:
    """Parts that share no group; the fractions refer to the number of groups, regardless of their sizes."""
    names, numbers = np.unique(groups, return_inverse=True)
    parts = _cut(_permutation(len(names), seed), shares(len(names), fractions, "groups"))
    return [np.flatnonzero(np.isin(numbers, part)) for part in parts]


def stratified(classes: np.ndarray, fractions: Sequence[float], seed: int) -> list[np.ndarray]:
    """Parts in which every class has its overall share, up to rounding to whole examples.

    Raises:
        ValueError: a class has fewer examples than there are parts.
    """
    splitter = sklearn().StratifiedShuffleSplit
    rest, parts = np.arange(len(classes)), []
    sizes = shares(len(classes), fractions)
    check_classes(classes, len(fractions))
    for size in reversed(sizes[1:]):
        split = splitter(1, test_size=size, random_state=seed).split(rest, classes[rest])
        kept, taken = (rest[part] for part in next(split))
        parts.insert(0, np.sort(taken))
        rest = np.sort(kept)
    return [rest, *parts]


def folds(
    count: int, number: int, seed: int, classes: np.ndarray | None, groups: np.ndarray | None
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Pairs of the remaining examples and a fold; every example (and every group) is in exactly one fold.

    Raises:
        ValueError: there are more folds than examples, groups, or examples of a class.
    """
    what, most = ("examples", count) if groups is None else ("groups", len(np.unique(groups)))
    if not 2 <= number <= most:
        raise ValueError(f"{number} folds of {most} {what}; allowed: from 2 to {most}. Change the number of folds.")
    if classes is not None:
        check_classes(classes, number)
    library, numbers = sklearn(), np.arange(count)
    if groups is None and classes is None:
        splitter: Any = library.KFold(number, shuffle=True, random_state=seed)
    elif groups is None:
        splitter = library.StratifiedKFold(number, shuffle=True, random_state=seed)
    elif classes is None:
        splitter = library.GroupKFold(number)  # deterministic; folds are as equal as the groups allow
    else:
        splitter = library.StratifiedGroupKFold(number, shuffle=True, random_state=seed)
    return splitter.split(numbers, classes, groups)


def check_classes(classes: np.ndarray, parts: int) -> None:
    """Raises ValueError if a class has fewer examples than there are parts."""
    names, sizes = np.unique(classes, return_counts=True)
    if sizes.min() < parts:
        rare = ", ".join(f"{name!r}: {size}" for name, size in zip(names.tolist(), sizes, strict=True) if size < parts)
        raise ValueError(
            f"classes with fewer examples than the {parts} parts ({rare}) cannot be in each of them; allowed: {parts} "
            "or more of each class. Merge the rare classes, or pass stratify=False."
        )


def sklearn() -> Any:
    """Imports scikit-learn's module of splits on demand.

    Raises:
        ImportError: scikit-learn is not installed.
    """
    try:
        from sklearn import model_selection
    except ImportError as error:
        raise ImportError(
            'stratified splits and folds need scikit-learn: python -m pip install "recurrax[data]".'
        ) from error
    return model_selection


def _permutation(count: int, seed: int) -> np.ndarray:
    # RandomState gives the same numbers in all versions of NumPy; those of default_rng may change.
    return np.random.RandomState(seed).permutation(count)


def _cut(order: np.ndarray, sizes: Sequence[int]) -> list[np.ndarray]:
    """Parts of these sizes, the last part first."""
    ends = np.cumsum(sizes[::-1])[:-1]
    return [np.sort(part) for part in np.split(order, ends)[::-1]]
