r"""The simple recurrent unit: matrix products of the input alone, elementwise recurrence, and a highway connection."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx

from recurrax import initializers
from recurrax.cell import Cell, data
from recurrax.initializers import Initializer, keep_bias, per_gate
from recurrax.kernels import Kernel, affine, check_size, like


class SRUGates(NamedTuple):
    """Forget gate f, reset gate r (the state's share in the output): arrays ``[..., H]``, ordered as the parameters."""

    f: jax.Array
    r: jax.Array


class SRUCell(Cell):
    r"""Simple recurrent unit with a highway connection of its inputs.

    .. math::
        f_t &= \sigma(W_f x_t + b_f + v_f \odot c_{t-1}) \\
        r_t &= \sigma(W_r x_t + b_r + v_r \odot c_{t-1}) \\
        c_t &= f_t \odot c_{t-1} + (1 - f_t) \odot W x_t \\
        h_t &= r_t \odot c_t + (1 - r_t) \odot \alpha x_t, \qquad \alpha = \sqrt{1 + 2 e^{b}}

    with b the highway bias, the initial b_r; alpha makes the variance of the outputs equal to that of the inputs. If D
    differs from H, a fourth matrix is applied to x first, as in the authors' code. The structure is DENSE because the
    gates see the state; with v = 0 it would be LINEAR, see `QRNNCell`.

    Shapes: ``x: [..., D]``, carry ``(c, h)``, each ``[..., H]``, output ``h``. Parameters, f, r first:
    ``kernel: [3, H, D]`` (W_f, W_r, W), ``bias: [2, H]`` (b), ``recurrent: [2, H]`` (v), ``skip_kernel: [1, H, D]``
    (None if D = H).

    Args:
        in_features: D.
        hidden_features: H.
        forget_bias: b_f, a number or an initialiser such as `Chrono`.
        highway_bias: b, the initial b_r; a negative value lets more of the inputs through.
        kernel_init: initialiser of each W.
        recurrent_init: initialiser of each v; normal with variance 1/2 as in the authors' code.
        carry_init: initialiser of the initial carry, which then needs keys; zeros by default.
        dtype: dtype of the computation; None uses the promoted dtype of inputs and parameters.
        param_dtype: dtype of the parameters.
        rngs: source of keys (``rngs.params``).

    Raises:
        ValueError: a size is not a positive int.

    Source: Lei, Zhang, Wang, Dai & Artzi (2018), "Simple recurrent units for highly parallelizable recurrence",
    equations 1 to 4 and section 3.2.
    """

    states = ("c", "h")

    def __init__(
        self,
        in_features: int,
        hidden_features: int,
        *,
        forget_bias: float | Initializer = 0.0,
        highway_bias: float = 0.0,
        kernel_init: Initializer = initializers.lecun_normal(),
        recurrent_init: Initializer = initializers.normal(0.5**0.5),
        carry_init: Initializer | None = None,
        dtype: Any = None,
        param_dtype: Any = jnp.float32,
        rngs: nnx.Rngs,
    ):
        check_size("SRUCell", in_features=in_features, hidden_features=hidden_features)
        D, H = self.in_features, self.hidden_features = in_features, hidden_features
        self.carry_init, self.dtype = carry_init, dtype
        self.scale = math.sqrt(1 + 2 * math.exp(highway_bias))  # alpha
        keys = jax.random.split(rngs.params(), 4)
        self.kernel = Kernel.draw(kernel_init, keys[0], 3, (D, H), param_dtype)
        self.recurrent = nnx.Param(per_gate(recurrent_init, keys[1], 2, (H,), param_dtype))
        b_f = keep_bias(forget_bias, keys[2], (H,), param_dtype)
        self.bias = nnx.Param(jnp.stack([b_f, jnp.full((H,), highway_bias, param_dtype)]))
        self.skip_kernel = data(None if D == H else Kernel.draw(kernel_init, keys[3], 1, (D, H), param_dtype))

    def project(self, x: jax.Array) -> tuple[jax.Array, ...]:
        """``W_f x + b_f``, ``W_r x + b_r``, ``W x`` and ``alpha x``."""
        a_f, a_r, z = affine(x, self.kernel)
        b_f, b_r = (like(b, a_f) for b in self.bias[...])
        (passing,) = (x,) if self.skip_kernel is None else affine(x, self.skip_kernel)
        return a_f + b_f, a_r + b_r, z, self.scale * passing

    def mix(self, carry: tuple[jax.Array, jax.Array]) -> tuple[jax.Array | None, ...]:
        """``v_f c`` and ``v_r c``; None for the parts that depend on the input alone."""
        c, _ = carry
        v_f, v_r = (like(v, c) * c for v in self.recurrent[...])
        return v_f, v_r, None, None

    def update(self, carry: tuple[jax.Array, jax.Array], a: tuple[jax.Array, ...]) -> tuple[jax.Array, jax.Array]:
        """The four equations above."""
        c, _ = carry
        f, r = (jax.nn.sigmoid(gate) for gate in a[:2])
        z, passing = a[2:]
        c = f * c + (1 - f) * z
        return c, r * c + (1 - r) * passing

    def gates(self, carry: tuple[jax.Array, jax.Array], x: jax.Array) -> SRUGates:
        """The gates used in the step from ``carry`` with ``x``, after their activations."""
        a_f, a_r, *_ = self.project(x)
        v_f, v_r, *_ = self.mix(carry)
        return SRUGates(jax.nn.sigmoid(a_f + v_f), jax.nn.sigmoid(a_r + v_r))  # type: ignore[operator]
