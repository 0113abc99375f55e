"""Three runs of what users train, which tests start in processes of their own and kill: text, padding, translation."""

import json
import sys
from pathlib import Path

import jax
import numpy as np
import test_fit_anything as anything
import trainee
from flax import nnx

import recurrax as rx
from recurrax import training
from recurrax.datasets import Text
from recurrax.tasks import NextToken
from recurrax.training import Output, Plan

PLAN = Plan(steps=60, batch_size=4, chunk=5, held_out=16, seeds=(3, 5), stop_when_solved=False, devices=1)


def text_stream():
    rhyme = "the cat sat on the mat and the rat sat on the cat. " * 8
    text = Text.contiguous(rhyme)

    def build(key):
        rngs = nnx.Rngs(key)
        size = len(text.vocabulary)
        layer = rx.LSTM(8, 8, num_layers=2, dropout=0.2, rngs=rngs)
        return rx.SequenceModel(layer, size, vocabulary=size, dropout=0.2, rngs=rngs)

    return build, NextToken(text, window=7)


def padded_with_dropout():
    return anything.reader(0.5), anything.MoreOnes()


def encoder_decoder():
    return anything.Translator, anything.Reverse()


RUNS = {run.__name__: run for run in (text_stream, padded_with_dropout, encoder_decoder)}


def train(name, folder, log=None):
    """Trains one of them into a folder and appends each update count that is safe on disk to a log."""

    def on_chunk(history):
        if log is not None:
            with open(log, "a") as file:
                print(json.dumps(int(history.steps[-1])), file=file)

    build, task = RUNS[name]()
    return training.fit(build, task, training.adam(1e-2), PLAN, Output(folder, on_chunk=on_chunk))


def bits(history):
    """Every array of a history, by name, without the wall times."""
    leaves = {
        f"state.{i}": np.asarray(leaf)
        for i, leaf in enumerate(map(trainee.without_keys, jax.tree.leaves(history.state)))
    }
    metrics = {f"metric.{name}": value for name, value in history.metrics.items()}
    tests = {f"test.{name}": value for name, value in history.test_metrics.items()}
    return leaves | metrics | tests | {"train_loss": history.train_loss, "steps": history.steps}


if __name__ == "__main__":
    jax.config.update("jax_disable_most_optimizations", True)  # as the fixture "quick" does in the test's process
    np.savez(sys.argv[4], **bits(train(sys.argv[1], Path(sys.argv[2]), sys.argv[3])))
