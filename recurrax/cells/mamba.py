r"""The recurrences of Mamba and Mamba-2, which depend on the input."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from recurrax import initializers
from recurrax.cells.delta import log_rates, step_biases
from recurrax.cells.linear import Linear, LinearCell
from recurrax.cells.matrix import MatrixCell, Write, head_size
from recurrax.cells.state_space import of_size
from recurrax.initializers import Initializer, per_gate
from recurrax.kernels import Kernel, affine, check_size, like


class MambaCell(LinearCell):
    r"""Mamba's selective state space (S6): the step size and the input and output maps depend on the input.

    .. math::
        u_t &= W_u x_t + b_u, \quad \Delta_t = \mathrm{softplus}(W_\Delta x_t + b_\Delta), \quad
            B_t = W_B x_t, \quad C_t = W_C x_t \\
        h_{t,n} &= e^{-\Delta_t e^{A_n}} h_{t-1,n} + \Delta_t B_{t,n} u_t, \qquad
        y_t = \sum_n C_{t,n} h_{t,n} + d \, u_t

    for each of H channels, all of which share B and C. In the paper :math:`W_\Delta` has low rank; here it is a full
    matrix. The layer's short convolution, gate and output projection are not part of the cell.

    Shapes: ``x: [..., D]``, carry ``h: [..., H N]``, output ``y: [..., H]``. Parameters: ``kernel: [2, H, D]`` and
    ``bias: [2, H]`` (u, Delta), ``state_kernel: [2, N, D]`` (B, C), ``log_rate: [H N]`` (A), ``skip: [H]`` (d).

    Args:
        in_features: D.
        hidden_features: H.
        state_features: N, states of a channel.
        kernel_init: initialiser of each W.
        bias_init: initialiser of b_u; the softplus of b_Delta starts log-uniform in [0.001, 0.1].
        carry_init: initialiser of the initial carry, which then needs keys; zeros by default.
        dtype: dtype of the computation; None uses the promoted dtype of inputs and parameters.
        param_dtype: dtype of the parameters.
        rngs: source of keys (``rngs.params``).

    Raises:
        ValueError: a size is not a positive int.

    Source: Gu & Dao (2023), "Mamba: linear-time sequence modeling with selective state spaces", algorithm 2.
    """

    def __init__(
        self,
        in_features: int,
        hidden_features: int,
        *,
        state_features: int = 16,
        kernel_init: Initializer = initializers.lecun_normal(),
        bias_init: Initializer = initializers.zeros,
        carry_init: Initializer | None = None,
        dtype: Any = None,
        param_dtype: Any = jnp.float32,
        rngs: nnx.Rngs,
    ):
        check_size("MambaCell", in_features=in_features, hidden_features=hidden_features, state_features=state_features)
        D, H = self.in_features, self.hidden_features = in_features, hidden_features
        N = self.state_features = state_features
        self.carry_init, self.dtype = carry_init, dtype
        keys = jax.random.split(rngs.params(), 4)
        self.kernel = Kernel.draw(kernel_init, keys[0], 2, (D, H), param_dtype)
        b = per_gate(bias_init, keys[1], 2, (H,), param_dtype)
        self.bias = nnx.Param(b.at[1].set(step_biases(keys[2], H, param_dtype)))
        self.state_kernel = Kernel.draw(kernel_init, keys[3], 2, (D, N), param_dtype)
        self.log_rate = nnx.Param(jnp.tile(jnp.log(jnp.arange(1.0, N + 1)), H).astype(param_dtype))  # S4D-Real
        self.skip = nnx.Param(jnp.ones((H,), param_dtype))

    def initialize_carry(self, input_shape: tuple[int, ...], rngs: Any = None, carry_init: Any = None) -> Any:
        """The initial carry ``[..., H N]`` for inputs of shape ``[..., D]``."""
        return of_size(self, self.hidden_features * self.state_features, input_shape, rngs, carry_init)  # type: ignore

    def project(self, x: jax.Array) -> Linear:
        """``a = e^(-Delta e^A)``, ``b = Delta B u``, state by state."""
        u, step = affine(x, self.kernel, self.bias)
        B, _ = affine(x, self.state_kernel)
        step = jax.nn.softplus(step)
        rate = jnp.repeat(step, self.state_features, axis=-1)
        b = ((step * u)[..., None] * B[..., None, :]).reshape(rate.shape)
        return Linear(jnp.exp(-rate * like(jnp.exp(self.log_rate[...]), rate)), b)

    def readout(self, carry: jax.Array, x: jax.Array) -> jax.Array:
        """``y = sum of C h + d u``."""
        u, _ = affine(x, self.kernel, self.bias)
        _, C = affine(x, self.state_kernel)
        states = carry.reshape(*carry.shape[:-1], -1, self.state_features)
        return jnp.sum(states * C[..., None, :], axis=-1) + like(self.skip[...], u) * u


class Mamba2Cell(MatrixCell):
    r"""Mamba-2's state space dual: all states of a head share one decay, so that its memory is a matrix.

    .. math::
        u_t &= W_u x_t + b_u, \quad \Delta_t = \mathrm{softplus}(w_\Delta x_t + b_\Delta), \quad
            B_t = W_B x_t, \quad C_t = W_C x_t \\
        S_t &= e^{-\Delta_t e^{A}} S_{t-1} + \Delta_t B_t u_t^\top, \qquad y_t = S_t^\top C_t + d \, u_t

    for each of N heads, all of which share B and C. The layer's short convolution, norm, gate and output projection
    are not part of the cell.

    Shapes: ``x: [..., D]``, carry ``S: [..., N, K, V]`` with ``V = H / N``, output ``[..., H]``. Parameters:
    ``kernel: [1, H, D]`` and ``bias: [1, H]`` (u), ``state_kernel: [2, K, D]`` (B, C), ``gate_kernel: [1, N, D]`` and
    ``gate_bias: [1, N]`` (Delta), ``log_rate: [N]`` (A), ``skip: [N]`` (d).

    Args:
        in_features: D.
        hidden_features: H, the size of the output; a multiple of ``heads``.
        heads: N.
        state_features: K, rows of a head's matrix.
        kernel_init: initialiser of each W.
        bias_init: initialiser of b_u; the softplus of b_Delta starts log-uniform in [0.001, 0.1].
        carry_init: initialiser of the initial S, which then needs keys; zeros by default.
        dtype: dtype of the computation; None uses the promoted dtype of inputs and parameters.
        param_dtype: dtype of the parameters.
        rngs: source of keys (``rngs.params``).

    Raises:
        ValueError: a size is not a positive int, or H is not a multiple of the heads.

    Source: Dao & Gu (2024), "Transformers are SSMs: generalized models and efficient algorithms through structured
    state space duality".
    """

    def __init__(
        self,
        in_features: int,
        hidden_features: int,
        *,
        heads: int = 1,
        state_features: int = 16,
        kernel_init: Initializer = initializers.lecun_normal(),
        bias_init: Initializer = initializers.zeros,
        carry_init: Initializer | None = None,
        dtype: Any = None,
        param_dtype: Any = jnp.float32,
        rngs: nnx.Rngs,
    ):
        check_size(
            "Mamba2Cell", in_features=in_features, hidden_features=hidden_features, state_features=state_features
        )
        D, H = self.in_features, self.hidden_features = in_features, hidden_features
        self.heads, self.value_features = heads, head_size("Mamba2Cell", H, heads)
        self.key_features = self.state_features = state_features
        self.carry_init, self.dtype = carry_init, dtype
        keys = jax.random.split(rngs.params(), 6)
        self.kernel = Kernel.draw(kernel_init, keys[0], 1, (D, H), param_dtype)
        self.bias = nnx.Param(per_gate(bias_init, keys[1], 1, (H,), param_dtype))
        self.state_kernel = Kernel.draw(kernel_init, keys[2], 2, (D, state_features), param_dtype)
        self.gate_kernel = Kernel.draw(kernel_init, keys[3], 1, (D, heads), param_dtype)
        self.gate_bias = nnx.Param(step_biases(keys[4], heads, param_dtype)[None])
        self.log_rate = nnx.Param(log_rates(keys[5], heads, param_dtype))
        self.skip = nnx.Param(jnp.ones((heads,), param_dtype))

    def project(self, x: jax.Array) -> Write:
        """Returns ``-Delta e^A``, B and ``Delta u``."""
        (u,), (B, _) = affine(x, self.kernel, self.bias), affine(x, self.state_kernel)
        (step,) = affine(x, self.gate_kernel, self.gate_bias)
        step = jax.nn.softplus(step)
        log_decay = -step * like(jnp.exp(self.log_rate[...]), step)
        return Write(log_decay[..., None], self._every_head(B), step[..., None] * self.in_heads(u))

    def query(self, x: jax.Array) -> jax.Array:
        """The query C."""
        return self._every_head(affine(x, self.state_kernel)[1])

    def output(self, read: jax.Array, m: jax.Array | None, x: jax.Array) -> jax.Array:
        """``y = S^T C + d u``."""
        (u,) = affine(x, self.kernel, self.bias)
        skipped = self.in_heads(u) * like(self.skip[...], u)[..., None]
        return super().output(read.astype(x.dtype) + skipped, m, x)

    def _every_head(self, a: jax.Array) -> jax.Array:
        return jnp.broadcast_to(a[..., None, :], (*a.shape[:-1], self.heads, a.shape[-1]))
