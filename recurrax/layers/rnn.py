"""The layer that runs a cell over a batch of sequences, with lengths, masks and resets."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax.core import Tracer

from recurrax.cell import Carry, Cell, Foreign, data
from recurrax.engines import Engine, unroll
from recurrax.engines.checks import check_flags, check_inputs
from recurrax.engines.unroll import choose


class RNN(nnx.Module):
    """Runs a cell over sequences: ``inputs: [*batch, T, D]`` to ``outputs: [*batch, T, H]``.

    Args:
        cell: a `Cell`; any other Flax nnx cell is wrapped by `Foreign`.
        time_major: inputs and outputs are ``[T, *batch, ...]``.
        return_carry: return ``(carry, outputs)`` in place of outputs.
        reverse: run from the last step to the first.
        keep_order: with reverse, outputs stand at the steps they belong to; otherwise in the order they were computed,
            the first of them at index 0.
        learn_initial_carry: the initial carry is a parameter (zero at the start), one for all sequences.
        backend: "auto", the name of an engine, or an engine.

    Raises:
        TypeError: ``cell`` is no cell.
        ValueError: the backend is not known.
    """

    def __init__(
        self,
        cell: Any,
        *,
        time_major: bool = False,
        return_carry: bool = False,
        reverse: bool = False,
        keep_order: bool = False,
        learn_initial_carry: bool = False,
        backend: str | Engine = "auto",
    ):
        if not isinstance(cell, nnx.RNNCellBase):
            raise TypeError(
                f"RNN got cell={cell!r}; allowed: a recurrax cell or a Flax nnx cell. RNN is the layer that runs one, "
                "e.g. RNN(LSTM(2, 32, rngs=rngs)); the plain recurrent cell is cells.RNN; wrap other steps in Foreign."
            )
        choose(backend)
        self.cell = cell if isinstance(cell, Cell) else Foreign(cell)
        self.time_major, self.return_carry = time_major, return_carry
        self.reverse, self.keep_order, self.backend = reverse, keep_order, backend
        self.initial_carry = data(None)
        if learn_initial_carry:
            self.initial_carry = data(
                jax.tree.map(nnx.Param, self.cell.initialize_carry((self.cell.in_features or 1,)))
            )

    def __call__(
        self,
        inputs: jax.Array,
        *,
        initial_carry: Carry | None = None,
        seq_lengths: jax.Array | None = None,
        mask: jax.Array | None = None,
        resets: jax.Array | None = None,
        return_carry: bool | None = None,
        time_major: bool | None = None,
        reverse: bool | None = None,
        keep_order: bool | None = None,
    ) -> Any:
        """Runs the cell over ``inputs``; the last four arguments override those of the constructor.

        Args:
            inputs: ``[*batch, T, D]``, or ``[T, *batch, D]`` if time-major.
            initial_carry: ``[*batch, H]``; by default the learned one, or ``cell.initialize_carry``.
            seq_lengths: int ``[*batch]``, 0 to T: only the first steps exist. The carry is that at the length (the
                initial carry for length 0), outputs beyond it are 0, and nothing in the padding has any effect.
            mask: bool ``[*batch, T]`` (time-major: ``[T, *batch]``), in place of ``seq_lengths``: which steps exist.
            resets: bool like mask: before this step the carry becomes the initial carry. In reverse a sequence is
                cut at the same places.

        Raises:
            ValueError: wrong shapes; lengths below 0 or above T (checked outside `jax.jit`; inside it they act as 0 and
                T); both lengths and mask.
            TypeError: wrong dtypes, wrong structure of the carry.
        """
        time_major = self.time_major if time_major is None else time_major
        return_carry = self.return_carry if return_carry is None else return_carry
        reverse = self.reverse if reverse is None else reverse
        keep_order = self.keep_order if keep_order is None else keep_order

        xs = self._time_first(inputs, time_major)
        steps = xs.shape[: xs.ndim - self.cell.num_feature_axes]
        if seq_lengths is not None:
            if mask is not None:
                raise ValueError(
                    "seq_lengths and mask were both given; allowed: one of them. Drop one, or fold it into the other."
                )
            seq_lengths = check_lengths(seq_lengths, steps)
            mask = jnp.arange(steps[0]).reshape(-1, *(1,) * len(steps[1:])) < seq_lengths
        else:
            mask = _flags_first("mask", mask, steps, time_major)
        resets = _flags_first("resets", resets, steps, time_major)

        if reverse:
            xs, mask, resets = jnp.flip(xs, 0), _flip(mask), _flip_resets(resets, mask)
        carry, ys = unroll(
            self.cell, xs, self._carry(initial_carry, steps[1:]), mask=mask, resets=resets, backend=self.backend
        )
        if reverse and (keep_order or seq_lengths is not None):
            ys = jax.tree.map(lambda y: jnp.flip(y, 0), ys)
            if not keep_order:
                ys = jax.tree.map(lambda y: flip_sequences(y, seq_lengths), ys)
        ys = ys if time_major else jax.tree.map(lambda y: jnp.moveaxis(y, 0, len(steps) - 1), ys)
        return (carry, ys) if return_carry else ys

    @property
    def out_features(self) -> int | None:
        """H, the size of the outputs' last axis; None for a `Foreign` cell that does not tell."""
        return self.cell.hidden_features

    def _time_first(self, inputs: jax.Array, time_major: bool) -> jax.Array:
        xs = jnp.asarray(inputs)
        check_inputs(self.cell, xs)  # before the axes move: messages show the caller's shapes
        return xs if time_major else jnp.moveaxis(xs, -1 - self.cell.num_feature_axes, 0)

    def _carry(self, initial_carry: Carry | None, batch: tuple[int, ...]) -> Carry | None:
        if initial_carry is not None or self.initial_carry is None:
            return initial_carry
        return jax.tree.map(
            lambda c: jnp.broadcast_to(c[...], (*batch, *c.shape)),
            self.initial_carry,
            is_leaf=lambda c: isinstance(c, nnx.Variable),
        )


