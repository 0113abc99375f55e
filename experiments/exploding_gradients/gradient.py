"""(a) How the gradient grows or falls with the lag, for recurrent matrices of a given spectral radius."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from experiments.exploding_gradients.config import Config
from experiments.exploding_gradients.matrices import gaussian, rotation
from recurrax import Cell, RNNCell, gradflow
from recurrax.initializers import Initializer

FEATURES = 2  # inputs of a step, as in the adding problem


class Subject(NamedTuple):
    """A family of networks over the spectral radius: its matrices, and the scale of its N(0, 1) inputs."""

    recurrent: Callable[[jax.Array | float], Initializer]
    drive: float = 1.0


ACTIVATIONS: dict[str, Callable[[jax.Array], jax.Array]] = {"linear": lambda a: a, "tanh": jnp.tanh}
SUBJECTS: dict[str, dict[str, Subject]] = {
    "linear": {"linear, Gaussian": Subject(gaussian), "linear, orthogonal": Subject(rotation)},
    "tanh": {
        "tanh, Gaussian": Subject(gaussian),
        "tanh, orthogonal": Subject(rotation),
        "tanh, Gaussian, no input": Subject(gaussian, 0.0),
    },
}


def measure(config: Config, activation: str) -> dict[str, Any]:
    """Every family of an activation at every spectral radius and seed, in one program; arrays are ``[R, S]``.

    The loss is a random projection of the last output; the initial state is N(0, 1). A seed has the same draws, up to
    scale, at every radius.
    """
    families = SUBJECTS[activation]
    networks = [network(config, activation, subject) for subject in families.values()]
    merged = jax.tree.map(lambda *leaves: jnp.concatenate(leaves), *networks)
    found = jax.tree.map(np.asarray, flow(*merged))
    each = {}
    R, S = len(config.radii), config.init_seeds
    for index, name in enumerate(families):
        rows = slice(index * R * S, (index + 1) * R * S)
        entry = {key: values[rows].reshape(R, S, *values.shape[1:]) for key, values in found.items()}
        growth = entry.pop("growth")  # [R, S, T+1] by lag
        at = int(np.argmin(np.abs(np.asarray(config.radii) - config.transient)))
        entry["transient"] = growth.max(axis=-1)
        entry["transient_at"] = growth.argmax(axis=-1)
        entry["profile"] = np.quantile(growth[at], [0.1, 0.5, 0.9], axis=0, method="nearest")
        each[name] = entry
    return each


def network(config: Config, activation: str, subject: Subject) -> tuple[Cell, jax.Array, jax.Array, jax.Array]:
    """A family's cells, initial states ``[N, H]``, inputs ``[N, T, D]`` and loss weights ``[N, H]``, N = R S."""
    T, H = config.init_length, config.hidden
    keys = jax.random.split(jax.random.key(0), (4, config.init_seeds))

    def one(radius: jax.Array, *keys: jax.Array) -> tuple[Cell, jax.Array, jax.Array, jax.Array]:
        cell = RNNCell(
            FEATURES,
            H,
            activation_fn=ACTIVATIONS[activation],
            recurrent_kernel_init=subject.recurrent(radius),
            rngs=nnx.Rngs(keys[0]),
        )
        state, xs, weights = (
            jax.random.normal(key, shape) for key, shape in zip(keys[1:], ((H,), (T, FEATURES), (H,)), strict=True)
        )
        return cell, state, subject.drive * xs, weights

    over_seeds = jax.vmap(one, in_axes=(None, 0, 0, 0, 0))
    grid = jax.vmap(over_seeds, in_axes=(0, None, None, None, None))(jnp.asarray(config.radii), *keys)
    return jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[2:]), grid)


@jax.jit
@jax.vmap
def flow(cell: RNNCell, state: jax.Array, xs: jax.Array, weights: jax.Array) -> dict[str, jax.Array]:
    """Slopes of ``ln |dL/ds|`` and ``ln sigma_max(J)``, the first exponent, ``sigma_max(U)``, growth of the product."""
    gradients = gradflow.state_gradients(cell, state, xs, lambda carry, y: weights @ y)
    products = gradflow.jacobian_norms(cell, state, xs)
    return {
        "slope": gradflow.slope(gradients),
        "jacobian_slope": gradflow.slope(products),
        "exponent": gradflow.lyapunov_spectrum(cell, state, xs, k=1, warmup=len(xs) // 4).exponents[0],
        "largest": jnp.linalg.norm(cell.recurrent_kernel[0], 2),
        "growth": gradflow.by_lag(products),
    }
