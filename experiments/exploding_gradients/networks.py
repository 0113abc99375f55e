"""(a) How the gradient grows or falls with the lag, and (c) what plain gradient descent does, by spectral radius."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx

from experiments import lab
from experiments.exploding_gradients import surface
from experiments.exploding_gradients.config import Config
from experiments.exploding_gradients.matrices import gaussian, rotation
from recurrax import Cell, RNNCell, gradflow
from recurrax.engines import Engine, Scan
from recurrax.initializers import Initializer
from recurrax.layers import RNN, SequenceModel
from recurrax.tasks import Adding
from recurrax.training import History, Plan
from recurrax.training import sgd as plain_sgd

ACTIVATIONS: dict[str, Callable[[jax.Array], jax.Array]] = {
    "linear": lambda a: a, "tanh": jnp.tanh, "ReLU": jax.nn.relu,
}  # fmt: skip
FEATURES = 2  # inputs of a step in (a), as in the adding problem
CLIPPING = ("none", "norm", "value")  # what the swept number stands for
UNCLIPPED = 1e30  # a norm, and an entry, that no gradient reaches
FAR = 10  # times the chance level: a final loss above it counts as diverged


class Subject(NamedTuple):
    """A family of networks over the spectral radius: its matrices, and the scale of its N(0, 1) inputs."""

    recurrent: Callable[[jax.Array | float], Initializer]
    drive: float = 1.0


SUBJECTS: dict[str, dict[str, Subject]] = {
    "linear": {"linear, Gaussian": Subject(gaussian), "linear, orthogonal": Subject(rotation)},
    "tanh": {
        "tanh, Gaussian": Subject(gaussian),
        "tanh, orthogonal": Subject(rotation),
        "tanh, Gaussian, no input": Subject(gaussian, 0.0),
    },
}


def parts(config: Config) -> dict[str, Callable[[], Any]]:
    """The parts by name."""
    for rate in config.learning_rate:
        plain_sgd(rate, config.clip_norm, config.clip_value)
    task, engine = Adding(config.length), Scan(clip_cotangents=config.clip_cotangents)
    every, once = plan_of(config, tuple(range(len(CLIPPING)))), plan_of(config, (0,))
    measured: dict[str, Callable[[], Any]] = {
        f"gradient {activation}": functools.partial(measure, config, activation) for activation in SUBJECTS
    }
    measured["surface"] = functools.partial(surface.measure, config)
    measured["descent"] = functools.partial(surface.descend, config)
    for name in config.networks:
        inside = f"{name}, clipped in the recurrence"
        measured[f"training {name}"] = functools.partial(learn, config, task, every, name, name, "auto")
        measured[f"recurrence {name}"] = functools.partial(learn, config, task, once, name, inside, engine)
    return measured


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


def learn(
    config: Config, task: Adding, plan: Plan, activation: str, title: str, engine: Engine | str
) -> dict[str, Any]:
    """Every seed at every spectral radius, learning rate and way of clipping of a plan, in one program."""
    build = builder(config, task, activation, engine)
    with warnings.catch_warnings():  # divergence is the measurement here
        warnings.filterwarnings("ignore", ".*diverged|overflow encountered", RuntimeWarning)
        return outcome(lab.train(config, title, build, task, sgd(config), plan), task)


def plan_of(config: Config, clipping: tuple[int, ...]) -> Plan:
    """Seeds and the grid."""
    sweep = {"learning_rate": config.learning_rate, "clipping": clipping, "spectral_radius": config.training_radii}
    return lab.plan(config, sweep=sweep, stop_when_solved=False)


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
    """For every run whether it diverged, the share of clipped updates, gradients and the largest jump of the loss."""
    norms: Any = history.run.optimizer[0]  # type: ignore[index]
    return {
        **{name: values for name, values in lab.outcome(history).items() if name != "accuracy"},
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
