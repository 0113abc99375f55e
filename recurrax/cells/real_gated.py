r"""Linear cells with real, input-dependent decays: the recurrences of Griffin and of the quasi-recurrent network."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from recurrax import initializers
from recurrax.cells.linear import Linear, LinearCell
from recurrax.initializers import Initializer, per_gate
from recurrax.kernels import Kernel, affine, check_size, like

POWER = 8.0  # c of the paper, the exponent of the decay


class RGLRUCell(LinearCell):
    r"""Real-gated linear recurrent unit of Griffin.

    .. math::
        u_t &= W_u x_t + b_u, \quad r_t = \sigma(W_r x_t + b_r), \quad i_t = \sigma(W_i x_t + b_i) \\
        a_t &= \exp(-8 \, r_t \odot \mathrm{softplus}(\Lambda)) \\
        h_t &= a_t \odot h_{t-1} + \sqrt{1 - a_t^2} \odot i_t \odot u_t

    In the paper the input u is x itself, because a linear layer comes before the unit.

    Shapes: ``x: [..., D]``, carry ``h: [..., H]``, output ``h``. Parameters, u, r, i first: ``kernel: [3, H, D]`` (W),
    ``bias: [3, H]`` (b), ``decay: [H]`` (Lambda, drawn so that :math:`a^2` is uniform in [0.81, 0.998] for r = 1).

    Args:
        in_features: D.
        hidden_features: H.
        kernel_init: initialiser of each W.
        bias_init: initialiser of each b.
        carry_init: initialiser of the initial carry, which then needs keys; zeros by default.
        dtype: dtype of the computation; None uses the promoted dtype of inputs and parameters.
        param_dtype: dtype of the parameters.
        rngs: source of keys (``rngs.params``).

    Raises:
        ValueError: a size is not a positive int.

    Source: De et al. (2024), "Griffin: mixing gated linear recurrences with local attention for efficient language
    models", section 2.4.
    """

    short = "RG-LRU"

    def __init__(
        self,
        in_features: int,
        hidden_features: int,
        *,
        kernel_init: Initializer = initializers.lecun_normal(),
        bias_init: Initializer = initializers.zeros,
        carry_init: Initializer | None = None,
        dtype: Any = None,
        param_dtype: Any = jnp.float32,
        rngs: nnx.Rngs,
    ):
        check_size("RGLRUCell", in_features=in_features, hidden_features=hidden_features)
        D, H = self.in_features, self.hidden_features = in_features, hidden_features
        self.carry_init, self.dtype = carry_init, dtype
        keys = jax.random.split(rngs.params(), 3)
        self.kernel = Kernel.draw(kernel_init, keys[0], 3, (D, H), param_dtype)
        self.bias = nnx.Param(per_gate(bias_init, keys[1], 3, (H,), param_dtype))
        square = jax.random.uniform(keys[2], (H,), jnp.float32, 0.9**2, 0.999**2)
        softplus = -0.5 * jnp.log(square) / POWER
        self.decay = nnx.Param(jnp.log(jnp.expm1(softplus)).astype(param_dtype))

    def project(self, x: jax.Array) -> Linear:
        """``a``, and ``b = sqrt(1 - a^2) i u``."""
        u, r, i = affine(x, self.kernel, self.bias)
        log_a = -POWER * jax.nn.sigmoid(r) * like(jax.nn.softplus(self.decay[...]), r)
        return Linear(jnp.exp(log_a), jnp.sqrt(-jnp.expm1(2 * log_a)) * jax.nn.sigmoid(i) * u)


class QRNNCell(LinearCell):
    r"""Quasi-recurrent network with fo-pooling: an LSTM whose gates see the input alone.

    .. math::
        z_t &= \tanh(W_z x_t + b_z), \quad f_t = \sigma(W_f x_t + b_f), \quad o_t = \sigma(W_o x_t + b_o) \\
        c_t &= f_t \odot c_{t-1} + (1 - f_t) \odot z_t, \qquad h_t = o_t \odot c_t

    In the paper the gates see the last k inputs; here k is 1, and a convolution before the layer gives the other cases.

    Shapes: ``x: [..., D]``, carry ``c: [..., H]``, output ``h``. Parameters, z, f, o first: ``kernel: [3, H, D]`` (W),
    ``bias: [3, H]`` (b). Arguments and errors are those of `RGLRUCell`.

    Source: Bradbury, Merity, Xiong & Socher (2017), "Quasi-recurrent neural networks".
    """

    states = ("c",)

    def __init__(
        self,
        in_features: int,
        hidden_features: int,
        *,
        kernel_init: Initializer = initializers.lecun_normal(),
        bias_init: Initializer = initializers.zeros,
        carry_init: Initializer | None = None,
        dtype: Any = None,
        param_dtype: Any = jnp.float32,
        rngs: nnx.Rngs,
    ):
        check_size("QRNNCell", in_features=in_features, hidden_features=hidden_features)
        D, H = self.in_features, self.hidden_features = in_features, hidden_features
        self.carry_init, self.dtype = carry_init, dtype
        keys = jax.random.split(rngs.params(), 2)
        self.kernel = Kernel.draw(kernel_init, keys[0], 3, (D, H), param_dtype)
        self.bias = nnx.Param(per_gate(bias_init, keys[1], 3, (H,), param_dtype))

    def project(self, x: jax.Array) -> Linear:
        """``a = f``, ``b = (1 - f) z``."""
        z, f, _ = affine(x, self.kernel, self.bias)
        return Linear(jax.nn.sigmoid(f), jax.nn.sigmoid(-f) * jnp.tanh(z))

    def readout(self, carry: jax.Array, x: jax.Array) -> jax.Array:
        """``h = o c``."""
        (o,) = affine(x, self.kernel[...][2:], self.bias[...][2:])  # type: ignore
        return jax.nn.sigmoid(o) * carry
