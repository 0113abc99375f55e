"""Labelled sequences of a user's own: losses by hand, answers of sequences and of steps, units, training by `fit`."""

import dataclasses
import math

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx
from samples import check_refusal

import recurrax as rx
from recurrax import training
from recurrax.datasets import Arrays, Dataset, Images, Series, scale
from recurrax.tasks import Bucketed, Supervised
from recurrax.training import Output, Plan
from recurrax.training.run import Recipe

pytestmark = pytest.mark.usefixtures("quick")

RANDOM = np.random.default_rng(0)
LENGTHS = [3, 1, 2, 4, 4, 2, 3, 1, 2, 4]


def sequences(targets, **more) -> Dataset[Arrays]:
    """Ten padded sequences in splits of six, two and two."""
    inputs = [RANDOM.normal(size=(L, 2)) for L in LENGTHS]
    return Arrays.padded(inputs, targets, **more).split_at(range(6), [6, 7], [8, 9])


CLASSES = [0, 2, 1, 1, 0, 2, 0, 1, 2, 2]
ONE = sequences(CLASSES)
STEPS = sequences([np.arange(L) % 3 for L in LENGTHS])
NUMBERS = sequences(RANDOM.normal(5, 3, (10, 2)))


def batch(task: Supervised, split: str, outputs):
    """Metrics of a split as an evaluation makes them: means over all that counts, finished."""
    examples = task.examples(split)
    scores = jax.vmap(task.metrics)(jnp.asarray(outputs), examples)
    counts = jax.vmap(lambda weights: jnp.sum(weights))(examples.weights)
    return task.finish({name: jnp.average(score, weights=counts) for name, score in scores.items()})


def test_the_objective_follows_the_targets():
    assert Supervised(ONE).objective == "classification" and Supervised(NUMBERS).objective == "regression"
    task = Supervised(ONE)
    assert (task.in_features, task.out_features, task.sequence_length) == (2, 3, 4)
    assert Supervised(NUMBERS).out_features == 2 and Supervised(STEPS, per_step=True).out_features == 3
    tokens = Arrays.padded([[1, 4], [2], [3]], [0, 1, 0]).split_at([0], [1], [2])
    assert Supervised(tokens).vocabulary == 5
    with pytest.raises(ValueError, match=r"the inputs are int\d\d\[1, 2\] and have no in_features"):
        _ = Supervised(tokens).in_features


def test_one_answer_for_each_sequence():
    """A model gives it once, or at the last step that exists; what it says elsewhere does not matter."""
    task = Supervised(ONE)
    logits = RANDOM.normal(size=(2, 3)).astype(np.float32)
    p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    labels = np.asarray([2, 2])
    everywhere = np.full((2, 4, 3), np.nan, np.float32)
    everywhere[0, 1] = logits[0]  # lengths 2 and 4
    everywhere[1, 3] = logits[1]
    for outputs in (logits, everywhere):
        found = batch(task, "test", outputs)
        assert found["loss"] == pytest.approx(-np.log(p[[0, 1], labels]).mean(), rel=1e-5)
        assert found["accuracy"] == np.mean(p.argmax(1) == labels) and set(found) == {"loss", "accuracy"}
    example = jax.tree.map(lambda leaf: leaf[0], task.examples("test"))
    assert example.lengths == 2 and example.targets.dtype == jnp.int32
    with pytest.raises(ValueError, match=r"have shape \[4, 5\]; allowed: \[3\], or \[4, 3\] to read the last step"):
        task.loss(jnp.zeros((4, 5)), example)


@pytest.mark.slow
def test_one_answer_for_each_step():
    task = Supervised(STEPS, per_step=True)
    outputs = RANDOM.normal(size=(6, 4, 3)).astype(np.float32)
    exists = np.arange(4) < np.asarray(LENGTHS[:6])[:, None]
    outputs[~exists] = np.nan
    p = np.exp(outputs) / np.exp(outputs).sum(-1, keepdims=True)
    right = np.take_along_axis(p, np.broadcast_to(np.arange(4) % 3, (6, 4))[..., None], -1)[..., 0][exists]
    found = batch(task, "train", outputs)
    assert found["loss"] == pytest.approx(-np.log(right).mean(), rel=1e-5)  # over all steps, not over sequences
    gradient = jax.grad(lambda outputs: jax.vmap(task.loss)(outputs, task.examples("train")).sum())(outputs)
    assert np.isfinite(gradient).all() and (np.asarray(gradient)[~exists] == 0).all()
    with pytest.raises(ValueError, match=r"allowed: \[4, 3\]. Build it with out_features=3 and read every step"):
        task.loss(jnp.zeros(3), jax.tree.map(lambda leaf: leaf[0], task.examples("test")))


