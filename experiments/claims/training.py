"""Training for the claims: short and long tasks, learning curves over data, and stability.

The learning rate of every cell, task and number of sequences is chosen from one grid by seeds that are not reported.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from experiments import lab
from experiments.claims.config import LINEAR, Config
from experiments.claims.limited import Digits, LimitedAdding, equal_units, model_of, owning
from experiments.compare import best_runs
from experiments.models import clipped_adam
from experiments.tuning import count
from recurrax.layers import SequenceModel
from recurrax.tasks import Adding, MemoryTask, Task
from recurrax.training import History
from recurrax.training.run import batch

KEPT = ("seeds", "settings", "solved_at", "diverged_at", "test_loss", "test_accuracy")
UNCLIPPED = 1e30  # a norm that no gradient reaches
GRID = 2  # number of grid seeds that choose the learning rates of the learning curves
STABILITY_LENGTH = 30
SETTLED = 50  # updates after which a loss above twice the chance level counts as a spike


def kept(history: History) -> dict[str, Any]:
    """The part of a record for a fit: the end of every run."""
    return {name: getattr(history, name) for name in KEPT}


def train(config: Config, title: str, build: Any, task: Task, optimizer: Any = clipped_adam, **plan: Any) -> History:
    """Trains a cell; that runs diverge at a high learning rate is what is being measured, so nothing warns of it."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*diverged", RuntimeWarning)
        return lab.train(config, title, build, task, optimizer, lab.plan(config, **plan))


def learn(config: Config, task: MemoryTask | Digits, title: str, cell: str) -> dict[str, Any]:
    """Every seed of a cell on a task at the learning rate that the grid chose, until all of them meet the criterion."""
    build = model_of(cell, task, config.hidden)
    if isinstance(task, Digits):
        build = owning(build, task.data.sizes[0])
    grid = train(config, f"grid {title} {cell}", build, task, seeds=config.grid_seeds)
    rate = best_rate(grid, np.full(len(grid), True))
    history = train(config, f"{title} {cell}", build, task, sweep={"learning_rate": (rate,)})
    found = {"learning_rate": rate, "grid": kept(grid), **kept(history)}
    if isinstance(task, Adding):
        found["chance_level"] = task.chance_level()
        if cell != LINEAR:
            found["signal_to_noise"] = signal_to_noise(history.best_model, task, config.examples)
    return found


def best_rate(grid: History, chosen: np.ndarray) -> float:
    """The learning rate of a grid at which most runs solved the task; then fewest updates, then lowest loss.

    The loss is the lowest held-out one, so the test influences no choice.
    """
    losses = np.nanmin(np.where(np.isfinite(grid.loss), grid.loss, np.inf), axis=1)
    rates = grid.settings["learning_rate"][chosen]
    found = {"solved_at": grid.solved_at[chosen], "settings": {"learning_rate": rates}, "test_loss": losses[chosen]}
    return float(rates[best_runs(found)][0])


def signal_to_noise(models: SequenceModel, task: Adding, examples: int) -> np.ndarray:
    """The ratio of the answer's dependence on marked and unmarked values, for each model: ``[S]``.

    The ratio of the root mean squares of dy_T/dv_t over the marked and over the unmarked steps of held-out sequences;
    NaN where every step is marked.
    """
    xs = batch(task, jax.random.key(1), examples).inputs
    values, marked = 1 - task.marker_channel, xs[..., task.marker_channel] > 0

    def one(model: SequenceModel) -> jax.Array:
        slopes = jax.grad(lambda xs: jnp.sum(model(xs)[:, -1]))(xs)[..., values]
        rms = [jnp.sqrt(jnp.mean(slopes**2, where=steps)) for steps in (marked, ~marked)]
        return rms[0] / rms[1]

    return np.asarray(jax.jit(jax.vmap(one))(models))


def data(config: Config, task: LimitedAdding | Digits, title: str, cell: str) -> dict[str, Any]:
    """Held-out errors of a cell against the number of training sequences, all numbers in one program.

    The model of a run is that with the lowest held-out loss of its evaluations, tested once on other examples.
    """
    sizes = numbers(config, task)
    units = equal_units(cell, task, config.weights)
    build = owning(model := model_of(cell, task, units), sizes[-1])
    everything = {"steps": config.data_steps, "stop_when_solved": False}
    swept = {"learning_rate": config.learning_rate, "count": sizes}
    seeds = config.grid_seeds[:GRID]
    grid = train(config, f"grid {title} {cell}", build, task, seeds=seeds, sweep=swept, **everything)
    rates = {size: best_rate(grid, grid.settings["count"] == size) for size in sizes}
    optimizer = adam_by_count(rates)
    history = train(config, f"{title} {cell}", build, task, optimizer, sweep={"count": sizes}, **everything)
    return {
        "units": units,
        "weights": count(model),
        "learning_rate": {str(size): rate for size, rate in rates.items()},
        "grid": kept(grid),
        **kept(history),
    }


def numbers(config: Config, task: LimitedAdding | Digits) -> tuple[int, ...]:
    """The numbers of training sequences in the settings, limited by the size of a data set."""
    most = task.data.sizes[0] if isinstance(task, Digits) else config.sequences[-1]
    return tuple(dict.fromkeys(min(number, most) for number in config.sequences))


def adam_by_count(rates: dict[int, float]) -> Callable[..., optax.GradientTransformation]:
    """Adam with the learning rate of a run's number of training sequences."""
    sizes, values = (jnp.asarray(numbers, jnp.float32) for numbers in (list(rates), list(rates.values())))

    def optimizer(count: Any) -> optax.GradientTransformation:
        rate: Any = jnp.sum(jnp.where(sizes == count, values, 0))
        return clipped_adam(rate)

    return optimizer


def stability(config: Config, task: Adding, cell: str) -> dict[str, Any]:
    """Every learning rate with and without clipping: which runs diverge, which spike, and how far they get."""
    sweep = {"learning_rate": config.stability_rates, "clip_norm": (1.0, UNCLIPPED)}
    steps = config.stability_steps
    build = model_of(cell, task, config.hidden)
    history = train(
        config, f"stability {cell}", build, task, sweep=sweep, steps=steps, chunk=steps, stop_when_solved=False
    )
    late = history.train_loss[:, min(SETTLED, steps - 1) :]
    spikes = np.mean(~(late <= 2 * task.chance_level()), axis=1)  # NaN and infinity are spikes too
    return {**kept(history), "clipped": history.clipped, "spikes": spikes, "chance_level": task.chance_level()}
