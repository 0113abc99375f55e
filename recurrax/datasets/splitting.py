"""Which examples go to which split: at random, by group, with the classes' shares kept, or in folds."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np


def shares(count: int, fractions: Sequence[float], what: str = "examples") -> list[int]:
    """How many of ``count`` go to each part: the fractions rounded, the first part has the rest.

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
    """Parts of the numbers below ``count``; the last part are the first ones of a random order, as in scikit-learn."""
    return _cut(_permutation(count, seed), shares(count, fractions))


def by_group(groups: np.ndarray, fractions: Sequence[float], seed: int) -> list[np.ndarray]:
    """Parts with no group in two of them; the fractions are of the groups, whatever their sizes."""
    names, numbers = np.unique(groups, return_inverse=True)
    parts = _cut(_permutation(len(names), seed), shares(len(names), fractions, "groups"))
    return [np.flatnonzero(np.isin(numbers, part)) for part in parts]


def stratified(classes: np.ndarray, fractions: Sequence[float], seed: int) -> list[np.ndarray]:
    """Parts in which every class has the share that it has in all, as nearly as whole examples allow.

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
    """Pairs of the rest and a fold; every example is in one fold, every group too where there are groups.

    Raises:
        ValueError: more folds than examples, groups, or examples of a class.
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
        splitter = library.GroupKFold(number)  # the folds are as equal as the groups allow; nothing is random
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
    """scikit-learn's module of splits, imported where it is needed.

    Raises:
        ImportError: it is not installed.
    """
    try:
        from sklearn import model_selection
    except ImportError as error:
        raise ImportError(
            'stratified splits and folds need scikit-learn: python -m pip install "recurrax[data]".'
        ) from error
    return model_selection


def _permutation(count: int, seed: int) -> np.ndarray:
    # RandomState, whose numbers are the same in all versions of NumPy; those of default_rng may change.
    return np.random.RandomState(seed).permutation(count)


def _cut(order: np.ndarray, sizes: Sequence[int]) -> list[np.ndarray]:
    """Parts of these sizes, the last part first."""
    ends = np.cumsum(sizes[::-1])[:-1]
    return [np.sort(part) for part in np.split(order, ends)[::-1]]
