"""Sequence-to-sequence tasks: translation, pronunciation, summaries.

data = recurrax.datasets.Arrays.padded(sources, targets).split_at(train, validation, test)
task = SequenceToSequence(data, end=0)          # every target ends in the token 0
history = recurrax.training.fit(build, task, recurrax.training.adam(1e-3), plan)
written = recurrax.layers.greedy(history.best(), sources, steps=30, end=0, seq_lengths=lengths)

targets             a   b   c  END   (padding)
the model is given  END a   b   c    (padding)        beside the whole source
"""

from __future__ import annotations

import dataclasses
from typing import ClassVar, final

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from recurrax.datasets import SPLITS, Arrays
from recurrax.tasks.finite import FiniteTask
from recurrax.tasks.task import Example, cross_entropy, weighted_mean


@final
@dataclasses.dataclass(frozen=True)
class SequenceToSequence(FiniteTask):
    """Predicts each target token from the source and the previous target tokens; cross entropy in nats per token.

    The model is called as ``model((source, previous), seq_lengths=..., dropout_key=...)`` with the lengths of the
    sources, like `EncoderDecoder`. The end token precedes the first token. Loss and accuracy are means over the tokens
    that count, including the end token.

    Args:
        data: a `recurrax.datasets.Dataset` of `Arrays`: sources int ``[N, S]`` with lengths, targets int ``[N, T]``,
            each with its end token, and their weights ``[N, T]``, as ``Arrays.padded(sources, targets)`` gives them.
        end: the token that ends a target.

    Raises:
        TypeError: the data are not `Arrays`, or not of integers.
        ValueError: a shape is wrong, or a target does not end with the end token.
    """

    name: ClassVar[str] = "sequence_to_sequence"
    end: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        for split in SPLITS:
            part = getattr(self.data, split)
            if not isinstance(part, Arrays):
                raise TypeError(
                    f"SequenceToSequence got a {split} split of {type(part).__name__}; allowed: Arrays. Use "
                    "Arrays.padded(sources, targets).split()."
                )
            self._check(split, part)

    @property
    def source_vocabulary(self) -> int:
        """The number of source tokens: the largest token of all splits plus 1."""
        return 1 + max(int(np.asarray(getattr(self.data, split).inputs).max()) for split in SPLITS)

    @property
    def out_features(self) -> int:
        """V, the number of target tokens: the largest token of all splits plus 1."""
        return 1 + max(int(np.asarray(getattr(self.data, split).targets).max()) for split in SPLITS)

    def example(self, split: str, index: Array) -> Example:
        """One pair: inputs ``(source [S], previous [T])``, targets ``[T]``, weights ``[T]``, the source's length."""
        one = jax.tree.map(lambda leaf: jnp.asarray(leaf)[index], getattr(self.data, split))
        targets = one.targets.astype(jnp.int32)
        previous = jnp.concatenate([jnp.full(1, self.end, jnp.int32), targets[:-1]])
        weights = jnp.ones(targets.shape) if one.weights is None else jnp.broadcast_to(one.weights, targets.shape)
        return Example((one.inputs.astype(jnp.int32), previous), targets, weights, one.lengths)

    def loss(self, outputs: Array, example: Example) -> Array:
        """Cross entropy in nats, averaged over the tokens that count. outputs: ``[T, V]`` logits; returns a scalar."""
        return cross_entropy(outputs, example)

    def accuracy(self, outputs: Array, example: Example) -> Array:
        """Share of the counted tokens that are predicted correctly, given the true tokens before them."""
        assert example.weights is not None
        return weighted_mean(jnp.argmax(outputs, axis=-1) == example.targets, example.weights)

    def _check(self, split: str, part: Arrays) -> None:
        shapes = [(leaf.dtype, leaf.ndim) for leaf in jax.tree.leaves((part.inputs, part.targets))]
        found = ", ".join(f"{dtype}[{'N' + ', T' * (ndim - 1)}]" for dtype, ndim in shapes)
        if not all(jnp.issubdtype(dtype, jnp.integer) for dtype, _ in shapes):
            raise TypeError(f"the {split} split has {found}; allowed: token numbers. Encode text by Vocabulary.encode.")
        if [ndim for _, ndim in shapes] != [2, 2]:
            raise ValueError(
                f"the {split} split has {found}; allowed: sources [N, S] and targets [N, T]. Use "
                "Arrays.padded(sources, targets) with a list of sequences each."
            )
        targets = np.asarray(part.targets)
        counted = np.ones(targets.shape) if part.weights is None else np.asarray(part.weights)
        counted = np.broadcast_to(counted.reshape(len(targets), -1), targets.shape) > 0
        last = targets.shape[1] - 1 - counted[:, ::-1].argmax(axis=1)
        ends = targets[np.arange(len(targets)), last] == self.end
        if not ends.all():
            worst = ends.argmin()
            raise ValueError(
                f"target {worst} of the {split} split ends in the token {targets[worst, last[worst]]}; allowed: "
                f"end={self.end}. Append the end token to every target."
            )
