r"""Matrix memories without an exponential gate: the delta rule, and a decay for every channel."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from recurrax import initializers
from recurrax.cells.matrix import MatrixCell, Write, head_size, unit
from recurrax.initializers import Initializer
from recurrax.kernels import Kernel, affine, check_size, like


class DeltaNetCell(MatrixCell):
    r"""Linear attention with the delta rule: a write replaces the value that is stored under a key.

    .. math::
        q_t &= \mathrm{unit}(\mathrm{SiLU}(W_q x_t)) / \sqrt{K}, \quad k_t = \mathrm{unit}(\mathrm{SiLU}(W_k x_t)),
            \quad v_t = \mathrm{SiLU}(W_v x_t) \\
        \beta_t &= \sigma(w_\beta x_t + b_\beta) \\
        S_t &= (I - \beta_t k_t k_t^\top) S_{t-1} + \beta_t k_t v_t^\top, \qquad y_t = S_t^\top q_t

    for each of N heads. The cell is only the recurrence of the published layer, without its short convolution, norm,
    gate and output projection.

    Shapes: ``x: [..., D]``, carry ``S: [..., N, K, V]`` with ``K = V = H / N``, output ``[..., H]``. Parameters:
    ``kernel: [3, H, D]`` (q, k, v), ``gate_kernel: [1, N, D]``, ``gate_bias: [1, N]`` (beta).

    Args:
        in_features: D.
        hidden_features: H, the size of the output; a multiple of ``heads``.
        heads: N.
        kernel_init: initialiser of each W.
        bias_init: initialiser of the biases.
        carry_init: initialiser of the initial S, which then needs keys; zeros by default.
        dtype: dtype of the computation; None uses the promoted dtype of inputs and parameters.
        param_dtype: dtype of the parameters.
        rngs: source of keys (``rngs.params``).

    Raises:
        ValueError: a size is not a positive int, or H is not a multiple of the heads.

    Source: Schlag, Irie & Schmidhuber (2021), "Linear transformers are secretly fast weight programmers"; in this form:
    Yang, Wang, Zhang, Shen & Kim (2024).
    """

    gates_per_head = 1

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
        name = type(self).__name__
        check_size(name, in_features=in_features, hidden_features=hidden_features)
        D, H = self.in_features, self.hidden_features = in_features, hidden_features
        self.heads, self.key_features = heads, head_size(name, H, heads)
        self.value_features = self.key_features
        self.carry_init, self.dtype = carry_init, dtype
        keys, G = jax.random.split(rngs.params(), 4), self.gates_per_head
        self.kernel = Kernel.draw(kernel_init, keys[0], 3, (D, H), param_dtype)
        self.gate_kernel = Kernel.draw(kernel_init, keys[1], G, (D, heads), param_dtype)
        self.gate_bias = nnx.Param(initializers.per_gate(bias_init, keys[2], G, (heads,), param_dtype))
        self._further(keys[3], param_dtype)

    def _further(self, key: jax.Array, dtype: Any) -> None:
        """Creates the additional parameters of a variant of the cell."""

    def project(self, x: jax.Array) -> Write:
        """Returns k, v and beta, without a decay."""
        k, v = (jax.nn.silu(a) for a in affine(x, self.kernel[...][1:]))
        (b,) = affine(x, self.gate_kernel, self.gate_bias)
        none = jnp.zeros_like(b)[..., None]
        return Write(none, unit(self.in_heads(k)), self.in_heads(v), jax.nn.sigmoid(b))

    def query(self, x: jax.Array) -> jax.Array:
        """The query q."""
        (q,) = affine(x, self.kernel[...][:1])
        return unit(self.in_heads(jax.nn.silu(q))) / self.key_features**0.5


class GatedDeltaNetCell(DeltaNetCell):
    r"""The delta rule with a decay of the whole memory, which can clear it in one step.

    .. math::
        g_t &= -e^{A} \, \mathrm{softplus}(w_a x_t + b_a) \\
        S_t &= (I - \beta_t k_t k_t^\top) e^{g_t} S_{t-1} + \beta_t k_t v_t^\top

    for each of N heads; q, k, v, beta, the output, arguments and errors are those of `DeltaNetCell`. Additional
    parameters: ``gate_kernel: [2, N, D]`` and ``gate_bias: [2, N]`` (beta, a), ``log_rate: [N]`` (A, drawn so that
    :math:`e^A` is uniform in [1, 16]). ``b_a`` is drawn so that its softplus is log-uniform in [0.001, 0.1].

    Source: Yang, Kautz & Hatamizadeh (2025), "Gated delta networks: improving Mamba2 with delta rule".
    """

    gates_per_head = 2

    def _further(self, key: jax.Array, dtype: Any) -> None:
        rate, step = jax.random.split(key)
        self.log_rate = nnx.Param(log_rates(rate, self.heads, dtype))
        self.gate_bias = nnx.Param(self.gate_bias[...].at[1].set(step_biases(step, self.heads, dtype)))

    def project(self, x: jax.Array) -> Write:
        """Returns g, k, v and beta."""
        k, v = (jax.nn.silu(a) for a in affine(x, self.kernel[...][1:]))
        b, a = affine(x, self.gate_kernel, self.gate_bias)
        g = -jnp.exp(like(self.log_rate[...], a)) * jax.nn.softplus(a)
        return Write(g[..., None], unit(self.in_heads(k)), self.in_heads(v), jax.nn.sigmoid(b))


class GLACell(MatrixCell):
    r"""Gated linear attention: every channel of a key has its own decay.

    .. math::
        \alpha_t &= \sigma(W_\alpha x_t + b_\alpha)^{1/16}, \qquad (q_t, k_t, v_t) = (W_q x_t, W_k x_t, W_v x_t) \\
        S_t &= \mathrm{diag}(\alpha_t) S_{t-1} + k_t v_t^\top, \qquad y_t = S_t^\top q_t / \sqrt{K}

    for each of N heads. In the paper :math:`W_\alpha` is a product of two matrices of rank 16; here it is one full
    matrix.

    Shapes: ``x: [..., D]``, carry ``S: [..., N, K, V]`` with ``K = V = H / N``, output ``[..., H]``. Parameters:
    ``kernel: [4, H, D]`` (q, k, v, alpha), ``bias: [1, H]`` (alpha). Arguments and errors are those of `DeltaNetCell`.

    Source: Yang, Wang, Shen, Panda & Kim (2024), "Gated linear attention transformers with hardware-efficient
    training".
    """

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
        check_size("GLACell", in_features=in_features, hidden_features=hidden_features)
        D, H = self.in_features, self.hidden_features = in_features, hidden_features
        self.heads, self.key_features = heads, head_size("GLACell", H, heads)
        self.value_features = self.key_features
        self.carry_init, self.dtype = carry_init, dtype
        keys = jax.random.split(rngs.params(), 2)
        self.kernel = Kernel.draw(kernel_init, keys[0], 4, (D, H), param_dtype)
        self.bias = nnx.Param(initializers.per_gate(bias_init, keys[1], 1, (H,), param_dtype))

    def project(self, x: jax.Array) -> Write:
        """Returns ln alpha, k and v."""
        k, v = affine(x, self.kernel[...][1:3])
        (a,) = affine(x, self.kernel[...][3:], self.bias)
        return Write(*(self.in_heads(part) for part in (jax.nn.log_sigmoid(a) / 16, k, v)))

    def query(self, x: jax.Array) -> jax.Array:
        """The query q."""
        (q,) = affine(x, self.kernel[...][:1])
        return self.in_heads(q) / self.key_features**0.5


def log_rates(key: jax.Array, count: int, dtype: Any) -> jax.Array:
    """Logarithms of numbers that are uniform in [1, 16]: ``[count]``."""
    return jnp.log(jax.random.uniform(key, (count,), jnp.float32, 1.0, 16.0)).astype(dtype)


def step_biases(key: jax.Array, count: int, dtype: Any) -> jax.Array:
    """Numbers whose softplus is log-uniform in [0.001, 0.1]: ``[count]`` (Gu & Dao, 2023)."""
    low, high = jnp.log(0.001), jnp.log(0.1)
    step = jnp.exp(jax.random.uniform(key, (count,), jnp.float32, low, high))
    return (step + jnp.log(-jnp.expm1(-step))).astype(dtype)  # the inverse of the softplus
