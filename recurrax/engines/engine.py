"""What all engines share: their signature, the loop over a cell of structure DENSE, and held carries.

Arrays are time-major here: ``xs: [T, *batch, D]``, ``mask, resets: [T, *batch]``.
"""

from __future__ import annotations

import abc
from typing import Any

import jax
import jax.numpy as jnp

from recurrax.cell import Carry, Cell, preactivations


class Engine(abc.ABC):
    """A pure function ``(cell, carry, xs, mask, resets) -> (carry_T, ys)``; its options are fields of a dataclass.

    At every step, in this order: where ``resets`` is true the carry becomes the initial carry; where ``mask`` is false
    the carry is then held. None means never, and costs nothing.
    """

    @abc.abstractmethod
    def __call__(
        self, cell: Cell, carry: Carry, xs: Any, mask: jax.Array | None = None, resets: jax.Array | None = None
    ) -> tuple[Carry, Any]:
        """Runs the cell over ``xs: [T, *batch, D]`` from ``carry``; gives the last carry and ``ys: [T, *batch, H]``."""


def where(flag: jax.Array | None, yes: Any, no: Any) -> Any:
    """``yes`` where the flag ``[*batch]`` is true, else ``no``, for pytrees of ``[*batch, ...]``; None is always false.

    A `jnp.where`, never a product: NaN on the side not taken reaches neither the value nor the gradient.
    """
    if flag is None:
        return no
    return jax.tree.map(lambda y, n: jnp.where(flag.reshape(flag.shape + (1,) * (n.ndim - flag.ndim)), y, n), yes, no)


def hold(mask: jax.Array | None, new: Any, old: Any) -> Any:
    """``new`` where the mask is true, else ``old``; None is always true."""
    return new if mask is None else where(mask, new, old)


def advance(cell: Cell, carry: Carry, initial: Carry, u: Any, keep: Any, reset: Any) -> Carry:
    """One step of a DENSE cell from its projected input, with mask and reset."""
    carry = where(reset, initial, carry)
    return hold(keep, cell.update(carry, preactivations(u, cell.mix(carry))), carry)
