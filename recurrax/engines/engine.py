"""Parts that all engines share: the signature, one step of a DENSE cell, and carries held over masked steps.

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

    At every step, a true ``resets`` first sets the carry to the initial carry; then a false ``mask`` holds the carry.
    None means no resets or no masked steps, and costs nothing.
    """

    @abc.abstractmethod
    def __call__(
        self, cell: Cell, carry: Carry, xs: Any, mask: jax.Array | None = None, resets: jax.Array | None = None
    ) -> tuple[Carry, Any]:
        """Runs the cell over ``xs: [T, *batch, D]`` from ``carry`` to the last carry and ``ys: [T, *batch, H]``."""


def where(flag: jax.Array | None, yes: Any, no: Any) -> Any:
    """Selects ``yes`` if the flag ``[*batch]`` is true, else ``no``, in pytrees ``[*batch, ...]``; None means false.

    It uses `jnp.where`, never a product, so that NaN on the side not selected reaches neither the value nor the
    gradient.
    """
    if flag is None:
        return no
    return jax.tree.map(lambda y, n: jnp.where(flag.reshape(flag.shape + (1,) * (n.ndim - flag.ndim)), y, n), yes, no)


def hold(mask: jax.Array | None, new: Any, old: Any) -> Any:
    """Selects ``new`` if the mask is true, else ``old``; None means true."""
    return new if mask is None else where(mask, new, old)


def advance(cell: Cell, carry: Carry, initial: Carry, u: Any, keep: Any, reset: Any) -> Carry:
    """One step of a DENSE cell from its projected input, with mask and reset."""
    carry = where(reset, initial, carry)
    return hold(keep, cell.update(carry, preactivations(u, cell.mix(carry))), carry)
