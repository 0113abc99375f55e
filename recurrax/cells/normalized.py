r"""LSTM and GRU with layer normalisation inside the step; their structure is GENERAL."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from recurrax import initializers
from recurrax.cell import Cell
from recurrax.cells.gated import GRUGates, LSTMGates
from recurrax.initializers import Initializer, keep_bias, per_gate
from recurrax.kernels import Kernel, affine, check_size, like

EPSILON = 1e-5  # added to the variance
State = tuple[jax.Array, jax.Array]


class LayerNormLSTMCell(Cell):
    r"""LSTM with layer normalisation of the input and recurrent parts of each gate, and of the cell state.

    .. math::
        a_g &= \gamma_g \odot \mathrm{norm}(W_g x_t) + \delta_g \odot \mathrm{norm}(U_g h_{t-1}) + b_g
            \quad \text{for g in f, i, c, o} \\
        C_t &= \sigma(a_f) \odot C_{t-1} + \sigma(a_i) \odot \tanh(a_c), \qquad
        h_t = \sigma(a_o) \odot \tanh(\gamma \odot \mathrm{norm}(C_t) + b)

    norm subtracts the mean over the units and divides by the root of the variance plus 1e-5. Each gate is normalised
    separately; the paper normalises all four gates as one vector.

    Shapes: ``x: [..., D]``, carry ``(C, h)``, both ``[..., H]``, output ``h``. Parameters, gates f, i, c~, o first:
    ``kernel: [4, H, D]`` (W), ``recurrent_kernel: [4, H, H]`` (U), ``bias: [4, H]`` (b), ``scale: [2, 4, H]`` (gamma,
    delta), ``state_scale, state_bias: [H]``. Arguments and errors are those of `LSTMCell`, without its functions.

    Source: Ba, Kiros & Hinton (2016), "Layer normalization", equations 20 to 22 of the supplement.
    """

    states = ("c", "h")

    def __init__(
        self,
        in_features: int,
        hidden_features: int,
        *,
        forget_bias: float | Initializer = 1.0,
        kernel_init: Initializer = initializers.lecun_normal(),
        recurrent_kernel_init: Initializer = initializers.orthogonal(),
        bias_init: Initializer = initializers.zeros,
        carry_init: Initializer | None = None,
        dtype: Any = None,
        param_dtype: Any = jnp.float32,
        rngs: nnx.Rngs,
    ):
        check_size("LayerNormLSTMCell", in_features=in_features, hidden_features=hidden_features)
        D, H = self.in_features, self.hidden_features = in_features, hidden_features
        self.carry_init, self.dtype = carry_init, dtype
        keys = jax.random.split(rngs.params(), 4)
        self.kernel = Kernel.draw(kernel_init, keys[0], 4, (D, H), param_dtype)
        self.recurrent_kernel = Kernel.draw(recurrent_kernel_init, keys[1], 4, (H, H), param_dtype)
        b = per_gate(bias_init, keys[2], 4, (H,), param_dtype)
        self.bias = nnx.Param(b.at[0].set(keep_bias(forget_bias, keys[3], (H,), param_dtype)))
        self.scale = nnx.Param(jnp.ones((2, 4, H), param_dtype))
        self.state_scale = nnx.Param(jnp.ones((H,), param_dtype))
        self.state_bias = nnx.Param(jnp.zeros((H,), param_dtype))

    def __call__(self, carry: State, inputs: jax.Array) -> tuple[State, jax.Array]:
        """One step, ``((C, h), x) -> ((C', h'), h')``."""
        cell: Any
        cell, carry, x = self.promote(carry, self.check_features(inputs))
        f, i, c_tilde, o = cell.gates(carry, x)
        C = f * carry[0] + i * c_tilde
        h = o * jnp.tanh(like(cell.state_scale[...], C) * norm(C) + like(cell.state_bias[...], C))
        return (C, h), h

    def gates(self, carry: State, x: jax.Array) -> LSTMGates:
        """The gates used in the step from ``carry`` with ``x``, after their activations."""
        f, i, c_tilde, o = _normalized(self, carry[-1], x)
        return LSTMGates(jax.nn.sigmoid(f), jax.nn.sigmoid(i), jnp.tanh(c_tilde), jax.nn.sigmoid(o))


class LayerNormGRUCell(Cell):
    r"""GRU with layer normalisation of the input and recurrent parts of each gate.

    .. math::
        r_t &= \sigma(\gamma_r \odot \mathrm{norm}(W_r x_t) + \delta_r \odot \mathrm{norm}(U_r h_{t-1}) + b_r),
            \quad z_t \text{ likewise} \\
        n_t &= \tanh(\gamma_n \odot \mathrm{norm}(W_n x_t) + b_n
            + r_t \odot \delta_n \odot \mathrm{norm}(U_n h_{t-1})) \\
        h_t &= (1 - z_t) \odot n_t + z_t \odot h_{t-1}

    norm is defined as in `LayerNormLSTMCell`.

    Shapes: ``x: [..., D]``, carry ``h: [..., H]``, output ``h``. Parameters, gates r, z, n first: ``kernel: [3, H, D]``
    (W), ``recurrent_kernel: [3, H, H]`` (U), ``bias: [3, H]`` (b), ``scale: [2, 3, H]`` (gamma, delta). Arguments and
    errors are those of `GRUCell`, without its functions.

    Source: Ba, Kiros & Hinton (2016), "Layer normalization".
    """

    def __init__(
        self,
        in_features: int,
        hidden_features: int,
        *,
        update_bias: float | Initializer = 0.0,
        kernel_init: Initializer = initializers.lecun_normal(),
        recurrent_kernel_init: Initializer = initializers.orthogonal(),
        bias_init: Initializer = initializers.zeros,
        carry_init: Initializer | None = None,
        dtype: Any = None,
        param_dtype: Any = jnp.float32,
        rngs: nnx.Rngs,
    ):
        check_size("LayerNormGRUCell", in_features=in_features, hidden_features=hidden_features)
        D, H = self.in_features, self.hidden_features = in_features, hidden_features
        self.carry_init, self.dtype = carry_init, dtype
        keys = jax.random.split(rngs.params(), 4)
        self.kernel = Kernel.draw(kernel_init, keys[0], 3, (D, H), param_dtype)
        self.recurrent_kernel = Kernel.draw(recurrent_kernel_init, keys[1], 3, (H, H), param_dtype)
        b = per_gate(bias_init, keys[2], 3, (H,), param_dtype)
        self.bias = nnx.Param(b.at[1].set(keep_bias(update_bias, keys[3], (H,), param_dtype)))
        self.scale = nnx.Param(jnp.ones((2, 3, H), param_dtype))

    def __call__(self, carry: jax.Array, inputs: jax.Array) -> tuple[jax.Array, jax.Array]:
        """One step, ``(h, x) -> (h', h')``."""
        cell: Any
        cell, h, x = self.promote(carry, self.check_features(inputs))
        _, z, n = cell.gates(h, x)
        h = (1 - z) * n + z * h
        return h, h

    def gates(self, carry: jax.Array, x: jax.Array) -> GRUGates:
        """The gates used in the step from ``carry`` with ``x``, after their activations."""
        a_r, a_z, a_n = _scaled(affine(x, self.kernel), self.scale[...][0], self.bias[...])
        m_r, m_z, m_n = _scaled(affine(carry, self.recurrent_kernel), self.scale[...][1])
        r, z = jax.nn.sigmoid(a_r + m_r), jax.nn.sigmoid(a_z + m_z)
        return GRUGates(r, z, jnp.tanh(a_n + r * m_n))


def norm(a: jax.Array) -> jax.Array:
    """``(a - mean) / sqrt(variance + 1e-5)`` along the last axis."""
    centred = a - a.mean(axis=-1, keepdims=True)
    return centred * jax.lax.rsqrt(jnp.mean(centred**2, axis=-1, keepdims=True) + EPSILON)


def _normalized(cell: Any, h: jax.Array, x: jax.Array) -> list[jax.Array]:
    """The pre-activations of each gate."""
    inputs = _scaled(affine(x, cell.kernel), cell.scale[...][0], cell.bias[...])
    return [a + b for a, b in zip(inputs, _scaled(affine(h, cell.recurrent_kernel), cell.scale[...][1]), strict=True)]


def _scaled(parts: tuple[jax.Array, ...], scale: jax.Array, bias: jax.Array | None = None) -> list[jax.Array]:
    """``scale norm(part) + bias`` of each gate."""
    scaled = [like(row, part) * norm(part) for row, part in zip(scale, parts, strict=True)]
    return scaled if bias is None else [a + like(row, a) for a, row in zip(scaled, bias, strict=True)]
