"""The affine maps of all gates, and how their kernels lie in memory.

A kernel is ``[G, H, D]``, one matrix a gate. Read as ``[G H, D]``, which moves nothing, it gives all gates in a single
product, and every entry of that product is a sum along a row of memory: for the few rows of one step a CPU would
otherwise copy the kernel first. It is drawn as ``[D, H]`` for each gate and then transposed, so that initialisers see
the sizes they expect.
"""

from __future__ import annotations

import dataclasses
from typing import Any, Self

import jax
import jax.numpy as jnp
from flax import nnx

from recurrax.initializers import Initializer, per_gate

STEP_ROWS = 32  # rows up to which arrays of three or more axes are multiplied as those of one step


class Kernel(nnx.Param):
    """One matrix a gate, ``[G, H, D]``, which inputs are multiplied by."""

    @classmethod
    def draw(cls, init: Initializer, key: jax.Array, gates: int, shape: tuple[int, int], dtype: Any) -> Self:
        """A kernel of so many gates, each drawn by ``init`` as ``shape = (D, H)`` from a key of its own."""
        return cls(jnp.swapaxes(per_gate(init, key, gates, shape, dtype), 1, 2))


class RecurrentKernel(Kernel):
    """One matrix a gate, ``[G, H, H]``, which the state is multiplied by: engines may lay it out as they like."""


def affine(x: jax.Array, kernel: Any, bias: nnx.Param | None = None) -> tuple[jax.Array, ...]:
    """``W_g x + b_g`` of each gate g: ``x: [..., D], kernel: [G, H, D], bias: [G, H]`` to G arrays ``[..., H]``."""
    rows = x if is_sharded(x) else x.reshape(-1, x.shape[-1])  # products over two axes at once are slow on a CPU
    if isinstance(kernel, SideBySide):
        products = split(_plus(kernel.product(rows), bias), kernel.gates)
    elif x.ndim > 2 and not _is_few(rows):
        products = _of_many(rows, kernel[...], bias)
    else:
        W = kernel[...]
        products = split(_plus(_times(rows, W.reshape(-1, W.shape[-1])), bias), len(W))
    return tuple(product.reshape(*x.shape[:-1], product.shape[-1]) for product in products)


def _of_many(rows: jax.Array, W: jax.Array, bias: nnx.Param | None) -> list[jax.Array]:
    """A product a gate, for many steps at once: to take a single product apart would copy it."""
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
    """``[H]`` with as many axes as x, so that their sum promotes no rank."""
    return row.reshape((1,) * (x.ndim - 1) + row.shape)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class SideBySide:
    """The kernels of all gates as one matrix: ``[G H, D]`` as they are stored, or ``[D, G H]``.

    With ``leading`` the stored matrix is the first factor of its products, ``W x`` in place of ``x W^T``: a CPU copies
    the second factor into the order in which it is read, and for few rows that takes longer than the product.
    """

    weights: jax.Array
    gates: int = dataclasses.field(metadata={"static": True})
    stored: bool = dataclasses.field(default=True, metadata={"static": True})
    leading: bool = dataclasses.field(default=False, metadata={"static": True})

    @classmethod
    def of(cls, kernel: jax.Array) -> SideBySide:
        """From ``[G, H, D]``."""
        return cls(kernel.reshape(-1, kernel.shape[-1]), len(kernel))

    def product(self, x: jax.Array) -> jax.Array:
        """``x: [..., D]`` to ``[..., G H]``."""
        if not self.stored:
            return x @ self.weights
        if not self.leading or x.ndim != 2:
            return _times(x, self.weights)
        # Without the barrier XLA moves the transposition into the product, where it undoes what it is for.
        return jax.lax.optimization_barrier(_times(self.weights, x)).T


def side_by_side(cell: Any) -> Any:
    """A cell whose recurrent kernels are one matrix, so that an engine may lay it out as it likes."""
    return _each(RecurrentKernel, lambda kernel: SideBySide.of(kernel[...]), cell)


def for_steps(cell: Any, leading: bool) -> Any:
    """A cell whose matrix is laid out for the products of one step: transposed once, before the loop, or leading."""

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
    """Whether there are so few rows that they are one step; a size that `jax.export` leaves open is many."""
    return rows.ndim == 2 and isinstance(rows.shape[0], int) and rows.shape[0] <= STEP_ROWS


def is_sharded(x: jax.Array) -> bool:
    """Whether an axis lies on an explicit axis of a mesh, so that `reshape` must not merge it."""
    return any(axis is not None for axis in jax.typeof(x).sharding.spec)


def check_size(cell: str, **sizes: int) -> None:
    """Raises ValueError where a number of features is not a positive int."""
    for name, size in sizes.items():
        if isinstance(size, bool) or not isinstance(size, int) or size < 1:
            raise ValueError(f"{cell} got {name}={size!r}; allowed: an int >= 1. Give e.g. {name}=32.")
