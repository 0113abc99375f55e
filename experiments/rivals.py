"""Recurrent nets and Transformers of equally many weights, which read and write tokens."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import jax
from flax import nnx

import recurrax as rx
from experiments.baselines.transformer import Transformer
from recurrax import cells
from recurrax.layers import RNN, Block, SequenceModel, Stack

LAYERS, HEADS, WINDOW, GRAIN = 2, 4, 512, 8  # blocks, heads, steps that the window holds, steps of a size
WINDOWED = f"Transformer, window {WINDOW}"


def recurrent(layers: Any, vocabulary: int, rngs: nnx.Rngs) -> SequenceModel:
    """Layers between an embedding and scores of all tokens."""
    return SequenceModel(layers, vocabulary, vocabulary=vocabulary, rngs=rngs)


def linear(features: int, rngs: nnx.Rngs) -> Stack:
    """Layers that are linear in their state, with residual connections."""
    return Stack([RNN(cells.MinGRUCell(features, features, rngs=rngs)) for _ in range(LAYERS)], residual=True)


def matrix(features: int, rngs: nnx.Rngs) -> Stack:
    """Blocks around matrix memories."""

    def cell() -> cells.GatedDeltaNetCell:
        return cells.GatedDeltaNetCell(features, features, heads=HEADS, rngs=rngs)

    return Stack([Block(cell(), norm_outputs=True, rngs=rngs) for _ in range(LAYERS)])


MODELS: dict[str, Callable[[int, int, nnx.Rngs], Any]] = {
    "LSTM": lambda F, V, rngs: recurrent(rx.LSTM(F, F, LAYERS, rngs=rngs), V, rngs),
    "GRU": lambda F, V, rngs: recurrent(rx.GRU(F, F, LAYERS, rngs=rngs), V, rngs),
    "MinGRU": lambda F, V, rngs: recurrent(linear(F, rngs), V, rngs),
    "GatedDeltaNet": lambda F, V, rngs: recurrent(matrix(F, rngs), V, rngs),
    "Transformer": lambda F, V, rngs: Transformer(V, F, V, LAYERS, heads=HEADS, tokens=True, rngs=rngs),
    WINDOWED: lambda F, V, rngs: Transformer(V, F, V, LAYERS, heads=HEADS, window=WINDOW, tokens=True, rngs=rngs),
}  # functions of features, tokens and a source of keys


def make(name: str, features: int, vocabulary: int, key: jax.Array) -> Any:
    """A model of `MODELS`, its layers of so many features."""
    return MODELS[name](features, vocabulary, nnx.Rngs(key))


def weights(model: Any) -> int:
    """Numbers that a model learns."""
    return sum(leaf.size for leaf in jax.tree.leaves(nnx.state(model, nnx.Param)))


@functools.cache
def features_of(name: str, wanted: int, vocabulary: int) -> int:
    """The size, in steps of 8, whose model is nearest to so many weights."""

    def count(features: int) -> int:
        shapes = jax.eval_shape(functools.partial(make, name, features, vocabulary), jax.random.key(0))
        return sum(leaf.size for leaf in jax.tree.leaves(shapes))

    size = GRAIN
    while count(size + GRAIN) <= wanted:
        size += GRAIN
    return min(size, size + GRAIN, key=lambda features: abs(count(features) - wanted))


def carry_of(model: Any, batch: int, context: int) -> Any:
    """The state of a model between two tokens; for a Transformer with room for a number of tokens."""
    if isinstance(model, Transformer):
        return model.initialize_carry(batch, context)
    return model.initialize_carry((batch,))


def nbytes(tree: Any) -> int:
    """Bytes of all arrays."""
    return sum(leaf.nbytes for leaf in jax.tree.leaves(tree))
