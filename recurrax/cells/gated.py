"""The LSTM and the GRU, whose gates control writing, keeping and reading."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx

from recurrax import initializers
from recurrax.cell import Cell, Structure, preactivations
from recurrax.cells.affine import AffineCell
from recurrax.initializers import Chrono, Initializer, keep_bias, per_gate
from recurrax.kernels import Kernel, RecurrentKernel, affine, check_size, like

Activation = Callable[[jax.Array], jax.Array]


class LSTMGates(NamedTuple):
    """Forget gate f, input gate i, candidate c~, output gate o: arrays ``[..., H]``, ordered as the parameters."""

    f: jax.Array
    i: jax.Array
    c_tilde: jax.Array
    o: jax.Array


class GRUGates(NamedTuple):
    """Reset gate r, update gate z (it keeps the state), candidate n: arrays ``[..., H]``, ordered as the parameters."""

    r: jax.Array
    z: jax.Array
    n: jax.Array


class LSTMCell(AffineCell):
    r"""Long short-term memory with a forget gate.

    .. math::
        f_t &= \sigma(W_f x_t + U_f h_{t-1} + b_f) \\
        i_t &= \sigma(W_i x_t + U_i h_{t-1} + b_i) \\
        \tilde c_t &= \tanh(W_c x_t + U_c h_{t-1} + b_c) \\
        C_t &= f_t \odot C_{t-1} + i_t \odot \tilde c_t \\
        o_t &= \sigma(W_o x_t + U_o h_{t-1} + b_o) \\
        h_t &= o_t \odot \tanh(C_t)

    Shapes: ``x: [..., D]``, carry ``(C, h)``, both ``[..., H]``, output ``h``. Parameters, gates f, i, c~, o first:
    ``kernel: [4, H, D]`` (W), ``recurrent_kernel: [4, H, H]`` (U), ``bias: [4, H]`` (b).

    Args:
        in_features: D.
        hidden_features: H.
        gate_fn: the three sigmoids above.
        activation_fn: the two tanh above.
        forget_bias: ``b_f``; a number (default 1, which keeps 73% per step at the start; 0 keeps 50%), or `Chrono`,
            which then also sets ``b_i = -b_f``. It replaces what bias_init drew for that gate.
        kernel_init: initialiser of each gate's W.
        recurrent_kernel_init: initialiser of each gate's U; orthogonal for each gate by default.
        bias_init: initialiser of the other gates' b.
        carry_init: initialiser of the initial carry, which then needs keys; zeros by default.
        dtype: dtype of the computation; None uses the promoted dtype of inputs and parameters.
        param_dtype: dtype of the parameters.
        rngs: source of keys (``rngs.params``).

    Raises:
        ValueError: a size is not a positive int.

    Source: Hochreiter & Schmidhuber (1997); forget gate: Gers, Schmidhuber & Cummins (2000); its bias of 1:
    Jozefowicz, Zaremba & Sutskever (2015).
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
        kernel_init: Initializer = initializers.lecun_normal(),
        recurrent_kernel_init: Initializer = initializers.orthogonal(),
        bias_init: Initializer = initializers.zeros,
        carry_init: Initializer | None = None,
        dtype: Any = None,
        param_dtype: Any = jnp.float32,
        rngs: nnx.Rngs,
    ):
        check_size("LSTMCell", in_features=in_features, hidden_features=hidden_features)
        D, H = self.in_features, self.hidden_features = in_features, hidden_features
        self.gate_fn, self.activation_fn = gate_fn, activation_fn
        self.carry_init, self.dtype = carry_init, dtype
        keys = jax.random.split(rngs.params(), 4)
        self.kernel = Kernel.draw(kernel_init, keys[0], 4, (D, H), param_dtype)
        self.recurrent_kernel = RecurrentKernel.draw(recurrent_kernel_init, keys[1], 4, (H, H), param_dtype)
        b = LSTMGates(*per_gate(bias_init, keys[2], 4, (H,), param_dtype))
        b = b._replace(f=keep_bias(forget_bias, keys[3], (H,), param_dtype))
        if isinstance(forget_bias, Chrono):
            b = b._replace(i=-b.f)
        self.bias = nnx.Param(jnp.stack(b))

    def update(self, carry: tuple[jax.Array, jax.Array], a: tuple[jax.Array, ...]) -> tuple[jax.Array, jax.Array]:
        """The six equations above, from the pre-activations ``a_f, a_i, a_c, a_o``."""
        C, _ = carry
        a_f, a_i, a_c, a_o = a
        f = self.gate_fn(a_f)
        i = self.gate_fn(a_i)
        c_tilde = self.activation_fn(a_c)
        C = f * C + i * c_tilde
        o = self.gate_fn(a_o)
        h = o * self.activation_fn(C)
        return C, h

    def gates(self, carry: tuple[jax.Array, jax.Array], x: jax.Array) -> LSTMGates:
        """The gates used in the step from ``carry`` with ``x``, after their activations."""
        f, i, c_tilde, o = preactivations(self.project(x), self.mix(carry))
        return LSTMGates(self.gate_fn(f), self.gate_fn(i), self.activation_fn(c_tilde), self.gate_fn(o))


