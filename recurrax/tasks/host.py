"""Tasks whose training batches come from the host, because the examples do not fit on the device."""

from __future__ import annotations

import abc
from typing import Any

import jax
from jax import Array

from recurrax.tasks.task import Example, Task


class HostTask(Task):
    """A task whose batches are made on the host; all runs of a `recurrax.training.fit` see the same batches.

    A subclass defines `loss`, `examples` and either `batches` or `pipeline`. A plain iterator is refused because it
    does not tell where a resumed run must continue.

    Attributes:
        consecutive: the number of successive batches with the same shapes; None if all batches have them. Each shape
            needs its own program.
    """

    consecutive: int | None = None

    @abc.abstractmethod
    def examples(self, split: str) -> Example:
        """All examples of "validation" or "test", which are kept on the device: every leaf ``[N, ...]``."""

    def batches(self, step: int) -> Example:
        """The batch of update ``step`` as NumPy arrays ``[B, ...]``; it must depend on the step alone."""
        raise NotImplementedError(
            f"{type(self).__name__} makes no batches; allowed: batches(step), or pipeline() that gives an iterator "
            "with get_state and set_state, as grain's are. Define one of them."
        )

    def pipeline(self) -> Any:
        """A new iterator over batches that can save its state, as grain's can; None if `batches` is used."""
        return None

    def sample(self, key: Array) -> Example:
        """One example of the validation split, which gives the shapes. key: one PRNG key."""
        whole = self.examples("validation")
        index = jax.random.randint(key, (), 0, len(jax.tree.leaves(whole.inputs)[0]))
        return jax.tree.map(lambda leaf: leaf[index], whole)
