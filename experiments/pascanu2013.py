"""Networks, Omega and mixed lengths of Pascanu, Mikolov & Bengio (2013), for the experiments that repeat theirs."""

from __future__ import annotations

import dataclasses
import functools
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, final

import jax
import jax.numpy as jnp
from flax import nnx

from experiments import lab
from experiments.exploding_gradients.matrices import spectral_radius
from experiments.models import builder as models
from experiments.tuning import count
from recurrax import Cell, gradflow
from recurrax.cells import RNNCell
from recurrax.initializers import normal
from recurrax.layers import RNN, SequenceModel
from recurrax.tasks import Example, MemoryTask, Task
from recurrax.training import History, Plan, adam, sgd

BATCH = 500  # sequences of a test that are in memory at once
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


@dataclass(frozen=True)
class Settings(lab.Settings):
    """The common settings of both experiments."""

    hidden: int = 50
    """Units of every network (H), at least 15."""
    learning_rate: float = 0.01
    """Learning rate of the three kinds of SGD, constant."""
    adam_rate: float = 1e-3
    """Learning rate of Adam."""
    clip_norm: float = 1.0
    """Largest norm of the gradient where it is clipped."""
    omega_weight: float = 4.0
    """Weight of Omega in SGD-CR: 4 in the paper, 2 in the code's defaults."""
    seeds: tuple[int, ...] = (10, 11, 12, 13, 14)
    """Training seeds; none of them chose a setting, and all are reported."""
    steps: int = 10_000
    """Updates at most, the same for every run."""
    batch_size: int = 20
    """Fresh examples of an update."""
    chunk: int = 500
    """Updates between evaluations; updates to success are known to this precision."""
    held_out: int = 10_000
    """Examples of an evaluation, and of the test."""

    def __post_init__(self) -> None:
        """Refuses also fewer units than smart tanh has inputs, and lengths that do not rise."""
        super().__post_init__()
        if self.hidden < INPUTS:
            self.refuse("hidden", f"an int >= {INPUTS}, the inputs of a unit of smart tanh")
        for field in dataclasses.fields(self):
            if field.name.endswith("lengths") and list(lengths := getattr(self, field.name)) != sorted(lengths):
                self.refuse(field.name, "one or more, rising")


def optimizer(config: Settings, method: str) -> Any:
    """The optimiser of a method: SGD, with clipping (SGD-C), with Omega too (SGD-CR), or Adam with clipping."""
    if method == "Adam":
        return adam(config.adam_rate, config.clip_norm)
    return sgd(config.learning_rate, None if method == "SGD" else config.clip_norm)


def train(
    config: Settings, title: str, network: str, method: str, task: MemoryTask | MixedLengths, plan: Plan
) -> tuple[History, dict[str, Any]]:
    """Every seed of a network by a method, and what a record keeps of it: that some diverge is part of the result."""
    build = builder(network, task.longest if isinstance(task, MixedLengths) else task, config.hidden)
    regulariser = penalty(task, config.omega_weight) if method == "SGD-CR" else None
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*diverged", RuntimeWarning)
        history = lab.train(config, title, build, task, optimizer(config, method), plan, regulariser)
    return history, lab.outcome(history) | {"parameters": count(build)}


def builder(network: str, task: MemoryTask, hidden: int) -> Callable[..., SequenceModel]:
    """``build(key) -> model`` of LSTM, GRU or a name in `STARTS`."""
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


def omega(task: Task, model: Any, examples: Example, omega_weight: jax.Array | float = 1.0) -> jax.Array:
    """The weight times the mean of Omega over steps and examples, in the form of the authors' code: a scalar.

    An example that ends at step l-1, where its weight is, counts its l steps.
    """
    cell = Held(model.layer.cell)

    def one(example: Example) -> tuple[jax.Array, jax.Array]:
        real = jnp.cumsum(example.weights[::-1])[::-1] > 0
        xs = jnp.concatenate([example.inputs, real[:, None].astype(jnp.float32)], axis=-1)

        def loss(carry: Any, y: jax.Array) -> jax.Array:
            del carry
            outputs = jnp.broadcast_to(model.head(y), (len(xs), model.head.out_features))
            return task.loss(outputs, example)

        terms = gradflow.omega(cell, cell.initialize_carry(xs.shape[1:]), xs, loss, form="squared", immediate="weights")
        return jnp.sum(terms), jnp.sum(real)

    terms, steps = jax.vmap(one)(examples)
    return omega_weight * jnp.sum(terms) / jnp.sum(steps)