@pytest.mark.parametrize("kind", [None, "standard", "minmax"])
def test_errors_are_told_in_the_original_units(kind):
    task = Supervised(scale(NUMBERS, None, kind))
    truth, predictions = np.asarray(NUMBERS.test.targets), RANDOM.normal(5, 3, (2, 2)).astype(np.float32)
    scaler = task.data.scalers.targets
    outputs = predictions if scaler is None else scaler.transform(predictions)
    found = batch(task, "test", outputs)
    errors = predictions - truth
    assert found["rmse"] == pytest.approx(math.sqrt((errors**2).mean()), rel=1e-4)
    assert found["mae"] == pytest.approx(np.abs(errors).mean(), rel=1e-4)
    units = 1 if scaler is None else np.asarray(scaler.scale)
    assert found["loss"] == pytest.approx(((errors / units) ** 2).mean(), rel=1e-4)
    assert set(found) == {"loss", "rmse", "mae"}
    absolute = batch(dataclasses.replace(task, objective="absolute"), "test", outputs)
    assert absolute["loss"] == pytest.approx(np.abs(errors / units).mean(), rel=1e-4)


def test_a_forecast_is_one_answer_of_several_steps():
    values = RANDOM.normal(size=(60, 2))
    values[10:14] = np.nan
    parts = Series(values, missing="mask").split((0.6, 0.2, 0.2)).scaled()
    task = Supervised(parts.windows(length=3, horizon=2))
    assert (task.in_features, task.out_features) == (4, 4)
    examples = task.examples("train")
    outputs = RANDOM.normal(size=(len(examples.weights), 4)).astype(np.float32)
    found = batch(task, "train", outputs)
    counted = np.asarray(examples.weights)[..., None] * np.ones(2)
    errors = (outputs.reshape(-1, 2, 2) - examples.targets) * np.asarray(parts.scaler.scale)
    assert found["rmse"] == pytest.approx(math.sqrt(np.average(errors**2, weights=counted)), rel=1e-4)
    assert counted.sum() < counted.size
    assert np.isfinite(jax.vmap(task.loss)(np.zeros_like(outputs), examples)).all()


def test_labels_of_which_several_may_hold():
    labels = (RANDOM.uniform(size=(10, 3)) > 0.5).astype(int)
    task = Supervised(sequences(labels), "multilabel")
    logits = RANDOM.normal(size=(2, 3)).astype(np.float32)
    p = 1 / (1 + np.exp(-logits))
    found = batch(task, "test", logits)
    assert found["loss"] == pytest.approx(-np.log(np.where(labels[8:] == 1, p, 1 - p)).mean(), rel=1e-5)
    assert found["accuracy"] == pytest.approx(np.mean((p > 0.5) == labels[8:]))


def test_chance_is_the_best_constant():
    counts = np.bincount(CLASSES[:6], minlength=3) + 0.5
    assert Supervised(ONE).chance_level() == pytest.approx(-np.log(counts / counts.sum())[[2, 2]].mean(), rel=1e-5)
    train, test = (np.asarray(getattr(NUMBERS, split).targets, np.float64) for split in ("train", "test"))
    assert Supervised(NUMBERS).chance_level() == pytest.approx(((test - train.mean(0)) ** 2).mean(), rel=1e-4)
    median = Supervised(NUMBERS, "absolute").chance_level()
    assert median == pytest.approx(np.abs(test - np.median(train, 0)).mean(), rel=1e-4)
    steps = np.bincount(np.concatenate([np.arange(L) % 3 for L in LENGTHS[:6]])) + 0.5
    expected = -np.log(steps / steps.sum())[np.concatenate([np.arange(L) % 3 for L in LENGTHS[8:]])].mean()
    assert Supervised(STEPS, per_step=True).chance_level() == pytest.approx(expected, rel=1e-5)
    labels = np.asarray([[n % 2, n % 3 == 0] for n in range(10)]).astype(int)
    share = (labels[:6].sum(0) + 0.5) / 7
    surprise = -np.log(np.where(labels[8:] == 1, share, 1 - share)).mean()
    assert Supervised(sequences(labels), "multilabel").chance_level() == pytest.approx(surprise, rel=1e-5)


