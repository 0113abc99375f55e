"""The next token of a text and the next values of a series: losses by hand, units, chance, documents, training."""

import dataclasses
import math

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

import recurrax as rx
from recurrax import training
from recurrax.datasets import Arrays, Series, Text
from recurrax.tasks import NextToken, NextValue
from recurrax.training import Plan

pytestmark = pytest.mark.usefixtures("quick")

RANDOM = np.random.default_rng(0)
TEXT = Text("abracadabra" * 5, "cadabra", "abra cada")
VALUES = np.cumsum(RANDOM.normal(size=(80, 2)), axis=0)
STEPS = Series(VALUES).split((0.5, 0.25, 0.25)).scaled().steps(targets=1)


def evaluated(task, split: str, outputs) -> dict[str, jax.Array]:
    return task.finish(task.metrics(jnp.asarray(outputs), task.sequence(split)))


def test_a_text_is_judged_by_its_next_tokens():
    task = NextToken(TEXT, window=4)
    V = task.out_features
    assert V == 1 + 5
    logits = RANDOM.normal(size=(8, V)).astype(np.float32)
    p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    targets = TEXT.encode("bra cada")
    found = evaluated(task, "test", logits)
    loss = -np.log(p[np.arange(8), targets]).mean()
    assert found["loss"] == pytest.approx(loss, rel=1e-5) and found["bits"] == pytest.approx(loss / math.log(2), 1e-5)
    assert found["perplexity"] == pytest.approx(math.exp(loss), rel=1e-5)
    assert found["accuracy"] == pytest.approx(np.mean(p.argmax(1) == targets))


def test_chance_of_a_text_is_that_of_each_token():
    counts = np.bincount(TEXT.encode("bracadabra" + "abracadabra" * 4), minlength=6) + 0.5
    expected = -np.log(counts / counts.sum())[TEXT.encode("bra cada")].mean()
    assert NextToken(TEXT).chance_level() == pytest.approx(expected)


def test_documents_are_read_apart():
    assert NextToken(TEXT).sequence("train").resets is None
    documents = Text(["ab", "ba"], ["a"], ["b"])
    resets = NextToken(documents).sequence("train").resets
    assert resets.tolist() == [True, False, False, True, False, False]


def test_a_series_is_judged_in_its_units():
    task = NextValue(STEPS, window=4)
    assert (task.in_features, task.out_features) == (2, 1)
    predictions = RANDOM.normal(size=(19, 1))
    outputs = STEPS.scalers.targets.transform(predictions)
    errors = predictions[:, 0] - VALUES[61:, 1]
    found = evaluated(task, "test", outputs)
    assert found["rmse"] == pytest.approx(math.sqrt((errors**2).mean()), rel=1e-4)
    assert found["mae"] == pytest.approx(np.abs(errors).mean(), rel=1e-4) and set(found) == {"loss", "rmse", "mae"}
    (unit,) = STEPS.scalers.targets.scale
    assert found["loss"] == pytest.approx(((errors / unit) ** 2).mean(), rel=1e-4)
    absolute = evaluated(NextValue(STEPS, "absolute"), "test", outputs)
    assert absolute["loss"] == pytest.approx(np.abs(errors / unit).mean(), rel=1e-4)


@pytest.mark.parametrize(("objective", "middle"), [("regression", np.mean), ("absolute", np.median)])
def test_chance_of_a_series_is_the_best_constant(objective, middle):
    train, test = VALUES[1:40, 1], VALUES[61:, 1]
    errors = (test - middle(train)) / STEPS.scalers.targets.scale[0]
    expected = (errors**2).mean() if objective == "regression" else np.abs(errors).mean()
    assert NextValue(STEPS, objective).chance_level() == pytest.approx(expected, rel=1e-4)


def test_missing_targets_do_not_count():
    values = VALUES.copy()
    values[62:66, 1] = np.nan
    task = NextValue(Series(values, missing="mask").split((0.5, 0.25, 0.25)).steps(targets=1))
    outputs = RANDOM.normal(size=(19, 1)).astype(np.float32)
    there = np.r_[0, 5:19]
    assert evaluated(task, "test", outputs)["mae"] == pytest.approx(
        np.abs(outputs[there, 0] - values[61 + there, 1]).mean(), rel=1e-5
    )
    outputs[1:5] = np.nan
    hole = jax.tree.map(lambda leaf: leaf[1:5], task.sequence("test"))
    loss, gradient = jax.value_and_grad(task.loss)(jnp.asarray(outputs[1:5]), hole)
    assert loss == 0 and (gradient == 0).all()


def test_tasks_are_equal_if_their_data_are():
    same = Text("abracadabra" * 5, "cadabra", "abra cada")
    assert NextToken(TEXT) == NextToken(same) and hash(NextToken(TEXT)) == hash(NextToken(same))
    assert NextToken(TEXT) != NextToken(TEXT, 64) and NextValue(STEPS) != NextValue(STEPS, "absolute")


def test_errors_say_what_is_allowed():
    arrays = Arrays(np.ones((9, 2, 1)), np.ones(9)).split()
    for make, error, message in (
        (lambda: NextToken(arrays), TypeError, "NextToken got Dataset; allowed: Text"),  # type: ignore
        (lambda: NextValue(arrays), TypeError, "NextValue got Arrays; allowed: a Dataset of Steps"),  # type: ignore
        (lambda: NextValue(TEXT, "mean"), ValueError, "objective='mean' is unknown"),  # type: ignore
        (lambda: NextToken(TEXT, 0), ValueError, "window=0 is too short"),
        (lambda: NextToken(TEXT, 8, 1.0), TypeError, "evaluation_streams=1.0 is a float"),  # type: ignore
        (lambda: NextToken(TEXT, 8, 1, -0.1), ValueError, "restart_rate=-0.1; allowed: a number from 0 to 1"),
        (lambda: NextValue(STEPS, restart_rate=True), ValueError, "restart_rate=True; allowed: a number"),
    ):
        with pytest.raises(error, match=message):
            make()


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["token", "value"])
def test_streams_are_trained_by_fit(kind):
    """A text that repeats and a wave, both known from the past alone: far below chance."""
    wave = np.sin(np.arange(400) / 3)[:, None]
    parts = Series(np.concatenate([wave, wave[:, ::-1]], axis=1)).split().scaled()
    text = Text.contiguous("to be or not to be, that is the question; " * 30, (0.8, 0.1, 0.1))
    task = NextToken(text, 16) if kind == "token" else NextValue(parts.steps(targets=0), window=16)

    def build(key: jax.Array) -> rx.SequenceModel:
        rngs = nnx.Rngs(key)
        size = None if kind == "value" else task.out_features
        return rx.SequenceModel(
            rx.LSTM(2 if size is None else 16, 32, rngs=rngs), task.out_features, vocabulary=size, rngs=rngs
        )

    plan = Plan(steps=300, batch_size=8, chunk=100, seeds=(0,), devices=1)
    history = training.fit(build, task, optax.adam(1e-2), plan)
    assert history.test_metrics["loss"][0] < task.chance_level() / 5
    finer = dataclasses.replace(task, window=7)
    model = jax.tree.map(lambda leaf: leaf[0], history.best_model)
    again = training.evaluate(model, finer, "test")
    assert again["loss"] == pytest.approx(history.test_metrics["loss"][0], rel=1e-3)
