"""The truncated gradient of 1997: errors flow back along the cell state alone."""

from __future__ import annotations

from typing import Any

import jax

from recurrax.cell import Carry
from recurrax.cells.wrapped import Wrapped


class TruncatedGradient(Wrapped):
    r"""Wraps a cell so that no error flows back through the recurrent weights.

    .. math:: s_t = \mathrm{update}(s_{t-1}, u_t + v_t), \qquad v_t = \mathrm{mix}(\mathrm{stop\_gradient}(s_{t-1}))

    The values are those of the wrapped cell. Derivatives, forward and reverse, are taken with :math:`\partial v_t /
    \partial s_{t-1} := 0`. The path through ``update`` stays exact: from C to C in an LSTM, from h to h through z in a
    GRU. A plain RNN has no such path, so no error leaves its step. Weights still learn from every step that an error
    reaches. This is not truncation in time, which is ``Scan(truncate_every=...)``.

    Shapes, carry and parameters are those of the wrapped ``cell``, and so is ``gates`` if the cell has it.

    Args:
        cell: a `Cell` of structure DENSE.

    Raises:
        TypeError: ``cell`` is not a `Cell`.
        ValueError: the cell has another structure; its recurrent weights are not all in ``mix``.

    Source: Hochreiter & Schmidhuber (1997), section 4 and appendix A.1.
    """

    def mix(self, carry: Carry) -> Any:
        """The recurrent part of the wrapped cell, with the carry as a constant."""
        return self.cell.mix(jax.lax.stop_gradient(carry))
