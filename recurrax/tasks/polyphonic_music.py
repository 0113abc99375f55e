"""Polyphonic music: predict which of 88 keys sound in the next frame from the frames so far.

Variant boulanger2012. Frame t of a piece is x_t in {0, 1}^88; the input at step t is x_t, the target x_{t+1}, and all
88 outputs are logits of independent keys. A piece of L frames has L - 1 steps that count; as in the code of Bai et al.
(2018), the first frame is not predicted. The loss is the negative log-likelihood of a frame in nats,

    l_t = - sum_k x_{t+1,k} ln p_tk + (1 - x_{t+1,k}) ln (1 - p_tk)

`recurrax.training.fit` reports its mean over all frames of a split, not over pieces.
"""

from __future__ import annotations

import dataclasses
from typing import Any, ClassVar, final

import jax.numpy as jnp
import numpy as np
import optax
from jax import Array

from recurrax.tasks.finite import FiniteTask
from recurrax.tasks.task import Example, MemoryTask, check_choice, weighted_mean


@final
@dataclasses.dataclass(frozen=True)
class PolyphonicMusic(FiniteTask, MemoryTask):
    """Prediction of the next frame of a piano roll.

    Args:
        data: piano rolls, e.g. ``recurrax.datasets.load("jsb_chorales")``.
        variant: "boulanger2012".

    Raises:
        ValueError: the variant is unknown.
    """

    name: ClassVar[str] = "polyphonic_music"
    VARIANTS: ClassVar[tuple[str, ...]] = ("boulanger2012",)
    variant: str = "boulanger2012"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_choice("variant", self.variant, self.VARIANTS)

    @property
    def in_features(self) -> int:
        """D, the number of keys."""
        return self.data.train.rolls.shape[-1]

    @property
    def out_features(self) -> int:
        """O, the number of keys."""
        return self.in_features

    @property
    def sequence_length(self) -> int:
        """T, steps of the longest piece of all splits."""
        return max(split.rolls.shape[1] for split in (self.data.train, self.data.validation, self.data.test)) - 1

    @property
    def criterion(self) -> str:
        """The success criterion as text; the LSTM of Bai et al. (2018) reached 8.45 on JSB chorales."""
        return "held-out loss <= 8.6 nats per frame"

    def success(self, loss: Any, accuracy: Any) -> Any:
        """Whether the loss meets `criterion`."""
        return loss <= 8.6

    def example(self, split: str, index: Array) -> Example:
        """One piece; its inputs are zero after the last step that counts."""
        rolls, lengths = getattr(self.data, split)
        T = self.sequence_length
        roll = rolls[index].astype(jnp.float32)
        roll = jnp.pad(roll, ((0, T + 1 - len(roll)), (0, 0)))
        weights = (jnp.arange(T) < lengths[index] - 1).astype(jnp.float32)
        return Example(roll[:-1] * weights[:, None], roll[1:], weights)

    def loss(self, outputs: Array, example: Example) -> Array:
        """Negative log-likelihood of a frame in nats, averaged over steps. outputs: [T, 88] logits."""
        losses = optax.sigmoid_binary_cross_entropy(_counted(outputs, example), example.targets)
        return weighted_mean(jnp.sum(losses, axis=-1), example.weights)

    def accuracy(self, outputs: Array, example: Example) -> Array:
        """Mean over steps of TP / (TP + FP + FN), keys with p > 1/2 (Bay et al., 2009); 1 for correct silence."""
        told, true = _counted(outputs, example) > 0, example.targets > 0
        both, either = (jnp.sum(keys, axis=-1) for keys in (told & true, told | true))
        return weighted_mean(jnp.where(either > 0, both / jnp.maximum(either, 1), 1.0), example.weights)

    def chance_level(self) -> float:
        """Test loss of p_k = (n_k + 1/2) / (n + 1), for a key that sounds in n_k of n training frames.

        The added half keeps keys possible that do not occur in the training split. Only predicted frames are counted.
        Source: Krichevsky & Trofimov (1981).
        """
        train, test = (_predicted(*map(np.asarray, split)) for split in (self.data.train, self.data.test))
        p, q = (train.sum(axis=0) + 0.5) / (len(train) + 1), test.mean(axis=0)
        return float(-np.sum(q * np.log(p) + (1 - q) * np.log1p(-p)))


def _counted(outputs: Array, example: Example) -> Array:
    """Outputs in at least float32, zero where the weight is: NaN there reaches neither loss nor gradient."""
    outputs = outputs.astype(jnp.promote_types(outputs.dtype, jnp.float32))
    return jnp.where(example.weights[:, None] > 0, outputs, 0)


def _predicted(rolls: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """All frames but the first of each piece, float64 ``[frames, keys]``."""
    steps = np.arange(rolls.shape[1])
    return rolls[(steps > 0) & (steps < lengths[:, None])].astype(np.float64)
