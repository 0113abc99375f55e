"""Connectionist temporal classification: learn labels from frames without an alignment.

The data come from ``Arrays.padded(frames, labels).split(seed=0)`` with one list of labels per sequence. After training,
`recurrax.layers.ctc_greedy` decodes the labels from a model's outputs.
"""

from __future__ import annotations

import dataclasses
import functools
from typing import Any, ClassVar, final

import jax.numpy as jnp
import numpy as np
import optax
from jax import Array

from recurrax.datasets import SPLITS, Arrays
from recurrax.tasks.finite import FiniteTask
from recurrax.tasks.task import Example


@final
@dataclasses.dataclass(frozen=True)
class Transcription(FiniteTask):
    r"""Transcription of frames into labels, trained with CTC.

    .. math::
        \text{loss} = -\frac{1}{L} \ln \sum_{\pi} \prod_t \mathrm{softmax}(y_t)_{\pi_t}

    The sum is over all paths of T tokens that give the L labels after repeats are merged and blanks dropped. A model
    returns logits ``[B, T, V]`` of the labels and the blank.

    Args:
        data: a `recurrax.datasets.Dataset` of `Arrays`: inputs ``[N, T, D]`` with lengths, targets ``[N, L]`` with
            weights ``[N, L]``, 1 for a label and 0 after the last one; ``Arrays.padded(frames, labels)`` makes them for
            labels of different lengths.
        blank: the number of the blank token, which must not be a label.

    Raises:
        TypeError: the data are not `Arrays`.
        ValueError: inputs or targets have another shape, a label is the blank or negative, the weights are not 1 and
            then 0, or a sequence has no label or too few frames for its labels (two equal successive labels need a
            blank between them).

    Source: Graves et al. (2006), "Connectionist temporal classification".
    """

    name: ClassVar[str] = "transcription"
    per_step: ClassVar[bool] = False  # answers do not belong to single steps, see `Bucketed`
    blank: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        for split in SPLITS:
            _check(split, getattr(self.data, split), self.blank)

    @property
    def in_features(self) -> int:
        """D, the size of one frame."""
        return self.data.train.inputs.shape[-1]

    @functools.cached_property
    def out_features(self) -> int:
        """V, the number of tokens: the labels of all splits and the blank."""
        return 1 + max(self.blank, *(int(np.asarray(getattr(self.data, split).targets).max()) for split in SPLITS))

    @property
    def sequence_length(self) -> int:
        """T, the number of steps of the padded frames."""
        return self.data.train.inputs.shape[1]

    def example(self, split: str, index: Array) -> Example:
        """One example: inputs ``[T, D]``, targets and weights ``[L]``, and the number of valid frames."""
        arrays = getattr(self.data, split)
        inputs, targets = arrays.inputs[index], arrays.targets[index].astype(jnp.int32)
        weights = jnp.ones(targets.shape) if arrays.weights is None else arrays.weights[index].astype(jnp.float32)
        length = jnp.asarray(inputs.shape[0], jnp.int32) if arrays.lengths is None else arrays.lengths[index]
        return Example(inputs.astype(jnp.promote_types(inputs.dtype, jnp.float32)), targets, weights, length)

    def loss(self, outputs: Array, example: Example) -> Array:
        """The CTC loss in nats per label, a scalar. outputs: logits ``[T, V]``."""
        exists = jnp.arange(outputs.shape[0]) < example.lengths  # type: ignore
        outputs = outputs.astype(jnp.promote_types(outputs.dtype, jnp.float32))
        logits = jnp.where(exists[:, None], outputs, 0)  # so that NaN past the end has no effect
        padded = (~exists).astype(jnp.float32), 1 - example.weights
        nats = optax.ctc_loss(
            logits[None], padded[0][None], example.targets[None], padded[1][None], blank_id=self.blank
        )
        return nats[0] / jnp.sum(example.weights)


def _check(split: str, arrays: Any, blank: int) -> None:
    """Raises TypeError or ValueError if the examples of a split are invalid."""
    if not isinstance(arrays, Arrays):
        kind = type(arrays).__name__
        raise TypeError(
            f"Transcription got a {split} split of {kind}; allowed: Arrays, as Arrays.padded(...).split() has."
        )
    inputs, targets = arrays.inputs, arrays.targets
    shapes = [getattr(leaf, "ndim", None) for leaf in (inputs, targets)]
    if shapes != [3, 2] or not jnp.issubdtype(targets.dtype, jnp.integer):
        raise ValueError(
            f"the {split} split is {arrays!r}; allowed: inputs [N, T, D] and targets integers [N, L]. "
            "Arrays.padded(frames, labels) makes them from lists of both."
        )
    targets = np.asarray(targets)
    counted = np.ones(targets.shape, bool) if arrays.weights is None else np.asarray(arrays.weights) > 0
    first = np.arange(targets.shape[1]) < counted.reshape(len(targets), -1).sum(axis=1)[:, None]
    known = arrays.weights is None or np.isin(np.asarray(arrays.weights), (0, 1)).all()
    if counted.shape != targets.shape or not known or (counted != first).any() or not counted[:, 0].all():
        raise ValueError(
            f"the weights of the {split} split are not 1 for one or more labels and then 0; allowed: that, [N, L]. "
            "Arrays.padded(frames, labels) makes them; leave out sequences without labels."
        )
    if (wrong := counted & ((targets < 0) | (targets == blank))).any():
        raise ValueError(
            f"label {targets[wrong][0]} in the {split} split with blank={blank}; allowed: integers from 0 on, but not "
            "the blank. Number the labels from 1 on, or choose another blank."
        )
    frames = np.full(len(targets), inputs.shape[1]) if arrays.lengths is None else np.asarray(arrays.lengths)
    repeats = (targets[:, 1:] == targets[:, :-1]) & counted[:, 1:]
    needed = counted.sum(axis=1) + repeats.sum(axis=1)
    if (short := np.flatnonzero(needed > frames)).size:
        one = short[0]
        raise ValueError(
            f"{short.size} sequences of the {split} split have fewer frames than their labels need, the first of them "
            f"number {one} with {frames[one]} frames for {counted[one].sum()} labels and {repeats[one].sum()} blanks "
            "between equal ones; allowed: at least as many frames. Stack fewer frames, or leave these sequences out."
        )
