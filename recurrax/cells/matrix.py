r"""Cells with a matrix state for each head: outer products bind keys to values, and queries read the values."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from recurrax.cell import Carry, Cell, Structure, cast
from recurrax.kernels import check_size


class Write(NamedTuple):
    """The write of one step to the matrices of N heads; it does not depend on them.

    log_decay: ``[..., N, K]``, or ``[..., N, 1]`` if all channels of a head share one decay; 0 keeps, -inf forgets.
    key: k, ``[..., N, K]``.
    value: v, ``[..., N, V]``.
    rate: beta of the delta rule, ``[..., N]``; None adds without erasing.
    log_gain: i, ``[..., N]``, of an exponential input gate; None is 0. It needs one decay per head and no rate.
    """

    log_decay: jax.Array
    key: jax.Array
    value: jax.Array
    rate: jax.Array | None = None
    log_gain: jax.Array | None = None


class MatrixCell(Cell):
    r"""Abstract base class of cells of structure MATRIX.

    .. math::
        S_t &= (I - \beta_t k_t k_t^\top) \, \mathrm{diag}(e^{g_t}) S_{t-1} + \beta_t e^{i_t} k_t v_t^\top, \qquad
            (g_t, k_t, v_t, \beta_t, i_t) = \mathrm{project}(x_t) \\
        y_t &= \mathrm{output}(S_t^\top q_t, x_t), \qquad q_t = \mathrm{query}(x_t)

    for each head; without a rate the bracket is I and the second beta is 1. With a gain the carry is ``(S, m)`` and
    the matrix is :math:`e^{m} S`, so that nothing overflows: :math:`m_t = \max(g_t + m_{t-1}, i_t)`.

    Shapes: ``S: [..., N, K, V]``, ``m: [..., N]``, in float32 or wider, independent of the dtype of the computation.

    Attributes:
        heads: N.
        key_features: K, the size of a key.
        value_features: V, the size of a value.
    """

    structure = Structure.MATRIX
    states = ("S",)
    heads: int
    key_features: int
    value_features: int
    has_gain = False  # whether `project` returns a log_gain
    normalizers = 0  # additional columns of the state

    def mix(self, carry: Carry) -> tuple[()]:
        """Returns ``()``: the write depends on the input alone."""
        del carry
        return ()

    def query(self, x: jax.Array) -> jax.Array:
        """The query of each head: ``x: [..., D]`` to ``[..., N, K]``."""
        raise NotImplementedError(self._has_no("query"))

    def output(self, read: jax.Array, m: jax.Array | None, x: jax.Array) -> jax.Array:
        """The output of a step, ``[..., O]``, from the values read, ``[..., N, V]``; by default it joins all heads."""
        del m
        return read.reshape(*read.shape[:-2], -1).astype(x.dtype)

    def update(self, carry: Carry, a: Any) -> Carry:
        """The first equation above, from a `Write`."""
        S, m = carry if self.has_gain else (carry, None)
        a = cast(a, S.dtype)
        log_decay, value = a.log_decay, a.value
        if self.has_gain:
            log_decay, gain, m = rescaled(log_decay, a.log_gain, m)  # type: ignore
            value = gain[..., None] * value
        S = jnp.exp(log_decay)[..., None] * S
        if a.rate is not None:
            value = a.rate[..., None] * (value - read(S, a.key))
        S = S + a.key[..., None] * value[..., None, :]
        return (S, m) if self.has_gain else S

    def readout(self, carry: Carry, x: jax.Array) -> jax.Array:
        """The second equation above."""
        S, m = carry if self.has_gain else (carry, None)
        return self.output(read(S, self.query(x).astype(S.dtype)), m, x)

    def initialize_carry(self, input_shape: tuple[int, ...], rngs: Any = None, carry_init: Any = None) -> Carry:
        """The initial carry for inputs ``[..., D]``: zeros, or S drawn by ``carry_init`` from ``rngs.carry``."""
        batch, dtype = input_shape[:-1], self.state_dtype()
        shape = (*batch, self.heads, self.key_features, self.value_features + self.normalizers)
        (S,) = self.draw_carry((jax.ShapeDtypeStruct(shape, dtype),), rngs, carry_init)
        return (S, jnp.zeros((*batch, self.heads), dtype)) if self.has_gain else S

    @property
    def out_features(self) -> int | None:
        """O: N V."""
        return self.heads * self.value_features

    def state_dtype(self, *inputs: Any) -> Any:
        """float32, or float64 if the computation uses it, because the state sums over many steps."""
        return jnp.promote_types(self.promoted_dtype(*inputs), jnp.float32)

    def promote(self, carry: Carry, xs: jax.Array) -> tuple[Cell, Carry, jax.Array]:
        """Promotes cell and inputs to the dtype of the computation, and the carry to the dtype of the state."""
        dtype = self.promoted_dtype(xs.dtype)
        return cast(self, dtype), cast(carry, self.state_dtype(xs.dtype)), xs.astype(dtype)

    def in_heads(self, a: jax.Array) -> jax.Array:
        """Splits ``[..., N M]`` into heads, ``[..., N, M]``."""
        return a.reshape(*a.shape[:-1], self.heads, -1)


def read(S: jax.Array, key: jax.Array) -> jax.Array:
    """``S^T k``: ``S: [..., N, K, V], key: [..., N, K]`` to ``[..., N, V]``."""
    return jnp.einsum("...kv,...k->...v", S, key)


def rescaled(log_decay: jax.Array, log_gain: jax.Array, m: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Decay and gain of a state stored as ``e^-m S``: ``(log decay [..., N, 1], gain [..., N], new m)``."""
    kept = log_decay[..., 0] + m
    new = jnp.maximum(kept, log_gain)
    return (kept - new)[..., None], jnp.exp(log_gain - new), new


def unit(a: jax.Array) -> jax.Array:
    r"""``a / sqrt(|a|^2 + 1e-6)`` along the last axis; it is differentiable at 0."""
    return a * jax.lax.rsqrt(jnp.sum(a * a, axis=-1, keepdims=True) + 1e-6)


def head_size(cell: str, features: int, heads: int) -> int:
    """Features per head; raises ValueError if the heads do not divide them evenly."""
    check_size(cell, heads=heads)
    if features % heads:
        raise ValueError(
            f"{cell} got {features} features for heads={heads}; allowed: a multiple of the heads. Try heads=1."
        )
    return features // heads
