"""The experiment on bytes of state: equal bytes, tasks and scores by hand, and the command, small."""

from __future__ import annotations

import dataclasses
import re
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

pytest.importorskip("tyro", reason="the experiments need recurrax[experiments]")
pytest.importorskip("matplotlib", reason="the experiments need recurrax[experiments]")

from experiments import lab, memory_capacity
from experiments.memory_capacity import pages, training
from recurrax.report import load
from recurrax.tasks import AssociativeRecall, Copy

SMOKE = memory_capacity.PRESETS["smoke"]


@pytest.mark.parametrize("name", training.get_args(training.Name))
@pytest.mark.parametrize("size", memory_capacity.PRESETS["accelerator"].state_bytes)
def test_every_cell_has_as_many_bytes_of_state_as_it_is_asked_for(name, size):
    cell = jax.eval_shape(lambda: training.cell_of(name, 8, size, nnx.Rngs(0)))
    assert training.state_size(cell) == size


def test_the_control_remembers_nothing():
    cell = training.cell_of(training.WINDOW, 4, 0, nnx.Rngs(0))
    x = jnp.arange(4.0)
    (_, one), (_, other) = (cell(carry, x) for carry in (jnp.zeros(4), jnp.full(4, 100.0)))
    np.testing.assert_array_equal(one, other)


def test_tokens_are_those_of_the_task_and_every_number_of_pairs_is_trained():
    task = training.Tokens(AssociativeRecall(8, pairs=2, vocabulary=8))
    key = jax.random.key(3)
    one, other = task.sample(key), task.task.sample(key)
    np.testing.assert_array_equal(jax.nn.one_hot(one.inputs, 8), other.inputs)
    np.testing.assert_array_equal(one.targets, other.targets)
    assert task.criterion == task.task.criterion
    mixed = training.task_of(SMOKE, "recall")
    examples = jax.vmap(mixed.sample)(jax.random.split(key, 200))
    counts = np.unique(np.asarray(examples.weights.sum(1)), return_counts=True)
    assert counts[0].tolist() == [1, 2] and counts[1].min() > 70


class Oracle(nnx.Module):
    """Answers right in the first so many asked steps; tokens ``[B, T]`` to logits."""

    def __init__(self, task, right):
        self.task, self.right = task, nnx.Param(right)

    def __call__(self, tokens):
        logits = jax.vmap(self.task.oracle)(jax.nn.one_hot(tokens, self.task.in_features))
        asked = jnp.cumsum(jnp.ones(tokens.shape[1]))
        return jnp.where((asked <= self.right[...])[:, None], logits, -logits)


def test_answers_are_counted_step_by_step():
    task = Copy(1, "s4")
    models = jax.vmap(lambda right: Oracle(task, right))(jnp.array([0, 14, 21]))
    found = training.answers(training.Tokens(task), models, jax.random.key(0), 16)
    np.testing.assert_array_equal(found[0], 0)
    np.testing.assert_array_equal(found[1], [0] * 11 + [1] * 3 + [0] * 7)
    np.testing.assert_array_equal(found[2], [0] * 11 + [1] * 10)


def test_the_learning_rate_with_the_lowest_loss_is_taken():
    rates = [1e-3, 1e-3, 1e-2, 1e-2]
    assert training.best_rate({"learning_rate": rates, "loss": [1.0, 2.0, 1.5, 3.0]}) == 1e-3
    assert training.best_rate({"learning_rate": rates, "loss": [np.nan, np.nan, 5.0, np.nan]}) == 1e-2


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ({"state_bytes": (100,)}, "state_bytes=(100,); allowed: four times the square of an even number"),
        ({"state_bytes": (256, 64)}, "state_bytes=(256, 64); allowed: one or more, rising"),
        ({"pairs": (4, 2)}, "pairs=(4, 2); allowed: one or more, rising"),
        ({"seeds": (100,)}, "grid_seeds=(100,); allowed: seeds none of which is reported"),
    ],
)
def test_settings_that_cannot_be_used_are_refused(setting, words):
    with pytest.raises(ValueError, match=re.escape(words)):
        training.Config(**setting)


def test_a_vocabulary_without_room_for_the_pairs_is_refused():
    with pytest.raises(ValueError, match="vocabulary=8 is too short"):
        memory_capacity.parts(dataclasses.replace(SMOKE, pairs=(2, 8)))


@pytest.mark.slow
@pytest.mark.usefixtures("quick")
def test_small(tmp_path, monkeypatch, capsys):
    first = jax.devices()[:1]
    monkeypatch.setattr(jax, "devices", lambda: first)
    monkeypatch.setattr(sys, "argv", ["experiments.memory_capacity", "--preset", "smoke", "--out", str(tmp_path)])
    lab.run("experiments.memory_capacity")
    record = load(tmp_path, SMOKE)
    assert record is not None and record["complete"]
    assert list(record["results"]) == [
        f"{problem}, {rest}" for problem in ("recall", "copy") for rest in ("DeltaNet, 16 bytes", "no state")
    ]
    for entry in record["results"].values():
        assert pages.held(entry).shape == (2,) and entry["rate"] in (1e-2, 3e-2)
    text = capsys.readouterr().out
    assert "# What does a byte of state remember?" in text and "| bits a byte |" in text
    assert next(tmp_path.glob("*.png")).stat().st_size > 20_000
