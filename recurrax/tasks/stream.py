"""Long sequences read in windows: the carry continues from one window to the next, but gradients do not.

A split of N steps is cut into B streams of equal length, which are read in parallel, T steps per update:

    stream 0   x_0   x_1 ... x_T-1  |  x_T   ...  x_2T-1 |  ...
    stream 1   x_L   ...            |                    |       L = N // B
               update 0                update 1

After the last window the streams begin again from the initial carry. This is truncated backpropagation through time. A
model that was trained in this way has seen the initial carry only once per pass over the data. If it starts anywhere
else, it may enter states that never occurred in training and stay there. ``restart_rate`` prevents this: some windows
start from the initial carry.
"""

from __future__ import annotations

import abc
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from recurrax.engines.engine import where
from recurrax.tasks.calling import call
from recurrax.tasks.task import Example, Task


class Stream(Task):
    """A task on long sequences whose carry continues from update to update; a resumed run gives the same bits.

    `recurrax.training.fit` trains on ``Plan.batch_size`` streams of the training split at once, the same for every
    seed, and leaves out up to ``batch_size - 1`` steps at the end of the split. It evaluates the whole validation
    split, and at the end the whole test split, in `evaluation_streams` streams. With one stream, the default, the
    results are those of a model that reads the split from beginning to end.

    Attributes:
        window: T, the steps of an update.
        evaluation_streams: the number of streams into which a split is cut for evaluation.
        restart_rate: probability, from 0 to 1, that a stream starts a training window from the initial carry instead of
            the last one; drawn for every stream, update and seed. It teaches a model to start anywhere. Use it if
            evaluation has several streams, or to generate text from a prompt.

    Streams have no lengths; a step that does not count has weight 0.

    The model must accept ``initial_carry`` and ``return_carry``, as `recurrax.SequenceModel` does; otherwise the task
    must define its own `advance` and `initialize_carry`.

    Source: Williams & Peng (1990); for language models Mikolov et al. (2010); restarts Melis, Dyer & Blunsom (2018).
    """

    window: int
    evaluation_streams: int = 1
    restart_rate: float = 0.0

    @abc.abstractmethod
    def sequence(self, split: str) -> Example:
        """A whole split, "train", "validation" or "test", as one example of N steps.

        ``inputs: [N, ...]``, ``targets: [N, ...]``; ``weights: [N]``, or None if all steps count; ``resets: [N]`` bool,
        True at the beginning of a document, or None.
        """

    def advance(self, model: Any, carry: Any, example: Example, key: Array | None = None) -> tuple[Any, Any]:
        """``(carry, outputs)`` of a model for one window of B streams that continues from a carry.

        Args:
            model: the model.
            carry: the carry of B streams.
            example: a window; every leaf has a leading axis B.
            key: for dropout and other noise; None in evaluation.

        Raises:
            ValueError: the model's call takes no carry.
        """
        options = {"initial_carry": carry, "return_carry": True, "resets": example.resets}
        return call(model, example.inputs, options, key)

    def initialize_carry(self, model: Any, streams: int) -> Any:
        """The initial carry of ``streams`` streams: ``model.initialize_carry((streams,))``."""
        return model.initialize_carry((streams,))

    def continued(self, initial: Any, carry: Any, first: Array, key: Array | None) -> Any:
        """The carry before a training window: the last carry, or the initial one for all streams or for those drawn.

        Args:
            initial: the initial carry of B streams.
            carry: the carry of B streams after the last window.
            first: whether the streams begin with this window, a scalar.
            key: key of the restarts; None without restarts.

        Raises:
            ValueError: restarts are used and a leaf of the carry has no axis B.
        """
        if key is None:
            return jax.tree.map(lambda new, old: jnp.where(first, new, old), initial, carry)
        shapes = [list(jnp.shape(leaf)) for leaf in jax.tree.leaves(carry)]
        if any(not shape or shape[0] != shapes[0][0] for shape in shapes):
            raise ValueError(
                f"restart_rate={self.restart_rate} with a carry of shapes {shapes}; allowed: a leading axis of all "
                "streams in each. Give every stream its own carry, or restart_rate=0."
            )
        again = first | jax.random.bernoulli(key, self.restart_rate, shapes[0][:1])
        return where(again, initial, carry)

    def apply(self, model: Any, example: Example, key: Array | None = None) -> Any:
        """Outputs of a model for a batch of windows, each starting from the initial carry."""
        streams = len(jax.tree.leaves(example.inputs)[0])
        return self.advance(model, self.initialize_carry(model, streams), example, key)[1]

    def sample(self, key: Array) -> Example:
        """Draws one window from anywhere in the training split. key: one PRNG key."""
        whole = self.sequence("train")
        start = jax.random.randint(key, (), 0, max(1, size(whole) - self.window + 1))
        return jax.tree.map(lambda leaf: jax.lax.dynamic_slice_in_dim(leaf, start, self.window), _weighted(whole))

    def windows(self, split: str, streams: int) -> int:
        """The number of updates, or evaluation steps, that read a split once in this number of streams."""
        return -(-self.length(split, streams) // self.window)

    def length(self, split: str, streams: int) -> int:
        """L, steps of each stream; in evaluation the last stream may be shorter, and training drops the rest."""
        steps = size(self.sequence(split))
        if streams > steps:
            raise ValueError(
                f"the {split} split has {steps} steps for {streams} streams; allowed: one step or more for each. "
                "Lower batch_size (or evaluation_streams)."
            )
        return steps // streams if split == "train" else -(-steps // streams)

    def segment(self, split: str, index: Any, streams: int) -> Example:
        """Window number ``index`` of the streams of a split: every leaf ``[B, T, ...]``.

        Steps past the end of a stream have weight 0; after them the stream starts again.
        """
        whole, length = _weighted(self.sequence(split)), self.length(split, streams)
        steps = index * self.window + jnp.arange(self.window)
        place = jnp.arange(streams)[:, None] * length + steps
        exists = (steps < length) & (place < size(whole))
        part = jax.tree.map(lambda leaf: jnp.asarray(leaf)[jnp.minimum(place, size(whole) - 1)], whole)
        return part._replace(weights=jnp.where(exists, part.weights, 0))


def size(whole: Example) -> int:
    """N, the number of steps of a split."""
    return len(jax.tree.leaves(whole.inputs)[0])


def _weighted(whole: Example) -> Example:
    return whole if whole.weights is not None else whole._replace(weights=jnp.ones(size(whole), jnp.float32))
