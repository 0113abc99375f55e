"""The measurements: recurrent kernels, gradients at initialisation, and updates to solve the adding problem."""

from __future__ import annotations

import functools
import importlib.metadata
from collections.abc import Callable
from typing import Any

import flax.linen
import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from experiments import lab
from experiments.initialization import every_cell, starts
from experiments.initialization.starts import Config
from experiments.models import clipped_adam
from recurrax import Cell, Foreign, gradflow
from recurrax.cells import GRUCell, LSTMCell, RNNCell
from recurrax.layers import RNN, SequenceModel
from recurrax.tasks import Adding
from recurrax.training import Plan

FEATURES = 8  # inputs of a step in (a), N(0, 1)
INPUTS = 2  # the same in (b), as in the adding problem
NNX = (nnx.LSTMCell, nnx.OptimizedLSTMCell, nnx.GRUCell, nnx.SimpleCell)
LINEN = (flax.linen.LSTMCell, flax.linen.OptimizedLSTMCell, flax.linen.GRUCell)
OURS: dict[str, Callable[..., Cell]] = {
    "recurrax.LSTM, forget bias 0": lambda *sizes, **rest: LSTMCell(*sizes, forget_bias=0.0, **rest),  # as Flax's
    "recurrax.LSTM": LSTMCell,
    "recurrax.GRU": GRUCell,
    "recurrax.cells.RNN": RNNCell,
}


def parts(config: Config) -> dict[str, Any]:
    """(a) The kernels, (b) slopes, (c) training with the initialisations swept, and (d) slopes of all other cells."""
    task = Adding(config.length)
    found: dict[str, Any] = {"kernels": functools.partial(kernels, config)}
    found |= {f"slopes {cell}": functools.partial(slopes, config, cell) for cell in config.cells}
    for cell in config.cells:
        names = list(starts.starts(cell, config.hidden, config.length))
        sweep = {"learning_rate": config.learning_rate, "initialization": tuple(range(len(names)))}
        found[f"training {cell}"] = functools.partial(learn, config, cell, names, task, lab.plan(config, sweep=sweep))
    return found | {"every cell": lambda: {name: every_cell.measure(config, name) for name in config.every_cell}}


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


def kernels(config: Config) -> dict[str, Any]:
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


def gate_blocks(leaf: np.ndarray, hidden: int) -> np.ndarray:
    """``[S, H, G H]`` or ``[S, G, H, H]`` as ``[S, G, H, H]``."""
    if leaf.ndim == 4:
        return leaf
    return np.stack(np.split(leaf, leaf.shape[-1] // hidden, axis=-1), axis=1)


def slopes(config: Config, cell: str) -> dict[str, dict[str, Any]]:
    """Slopes of every initialisation of a cell, in nats per step of lag, over independent draws of weights and inputs.

    The loss is a random projection of the last output; the inputs are N(0, 1).
    """
    T, H = config.init_length, config.hidden
    cell_keys, input_keys, loss_keys = jax.random.split(jax.random.key(0), (3, config.init_seeds))
    xs = jax.vmap(lambda key: jax.random.normal(key, (T, INPUTS)))(input_keys)
    weights = jax.vmap(lambda key: jax.random.normal(key, (H,)))(loss_keys)
    results = {}
    for name, start in starts.starts(cell, H, config.length).items():
        cells = jax.vmap(lambda key, start=start: starts.build(cell, start, key, INPUTS, H))(cell_keys)
        gradients, jacobians, exponents, at_rest = flow(cells, xs, weights)
        found = gradflow.slope(gradients)
        results[name] = {
            "profile": gradflow.band(gradflow.by_lag(gradients))._asdict(),
            "slopes": np.asarray(found),
            "slope": float(np.median(found)),
            "jacobian_slope": float(np.median(gradflow.slope(jacobians))),
            "exponent": float(np.median(exponents)),
            "at_rest": rest_slope(np.asarray(at_rest)),
            "path": path_slope(cell, cells),
        }
    return results


@jax.jit  # on its own, so that cells which differ in their parameters alone compile once
@jax.vmap
def flow(cell: Cell, xs: jax.Array, weights: jax.Array) -> tuple[jax.Array, ...]:
    """``ln |dL/ds_t|`` of ``L = weights . y_T``, ``ln sigma_max(J_{t:T})``, the first exponent, and J at rest."""
    carry, T = cell.initialize_carry((INPUTS,)), len(xs)
    gradients = gradflow.state_gradients(cell, carry, xs, lambda carry, y: weights @ y)
    norms = gradflow.jacobian_norms(cell, carry, xs)
    exponents = gradflow.lyapunov_spectrum(cell, carry, xs, k=1, warmup=T // 4).exponents
    (at_rest,) = gradflow.jacobians(cell, carry, jnp.zeros((1, INPUTS)))
    return gradients, norms, exponents[0], at_rest


def rest_slope(jacobians: np.ndarray) -> float:
    """Slope at the fixed point 0 without input, ``ln max |eig J|``, median over ``[S, n, n]``; -inf where J is 0.

    In closed form J has there the eigenvalues ``f + i o eig(U_c)`` (LSTM), ``z + (1 - z) r eig(U_n)`` (GRU), ``eig U``.
    """
    largest = np.median(np.abs(np.linalg.eigvals(jacobians)).max(axis=-1))
    return float(np.log(largest)) if largest > 0 else -np.inf


def path_slope(cell: str, cells: Any) -> float | None:
    """Slope without recurrent weights, ``max_units ln sigmoid(b)`` of the gate that keeps; None where there is none."""
    if cell not in starts.KEEP:
        return None
    _, row = starts.KEEP[cell]
    slowest = np.asarray(cells.bias[...], np.float64)[:, row].max(axis=1)
    return float(np.median(-np.log1p(np.exp(-slowest))))


def learn(config: Config, cell: str, names: list[str], task: Adding, plan: Plan) -> dict[str, Any]:
    """Every initialisation of a cell at every learning rate and seed; all in one program, as its number is swept."""
    history = lab.train(config, cell, builder(config, task, cell), task, clipped_adam, plan)
    return {**lab.outcome(history), "names": names, "chance_level": task.chance_level(), "criterion": task.criterion}


def builder(config: Config, task: Adding, cell: str) -> Any:
    """``build(key, initialization) -> model``; a seed's initialisations share all that is not what they are about."""

    def build(key: jax.Array, initialization: jax.Array | float = 0) -> SequenceModel:
        cell_key, head_key = jax.random.split(key)
        choose = starts.any_start(cell, cell_key, task.in_features, config.hidden, config.length)
        layer = RNN(choose(jnp.asarray(initialization, int)))
        return SequenceModel(layer, task.out_features, rngs=nnx.Rngs(head_key))

    return build
