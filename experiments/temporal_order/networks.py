"""The paper's networks, and Omega as a penalty on them."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from experiments.exploding_gradients.matrices import spectral_radius
from experiments.models import builder as models
from recurrax import Cell, gradflow
from recurrax.cells import RNNCell
from recurrax.initializers import normal
from recurrax.layers import RNN, SequenceModel
from recurrax.tasks import Example, MemoryTask

INPUTS = 15  # non-zero recurrent weights of each unit of "smart tanh"
RADIUS = 0.95  # its spectral radius


def sparse(key: jax.Array, shape: tuple[int, ...], dtype: Any = jnp.float32) -> jax.Array:
    """N(0, 1) at 15 random places of every row, zero elsewhere, scaled to spectral radius 0.95: ``[H, H]``.

    The rows are the units that a unit feeds, as in the authors' code; the text has 15 inputs to each unit.
    """
    values, places = jax.random.split(key)
    order = jnp.argsort(jax.random.uniform(places, shape), axis=1)
    weights = jnp.where(order < INPUTS, jax.random.normal(values, shape, dtype), 0)
    return RADIUS / spectral_radius(weights) * weights


STARTS: dict[str, tuple[Callable[..., jax.Array], float, Any]] = {
    "sigmoid": (jax.nn.sigmoid, 0.01, normal(0.01)),
    "basic tanh": (jnp.tanh, 0.1, normal(0.1)),
    "smart tanh": (jnp.tanh, 0.01, sparse),
}  # activation, deviation of input and output weights, recurrent weights; biases start at 0


def builder(network: str, task: MemoryTask, hidden: int) -> Callable[..., SequenceModel]:
    """``build(key) -> model`` of a name in `config.NETWORKS`."""
    if network not in STARTS:
        return models(network, task, hidden)
    activation, deviation, recurrent = STARTS[network]

    def build(key: jax.Array) -> SequenceModel:
        rngs = nnx.Rngs(key)
        cell = RNNCell(
            task.in_features, hidden, activation_fn=activation, kernel_init=normal(deviation),
            recurrent_kernel_init=recurrent, rngs=rngs,
        )  # fmt: skip
        model = SequenceModel(RNN(cell), task.out_features, rngs=rngs)
        head: Any = model.head
        head.kernel = nnx.Param(normal(deviation)(rngs.params(), head.kernel.shape, jnp.float32))
        return model

    return build


def omega(task: MemoryTask, model: Any, examples: Example, omega_weight: jax.Array | float = 1.0) -> jax.Array:
    """The weight times the mean of Omega over steps and examples, in the form of the authors' code: a scalar.

    An example that ends at step l-1, where its weight is, counts its l steps.
    """
    cell = Held(model.layer.cell)

    def one(example: Example) -> tuple[jax.Array, jax.Array]:
        real = jnp.cumsum(example.weights[::-1])[::-1] > 0
        xs = jnp.concatenate([example.inputs, real[:, None].astype(jnp.float32)], axis=-1)

        def loss(carry: Any, y: jax.Array) -> jax.Array:
            del carry
            return task.loss(jnp.broadcast_to(model.head(y), (len(xs), task.out_features)), example)

        terms = gradflow.omega(cell, cell.initialize_carry(xs.shape[1:]), xs, loss, form="squared", immediate="weights")
        return jnp.sum(terms), jnp.sum(real)

    terms, steps = jax.vmap(one)(examples)
    return omega_weight * jnp.sum(terms) / jnp.sum(steps)


def penalty(task: MemoryTask, weight: float) -> Callable[[Any, Example], jax.Array]:
    """`omega` of a task at a weight, as `recurrax.training.fit` takes it."""
    return functools.partial(omega, task, omega_weight=weight)


class Held(Cell):
    """A cell that keeps its carry where the last input, 1 or 0, is 0: there errors pass unchanged.

    Args:
        cell: of structure DENSE.
    """

    def __init__(self, cell: Cell):
        self.cell, self.states, self.structure = cell, cell.states, cell.structure
        self.in_features, self.hidden_features = (cell.in_features or 0) + 1, cell.hidden_features

    def project(self, x: jax.Array) -> tuple[jax.Array, ...]:
        """The cell's own, then whether the step is taken."""
        u = self.cell.project(x[..., :-1])
        return (*u, jnp.broadcast_to(x[..., -1:], u[0].shape))

    def mix(self, carry: Any) -> tuple[Any, ...]:
        """The cell's own; nothing for whether the step is taken."""
        return (*self.cell.mix(carry), None)

    def update(self, carry: Any, a: tuple[jax.Array, ...]) -> Any:
        """The cell's own, or the carry itself."""
        *own, taken = a
        return jax.tree.map(lambda new, old: jnp.where(taken > 0, new, old), self.cell.update(carry, tuple(own)), carry)

    def readout(self, carry: Any, x: jax.Array) -> Any:
        """The cell's own."""
        return self.cell.readout(carry, x[..., :-1])
