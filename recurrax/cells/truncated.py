"""The truncated gradient of 1997: errors flow along the cell state and nowhere else."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
from flax import nnx

from recurrax.cell import Carry, Cell, Structure


class TruncatedGradient(Cell):
    r"""A cell in which no error flows back through the recurrent weights.

    .. math:: s_t = \mathrm{update}(s_{t-1}, u_t + v_t), \qquad v_t = \mathrm{mix}(\mathrm{stop\_gradient}(s_{t-1}))

    Values are those of the cell inside; derivatives, forward and reverse, are those with
    :math:`\partial v_t / \partial s_{t-1} := 0`. The path through ``update`` stays exact: C to C of an LSTM, h to h
    through z of a GRU. A plain RNN has none, so no error leaves its step. Weights still learn from every step that an
    error reaches. It is not truncation in time, which is ``Scan(truncate_every=...)``.

    Shapes, carry and parameters are those of the cell inside, ``cell``; ``gates`` is there if that cell has it.

    Args:
        cell: a `Cell` of structure DENSE.

    Raises:
        TypeError: no `Cell`.
        ValueError: a cell of another structure; its recurrent weights are not all in ``mix``.

    Source: Hochreiter & Schmidhuber (1997), section 4 and appendix A.1.
    """

    def __init__(self, cell: Cell):
        if not isinstance(cell, Cell):
            raise TypeError(
                f"TruncatedGradient got a {type(cell).__name__}; allowed: a recurrax cell of {Structure.DENSE}. "
                "Use e.g. recurrax.LSTMCell in place of Flax's."
            )
        if cell.structure is not Structure.DENSE:
            raise ValueError(
                f"TruncatedGradient got {type(cell).__name__} of {cell.structure}; allowed: {Structure.DENSE}, such as "
                "LSTMCell, GRUCell(reset_after=True) or RNNCell. In a step of your own, put stop_gradient where "
                "weights read the carry."
            )
        self.cell = cell
        self.in_features, self.hidden_features = cell.in_features, cell.hidden_features
        self.states, self.dtype, self.carry_init = cell.states, cell.dtype, cell.carry_init

    def project(self, x: jax.Array) -> Any:
        """That of the cell inside."""
        return self.cell.project(x)

    def mix(self, carry: Carry) -> Any:
        """That of the cell inside, for which the carry is a constant."""
        return self.cell.mix(jax.lax.stop_gradient(carry))

    def update(self, carry: Carry, a: Any) -> Carry:
        """That of the cell inside."""
        return self.cell.update(carry, a)

    def readout(self, carry: Carry, x: jax.Array) -> Any:
        """That of the cell inside."""
        return self.cell.readout(carry, x)

    def prepare(self, xs: jax.Array, key: jax.Array | None) -> tuple[Cell, jax.Array]:
        """That of the cell inside."""
        cell, xs = self.cell.prepare(xs, key)
        return TruncatedGradient(cell), xs

    @property
    def gates(self) -> Callable[[Carry, jax.Array], Any]:
        """That of the cell inside; a property, so that a cell without gates has none here either."""
        return self.cell.gates  # type: ignore[attr-defined]

    def initialize_carry(
        self,
        input_shape: tuple[int, ...],
        rngs: nnx.Rngs | None = None,
        carry_init: Callable[..., jax.Array] | None = None,
    ) -> Carry:
        """That of the cell inside."""
        return self.cell.initialize_carry(input_shape, rngs, carry_init)
