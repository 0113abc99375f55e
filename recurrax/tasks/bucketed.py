"""A task on padded sequences, trained on batches of similar lengths, which compute little padding."""

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
    """A task on sequences, trained on batches from the host, as `recurrax.datasets.Buckets` makes them.

    Every epoch takes each training example once; all seeds see the same batches. Evaluations are those of the task. A
    pair of a `SequenceToSequence` is as long as the longer of its source and its target with the end; both are cut.

    Args:
        task: what is learnt; its data have lengths.
        batch_size: as the plan states it.
        shapes: how many lengths batches are padded to, and so many programs are compiled; or these lengths.
        seed: of the order of the examples.
        consecutive: how many batches in a row have one length: so many updates are one call of a program.

    Raises:
        ValueError: the examples have no lengths or have weights of their own, or a number cannot be used.
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
        """The batches, by number."""
        sizes = (self.batch_size, self.shapes, self.seed, self.consecutive)
        train = self.task.data.train
        return Buckets(_of_pairs(train) if self._in_pairs else train, *sizes, per_step=self._cut_targets)

    def batches(self, step: int) -> Example:
        """The batch of update number ``step``: NumPy arrays ``[B, ...]``, of T_k steps."""
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
        """That of the task."""
        return self.task.loss(outputs, example)

    def accuracy(self, outputs: Any, example: Example) -> Array | None:
        """That of the task."""
        return self.task.accuracy(outputs, example)

    def metrics(self, outputs: Any, example: Example) -> dict[str, Array]:
        """Those of the task."""
        return self.task.metrics(outputs, example)

    def finish(self, means: dict[str, Array]) -> dict[str, Array]:
        """As the task does it."""
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
    """Sources as wide as the targets at least, and as long as the longer of the two."""
    if arrays.lengths is None:
        return arrays  # which `Buckets` refuses
    sources, targets = np.asarray(arrays.inputs), np.asarray(arrays.targets)
    counted = np.ones(targets.shape) if arrays.weights is None else np.asarray(arrays.weights)
    ends = targets.shape[1] - np.argmax(counted[:, ::-1] > 0, axis=1)
    wide = np.pad(sources, ((0, 0), (0, max(0, targets.shape[1] - sources.shape[1]))))
    return Arrays(wide, targets, np.maximum(np.asarray(arrays.lengths), ends), weights=arrays.weights)
