"""The gates of trained models, phase by phase of their task."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from experiments.models import cell_of
from recurrax import gradflow
from recurrax.layers import SequenceModel
from recurrax.tasks import Adding, MemoryTask
from recurrax.training.run import batch

CANDIDATES = ("c_tilde", "n")  # no gates: what may be written
KEEP = ("f", "z")  # the gate that keeps the state


def phases(task: MemoryTask, inputs: np.ndarray) -> dict[str, np.ndarray]:
    """The steps of each phase, bool ``[examples, T]``: those that matter for adding, what there is to do for copy."""
    if isinstance(task, Adding):
        marked = inputs[..., task.marker_channel] > 0
        return {"marked": marked, "unmarked": ~marked}
    steps = np.broadcast_to(np.arange(inputs.shape[1]), inputs.shape[:2])
    memorized = (inputs.shape[1] - task.delay) // 2  # type: ignore[attr-defined]
    recall = inputs.shape[1] - memorized
    return {
        "reading": steps < memorized,
        "waiting": (steps >= memorized) & (steps < recall),
        "recalling": steps >= recall,
    }


def read(models: SequenceModel, task: MemoryTask, examples: int) -> dict[str, Any]:
    """Of each gate of each model: mean in every phase, share of nearly shut and open, time constants of the keep gate.

    Every unit, step and held-out example counts the same; time constants ``[S, H]`` are medians over examples.
    """
    xs = batch(task, jax.random.key(1), examples).inputs

    def one(model: SequenceModel, xs: jax.Array) -> dict[str, jax.Array]:
        cell = cell_of(model)
        return gradflow.gate_activations(cell, cell.initialize_carry(xs.shape[1:]), xs)

    activations = jax.jit(jax.vmap(jax.vmap(one, in_axes=(None, 0)), in_axes=(0, None)))(models, xs)
    steps = phases(task, np.asarray(xs))
    entry: dict[str, Any] = {"gates": {}}
    for name, gate in activations.items():  # [S, examples, T, H]
        if name in CANDIDATES:
            continue
        values = np.asarray(gate)
        closed, opened = gradflow.saturation(jnp.moveaxis(gate, 2, 0))
        entry["gates"][name] = {
            "mean": {phase: values[:, at].mean(axis=(1, 2)) for phase, at in steps.items()},
            "closed": np.asarray(closed).mean(axis=(1, 2)),
            "open": np.asarray(opened).mean(axis=(1, 2)),
            "closed_units": np.asarray(closed).mean(axis=1),
            "open_units": np.asarray(opened).mean(axis=1),
        }
        if name in KEEP:
            taus = gradflow.time_constants(jnp.moveaxis(gate, 2, 0))
            entry["time_constants"] = np.median(np.asarray(taus), axis=1)
    return entry
