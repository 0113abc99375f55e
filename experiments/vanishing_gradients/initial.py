"""(a) Gradient against lag at initialisation, with controls whose slope is known in closed form."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from experiments.vanishing_gradients.config import Config
from recurrax import Cell, GRUCell, LSTMCell, RNNCell, gradflow
from recurrax.initializers import Chrono, identity, normal, orthogonal, zeros

FEATURES = 2  # inputs of a step, as in the adding problem


class Subject(NamedTuple):
    """A cell at initialisation, the inputs it reads, and its slope in nats per step where a closed form exists."""

    build: Callable[[jax.Array], Cell]
    inputs: Callable[..., jax.Array] = jax.random.normal
    closed_form: float | None = None


def subjects(config: Config) -> dict[str, Subject]:
    """The cells compared: the default of each, and the initialisations that change the story."""
    D, H = FEATURES, config.hidden
    return {
        "tanh RNN": Subject(lambda key: RNNCell(D, H, rngs=nnx.Rngs(key))),
        "IRNN": Subject(
            lambda key: RNNCell(
                D,
                H,
                activation_fn=jax.nn.relu,
                kernel_init=normal(1e-3),
                recurrent_kernel_init=identity(),
                rngs=nnx.Rngs(key),
            )
        ),
        "GRU": Subject(lambda key: GRUCell(D, H, rngs=nnx.Rngs(key))),
        "LSTM, forget bias 0": Subject(lambda key: LSTMCell(D, H, forget_bias=0.0, rngs=nnx.Rngs(key))),
        "LSTM, forget bias 1": Subject(lambda key: LSTMCell(D, H, forget_bias=1.0, rngs=nnx.Rngs(key))),
        "LSTM, chrono": Subject(lambda key: LSTMCell(D, H, forget_bias=Chrono(config.init_length), rngs=nnx.Rngs(key))),
    }


def controls(config: Config) -> dict[str, Subject]:
    """Cells whose slope is known: linear ones, gates without recurrent weights, and states that stay positive.

    With ``U = 0`` and no input the gates are constant, and only the path c to c (GRU: h to h) is left.
    """
    D, H, silent = FEATURES, config.hidden, jnp.zeros
    gamma = 0.95

    def linear(key: jax.Array) -> Cell:
        return RNNCell(D, H, activation_fn=lambda a: a, recurrent_kernel_init=orthogonal(gamma), rngs=nnx.Rngs(key))

    def lstm(bias: float) -> Callable[[jax.Array], Cell]:
        return lambda key: LSTMCell(D, H, forget_bias=bias, recurrent_kernel_init=zeros, rngs=nnx.Rngs(key))

    def positive(key: jax.Array, shape: tuple[int, ...]) -> jax.Array:
        return jnp.abs(jax.random.normal(key, shape))

    def irnn(key: jax.Array) -> Cell:
        def kernel(key: jax.Array, shape: tuple[int, ...], dtype) -> jax.Array:
            return jnp.abs(normal(1e-3)(key, shape, dtype))

        options = {"kernel_init": kernel, "recurrent_kernel_init": identity()}
        return RNNCell(D, H, activation_fn=jax.nn.relu, rngs=nnx.Rngs(key), **options)

    def no_input(key: jax.Array, shape: tuple[int, ...]) -> jax.Array:
        return silent(shape)

    return {
        "linear RNN, U = 0.95 Q": Subject(linear, closed_form=math.log(gamma)),
        "tanh RNN, orthogonal U, at rest": Subject(lambda key: RNNCell(D, H, rngs=nnx.Rngs(key)), no_input, 0.0),
        "IRNN, positive inputs": Subject(irnn, positive, 0.0),
        "LSTM, U = 0, forget bias 0": Subject(lstm(0.0), no_input, math.log(1 / 2)),
        "LSTM, U = 0, forget bias 1": Subject(lstm(1.0), no_input, -math.log1p(math.exp(-1))),
        "GRU, U = 0": Subject(
            lambda key: GRUCell(D, H, recurrent_kernel_init=zeros, rngs=nnx.Rngs(key)), no_input, math.log(1 / 2)
        ),
    }


def measure(subject: Subject, config: Config) -> dict[str, Any]:
    """Gradient and Jacobian product against lag, over independent draws of weights and inputs.

    The loss is a random projection of the last output; see `gradflow.state_gradients` and `gradflow.jacobian_norms`.
    """
    cell_keys, input_keys, loss_keys = jax.random.split(jax.random.key(0), (3, config.init_seeds))
    cells = jax.vmap(subject.build)(cell_keys)
    xs = jax.vmap(lambda key: subject.inputs(key, (config.init_length, FEATURES)))(input_keys)
    weights = jax.vmap(lambda key: jax.random.normal(key, (config.hidden,)))(loss_keys)
    gradients, jacobians = log_norms(cells, xs, weights)
    slopes = gradflow.slope(gradients)
    return {
        "profile": profile(gradients),
        "slopes": np.asarray(slopes),
        "slope": float(np.median(slopes)),
        "jacobian_slope": float(np.median(gradflow.slope(jacobians))),
        "closed_form": subject.closed_form,
    }


@jax.jit  # on its own, so that cells which differ in their parameters alone compile once
@jax.vmap
def log_norms(cell: Cell, xs: jax.Array, weights: jax.Array) -> tuple[jax.Array, jax.Array]:
    """``ln |dL/ds_t|`` of ``L = weights . y_T`` and ``ln sigma_max(J_{t:T})``, both ``[T+1]``."""
    carry = cell.initialize_carry((FEATURES,))
    gradients = gradflow.state_gradients(cell, carry, xs, lambda carry, y: weights @ y)
    return gradients, gradflow.jacobian_norms(cell, carry, xs)


def profile(log_norms: jax.Array) -> dict[str, np.ndarray]:
    """Median and 10-90% band over examples of ``ln |dL/ds_{T-k}| - ln |dL/ds_T|`` at every lag k; from ``[S, T+1]``."""
    band = gradflow.band(gradflow.by_lag(log_norms))
    return {name: np.asarray(values) for name, values in band._asdict().items()}
