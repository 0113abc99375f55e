"""Two changes of the cell of 1997 that the paper does not state."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from recurrax.cells import Hochreiter1997Cell
from recurrax.cells.hochreiter1997 import Carry, Gates1997


class CellsSeeInputs(Hochreiter1997Cell):
    """`Hochreiter1997Cell` whose cells see the inputs alone: no weight leads from a gate or a cell to a cell.

    The gates still see all hidden units, so ``recurrent_kernel: [N, 2 K]``. All other arguments are those of
    `Hochreiter1997Cell`.
    """

    def __init__(self, in_features: int, hidden_features: int, **options: Any):
        super().__init__(in_features, hidden_features, **options)
        assert self.recurrent_kernel is not None  # there is no such cell without recurrent weights
        self.recurrent_kernel = nnx.Param(self.recurrent_kernel[...][:, : 2 * self.blocks])

    def mix(self, carry: Carry) -> Gates1997:
        """``U (i, o, h)`` for the gates, zeros for the cells."""
        assert self.recurrent_kernel is not None
        _, *gates, h = carry
        r = jnp.concatenate([*(gate[..., :: self.block_size] for gate in gates), h], axis=-1)
        units = jnp.split(r @ self.recurrent_kernel[...], 2, axis=-1)
        i, o = (jnp.repeat(gate, self.block_size, axis=-1) for gate in units)
        return Gates1997(i, o, jnp.zeros_like(h))


class ShiftedGate(Hochreiter1997Cell):
    """`Hochreiter1997Cell` whose input gates start shut: ``i_t = sigma(... + shift)``, and no weight holds the shift.

    Args:
        in_features: D.
        hidden_features: H.
        shift: a number that is added to the net input of every input gate and is never trained.
        options: the other arguments of `Hochreiter1997Cell`.
    """

    def __init__(self, in_features: int, hidden_features: int, *, shift: float, **options: Any):
        super().__init__(in_features, hidden_features, **options)
        self.shift = shift

    def project(self, x: jax.Array) -> Gates1997:
        """``W x + b``, the input gates' part shifted."""
        a = super().project(x)
        return a._replace(i=a.i + self.shift)
