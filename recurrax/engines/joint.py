"""Multiplies state, inputs and bias in one product, for cells with few inputs."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp

from recurrax.cell import Carry
from recurrax.cells.affine import AffineCell
from recurrax.kernels import SideBySide, split


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Joint:
    """An `AffineCell` with one matrix ``[H + D + 1, G H]``; the pre-activations are ``(h, x, 1)`` times the matrix.

    The pre-activations of all gates form one array ``[..., G H]``. The last input feature is 1.
    """

    cell: AffineCell
    kernel: SideBySide

    @classmethod
    def of(cls, cell: Any) -> Joint:
        """Builds it from a cell whose recurrent kernels lie side by side."""
        parts = cell.recurrent_kernel.weights, SideBySide.of(cell.kernel[...]).weights, cell.bias[...].reshape(-1, 1)
        weights = jnp.concatenate(parts, axis=1).T
        return cls(cell, SideBySide(weights, cell.recurrent_kernel.gates, stored=False))

    def preactivations(self, carry: Carry, x: jax.Array) -> tuple[jax.Array]:
        """The pre-activations of all gates, for ``x: [..., D + 1]``."""
        joined = jnp.concatenate([jax.tree.leaves(carry)[-1], x], axis=-1)
        product = self.kernel.product(joined.reshape(-1, joined.shape[-1]))
        return (product.reshape(*joined.shape[:-1], -1),)

    def mix(self, carry: Carry) -> tuple[jax.Array]:
        """The recurrent part of all gates."""
        h = jax.tree.leaves(carry)[-1]
        return (self.cell.recurrent_kernel.product(h.reshape(-1, h.shape[-1])).reshape(*h.shape[:-1], -1),)

    def update(self, carry: Carry, a: tuple[jax.Array]) -> Carry:
        """Delegates to the cell."""
        return self.cell.update(carry, split(a[0], self.kernel.gates))
