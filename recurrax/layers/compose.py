"""Layers made of layers: two directions, and one above the other."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from recurrax.cell import data
from recurrax.engines.engine import where
from recurrax.layers.rnn import RNN


def concatenate(forward: jax.Array, backward: jax.Array) -> jax.Array:
    """``[..., H], [..., H]`` to ``[..., 2H]``."""
    return jnp.concatenate([forward, backward], axis=-1)


class Bidirectional(nnx.Module):
    """One layer forward in time and one backward, their outputs merged step by step.

    Args:
        forward_rnn: `RNN`; runs as it is set up.
        backward_rnn: `RNN` with a cell of its own; run in reverse, its outputs in the order of the inputs.
        merge_fn: joins the two outputs ``[..., H]``; by default concatenates them to ``[..., 2H]``.
        return_carry: return ``((forward carry, backward carry), outputs)``.

    Raises:
        TypeError: a direction is no `RNN`.
        ValueError: one is time-major and the other is not, or both are the same object.

    Source: Schuster & Paliwal (1997).
    """

    def __init__(
        self,
        forward_rnn: RNN,
        backward_rnn: RNN,
        *,
        merge_fn: Callable[[jax.Array, jax.Array], jax.Array] = concatenate,
        return_carry: bool = False,
    ):
        for rnn in (forward_rnn, backward_rnn):
            if not isinstance(rnn, RNN):
                raise TypeError(
                    f"Bidirectional got {type(rnn).__name__}; allowed: two RNN layers. Wrap the cell, RNN(cell)."
                )
        if forward_rnn.time_major != backward_rnn.time_major:
            raise ValueError(
                f"time_major is {forward_rnn.time_major} forward and {backward_rnn.time_major} backward; "
                "allowed: the same. Build both layers alike."
            )
        if forward_rnn is backward_rnn or forward_rnn.cell is backward_rnn.cell:
            raise ValueError(
                "both directions are the same object; allowed: two. Build a second cell with keys of its own."
            )
        self.forward_rnn, self.backward_rnn, self.time_major = forward_rnn, backward_rnn, forward_rnn.time_major
        self.merge_fn, self.return_carry = merge_fn, return_carry

    def __call__(
        self,
        inputs: jax.Array,
        *,
        initial_carry: tuple[Any, Any] | None = None,
        seq_lengths: jax.Array | None = None,
        mask: jax.Array | None = None,
        resets: jax.Array | None = None,
        return_carry: bool | None = None,
    ) -> Any:
        """Runs both directions over ``inputs: [*batch, T, D]``; the arguments are those of `RNN`."""
        forward, backward = (None, None) if initial_carry is None else initial_carry
        sequence = {"seq_lengths": seq_lengths, "mask": mask, "resets": resets, "return_carry": True}
        c_forward, ys = self.forward_rnn(inputs, initial_carry=forward, **sequence)
        c_backward, zs = self.backward_rnn(inputs, initial_carry=backward, reverse=True, keep_order=True, **sequence)
        outputs = jax.tree.map(self.merge_fn, ys, zs)
        return_carry = self.return_carry if return_carry is None else return_carry
        return ((c_forward, c_backward), outputs) if return_carry else outputs

    @property
    def out_features(self) -> int | None:
        """The size of the merged outputs' last axis; None if a cell does not tell its own."""
        sizes = self.forward_rnn.out_features, self.backward_rnn.out_features
        if None in sizes:
            return None
        return jax.eval_shape(self.merge_fn, *(jax.ShapeDtypeStruct((1, size), jnp.float32) for size in sizes)).shape[
            -1
        ]


