"""Cells whose gates decide what is written, kept and read."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx

from recurrax import initializers
from recurrax.cell import Cell, InputKernels, Kernels, Structure, affine, check_size
from recurrax.initializers import Chrono, Initializer, keep_bias, per_gate

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


class LSTM(Cell):
    r"""Long short-term memory with a forget gate.

    .. math::
        f_t &= \sigma(W_f x_t + U_f h_{t-1} + b_f) \\
        i_t &= \sigma(W_i x_t + U_i h_{t-1} + b_i) \\
        \tilde c_t &= \tanh(W_c x_t + U_c h_{t-1} + b_c) \\
        C_t &= f_t \odot C_{t-1} + i_t \odot \tilde c_t \\
        o_t &= \sigma(W_o x_t + U_o h_{t-1} + b_o) \\
        h_t &= o_t \odot \tanh(C_t)

    Shapes: ``x: [..., D]``, carry ``(C, h)``, both ``[..., H]``, output ``h``. Parameters, gates f, i, c~, o first:
    ``kernel: [4, D, H]`` (W), ``recurrent_kernel: [4, H, H]`` (U), ``bias: [4, H]`` (b).

    Args:
        in_features: D.
        hidden_features: H.
        activation: the two tanh above.
        gate: the three sigmoids above.
        forget_bias: ``b_f``; a number (default 1, which keeps 73% per step at the start; 0 keeps 50%), or `Chrono`,
            which then also sets ``b_i = -b_f``. It replaces what bias_init drew for that gate.
        kernel_init: initialiser of each gate's W.
        recurrent_kernel_init: initialiser of each gate's U; orthogonal for each gate by default.
        bias_init: initialiser of the other gates' b.
        dtype: of the parameters, and so of carries and outputs.
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
        activation: Activation = jnp.tanh,
        gate: Activation = jax.nn.sigmoid,
        forget_bias: float | Initializer = 1.0,
        kernel_init: Initializer = initializers.lecun_normal(),
        recurrent_kernel_init: Initializer = initializers.orthogonal(),
        bias_init: Initializer = initializers.zeros,
        dtype=jnp.float32,
        rngs: nnx.Rngs,
    ):
        check_size("LSTM", in_features=in_features, hidden_features=hidden_features)
        D, H = self.in_features, self.hidden_features = in_features, hidden_features
        self.activation, self.gate = activation, gate
        keys = jax.random.split(rngs.params(), 4)
        self.kernel = InputKernels(per_gate(kernel_init, keys[0], 4, (D, H), dtype))
        self.recurrent_kernel = Kernels(per_gate(recurrent_kernel_init, keys[1], 4, (H, H), dtype))
        b = LSTMGates(*per_gate(bias_init, keys[2], 4, (H,), dtype))
        b = b._replace(f=keep_bias(forget_bias, keys[3], (H,), dtype))
        if isinstance(forget_bias, Chrono):
            b = b._replace(i=-b.f)
        self.bias = nnx.Param(jnp.stack(b))

    def project(self, x: jax.Array) -> LSTMGates:
        """``u_g = W_g x + b_g``."""
        return LSTMGates(*affine(x, self.kernel, self.bias))

    def mix(self, carry: tuple[jax.Array, jax.Array]) -> LSTMGates:
        """``v_g = U_g h``."""
        _, h = carry
        return LSTMGates(*affine(h, self.recurrent_kernel))

    def update(self, carry: tuple[jax.Array, jax.Array], u: LSTMGates, v: LSTMGates) -> tuple[jax.Array, jax.Array]:
        """``C = f C + i c~``, ``h = o tanh(C)``."""
        C, _ = carry
        f, i, c_tilde, o = self._activate(u, v)
        C = f * C + i * c_tilde
        h = o * self.activation(C)
        return C, h

    def gates(self, carry: tuple[jax.Array, jax.Array], x: jax.Array) -> LSTMGates:
        """The gates used in the step from ``carry`` with ``x``, after their activations."""
        return self._activate(self.project(x), self.mix(carry))

    def _activate(self, u: LSTMGates, v: LSTMGates) -> LSTMGates:
        f, i, c_tilde, o = (a + b for a, b in zip(u, v, strict=True))
        return LSTMGates(self.gate(f), self.gate(i), self.activation(c_tilde), self.gate(o))


