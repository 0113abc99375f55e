"""Continual streams: examples follow one another without any sign of where one ends.

One example of `Continual(length=2, variant="recall", repeats=3)`, without its noise (``.`` is zero or has no target):

    step      0  1  2  3  4  5  6  7  8  9 10 11 12 13 14 15 16 17 18 19 20
    value    -1  .  1  . -1  .  .  .  1  .  1  . -1  .  .  .  .  1 -1  .  1
    marker    .  .  1  .  .  .  .  1  .  .  .  .  .  .  .  .  .  1  .  .  .
    target    .  .  .  .  .  .  1  .  .  .  .  .  .  0  .  .  .  .  .  .  1

`repeats` independent examples of another task follow one another, and the answer of each is due at its last step. The
state of a network is not reset between them, so the network must learn to forget what it no longer needs.

    variant   examples of                                    distractors
    gers2000  `TemporalOrder`, hochreiter1997, 3 symbols     its other symbols
    recall    `Recall`                                       half of the other steps show +-1, unmarked

Sources:
    gers2000  Gers, Schmidhuber, Cummins 2000 (forget gates), the continual form of noisy temporal order, from memory:
    we have not read the paper. There each example is followed at once by the next; here shorter examples are padded
    with zeros to one length, so that streams are arrays. There a stream ends at the first error, or after 100,000
    symbols; here all answers of a stream count. recall    ours.
"""

from dataclasses import dataclass
from typing import ClassVar, final

import jax
from jax import Array

from .recall import Recall
from .task import Classification, Example, check_choice, check_size
from .temporal_order import TemporalOrder


@final
@dataclass(frozen=True)
class Continual(Classification):
    """A continual stream of examples of another task. The module's docstring shows an example.

    Args:
        length: length of each example, the argument of the other task: `TemporalOrder.length`, `Recall.delay`.
        variant: one of `VARIANTS`.
        repeats: number of examples, at least 2.

    Raises:
        TypeError: length or repeats is not an int.
        ValueError: length or repeats is too small, or the variant is unknown.
    """

    length: int
    variant: str = "gers2000"
    repeats: int = 5

    name: ClassVar[str] = "continual"
    VARIANTS: ClassVar[tuple[str, ...]] = ("gers2000", "recall")

    def __post_init__(self) -> None:
        """Raises TypeError or ValueError for settings that do not define a stream."""
        check_choice("variant", self.variant, self.VARIANTS)
        check_size("repeats", self.repeats, 2)
        _ = self.task  # checks the length

    @property
    def task(self) -> Classification:
        """The task whose examples follow one another."""
        if self.variant == "gers2000":
            return TemporalOrder(self.length, "hochreiter1997", symbols=3)
        return Recall(self.length, distractors=0.5)

    @property
    def in_features(self) -> int:
        """D of the other task."""
        return self.task.in_features

    @property
    def out_features(self) -> int:
        """O of the other task."""
        return self.task.out_features

    @property
    def sequence_length(self) -> int:
        """T: `repeats` times the length of the other task."""
        return self.repeats * self.task.sequence_length

    def sample(self, key: Array) -> Example:
        """Draws one stream: inputs [T, D], targets [T] int32, weights [T] 1 where an answer is due."""
        examples = jax.vmap(self.task.sample)(jax.random.split(key, self.repeats))
        return jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[2:]), examples)

    def chance_level(self) -> float:
        """The chance level of the other task, because all examples count equally."""
        return self.task.chance_level()

    def oracle(self, inputs: Array) -> Array:
        """The oracle of the other task, restarted at each example. [T, D] -> [T, O]."""
        examples = inputs.reshape(self.repeats, -1, self.in_features)
        return jax.vmap(self.task.oracle)(examples).reshape(len(inputs), -1)
