"""Many runs as one: seeds times swept hyperparameters, in three compiled programs."""

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
    """Of each run, the model with the best monitored metric so far, and that metric."""

    model: Model
    value: jax.Array


class State(NamedTuple):
    """All that an ensemble's future depends on; every leaf has a leading axis S."""

    run: Run
    best: Best


def grid(seeds: Sequence[int], sweep: Sweep) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Every seed at every point of the sweep: seeds ``[S]`` and settings ``{name: [S]}``, seeds varying fastest."""
    points = list(itertools.product(*sweep.values(), seeds))
    columns = list(zip(*points, strict=True))
    settings = {name: np.asarray(column, np.float64) for name, column in zip(sweep, columns, strict=False)}
    return np.asarray(columns[-1]), settings


def check_sweep(recipe: Recipe, sweep: Sweep) -> None:
    """Raises unless every swept name is known to the recipe, which accepts each of its values."""
    for name in sweep:
        takers = (recipe.build, recipe.optimizer, *([recipe.penalty] if recipe.penalty else []))
        if not any(accepted_by(taker, {name: None}) for taker in takers):  # type: ignore
            raise ValueError(
                f"sweep names {name!r}, which neither build(key, ...) nor the optimizer takes; allowed: arguments "
                f"of either, or of the penalty. Write build(key, {name}), or give a function such as training.adam as "
                "optimizer."
            )
    for point in itertools.product(*sweep.values()):
        transformation(recipe.optimizer, dict(zip(sweep, point, strict=True)))  # its own checks, on plain numbers


@dataclasses.dataclass(frozen=True)
class Ensemble:
    """The programs of one recipe on one mesh: `start`, `train` and `judge`.

    Args:
        recipe: what is trained.
        mesh: where.
        held_out: examples of an evaluation; of a `FiniteTask` or `HostTask` so many at once.
    """

    recipe: Recipe
    mesh: Mesh
    held_out: int = 512

    def start(self, seeds: np.ndarray, settings: dict[str, np.ndarray]) -> State:
        """All runs at step 0.

        Not jitted: each initialiser compiles once for all models of its shape, in place of anew for every ensemble.
        """
        runs = jax.vmap(self.recipe.start)(
            jnp.asarray(seeds), {k: jnp.asarray(v, jnp.float32) for k, v in settings.items()}
        )
        worst = jnp.inf if self.recipe.task.mode == "min" else -jnp.inf
        best = Best(runs.model, jnp.full(len(seeds), worst))
        return place(State(runs, best), sharded_by_run(self.mesh))

    def judge(self, split: str) -> Any:
        """``(models, rates, best, examples) -> (metrics {name: [S]}, best)`` on a split; a `Stream` has no examples.

        The learning rates are passed on among the metrics. But for a `Stream` the program is the same for all splits.
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
        """The metrics of one model: of a `Stream`, of a whole split, or of examples that were drawn."""
        if examples is None:
            return self.recipe.evaluate_stream(model, split)
        if isinstance(self.recipe.task, FiniteTask | HostTask):
            return self.recipe.evaluate_split(model, examples, self.held_out)
        return self.recipe.evaluate(model, examples)

    def train(self, steps: int) -> Any:
        """``(run, active [S], batches) -> (run, losses [S, steps])``; a run that is not active stays, with losses NaN.

        The batches, ``[steps, B, ...]``, are those of a `HostTask`, the same for all runs; None for other tasks.
        """

        def one(run: Run, active: jax.Array, batches: Example | None) -> tuple[Run, jax.Array]:
            new, losses = self.recipe.chunk(steps, run, batches)
            new = jax.tree.map(lambda new, old: jnp.where(active, new, old), new, run)
            return new, jnp.where(active, losses, jnp.nan)

        ensemble = jax.vmap(one, in_axes=(0, 0, None), spmd_axis_name="run")
        return jax.jit(ensemble, out_shardings=(sharded_by_run(self.mesh), replicated(self.mesh)))

    def examples(self, split: str, key: jax.Array) -> Example | None:
        """Examples of an evaluation, whole on every device: a split, or drawn from the key; None of a `Stream`."""
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
    """Of every run the model to evaluate, which the optimiser may average, and the learning rates that it tells.

    Most optimisers do neither, and nothing is computed.
    """
    model = with_parameters(run.model, averaged(parameters(run.model), run.optimizer))
    return model, learning_rates(run.optimizer)


def make_ensemble(recipe: Recipe, runs: int, devices: Sequence[Any] | None, held_out: int = 512) -> Ensemble:
    """The ensemble on all devices, or those given; see `Ensemble` for ``held_out``."""
    mesh = make_mesh(runs, recipe.batch_size, devices)
    return Ensemble(dataclasses.replace(recipe, constrain=functools.partial(split_batch, mesh)), mesh, held_out)
