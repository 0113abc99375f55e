"""A small training run that tests start in processes of their own, to be killed, stopped and starved of disk."""

import dataclasses
import json
import os
import sys
from pathlib import Path

import numpy as np
from flax import nnx

import recurrax as rx
from recurrax import training
from recurrax.tasks import make_task
from recurrax.training import Output, Plan
from recurrax.training.history import named_leaves
from recurrax.training.mesh import without_keys

TASK = make_task("adding", 6)
PLAN = Plan(
    steps=1000, batch_size=4, chunk=10, held_out=16, seeds=(3, 5), sweep={"learning_rate": (1e-3, 1e-2)},
    stop_when_solved=False, devices=1,
)  # fmt: skip


def build(key, units=4):
    rngs = nnx.Rngs(key)
    return rx.SequenceModel(rx.RNN(rx.cells.RNN(2, units, rngs=rngs)), 1, rngs=rngs)


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
