"""What lets the noise in: gradients of the answer, its share of noise, and the write gate, of trained models."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from experiments.models import cell_of
from experiments.noise.levels import Apart, Noisy, mix
from recurrax import gradflow
from recurrax.training.run import batch

WRITES: dict[str, Callable[[Any], Array]] = {  # the gate that lets the candidate in, from a cell's gates
    "LSTM": lambda gates: gates["i"],
    "ShutLSTM": lambda gates: gates["i"],
    "CIFG": lambda gates: 1 - gates["f"],
    "GRU": lambda gates: 1 - gates["z"],
}
KEY = 1  # of the examples, on which nothing was trained or chosen


def measure(models: Noisy, task: Apart, cell: str, examples: int) -> dict[str, np.ndarray]:
    """All below for each of S models, in one program; every entry ``[S]``, gates ``[S, H]``."""
    first, second = (batch(task, key, examples).inputs for key in jax.random.split(jax.random.key(KEY)))
    marked = first[..., 1] > 0

    def one(model: Noisy) -> dict[str, Any]:
        def log_odds(inputs: Array) -> Array:
            outputs = model.model(mix(inputs, model.level))[:, -1]
            return outputs[:, 1] - outputs[:, 0]

        found = {
            "gradients": jax.grad(lambda inputs: jnp.sum(log_odds(inputs)))(first)[..., 0],
            "share": noise_share(log_odds, first, second),
        }
        if cell in WRITES:
            found["write_cue"], found["write_else"] = write_gate(model, cell, first, marked)
        return found

    found = jax.device_get(jax.jit(jax.vmap(one))(models))
    return {"rejection": rejection(found.pop("gradients"), np.asarray(marked)), **found}


def rejection(gradients: np.ndarray, marked: np.ndarray) -> np.ndarray:
    """How much more the answer depends on the value at the cue than on that at another step, in powers of ten.

        log10 (rms of da/dv_t at cues / rms of da/dv_t at the other steps),  a = ln p(+1) - ln p(-1)

    In float64, so that squares of vanishing gradients stay.

    Args:
        gradients: da/dv_t, ``[..., B, T]``.
        marked: whether t is the cue, ``[B, T]``.

    Returns:
        ``[...]``; minus infinity where the cue does not count at all, else infinity where the other steps do not.
    """
    squares = np.asarray(gradients, np.float64) ** 2
    cue, other = (np.mean(squares, axis=(-2, -1), where=steps) for steps in (marked, ~marked))
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(cue > 0, 0.5 * (np.log10(cue) - np.log10(other)), -np.inf)


def noise_share(log_odds: Callable[[Array], Array], first: Array, second: Array) -> Array:
    """Share of the answer's variation that comes from the noise at the steps without the cue.

        V_d / (V_d + V_c),  V = mean over examples of (a(first) - a(first with new distractors, or a new cue))^2

    0 for the perfect observer, 1 for an answer without the bit. Unlike a gradient it also tells what reaches a
    saturated memory: a bit that is held by an attractor has a gradient near 0 (Bengio et al., 1994).

    Args:
        log_odds: a, of inputs ``[B, T, 3]`` to ``[B]``.
        first: independent examples of `Apart`, ``[B, T, 3]``.
        second: others; their values replace those of the first, whose markers stay.
    """
    marked = first[..., 1:2] > 0
    cues = jnp.argmax(second[..., 1], axis=-1)[:, None, None]
    new_cue = jnp.where(marked, jnp.take_along_axis(second, cues, axis=1), first)
    new_noise = jnp.where(marked, first, jnp.asarray(first).at[..., 2].set(second[..., 2]))
    answer, *others = jnp.split(log_odds(jnp.concatenate([first, new_noise, new_cue])), 3)
    of_noise, of_cue = (jnp.mean((other - answer) ** 2) for other in others)
    return of_noise / (of_noise + of_cue)


def write_gate(model: Noisy, cell: str, inputs: Array, marked: Array) -> tuple[Array, Array]:
    """Mean write gate of each unit at the cue and at all later steps, two ``[H]``."""
    step = cell_of(model.model)
    xs = mix(inputs, model.level)
    gates = jax.vmap(lambda xs: gradflow.gate_activations(step, step.initialize_carry(xs.shape[1:]), xs))(xs)
    write = WRITES[cell](gates)  # [B, T, H]
    later = jnp.cumsum(marked, axis=-1) - marked > 0
    at_cue, after = (jnp.mean(write, axis=(0, 1), where=steps[..., None]) for steps in (marked, later))
    return at_cue, after
