r"""Cells whose step is linear in the state, ``s' = a s + b`` elementwise; `Associative` runs all steps in parallel.

Their gates depend on the input alone and never on the state: this is the price of parallelism in time.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx

from recurrax import initializers
from recurrax.cell import Cell, Structure
from recurrax.initializers import Chrono, Initializer, Ring, keep_bias, per_gate
from recurrax.kernels import Kernel, affine, check_size, like


class Linear(NamedTuple):
    """The map ``s -> a s + b`` of a step: ``a, b: [..., H]``."""

    a: jax.Array
    b: jax.Array


class LinearCell(Cell):
    r"""Abstract base class of cells of structure LINEAR.

    .. math:: s_t = a_t \odot s_{t-1} + b_t, \qquad (a_t, b_t) = \mathrm{project}(x_t)

    There is no recurrent matrix, so ``mix`` is empty.
    """

    structure = Structure.LINEAR

    def mix(self, carry: jax.Array) -> tuple[()]:
        """Returns ``()``: units do not see each other."""
        del carry
        return ()

    def update(self, carry: jax.Array, a: Linear) -> jax.Array:
        """``s' = a s + b``."""
        return a.a * carry + a.b


class DiagonalRNNCell(LinearCell):
    r"""Diagonal linear recurrent network with real decays in (0, 1).

    .. math:: h_t = \lambda \odot h_{t-1} + W x_t + b, \qquad \lambda = \exp(-\exp(\nu))

    Shapes: ``x: [..., D]``, carry ``h: [..., H]``, output ``h``. Parameters: ``kernel: [1, H, D]`` (W),
    ``bias: [1, H]`` (b), ``nu: [H]``. The decay is below 1 for every nu, so the cell cannot explode.

    Args:
        in_features: D.
        hidden_features: H.
        decay_init: `Ring`, from which the decays are drawn.
        kernel_init: initialiser of W.
        bias_init: initialiser of b.
        carry_init: initialiser of the initial carry, which then needs keys; zeros by default.
        dtype: dtype of the computation; None uses the promoted dtype of inputs and parameters.
        param_dtype: dtype of the parameters.
        rngs: source of keys (``rngs.params``).

    Raises:
        ValueError: a size is not a positive int.

    Source: Mozer (1993), "Neural net architectures for temporal sequence processing" (decay units); this
    parametrisation: Orvieto et al. (2023).
    """

    def __init__(
        self,
        in_features: int,
        hidden_features: int,
        *,
        decay_init: Ring = Ring(),
        kernel_init: Initializer = initializers.lecun_normal(),
        bias_init: Initializer = initializers.zeros,
        carry_init: Initializer | None = None,
        dtype: Any = None,
        param_dtype: Any = jnp.float32,
        rngs: nnx.Rngs,
    ):
        check_size("DiagonalRNNCell", in_features=in_features, hidden_features=hidden_features)
        D, H = self.in_features, self.hidden_features = in_features, hidden_features
        self.carry_init, self.dtype = carry_init, dtype
        keys = jax.random.split(rngs.params(), 3)
        self.kernel = Kernel.draw(kernel_init, keys[0], 1, (D, H), param_dtype)
        self.bias = nnx.Param(per_gate(bias_init, keys[1], 1, (H,), param_dtype))
        self.nu = nnx.Param(decay_init.nu(keys[2], (H,), param_dtype))

    def project(self, x: jax.Array) -> Linear:
        """``a = lambda``, ``b = W x + b``."""
        (b,) = affine(x, self.kernel, self.bias)
        return Linear(jnp.broadcast_to(jnp.exp(-jnp.exp(self.nu[...])), b.shape), b)


