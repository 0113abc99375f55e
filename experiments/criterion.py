"""A task with another success criterion, for numbers that were published with one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, final

from jax import Array

from recurrax.tasks import Example, MemoryTask


@final
@dataclass(frozen=True)
class LossBelow(MemoryTask):
    """A task that is solved at a held-out loss below a threshold; all else is the task's own.

    Args:
        task: any.
        threshold: a loss.

    Raises:
        ValueError: the threshold is not above 0 and below chance, where it would say nothing.
    """

    task: MemoryTask
    threshold: float

    VARIANTS: ClassVar[tuple[str, ...]] = ()

    def __post_init__(self) -> None:
        """Refuses what guessing meets, or nothing does."""
        chance = self.task.chance_level()
        if not 0 < self.threshold < chance:
            raise ValueError(
                f"loss={self.threshold}; allowed: above 0 and below guessing's {chance:.4g}. Try {chance / 10:.2g}."
            )

    @property
    def variant(self) -> str:
        """Of the task."""
        return self.task.variant

    @property
    def in_features(self) -> int:
        """Of the task."""
        return self.task.in_features

    @property
    def out_features(self) -> int:
        """Of the task."""
        return self.task.out_features

    @property
    def sequence_length(self) -> int:
        """Of the task."""
        return self.task.sequence_length

    @property
    def criterion(self) -> str:
        """The threshold in words."""
        return f"held-out loss < {self.threshold:.4g}"

    def sample(self, key: Array) -> Example:
        """Of the task."""
        return self.task.sample(key)

    def loss(self, outputs: Array, example: Example) -> Array:
        """Of the task."""
        return self.task.loss(outputs, example)

    def accuracy(self, outputs: Array, example: Example) -> Array:
        """Of the task."""
        return self.task.accuracy(outputs, example)

    def chance_level(self) -> float:
        """Of the task."""
        return self.task.chance_level()

    def success(self, loss: Any, accuracy: Any) -> Any:
        """Whether the held-out loss is below the threshold; elementwise on arrays."""
        return loss < self.threshold

    def oracle(self, inputs: Array) -> Array:
        """Of the task."""
        return self.task.oracle(inputs)
