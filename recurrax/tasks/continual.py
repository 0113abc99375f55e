"""Continual streams: one example after the other, and nothing tells where one ends.

One example of `Continual(length=2, variant="recall", repeats=3)`, without its noise (``.`` is zero, or not asked for):

    step      0  1  2  3  4  5  6  7  8  9 10 11 12 13 14 15 16 17 18 19 20
    value    -1  .  1  . -1  .  .  .  1  .  1  . -1  .  .  .  .  1 -1  .  1
    marker    .  .  1  .  .  .  .  1  .  .  .  .  .  .  .  .  .  1  .  .  .
    target    .  .  .  .  .  .  1  .  .  .  .  .  .  0  .  .  .  .  .  .  1

`repeats` independent examples of another task follow one another, and the answer of each is due at its own last step.
The state of a network is not reset between them: what was remembered must be forgotten, or it is in the way.

    variant   examples of                                    distractors
    gers2000  `TemporalOrder`, hochreiter1997, 3 symbols     its other symbols
    recall    `Recall`                                       half of the other steps show +-1, unmarked

Sources:
    gers2000  Gers, Schmidhuber, Cummins 2000 (forget gates), the continual form of noisy temporal order, as recalled:
              the paper was not read. There each example is followed at once by the next; here shorter ones are padded
              with zeros to one length, so that streams are arrays. A stream of theirs ends at the first error, at
              most after 100,000 symbols; here all of its answers count.
    recall    ours.
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
    """Examples of another task one after the other; the module's docstring draws an example.

    Args:
        length: of each example, as the other task takes it: `TemporalOrder.length`, `Recall.delay`.
        variant: one of `VARIANTS`.
        repeats: how many examples, at least 2.

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
        """Refuses what is no stream."""
        check_choice("variant", self.variant, self.VARIANTS)
        check_size("repeats", self.repeats, 2)
        _ = self.task  # which checks the length

    @property
    def task(self) -> Classification:
        """The task whose examples follow one another."""
        if self.variant == "gers2000":
            return TemporalOrder(self.length, "hochreiter1997", symbols=3)
        return Recall(self.length, distractors=0.5)

    @property
    def in_features(self) -> int:
        """D: of the other task."""
        return self.task.in_features

    @property
    def out_features(self) -> int:
        """O: of the other task."""
        return self.task.out_features

    @property
    def sequence_length(self) -> int:
        """T: `repeats` times that of the other task."""
        return self.repeats * self.task.sequence_length

    def sample(self, key: Array) -> Example:
        """Draws one stream: inputs [T, D], targets [T] int32, weights [T] 1 where an answer is due."""
        examples = jax.vmap(self.task.sample)(jax.random.split(key, self.repeats))
        return jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[2:]), examples)

    def chance_level(self) -> float:
        """That of the other task: all examples count alike."""
        return self.task.chance_level()

    def oracle(self, inputs: Array) -> Array:
        """That of the other task, begun anew with each example. [T, D] -> [T, O]."""
        examples = inputs.reshape(self.repeats, -1, self.in_features)
        return jax.vmap(self.task.oracle)(examples).reshape(len(inputs), -1)