class LRUCell(LinearCell):
    r"""Linear recurrent unit: a diagonal linear recurrence of complex numbers.

    .. math::
        h_t &= \lambda \odot h_{t-1} + \gamma \odot B x_t, \qquad
            \lambda = \exp(-\exp(\nu) + i \exp(\theta)), \quad \gamma = \exp(\log\gamma) \\
        y_t &= \mathrm{Re}(C h_t) + W x_t

    Shapes: ``x: [..., D]``, carry ``h: [..., H]`` complex, output ``y: [..., H]`` real. Parameters, all real:
    ``nu, theta, log_gamma: [H]``, ``input_kernel: [2, H, D]`` (B, real and imaginary part),
    ``output_kernel: [2, H, H]`` (C), ``skip_kernel: [1, H, D]`` (W; the paper's D, a matrix because inputs and
    outputs may differ in size). With parameters of bfloat16 the state is complex64, and the outputs are bfloat16.

    Args:
        in_features: D.
        hidden_features: H, complex numbers in the state and real numbers in the output.
        ring: `Ring`, from which the eigenvalues are drawn; gamma starts at sqrt(1 - abs(lambda)^2), which gives the
            state the same variance for every eigenvalue.
        carry_init: initialiser of the initial carry, which then needs keys; zeros by default.
        dtype: dtype of the computation; None uses the promoted dtype of inputs and parameters.
        param_dtype: dtype of the parameters.
        rngs: source of keys (``rngs.params``).

    Raises:
        ValueError: a size is not a positive int.

    Source: Orvieto et al. (2023), "Resurrecting recurrent neural networks for long sequences", appendix A.
    """

    def __init__(
        self,
        in_features: int,
        hidden_features: int,
        *,
        ring: Ring = Ring(),
        carry_init: Initializer | None = None,
        dtype: Any = None,
        param_dtype: Any = jnp.float32,
        rngs: nnx.Rngs,
    ):
        check_size("LRUCell", in_features=in_features, hidden_features=hidden_features)
        D, H = self.in_features, self.hidden_features = in_features, hidden_features
        self.carry_init, self.dtype = carry_init, dtype
        keys = jax.random.split(rngs.params(), 5)
        nu = ring.nu(keys[0], (H,), jnp.promote_types(param_dtype, jnp.float32))
        self.nu = nnx.Param(nu.astype(param_dtype))
        self.theta = nnx.Param(ring.theta(keys[1], (H,), param_dtype))
        self.log_gamma = nnx.Param((0.5 * jnp.log(-jnp.expm1(-2 * jnp.exp(nu)))).astype(param_dtype))
        # A complex number of variance 1 / fan_in has half of the variance in each of its two parts.
        half = initializers.variance_scaling(0.5, "fan_in", "normal")
        self.input_kernel = Kernel.draw(half, keys[2], 2, (D, H), param_dtype)
        whole = initializers.variance_scaling(1.0, "fan_in", "normal")
        self.output_kernel = Kernel.draw(whole, keys[3], 2, (H, H), param_dtype)
        self.skip_kernel = Kernel.draw(initializers.lecun_normal(), keys[4], 1, (D, H), param_dtype)

    def state_dtype(self, *inputs: Any) -> Any:
        """complex64, or complex128 where the computation is in float64."""
        return jnp.promote_types(self.promoted_dtype(*inputs), jnp.complex64)

    def project(self, x: jax.Array) -> Linear:
        """``a = lambda``, ``b = gamma B x``."""
        fine = jnp.promote_types(self.nu[...].dtype, jnp.float32)  # complex numbers have no bfloat16
        nu, theta, log_gamma = (p[...].astype(fine) for p in (self.nu, self.theta, self.log_gamma))
        real, imaginary = (product.astype(fine) for product in affine(x, self.input_kernel))
        b = like(jnp.exp(log_gamma), real) * jax.lax.complex(real, imaginary)
        return Linear(jnp.broadcast_to(jnp.exp(jax.lax.complex(-jnp.exp(nu), jnp.exp(theta))), b.shape), b)

    def readout(self, carry: jax.Array, x: jax.Array) -> jax.Array:
        """``y = Re(C h) + W x``."""
        C_real, C_imaginary = self.output_kernel[...]
        real, imaginary = (part.astype(x.dtype) for part in (carry.real, carry.imag))
        (skip,) = affine(x, self.skip_kernel)
        return real @ C_real.T - imaginary @ C_imaginary.T + skip


class MinGRUGates(NamedTuple):
    """Update gate z (it keeps the state), candidate n: arrays ``[..., H]``, ordered as the parameters."""

    z: jax.Array
    n: jax.Array


class MinGRUCell(LinearCell):
    r"""GRU without recurrent weights: no reset gate, gates of the input alone, and a candidate without tanh.

    .. math::
        z_t &= \sigma(W_z x_t + b_z) \\
        n_t &= W_n x_t + b_n \\
        h_t &= (1 - z_t) \odot n_t + z_t \odot h_{t-1}

    As in `GRUCell`, z keeps the state; the paper writes 1 - z for it. It is the paper's basic form, without the
    logarithms and the positive candidate of its appendix B.

    Shapes: ``x: [..., D]``, carry ``h: [..., H]``, output ``h``. Parameters, gates z, n first:
    ``kernel: [2, H, D]`` (W), ``bias: [2, H]`` (b).

    Args:
        in_features: D.
        hidden_features: H.
        update_bias: ``b_z``; a number (default 0, which keeps 50% per step at the start), or `Chrono`.
        kernel_init: initialiser of each gate's W.
        bias_init: initialiser of the candidate's b.
        carry_init: initialiser of the initial carry, which then needs keys; zeros by default.
        dtype: dtype of the computation; None uses the promoted dtype of inputs and parameters.
        param_dtype: dtype of the parameters.
        rngs: source of keys (``rngs.params``).

    Raises:
        ValueError: a size is not a positive int.

    Source: Feng, Tung, Ahmed, Bengio & Hajimirsadeghi (2024), "Were RNNs all we needed?", section 3.1.
    """

    def __init__(
        self,
        in_features: int,
        hidden_features: int,
        *,
        update_bias: float | Initializer = 0.0,
        kernel_init: Initializer = initializers.lecun_normal(),
        bias_init: Initializer = initializers.zeros,
        carry_init: Initializer | None = None,
        dtype: Any = None,
        param_dtype: Any = jnp.float32,
        rngs: nnx.Rngs,
    ):
        check_size("MinGRUCell", in_features=in_features, hidden_features=hidden_features)
        D, H = self.in_features, self.hidden_features = in_features, hidden_features
        self.carry_init, self.dtype = carry_init, dtype
        keys = jax.random.split(rngs.params(), 3)
        self.kernel = Kernel.draw(kernel_init, keys[0], 2, (D, H), param_dtype)
        b = MinGRUGates(*per_gate(bias_init, keys[1], 2, (H,), param_dtype))
        self.bias = nnx.Param(jnp.stack(b._replace(z=keep_bias(update_bias, keys[2], (H,), param_dtype))))

    def project(self, x: jax.Array) -> Linear:
        """``a = z``, ``b = (1 - z) n``."""
        z, n = affine(x, self.kernel, self.bias)
        return Linear(jax.nn.sigmoid(z), jax.nn.sigmoid(-z) * n)

    def gates(self, carry: jax.Array, x: jax.Array) -> MinGRUGates:
        """The gates used in the step with ``x``, after their activations."""
        del carry
        z, n = affine(x, self.kernel, self.bias)
        return MinGRUGates(jax.nn.sigmoid(z), n)


