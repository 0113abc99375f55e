"""(c) Plain gradient descent from recurrent matrices of every spectral radius, with and without clipping."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx

from experiments import parts
from experiments.exploding_gradients.config import Config
from experiments.exploding_gradients.matrices import gaussian
from recurrax.cells import RNNCell
from recurrax.engines import Engine, Scan
from recurrax.layers import RNN, SequenceModel
from recurrax.tasks import Adding
from recurrax.training import History, Plan
from recurrax.training import sgd as plain_sgd

ACTIVATIONS: dict[str, Callable[[jax.Array], jax.Array]] = {"tanh": jnp.tanh, "ReLU": jax.nn.relu}
CLIPPING = ("none", "norm", "value")  # what the swept number stands for
UNCLIPPED = 1e30  # a norm, and an entry, that no gradient reaches
FAR = 10  # times the chance level: a final loss above it counts as diverged


class Norms(NamedTuple):
    """Norms of the gradient before clipping: of the first update, and the largest that was a number."""

    first: jax.Array
    largest: jax.Array


def sgd(config: Config) -> Callable[..., optax.GradientTransformation]:
    """``(learning_rate, clipping) -> transformation``; a number of `CLIPPING`, so that one program trains all."""

    def make(learning_rate: jax.Array | float, clipping: jax.Array | float = 0) -> optax.GradientTransformation:
        norm = jnp.where(clipping == CLIPPING.index("norm"), config.clip_norm, UNCLIPPED)
        value = jnp.where(clipping == CLIPPING.index("value"), config.clip_value, UNCLIPPED)
        return optax.chain(watch(), plain_sgd(learning_rate, norm, value))  # type: ignore[arg-type]

    return make


def watch() -> optax.GradientTransformation:
    """Leaves the gradient as it is and remembers its `Norms`."""

    def start(params: Any) -> Norms:
        del params
        return Norms(jnp.full((), jnp.nan), jnp.zeros(()))

    def update(gradient: Any, seen: Norms, params: Any = None) -> tuple[Any, Norms]:
        del params
        norm = jnp.sqrt(sum(jnp.sum(leaf**2) for leaf in jax.tree.leaves(gradient)))
        return gradient, Norms(jnp.where(jnp.isnan(seen.first), norm, seen.first), jnp.fmax(seen.largest, norm))

    return optax.GradientTransformation(start, update)  # type: ignore[arg-type]


def learn(config: Config, activation: str) -> dict[str, Any]:
    """Every seed at every spectral radius, way of clipping the gradient and learning rate; all in one program."""
    return fit(config, activation, activation, "auto", tuple(range(len(CLIPPING))))


def learn_in_recurrence(config: Config, activation: str) -> dict[str, Any]:
    """The same seeds, radii and rates, clipped between the steps of the backward pass instead."""
    engine = Scan(clip_cotangents=config.clip_cotangents)
    return fit(config, activation, f"{activation}, clipped in the recurrence", engine, (0,))


def fit(config: Config, activation: str, title: str, engine: Engine | str, clipping: tuple[int, ...]) -> dict[str, Any]:
    """One program, and what became of its runs."""
    task = Adding(config.length)
    build = builder(config, task, activation, engine)
    return outcome(parts.train(config, title, build, task, sgd(config), plan_of(config, clipping)), task)


def plan_of(config: Config, clipping: tuple[int, ...]) -> Plan:
    """Seeds and the grid."""
    return Plan(
        steps=config.steps,
        batch_size=config.batch_size,
        chunk=config.chunk,
        seeds=config.seeds,
        sweep={
            "learning_rate": config.learning_rate,
            "clipping": clipping,
            "spectral_radius": config.training_radii,
        },
        stop_when_solved=False,
    )


def builder(config: Config, task: Adding, activation: str, engine: Engine | str) -> Callable[..., SequenceModel]:
    """``build(key, spectral_radius) -> model``; a seed draws the same matrix at every radius, up to scale."""

    def build(key: jax.Array, spectral_radius: jax.Array | float = 1.0) -> SequenceModel:
        rngs = nnx.Rngs(key)
        cell = RNNCell(
            task.in_features,
            config.hidden,
            activation_fn=ACTIVATIONS[activation],
            recurrent_kernel_init=gaussian(spectral_radius),
            rngs=rngs,
        )
        return SequenceModel(RNN(cell, backend=engine), task.out_features, rngs=rngs)

    return build


def outcome(history: History, task: Adding) -> dict[str, Any]:
    """Of every run: whether it diverged, share of clipped updates, gradients and the largest jump of the loss."""
    norms: Any = history.run.optimizer[0]  # type: ignore[index]
    return {
        **{name: values for name, values in parts.outcome(history).items() if name != "accuracy"},
        "diverged": diverged(history.loss[:, -1], history.diverged_at, task.chance_level()),
        "first_gradient": norms.first,
        "largest_gradient": norms.largest,
        "spike": spike(np.asarray(history.train_loss, float)),
        "chance_level": task.chance_level(),
    }


def diverged(last_loss: np.ndarray, not_finite_at: np.ndarray, chance_level: float) -> np.ndarray:
    """Runs with a loss that was not finite, or a last held-out loss above `FAR` times the chance level: ``[S]``."""
    return ~(np.asarray(last_loss) <= FAR * chance_level) | (np.asarray(not_finite_at) >= 0)  # NaN is far


def spike(losses: np.ndarray) -> np.ndarray:
    """Largest ratio of a training loss to the one before it, ``[S, steps]`` to ``[S]``; infinite where one is not."""
    with np.errstate(all="ignore"):
        ratios = losses[:, 1:] / losses[:, :-1]
    return np.where(np.isfinite(losses).all(axis=1), ratios.max(axis=1), np.inf)
