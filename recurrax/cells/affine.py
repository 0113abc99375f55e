"""Base class of cells whose gates are all affine in the input and in h."""

from __future__ import annotations

from typing import Any

import jax
from flax import nnx

from recurrax.cell import Carry, Cell
from recurrax.kernels import Kernel, RecurrentKernel, affine


class AffineCell(Cell):
    r"""Abstract cell with the pre-activations below; a subclass defines its parameters and ``update``.

    .. math:: a_g = W_g x_t + b_g + U_g h_{t-1} \quad \text{for each gate } g

    Shapes: ``x: [..., D]``; h, the last array of the carry, ``[..., H]``. Parameters: ``kernel: [G, H, D]`` (W),
    ``recurrent_kernel: [G, H, H]`` (U), ``bias: [G, H]`` (b).
    """

    kernel: Kernel
    recurrent_kernel: RecurrentKernel
    bias: nnx.Param

    def project(self, x: jax.Array) -> tuple[Any, ...]:
        """``W_g x + b_g`` of each gate."""
        return affine(x, self.kernel, self.bias)

    def mix(self, carry: Carry) -> tuple[Any, ...]:
        """``U_g h`` of each gate."""
        h = carry[-1] if isinstance(carry, tuple) else carry
        return affine(h, self.recurrent_kernel)
