"""LSTMs without one of the gates, which show what the gate contributes; names and forms follow Greff et al. (2017)."""

from __future__ import annotations

import abc
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx

from recurrax import initializers
from recurrax.cell import preactivations
from recurrax.cells.affine import AffineCell
from recurrax.initializers import Chrono, Initializer, keep_bias, per_gate
from recurrax.kernels import Kernel, RecurrentKernel, check_size

Activation = Callable[[jax.Array], jax.Array]
Carry = tuple[jax.Array, jax.Array]


class AblatedLSTM(AffineCell):
    r"""Abstract base class of the four cells below.

    .. math::
        g_t &= \sigma(W_g x_t + U_g h_{t-1} + b_g) \quad \text{for each gate } g \text{ that the cell has} \\
        \tilde c_t &= \tanh(W_c x_t + U_c h_{t-1} + b_c)

    Shapes: ``x: [..., D]``, carry ``(C, h)``, both ``[..., H]``, output ``h``. Parameters, gates first in the order of
    ``Gates``: ``kernel: [G, H, D]`` (W), ``recurrent_kernel: [G, H, H]`` (U), ``bias: [G, H]`` (b).

    Args:
        in_features: D.
        hidden_features: H.
        gate_fn: the sigmoids.
        activation_fn: the tanh of the candidate, and the tanh of C in h.
        forget_bias: ``b_f``; a number (default 1, as in `LSTMCell`), or `Chrono`, which then also sets ``b_i = -b_f``
            where the cell has an input gate. It replaces what bias_init drew for that gate.
        kernel_init: initialiser of each gate's W.
        recurrent_kernel_init: initialiser of each gate's U; orthogonal for each gate by default.
        bias_init: initialiser of the other gates' b.
        carry_init: initialiser of the initial carry, which then needs keys; zeros by default.
        dtype: dtype of the computation; None uses the promoted dtype of inputs and parameters.
        param_dtype: dtype of the parameters.
        rngs: source of keys (``rngs.params``).

    Raises:
        ValueError: a size is not a positive int.

    Source: Greff, Srivastava, Koutník, Steunebrink & Schmidhuber (2017), "LSTM: A search space odyssey".
    """

    states = ("c", "h")
    Gates: type[Any]  # a NamedTuple: the gates of the cell, including the candidate c_tilde

    def __init__(
        self,
        in_features: int,
        hidden_features: int,
        *,
        gate_fn: Activation = jax.nn.sigmoid,
        activation_fn: Activation = jnp.tanh,
        forget_bias: float | Initializer = 1.0,
        kernel_init: Initializer = initializers.lecun_normal(),
        recurrent_kernel_init: Initializer = initializers.orthogonal(),
        bias_init: Initializer = initializers.zeros,
        carry_init: Initializer | None = None,
        dtype: Any = None,
        param_dtype: Any = jnp.float32,
        rngs: nnx.Rngs,
    ):
        check_size(type(self).__name__, in_features=in_features, hidden_features=hidden_features)
        D, H, G = in_features, hidden_features, len(self.Gates._fields)
        self.in_features, self.hidden_features = D, H
        self.gate_fn, self.activation_fn = gate_fn, activation_fn
        self.carry_init, self.dtype = carry_init, dtype
        keys = jax.random.split(rngs.params(), 4)
        self.kernel = Kernel.draw(kernel_init, keys[0], G, (D, H), param_dtype)
        self.recurrent_kernel = RecurrentKernel.draw(recurrent_kernel_init, keys[1], G, (H, H), param_dtype)
        b = self.Gates(*per_gate(bias_init, keys[2], G, (H,), param_dtype))
        if hasattr(b, "f"):
            b = b._replace(f=keep_bias(forget_bias, keys[3], (H,), param_dtype))
            if isinstance(forget_bias, Chrono) and hasattr(b, "i"):
                b = b._replace(i=-b.f)
        self.bias = nnx.Param(jnp.stack(b))

    @abc.abstractmethod
    def update(self, carry: Carry, a: tuple[jax.Array, ...]) -> Carry:
        """The new ``(C, h)`` by the equations of the cell."""

    def gates(self, carry: Carry, x: jax.Array) -> Any:
        """The gates used in the step from ``carry`` with ``x``, after their activations."""
        return self._activate(preactivations(self.project(x), self.mix(carry)))

    def _activate(self, a: tuple[jax.Array, ...]) -> Any:
        named = zip(self.Gates._fields, a, strict=True)
        return self.Gates(*((self.activation_fn if g == "c_tilde" else self.gate_fn)(a_g) for g, a_g in named))


