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

from recurrax.tasks import Example, FiniteTask
from recurrax.training.mesh import everywhere, make_mesh, over_runs, place, split_batch
from recurrax.training.run import Model, Recipe, Run, batch, named_by

Sweep = Mapping[str, Sequence[float]]


class Best(NamedTuple):
    """Of each run, the model with the lowest held-out loss so far."""

    model: Model
    loss: jax.Array


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
        if not any(named_by(taker, {name: None}) for taker in takers):  # type: ignore
            raise ValueError(
                f"sweep names {name!r}, which neither build(key, ...) nor the optimizer takes; allowed: arguments "
                f"of either. Write build(key, {name}), or give a function such as training.adam as optimizer."
            )
    for point in itertools.product(*sweep.values()):
        recipe.transformation(dict(zip(sweep, point, strict=True)))  # its own checks, on plain numbers


@dataclasses.dataclass(frozen=True)
class Ensemble:
    """The programs of one recipe on one mesh: `start`, `train` and `judge`.

    Args:
        recipe: what is trained.
        mesh: where.
        held_out: examples of an evaluation; of a `FiniteTask` so many at once.
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
        best = Best(runs.model, jnp.full(len(seeds), jnp.inf))
        return place(State(runs, best), over_runs(self.mesh))

    @property
    def judge(self) -> Any:
        """``(state, examples) -> (loss [S], accuracy [S], best)``."""
        evaluate = self.recipe.evaluate
        if isinstance(self.recipe.task, FiniteTask):
            evaluate = functools.partial(self.recipe.evaluate_split, size=self.held_out)

        def one(state: State, examples: Example) -> tuple[jax.Array, jax.Array, Best]:
            loss, accuracy = evaluate(state.run.model, examples)
            better = loss < state.best.loss  # never where it is NaN
            found = Best(state.run.model, loss)
            return loss, accuracy, jax.tree.map(lambda new, old: jnp.where(better, new, old), found, state.best)

        whole = everywhere(self.mesh)
        ensemble = jax.vmap(one, in_axes=(0, None), spmd_axis_name="run")
        return jax.jit(ensemble, out_shardings=(whole, whole, over_runs(self.mesh)))

    def train(self, steps: int) -> Any:
        """``(run, active [S]) -> (run, losses [S, steps])``; a run that is not active stays, with losses NaN."""

        def one(run: Run, active: jax.Array) -> tuple[Run, jax.Array]:
            new, losses = self.recipe.chunk(steps, run)
            new = jax.tree.map(lambda new, old: jnp.where(active, new, old), new, run)
            return new, jnp.where(active, losses, jnp.nan)

        ensemble = jax.vmap(one, spmd_axis_name="run")
        return jax.jit(ensemble, out_shardings=(over_runs(self.mesh), everywhere(self.mesh)))

    def examples(self, split: str, key: jax.Array) -> Example:
        """Examples of an evaluation, whole on every device: a split of a `FiniteTask`, or drawn from the key."""
        task = self.recipe.task
        drawn = task.examples(split) if isinstance(task, FiniteTask) else batch(task, key, self.held_out)
        return place(drawn, everywhere(self.mesh))


def make_ensemble(recipe: Recipe, runs: int, devices: Sequence[Any] | None, held_out: int = 512) -> Ensemble:
    """The ensemble on all devices, or those given; see `Ensemble` for ``held_out``."""
    mesh = make_mesh(runs, recipe.batch_size, devices)
    return Ensemble(dataclasses.replace(recipe, constrain=functools.partial(split_batch, mesh)), mesh, held_out)
