"""The plain recurrent network: no gates, one state."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
from flax import nnx

from recurrax import initializers
from recurrax.cell import Cell, InputKernels, Kernels, affine, check_size
from recurrax.initializers import Initializer, per_gate


class RNN(Cell):
    r"""Elman's recurrent network.

    .. math:: h_t = \phi(W x_t + b + U h_{t-1})

    Shapes: ``x: [..., D]``, carry ``h: [..., H]``, output ``h``. Parameters: ``kernel: [1, D, H]`` (W),
    ``recurrent_kernel: [1, H, H]`` (U), ``bias: [1, H]`` (b).

    Args:
        in_features: D.
        hidden_features: H.
        activation: phi; ``jnp.tanh``, ``jax.nn.relu``, the identity ``lambda a: a``, or any elementwise function.
        kernel_init: initialiser of W.
        recurrent_kernel_init: initialiser of U; with ``identity()`` and ``jax.nn.relu`` this is the IRNN.
        bias_init: initialiser of b.
        dtype: of the parameters, and so of carries and outputs.
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
        activation: Callable[[jax.Array], jax.Array] = jnp.tanh,
        kernel_init: Initializer = initializers.lecun_normal(),
        recurrent_kernel_init: Initializer = initializers.orthogonal(),
        bias_init: Initializer = initializers.zeros,
        dtype=jnp.float32,
        rngs: nnx.Rngs,
    ):
        check_size("RNN", in_features=in_features, hidden_features=hidden_features)
        D, H = self.in_features, self.hidden_features = in_features, hidden_features
        self.activation = activation
        keys = jax.random.split(rngs.params(), 3)
        self.kernel = InputKernels(per_gate(kernel_init, keys[0], 1, (D, H), dtype))
        self.recurrent_kernel = Kernels(per_gate(recurrent_kernel_init, keys[1], 1, (H, H), dtype))
        self.bias = nnx.Param(per_gate(bias_init, keys[2], 1, (H,), dtype))

    def project(self, x: jax.Array) -> tuple[jax.Array]:
        """``u = W x + b``."""
        (u,) = affine(x, self.kernel, self.bias)
        return (u,)

    def mix(self, carry: jax.Array) -> tuple[jax.Array]:
        """``v = U h``."""
        (v,) = affine(carry, self.recurrent_kernel)
        return (v,)

    def update(self, carry: jax.Array, u: tuple[jax.Array], v: tuple[jax.Array]) -> jax.Array:
        """``h = phi(u + v)``."""
        del carry
        return self.activation(u[0] + v[0])