def penalty(task: Task, weight: float) -> Callable[[Any, Example], jax.Array]:
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
        """The projection of the inner cell, and whether the step is taken."""
        u = self.cell.project(x[..., :-1])
        return (*u, jnp.broadcast_to(x[..., -1:], u[0].shape))

    def mix(self, carry: Any) -> tuple[Any, ...]:
        """The part of the inner cell; whether the step is taken does not depend on the carry."""
        return (*self.cell.mix(carry), None)

    def update(self, carry: Any, a: tuple[jax.Array, ...]) -> Any:
        """The update of the inner cell where the step is taken, the carry unchanged elsewhere."""
        *own, taken = a
        return jax.tree.map(lambda new, old: jnp.where(taken > 0, new, old), self.cell.update(carry, tuple(own)), carry)

    def readout(self, carry: Any, x: jax.Array) -> Any:
        """The output of the inner cell."""
        return self.cell.readout(carry, x[..., :-1])


@final
@dataclass(frozen=True)
class MixedLengths(Task):
    """One of several lengths of a task, equally likely for every example; shorter ones are padded with zeros.

    (The code of Pascanu et al. draws one length for all examples of a batch.)

    Args:
        tasks: the same task at each of the lengths.

    Raises:
        ValueError: there are none, or they differ in more than length.
    """

    tasks: tuple[MemoryTask, ...]

    def __post_init__(self) -> None:
        """Refuses tasks that one network could not learn."""
        kinds = {(task.name, task.variant, task.in_features, task.out_features) for task in self.tasks}
        if len(kinds) != 1:
            raise ValueError(f"tasks={self.tasks}; allowed: one or more, the same but for the length.")

    @property
    def longest(self) -> MemoryTask:
        """The task with the longest sequences."""
        return max(self.tasks, key=lambda task: task.sequence_length)

    @property
    def criterion(self) -> str:
        """The success criterion in words; it asks for more than those of the tasks."""
        return "no held-out answer wrong"

    def sample(self, key: jax.Array) -> Example:
        """Draws an example of each length and selects one."""
        choice, *keys = jax.random.split(key, len(self.tasks) + 1)
        T = self.longest.sequence_length

        def padded(array: jax.Array) -> jax.Array:
            return jnp.pad(array, [(0, T - len(array)), *[(0, 0)] * (array.ndim - 1)])

        drawn = [jax.tree.map(padded, task.sample(key)) for task, key in zip(self.tasks, keys, strict=True)]
        index = jax.random.randint(choice, (), 0, len(drawn))
        return jax.tree.map(lambda *arrays: jnp.stack(arrays)[index], *drawn)

    def loss(self, outputs: jax.Array, example: Example) -> jax.Array:
        """Lengths of the tasks."""
        return self.longest.loss(outputs, example)

    def accuracy(self, outputs: jax.Array, example: Example) -> jax.Array:
        """Lengths of the tasks."""
        return self.longest.accuracy(outputs, example)

    def success(self, loss: Any, accuracy: Any) -> Any:
        """Whether no answer is wrong, where the code of Pascanu et al. stops; elementwise on arrays."""
        return accuracy > 1 - 1e-6  # a float32 mean of ones may be rounded below 1


@functools.partial(jax.jit, static_argnums=(0, 3))
def accuracies(task: MemoryTask, models: Any, key: jax.Array, count: int) -> jax.Array:
    """Mean accuracy of several models on the same new examples with one answer each: ``[S]``.

    Only the state that answers is kept, so that memory does not grow with the length but for the examples themselves.
    """
    size = min(count, BATCH)
    batches = -(-count // size)
    keys = jax.random.split(key, batches * size).reshape(batches, size)

    def one(model: Any, examples: Example) -> jax.Array:
        cell = model.layer.cell

        def step(
            state: tuple[Any, jax.Array], point: tuple[jax.Array, jax.Array]
        ) -> tuple[tuple[Any, jax.Array], None]:
            (carry, kept), (x, weight) = state, point
            carry, y = cell(carry, x)
            return (carry, jnp.where(weight[:, None] > 0, y, kept)), None

        start = cell.initialize_carry(examples.inputs[:, 0].shape)
        points = jnp.moveaxis(examples.inputs, 1, 0), examples.weights.T
        (_, kept), _ = jax.lax.scan(step, (start, jnp.zeros((size, cell.hidden_features))), points)
        outputs = jnp.broadcast_to(model.head(kept)[:, None], (*examples.weights.shape, task.out_features))
        return jax.vmap(task.accuracy)(outputs, examples)

    def batch(keys: jax.Array) -> jax.Array:
        examples = jax.vmap(task.sample)(keys)
        return jax.vmap(one, in_axes=(0, None))(models, examples)

    found = jax.lax.map(batch, keys)  # [batches, S, size]
    return jnp.mean(jnp.moveaxis(found, 1, 0).reshape(found.shape[1], -1)[:, :count], axis=1)