def test_examples_are_drawn_by_their_weights():
    weights = np.asarray([1, 0, 3, 2, 0, 4, 1, 1, 1, 1])
    task = Supervised(sequences(np.arange(10), weights=weights))
    drawn = jax.jit(jax.vmap(task.sample))(jax.random.split(jax.random.key(0), 4000)).targets
    counts = np.bincount(drawn, minlength=6)
    expected = 4000 * weights[:6] / 10
    assert counts.sum() == 4000 and (np.abs(counts - expected) <= 5 * np.sqrt(expected)).all()
    even = jax.jit(jax.vmap(Supervised(ONE).sample))(jax.random.split(jax.random.key(0), 600)).lengths
    assert set(even.tolist()) == set(LENGTHS[:6])


def test_tasks_are_equal_if_their_data_are():
    again = Dataset("arrays", "elsewhere", ONE.train, ONE.validation, ONE.test)
    assert Supervised(ONE) == Supervised(again) and hash(Supervised(ONE)) == hash(Supervised(again))
    assert Supervised(ONE) != Supervised(ONE, "absolute") and Supervised(ONE) != Supervised(NUMBERS)


ERRORS = {
    "data": (lambda: Supervised(Dataset("x", "", *[Images(np.ones((2, 2)), np.ones(2))] * 3)), TypeError, "of Images"),
    "objective": (lambda: Supervised(ONE, "ranking"), ValueError, "objective='ranking' is unknown; allowed are 'class"),
    "classes": (lambda: Supervised(NUMBERS, "classification"), ValueError, r"allowed: classes from 0 on, integers \[N"),
    "steps": (lambda: Supervised(STEPS), ValueError, r"classification with per_step=False got targets int\d\d\[6, 4\]"),
    "negative": (lambda: Supervised(sequences([-1] * 10)), ValueError, "the least -1; allowed: classes from 0 on"),
    "no steps": (lambda: Supervised(NUMBERS, per_step=True), ValueError, r"allowed: one array of numbers, \[N, T, ..."),
    "shapes": (
        lambda: Supervised(dataclasses.replace(ONE, test=ONE.test.padded([[[1.0, 2.0]]], [0]))), ValueError,
        r"the splits have examples of .*; allowed: the same shapes. Pad them"
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", ERRORS)
def test_errors_say_what_is_allowed(name):
    check_refusal(*ERRORS[name])


@pytest.mark.slow
def test_padded_classification_is_trained_by_fit():
    """The class is whether the last real step is positive: it needs the lengths."""
    lengths = RANDOM.integers(2, 9, 300)
    inputs = [RANDOM.normal(size=(L, 1)) for L in lengths]
    data = Arrays.padded(inputs, [int(xs[-1, 0] > 0) for xs in inputs]).split()
    task = Supervised(data)

    def build(key: jax.Array) -> rx.SequenceModel:
        rngs = nnx.Rngs(key)
        layer = rx.SimpleRNN(task.in_features, 8, activation_fn=jax.nn.relu, rngs=rngs)
        return rx.SequenceModel(layer, task.out_features, read="last", rngs=rngs)

    plan = Plan(steps=150, batch_size=16, chunk=50, seeds=(0,), devices=1)
    history = training.fit(build, task, optax.adam(2e-2), plan)
    model = jax.tree.map(lambda leaf: leaf[0], history.best_model)
    right = [int(jnp.argmax(model(xs[None])[0])) == (xs[-1, 0] > 0) for xs in map(jnp.asarray, inputs)]
    assert history.test_metrics["accuracy"][0] > 0.9 and np.mean(right) > 0.9


@pytest.mark.parametrize("per_step", [False, True])
def test_batches_by_length_are_the_same_examples(per_step):
    """Cut to their length, with nothing lost: the loss of each is that of the padded example."""
    whole = Supervised(STEPS if per_step else ONE, per_step=per_step)
    task = Bucketed(whole, batch_size=2, shapes=2)
    padded, seen = task.examples("train"), []
    for step in range(task.buckets.epoch):
        examples = task.batches(step)
        numbers, length = task.buckets.place(step)
        seen += numbers.tolist()
        assert examples.inputs.shape == (2, length, 2) and (examples.lengths <= length).all()
        outputs = RANDOM.normal(size=(6, 4, 3)).astype(np.float32)
        found = jax.vmap(task.loss)(outputs[numbers, :length], jax.tree.map(jnp.asarray, examples))
        np.testing.assert_allclose(found, jax.vmap(whole.loss)(outputs, padded)[numbers], rtol=1e-6)
    assert sorted(seen) == list(range(6)) and len(task.buckets.lengths) == 2
    again = Bucketed(whole, batch_size=2, shapes=2)
    assert task == again and hash(task) == hash(again) and task.monitor == whole.monitor
    jax.tree.map(np.testing.assert_array_equal, again.batches(7), task.batches(7))


def test_batches_by_length_need_lengths_and_no_weights():
    with pytest.raises(ValueError, match="the examples have no lengths"):
        Bucketed(Supervised(Arrays(np.zeros((9, 2, 1)), np.zeros(9, int)).split()), batch_size=2)
    with pytest.raises(ValueError, match="the examples have weights, and each is taken once an epoch"):
        Bucketed(Supervised(sequences(CLASSES, weights=np.arange(10))), batch_size=2)


@pytest.mark.slow
@pytest.mark.parametrize("consecutive", [1, 3])
def test_batches_by_length_are_trained_and_resumed_by_fit(tmp_path, consecutive):
    """Shapes that change within a chunk: the updates are those of single steps, also after a restart."""
    random = np.random.default_rng(0)
    inputs = [random.normal(size=(length, 1)) for length in random.integers(2, 12, 60)]
    task = Supervised(Arrays.padded(inputs, [int(xs[-1, 0] > 0) for xs in inputs]).split())
    bucketed = Bucketed(task, batch_size=4, shapes=3, consecutive=consecutive)

    def build(key: jax.Array) -> rx.SequenceModel:
        rngs = nnx.Rngs(key)
        return rx.SequenceModel(rx.SimpleRNN(1, 4, rngs=rngs), task.out_features, read="last", rngs=rngs)

    plan = Plan(steps=8, batch_size=4, chunk=4, seeds=(0,), devices=1, stop_when_solved=False)
    history = training.fit(build, bucketed, optax.sgd(0.1), plan)
    run, losses = (recipe := Recipe(build, bucketed, optax.sgd(0.1), 4)).start(0), []
    for step in range(8):
        run, loss = jax.jit(recipe.step)(run, bucketed.batches(step))
        losses.append(loss)
    assert len({bucketed.batches(step).inputs.shape for step in range(8)}) > 1
    np.testing.assert_allclose(history.train_loss[0], losses, rtol=1e-5)
    training.fit(build, bucketed, optax.sgd(0.1), dataclasses.replace(plan, steps=4), Output(tmp_path))
    resumed = training.fit(build, bucketed, optax.sgd(0.1), plan, Output(tmp_path))
    assert resumed.resumed_at == 4
    for ours, theirs in zip(*(jax.tree.leaves((h.run.model, h.train_loss)) for h in (resumed, history)), strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("made", [ONE, STEPS])
def test_a_new_task_evaluates_a_model_that_was_built_for_an_equal_one(made):
    """The first to ask for the number of classes is then a program that is being traced."""
    per_step = made is STEPS
    first = Supervised(made, per_step=per_step)
    layer = rx.layers.LSTM(first.in_features, 3, rngs=nnx.Rngs(0))
    model = rx.layers.SequenceModel(layer, 3, rngs=nnx.Rngs(0))
    assert first.out_features == 3
    expected = training.evaluate(model, first, "test")
    assert training.evaluate(model, Supervised(made, per_step=per_step), "test") == expected
