"""A cell on a task by the protocol of the baseline table: the learning rate by the grid, then the reported seeds."""

from __future__ import annotations

import bisect
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from experiments import parts
from experiments.compare import best_runs
from experiments.models import builder, clipped_adam
from experiments.protocol import Protocol
from recurrax.initializers import Chrono
from recurrax.tasks import MemoryTask
from recurrax.training import History, Plan

MOST_UNITS = 4096


def tune_and_train(
    config: Protocol, title: str, task: MemoryTask, cell: str, *, stop_when_solved: bool = True
) -> tuple[dict[str, Any], History]:
    """What a record keeps of a cell on a task, and the history of the reported seeds.

    Args:
        config: see `experiments.protocol`.
        title: of the task, in the table.
        task: with the criterion of the table.
        cell: of `experiments.protocol.STARTS`.
        stop_when_solved: end when every seed has met the criterion; else all of them make all updates.
    """
    units = units_of(config, task, cell)
    build = start(cell, task, units)
    grid = parts.train(config, f"{title} {cell} grid", build, task, clipped_adam, grid_plan(config))
    found = {
        **{name: getattr(grid, name) for name in ("seeds", "settings", "solved_at", "diverged_at")},
        "test_loss": np.nanmin(grid.loss, axis=1),  # the lowest held-out one; the test chooses nothing
    }
    rate = float(grid.settings["learning_rate"][best_runs(found)][0])
    plan = report_plan(config, rate, stop_when_solved)
    history = parts.train(config, f"{title} {cell}", build, task, clipped_adam, plan)
    found["lowest_loss"] = found.pop("test_loss")
    return {
        "task": title,
        "cell": cell,
        "units": units,
        "parameters": count(build),
        "learning_rate": rate,
        "grid": {**found, "seconds": grid.seconds + grid.compile_seconds},
        **parts.outcome(history),
        "budget": config.steps,
        "chance_level": task.chance_level(),
        "criterion": task.criterion,
    }, history


def grid_plan(config: Protocol) -> Plan:
    """The plan of the seeds that choose the learning rate; all of them make all updates."""
    return Plan(
        steps=config.grid_steps,
        batch_size=config.batch_size,
        chunk=min(config.chunk, config.grid_steps),
        held_out=config.held_out,
        seeds=config.grid_seeds,
        sweep={"learning_rate": config.learning_rate},
        stop_when_solved=False,
    )


def report_plan(config: Protocol, rate: float, stop_when_solved: bool) -> Plan:
    """The plan of the seeds that are reported."""
    return Plan(
        steps=config.steps,
        batch_size=config.batch_size,
        chunk=config.chunk,
        held_out=config.held_out,
        seeds=config.seeds,
        sweep={"learning_rate": (rate,)},
        stop_when_solved=stop_when_solved,
    )


def start(name: str, task: MemoryTask, units: int) -> Callable[..., Any]:
    """``build(key) -> model`` of a cell with an initialisation, by its name in `experiments.protocol.STARTS`."""
    cell, _, initialization = name.partition("-")
    bias = "update_bias" if cell.endswith("GRU") else "forget_bias"
    options: dict[str, Any] = {
        "": {},
        "fb0": {bias: 0.0},
        "fb1": {bias: 1.0},
        "chrono": {bias: Chrono(task.sequence_length)} if initialization == "chrono" else {},
    }[initialization]
    return builder(cell, task, units, **options)


def units_of(config: Protocol, task: MemoryTask, cell: str) -> int:
    """H: that of the settings, or the largest with no more than their number of parameters, at least 1."""
    if not config.parameters:
        return config.hidden
    sizes = range(1, MOST_UNITS + 1)
    return max(1, bisect.bisect_right(sizes, config.parameters, key=lambda units: count(start(cell, task, units))))


def count(build: Callable[..., Any]) -> int:
    """Parameters of a model, of which nothing is computed."""
    return sum(leaf.size for leaf in jax.tree.leaves(jax.eval_shape(build, jax.random.key(0))))
