"""Many runs in three compiled programs: all seeds times all swept hyperparameters."""

from __future__ import annotations

import dataclasses
import functools
import itertools
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from recurrax.tasks import Example, FiniteTask, HostTask, Stream
from recurrax.training.mesh import make_mesh, place, replicated, sharded_by_run, split_batch
from recurrax.training.optimizers import accepted_by, averaged, learning_rates, transformation
from recurrax.training.parameters import Model, parameters, with_parameters
from recurrax.training.run import Metrics, Recipe, Run, batch

Sweep = Mapping[str, Sequence[float]]


class Best(NamedTuple):
    """The model of each run with the best monitored metric so far, and the metric."""

    model: Model
    value: jax.Array


class State(NamedTuple):
    """The complete state of an ensemble; every leaf has a leading axis S."""

    run: Run
    best: Best


def grid(seeds: Sequence[int], sweep: Sweep) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """All seeds at all points of the sweep: seeds ``[S]`` and settings ``{name: [S]}``; seeds vary fastest."""
    points = list(itertools.product(*sweep.values(), seeds))
    columns = list(zip(*points, strict=True))
    settings = {name: np.asarray(column, np.float64) for name, column in zip(sweep, columns, strict=False)}
    return np.asarray(columns[-1]), settings


def check_sweep(recipe: Recipe, sweep: Sweep) -> None:
    """Raises if the recipe does not accept a swept name or one of its values."""
    for name in sweep:
        takers = (recipe.build, recipe.optimizer, *([recipe.penalty] if recipe.penalty else []))
        if not any(accepted_by(taker, {name: None}) for taker in takers):  # type: ignore
            raise ValueError(
                f"sweep names {name!r}, which neither build(key, ...) nor the optimizer takes; allowed: arguments "
                f"of either, or of the penalty. Write build(key, {name}), or give a function such as training.adam as "
                "optimizer."
            )
    for point in itertools.product(*sweep.values()):
        transformation(recipe.optimizer, dict(zip(sweep, point, strict=True)))  # checks plain numbers


@dataclasses.dataclass(frozen=True)
class Ensemble:
    """The programs of one recipe on one mesh: `start`, `train` and `judge`.

    Args:
        recipe: the model, task and optimiser.
        mesh: the devices.
        held_out: examples per evaluation; for a `FiniteTask` or `HostTask` the size of an evaluation batch.
    """

    recipe: Recipe
    mesh: Mesh
    held_out: int = 512

    def start(self, seeds: np.ndarray, settings: dict[str, np.ndarray]) -> State:
        """Initialises all runs at step 0.

        It is not jitted, so that each initialiser compiles once per shape instead of once per ensemble.
        """
        runs = jax.vmap(self.recipe.start)(
            jnp.asarray(seeds), {k: jnp.asarray(v, jnp.float32) for k, v in settings.items()}
        )
        worst = jnp.inf if self.recipe.task.mode == "min" else -jnp.inf
        best = Best(runs.model, jnp.full(len(seeds), worst))
        return place(State(runs, best), sharded_by_run(self.mesh))

    def judge(self, split: str) -> Any:
        """``(models, rates, best, examples) -> (metrics {name: [S]}, best)`` on a split; no examples for a `Stream`.

        The learning rates are returned as metrics. Except for a `Stream`, all splits use the same program.
        """
        task = self.recipe.task

        def one(model: Model, rates: Metrics, best: Best, examples: Example | None) -> tuple[Metrics, Best]:
            metrics = self.evaluate(model, examples, split)
            value = metrics[task.monitor].astype(best.value.dtype)
            better = value < best.value if task.mode == "min" else value > best.value
            better &= jnp.isfinite(value)
            found = Best(model, value)
            return metrics | rates, jax.tree.map(lambda new, old: jnp.where(better, new, old), found, best)

        whole = replicated(self.mesh)
        ensemble = jax.vmap(one, in_axes=(0, 0, 0, None), spmd_axis_name="run")
        return jax.jit(ensemble, out_shardings=(whole, sharded_by_run(self.mesh)))

    def evaluate(self, model: Model, examples: Example | None, split: str) -> Metrics:
        """The metrics of one model on a `Stream`, on a whole split, or on drawn examples."""
        if examples is None:
            return self.recipe.evaluate_stream(model, split)
        if isinstance(self.recipe.task, FiniteTask | HostTask):
            return self.recipe.evaluate_split(model, examples, self.held_out)
        return self.recipe.evaluate(model, examples)

    def train(self, steps: int) -> Any:
        """``(run, active [S], batches) -> (run, losses [S, steps])``; inactive runs do not change and have NaN losses.

        The batches, ``[steps, B, ...]``, come from a `HostTask` and are the same for all runs; None for other tasks.
        """

        def one(run: Run, active: jax.Array, batches: Example | None) -> tuple[Run, jax.Array]:
            new, losses = self.recipe.chunk(steps, run, batches)
            new = jax.tree.map(lambda new, old: jnp.where(active, new, old), new, run)
            return new, jnp.where(active, losses, jnp.nan)

        ensemble = jax.vmap(one, in_axes=(0, 0, None), spmd_axis_name="run")
        return jax.jit(ensemble, out_shardings=(sharded_by_run(self.mesh), replicated(self.mesh)))

    def examples(self, split: str, key: jax.Array) -> Example | None:
        """Evaluation examples, replicated on every device: a split, or drawn with the key; None for a `Stream`."""
        task = self.recipe.task
        if isinstance(task, Stream):
            return None
        whole = isinstance(task, FiniteTask | HostTask)
        drawn = task.examples(split) if whole else self._draw(key)
        return place(jax.tree.map(jnp.asarray, drawn), replicated(self.mesh))

    @functools.cached_property
    def _draw(self) -> Any:
        return jax.jit(functools.partial(batch, self.recipe.task, size=self.held_out))


@jax.vmap
def evaluated(run: Run) -> tuple[Model, dict[str, jax.Array]]:
    """For every run the model to evaluate, averaged if the optimiser averages, and the learning rates if known.

    Most optimisers provide neither; then nothing is computed.
    """
    model = with_parameters(run.model, averaged(parameters(run.model), run.optimizer))
    return model, learning_rates(run.optimizer)


def make_ensemble(recipe: Recipe, runs: int, devices: Sequence[Any] | None, held_out: int = 512) -> Ensemble:
    """Builds the ensemble on all devices or on the given ones; see `Ensemble` for ``held_out``."""
    mesh = make_mesh(runs, recipe.batch_size, devices)
    return Ensemble(dataclasses.replace(recipe, constrain=functools.partial(split_batch, mesh)), mesh, held_out)