class GRUCell(Cell):
    r"""Gated recurrent unit.

    .. math::
        r_t &= \sigma(W_r x_t + b_r + U_r h_{t-1}) \\
        z_t &= \sigma(W_z x_t + b_z + U_z h_{t-1}) \\
        n_t &= \tanh(W_n x_t + b_n + r_t \odot (U_n h_{t-1} + b_{hn})) \\
        h_t &= (1 - z_t) \odot n_t + z_t \odot h_{t-1}

    This is the form of PyTorch, cuDNN and Keras (``reset_after``). With ``reset_after=False`` it is the form of 2014,
    :math:`n_t = \tanh(W_n x_t + b_n + U_n (r_t \odot h_{t-1}))`. Its two successive matrix products give it the
    structure GENERAL: all engines that scan can run it, but more slowly, and there is no ``b_hn``. In the paper z
    keeps the old state too; Chung et al. (2014) write 1 - z for our z.

    Shapes: ``x: [..., D]``, carry ``h: [..., H]``, output ``h``. Parameters, gates r, z, n first:
    ``kernel: [3, H, D]`` (W), ``recurrent_kernel: [3, H, H]`` (U), ``bias: [3, H]`` (b), ``recurrent_bias: [H]``
    (b_hn).

    Args:
        in_features: D.
        hidden_features: H.
        gate_fn: the two sigmoids above.
        activation_fn: the tanh above.
        reset_after: reset the product ``U_n h`` (True) or the state before it (False).
        update_bias: ``b_z``; a number (default 0, which keeps 50% per step at the start), or `Chrono`.
        kernel_init: initialiser of each gate's W.
        recurrent_kernel_init: initialiser of each gate's U; orthogonal for each gate by default.
        bias_init: initialiser of the other gates' b, and of b_hn.
        carry_init: initialiser of the initial carry, which then needs keys; zeros by default.
        dtype: dtype of the computation; None uses the promoted dtype of inputs and parameters.
        param_dtype: dtype of the parameters.
        rngs: source of keys (``rngs.params``).

    Raises:
        ValueError: a size is not a positive int.

    Source: Cho et al. (2014), "Learning phrase representations using RNN encoder-decoder".
    """

    structure = Structure.DENSE

    def __init__(
        self,
        in_features: int,
        hidden_features: int,
        *,
        gate_fn: Activation = jax.nn.sigmoid,
        activation_fn: Activation = jnp.tanh,
        reset_after: bool = True,
        update_bias: float | Initializer = 0.0,
        kernel_init: Initializer = initializers.lecun_normal(),
        recurrent_kernel_init: Initializer = initializers.orthogonal(),
        bias_init: Initializer = initializers.zeros,
        carry_init: Initializer | None = None,
        dtype: Any = None,
        param_dtype: Any = jnp.float32,
        rngs: nnx.Rngs,
    ):
        check_size("GRUCell", in_features=in_features, hidden_features=hidden_features)
        D, H = self.in_features, self.hidden_features = in_features, hidden_features
        self.gate_fn, self.activation_fn, self.reset_after = gate_fn, activation_fn, reset_after
        self.carry_init, self.dtype = carry_init, dtype
        if not reset_after:
            self.structure = Structure.GENERAL
        keys = jax.random.split(rngs.params(), 5)
        self.kernel = Kernel.draw(kernel_init, keys[0], 3, (D, H), param_dtype)
        self.recurrent_kernel = RecurrentKernel.draw(recurrent_kernel_init, keys[1], 3, (H, H), param_dtype)
        b = GRUGates(*per_gate(bias_init, keys[2], 3, (H,), param_dtype))
        b = b._replace(z=keep_bias(update_bias, keys[3], (H,), param_dtype))
        self.bias = nnx.Param(jnp.stack(b))
        if reset_after:
            self.recurrent_bias = nnx.Param(bias_init(keys[4], (H,), param_dtype))

    def project(self, x: jax.Array) -> tuple[jax.Array | None, ...]:
        """``W_g x + b_g`` of r, z and n, and None for the product that r resets."""
        return (*affine(x, self.kernel, self.bias), None)

    def mix(self, carry: jax.Array) -> tuple[jax.Array | None, ...]:
        """``U_r h``, ``U_z h``, None for n, and ``m = U_n h + b_hn``, which r resets."""
        if not self.reset_after:
            raise NotImplementedError(self._has_no("mix"))
        r, z, m = affine(carry, self.recurrent_kernel)
        return r, z, None, m + like(self.recurrent_bias[...], m)

    def update(self, carry: jax.Array, a: tuple[jax.Array, ...]) -> jax.Array:
        """The four equations above, from ``a_r, a_z, a_n`` and ``m = U_n h + b_hn``."""
        a_r, a_z, a_n, m = a
        r = self.gate_fn(a_r)
        z = self.gate_fn(a_z)
        n = self.activation_fn(a_n + r * m)
        return (1 - z) * n + z * carry

    def __call__(self, carry: jax.Array, inputs: jax.Array) -> tuple[jax.Array, jax.Array]:
        """One step, ``(h, x) -> (h', h')``."""
        if self.reset_after:
            return super().__call__(carry, inputs)
        promoted, h, x = self.promote(carry, self.check_features(inputs))
        _, z, n = promoted.gates(h, x)  # type: ignore[attr-defined]
        h = (1 - z) * n + z * h
        return h, h

    def gates(self, carry: jax.Array, x: jax.Array) -> GRUGates:
        """The gates used in the step from ``carry`` with ``x``, after their activations."""
        if self.reset_after:
            a_r, a_z, a_n, m = preactivations(self.project(x), self.mix(carry))
            r = self.gate_fn(a_r)
            return GRUGates(r, self.gate_fn(a_z), self.activation_fn(a_n + r * m))
        W_r, W_z, W_n, _ = self.project(x)
        U_r, U_z, U_n = self.recurrent_kernel[...]
        r, z = self.gate_fn(W_r + carry @ U_r.T), self.gate_fn(W_z + carry @ U_z.T)
        return GRUGates(r, z, self.activation_fn(W_n + (r * carry) @ U_n.T))
