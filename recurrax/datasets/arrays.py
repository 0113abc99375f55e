"""Examples in memory: inputs and targets of equal or padded shape, split at random, by group or in folds."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, final

import jax
import numpy as np

from recurrax.datasets import arrays_checks as checks
from recurrax.datasets import splitting
from recurrax.datasets.dataset import Dataset
from recurrax.datasets.padding import is_ragged, pad, tree_lengths
from recurrax.datasets.scaler import Array

FIELDS = ("inputs", "targets", "lengths", "groups", "weights")


@final
@dataclasses.dataclass(frozen=True, eq=False)
class Arrays:
    """N examples; a tree of arrays for JAX, each with a leading axis N.

        data = Arrays.padded(sequences, labels).split(seed=0)     # a `Dataset` of three splits
        task = recurrax.tasks.Supervised(data)

    Args:
        inputs: ``[N, T, ...]``, or token ids ``[N, T]``, or a tree of such arrays; tuples and dicts are trees, and
            lists become arrays.
        targets: ``[N, ...]``, or a tree of such arrays; one answer for each sequence or each step.
        lengths: lengths of the sequences, ``[N]``, from 1 to T; None if all have T steps.
        groups: the group of each example (a person, a speaker, a word), ``[N]``. No group is in two splits. Values
            other than 32-bit integers are numbered in sorted order.
        weights: weights of the examples, ``[N]``, or of the target steps, ``[N, T]``; None means 1.

    Raises:
        ValueError: the arrays differ in N, a length or weight is out of range, a value is not finite, or there is no
            example.
        TypeError: the arrays are not of numbers, or lengths are not integers.
    """

    inputs: Any
    targets: Any
    lengths: Array | None = None
    groups: Array | None = None
    weights: Array | None = None

    def __post_init__(self) -> None:
        for name in FIELDS:
            tree = jax.tree.map(np.asarray, getattr(self, name), is_leaf=lambda leaf: isinstance(leaf, list))
            object.__setattr__(self, name, tree)
        self._number_groups()
        checks.check_sizes({name: getattr(self, name) for name in FIELDS})
        if self.lengths is not None:
            object.__setattr__(self, "lengths", checks.check_lengths(self.lengths, self.inputs))
        if self.weights is not None:
            checks.check_weights(self.weights)
        checks.check_values("inputs", self.inputs, self.lengths)
        checks.check_values("targets", self.targets)

    @classmethod
    def padded(
        cls,
        sequences: Sequence[Any],
        targets: Any,
        groups: Any = None,
        weights: Any = None,
        length: int | None = None,
    ) -> Arrays:
        """Pads sequences of different lengths with zeros.

        Args:
            sequences: N arrays ``[L_i, ...]``, or lists of tokens; or N trees of them, whose leaves have the same L_i.
            targets: one for each sequence, ``[N, ...]``; or a list of N sequences of different lengths, which are
                padded too; steps past the end get weight 0.
            groups, weights: see `Arrays`; weights are allowed only if the targets are not padded.
            length: T; None is the longest sequence.

        Raises:
            ValueError: a sequence is empty or longer than ``length``, or the targets are padded and weights are given.
        """
        lengths = tree_lengths(sequences, "inputs")
        inputs = pad(sequences, lengths, length)
        if is_ragged(targets):
            if weights is not None:
                raise ValueError(
                    "weights were given beside targets of different lengths, which have their own; allowed: one of "
                    "the two. Pad the targets yourself and write Arrays(inputs, targets, lengths, weights=...)."
                )
            ends = tree_lengths(targets, "targets")
            same = np.array_equal(ends, lengths)
            targets = pad(targets, ends, length if same else None)
            steps = jax.tree.leaves(targets)[0].shape[1]
            weights = (np.arange(steps) < ends[:, None]).astype(np.float32)
        return cls(inputs, targets, lengths, groups, weights)

    def __len__(self) -> int:
        return len(jax.tree.leaves(self.inputs)[0])

    def __repr__(self) -> str:
        fields = ((name, getattr(self, name)) for name in FIELDS)
        told = (f"{name}={jax.tree.map(_Shape, tree)}" for name, tree in fields if tree is not None)
        return f"Arrays({', '.join(told)})"

    def take(self, indices: Any) -> Arrays:
        """Selects examples by number or by a mask ``[N]``, in the given order."""
        found = self._numbers(indices)
        return jax.tree.map(lambda leaf: np.asarray(leaf)[found], self)

    def split(
        self,
        fractions: Sequence[float] = (0.7, 0.15, 0.15),
        seed: int = 0,
        stratify: bool = False,
        test: Arrays | None = None,
        name: str = "arrays",
    ) -> Dataset[Arrays]:
        """Splits into training, validation and test examples at random; the same seed gives the same splits.

        Args:
            fractions: fractions of train, validation and test, with sum 1; fractions of groups if there are groups.
                With ``test`` given, only two: train and validation.
            seed: seed of the random split.
            stratify: whether every class has the same share in all splits; the targets must be classes, ``[N]``.
            test: examples of a published test split, whose groups are not checked.
            name: name of the data set.

        Raises:
            ValueError: a split would be empty, the fractions do not sum to 1, or both groups and class shares must be
                kept (`folds` can do this).
            ImportError: ``stratify`` needs scikit-learn.
        """
        wanted = 3 if test is None else 2
        if len(fractions) != wanted:
            raise ValueError(
                f"fractions={tuple(fractions)}; allowed: {wanted} numbers, "
                f"{'train, validation and test' if test is None else 'train and validation, for test is given'}."
            )
        parts = [self.take(part) for part in self._parts(fractions, seed, stratify)] + ([] if test is None else [test])
        how = "by group" if self.groups is not None else "by class" if stratify else "at random"
        source = f"{len(self)} examples split {how}, fractions {tuple(fractions)}, seed {seed}"
        return Dataset(name, source, parts[0], parts[1], parts[2])

    def split_at(self, train: Any, validation: Any, test: Any, name: str = "arrays") -> Dataset[Arrays]:
        """Splits into given examples, by number or by masks ``[N]``.

        Raises:
            ValueError: an example or a group is in two splits.
        """
        parts = [self._numbers(part) for part in (train, validation, test)]
        checks.check_apart("examples", parts)
        if self.groups is not None:
            checks.check_apart("groups", [np.unique(np.asarray(self.groups)[part]) for part in parts])
        source = f"{len(self)} examples split as given"
        return Dataset(name, source, self.take(parts[0]), self.take(parts[1]), self.take(parts[2]))

    def folds(
        self, number: int = 5, validation: float = 0.15, seed: int = 0, stratify: bool = False, name: str = "arrays"
    ) -> list[Dataset[Arrays]]:
        """Data sets for cross-validation: each example (or group, if there are groups) is in one test split.

        Args:
            number: number of folds.
            validation: fraction of the remaining examples (or groups) for validation; the others are for training.
            seed: seed of the random splits.
            stratify: whether the folds keep the class shares; the targets must be classes, ``[N]``.
            name: name of the data sets; the number of the fold is appended.

        Raises:
            ValueError: there are fewer examples, groups or examples of a class than folds.
            ImportError: scikit-learn is not installed.
        """
        found, classes = [], self._classes() if stratify else None
        groups = None if self.groups is None else np.asarray(self.groups)
        pairs = splitting.folds(len(self), number, seed, classes, groups)
        for fold, (rest, test) in enumerate(pairs):
            # Split by group if there are groups, otherwise by class with stratify.
            by_class = stratify and self.groups is None
            train, held_out = self.take(rest)._parts((1 - validation, validation), seed, by_class)
            source = f"{len(self)} examples, fold {fold} of {number}, validation {validation}, seed {seed}"
            parts = (self.take(rest[train]), self.take(rest[held_out]), self.take(test))
            found.append(Dataset(f"{name}-{fold}", source, *parts))
        return found

    def _numbers(self, indices: Any) -> np.ndarray:
        """Converts indices or a mask to the numbers of examples."""
        found = np.asarray(indices)
        return np.arange(len(self))[found if found.size else found.astype(int)]

    def _parts(self, fractions: Sequence[float], seed: int, stratify: bool) -> list[np.ndarray]:
        if stratify and self.groups is not None:
            raise ValueError(
                "stratify=True with groups; allowed in split: one of them. Use folds(stratify=True), which keeps "
                "groups whole and the shares of the classes as equal as they allow."
            )
        if self.groups is not None:
            return splitting.by_group(np.asarray(self.groups), fractions, seed)
        if stratify:
            return splitting.stratified(self._classes(), fractions, seed)
        return splitting.at_random(len(self), fractions, seed)

    def _classes(self) -> np.ndarray:
        classes = np.asarray(self.targets) if len(jax.tree.leaves(self.targets)) == 1 else np.zeros(0)
        if classes.shape != (len(self),) or not np.issubdtype(classes.dtype, np.integer):
            raise ValueError(
                f"stratify=True with targets {self!r}; allowed: classes, integers [N]. Use groups, or pass "
                "stratify=False."
            )
        return classes

    def _number_groups(self) -> None:
        groups = self.groups
        if groups is not None and not np.can_cast(groups.dtype, np.int32):
            fit = np.issubdtype(groups.dtype, np.integer) and np.array_equal(groups, groups.astype(np.int32))
            numbers = groups if fit else np.unique(groups, return_inverse=True)[1]
            object.__setattr__(self, "groups", numbers.astype(np.int32))


class _Shape:
    def __init__(self, leaf: Any):
        self.text = f"{leaf.dtype}{list(leaf.shape)}"

    def __repr__(self) -> str:
        return self.text


def _flatten(arrays: Arrays) -> tuple[Any, None]:
    return tuple((jax.tree_util.GetAttrKey(name), getattr(arrays, name)) for name in FIELDS), None


def _unflatten(_: None, leaves: Any) -> Arrays:
    arrays = object.__new__(Arrays)  # without checks, because JAX puts arbitrary leaves into trees
    for name, leaf in zip(FIELDS, leaves, strict=True):
        object.__setattr__(arrays, name, leaf)
    return arrays


jax.tree_util.register_pytree_with_keys(Arrays, _flatten, _unflatten)
