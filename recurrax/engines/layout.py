"""Layouts of the kernels: how they lie in memory while an engine runs, whatever the cell stores."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax

from recurrax.cell import Cell, InputKernels, Kernels, SideBySide


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


def _each(kind: type, change: Callable[[Any], Any], cell: Cell) -> Cell:
    def is_kind(node: Any) -> bool:
        return isinstance(node, kind)

    return jax.tree.map(lambda node: change(node) if is_kind(node) else node, cell, is_leaf=is_kind)