class Stack(nnx.Module):
    """Layers one above the other, with dropout between them and optional residual connections.

    Args:
        layers: `RNN` or `Bidirectional` layers, lowest first.
        dropout: rate between layers (not after the last), applied in a call that is given a ``dropout_key``.
        residual: add a layer's input to its output wherever both have the same shape.
        return_carry: return ``(tuple of carries, outputs)``.

    Raises:
        ValueError: no layers, layers that differ in time_major, or a rate outside [0, 1).
        TypeError: an entry is no layer.

    Source: dropout between layers only: Zaremba, Sutskever & Vinyals (2014).
    """

    def __init__(
        self,
        layers: Sequence[RNN | Bidirectional],
        *,
        dropout: float = 0.0,
        residual: bool = False,
        return_carry: bool = False,
    ):
        if not layers:
            raise ValueError("Stack got no layers; allowed: one or more. Give e.g. [RNN(LSTM(2, 32, rngs=rngs))].")
        for layer in layers:
            if not isinstance(layer, RNN | Bidirectional):
                raise TypeError(
                    f"Stack got {type(layer).__name__}; allowed: RNN or Bidirectional layers. Wrap the cell, RNN(cell)."
                )
        if len({layer.time_major for layer in layers}) > 1:
            raise ValueError(
                "some layers of the Stack are time-major and some are not; allowed: all alike. Build them alike."
            )
        self.layers, self.time_major = data(list(layers)), layers[0].time_major
        self.dropout = check_dropout(dropout)
        self.residual, self.return_carry = residual, return_carry

    def __call__(
        self,
        inputs: jax.Array,
        *,
        initial_carry: Sequence[Any] | None = None,
        seq_lengths: jax.Array | None = None,
        mask: jax.Array | None = None,
        resets: jax.Array | None = None,
        return_carry: bool | None = None,
        dropout_key: jax.Array | None = None,
    ) -> Any:
        """Runs all layers over ``inputs: [*batch, T, D]``; the arguments are those of `RNN`.

        Args:
            inputs: ``[*batch, T, D]``.
            initial_carry: one carry for each layer.
            seq_lengths: see `RNN`; the same for all layers, as are ``mask`` and ``resets``.
            mask: see `RNN`.
            resets: see `RNN`.
            return_carry: overrides that of the constructor.
            dropout_key: PRNG key; without one there is no dropout (evaluation).
        """
        count = len(self.layers)
        if initial_carry is not None and len(initial_carry) != count:
            raise ValueError(
                f"initial_carry has {len(initial_carry)} entries; allowed: one for each of the {count} layers. "
                "Give None for a layer that starts from its own."
            )
        keys = [None] * count if dropout_key is None else list(jax.random.split(dropout_key, count))
        carries, ys = [], inputs
        for index, layer in enumerate(self.layers):
            xs = ys if index == 0 else drop(self.dropout, ys, keys[index])
            first = None if initial_carry is None else initial_carry[index]
            carry, ys = layer(
                xs, initial_carry=first, seq_lengths=seq_lengths, mask=mask, resets=resets, return_carry=True
            )
            carries.append(carry)
            if self.residual and ys.shape == xs.shape:
                ys = ys + self._existing(xs, seq_lengths, mask)
        return_carry = self.return_carry if return_carry is None else return_carry
        return (tuple(carries), ys) if return_carry else ys

    def _existing(self, xs: jax.Array, seq_lengths: Any, mask: Any) -> jax.Array:
        """``xs``, and 0 at steps that do not exist: what stands there must not reach the outputs."""
        if seq_lengths is not None:
            lengths = jnp.asarray(seq_lengths)
            if self.time_major:
                mask = jnp.arange(xs.shape[0]).reshape(-1, *(1,) * lengths.ndim) < lengths
            else:
                mask = jnp.arange(xs.shape[lengths.ndim]) < lengths[..., None]
        return xs if mask is None else where(jnp.asarray(mask), xs, jnp.zeros_like(xs))

    @property
    def out_features(self) -> int | None:
        """The size of the last layer's outputs."""
        return self.layers[-1].out_features


def check_dropout(rate: float) -> nnx.Dropout:
    """Flax's dropout; raises ValueError where the rate is not in [0, 1)."""
    if not 0 <= rate < 1:
        raise ValueError(f"dropout={rate!r}; allowed: a rate in [0, 1). 0 is none.")
    return nnx.Dropout(rate)


def drop(dropout: nnx.Dropout, xs: jax.Array, key: jax.Array | None) -> jax.Array:
    """Dropout with a key; without one, nothing."""
    return xs if key is None else dropout(xs, rngs=key)
