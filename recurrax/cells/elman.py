"""The plain recurrent network: no gates, one state."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from recurrax import initializers
from recurrax.cells.affine import AffineCell
from recurrax.initializers import Initializer, per_gate
from recurrax.kernels import Kernel, RecurrentKernel, check_size


class RNNCell(AffineCell):
    r"""Elman's recurrent network.

    .. math:: h_t = \phi(W x_t + b + U h_{t-1})

    Shapes: ``x: [..., D]``, carry ``h: [..., H]``, output ``h``. Parameters: ``kernel: [1, H, D]`` (W),
    ``recurrent_kernel: [1, H, H]`` (U), ``bias: [1, H]`` (b).

    Args:
        in_features: D.
        hidden_features: H.
        activation_fn: phi; ``jnp.tanh``, ``jax.nn.relu``, or any elementwise function.
        kernel_init: initialiser of W.
        recurrent_kernel_init: initialiser of U; with ``identity()`` and ``jax.nn.relu`` this is the IRNN.
        bias_init: initialiser of b.
        carry_init: initialiser of the initial carry, which then needs keys; zeros by default.
        dtype: dtype of the computation; None uses the promoted dtype of inputs and parameters.
        param_dtype: dtype of the parameters.
        rngs: source of keys (``rngs.params``).

    Raises:
        ValueError: a size is not a positive int.

    Source: Elman (1990), "Finding structure in time"; IRNN: Le, Jaitly & Hinton (2015).
    """

    def __init__(
        self,
        in_features: int,
        hidden_features: int,
        *,
        activation_fn: Callable[[jax.Array], jax.Array] = jnp.tanh,
        kernel_init: Initializer = initializers.lecun_normal(),
        recurrent_kernel_init: Initializer = initializers.orthogonal(),
        bias_init: Initializer = initializers.zeros,
        carry_init: Initializer | None = None,
        dtype: Any = None,
        param_dtype: Any = jnp.float32,
        rngs: nnx.Rngs,
    ):
        check_size("RNNCell", in_features=in_features, hidden_features=hidden_features)
        D, H = self.in_features, self.hidden_features = in_features, hidden_features
        self.activation_fn, self.carry_init, self.dtype = activation_fn, carry_init, dtype
        keys = jax.random.split(rngs.params(), 3)
        self.kernel = Kernel.draw(kernel_init, keys[0], 1, (D, H), param_dtype)
        self.recurrent_kernel = RecurrentKernel.draw(recurrent_kernel_init, keys[1], 1, (H, H), param_dtype)
        self.bias = nnx.Param(per_gate(bias_init, keys[2], 1, (H,), param_dtype))

    def update(self, carry: jax.Array, a: tuple[jax.Array]) -> jax.Array:
        """``h = phi(W x + b + U h)``."""
        del carry
        return self.activation_fn(a[0])