class GRU(Cell):
    r"""Gated recurrent unit.

    .. math::
        r_t &= \sigma(W_r x_t + b_r + U_r h_{t-1}) \\
        z_t &= \sigma(W_z x_t + b_z + U_z h_{t-1}) \\
        n_t &= \tanh(W_n x_t + b_n + r_t \odot (U_n h_{t-1} + b_{hn})) \\
        h_t &= (1 - z_t) \odot n_t + z_t \odot h_{t-1}

    This is the form of PyTorch, cuDNN and Keras (``reset_after``). With ``reset_after=False`` it is that of 2014,
    :math:`n_t = \tanh(W_n x_t + b_n + U_n (r_t \odot h_{t-1}))`, whose two matrix products in a row make it a cell of
    structure GENERAL: same engines, slower path, no ``b_hn``. The paper writes 1 - z for our z.

    Shapes: ``x: [..., D]``, carry ``h: [..., H]``, output ``h``. Parameters, gates r, z, n first:
    ``kernel: [3, D, H]`` (W), ``recurrent_kernel: [3, H, H]`` (U), ``bias: [3, H]`` (b), ``recurrent_bias: [H]``
    (b_hn).

    Args:
        in_features: D.
        hidden_features: H.
        activation: the tanh above.
        gate: the two sigmoids above.
        reset_after: reset the product ``U_n h`` (True) or the state before it (False).
        update_bias: ``b_z``; a number (default 0, which keeps 50% per step at the start), or `Chrono`.
        kernel_init: initialiser of each gate's W.
        recurrent_kernel_init: initialiser of each gate's U; orthogonal for each gate by default.
        bias_init: initialiser of the other gates' b, and of b_hn.
        dtype: of the parameters, and so of carries and outputs.
        rngs: source of keys (``rngs.params``).

    Raises:
        ValueError: a size is not a positive int.

    Source: Cho et al. (2014), "Learning phrase representations using RNN encoder-decoder".
    """

    def __init__(
        self,
        in_features: int,
        hidden_features: int,
        *,
        activation: Activation = jnp.tanh,
        gate: Activation = jax.nn.sigmoid,
        reset_after: bool = True,
        update_bias: float | Initializer = 0.0,
        kernel_init: Initializer = initializers.lecun_normal(),
        recurrent_kernel_init: Initializer = initializers.orthogonal(),
        bias_init: Initializer = initializers.zeros,
        dtype=jnp.float32,
        rngs: nnx.Rngs,
    ):
        check_size("GRU", in_features=in_features, hidden_features=hidden_features)
        D, H = self.in_features, self.hidden_features = in_features, hidden_features
        self.activation, self.gate, self.reset_after = activation, gate, reset_after
        self.structure = Structure.DENSE if reset_after else Structure.GENERAL
        keys = jax.random.split(rngs.params(), 5)
        self.kernel = InputKernels(per_gate(kernel_init, keys[0], 3, (D, H), dtype))
        self.recurrent_kernel = Kernels(per_gate(recurrent_kernel_init, keys[1], 3, (H, H), dtype))
        b = GRUGates(*per_gate(bias_init, keys[2], 3, (H,), dtype))
        b = b._replace(z=keep_bias(update_bias, keys[3], (H,), dtype))
        self.bias = nnx.Param(jnp.stack(b))
        if reset_after:
            self.recurrent_bias = nnx.Param(bias_init(keys[4], (H,), dtype))

    def project(self, x: jax.Array) -> GRUGates:
        """``u_g = W_g x + b_g``."""
        return GRUGates(*affine(x, self.kernel, self.bias))

    def mix(self, carry: jax.Array) -> GRUGates:
        """``v_g = U_g h``, with ``b_hn`` added for the candidate."""
        if not self.reset_after:
            raise NotImplementedError(self._only_step("mix"))
        v = GRUGates(*affine(carry, self.recurrent_kernel))
        return v._replace(n=v.n + self.recurrent_bias[...])

    def update(self, carry: jax.Array, u: GRUGates, v: GRUGates) -> jax.Array:
        """``h' = (1 - z) n + z h``."""
        _, z, n = self._activate(u, v)
        return (1 - z) * n + z * carry

    def __call__(self, carry: jax.Array, inputs: jax.Array) -> tuple[jax.Array, jax.Array]:
        """One step, ``(h, x) -> (h', h')``."""
        if self.reset_after:
            return super().__call__(carry, inputs)
        self.check_features(inputs)
        _, z, n = self.gates(carry, inputs)
        h = (1 - z) * n + z * carry
        return h, h

    def gates(self, carry: jax.Array, x: jax.Array) -> GRUGates:
        """The gates used in the step from ``carry`` with ``x``, after their activations."""
        u = self.project(x)
        if self.reset_after:
            return self._activate(u, self.mix(carry))
        U_r, U_z, U_n = self.recurrent_kernel[...]
        r, z = self.gate(u.r + carry @ U_r), self.gate(u.z + carry @ U_z)
        return GRUGates(r, z, self.activation(u.n + (r * carry) @ U_n))

    def _activate(self, u: GRUGates, v: GRUGates) -> GRUGates:
        r, z = self.gate(u.r + v.r), self.gate(u.z + v.z)
        return GRUGates(r, z, self.activation(u.n + r * v.n))
