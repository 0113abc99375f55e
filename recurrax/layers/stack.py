"""A stack of layers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from recurrax.cell import data, show_signature
from recurrax.engines.engine import where
from recurrax.layers.bidirectional import Bidirectional
from recurrax.layers.block import Block
from recurrax.layers.rnn import RNN
from recurrax.layers.sequences import existing, last
from recurrax.pickling import Picklable


class Stack(Picklable, nnx.Module):
    """Stacks layers, with optional dropout, normalisation and residual connections between them.

    Args:
        layers: `RNN`, `Bidirectional` or `Block` layers, lowest first.
        dropout: rate between layers (not after the last), applied in a call that is given a ``dropout_key``.
        layer_norm: normalise the inputs of all layers but the lowest, before dropout, with a gain and a bias for each
            feature.
        residual: add a layer's input, before normalisation, to its output if both have the same shape.
        return_carry: return ``(tuple of carries, outputs)``.

    Raises:
        ValueError: there are no layers, the layers differ in time_major, a rate is outside [0, 1), or ``layer_norm``
            needs the size of a layer that does not know it.
        TypeError: an entry is not a layer.

    Source: dropout between layers only: Zaremba, Sutskever & Vinyals (2014); layer normalisation: Ba, Kiros & Hinton
    (2016).
    """

    def __init__(
        self,
        layers: Sequence[RNN | Bidirectional | Block],
        *,
        dropout: float = 0.0,
        layer_norm: bool = False,
        residual: bool = False,
        return_carry: bool = False,
    ):
        if not layers:
            raise ValueError("Stack got no layers; allowed: one or more. Give e.g. [RNN(LSTMCell(2, 32, rngs=rngs))].")
        for layer in layers:
            if not isinstance(layer, RNN | Bidirectional | Block):
                raise TypeError(
                    f"Stack got {type(layer).__name__}; allowed: RNN, Bidirectional or Block layers. Wrap the cell, "
                    "RNN(cell)."
                )
        if len({layer.time_major for layer in layers}) > 1:
            raise ValueError(
                "some layers of the Stack are time-major and some are not; allowed: all alike. Build them alike."
            )
        self.layers, self.time_major = data(list(layers)), layers[0].time_major
        self.dropout = check_dropout(dropout)
        self.norms = data([_norm(layer.out_features) for layer in layers[:-1]] if layer_norm else [])
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
        read: str = "every",
        rngs: nnx.Rngs | nnx.RngStream | None = None,
        dropout_key: jax.Array | None = None,
    ) -> Any:
        """Runs all layers over ``inputs: [*batch, T, D]``; the arguments are those of `RNN`, the same for all layers.

        ``initial_carry`` has one carry for each layer. Without a ``dropout_key`` there is no dropout (evaluation). With
        ``read="last"`` a residual connection of the last layer reads its input at the last valid step.
        """
        count = len(self.layers)
        if initial_carry is not None and len(initial_carry) != count:
            raise ValueError(
                f"initial_carry has {len(initial_carry)} entries; allowed: one for each of the {count} layers. "
                "Give None for a layer that starts from its own."
            )
        keys = [None] * count if dropout_key is None else list(jax.random.split(dropout_key, count))
        sequence = {"seq_lengths": seq_lengths, "mask": mask, "resets": resets, "return_carry": True, "rngs": rngs}
        carries, ys = [], inputs
        for index, layer in enumerate(self.layers):
            key = keys[index]
            below, above = (None, None) if key is None else jax.random.split(key)
            xs, first = ys, None if initial_carry is None else initial_carry[index]
            now = read if index == count - 1 else "every"
            carry, ys = layer(
                self._between(index, xs, below), initial_carry=first, read=now, dropout_key=above, **sequence
            )
            carries.append(carry)
            if self.residual:
                ys = ys + self._skipped(xs, ys, now, seq_lengths, mask)
        return_carry = self.return_carry if return_carry is None else return_carry
        return (tuple(carries), ys) if return_carry else ys

    def step(self, carry: Sequence[Any], x: jax.Array) -> tuple[tuple[Any, ...], jax.Array]:
        """One step of streaming inference: ``(one carry per layer, x: [*batch, D]) -> (carries, y: [*batch, O])``."""
        carries, y = [], x
        for index, (layer, state) in enumerate(zip(self.layers, carry, strict=True)):
            x = y
            state, y = layer.step(state, self._between(index, x, None))
            carries.append(state)
            if self.residual and y.shape == x.shape:
                y = y + x
        return tuple(carries), y

    def initialize_carry(self, input_shape: tuple[int, ...], rngs: nnx.Rngs | None = None) -> tuple[Any, ...]:
        """The initial carries for `step`, one per layer, for inputs ``[*batch, D]``."""
        sizes = [input_shape[-1], *(layer.out_features for layer in self.layers)]
        return tuple(
            layer.initialize_carry((*input_shape[:-1], size), rngs)
            for layer, size in zip(self.layers, sizes, strict=False)
        )

    @property
    def in_features(self) -> int | None:
        """D of the lowest layer."""
        return self.layers[0].in_features

    @property
    def out_features(self) -> int | None:
        """The size of the last layer's outputs."""
        return self.layers[-1].out_features

    def _between(self, index: int, xs: jax.Array, key: jax.Array | None) -> jax.Array:
        """The input of a layer, computed from the outputs below it."""
        if index == 0:
            return xs
        xs = self.norms[index - 1](xs) if self.norms else xs
        return drop(self.dropout, xs, key)

    def _skipped(self, xs: jax.Array, ys: jax.Array, read: str, seq_lengths: Any, mask: Any) -> jax.Array:
        """The term of a residual connection: the input, with 0 at masked steps; 0 if shapes differ."""
        axes = self.layers[0].num_feature_axes
        time = 0 if self.time_major else xs.ndim - axes - 1
        shape = xs.shape[:time] + xs.shape[time + 1 :] if read == "last" else xs.shape
        if shape != ys.shape:
            return jnp.zeros((), ys.dtype)
        xs = jnp.moveaxis(xs, time, 0)
        exists, _ = existing(seq_lengths, mask, xs.shape[:-axes], self.time_major)
        if read == "last":
            return last(xs, exists)
        xs = xs if exists is None else where(exists, xs, jnp.zeros_like(xs))
        return jnp.moveaxis(xs, 0, time)


show_signature(Stack)


def check_dropout(rate: float) -> nnx.Dropout:
    """Flax's dropout; raises ValueError if the rate is not in [0, 1)."""
    if isinstance(rate, bool) or not isinstance(rate, int | float) or not 0 <= rate < 1:
        raise ValueError(f"dropout={rate!r}; allowed: a rate in [0, 1). 0 is none.")
    return nnx.Dropout(rate)


def drop(dropout: nnx.Dropout, xs: jax.Array, key: jax.Array | None) -> jax.Array:
    """Applies dropout if a key is given."""
    return xs if key is None else dropout(xs, rngs=key)


def _norm(features: int | None) -> nnx.LayerNorm:
    if features is None:
        raise ValueError(
            "layer_norm=True needs the size of every layer's output, which a Foreign cell does not tell; allowed: "
            "layers that do. Set foreign.hidden_features to the size of the step's output."
        )
    return nnx.LayerNorm(features, rngs=nnx.Rngs(0))  # its parameters are not random
