"""Base class of cells that wrap another cell."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
from flax import nnx

from recurrax.cell import Carry, Cell, Structure


class Wrapped(Cell):
    """Abstract wrapper around a `Cell` of structure DENSE that delegates everything to it.

    Args:
        cell: the wrapped cell.

    Raises:
        TypeError: ``cell`` is not a `Cell`.
        ValueError: the cell has another structure.
    """

    def __init__(self, cell: Cell):
        name = type(self).__name__
        if not isinstance(cell, Cell):
            raise TypeError(
                f"{name} got a {type(cell).__name__}; allowed: a recurrax cell of {Structure.DENSE}. "
                "Use e.g. recurrax.LSTMCell in place of Flax's."
            )
        if cell.structure is not Structure.DENSE:
            raise ValueError(
                f"{name} got {type(cell).__name__} of {cell.structure}; allowed: {Structure.DENSE}, such as "
                "LSTMCell, GRUCell(reset_after=True) or RNNCell. In a step of your own, do it where weights read the "
                "carry."
            )
        self.cell = cell
        self.in_features, self.hidden_features = cell.in_features, cell.hidden_features
        self.states, self.dtype, self.carry_init = cell.states, cell.dtype, cell.carry_init

    @property
    def out_features(self) -> int | None:
        """Delegates to the wrapped cell."""
        return self.cell.out_features

    def project(self, x: jax.Array) -> Any:
        """Delegates to the wrapped cell."""
        return self.cell.project(x)

    def mix(self, carry: Carry) -> Any:
        """Delegates to the wrapped cell."""
        return self.cell.mix(carry)

    def update(self, carry: Carry, a: Any) -> Carry:
        """Delegates to the wrapped cell."""
        return self.cell.update(carry, a)

    def readout(self, carry: Carry, x: jax.Array) -> Any:
        """Delegates to the wrapped cell."""
        return self.cell.readout(carry, x)

    def around(self, cell: Cell) -> Wrapped:
        """The same wrapper around another cell."""
        other = jax.tree.map(lambda leaf: leaf, self)
        other.cell = cell
        return other

    def prepare(self, xs: jax.Array, key: jax.Array | None) -> tuple[Cell, jax.Array]:
        """Delegates to the wrapped cell."""
        cell, xs = self.cell.prepare(xs, key)
        return self.around(cell), xs

    @property
    def gates(self) -> Callable[[Carry, jax.Array], Any]:
        """The ``gates`` of the wrapped cell; a property, so that a wrapper of a cell without gates has none."""
        return self.cell.gates  # type: ignore[attr-defined]

    def initialize_carry(
        self,
        input_shape: tuple[int, ...],
        rngs: nnx.Rngs | nnx.RngStream | None = None,
        carry_init: Callable[..., jax.Array] | None = None,
    ) -> Carry:
        """Delegates to the wrapped cell."""
        return self.cell.initialize_carry(input_shape, rngs, carry_init)
