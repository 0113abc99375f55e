r"""The LSTM with peepholes, with a projection, with layer normalisation, and with a multiplicative state."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from recurrax import initializers
from recurrax.cell import Cell, preactivations
from recurrax.cells.gated import Activation, LSTMGates
from recurrax.initializers import Initializer, keep_bias, per_gate
from recurrax.kernels import Kernel, RecurrentKernel, affine, check_size, like

State = tuple[jax.Array, jax.Array]


class PeepholeLSTMCell(Cell):
    r"""LSTM with peepholes: the gates of each unit also see its own cell state.

    .. math::
        f_t &= \sigma(W_f x_t + U_f h_{t-1} + p_f \odot C_{t-1} + b_f) \\
        i_t &= \sigma(W_i x_t + U_i h_{t-1} + p_i \odot C_{t-1} + b_i) \\
        C_t &= f_t \odot C_{t-1} + i_t \odot \tanh(W_c x_t + U_c h_{t-1} + b_c) \\
        o_t &= \sigma(W_o x_t + U_o h_{t-1} + p_o \odot C_t + b_o), \qquad h_t = o_t \odot \tanh(C_t)

    Shapes and parameters are those of `LSTMCell`, plus ``peephole: [3, H]`` (p of f, i, o).

    Args:
        in_features: D.
        hidden_features: H.
        gate_fn: the sigmoids above.
        activation_fn: the two tanh above.
        forget_bias: ``b_f``, a number or an initialiser.
        peephole_init: initialiser of each p.
        kernel_init: initialiser of each gate's W.
        recurrent_kernel_init: initialiser of each gate's U.
        bias_init: initialiser of the other gates' b.
        carry_init: initialiser of the initial carry, which then needs keys; zeros by default.
        dtype: dtype of the computation; None uses the promoted dtype of inputs and parameters.
        param_dtype: dtype of the parameters.
        rngs: source of keys (``rngs.params``).

    Raises:
        ValueError: a size is not a positive int.

    Source: Gers & Schmidhuber (2000), "Recurrent nets that time and count".
    """

    states = ("c", "h")

    def __init__(
        self,
        in_features: int,
        hidden_features: int,
        *,
        gate_fn: Activation = jax.nn.sigmoid,
        activation_fn: Activation = jnp.tanh,
        forget_bias: float | Initializer = 1.0,
        peephole_init: Initializer = initializers.normal(0.1),
        kernel_init: Initializer = initializers.lecun_normal(),
        recurrent_kernel_init: Initializer = initializers.orthogonal(),
        bias_init: Initializer = initializers.zeros,
        carry_init: Initializer | None = None,
        dtype: Any = None,
        param_dtype: Any = jnp.float32,
        rngs: nnx.Rngs,
    ):
        check_size("PeepholeLSTMCell", in_features=in_features, hidden_features=hidden_features)
        D, H = self.in_features, self.hidden_features = in_features, hidden_features
        self.gate_fn, self.activation_fn = gate_fn, activation_fn
        self.carry_init, self.dtype = carry_init, dtype
        keys = jax.random.split(rngs.params(), 5)
        self.kernel = Kernel.draw(kernel_init, keys[0], 4, (D, H), param_dtype)
        self.recurrent_kernel = RecurrentKernel.draw(recurrent_kernel_init, keys[1], 4, (H, H), param_dtype)
        b = per_gate(bias_init, keys[2], 4, (H,), param_dtype)
        self.bias = nnx.Param(b.at[0].set(keep_bias(forget_bias, keys[3], (H,), param_dtype)))
        self.peephole = nnx.Param(per_gate(peephole_init, keys[4], 3, (H,), param_dtype))

    def project(self, x: jax.Array) -> tuple[jax.Array | None, ...]:
        """``W_g x + b_g`` of each gate, and None for the peephole of o."""
        return (*affine(x, self.kernel, self.bias), None)

    def mix(self, carry: State) -> tuple[jax.Array, ...]:
        """``U_g h + p_g C`` of f and i, ``U_g h`` of c~ and o, and p_o, because o sees the new C."""
        C, h = carry
        f, i, c_tilde, o = affine(h, self.recurrent_kernel)
        p_f, p_i, p_o = self.peephole[...]
        return f + like(p_f, C) * C, i + like(p_i, C) * C, c_tilde, o, jnp.broadcast_to(like(p_o, C), C.shape)

    def update(self, carry: State, a: tuple[jax.Array, ...]) -> State:
        """The equations above, from the pre-activations and p_o."""
        C, _ = carry
        a_f, a_i, a_c, a_o, p_o = a
        C = self.gate_fn(a_f) * C + self.gate_fn(a_i) * self.activation_fn(a_c)
        o = self.gate_fn(a_o + p_o * C)
        return C, o * self.activation_fn(C)

    def gates(self, carry: State, x: jax.Array) -> LSTMGates:
        """The gates used in the step from ``carry`` with ``x``, after their activations."""
        a_f, a_i, a_c, a_o, p_o = a = preactivations(self.project(x), self.mix(carry))
        C, _ = self.update(carry, a)
        return LSTMGates(self.gate_fn(a_f), self.gate_fn(a_i), self.activation_fn(a_c), self.gate_fn(a_o + p_o * C))


class ProjectedLSTMCell(Cell):
    r"""LSTM with a projected output, so that the gates and the next layer see fewer features than the cell state has.

    .. math::
        a_g &= W_g x_t + U_g P h_{t-1} + b_g \quad \text{for g in f, i, c, o} \\
        C_t &= \sigma(a_f) \odot C_{t-1} + \sigma(a_i) \odot \tanh(a_c), \quad h_t = \sigma(a_o) \odot \tanh(C_t),
            \quad y_t = P h_t

    The carry holds h before its projection, so that ``update`` needs no parameters. It is PyTorch's LSTM with
    ``proj_size``.

    Shapes: ``x: [..., D]``, carry ``(C, h)``, both ``[..., H]``, output ``y: [..., R]``. Parameters, gates f, i, c~, o
    first: ``kernel: [4, H, D]`` (W), ``recurrent_kernel: [4, H, R]`` (U), ``bias: [4, H]`` (b), ``projection: [R, H]``
    (P).

    Args:
        in_features: D.
        hidden_features: H.
        projection_features: R; None is H / 2, rounded up.
        forget_bias: ``b_f``, a number or an initialiser.
        kernel_init: initialiser of each gate's W.
        recurrent_kernel_init: initialiser of each gate's U, drawn as ``(R, H)``, and of P.
        bias_init: initialiser of the other gates' b.
        carry_init: initialiser of the initial carry, which then needs keys; zeros by default.
        dtype: dtype of the computation; None uses the promoted dtype of inputs and parameters.
        param_dtype: dtype of the parameters.
        rngs: source of keys (``rngs.params``).

    Raises:
        ValueError: a size is not a positive int.

    Source: Sak, Senior & Beaufays (2014), "Long short-term memory recurrent neural network architectures for large
    scale acoustic modeling".
    """

    states = ("c", "h")

    def __init__(
        self,
        in_features: int,
        hidden_features: int,
        projection_features: int | None = None,
        *,
        forget_bias: float | Initializer = 1.0,
        kernel_init: Initializer = initializers.lecun_normal(),
        recurrent_kernel_init: Initializer = initializers.lecun_normal(),
        bias_init: Initializer = initializers.zeros,
        carry_init: Initializer | None = None,
        dtype: Any = None,
        param_dtype: Any = jnp.float32,
        rngs: nnx.Rngs,
    ):
        check_size("ProjectedLSTMCell", in_features=in_features, hidden_features=hidden_features)
        D, H = self.in_features, self.hidden_features = in_features, hidden_features
        R = self.projection_features = (H + 1) // 2 if projection_features is None else projection_features
        check_size("ProjectedLSTMCell", projection_features=R)
        self.carry_init, self.dtype = carry_init, dtype
        keys = jax.random.split(rngs.params(), 5)
        self.kernel = Kernel.draw(kernel_init, keys[0], 4, (D, H), param_dtype)
        self.recurrent_kernel = RecurrentKernel.draw(recurrent_kernel_init, keys[1], 4, (R, H), param_dtype)
        b = per_gate(bias_init, keys[2], 4, (H,), param_dtype)
        self.bias = nnx.Param(b.at[0].set(keep_bias(forget_bias, keys[3], (H,), param_dtype)))
        self.projection = nnx.Param(per_gate(recurrent_kernel_init, keys[4], 1, (H, R), param_dtype)[0].T)

    @property
    def out_features(self) -> int:
        """R."""
        return self.projection_features

    def project(self, x: jax.Array) -> tuple[jax.Array, ...]:
        """``W_g x + b_g`` of each gate."""
        return affine(x, self.kernel, self.bias)

    def mix(self, carry: State) -> tuple[jax.Array, ...]:
        """``U_g P h`` of each gate."""
        return affine(carry[-1] @ self.projection[...].T, self.recurrent_kernel)

    def update(self, carry: State, a: tuple[jax.Array, ...]) -> State:
        """C and h, from the pre-activations."""
        C, _ = carry
        a_f, a_i, a_c, a_o = a
        C = jax.nn.sigmoid(a_f) * C + jax.nn.sigmoid(a_i) * jnp.tanh(a_c)
        return C, jax.nn.sigmoid(a_o) * jnp.tanh(C)

    def readout(self, carry: State, x: jax.Array) -> jax.Array:
        """``y = P h``."""
        del x
        return carry[-1] @ self.projection[...].T

    def gates(self, carry: State, x: jax.Array) -> LSTMGates:
        """The gates used in the step from ``carry`` with ``x``, after their activations."""
        f, i, c_tilde, o = preactivations(self.project(x), self.mix(carry))
        return LSTMGates(jax.nn.sigmoid(f), jax.nn.sigmoid(i), jnp.tanh(c_tilde), jax.nn.sigmoid(o))


class MultiplicativeLSTMCell(Cell):
    r"""Multiplicative LSTM: the effective recurrent weights depend on the input.

    .. math::
        m_t &= (W_m x_t) \odot (U_m h_{t-1}) \\
        a_g &= W_g x_t + U_g m_t + b_g \quad \text{for g in f, i, c, o} \\
        C_t &= \sigma(a_f) \odot C_{t-1} + \sigma(a_i) \odot a_c, \qquad h_t = \tanh(C_t \odot \sigma(a_o))

    As in the paper, the candidate has no tanh, and the output gate stands inside the tanh. The structure is GENERAL
    because of the two successive matrix products.

    Shapes: ``x: [..., D]``, carry ``(C, h)``, both ``[..., H]``, output ``h``. Parameters, gates f, i, c~, o, m first:
    ``kernel: [5, H, D]`` (W), ``recurrent_kernel: [5, H, H]`` (U), ``bias: [4, H]`` (b). Arguments and errors are those
    of `LSTMCell`, without its functions.

    Source: Krause, Lu, Murray & Renals (2016), "Multiplicative LSTM for sequence modelling".
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
        check_size("MultiplicativeLSTMCell", in_features=in_features, hidden_features=hidden_features)
        D, H = self.in_features, self.hidden_features = in_features, hidden_features
        self.carry_init, self.dtype = carry_init, dtype
        keys = jax.random.split(rngs.params(), 4)
        self.kernel = Kernel.draw(kernel_init, keys[0], 5, (D, H), param_dtype)
        self.recurrent_kernel = Kernel.draw(recurrent_kernel_init, keys[1], 5, (H, H), param_dtype)
        b = per_gate(bias_init, keys[2], 4, (H,), param_dtype)
        self.bias = nnx.Param(b.at[0].set(keep_bias(forget_bias, keys[3], (H,), param_dtype)))

    def __call__(self, carry: State, inputs: jax.Array) -> tuple[State, jax.Array]:
        """One step, ``((C, h), x) -> ((C', h'), h')``."""
        cell: Any
        cell, carry, x = self.promote(carry, self.check_features(inputs))
        f, i, c_tilde, o = cell.gates(carry, x)
        C = f * carry[0] + i * c_tilde
        h = jnp.tanh(C * o)
        return (C, h), h

    def gates(self, carry: State, x: jax.Array) -> LSTMGates:
        """The gates used in the step from ``carry`` with ``x``, after their activations."""
        W, U = self.kernel[...], self.recurrent_kernel[...]
        (W_m,), (U_m,) = affine(x, W[4:]), affine(carry[-1], U[4:])
        f, i, c_tilde, o = preactivations(affine(x, W[:4], self.bias), affine(W_m * U_m, U[:4]))
        return LSTMGates(jax.nn.sigmoid(f), jax.nn.sigmoid(i), c_tilde, jax.nn.sigmoid(o))