class MinLSTMGates(NamedTuple):
    """Forget gate f, input gate i (of sum 1), candidate c~: arrays ``[..., H]``, ordered as the parameters."""

    f: jax.Array
    i: jax.Array
    c_tilde: jax.Array


class MinLSTMCell(LinearCell):
    r"""LSTM without recurrent weights: no output gate, gates of the input alone, and a candidate without tanh.

    .. math::
        f_t &= \sigma(W_f x_t + b_f), \quad i_t = \sigma(W_i x_t + b_i) \\
        \tilde c_t &= W_c x_t + b_c \\
        h_t &= \frac{f_t}{f_t + i_t} \odot h_{t-1} + \frac{i_t}{f_t + i_t} \odot \tilde c_t

    Shapes: ``x: [..., D]``, carry ``h: [..., H]``, output ``h``. Parameters, gates f, i, c~ first:
    ``kernel: [3, H, D]`` (W), ``bias: [3, H]`` (b).

    Args:
        in_features: D.
        hidden_features: H.
        forget_bias: ``b_f``; a number (default 1), or `Chrono`, which then also sets ``b_i = -b_f``.
        kernel_init: initialiser of each gate's W.
        bias_init: initialiser of the other gates' b.
        carry_init: initialiser of the initial carry, which then needs keys; zeros by default.
        dtype: dtype of the computation; None uses the promoted dtype of inputs and parameters.
        param_dtype: dtype of the parameters.
        rngs: source of keys (``rngs.params``).

    Raises:
        ValueError: a size is not a positive int.

    Source: Feng, Tung, Ahmed, Bengio & Hajimirsadeghi (2024), "Were RNNs all we needed?", section 3.2.
    """

    def __init__(
        self,
        in_features: int,
        hidden_features: int,
        *,
        forget_bias: float | Initializer = 1.0,
        kernel_init: Initializer = initializers.lecun_normal(),
        bias_init: Initializer = initializers.zeros,
        carry_init: Initializer | None = None,
        dtype: Any = None,
        param_dtype: Any = jnp.float32,
        rngs: nnx.Rngs,
    ):
        check_size("MinLSTMCell", in_features=in_features, hidden_features=hidden_features)
        D, H = self.in_features, self.hidden_features = in_features, hidden_features
        self.carry_init, self.dtype = carry_init, dtype
        keys = jax.random.split(rngs.params(), 3)
        self.kernel = Kernel.draw(kernel_init, keys[0], 3, (D, H), param_dtype)
        b = MinLSTMGates(*per_gate(bias_init, keys[1], 3, (H,), param_dtype))
        b = b._replace(f=keep_bias(forget_bias, keys[2], (H,), param_dtype))
        if isinstance(forget_bias, Chrono):
            b = b._replace(i=-b.f)
        self.bias = nnx.Param(jnp.stack(b))

    def project(self, x: jax.Array) -> Linear:
        """``a = f / (f + i)``, ``b = i / (f + i) c~``."""
        f, i, c_tilde = self.gates(None, x)
        return Linear(f, i * c_tilde)

    def gates(self, carry: Any, x: jax.Array) -> MinLSTMGates:
        """The gates used in the step with ``x``, after their activations and divided by their sum."""
        del carry
        f, i, c_tilde = affine(x, self.kernel, self.bias)
        # f / (f + i) = sigmoid(log f - log i) is correct even if both gates round to 0.
        odds = jax.nn.log_sigmoid(f) - jax.nn.log_sigmoid(i)
        return MinLSTMGates(jax.nn.sigmoid(odds), jax.nn.sigmoid(-odds), c_tilde)
