r"""The hierarchically gated recurrent network: a linear recurrence whose forget gates have a lower bound."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx

from recurrax import initializers
from recurrax.cell import data
from recurrax.cells.linear import Linear, LinearCell
from recurrax.initializers import Initializer, per_gate
from recurrax.kernels import Kernel, affine, check_size, like


class HGRNGates(NamedTuple):
    """Forget gate f, above its lower bound: an array ``[..., H]``."""

    f: jax.Array


class HGRNCell(LinearCell):
    r"""Recurrent unit of the HGRN: complex states, and forget gates with a learnt lower bound.

    .. math::
        c_t &= \mathrm{SiLU}(W_r x_t + b_r) + i \, \mathrm{SiLU}(W_i x_t + b_i) \\
        f_t &= \gamma + (1 - \gamma) \odot \sigma(W_f x_t + b_f), \qquad \gamma = \sigma(\beta) \\
        h_t &= f_t \odot e^{i \theta} \odot h_{t-1} + (1 - f_t) \odot c_t \\
        y_t &= V_r (g_r \odot \mathrm{Re} \, h_t) + V_i (g_i \odot \mathrm{Im} \, h_t), \qquad
            g = \sigma(W_g x_t + b_g) \text{ for both parts}

    In the paper one table gives the bounds of all layers: a softmax over layers, summed up to the layer below, so that
    the bounds rise from 0 in the lowest layer. Here each layer has its own bound, which starts at ``lower_bound``. In
    the paper the bound of layer k of L starts at ``(k - 1) / L``. The norm before V is not part of the cell.

    Shapes: ``x: [..., D]``, carry ``h: [..., H]`` complex, output ``y: [..., H]`` real. Parameters, all real:
    ``kernel: [5, H, D]`` and ``bias: [5, H]`` (W and b of r, i, f, and g of both parts), ``theta: [H]``,
    ``output_kernel: [2, H, H]`` (V), ``bound: [H]`` (beta; None with ``lower_bound=0``, which fixes it there).

    Args:
        in_features: D.
        hidden_features: H, complex numbers in the state and real numbers in the output.
        lower_bound: gamma at the start, in [0, 1).
        max_phase: theta is drawn uniformly from 0 to this angle in radians.
        kernel_init: initialiser of each W and V.
        bias_init: initialiser of each b.
        carry_init: initialiser of the initial carry, which then needs keys; zeros by default.
        dtype: dtype of the computation; None uses the promoted dtype of inputs and parameters.
        param_dtype: dtype of the parameters.
        rngs: source of keys (``rngs.params``).

    Raises:
        ValueError: a size is not a positive int, or the bound is not in [0, 1).

    Source: Qin, Yang & Zhong (2023), "Hierarchically gated recurrent neural network for sequence modeling", equations 2
    to 5.
    """

    def __init__(
        self,
        in_features: int,
        hidden_features: int,
        *,
        lower_bound: float = 0.5,
        max_phase: float = math.pi / 5,
        kernel_init: Initializer = initializers.lecun_normal(),
        bias_init: Initializer = initializers.zeros,
        carry_init: Initializer | None = None,
        dtype: Any = None,
        param_dtype: Any = jnp.float32,
        rngs: nnx.Rngs,
    ):
        check_size("HGRNCell", in_features=in_features, hidden_features=hidden_features)
        if not 0 <= lower_bound < 1:
            raise ValueError(
                f"HGRNCell got lower_bound={lower_bound!r}; allowed: a number in [0, 1). Try lower_bound=0.5."
            )
        D, H = self.in_features, self.hidden_features = in_features, hidden_features
        self.carry_init, self.dtype = carry_init, dtype
        keys = jax.random.split(rngs.params(), 4)
        self.kernel = Kernel.draw(kernel_init, keys[0], 5, (D, H), param_dtype)
        self.bias = nnx.Param(per_gate(bias_init, keys[1], 5, (H,), param_dtype))
        self.output_kernel = Kernel.draw(kernel_init, keys[2], 2, (H, H), param_dtype)
        self.theta = nnx.Param(jax.random.uniform(keys[3], (H,), jnp.float32, 0, max_phase).astype(param_dtype))
        self.bound = data(None)
        if lower_bound:
            self.bound = nnx.Param(jnp.full((H,), math.log(lower_bound / (1 - lower_bound)), param_dtype))

    def state_dtype(self, *inputs: Any) -> Any:
        """complex64, or complex128 where the computation is in float64."""
        return jnp.promote_types(self.promoted_dtype(*inputs), jnp.complex64)

    def project(self, x: jax.Array) -> Linear:
        """``a = f e^(i theta)``, ``b = (1 - f) c``."""
        real, imaginary, f, *_ = affine(x, self.kernel, self.bias)
        fine = jnp.promote_types(f.dtype, jnp.float32)  # complex numbers have no bfloat16
        # 1 - f = (1 - gamma) sigmoid(-f): exact where f is close to 1.
        forgets = (jax.nn.sigmoid(-f) * self._room(f)).astype(fine)
        theta = like(self.theta[...].astype(fine), f)
        a = jax.lax.complex((1 - forgets) * jnp.cos(theta), (1 - forgets) * jnp.sin(theta))
        c = jax.lax.complex(jax.nn.silu(real).astype(fine), jax.nn.silu(imaginary).astype(fine))
        return Linear(a, forgets * c)

    def readout(self, carry: jax.Array, x: jax.Array) -> jax.Array:
        """``y = V_r (g_r Re h) + V_i (g_i Im h)``."""
        gates = affine(x, self.kernel[...][3:], self.bias[...][3:])  # type: ignore[arg-type]
        parts = (part.astype(x.dtype) for part in (carry.real, carry.imag))
        (real, imaginary) = (jax.nn.sigmoid(gate) * part for gate, part in zip(gates, parts, strict=True))
        V_real, V_imaginary = self.output_kernel[...]
        return real @ V_real.T + imaginary @ V_imaginary.T

    def gates(self, carry: Any, x: jax.Array) -> HGRNGates:
        """The forget gate used in the step with ``x``."""
        del carry
        (f,) = affine(x, self.kernel[...][2:3], self.bias[...][2:3])  # type: ignore[arg-type]
        return HGRNGates(1 - jax.nn.sigmoid(-f) * self._room(f))

    def _room(self, f: jax.Array) -> jax.Array:
        """``1 - gamma``, broadcast to the axes of f."""
        if self.bound is None:
            return jnp.ones((1,) * f.ndim, f.dtype)
        return like(jax.nn.sigmoid(-self.bound[...]), f)
