r"""Cells that discretise differential equations: oscillators, many time scales, liquid networks."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from recurrax import initializers
from recurrax.cell import Cell
from recurrax.cells.affine import AffineCell
from recurrax.initializers import Initializer, per_gate
from recurrax.kernels import Kernel, RecurrentKernel, affine, check_size

State = tuple[jax.Array, jax.Array]


class CoRNNCell(Cell):
    r"""Coupled oscillatory RNN: every unit is a damped oscillator driven by the other units and the input.

    .. math::
        z_t &= z_{t-1} + \Delta \, (\tanh(W x_t + b + U h_{t-1} + V z_{t-1}) - \gamma h_{t-1} - \varepsilon z_{t-1}) \\
        h_t &= h_{t-1} + \Delta \, z_t

    Shapes: ``x: [..., D]``, carry ``(z, h)``, both ``[..., H]``, output ``h``. Parameters: ``kernel: [1, H, D]`` (W),
    ``recurrent_kernel: [2, H, H]`` (U, V), ``bias: [1, H]`` (b).

    Args:
        in_features: D.
        hidden_features: H.
        step_size: Delta.
        frequency: gamma.
        damping: epsilon.
        kernel_init: initialiser of W.
        recurrent_kernel_init: initialiser of U and V.
        bias_init: initialiser of b.
        carry_init: initialiser of the initial carry, which then needs keys; zeros by default.
        dtype: dtype of the computation; None uses the promoted dtype of inputs and parameters.
        param_dtype: dtype of the parameters.
        rngs: source of keys (``rngs.params``).

    Raises:
        ValueError: a size is not a positive int.

    Source: Rusch & Mishra (2021), "Coupled oscillatory recurrent neural network (coRNN)", equation 3.
    """

    short = "coRNN"
    states = ("z", "h")

    def __init__(
        self,
        in_features: int,
        hidden_features: int,
        *,
        step_size: float = 0.1,
        frequency: float = 1.0,
        damping: float = 1.0,
        kernel_init: Initializer = initializers.lecun_normal(),
        recurrent_kernel_init: Initializer = initializers.lecun_normal(),
        bias_init: Initializer = initializers.zeros,
        carry_init: Initializer | None = None,
        dtype: Any = None,
        param_dtype: Any = jnp.float32,
        rngs: nnx.Rngs,
    ):
        check_size("CoRNNCell", in_features=in_features, hidden_features=hidden_features)
        D, H = self.in_features, self.hidden_features = in_features, hidden_features
        self.step_size, self.frequency, self.damping = step_size, frequency, damping
        self.carry_init, self.dtype = carry_init, dtype
        keys = jax.random.split(rngs.params(), 3)
        self.kernel = Kernel.draw(kernel_init, keys[0], 1, (D, H), param_dtype)
        self.recurrent_kernel = Kernel.draw(recurrent_kernel_init, keys[1], 2, (H, H), param_dtype)
        self.bias = nnx.Param(per_gate(bias_init, keys[2], 1, (H,), param_dtype))

    def project(self, x: jax.Array) -> tuple[jax.Array]:
        """``W x + b``."""
        (a,) = affine(x, self.kernel, self.bias)
        return (a,)

    def mix(self, carry: State) -> tuple[jax.Array]:
        """``U h + V z``."""
        U, V = self.recurrent_kernel[...]
        z, h = carry
        return (h @ U.T + z @ V.T,)

    def update(self, carry: State, a: tuple[jax.Array]) -> State:
        """The two equations above."""
        z, h = carry
        z = z + self.step_size * (jnp.tanh(a[0]) - self.frequency * h - self.damping * z)
        return z, h + self.step_size * z


class LEMCell(Cell):
    r"""Long expressive memory: two coupled states; the network sets the time scale of each unit.

    .. math::
        \Delta^1_t &= \Delta \, \sigma(W_1 x_t + U_1 h_{t-1} + b_1), \qquad
            \Delta^2_t = \Delta \, \sigma(W_2 x_t + U_2 h_{t-1} + b_2) \\
        z_t &= (1 - \Delta^1_t) \odot z_{t-1} + \Delta^1_t \odot \tanh(W_z x_t + U_z h_{t-1} + b_z) \\
        h_t &= (1 - \Delta^2_t) \odot h_{t-1} + \Delta^2_t \odot \tanh(W_h x_t + V z_t + b_h)

    The paper's y is h here. The structure is GENERAL because the new z is multiplied by a matrix within the same step.

    Shapes: ``x: [..., D]``, carry ``(z, h)``, both ``[..., H]``, output ``h``. Parameters, 1, 2, z, h first:
    ``kernel: [4, H, D]`` (W), ``recurrent_kernel: [4, H, H]`` (U, V), ``bias: [4, H]`` (b).

    Args:
        in_features: D.
        hidden_features: H.
        step_size: Delta.
        kernel_init: initialiser of each W.
        recurrent_kernel_init: initialiser of each U, and of V.
        bias_init: initialiser of each b.
        carry_init: initialiser of the initial carry, which then needs keys; zeros by default.
        dtype: dtype of the computation; None uses the promoted dtype of inputs and parameters.
        param_dtype: dtype of the parameters.
        rngs: source of keys (``rngs.params``).

    Raises:
        ValueError: a size is not a positive int.

    Source: Rusch, Mishra, Erichson & Mahoney (2022), "Long expressive memory for sequence modeling", equation 3.
    """

    states = ("z", "h")

    def __init__(
        self,
        in_features: int,
        hidden_features: int,
        *,
        step_size: float = 1.0,
        kernel_init: Initializer = initializers.lecun_normal(),
        recurrent_kernel_init: Initializer = initializers.lecun_normal(),
        bias_init: Initializer = initializers.zeros,
        carry_init: Initializer | None = None,
        dtype: Any = None,
        param_dtype: Any = jnp.float32,
        rngs: nnx.Rngs,
    ):
        check_size("LEMCell", in_features=in_features, hidden_features=hidden_features)
        D, H = self.in_features, self.hidden_features = in_features, hidden_features
        self.step_size, self.carry_init, self.dtype = step_size, carry_init, dtype
        keys = jax.random.split(rngs.params(), 3)
        self.kernel = Kernel.draw(kernel_init, keys[0], 4, (D, H), param_dtype)
        self.recurrent_kernel = Kernel.draw(recurrent_kernel_init, keys[1], 4, (H, H), param_dtype)
        self.bias = nnx.Param(per_gate(bias_init, keys[2], 4, (H,), param_dtype))

    def __call__(self, carry: State, inputs: jax.Array) -> tuple[State, jax.Array]:
        """One step, ``((z, h), x) -> ((z', h'), h')``."""
        cell: Any
        cell, (z, h), x = self.promote(carry, self.check_features(inputs))
        U = cell.recurrent_kernel[...]
        a_1, a_2, a_z, a_h = affine(x, cell.kernel, cell.bias)
        u_1, u_2, u_z = affine(h, U[:3])
        slow, fast = (self.step_size * jax.nn.sigmoid(a) for a in (a_1 + u_1, a_2 + u_2))
        z = (1 - slow) * z + slow * jnp.tanh(a_z + u_z)
        h = (1 - fast) * h + fast * jnp.tanh(a_h + z @ U[3].T)
        return (z, h), h


class CfCCell(AffineCell):
    r"""Closed-form continuous-time (liquid) cell, for samples one unit of time apart.

    .. math::
        p_t &= \tanh(a_p), \quad q_t = \tanh(a_q), \quad s_t = \sigma(a_s), \qquad
            a_g = W_g x_t + U_g h_{t-1} + b_g \\
        h_t &= (1 - s_t) \odot p_t + s_t \odot q_t

    The paper's time gate is :math:`\sigma(t_a \Delta + t_b)`; for equally spaced samples it is a single gate. There is
    no backbone network before the gates.

    Shapes: ``x: [..., D]``, carry ``h: [..., H]``, output ``h``. Parameters, p, q, s first: ``kernel: [3, H, D]`` (W),
    ``recurrent_kernel: [3, H, H]`` (U), ``bias: [3, H]`` (b).

    Args:
        in_features: D.
        hidden_features: H.
        kernel_init: initialiser of each W.
        recurrent_kernel_init: initialiser of each U.
        bias_init: initialiser of each b.
        carry_init: initialiser of the initial carry, which then needs keys; zeros by default.
        dtype: dtype of the computation; None uses the promoted dtype of inputs and parameters.
        param_dtype: dtype of the parameters.
        rngs: source of keys (``rngs.params``).

    Raises:
        ValueError: a size is not a positive int.

    Source: Hasani et al. (2022), "Closed-form continuous-time neural networks".
    """

    def __init__(
        self,
        in_features: int,
        hidden_features: int,
        *,
        kernel_init: Initializer = initializers.lecun_normal(),
        recurrent_kernel_init: Initializer = initializers.orthogonal(),
        bias_init: Initializer = initializers.zeros,
        carry_init: Initializer | None = None,
        dtype: Any = None,
        param_dtype: Any = jnp.float32,
        rngs: nnx.Rngs,
    ):
        check_size("CfCCell", in_features=in_features, hidden_features=hidden_features)
        D, H = self.in_features, self.hidden_features = in_features, hidden_features
        self.carry_init, self.dtype = carry_init, dtype
        keys = jax.random.split(rngs.params(), 3)
        self.kernel = Kernel.draw(kernel_init, keys[0], 3, (D, H), param_dtype)
        self.recurrent_kernel = RecurrentKernel.draw(recurrent_kernel_init, keys[1], 3, (H, H), param_dtype)
        self.bias = nnx.Param(per_gate(bias_init, keys[2], 3, (H,), param_dtype))

    def update(self, carry: jax.Array, a: tuple[jax.Array, ...]) -> jax.Array:
        """``h = (1 - s) p + s q``."""
        del carry
        p, q, s = jnp.tanh(a[0]), jnp.tanh(a[1]), jax.nn.sigmoid(a[2])
        return (1 - s) * p + s * q
