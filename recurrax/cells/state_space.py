r"""State space models as cells: continuous-time linear systems, sampled with a learnt step size."""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from recurrax import initializers
from recurrax.cells.linear import Linear, LinearCell
from recurrax.initializers import Initializer, per_gate
from recurrax.kernels import Kernel, affine, check_size, like


class S5Cell(LinearCell):
    r"""S5: one multi-input, multi-output system with a diagonal complex state and a zero-order hold.

    .. math::
        \dot h &= \lambda \odot h + B x, \quad \lambda = -e^{\rho} + i \omega
            \quad\Rightarrow\quad
            h_t = e^{\lambda \Delta} \odot h_{t-1} + \frac{e^{\lambda \Delta} - 1}{\lambda} \odot B x_t \\
        y_t &= \mathrm{Re}(C h_t) + W x_t, \qquad \Delta = e^{\delta}

    Shapes: ``x: [..., D]``, carry ``h: [..., H]`` complex, output ``y: [..., H]`` real. Parameters, all real:
    ``rho, omega, log_step: [H]`` (rho, omega, delta), ``input_kernel: [2, H, D]`` (B, real and imaginary part),
    ``output_kernel: [2, H, H]`` (C), ``skip_kernel: [1, H, D]`` (W; the paper's D, a matrix because inputs and outputs
    may differ in size).

    Args:
        in_features: D.
        hidden_features: H, complex numbers in the state and real numbers in the output.
        step_range: the smallest and the largest initial Delta, which is log-uniform between them.
        carry_init: initialiser of the initial carry, which then needs keys; zeros by default.
        dtype: dtype of the computation; None uses the promoted dtype of inputs and parameters.
        param_dtype: dtype of the parameters.
        rngs: source of keys (``rngs.params``).

    Raises:
        ValueError: a size is not a positive int.

    Source: Smith, Warrington & Linderman (2023), "Simplified state space layers for sequence modeling"; eigenvalues at
    the start, -1/2 + pi i n: S4D-Lin of Gu, Gupta, Goel & Ré (2022).
    """

    def __init__(
        self,
        in_features: int,
        hidden_features: int,
        *,
        step_range: tuple[float, float] = (0.001, 0.1),
        carry_init: Initializer | None = None,
        dtype: Any = None,
        param_dtype: Any = jnp.float32,
        rngs: nnx.Rngs,
    ):
        check_size("S5Cell", in_features=in_features, hidden_features=hidden_features)
        D, H = self.in_features, self.hidden_features = in_features, hidden_features
        self.carry_init, self.dtype = carry_init, dtype
        keys = jax.random.split(rngs.params(), 4)
        self.rho = nnx.Param(jnp.full((H,), math.log(0.5), param_dtype))
        self.omega = nnx.Param((math.pi * jnp.arange(H)).astype(param_dtype))
        self.log_step = nnx.Param(log_uniform(keys[0], (H,), step_range, param_dtype))
        half = initializers.variance_scaling(0.5, "fan_in", "normal")  # for each of the two parts
        self.input_kernel = Kernel.draw(half, keys[1], 2, (D, H), param_dtype)
        self.output_kernel = Kernel.draw(
            initializers.variance_scaling(1.0, "fan_in", "normal"), keys[2], 2, (H, H), param_dtype
        )
        self.skip_kernel = Kernel.draw(initializers.lecun_normal(), keys[3], 1, (D, H), param_dtype)

    def state_dtype(self, *inputs: Any) -> Any:
        """complex64, or complex128 where the computation is in float64."""
        return jnp.promote_types(self.promoted_dtype(*inputs), jnp.complex64)

    def project(self, x: jax.Array) -> Linear:
        """``a = e^(lambda Delta)``, ``b = (a - 1) / lambda B x``."""
        real, imaginary = (product.astype(wide(x)) for product in affine(x, self.input_kernel))
        a, gain = sampled(self.rho[...], self.omega[...], jnp.exp(self.log_step[...].astype(wide(x))))
        Bx = jax.lax.complex(real, imaginary)
        return Linear(jnp.broadcast_to(a, Bx.shape), like(gain, Bx) * Bx)

    def readout(self, carry: jax.Array, x: jax.Array) -> jax.Array:
        """``y = Re(C h) + W x``."""
        C_real, C_imaginary = self.output_kernel[...]
        real, imaginary = (part.astype(x.dtype) for part in (carry.real, carry.imag))
        (skip,) = affine(x, self.skip_kernel)
        return real @ C_real.T - imaginary @ C_imaginary.T + skip


