"""(c) How soon every initialisation of a cell solves the adding problem."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from experiments import parts
from experiments.initialization import starts
from experiments.initialization.config import Config
from experiments.models import clipped_adam
from recurrax.layers import RNN as Layer
from recurrax.layers import SequenceModel
from recurrax.tasks import Adding
from recurrax.training import Plan


def learn(config: Config, cell: str) -> dict[str, Any]:
    """Every initialisation of a cell at every learning rate and seed; all in one program, as its number is swept."""
    task = Adding(config.length)
    names = list(starts.starts(cell, config.hidden, config.length))
    build, plan = builder(config, task, cell), plan_of(config, len(names))
    history = parts.train(config, cell, build, task, clipped_adam, plan)
    return {**parts.outcome(history), "names": names, "chance_level": task.chance_level(), "criterion": task.criterion}


def plan_of(config: Config, count: int) -> Plan:
    """Seeds, learning rates and the numbers of that many initialisations."""
    return Plan(
        steps=config.steps,
        batch_size=config.batch_size,
        chunk=config.chunk,
        seeds=config.seeds,
        sweep={"learning_rate": config.learning_rate, "initialization": tuple(range(count))},
    )


def builder(config: Config, task: Adding, cell: str) -> Any:
    """``build(key, initialization) -> model``; a seed's initialisations share all that is not what they are about."""

    def build(key: jax.Array, initialization: jax.Array | float = 0) -> SequenceModel:
        cell_key, head_key = jax.random.split(key)
        choose = starts.any_start(cell, cell_key, task.in_features, config.hidden, config.length)
        layer = Layer(choose(jnp.asarray(initialization, int)))
        return SequenceModel(layer, task.out_features, rngs=nnx.Rngs(head_key))

    return build
