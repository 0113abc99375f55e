"""Feeds batches from the host to the compiled program in chunks, and saves the position for resumed runs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import jax
import numpy as np

from recurrax.tasks import Example, HostTask, Task


class Feed:
    """The batches of a `HostTask` in order; for other tasks it has no batches and no state.

    Args:
        task: the source of the batches.
        batch_size: B, the required size of each batch.

    Raises:
        TypeError: the pipeline cannot report its position.
    """

    def __init__(self, task: Task, batch_size: int):
        self.task = task if isinstance(task, HostTask) else None
        self.batch_size = batch_size
        self.pipeline: Any = None if self.task is None else self.task.pipeline()
        if self.pipeline is None:
            return
        if not hasattr(self.pipeline, "get_state"):
            self.pipeline = iter(self.pipeline)
        missing = [name for name in ("get_state", "set_state", "__next__") if not hasattr(self.pipeline, name)]
        if missing:
            raise TypeError(
                f"the pipeline of {type(task).__name__} is a {type(self.pipeline).__name__} without "
                f"{' and '.join(missing)}; allowed: an iterator that tells its state, as those of grain, so that a "
                "resumed run sees what it would have seen. Use one, or define batches(step)."
            )

    def take(self, start: int, steps: int) -> list[tuple[int, Example | None]]:
        """The batches of ``steps`` updates from ``start`` on, in pieces: their number and leaves ``[number, B, ...]``.

        There is one piece unless the batches of the task differ in shape; other tasks get None instead of batches.

        Raises:
            ValueError: a batch does not have the batch size of the plan, or the pipeline ends.
        """
        if self.task is None:
            return [(steps, None)]
        batches = list(self._batches(self.task, start, steps))
        size = self.task.consecutive or steps
        for number, batch in enumerate(batches):
            found = {len(leaf) for leaf in jax.tree.leaves(batch)}
            if found != {self.batch_size}:
                raise ValueError(
                    f"{type(self.task).__name__} gave a batch of {sorted(found)} examples and Plan has batch_size="
                    f"{self.batch_size}; allowed: the same number. Change one of them."
                )
            if (number + start) % size and number and _shapes(batch) != _shapes(batches[number - 1]):
                raise ValueError(
                    f"{type(self.task).__name__} gave batches of different shapes at updates {start + number - 1} and "
                    f"{start + number}; allowed: one shape for {self.task.consecutive or 'all'} updates in a row. Pad "
                    "them, or set consecutive to how many in a row have the same."
                )
        ends = [*range(size - start % size, steps, size), steps]
        pieces = [batches[first:end] for first, end in zip([0, *ends], ends, strict=False)]
        return [(len(piece), jax.tree.map(lambda *leaves: np.stack(leaves), *piece)) for piece in pieces]

    def _batches(self, task: HostTask, start: int, steps: int) -> Iterator[Example]:
        for step in range(start, start + steps):
            if self.pipeline is None:
                yield jax.tree.map(np.array, task.batches(step))  # copied, because the task may reuse its buffer
                continue
            try:
                yield jax.tree.map(np.array, next(self.pipeline))
            except StopIteration as error:
                raise ValueError(
                    f"the pipeline of {type(task).__name__} ends before update {step}; allowed: one that goes on for "
                    "all updates. Repeat it (grain: dataset.repeat())."
                ) from error

    def state(self) -> np.ndarray:
        """The position as bytes in an array; empty if the update count determines it."""
        if self.pipeline is None:
            return np.zeros(0, np.uint8)
        found = self.pipeline.get_state()
        if isinstance(found, bytes):
            return np.frombuffer(b"b" + found, np.uint8)
        return np.frombuffer(b"j" + json.dumps(found).encode(), np.uint8)

    def restore(self, state: np.ndarray) -> None:
        """Restores the position that `state` returned."""
        if self.pipeline is not None and len(state):
            kind, found = bytes(state[:1]), bytes(state[1:])
            self.pipeline.set_state(found if kind == b"b" else json.loads(found))


def _shapes(batch: Example) -> list[tuple[int, ...]]:
    return [leaf.shape for leaf in jax.tree.leaves(batch)]
