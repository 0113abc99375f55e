"""The affine maps of all gates, and the memory layout of their kernels.

A kernel is ``[G, H, D]``, one matrix per gate. Reshaped to ``[G H, D]``, which copies nothing, it gives all gates in a
single product, and every entry of that product is a sum along a row of memory. With another layout a CPU would copy the
kernel before the small product of one step. Each gate is drawn as ``[D, H]`` and then transposed, so that initialisers
see the sizes they expect.
"""

from __future__ import annotations

import dataclasses
from typing import Any, Self

import jax
import jax.numpy as jnp
from flax import nnx

from recurrax.initializers import Initializer, per_gate

STEP_ROWS = 32  # arrays of three or more axes with at most this many rows are multiplied as a single step


class Kernel(nnx.Param):
    """Input kernel: one matrix per gate, ``[G, H, D]``."""

    @classmethod
    def draw(cls, init: Initializer, key: jax.Array, gates: int, shape: tuple[int, int], dtype: Any) -> Self:
        """Draws a kernel of G gates, each by ``init`` with ``shape = (D, H)`` and its own key."""
        return cls(jnp.swapaxes(per_gate(init, key, gates, shape, dtype), 1, 2))


class RecurrentKernel(Kernel):
    """Recurrent kernel: one matrix per gate, ``[G, H, H]``; engines may change its memory layout."""


def affine(x: jax.Array, kernel: Any, bias: nnx.Param | None = None) -> tuple[jax.Array, ...]:
    """``W_g x + b_g`` of each gate g: ``x: [..., D], kernel: [G, H, D], bias: [G, H]`` to G arrays ``[..., H]``."""
    rows = x if is_sharded(x) else x.reshape(-1, x.shape[-1])  # a product with two batch axes is slow on a CPU
    if isinstance(kernel, SideBySide):
        products = split(_plus(kernel.product(rows), bias), kernel.gates)
    elif x.ndim > 2 and not _is_few(rows):
        products = _of_many(rows, kernel[...], bias)
    else:
        W = kernel[...]
        products = split(_plus(_times(rows, W.reshape(-1, W.shape[-1])), bias), len(W))
    return tuple(product.reshape(*x.shape[:-1], product.shape[-1]) for product in products)


def _of_many(rows: jax.Array, W: jax.Array, bias: nnx.Param | None) -> list[jax.Array]:
    """One product per gate, for many steps at once; splitting one large product would copy it."""
    b = None if bias is None else bias[...]
    products = [_times(rows, matrix) for matrix in W]
    return products if b is None else [p + like(row, p) for p, row in zip(products, b, strict=True)]


def _plus(product: jax.Array, bias: nnx.Param | None) -> jax.Array:
    """``[..., G H]`` with ``bias: [G, H]`` added."""
    return product if bias is None else product + like(bias[...].reshape(-1), product)


def _times(x: jax.Array, W: jax.Array) -> jax.Array:
    """``x W^T``: ``x: [..., D], W: [N, D]`` to ``[..., N]``."""
    return jax.lax.dot_general(x, W, (((x.ndim - 1,), (1,)), ((), ())))


def split(product: jax.Array, gates: int) -> tuple[jax.Array, ...]:
    """``[..., G H]`` to G arrays ``[..., H]``."""
    return tuple(jax.lax.split(product, [product.shape[-1] // gates] * gates, axis=product.ndim - 1))


def like(row: jax.Array, x: jax.Array) -> jax.Array:
    """``[H]`` with as many axes as x, so that their sum needs no rank promotion."""
    return row.reshape((1,) * (x.ndim - 1) + row.shape)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class SideBySide:
    """The kernels of all gates as one matrix: ``[G H, D]`` as they are stored, or ``[D, G H]``.

    With ``leading`` the stored matrix is the first factor of its products, ``W x`` instead of ``x W^T``. A CPU copies
    the second factor into another order, and for few rows the copy takes longer than the product.
    """

    weights: jax.Array
    gates: int = dataclasses.field(metadata={"static": True})
    stored: bool = dataclasses.field(default=True, metadata={"static": True})
    leading: bool = dataclasses.field(default=False, metadata={"static": True})

    @classmethod
    def of(cls, kernel: jax.Array) -> SideBySide:
        """Builds it from a kernel ``[G, H, D]``."""
        return cls(kernel.reshape(-1, kernel.shape[-1]), len(kernel))

    def product(self, x: jax.Array) -> jax.Array:
        """``x: [..., D]`` to ``[..., G H]``."""
        if not self.stored:
            return x @ self.weights
        if not self.leading or x.ndim != 2:
            return _times(x, self.weights)
        # Without the barrier XLA fuses the transposition into the product and restores the slow layout.
        return jax.lax.optimization_barrier(_times(self.weights, x)).T


def side_by_side(cell: Any) -> Any:
    """The cell with its recurrent kernels joined into one matrix, whose layout an engine may change."""
    return _each(RecurrentKernel, lambda kernel: SideBySide.of(kernel[...]), cell)


def for_steps(cell: Any, leading: bool) -> Any:
    """The cell with its matrix laid out for the products of single steps: transposed before the loop, or leading."""

    def lay(kernel: SideBySide) -> SideBySide:
        if not kernel.stored:
            return kernel
        if leading:
            return dataclasses.replace(kernel, leading=True)
        return SideBySide(kernel.weights.T, kernel.gates, stored=False)

    return _each(SideBySide, lay, cell)


def _each(kind: type, change: Any, cell: Any) -> Any:
    def is_kind(node: Any) -> bool:
        return isinstance(node, kind)

    return jax.tree.map(lambda node: change(node) if is_kind(node) else node, cell, is_leaf=is_kind)


def _is_few(rows: jax.Array) -> bool:
    """Whether the array has few enough rows for a single step; a size that `jax.export` leaves open counts as large."""
    return rows.ndim == 2 and isinstance(rows.shape[0], int) and rows.shape[0] <= STEP_ROWS


def is_sharded(x: jax.Array) -> bool:
    """Whether an axis is sharded over an explicit mesh axis, so that `reshape` must not merge it."""
    return any(axis is not None for axis in jax.typeof(x).sharding.spec)


def check_size(cell: str, **sizes: int) -> None:
    """Raises ValueError if a number of features is not a positive int."""
    for name, size in sizes.items():
        if isinstance(size, bool) or not isinstance(size, int) or size < 1:
            raise ValueError(f"{cell} got {name}={size!r}; allowed: an int >= 1. Give e.g. {name}=32.")
