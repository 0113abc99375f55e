r"""An LSTM over images: its states are images, and each unit sees its neighbours."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from recurrax import initializers
from recurrax.cell import Cell, preactivations
from recurrax.cells.gated import LSTMGates
from recurrax.initializers import Initializer, keep_bias, per_gate
from recurrax.kernels import check_size, like


class ConvLSTMCell(Cell):
    r"""LSTM with convolutions in place of matrix products, for sequences of images.

    .. math::
        a_g &= W_g * x_t + b_g + U_g * h_{t-1} \quad \text{for g in f, i, c, o} \\
        c_t &= \sigma(a_f) \odot c_{t-1} + \sigma(a_i) \odot \tanh(a_c) \\
        h_t &= \sigma(a_o) \odot \tanh(c_t)

    where images are padded with zeros. As in Flax's ``nn.ConvLSTMCell``, the peephole connections of the paper,
    :math:`p_g \odot c`, are left out because they would fix the size of the image.

    Shapes: ``x: [..., *image, D]`` with as many image axes as ``kernel_size`` has numbers, carry ``(c, h)``, each
    ``[..., *image, H]``, output ``h``; ``num_feature_axes`` is one more than the image axes, so that a layer takes
    ``[*batch, T, *image, D]``. Parameters, gates f, i, c~, o first: ``kernel: [4, *kernel_size, D, H]`` (W),
    ``recurrent_kernel: [4, *kernel_size, H, H]`` (U), ``bias: [4, H]`` (b).

    Args:
        in_features: D, channels of the input.
        hidden_features: H, channels of the states.
        kernel_size: rows and columns (or one number for each image axis) of the kernels; an int for squares.
        forget_bias: ``b_f``, a number or an initialiser.
        kernel_init: initialiser of each W.
        recurrent_kernel_init: initialiser of each U.
        bias_init: initialiser of the other biases.
        carry_init: initialiser of the initial carry, which then needs keys; zeros by default.
        dtype: dtype of the computation; None uses the promoted dtype of inputs and parameters.
        param_dtype: dtype of the parameters.
        rngs: source of keys (``rngs.params``).

    Raises:
        ValueError: a size is not a positive int.

    Source: Shi, Chen, Wang, Yeung, Wong & Woo (2015), "Convolutional LSTM network: a machine learning approach for
    precipitation nowcasting", equation 3.
    """

    states = ("c", "h")

    def __init__(
        self,
        in_features: int,
        hidden_features: int,
        *,
        kernel_size: int | Sequence[int] = (3, 3),
        forget_bias: float | Initializer = 1.0,
        kernel_init: Initializer = initializers.lecun_normal(),
        recurrent_kernel_init: Initializer = initializers.lecun_normal(),
        bias_init: Initializer = initializers.zeros,
        carry_init: Initializer | None = None,
        dtype: Any = None,
        param_dtype: Any = jnp.float32,
        rngs: nnx.Rngs,
    ):
        size = (kernel_size, kernel_size) if isinstance(kernel_size, int) else tuple(kernel_size)
        check_size("ConvLSTMCell", in_features=in_features, hidden_features=hidden_features)
        for number in size or (0,):
            check_size("ConvLSTMCell", kernel_size=number)
        D, H = self.in_features, self.hidden_features = in_features, hidden_features
        self.kernel_size, self.carry_init, self.dtype = size, carry_init, dtype
        keys = jax.random.split(rngs.params(), 4)
        self.kernel = nnx.Param(per_gate(kernel_init, keys[0], 4, (*size, D, H), param_dtype))
        self.recurrent_kernel = nnx.Param(per_gate(recurrent_kernel_init, keys[1], 4, (*size, H, H), param_dtype))
        b = per_gate(bias_init, keys[2], 4, (H,), param_dtype)
        self.bias = nnx.Param(b.at[0].set(keep_bias(forget_bias, keys[3], (H,), param_dtype)))

    @property
    def num_feature_axes(self) -> int:
        """Image axes, and the channels."""
        return len(self.kernel_size) + 1

    def initialize_carry(self, input_shape: tuple[int, ...], rngs: Any = None, carry_init: Any = None) -> Any:
        """The initial carry for inputs of shape ``[..., *image, D]``; raises ValueError if there is no image."""
        if len(input_shape) < self.num_feature_axes:
            raise ValueError(
                f"ConvLSTMCell got inputs of shape {tuple(input_shape)}; allowed: {self.num_feature_axes - 1} image "
                "axes and the channels, (*batch, *image, D). Give the size of the image, e.g. (8, 16, 16, 1)."
            )
        return super().initialize_carry(input_shape, rngs, carry_init)

    def project(self, x: jax.Array) -> tuple[jax.Array, ...]:
        """``W_g * x + b_g`` of each gate."""
        gates = convolve(x, self.kernel[...])
        return tuple(gate + like(b, gate) for gate, b in zip(gates, self.bias[...], strict=True))

    def mix(self, carry: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, ...]:
        """``U_g * h`` of each gate."""
        return convolve(carry[-1], self.recurrent_kernel[...])

    def update(self, carry: tuple[jax.Array, jax.Array], a: tuple[jax.Array, ...]) -> tuple[jax.Array, jax.Array]:
        """The last two equations above."""
        a_f, a_i, a_c, a_o = a
        c = jax.nn.sigmoid(a_f) * carry[0] + jax.nn.sigmoid(a_i) * jnp.tanh(a_c)
        return c, jax.nn.sigmoid(a_o) * jnp.tanh(c)

    def gates(self, carry: tuple[jax.Array, jax.Array], x: jax.Array) -> LSTMGates:
        """The gates used in the step from ``carry`` with ``x``, after their activations."""
        a_f, a_i, a_c, a_o = preactivations(self.project(x), self.mix(carry))
        return LSTMGates(jax.nn.sigmoid(a_f), jax.nn.sigmoid(a_i), jnp.tanh(a_c), jax.nn.sigmoid(a_o))


def convolve(x: jax.Array, kernel: jax.Array) -> tuple[jax.Array, ...]:
    """``W_g * x`` of each gate with zero padding: ``x: [..., *image, D]`` to G arrays ``[..., *image, H]``.

    The kernel is ``[G, *size, D, H]``. It is a correlation, as in all libraries: the kernel is not flipped.
    """
    axes = kernel.ndim - 3
    batch, image = x.shape[: x.ndim - axes - 1], x.shape[x.ndim - axes - 1 : -1]
    W = jnp.moveaxis(kernel, 0, -2)  # [*size, D, G, H]
    layout = (0, axes + 1, *range(1, axes + 1))
    out = jax.lax.conv_general_dilated(
        x.reshape(-1, *image, x.shape[-1]),
        W.reshape(*W.shape[:-2], -1),
        window_strides=(1,) * axes,
        padding="SAME",
        dimension_numbers=jax.lax.ConvDimensionNumbers(layout, (axes + 1, axes, *range(axes)), layout),
    )
    out = out.reshape(*batch, *image, kernel.shape[0], -1)
    return tuple(jnp.moveaxis(out, -2, 0))
