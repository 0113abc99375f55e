"""(a) Is the "orthogonal" recurrent kernel of each gate orthogonal, and what do the steps that follow make of it?"""

from __future__ import annotations

import importlib.metadata
from collections.abc import Callable
from typing import Any

import flax.linen
import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from experiments.initialization.config import Config
from recurrax import Cell, Foreign, gradflow
from recurrax.cells import GRUCell, LSTMCell, RNNCell

FEATURES = 8  # inputs of a step, N(0, 1)
NNX = (nnx.LSTMCell, nnx.OptimizedLSTMCell, nnx.GRUCell, nnx.SimpleCell)
LINEN = (flax.linen.LSTMCell, flax.linen.OptimizedLSTMCell, flax.linen.GRUCell)
OURS: dict[str, Callable[..., Cell]] = {
    "recurrax.LSTM, forget bias 0": lambda *sizes, **rest: LSTMCell(*sizes, forget_bias=0.0, **rest),  # as Flax's
    "recurrax.LSTM": LSTMCell,
    "recurrax.GRU": GRUCell,
    "recurrax.cells.RNN": RNNCell,
}


def subjects(hidden: int) -> dict[str, Callable[[jax.Array], Cell]]:
    """``key -> cell``, every cell with its own defaults; a name without an owner's prefix is Flax's module."""

    def of_nnx(kind: Any) -> Callable[[jax.Array], Cell]:
        return lambda key: Foreign(kind(FEATURES, hidden, rngs=nnx.Rngs(key)))

    def of_linen(kind: Any) -> Callable[[jax.Array], Cell]:
        module = kind(features=hidden)

        def build(key: jax.Array) -> Cell:
            carry = module.initialize_carry(key, (FEATURES,))
            return Foreign.linen(module, module.init(key, carry, jnp.zeros(FEATURES)))

        return build

    def of_ours(kind: Any) -> Callable[[jax.Array], Cell]:
        return lambda key: kind(FEATURES, hidden, rngs=nnx.Rngs(key))

    return {
        **{f"flax.nnx.{kind.__name__}": of_nnx(kind) for kind in NNX},
        **{f"flax.linen.{kind.__name__}": of_linen(kind) for kind in LINEN},
        **{name: of_ours(kind) for name, kind in OURS.items()},
    }


def measure(config: Config) -> dict[str, Any]:
    """Singular values of each gate's block, and ``ln |ds_k / ds_0|_2`` at lag k, of every cell and seed."""
    keys, input_keys = jax.random.split(jax.random.key(0), (2, config.init_seeds))
    xs = jax.vmap(lambda key: jax.random.normal(key, (config.lag, FEATURES)))(input_keys)

    def one(cell: Cell, xs: jax.Array) -> jax.Array:
        return gradflow.jacobian_norms(cell, cell.initialize_carry((FEATURES,)), xs)[0]

    entries = {}
    for name, build in subjects(config.hidden).items():
        cells = jax.vmap(build)(keys)
        blocks = np.stack([gate_blocks(leaf, config.hidden) for leaf in recurrent_kernels(cells, config.hidden)])
        sizes = np.linalg.svd(blocks.reshape(-1, config.hidden, config.hidden), compute_uv=False)
        entries[name] = {
            "gates": blocks.shape[0] * blocks.shape[2],
            "smallest": sizes.min(),
            "mean": sizes.mean(),
            "largest": sizes.max(),
            "log_jacobian": np.asarray(jax.jit(jax.vmap(one))(cells, xs)),
        }
    return {"flax": importlib.metadata.version("flax"), "cells": entries}


def recurrent_kernels(cells: Any, hidden: int) -> list[np.ndarray]:
    """The leaves ``[S, H, G H]`` and ``[S, G, H, H]`` of an ensemble, whatever they are called."""
    leaves = [np.asarray(leaf, np.float64) for leaf in jax.tree.leaves(cells)]
    rows = [leaf for leaf in leaves if leaf.ndim >= 3 and leaf.shape[-2] == hidden]
    return [leaf for leaf in rows if leaf.shape[-1] == hidden or (leaf.ndim == 3 and leaf.shape[-1] % hidden == 0)]


def gate_blocks(kernels: np.ndarray, hidden: int) -> np.ndarray:
    """``[S, H, G H]`` or ``[S, G, H, H]`` as ``[S, G, H, H]``."""
    if kernels.ndim == 4:
        return kernels
    return np.stack(np.split(kernels, kernels.shape[-1] // hidden, axis=-1), axis=1)
