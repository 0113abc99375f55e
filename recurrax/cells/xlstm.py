r"""The two cells of xLSTM: exponential input gates, and a normaliser that divides by the sum of the gates."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx

from recurrax import initializers
from recurrax.cell import Cell, preactivations
from recurrax.cells.matrix import MatrixCell, Write, head_size
from recurrax.initializers import Initializer, per_gate
from recurrax.kernels import Kernel, affine, check_size

FORGET = (3.0, 6.0)  # range of the forget gates' initial biases, from the first head or unit to the last


class SLSTMGates(NamedTuple):
    """Forget gate f, input gate i, candidate c~, output gate o: arrays ``[..., H]``, ordered as the parameters."""

    f: jax.Array
    i: jax.Array
    c_tilde: jax.Array
    o: jax.Array


class SLSTMCell(Cell):
    r"""The sLSTM: an LSTM with an exponential input gate and a normaliser n.

    .. math::
        a_g &= W_g x_t + R_g h_{t-1} + b_g \quad \text{for g in f, i, c, o; each R_g in blocks, one per head} \\
        m_t &= \max(\ln \sigma(a_f) + m_{t-1}, a_i), \quad
            f_t = e^{\ln \sigma(a_f) + m_{t-1} - m_t}, \quad i_t = e^{a_i - m_t} \\
        C_t &= f_t \odot C_{t-1} + i_t \odot \tanh(a_c), \qquad n_t = f_t \odot n_{t-1} + i_t \\
        h_t &= \sigma(a_o) \odot C_t / n_t

    m only keeps the exponentials in range. Its initial value is so low that the first step has n = 1.

    Shapes: ``x: [..., D]``, carry ``(C, n, m, h)``, each ``[..., H]``, output ``h``. Parameters, gates f, i, c~, o
    first: ``kernel: [4, H, D]`` (W), ``recurrent_kernel: [4, N, H / N, H / N]`` (R), ``bias: [4, H]`` (b).

    Args:
        in_features: D.
        hidden_features: H, a multiple of ``heads``.
        heads: N; units see only the units of their own head.
        kernel_init: initialiser of each gate's W.
        recurrent_kernel_init: initialiser of each block of each gate's R.
        bias_init: initialiser of all biases but the forget gate's, which rise from 3 to 6 over the units.
        dtype: dtype of the computation; None uses the promoted dtype of inputs and parameters.
        param_dtype: dtype of the parameters.
        rngs: source of keys (``rngs.params``).

    Raises:
        ValueError: a size is not a positive int, or H is not a multiple of the heads.

    Source: Beck et al. (2024), "xLSTM: extended long short-term memory", equations 8 to 17.
    """

    short = "sLSTM"
    states = ("c", "n", "m", "h")

    def __init__(
        self,
        in_features: int,
        hidden_features: int,
        *,
        heads: int = 1,
        kernel_init: Initializer = initializers.lecun_normal(),
        recurrent_kernel_init: Initializer = initializers.orthogonal(),
        bias_init: Initializer = initializers.zeros,
        dtype: Any = None,
        param_dtype: Any = jnp.float32,
        rngs: nnx.Rngs,
    ):
        check_size("SLSTMCell", in_features=in_features, hidden_features=hidden_features)
        D, H = self.in_features, self.hidden_features = in_features, hidden_features
        size, self.heads, self.dtype = head_size("SLSTMCell", H, heads), heads, dtype
        keys = jax.random.split(rngs.params(), 3)
        self.kernel = Kernel.draw(kernel_init, keys[0], 4, (D, H), param_dtype)
        blocks = per_gate(recurrent_kernel_init, keys[1], 4 * heads, (size, size), param_dtype)
        self.recurrent_kernel = nnx.Param(jnp.swapaxes(blocks, 1, 2).reshape(4, heads, size, size))
        b = per_gate(bias_init, keys[2], 4, (H,), param_dtype)
        self.bias = nnx.Param(b.at[0].set(jnp.linspace(*FORGET, H, dtype=param_dtype)))

    def initialize_carry(self, input_shape: tuple[int, ...], rngs: Any = None, carry_init: Any = None) -> Any:
        """The initial carry: zeros, and for m a number whose exponential is 0."""
        c, n, m, h = super().initialize_carry(input_shape, rngs, carry_init)
        return c, n, jnp.full_like(m, jnp.finfo(m.dtype).min / 2), h

    def project(self, x: jax.Array) -> tuple[jax.Array, ...]:
        """``W_g x + b_g`` of each gate."""
        return affine(x, self.kernel, self.bias)

    def mix(self, carry: tuple[jax.Array, ...]) -> tuple[jax.Array, ...]:
        """``R_g h`` of each gate, head by head."""
        h = carry[-1].reshape(*carry[-1].shape[:-1], self.heads, -1)
        products = jnp.einsum("...nk,gnjk->g...nj", h, self.recurrent_kernel[...])
        return tuple(products.reshape(4, *carry[-1].shape))

    def update(self, carry: tuple[jax.Array, ...], a: tuple[jax.Array, ...]) -> tuple[jax.Array, ...]:
        """The last three lines above."""
        C, n, m, _ = carry
        a_f, a_i, a_c, a_o = a
        kept = jax.nn.log_sigmoid(a_f) + m
        m = jnp.maximum(kept, a_i)
        f, i = jnp.exp(kept - m), jnp.exp(a_i - m)
        C = f * C + i * jnp.tanh(a_c)
        n = f * n + i
        return C, n, m, jax.nn.sigmoid(a_o) * C / n

    def gates(self, carry: tuple[jax.Array, ...], x: jax.Array) -> SLSTMGates:
        """The gates used in the step from ``carry`` with ``x``: f and i are scaled by m."""
        _, _, m, _ = carry
        a_f, a_i, a_c, a_o = preactivations(self.project(x), self.mix(carry))
        kept = jax.nn.log_sigmoid(a_f) + m
        new = jnp.maximum(kept, a_i)
        return SLSTMGates(jnp.exp(kept - new), jnp.exp(a_i - new), jnp.tanh(a_c), jax.nn.sigmoid(a_o))


class MLSTMCell(MatrixCell):
    r"""The mLSTM: an LSTM with a matrix memory and with gates that see the input alone.

    .. math::
        q_t &= W_q x_t, \quad k_t = W_k x_t / \sqrt{K}, \quad v_t = W_v x_t, \quad o_t = \sigma(W_o x_t + b_o) \\
        S_t &= \sigma(a_f) S_{t-1} + e^{a_i} k_t [v_t, 1]^\top, \qquad a_g = w_g x_t + b_g \text{ for g in f, i} \\
        [r_t, n_t] &= S_t^\top q_t, \qquad h_t = o_t \odot r_t / \max(|n_t|, 1)

    for each of N heads. The last column of S is the normaliser. S is stored as :math:`e^{m_t}` times the array in the
    carry, so that the exponentials stay in range.

    Shapes: ``x: [..., D]``, carry ``S: [..., N, K, V + 1]`` with ``K = V = H / N`` and ``m: [..., N]``, output
    ``[..., H]``. Parameters: ``kernel: [4, H, D]`` (q, k, v, o), ``bias: [1, H]`` (o), ``gate_kernel: [2, N, D]`` and
    ``gate_bias: [2, N]`` (f, i).

    Args:
        in_features: D.
        hidden_features: H, the size of the output; a multiple of ``heads``.
        heads: N.
        kernel_init: initialiser of each W.
        bias_init: initialiser of all biases but the forget gates', which rise from 3 to 6 over the heads.
        carry_init: initialiser of the initial S, which then needs keys; zeros by default.
        dtype: dtype of the computation; None uses the promoted dtype of inputs and parameters.
        param_dtype: dtype of the parameters.
        rngs: source of keys (``rngs.params``).

    Raises:
        ValueError: a size is not a positive int, or H is not a multiple of the heads.

    Source: Beck et al. (2024), "xLSTM: extended long short-term memory", equations 19 to 27.
    """

    short = "mLSTM"
    states = ("S", "m")
    has_gain = True
    normalizers = 1

    def __init__(
        self,
        in_features: int,
        hidden_features: int,
        *,
        heads: int = 1,
        kernel_init: Initializer = initializers.lecun_normal(),
        bias_init: Initializer = initializers.zeros,
        carry_init: Initializer | None = None,
        dtype: Any = None,
        param_dtype: Any = jnp.float32,
        rngs: nnx.Rngs,
    ):
        check_size("MLSTMCell", in_features=in_features, hidden_features=hidden_features)
        D, H = self.in_features, self.hidden_features = in_features, hidden_features
        self.heads, self.key_features = heads, head_size("MLSTMCell", H, heads)
        self.value_features = self.key_features
        self.carry_init, self.dtype = carry_init, dtype
        keys = jax.random.split(rngs.params(), 4)
        self.kernel = Kernel.draw(kernel_init, keys[0], 4, (D, H), param_dtype)
        self.bias = nnx.Param(per_gate(bias_init, keys[1], 1, (H,), param_dtype))
        self.gate_kernel = Kernel.draw(kernel_init, keys[2], 2, (D, heads), param_dtype)
        b = per_gate(bias_init, keys[3], 2, (heads,), param_dtype)
        self.gate_bias = nnx.Param(b.at[0].set(jnp.linspace(*FORGET, heads, dtype=param_dtype)))

    def project(self, x: jax.Array) -> Write:
        """Returns ln f, k, (v, 1) and i."""
        k, v = (self.in_heads(a) for a in affine(x, self.kernel[...][1:3]))
        f, i = affine(x, self.gate_kernel, self.gate_bias)
        v = jnp.concatenate([v, jnp.ones_like(v[..., :1])], axis=-1)
        return Write(jax.nn.log_sigmoid(f)[..., None], k / self.key_features**0.5, v, log_gain=i)

    def query(self, x: jax.Array) -> jax.Array:
        """The query q."""
        (q,) = affine(x, self.kernel[...][:1])
        return self.in_heads(q)

    def output(self, read: jax.Array, m: jax.Array | None, x: jax.Array) -> jax.Array:
        """``h = o r / max(|n|, 1)``; the values read are ``e^-m`` times (r, n)."""
        assert m is not None
        (a_o,) = affine(x, self.kernel[...][3:], self.bias)
        one = jnp.exp(jnp.minimum(-m, 0.9 * math.log(jnp.finfo(m.dtype).max)))  # infinity makes the gradient NaN
        r, n = read[..., :-1], jnp.maximum(jnp.abs(read[..., -1:]), one[..., None])
        return jax.nn.sigmoid(a_o) * super().output(r / n, m, x)
