"""A gated linear unit, the second half of a block."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from recurrax.cell import show_signature
from recurrax.pickling import Picklable


class GLU(Picklable, nnx.Module):
    r"""A gated linear unit, applied at each step: :math:`W_2 (\phi(W_1 x) \odot W_3 x)`, without biases.

    Source: Shazeer (2020), "GLU variants improve transformer".
    """

    def __init__(
        self,
        features: int,
        hidden_features: int,
        *,
        activation_fn: Callable[[jax.Array], jax.Array] = jax.nn.silu,
        dtype: Any = None,
        param_dtype: Any = jnp.float32,
        rngs: nnx.Rngs,
    ):
        def linear(inputs: int, outputs: int) -> nnx.Linear:
            return nnx.Linear(inputs, outputs, use_bias=False, dtype=dtype, param_dtype=param_dtype, rngs=rngs)

        self.gate, self.value = linear(features, hidden_features), linear(features, hidden_features)
        self.out, self.activation_fn = linear(hidden_features, features), activation_fn

    def __call__(self, x: jax.Array) -> jax.Array:
        """Maps ``x: [..., D]`` to ``[..., D]``."""
        return self.out(self.activation_fn(self.gate(x)) * self.value(x))


show_signature(GLU)
