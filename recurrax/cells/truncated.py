"""The truncated gradient of 1997: errors flow along the cell state and nowhere else."""

from __future__ import annotations

from typing import Any

import jax

from recurrax.cell import Carry
from recurrax.cells.wrapped import Wrapped


class TruncatedGradient(Wrapped):
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

    def mix(self, carry: Carry) -> Any:
        """That of the cell inside, for which the carry is a constant."""
        return self.cell.mix(jax.lax.stop_gradient(carry))
