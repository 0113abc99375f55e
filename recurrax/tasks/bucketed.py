"""Training on batches of sequences with similar lengths, which need little padding."""

from __future__ import annotations

import dataclasses
import functools
from typing import Any, final

import jax
import numpy as np
from jax import Array

from recurrax.datasets import Arrays, Buckets
from recurrax.tasks.host import HostTask
from recurrax.tasks.sequence_to_sequence import SequenceToSequence
from recurrax.tasks.supervised import Supervised
from recurrax.tasks.task import Example
from recurrax.tasks.transcription import Transcription


@final
@dataclasses.dataclass(frozen=True)
class Bucketed(HostTask):
    """Trains another task on batches of similar lengths from the host, made by `recurrax.datasets.Buckets`.

    Every epoch uses each training example once, and all seeds see the same batches. Evaluations are those of the task.
    The length of a pair of a `SequenceToSequence` is the larger length of its source and its target with the end token;
    both are cut to the length of the batch.

    Args:
        task: the task to train; its data must have lengths.
        batch_size: the batch size of the plan.
        shapes: the number of lengths that batches are padded to, or the lengths themselves; one program is compiled for
            each.
        seed: seed of the order of the examples.
        consecutive: the number of successive batches of equal length, which one call of a program processes.

    Raises:
        ValueError: the examples have no lengths or have weights, or a number is out of range.
    """

    task: Supervised | Transcription | SequenceToSequence
    batch_size: int = 32
    shapes: int | tuple[int, ...] = 4
    seed: int = 0
    consecutive: int = 1

    def __post_init__(self) -> None:
        weights = self.task.data.train.weights
        if weights is not None and weights.ndim == 1:
            raise ValueError(
                "the examples have weights, and each is taken once an epoch; allowed: no weights of examples. Train on "
                "Supervised alone, which draws by weight."
            )
        _ = self.buckets

    @functools.cached_property
    def buckets(self) -> Buckets:
        """The batches, indexed by number."""
        sizes = (self.batch_size, self.shapes, self.seed, self.consecutive)
        train = self.task.data.train
        return Buckets(_of_pairs(train) if self._in_pairs else train, *sizes, per_step=self._cut_targets)

    def batches(self, step: int) -> Example:
        """The batch of update ``step``: NumPy arrays ``[B, ...]`` with T_k steps."""
        indices, length = self.buckets.place(step)
        found = jax.tree.map(lambda leaf: leaf[indices], self._train)
        cut = functools.partial(jax.tree.map, lambda leaf: leaf[:, :length])
        changes: dict[str, Any] = {"inputs": cut(found.inputs)}
        if self._cut_targets:
            changes |= {"targets": cut(found.targets), "weights": cut(found.weights)}
        return found._replace(**changes)

    def examples(self, split: str) -> Example:
        """All examples of a split in order, padded to the longest: every leaf ``[N, ...]``."""
        return self.task.examples(split)

    def loss(self, outputs: Any, example: Example) -> Array:
        """Delegates to the task."""
        return self.task.loss(outputs, example)

    def accuracy(self, outputs: Any, example: Example) -> Array | None:
        """Delegates to the task."""
        return self.task.accuracy(outputs, example)

    def metrics(self, outputs: Any, example: Example) -> dict[str, Array]:
        """Delegates to the task."""
        return self.task.metrics(outputs, example)

    def finish(self, means: dict[str, Array]) -> dict[str, Array]:
        """Delegates to the task."""
        return self.task.finish(means)

    @property
    def _in_pairs(self) -> bool:
        return isinstance(self.task, SequenceToSequence)

    @property
    def _cut_targets(self) -> bool:
        return isinstance(self.task, SequenceToSequence) or self.task.per_step

    @functools.cached_property
    def _train(self) -> Example:
        return jax.tree.map(np.asarray, self.task.examples("train"))


def _of_pairs(arrays: Arrays) -> Arrays:
    """Pads sources to the width of the targets, and takes the larger of the two lengths."""
    if arrays.lengths is None:
        return arrays  # `Buckets` refuses them
    sources, targets = np.asarray(arrays.inputs), np.asarray(arrays.targets)
    counted = np.ones(targets.shape) if arrays.weights is None else np.asarray(arrays.weights)
    ends = targets.shape[1] - np.argmax(counted[:, ::-1] > 0, axis=1)
    wide = np.pad(sources, ((0, 0), (0, max(0, targets.shape[1] - sources.shape[1]))))
    return Arrays(wide, targets, np.maximum(np.asarray(arrays.lengths), ends), weights=arrays.weights)
