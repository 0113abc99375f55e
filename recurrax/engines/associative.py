"""Linear cells in parallel over time."""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp

from recurrax.cell import Carry, Cell, Structure
from recurrax.engines.chunks import in_chunks
from recurrax.engines.engine import Engine, where
from recurrax.engines.recurrence import solve
from recurrax.engines.sharding import check_not_varying


@dataclasses.dataclass(frozen=True)
class Associative(Engine):
    r"""Runs all steps of a LINEAR cell at once, by an associative scan over the maps :math:`s \to a_t s + b_t`.

    A reset turns the map of its step into a constant, :math:`s \to a_t s_0 + b_t`, and a masked step becomes the
    identity. So packed sequences and padding run in the same scan. The gradient is a scan of the same kind, backwards
    in time.

    Args:
        chunk: steps per parallel scan. Chunks run one after another, and the backward pass recomputes each from its
            first state. Apart from inputs and outputs, the memory is then that of one chunk instead of T steps. None:
            all steps at once.

    Raises:
        ValueError: the chunk is not a positive int, or the cell has another structure.

    Source: Martin & Cundy (2018), "Parallelizing linear recurrent neural nets over sequence length"; Blelloch (1990).
    """

    chunk: int | None = None

    def __post_init__(self) -> None:
        chunk = self.chunk
        if chunk is not None and (isinstance(chunk, bool) or not isinstance(chunk, int) or chunk < 1):
            raise ValueError(f"Associative got chunk={chunk!r}; allowed: an int >= 1 or None. Try chunk=256.")

    def __call__(
        self, cell: Cell, carry: Carry, xs: Any, mask: jax.Array | None = None, resets: jax.Array | None = None
    ) -> tuple[Carry, Any]:
        """Runs the cell over ``xs: [T, *batch, D]``, see `Engine`."""
        if cell.structure is not Structure.LINEAR:
            raise ValueError(
                f"Associative got {type(cell).__name__} of {cell.structure}; allowed: {Structure.LINEAR}, whose steps "
                "are linear in the state (LRU, MinGRU, MinLSTM, DiagonalRNN). Use backend='auto', or Newton."
            )
        check_not_varying("Associative", xs)
        run = functools.partial(_all_at_once, cell, carry)
        if self.chunk is not None:
            run = functools.partial(in_chunks, jax.checkpoint(run, prevent_cse=False), size=self.chunk)
        return run(carry, (xs, mask, resets))


def _all_at_once(cell: Cell, initial: jax.Array, carry: jax.Array, inputs: Any) -> tuple[jax.Array, Any]:
    xs, mask, resets = inputs
    a, b = cell.project(xs)
    b = where(resets, a * initial[None] + b, b)
    a = where(resets, jnp.zeros_like(a), a)
    if mask is not None:
        a, b = where(mask, a, jnp.ones_like(a)), where(mask, b, jnp.zeros_like(b))
    carries = solve(a, b, carry)
    return carries[-1], cell.readout(carries, xs)
