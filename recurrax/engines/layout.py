"""Layouts of the kernels: how they lie in memory while an engine runs, whatever the cell stores."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from recurrax.cell import Carry, Cell, Factor, InputKernels, Kernels, SideBySide, Untaken


def fused(cell: Cell, inputs: bool = False) -> Cell:
    """The cell with its kernels ``[G, D, H]`` side by side, ``[D, G H]``: one product in place of G.

    Those that inputs are multiplied by only if asked.
    """

    def side_by_side(kernels: Kernels) -> Any:
        return SideBySide.of(kernels[...]) if inputs or not isinstance(kernels, InputKernels) else kernels

    return _each(Kernels, side_by_side, cell)


def transposed(cell: Cell) -> Cell:
    """A fused cell with its recurrent kernels transposed in memory; a cell that is not fused stays as it is."""
    return _each(SideBySide, lambda kernels: kernels.T, cell)


def leading(cell: Cell) -> Cell:
    """A fused cell whose recurrent kernels are the first factor where they are read along their rows."""
    return _each(SideBySide, lambda kernels: dataclasses.replace(kernels, leading=True), cell)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Joined:
    """A fused cell and one matrix for state, inputs and bias, ``[H + D + 1, G H]``: one product in place of two."""

    cell: Cell
    kernels: SideBySide

    @classmethod
    def of(cls, cell: Cell, carry: Carry, x: jax.Array) -> Joined | None:
        """None where the halves of the pre-activations are more than ``x W + b`` and ``h U``."""
        u, v = _factors(cell, carry, x)
        if u is None or v is None or u.bias is None or v.bias is not None:
            return None
        weights = jnp.concatenate([v.kernel.weights, u.kernel.weights, u.bias[...].reshape(1, -1)])
        return cls(cell, SideBySide(weights, v.kernel.gates))

    def sums(self, carry: Carry, x: jax.Array) -> jax.Array:
        """``u + v`` of all gates, ``[..., G H]``, for ``x: [..., D + 1]`` that ends with a 1."""
        u, v = _factors(self.cell, carry, x[..., :-1])
        joined = jnp.concatenate([v.x, u.x, x[..., -1:]], axis=-1)
        product = self.kernels.product(joined.reshape(-1, joined.shape[-1]), self.kernels.weights)
        return product.reshape(*joined.shape[:-1], -1)

    def mix(self, carry: Carry) -> Any:
        """That of the cell."""
        return self.cell.mix(carry)

    def update(self, carry: Carry, u: Any, v: Any) -> Carry:
        """That of the cell."""
        return self.cell.update(carry, u, v)


def _factors(cell: Cell, carry: Carry, x: jax.Array) -> tuple[Any, Any]:
    """The `Factor` that all gates of ``project(x)`` are, and that of ``mix(carry)``; None where they are not one."""
    untaken = _each(SideBySide, Untaken, cell)
    try:
        halves = untaken.project(x), untaken.mix(carry)
    except (TypeError, AttributeError):  # it works on the products
        return None, None
    return tuple(_one(jax.tree.leaves(half)) for half in halves)  # type: ignore[return-value]


def _one(gates: list[Any]) -> Factor | None:
    first = gates[0]
    if not all(isinstance(gate, Factor) and gate.x is first.x and gate.kernel is first.kernel for gate in gates):
        return None
    return first if [gate.gate for gate in gates] == list(range(first.kernel.gates)) else None


def _each(kind: type, change: Callable[[Any], Any], cell: Cell) -> Cell:
    def is_kind(node: Any) -> bool:
        return isinstance(node, kind)

    return jax.tree.map(lambda node: change(node) if is_kind(node) else node, cell, is_leaf=is_kind)
