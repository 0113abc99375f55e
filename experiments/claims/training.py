"""Learning: which lengths each cell masters, what it hears of the noise, and how it bears learning rates."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from experiments import parts
from experiments.claims.config import Config
from experiments.models import builder, clipped_adam
from recurrax.layers import SequenceModel
from recurrax.tasks import Adding
from recurrax.training import Plan
from recurrax.training.run import batch

CELLS = ("RNN", "identity RNN", "GRU", "LSTM")
UNCLIPPED = 1e30  # a norm that no gradient reaches
STABILITY_LENGTH = 30
SETTLED = 50  # updates after which a loss above twice the chance level counts as a spike


def learn(config: Config, length: int, cell: str) -> dict[str, Any]:
    """Every seed and learning rate of a cell on adding at one length, and what its models hear of the noise."""
    task = Adding(length)
    plan = Plan(
        steps=config.steps,
        batch_size=config.batch_size,
        chunk=config.chunk,
        seeds=config.seeds,
        sweep={"learning_rate": config.learning_rate},
    )
    build = builder(cell, task, config.hidden)
    history = parts.train(config, f"T={length} {cell}", build, task, clipped_adam, plan)
    heard = signal_to_noise(history.best_model, task, config.examples)
    return {**parts.outcome(history), "signal_to_noise": heard, "chance_level": task.chance_level()}


def signal_to_noise(models: SequenceModel, task: Adding, examples: int) -> np.ndarray:
    """How much more the answer depends on a marked value than on an unmarked one, for each model: ``[S]``.

    The ratio of the root mean squares of dy_T/dv_t over the marked and over the unmarked steps of held-out sequences.
    """
    xs = batch(task, jax.random.key(1), examples).inputs
    values, marked = 1 - task.marker_channel, xs[..., task.marker_channel] > 0

    def one(model: SequenceModel) -> jax.Array:
        slopes = jax.grad(lambda xs: jnp.sum(model(xs)[:, -1]))(xs)[..., values]
        rms = [jnp.sqrt(jnp.mean(slopes**2, where=steps)) for steps in (marked, ~marked)]
        return rms[0] / rms[1]

    return np.asarray(jax.jit(jax.vmap(one))(models))


def stability(config: Config, cell: str) -> dict[str, Any]:
    """Every learning rate with and without clipping: which runs diverge, which spike, and how far they get."""
    task = Adding(STABILITY_LENGTH)
    plan = Plan(
        steps=config.stability_steps,
        batch_size=config.batch_size,
        chunk=config.stability_steps,
        seeds=config.seeds,
        sweep={"learning_rate": config.stability_rates, "clip_norm": (1.0, UNCLIPPED)},
        stop_when_solved=False,
    )
    build = builder(cell, task, config.hidden)
    history = parts.train(config, f"stability {cell}", build, task, clipped_adam, plan)
    late = history.train_loss[:, min(SETTLED, config.stability_steps - 1) :]
    spikes = np.mean(~(late <= 2 * task.chance_level()), axis=1)  # NaN and infinity are spikes too
    return {**parts.outcome(history), "spikes": spikes, "chance_level": task.chance_level()}
