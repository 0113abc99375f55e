"""Layouts of the recurrent kernels: how they lie in memory while an engine runs, whatever the cell stores."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax

from recurrax.cell import Cell, Kernels, SideBySide


def fused(cell: Cell) -> Cell:
    """The cell with its recurrent kernels ``[G, H, H]`` side by side, ``[H, G H]``: one product in place of G."""
    return _each(Kernels, lambda kernels: SideBySide.of(kernels[...]), cell)


def transposed(cell: Cell) -> Cell:
    """A fused cell with its recurrent kernels transposed in memory; a cell that is not fused stays as it is."""
    return _each(SideBySide, lambda kernels: kernels.T, cell)


def _each(kind: type, change: Callable[[Any], Any], cell: Cell) -> Cell:
    def is_kind(node: Any) -> bool:
        return isinstance(node, kind)

    return jax.tree.map(lambda node: change(node) if is_kind(node) else node, cell, is_leaf=is_kind)
