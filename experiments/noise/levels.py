"""All levels of noise in one program: the task gives the noise apart, the model is given its level and adds it.

A task is static, so that a level of its own would be a program of its own, and compiling is most of the cost here. A
model for a mixture of levels would be another: one level can be learned because another was. So the level is an
argument of ``build``, to be swept, and each run trains at its own level from first to last.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, ClassVar, NamedTuple, final

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from experiments.models import builder
from recurrax.cells import LSTMCell
from recurrax.layers import SequenceModel
from recurrax.tasks import Example, MemoryTask, Recall

# The arguments that set how long a gated cell remembers at the start.
KEEPS = {"GRU": "update_bias", **dict.fromkeys(("LSTM", "ShutLSTM", "CIFG", "NoInputGate"), "forget_bias")}


@final
class Apart(MemoryTask):
    """`Recall` with inputs ``[T, 3]``: signal, marker and unit noise apart, for models of `leveled`; never solved.

    Whether a run has solved its task depends on its level, which a task does not know: see `Recall.success`.

    Args:
        delay: of the `Recall`.
    """

    name: ClassVar[str] = "recall, noise apart"
    VARIANTS: ClassVar[tuple[str, ...]] = Recall.VARIANTS

    def __init__(self, delay: int):
        self.recall = Recall(delay, noise=0.0)
        self.variant = self.recall.variant

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Apart) and self.recall == other.recall

    def __hash__(self) -> int:
        return hash((Apart, self.recall))

    @property
    def in_features(self) -> int:
        """3: signal, marker, noise."""
        return 3

    @property
    def out_features(self) -> int:
        """Of the `Recall`."""
        return self.recall.out_features

    @property
    def sequence_length(self) -> int:
        """Of the `Recall`."""
        return self.recall.sequence_length

    @property
    def criterion(self) -> str:
        """None: it depends on the level."""
        return "that of Recall at the level of the run"

    def sample(self, key: jax.Array) -> Example:
        """The example of `Recall` at that key, taken apart."""
        signal, marker, noise, _ = self.recall.draw(key, 1.0)
        return self.recall.sample(key)._replace(inputs=jnp.stack([signal, marker, noise], axis=-1))

    def loss(self, outputs: jax.Array, example: Example) -> jax.Array:
        """Of the `Recall`."""
        return self.recall.loss(outputs, example)

    def accuracy(self, outputs: jax.Array, example: Example) -> jax.Array:
        """Of the `Recall`."""
        return self.recall.accuracy(outputs, example)

    def chance_level(self) -> float:
        """Of the `Recall`, at any level."""
        return self.recall.chance_level()

    def success(self, loss: Any, accuracy: Any) -> Any:
        """Never, so that every run uses the whole budget."""
        return np.zeros(np.shape(accuracy), bool)

    def oracle(self, inputs: jax.Array) -> jax.Array:
        """The bit itself, without its noise."""
        return self.recall.oracle(inputs[:, :2])


class Noisy(NamedTuple):
    """A model of `Recall` that hears the noise at its level: ``outputs = model(signal + level noise, marker)``."""

    model: SequenceModel
    level: jax.Array

    def __call__(self, inputs: jax.Array) -> jax.Array:
        """``inputs: [B, T, 3]``, of `Apart`, to logits ``[B, T, 2]``."""
        return self.model(mix(inputs, self.level))


def mix(inputs: jax.Array, level: jax.Array | float) -> jax.Array:
    """What a model of `Recall` reads, at a level that is not trained: ``[..., 3]`` to ``[..., 2]``."""
    signal, marker, noise = jnp.moveaxis(inputs, -1, 0)
    return jnp.stack([signal + jax.lax.stop_gradient(level) * noise, marker], axis=-1)


def leveled(cell: str, delay: int, hidden: int) -> Callable[..., Noisy]:
    """``build(key, noise) -> Noisy``; a key gives the same weights at every level.

    Cells with a keep gate start with its bias at ln T, which keeps a share 1 - 1/(T+1) per step, and an IRNN with the
    identity: at the usual start the gradient of the gated cells vanishes within a few tens of steps, and the question
    here is not whether they can remember (Tallec & Ollivier, 2018). In CIFG and GRU that shuts the write gate too; the
    ShutLSTM tells what that start does from what the gate does.
    """
    task = Recall(delay)
    keep = {KEEPS[cell]: math.log(task.sequence_length)} if cell in KEEPS else {}
    build_one = builder(shut if cell == "ShutLSTM" else cell, task, hidden, **keep)

    def build(key: jax.Array, noise: jax.Array | float = 0.0) -> Noisy:
        return Noisy(build_one(key), jnp.asarray(noise, jnp.float32))

    return build


def shut(in_features: int, hidden_features: int, *, forget_bias: float, rngs: nnx.Rngs) -> LSTMCell:
    """An LSTM whose input gate starts as shut as the forget gate starts open, ``b_i = -b_f``."""
    cell = LSTMCell(in_features, hidden_features, forget_bias=forget_bias, rngs=rngs)
    f, _, c_tilde, o = cell.bias[...]
    cell.bias = nnx.Param(jnp.stack([f, -f, c_tilde, o]))
    return cell
