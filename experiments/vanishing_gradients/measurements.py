"""The measurements: learning at growing delays and lengths, and the gradient before and after it."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from experiments import lab
from experiments.models import builder, cell_of, clipped_adam
from experiments.vanishing_gradients.config import RATES, Config
from recurrax import gradflow
from recurrax.layers import SequenceModel
from recurrax.tasks import Adding, Copy, MemoryTask
from recurrax.training import Plan
from recurrax.training.run import batch

KEEP = {"GRU": "z", "LSTM": "f"}  # the gate that keeps the state
AROUND = 8  # steps shown before and after a marked one


def parts(config: Config) -> dict[str, Callable[[], Any]]:
    """Every cell at every delay and length."""
    copies = {f"copy {delay}": Copy(delay, "martens2011") for delay in config.copy_delays}
    addings = {f"adding {length}": Adding(length, "arjovsky2016") for length in config.adding_lengths}
    plans = {(task, cell): plan(config, task, cell) for task in ("copy", "adding") for cell in config.cells}
    return {
        f"{name} {cell}": functools.partial(learn, config, name, task, plans[name.partition(" ")[0], cell], cell)
        for name, task in (copies | addings).items()
        for cell in config.cells
    }


def plan(config: Config, task: str, cell: str) -> Plan:
    """Budget and learning rates of a cell on a task."""
    rates = config.learning_rate or (RATES[task][cell],)
    steps = config.copy_steps if task == "copy" else config.adding_steps
    return lab.plan(config, steps=steps, sweep={"learning_rate": rates})


def profile(log_norms: jax.Array) -> dict[str, Any]:
    """Gradient against lag from ``ln |dL/ds_t|: [S, T+1]``: median and 10-90% band, and the slopes of all S."""
    band = gradflow.band(gradflow.by_lag(log_norms))
    return {
        "profile": {name: np.asarray(values) for name, values in band._asdict().items()},
        "slopes": np.asarray(gradflow.slope(log_norms)),
    }


def learn(config: Config, name: str, task: MemoryTask, plan: Plan, cell: str) -> dict[str, Any]:
    """Every seed of a cell on a task; on the longest adding also the gradient before and after, and the gates."""
    build = builder(cell, task, config.hidden)
    history = lab.train(config, f"{name} {cell}", build, task, clipped_adam, plan)
    kind, size = name.split()
    entry = {
        "task": kind,
        "size": int(size),
        "cell": cell,
        **lab.outcome(history),
        "budget": plan.steps,
        "chance_level": task.chance_level(),
        "criterion": task.criterion,
    }
    if isinstance(task, Adding) and task.sequence_length == max(config.adding_lengths):
        xs = batch(task, jax.random.key(1), config.profile_examples).inputs
        fresh = jax.vmap(build)(jax.vmap(jax.random.key)(jnp.asarray(history.seeds)))
        models = jax.tree.map(jnp.asarray, history.run.model)
        entry["before"], entry["after"] = (profile(trained(model, xs)) for model in (fresh, models))
        if cell in KEEP:
            entry["gates"] = gates(models, xs, np.asarray(xs)[..., task.marker_channel] > 0, cell)
    return entry


@jax.jit
def trained(models: SequenceModel, xs: jax.Array) -> jax.Array:
    """``ln |dy_T/ds_t|`` of every model on every sequence: ``xs: [N, T, D]`` to ``[S N, T+1]``."""

    def one(model: Any, xs: jax.Array) -> jax.Array:
        cell = cell_of(model)
        carry = cell.initialize_carry(xs.shape[1:])
        return gradflow.state_gradients(cell, carry, xs, lambda carry, y: jnp.sum(model.head(y)))

    log_norms = jax.vmap(jax.vmap(one, in_axes=(None, 0)), in_axes=(0, None))(models, xs)
    return log_norms.reshape(-1, log_norms.shape[-1])


def gates(models: SequenceModel, xs: jax.Array, marked: np.ndarray, cell: str) -> dict[str, Any]:
    """Mean keep and write gate of each run's slowest unit at each offset from a marked step, and its time constant.

    The keep gate is f of the LSTM and z of the GRU; the write gate is i of the LSTM and 1 - z of the GRU.
    """

    def one(model: SequenceModel, xs: jax.Array) -> dict[str, jax.Array]:
        step = cell_of(model)
        return gradflow.gate_activations(step, step.initialize_carry(xs.shape[1:]), xs)

    found = jax.jit(jax.vmap(jax.vmap(one, in_axes=(None, 0)), in_axes=(0, None)))(models, xs)  # [S, N, T, H]
    keep = np.asarray(found[KEEP[cell]], np.float64)
    write = np.asarray(found["i"]) if cell == "LSTM" else 1 - keep
    taus = np.median(np.asarray(gradflow.time_constants(np.moveaxis(keep, 2, 0))), axis=1)  # [S, H]
    slowest = np.argmax(taus, axis=1)[:, None, None, None]
    chosen = {"keep": keep, "write": write}
    return {
        "time_constants": taus.max(axis=1),
        "offsets": np.arange(-AROUND, AROUND + 1),
        **{k: around(np.take_along_axis(gate, slowest, axis=-1)[..., 0], marked) for k, gate in chosen.items()},
    }


def around(gate: np.ndarray, marked: np.ndarray) -> np.ndarray:
    """Mean gate at each offset from a marked step: ``gate: [S, N, T], marked: [N, T]`` to ``[2 AROUND + 1]``."""
    T = marked.shape[1]
    sums, counts = np.zeros(2 * AROUND + 1), np.zeros(2 * AROUND + 1)
    for example, step in np.argwhere(marked):
        for index, t in enumerate(range(step - AROUND, step + AROUND + 1)):
            if 0 <= t < T:
                sums[index] += gate[:, example, t].mean()
                counts[index] += 1
    return sums / np.maximum(counts, 1)