def check_lengths(seq_lengths: jax.Array, steps: tuple[int, ...]) -> jax.Array:
    """Raises where lengths are not int ``[*batch]`` from 0 to T, with ``steps`` ``(T, *batch)``; gives int32."""
    T, *batch = steps
    if not isinstance(seq_lengths, jax.Array):
        seq_lengths = np.asarray(seq_lengths)
    if not jnp.issubdtype(jnp.result_type(seq_lengths), jnp.integer):
        raise TypeError(
            f"seq_lengths has dtype {jnp.result_type(seq_lengths)}; allowed: integers. Use seq_lengths.astype(int)."
        )
    if jnp.shape(seq_lengths) != tuple(batch):
        raise ValueError(
            f"seq_lengths has shape {jnp.shape(seq_lengths)}; allowed: one length a sequence, {tuple(batch)}. "
            "Reshape it to that shape."
        )
    if not isinstance(seq_lengths, Tracer):  # under jit the values are not known yet
        values = np.asarray(seq_lengths)  # not jnp: a constant inside jit is known and must stay so
        low, high = values.min(), values.max()
        if low < 0 or high > T:
            raise ValueError(
                f"seq_lengths run from {low} to {high}; allowed: 0 to T = {T}. Clip them, or check which axis is time."
            )
    return jnp.clip(jnp.asarray(seq_lengths, jnp.int32), 0, T)


def flip_sequences(ys: jax.Array, seq_lengths: jax.Array | None) -> jax.Array:
    """Reverses each sequence within its length, the padding stays at the end: ``ys: [T, *batch, ...]``."""
    if seq_lengths is None:
        return jnp.flip(ys, 0)
    steps = jnp.arange(ys.shape[0]).reshape(-1, *(1,) * seq_lengths.ndim)
    source = jnp.where(steps < seq_lengths, seq_lengths - 1 - steps, steps)
    return jnp.take_along_axis(ys, source.reshape(*source.shape, *(1,) * (ys.ndim - source.ndim)), axis=0)


def _flags_first(name: str, flags: Any, steps: tuple[int, ...], time_major: bool) -> jax.Array | None:
    flags = check_flags(name, flags, steps if time_major else (*steps[1:], steps[0]))
    return flags if flags is None or time_major else jnp.moveaxis(flags, -1, 0)


def _flip(flags: jax.Array | None) -> jax.Array | None:
    return None if flags is None else jnp.flip(flags, 0)


def _flip_resets(resets: jax.Array | None, mask: jax.Array | None) -> jax.Array | None:
    """Cuts the reversed sequence where the forward one is cut: a step whose successor starts a segment starts anew."""
    if resets is None:
        return None
    mask = jnp.ones_like(resets) if mask is None else mask
    segment = jnp.cumsum(resets & mask, axis=0)
    none = jnp.full_like(segment[:1], -1)
    # The segment of the nearest later step that exists; segments only grow, so it is the smallest of the later ones.
    later = jax.lax.cummin(jnp.where(mask, segment, segment[-1:] + 1), axis=0, reverse=True)
    later = jnp.concatenate([later[1:], none])
    return jnp.flip((later > segment) & (later <= segment[-1:]), 0)