class NFGGates(NamedTuple):
    """Input gate i, candidate c~, output gate o: arrays ``[..., H]``, in the order of the parameters."""

    i: jax.Array
    c_tilde: jax.Array
    o: jax.Array


class NoForgetGateCell(AblatedLSTM):
    r"""LSTM without a forget gate (NFG), f = 1: the state only accumulates, as in the constant error carousel of 1997.

    .. math::
        i_t &= \sigma(W_i x_t + U_i h_{t-1} + b_i) \\
        \tilde c_t &= \tanh(W_c x_t + U_c h_{t-1} + b_c) \\
        C_t &= C_{t-1} + i_t \odot \tilde c_t \\
        o_t &= \sigma(W_o x_t + U_o h_{t-1} + b_o) \\
        h_t &= o_t \odot \tanh(C_t)

    Shapes: ``x: [..., D]``, carry ``(C, h)``, both ``[..., H]``, output ``h``. Parameters, gates i, c~, o first:
    ``kernel: [3, H, D]`` (W), ``recurrent_kernel: [3, H, H]`` (U), ``bias: [3, H]`` (b). Arguments and errors are those
    of `AblatedLSTM`, without ``forget_bias``.

    Source: Hochreiter & Schmidhuber (1997); Greff et al. (2017).
    """

    Gates = NFGGates

    def __init__(
        self,
        in_features: int,
        hidden_features: int,
        *,
        gate_fn: Activation = jax.nn.sigmoid,
        activation_fn: Activation = jnp.tanh,
        kernel_init: Initializer = initializers.lecun_normal(),
        recurrent_kernel_init: Initializer = initializers.orthogonal(),
        bias_init: Initializer = initializers.zeros,
        carry_init: Initializer | None = None,
        dtype: Any = None,
        param_dtype: Any = jnp.float32,
        rngs: nnx.Rngs,
    ):
        super().__init__(
            in_features,
            hidden_features,
            gate_fn=gate_fn,
            activation_fn=activation_fn,
            kernel_init=kernel_init,
            recurrent_kernel_init=recurrent_kernel_init,
            bias_init=bias_init,
            carry_init=carry_init,
            dtype=dtype,
            param_dtype=param_dtype,
            rngs=rngs,
        )

    def update(self, carry: Carry, a: tuple[jax.Array, ...]) -> Carry:
        """``C = C + i c~``, ``h = o tanh(C)``."""
        C, _ = carry
        i, c_tilde, o = self._activate(a)
        C = C + i * c_tilde
        h = o * self.activation_fn(C)
        return C, h


class NIGGates(NamedTuple):
    """Forget gate f, candidate c~, output gate o: arrays ``[..., H]``, in the order of the parameters."""

    f: jax.Array
    c_tilde: jax.Array
    o: jax.Array


