"""(b) Training on adding and copy, (c) gradient against lag after it, (d) the gates that carry the memory."""

from __future__ import annotations

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from experiments import parts
from experiments.models import builder, cell_of
from experiments.vanishing_gradients.config import Config
from experiments.vanishing_gradients.initial import profile
from recurrax import gradflow
from recurrax.layers import SequenceModel
from recurrax.tasks import Adding, MemoryTask, make_task
from recurrax.training import History, Plan, adam
from recurrax.training.run import batch

KEEP = {"GRU": "z", "LSTM": "f"}  # the gate that keeps the state
AROUND = 8  # steps shown before and after a marked one


def tasks(config: Config) -> dict[str, tuple[MemoryTask, int]]:
    """Every task of the experiment with its budget in updates."""
    adding = {
        f"adding T={length}": (make_task("adding", length, config.adding_variant), config.adding_steps)
        for length in config.adding_lengths
    }
    copy = make_task("copy", config.copy_delay, config.copy_variant)
    return {**adding, f"copy delay={config.copy_delay}": (copy, config.copy_steps)}


def train(config: Config, name: str, task: MemoryTask, steps: int, cell: str) -> History:
    """All seeds of one cell on one task; goes on where an interrupted run stopped."""
    plan = Plan(steps=steps, batch_size=config.batch_size, chunk=config.chunk, seeds=config.seeds)
    optimizer = adam(config.learning_rate, config.clip_norm)
    return parts.train(config, f"{name} {cell}", builder(cell, task, config.hidden), task, optimizer, plan)


def outcome(history: History, task: MemoryTask) -> dict[str, Any]:
    """What the record keeps of a training run: every seed, and chance level and criterion beside them."""
    keep = ("steps", "loss", "accuracy", "solved_at", "diverged_at", "seconds", "compile_seconds")
    return {
        **{name: getattr(history, name) for name in keep},
        "chance_level": task.chance_level(),
        "criterion": task.criterion,
    }


def trained_profile(model: SequenceModel, task: MemoryTask, examples: int) -> dict[str, Any]:
    """(c) ``|dy_T/ds_t|`` of the trained models on held-out sequences; slope of each seed, median over sequences."""
    xs = batch(task, jax.random.key(1), examples).inputs

    def one(model: Any, xs: jax.Array) -> jax.Array:
        cell = cell_of(model)
        return gradflow.state_gradients(
            cell, cell.initialize_carry(xs.shape[1:]), xs, lambda carry, y: jnp.sum(model.head(y))
        )

    over_examples = jax.vmap(one, in_axes=(None, 0))
    log_norms = jax.jit(jax.vmap(over_examples, in_axes=(0, None)))(model, xs)  # [S, examples, T+1]
    slopes = np.median(gradflow.slope(log_norms), axis=1)
    return {
        "profile": profile(log_norms.reshape(-1, log_norms.shape[-1])),
        "slopes": slopes,
        "slope": float(np.median(slopes)),
    }


def memory_gates(model: SequenceModel, task: Adding, cell: str, examples: int) -> dict[str, Any]:
    """(d) Time constants of the keep gate, and the gates of each seed's slowest unit around a marked step.

    The keep gate is f of the LSTM and z of the GRU; the write gate is i of the LSTM and 1 - z of the GRU.
    """
    xs = batch(task, jax.random.key(1), examples).inputs

    def one(model: SequenceModel, xs: jax.Array) -> dict[str, jax.Array]:
        step = cell_of(model)
        gates = gradflow.gate_activations(step, step.initialize_carry(xs.shape[1:]), xs)
        keep = gates[KEEP[cell]]
        return {"keep": keep, "write": gates["i"] if cell == "LSTM" else 1 - keep}

    over_examples = jax.vmap(one, in_axes=(None, 0))
    gates = jax.jit(jax.vmap(over_examples, in_axes=(0, None)))(model, xs)  # [S, examples, T, H]
    keep = np.asarray(gates["keep"], np.float64)
    over_time = np.moveaxis(keep, 2, 0)  # [T, S, examples, H]
    taus = np.asarray(gradflow.time_constants(over_time.reshape(keep.shape[2], keep.shape[0], -1, keep.shape[3])))
    taus = np.median(taus, axis=1)  # [S, H]
    slowest = np.argmax(taus, axis=1)[:, None, None, None]
    around = functools.partial(around_marks, np.asarray(xs)[..., task.marker_channel] > 0)
    return {
        "time_constants": taus,
        "offsets": np.arange(-AROUND, AROUND + 1),
        **{
            name: around(np.take_along_axis(np.asarray(gate), slowest, axis=-1)[..., 0]) for name, gate in gates.items()
        },
    }


def around_marks(marked: np.ndarray, gate: np.ndarray) -> np.ndarray:
    """Mean gate at each offset from a marked step: ``marked: [examples, T], gate: [S, examples, T]`` to ``[2A+1]``."""
    T = marked.shape[1]
    sums, counts = np.zeros(2 * AROUND + 1), np.zeros(2 * AROUND + 1)
    for example, step in np.argwhere(marked):
        for index, t in enumerate(range(step - AROUND, step + AROUND + 1)):
            if 0 <= t < T:
                sums[index] += gate[:, example, t].mean()
                counts[index] += 1
    return sums / np.maximum(counts, 1)
