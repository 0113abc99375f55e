"""A short causal convolution over time, for whole sequences and for single steps."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from recurrax import initializers
from recurrax.cell import show_signature
from recurrax.engines.engine import where
from recurrax.initializers import Initializer
from recurrax.kernels import check_size, like
from recurrax.pickling import Picklable


class ShortConvolution(Picklable, nnx.Module):
    r"""Causal depthwise convolution: each feature is a weighted sum of its own last k values.

    .. math:: y_t = b + \sum_{j=0}^{k-1} w_j \odot x_{t-j}, \qquad x_s = 0 \text{ before the first step}

    Masked steps are skipped, as if the sequence were shorter; steps after a reset see no step before it. The window,
    that is the last k - 1 inputs, is passed on to the next call or the next `step`.

    Shapes: ``x: [..., C]``, window ``[..., k - 1, C]`` with the latest input last. Parameters: ``kernel: [k, C]`` (w,
    the weight of the current step first), ``bias: [C]``.

    Args:
        features: C.
        size: k, the number of steps seen, including the current one.
        kernel_init: initialiser of w.
        bias_init: initialiser of b.
        dtype: dtype of the computation; None uses the promoted dtype of inputs and parameters.
        param_dtype: dtype of the parameters.
        rngs: source of keys (``rngs.params``).

    Raises:
        ValueError: a size is not a positive int.
    """

    def __init__(
        self,
        features: int,
        size: int = 4,
        *,
        kernel_init: Initializer = initializers.lecun_normal(),
        bias_init: Initializer = initializers.zeros,
        dtype: Any = None,
        param_dtype: Any = jnp.float32,
        rngs: nnx.Rngs,
    ):
        check_size("ShortConvolution", features=features, size=size)
        self.features, self.size, self.dtype = features, size, dtype
        keys = jax.random.split(rngs.params(), 2)
        self.kernel = nnx.Param(kernel_init(keys[0], (size, features), param_dtype))
        self.bias = nnx.Param(bias_init(keys[1], (features,), param_dtype))

    def __call__(
        self, window: jax.Array, xs: jax.Array, mask: jax.Array | None = None, resets: jax.Array | None = None
    ) -> tuple[jax.Array, jax.Array]:
        """Runs over a time-major sequence: from ``xs: [T, *batch, C]`` to the last window and ``ys: [T, *batch, C]``.

        Args:
            window: the inputs before the first step, ``[*batch, k - 1, C]``.
            xs: the inputs.
            mask: bool ``[T, *batch]``; steps with False are skipped, and their outputs have no meaning.
            resets: bool ``[T, *batch]``; a step with True sees no earlier step.
        """
        expected = (*xs.shape[1:-1], self.size - 1, self.features)
        if window.shape != expected:
            raise ValueError(
                f"the window has shape {window.shape}; allowed: {expected} here. Start from "
                f"initialize_window({xs.shape[1:-1]})."
            )
        window, xs = self._promoted(window, xs)
        if mask is not None:
            xs = where(mask, xs, jnp.zeros_like(xs))
            resets = None if resets is None else resets & mask
        whole = jnp.concatenate([jnp.moveaxis(window, -2, 0), xs])
        ys, windows = like(self.kernel[0].astype(xs.dtype), xs) * xs, []
        part = None if resets is None else jnp.cumsum(resets, axis=0)
        for j, earlier in enumerate(_earlier(self.size - 1, xs.shape[0], mask), start=1):
            seen = earlier(whole)
            if part is not None:
                seen = where(self._is_new(part, earlier), jnp.zeros_like(seen), seen)
            ys += like(self.kernel[j].astype(xs.dtype), xs) * seen[:-1]
            windows.append(seen[-1])
        window = jnp.stack(windows[::-1], axis=-2) if windows else window
        return window, ys + like(self.bias[...].astype(xs.dtype), xs)

    def step(self, window: jax.Array, x: jax.Array) -> tuple[jax.Array, jax.Array]:
        """One step: ``(window: [*batch, k - 1, C], x: [*batch, C])`` to ``(window, y: [*batch, C])``."""
        window, x = self._promoted(window, x)
        seen = jnp.concatenate([window, x[..., None, :]], axis=-2)
        weights = jnp.flip(self.kernel[...], 0).astype(x.dtype)
        y = jnp.sum(seen * weights.reshape((1,) * (x.ndim - 1) + weights.shape), axis=-2)
        return seen[..., 1:, :], y + like(self.bias[...].astype(x.dtype), y)

    def initialize_window(self, batch: tuple[int, ...]) -> jax.Array:
        """The window before a sequence: zeros ``[*batch, k - 1, C]``."""
        dtype = self.kernel[...].dtype if self.dtype is None else self.dtype
        return jnp.zeros((*batch, self.size - 1, self.features), dtype)

    def _is_new(self, part: jax.Array, earlier: Callable[[jax.Array], jax.Array]) -> jax.Array:
        """Whether there was a reset since an earlier step; ``part: [T, *batch]`` counts the resets up to each step."""
        window = jnp.zeros((self.size - 1, *part.shape[1:]), part.dtype)
        return earlier(jnp.concatenate([window, part])) != jnp.concatenate([part, part[-1:]])

    def _promoted(self, *arrays: jax.Array) -> list[jax.Array]:
        dtype = self.dtype or jnp.result_type(*arrays, self.kernel[...].dtype)
        return [array.astype(dtype) for array in arrays]


show_signature(ShortConvolution)


def _earlier(window: int, T: int, mask: jax.Array | None) -> Iterator[Callable[[jax.Array], jax.Array]]:
    """For j = 1, 2, ... up to the window's size, a function that selects the value of j valid steps before.

    Each function maps an array ``[window + T, *batch, ...]``, which begins with the window, to an array ``[T + 1,
    *batch, ...]``, whose last entry is the value for a step after the last one.
    """
    if mask is None:
        for j in range(1, window + 1):
            yield lambda a, first=window - j: a[first : first + T + 1]
        return
    steps = jnp.arange(window, window + T).reshape(-1, *(1,) * (mask.ndim - 1))
    latest = jax.lax.cummax(jnp.where(mask, steps, window - 1), axis=0)  # the latest valid step at or before each step
    inside = jnp.arange(-1, window).reshape(-1, *(1,) * (mask.ndim - 1))
    before = jnp.concatenate([jnp.broadcast_to(jnp.maximum(inside, 0), (window + 1, *mask.shape[1:])), latest])
    at = before[window:]
    for _ in range(window):
        yield lambda a, at=at: jnp.take_along_axis(a, at.reshape(*at.shape, *(1,) * (a.ndim - at.ndim)), axis=0)
        at = jnp.take_along_axis(before, at, axis=0)