class NoInputGateCell(AblatedLSTM):
    r"""LSTM without an input gate (NIG), i = 1: every candidate is written in full.

    .. math::
        f_t &= \sigma(W_f x_t + U_f h_{t-1} + b_f) \\
        \tilde c_t &= \tanh(W_c x_t + U_c h_{t-1} + b_c) \\
        C_t &= f_t \odot C_{t-1} + \tilde c_t \\
        o_t &= \sigma(W_o x_t + U_o h_{t-1} + b_o) \\
        h_t &= o_t \odot \tanh(C_t)

    Shapes: ``x: [..., D]``, carry ``(C, h)``, both ``[..., H]``, output ``h``. Parameters, gates f, c~, o first:
    ``kernel: [3, H, D]`` (W), ``recurrent_kernel: [3, H, H]`` (U), ``bias: [3, H]`` (b). Arguments
    and errors are those of `AblatedLSTM`.

    Source: Greff et al. (2017).
    """

    Gates = NIGGates

    def update(self, carry: Carry, a: tuple[jax.Array, ...]) -> Carry:
        """``C = f C + c~``, ``h = o tanh(C)``."""
        C, _ = carry
        f, c_tilde, o = self._activate(a)
        C = f * C + c_tilde
        h = o * self.activation_fn(C)
        return C, h


class NOGGates(NamedTuple):
    """Forget gate f, input gate i, candidate c~: arrays ``[..., H]``, in the order of the parameters."""

    f: jax.Array
    i: jax.Array
    c_tilde: jax.Array


class NoOutputGateCell(AblatedLSTM):
    r"""LSTM without an output gate (NOG), o = 1: the output shows the whole cell state.

    .. math::
        f_t &= \sigma(W_f x_t + U_f h_{t-1} + b_f) \\
        i_t &= \sigma(W_i x_t + U_i h_{t-1} + b_i) \\
        \tilde c_t &= \tanh(W_c x_t + U_c h_{t-1} + b_c) \\
        C_t &= f_t \odot C_{t-1} + i_t \odot \tilde c_t \\
        h_t &= \tanh(C_t)

    Shapes: ``x: [..., D]``, carry ``(C, h)``, both ``[..., H]``, output ``h``. Parameters, gates f, i, c~ first:
    ``kernel: [3, H, D]`` (W), ``recurrent_kernel: [3, H, H]`` (U), ``bias: [3, H]`` (b). Arguments
    and errors are those of `AblatedLSTM`.

    Source: Greff et al. (2017).
    """

    Gates = NOGGates

    def update(self, carry: Carry, a: tuple[jax.Array, ...]) -> Carry:
        """``C = f C + i c~``, ``h = tanh(C)``."""
        C, _ = carry
        f, i, c_tilde = self._activate(a)
        C = f * C + i * c_tilde
        h = self.activation_fn(C)
        return C, h


class CIFGGates(NamedTuple):
    """Forget gate f, candidate c~, output gate o: arrays ``[..., H]``, in the order of the parameters."""

    f: jax.Array
    c_tilde: jax.Array
    o: jax.Array


class CIFGCell(AblatedLSTM):
    r"""LSTM with coupled input and forget gates (CIFG), i = 1 - f: the cell writes exactly as much as it forgets.

    .. math::
        f_t &= \sigma(W_f x_t + U_f h_{t-1} + b_f) \\
        \tilde c_t &= \tanh(W_c x_t + U_c h_{t-1} + b_c) \\
        C_t &= f_t \odot C_{t-1} + (1 - f_t) \odot \tilde c_t \\
        o_t &= \sigma(W_o x_t + U_o h_{t-1} + b_o) \\
        h_t &= o_t \odot \tanh(C_t)

    Shapes: ``x: [..., D]``, carry ``(C, h)``, both ``[..., H]``, output ``h``. Parameters, gates f, c~, o first:
    ``kernel: [3, H, D]`` (W), ``recurrent_kernel: [3, H, H]`` (U), ``bias: [3, H]`` (b). Arguments
    and errors are those of `AblatedLSTM`.

    Source: Greff et al. (2017).
    """

    Gates = CIFGGates

    def update(self, carry: Carry, a: tuple[jax.Array, ...]) -> Carry:
        """``C = f C + (1 - f) c~``, ``h = o tanh(C)``."""
        C, _ = carry
        f, c_tilde, o = self._activate(a)
        C = f * C + (1 - f) * c_tilde
        h = o * self.activation_fn(C)
        return C, h
