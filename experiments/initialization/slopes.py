"""(b) The gradient against lag at initialisation, for every initialisation of a cell."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from experiments.initialization import starts
from experiments.initialization.config import Config
from recurrax import Cell, gradflow

FEATURES = 2  # inputs of a step, as in the adding problem


def measure(config: Config, cell: str) -> dict[str, dict[str, Any]]:
    """Slopes of every initialisation of a cell, in nats per step of lag, over independent draws of weights and inputs.

    The loss is a random projection of the last output; the inputs are N(0, 1).
    """
    T, H = config.init_length, config.hidden
    cell_keys, input_keys, loss_keys = jax.random.split(jax.random.key(0), (3, config.init_seeds))
    xs = jax.vmap(lambda key: jax.random.normal(key, (T, FEATURES)))(input_keys)
    weights = jax.vmap(lambda key: jax.random.normal(key, (H,)))(loss_keys)
    results = {}
    for name, start in starts.starts(cell, H, config.length).items():
        cells = jax.vmap(lambda key, start=start: starts.build(cell, start, key, FEATURES, H))(cell_keys)
        gradients, jacobians, exponents, at_rest = flow(cells, xs, weights)
        slopes = gradflow.slope(gradients)
        results[name] = {
            "profile": gradflow.band(gradflow.by_lag(gradients))._asdict(),
            "slopes": np.asarray(slopes),
            "slope": float(np.median(slopes)),
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
    carry, T = cell.initialize_carry((FEATURES,)), len(xs)
    gradients = gradflow.state_gradients(cell, carry, xs, lambda carry, y: weights @ y)
    norms = gradflow.jacobian_norms(cell, carry, xs)
    exponents = gradflow.lyapunov_spectrum(cell, carry, xs, k=1, warmup=T // 4).exponents
    (at_rest,) = gradflow.jacobians(cell, carry, jnp.zeros((1, FEATURES)))
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
