"""Tasks whose training examples come from the host, batch by batch, because they do not fit on the device."""

from __future__ import annotations

import abc
from typing import Any

import jax
from jax import Array

from recurrax.tasks.task import Example, Task


class HostTask(Task):
    """A task whose batches are made on the host; all runs of a `recurrax.training.fit` see the same ones.

    A concrete one defines `loss`, `examples` and one of `batches` and `pipeline`. A plain iterator is refused, for
    nobody can tell where in it a resumed run has to go on.

    Attributes:
        consecutive: how many batches in a row have the same shapes, counted from the first; None where all have. Each
            shape is a program of its own.
    """

    consecutive: int | None = None

    @abc.abstractmethod
    def examples(self, split: str) -> Example:
        """All examples of "validation" or "test", which stay on the device: every leaf ``[N, ...]``."""

    def batches(self, step: int) -> Example:
        """The batch of update number ``step``, NumPy arrays ``[B, ...]``: a function of the step alone."""
        raise NotImplementedError(
            f"{type(self).__name__} makes no batches; allowed: batches(step), or pipeline() that gives an iterator "
            "with get_state and set_state, as grain's are. Define one of them."
        )

    def pipeline(self) -> Any:
        """A new iterator over batches that tells its state, as grain's does; None where `batches` is used."""
        return None

    def sample(self, key: Array) -> Example:
        """One example of the validation split, for its shapes. key: one PRNG key."""
        whole = self.examples("validation")
        index = jax.random.randint(key, (), 0, len(jax.tree.leaves(whole.inputs)[0]))
        return jax.tree.map(lambda leaf: leaf[index], whole)
