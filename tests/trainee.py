"""A small training run that tests start in processes of their own, to be killed, stopped and starved of disk."""

import dataclasses
import json
import os
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from recurrax import training
from recurrax.tasks import make_task
from recurrax.training import Output, Plan
from recurrax.training.history import named_leaves
from recurrax.training.mesh import without_keys

TASK = make_task("adding", 6)
PLAN = Plan(
    steps=800, batch_size=4, chunk=10, held_out=16, seeds=(3, 5), sweep={"learning_rate": (1e-3, 1e-2)},
    stop_when_solved=False, devices=1,
)  # fmt: skip


class Leaky(nnx.Module):
    """Leaky units, h' = a h + W x and y = V h: little to trace, for a life is short."""

    def __init__(self, key, units):
        into, out = jax.random.normal(key, (2, 2, units)) / 4
        self.kernel, self.keep, self.head = nnx.Param(into), nnx.Param(jnp.full(units, 0.9)), nnx.Param(out.T[:, :1])

    def __call__(self, xs):
        def step(h, u):
            h = self.keep[...] * h + u
            return h, h

        us = jnp.swapaxes(xs @ self.kernel[...], 0, 1)
        hs = jax.lax.scan(step, jnp.zeros_like(us[0]), us)[1]
        return jnp.swapaxes(hs, 0, 1) @ self.head[...]


def build(key, units=4):
    return Leaky(key, units)


def train(folder, plan=PLAN, log=None, **options):
    """Trains into a folder and appends each update count that is safe on disk to a log, and where a life began."""

    def on_chunk(history):
        if log is not None:
            with open(log, "a") as file:
                print(json.dumps([history.resumed_at, int(history.steps[-1]), os.getpid()]), file=file)

    return training.fit(build, TASK, training.adam, plan, Output(folder, on_chunk=on_chunk, **options))


def bits(history):
    """Every array of a history, by name."""
    leaves = {name: np.asarray(without_keys(leaf)) for name, leaf in named_leaves(history.state).items()}
    names = ("train_loss", "steps", "loss", "accuracy", "solved_at", "diverged_at", "test_loss", "test_accuracy")
    return leaves | {name: getattr(history, name) for name in names}


def life(folder, plan, log, result, options=None):
    """One life of the process: trains as far as it gets; leaves the arrays if it gets to the end."""
    history = train(Path(folder), plan, log, **(options or {}))
    np.savez(result, **bits(history))


if __name__ == "__main__":
    try:
        life(sys.argv[1], dataclasses.replace(PLAN, steps=int(sys.argv[4])), *sys.argv[2:4])
    except training.CheckpointError as error:
        sys.exit(f"error: {error}")
