r"""The minimal gated unit, in which one gate both forgets and resets."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx

from recurrax import initializers
from recurrax.cell import Cell, preactivations
from recurrax.initializers import Initializer, keep_bias, per_gate
from recurrax.kernels import Kernel, RecurrentKernel, affine, check_size, like


class MGUGates(NamedTuple):
    """Forget gate f (it writes the candidate), candidate n: arrays ``[..., H]``, ordered as the parameters."""

    f: jax.Array
    n: jax.Array


class MGUCell(Cell):
    r"""Minimal gated unit: a GRU that uses one gate as reset gate and update gate.

    .. math::
        f_t &= \sigma(W_f x_t + b_f + U_f h_{t-1}) \\
        n_t &= \tanh(W_n x_t + b_n + f_t \odot (U_n h_{t-1} + b_{hn})) \\
        h_t &= (1 - f_t) \odot h_{t-1} + f_t \odot n_t

    As in `GRUCell` the gate resets the product, so that one product of the state suffices; the paper resets the state
    before the product, :math:`U_n (f_t \odot h_{t-1})`.

    Shapes: ``x: [..., D]``, carry ``h: [..., H]``, output ``h``. Parameters, f, n first: ``kernel: [2, H, D]`` (W),
    ``recurrent_kernel: [2, H, H]`` (U), ``bias: [2, H]`` (b), ``recurrent_bias: [H]`` (b_hn).

    Args:
        in_features: D.
        hidden_features: H.
        forget_bias: ``b_f``, a number or an initialiser; 1 - f keeps the state, so a negative one keeps more.
        kernel_init: initialiser of each W.
        recurrent_kernel_init: initialiser of each U.
        bias_init: initialiser of the other biases.
        carry_init: initialiser of the initial carry, which then needs keys; zeros by default.
        dtype: dtype of the computation; None uses the promoted dtype of inputs and parameters.
        param_dtype: dtype of the parameters.
        rngs: source of keys (``rngs.params``).

    Raises:
        ValueError: a size is not a positive int.

    Source: Zhou, Wu, Zhang & Zhou (2016), "Minimal gated unit for recurrent neural networks".
    """

    def __init__(
        self,
        in_features: int,
        hidden_features: int,
        *,
        forget_bias: float | Initializer = 0.0,
        kernel_init: Initializer = initializers.lecun_normal(),
        recurrent_kernel_init: Initializer = initializers.orthogonal(),
        bias_init: Initializer = initializers.zeros,
        carry_init: Initializer | None = None,
        dtype: Any = None,
        param_dtype: Any = jnp.float32,
        rngs: nnx.Rngs,
    ):
        check_size("MGUCell", in_features=in_features, hidden_features=hidden_features)
        D, H = self.in_features, self.hidden_features = in_features, hidden_features
        self.carry_init, self.dtype = carry_init, dtype
        keys = jax.random.split(rngs.params(), 5)
        self.kernel = Kernel.draw(kernel_init, keys[0], 2, (D, H), param_dtype)
        self.recurrent_kernel = RecurrentKernel.draw(recurrent_kernel_init, keys[1], 2, (H, H), param_dtype)
        b = per_gate(bias_init, keys[2], 2, (H,), param_dtype)
        self.bias = nnx.Param(b.at[0].set(keep_bias(forget_bias, keys[3], (H,), param_dtype)))
        self.recurrent_bias = nnx.Param(per_gate(bias_init, keys[4], 1, (H,), param_dtype)[0])

    def project(self, x: jax.Array) -> tuple[jax.Array | None, ...]:
        """``W_g x + b_g`` of f and n, and None for the product that f resets."""
        return (*affine(x, self.kernel, self.bias), None)

    def mix(self, carry: jax.Array) -> tuple[jax.Array | None, ...]:
        """``U_f h``, None for n, and ``m = U_n h + b_hn``, which f resets."""
        f, m = affine(carry, self.recurrent_kernel)
        return f, None, m + like(self.recurrent_bias[...], m)

    def update(self, carry: jax.Array, a: tuple[jax.Array, ...]) -> jax.Array:
        """The three equations above."""
        a_f, a_n, m = a
        f = jax.nn.sigmoid(a_f)
        return (1 - f) * carry + f * jnp.tanh(a_n + f * m)

    def gates(self, carry: jax.Array, x: jax.Array) -> MGUGates:
        """The gates used in the step from ``carry`` with ``x``, after their activations."""
        a_f, a_n, m = preactivations(self.project(x), self.mix(carry))
        f = jax.nn.sigmoid(a_f)
        return MGUGates(f, jnp.tanh(a_n + f * m))