class S4DCell(LinearCell):
    r"""S4D: H independent systems, each with one input, N complex states and one output.

    .. math::
        u_t &= W x_t + b, \qquad
            h_{t,n} = e^{\lambda_n \Delta} h_{t-1,n} + \frac{e^{\lambda_n \Delta} - 1}{\lambda_n} u_t \\
        y_t &= 2 \, \mathrm{Re} \sum_n c_n h_{t,n} + d \, u_t

    for each channel, which has its own lambda, Delta, c and d. The factor 2 accounts for the conjugate states.

    Shapes: ``x: [..., D]``, carry ``h: [..., H N]`` complex, output ``y: [..., H]`` real. Parameters, all real:
    ``kernel: [1, H, D]`` (W), ``bias: [1, H]`` (b), ``rho, omega: [H N]`` (:math:`\lambda = -e^\rho + i\omega`),
    ``log_step: [H]`` (ln Delta), ``output: [2, H N]`` (c, real and imaginary part), ``skip: [H]`` (d).

    Args:
        in_features: D.
        hidden_features: H.
        state_features: N, complex states of a channel.
        step_range: the smallest and the largest initial Delta, which is log-uniform between them.
        kernel_init: initialiser of W.
        bias_init: initialiser of b.
        carry_init: initialiser of the initial carry, which then needs keys; zeros by default.
        dtype: dtype of the computation; None uses the promoted dtype of inputs and parameters.
        param_dtype: dtype of the parameters.
        rngs: source of keys (``rngs.params``).

    Raises:
        ValueError: a size is not a positive int.

    Source: Gu, Gupta, Goel & Ré (2022), "On the parameterization and initialization of diagonal state space models":
    S4D-Lin, zero-order hold.
    """

    def __init__(
        self,
        in_features: int,
        hidden_features: int,
        *,
        state_features: int = 16,
        step_range: tuple[float, float] = (0.001, 0.1),
        kernel_init: Initializer = initializers.lecun_normal(),
        bias_init: Initializer = initializers.zeros,
        carry_init: Initializer | None = None,
        dtype: Any = None,
        param_dtype: Any = jnp.float32,
        rngs: nnx.Rngs,
    ):
        check_size("S4DCell", in_features=in_features, hidden_features=hidden_features, state_features=state_features)
        D, H = self.in_features, self.hidden_features = in_features, hidden_features
        N = self.state_features = state_features
        self.carry_init, self.dtype = carry_init, dtype
        keys = jax.random.split(rngs.params(), 5)
        self.kernel = Kernel.draw(kernel_init, keys[0], 1, (D, H), param_dtype)
        self.bias = nnx.Param(per_gate(bias_init, keys[1], 1, (H,), param_dtype))
        self.rho = nnx.Param(jnp.full((H * N,), math.log(0.5), param_dtype))
        self.omega = nnx.Param(jnp.tile(math.pi * jnp.arange(N), H).astype(param_dtype))
        self.log_step = nnx.Param(log_uniform(keys[2], (H,), step_range, param_dtype))
        self.c = nnx.Param(per_gate(initializers.normal(math.sqrt(0.5)), keys[3], 2, (H * N,), param_dtype))
        self.skip = nnx.Param(per_gate(initializers.normal(1.0), keys[4], 1, (H,), param_dtype)[0])

    def initialize_carry(self, input_shape: tuple[int, ...], rngs: Any = None, carry_init: Any = None) -> Any:
        """The initial carry ``[..., H N]`` for inputs of shape ``[..., D]``."""
        return of_size(self, self.hidden_features * self.state_features, input_shape, rngs, carry_init)  # type: ignore

    def state_dtype(self, *inputs: Any) -> Any:
        """complex64, or complex128 where the computation is in float64."""
        return jnp.promote_types(self.promoted_dtype(*inputs), jnp.complex64)

    def project(self, x: jax.Array) -> Linear:
        """``a = e^(lambda Delta)``, ``b = (a - 1) / lambda u``, state by state."""
        (u,) = affine(x, self.kernel, self.bias)
        step = jnp.repeat(jnp.exp(self.log_step[...].astype(wide(x))), self.state_features)
        a, gain = sampled(self.rho[...], self.omega[...], step)
        u = jnp.repeat(u.astype(wide(x)), self.state_features, axis=-1)
        return Linear(jnp.broadcast_to(a, u.shape), like(gain, u) * u)

    def readout(self, carry: jax.Array, x: jax.Array) -> jax.Array:
        """``y = 2 Re(sum of c h) + d u``."""
        (u,) = affine(x, self.kernel, self.bias)
        c = self.c[...].astype(carry.real.dtype)
        products = like(c[0], carry) * carry.real - like(c[1], carry) * carry.imag
        y = 2 * products.reshape(*products.shape[:-1], -1, self.state_features).sum(axis=-1)
        return y.astype(x.dtype) + like(self.skip[...], u) * u


def sampled(rho: jax.Array, omega: jax.Array, step: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Zero-order hold: ``e^(lambda Delta)``, ``(e^(lambda Delta) - 1) / lambda`` for ``lambda = -e^rho + i omega``."""
    rate = jax.lax.complex(-jnp.exp(rho.astype(step.dtype)), omega.astype(step.dtype))
    a = jnp.exp(rate * step)
    return a, (a - 1) / rate


def of_size(cell: Any, size: int, input_shape: tuple[int, ...], rngs: Any, carry_init: Any) -> Any:
    """The initial carry of a cell: one array ``[..., size]``."""
    shape = jax.ShapeDtypeStruct((*input_shape[:-1], size), cell.state_dtype())
    return cell.draw_carry((shape,), rngs, carry_init)[0]


def log_uniform(key: jax.Array, shape: tuple[int, ...], limits: tuple[float, float], dtype: Any) -> jax.Array:
    """Draws logarithms uniformly between the logarithms of the limits."""
    return jax.random.uniform(key, shape, jnp.float32, *map(math.log, limits)).astype(dtype)


def wide(x: jax.Array) -> Any:
    """Casts x to float32 unless its dtype is wider, because complex numbers have no bfloat16."""
    return jnp.promote_types(x.dtype, jnp.float32)
