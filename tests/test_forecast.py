"""The task Forecast: metrics by hand and in units, missing targets, weights, chance, training by `fit`, refusals."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx
from samples import check_refusal

import recurrax as rx
from recurrax import training
from recurrax.datasets import Arrays, Images, Series
from recurrax.heads import Gaussian, Laplace, Quantiles
from recurrax.tasks import Forecast
from recurrax.training import Output, Plan

pytestmark = pytest.mark.usefixtures("quick")

RANDOM = np.random.default_rng(0)
VALUES = RANDOM.normal(40, 5, 120) + 10 * np.sin(np.arange(120) / 3)
PARTS = Series(VALUES).split(gap=4).scaled()
DATA = PARTS.windows(length=6, horizon=3)


def evaluated(task: Forecast, outputs):
    """Metrics of the test split as an evaluation makes them."""
    examples = task.examples("test")
    scores = jax.vmap(task.metrics)(jnp.asarray(outputs), examples)
    counts = jax.vmap(lambda weights: jnp.sum(weights))(examples.weights)
    return task.finish({name: jnp.average(score, weights=counts) for name, score in scores.items()})


def test_metrics_are_in_the_original_units():
    task = Forecast(DATA, Gaussian(), interval=0.5)
    size = len(DATA.test)
    assert (task.in_features, task.horizon, task.out_features, task.sequence_length) == (1, 3, 6, 6)
    outputs = RANDOM.normal(size=(size, 6)).astype(np.float32)
    found = evaluated(task, outputs)
    medians = PARTS.scaler.inverse(outputs[:, 0::2][..., None])[..., 0]
    truth = PARTS.scaler.inverse(np.asarray(DATA.test.targets))[..., 0]
    assert found["mae"] == pytest.approx(np.abs(medians - truth).mean(), rel=1e-4)
    assert found["rmse"] == pytest.approx(np.sqrt(((medians - truth) ** 2).mean()), rel=1e-4)
    low, high = (PARTS.scaler.inverse(np.asarray(q)[..., None])[..., 0] for q in task.head.interval(outputs, 0.5))
    assert found["coverage"] == pytest.approx(((low <= truth) & (truth <= high)).mean(), rel=1e-5)
    loss = task.head.loss(outputs, jnp.asarray(DATA.test.targets)[..., 0])
    assert found["loss"] == pytest.approx(float(loss.mean()), rel=1e-5)


def test_the_last_step_that_exists_answers():
    arrays = Arrays(np.zeros((3, 4, 1)), RANDOM.normal(size=(3, 2)), lengths=[4, 2, 1])
    task = Forecast(arrays.split_at([0], [1], [2]), Laplace())
    example = jax.tree.map(lambda leaf: leaf[0], task.examples("validation"))
    outputs = jnp.full((4, 4), jnp.nan).at[1].set(jnp.arange(4.0))
    np.testing.assert_array_equal(task.answer(outputs, example), np.arange(4.0))
    assert task.loss(outputs, example) == task.loss(jnp.arange(4.0), example)
    check_refusal(lambda: task.loss(jnp.zeros(3), example), ValueError, r"shape \[3\]; allowed: \[4\], or \[4, 4\]")


def test_a_missing_target_counts_nothing():
    """NaN in the outputs for it reaches neither the loss nor the gradient."""
    weights = np.ones((6, 2), np.float32)
    weights[:, 1] = 0
    arrays = Arrays(np.zeros((6, 3, 1)), RANDOM.normal(size=(6, 2)), weights=weights)
    task = Forecast(arrays.split_at(range(4), [4], [5]), Quantiles((0.1, 0.5, 0.9)), interval=0.8)
    example = jax.tree.map(lambda leaf: leaf[0], task.examples("test"))
    outputs = jnp.array([0.1, 0.2, 0.3, jnp.nan, jnp.nan, jnp.nan])
    alone = task.head.loss(outputs[:3], example.targets[:1])
    value, gradient = jax.value_and_grad(task.loss)(outputs, example)
    assert value == pytest.approx(float(alone[0]), rel=1e-6)
    assert jnp.isfinite(gradient).all() and (gradient[3:] == 0).all()
    assert all(np.isfinite(value) for value in evaluated(task, outputs[None]).values())


def test_weights_of_examples_say_how_often_they_are_drawn():
    arrays = Arrays(np.arange(6.0).reshape(6, 1, 1), np.zeros((6, 1)), weights=[0.0, 3.0, 1.0, 0.0, 1.0, 1.0])
    task = Forecast(arrays.split_at(range(4), [4], [5]))
    drawn = np.asarray(jax.vmap(task.sample)(jax.random.split(jax.random.key(0), 400)).inputs).ravel()
    assert set(drawn) == {1.0, 2.0} and 0.65 < np.mean(drawn == 1) < 0.85


@pytest.mark.parametrize("head", [Gaussian(), Laplace(), Quantiles()], ids=repr)
def test_chance_is_what_the_training_split_says_without_inputs(head):
    task = Forecast(DATA, head)
    targets = np.asarray(DATA.train.targets)[..., 0]
    constant = jnp.asarray(head.constant(targets), jnp.float32)
    losses = head.loss(jnp.broadcast_to(constant, (len(DATA.test), *constant.shape)), DATA.test.targets[..., 0])
    assert task.chance_level() == pytest.approx(float(losses.mean()), rel=1e-5)


def test_fit_learns_a_series_with_a_rhythm():
    """The loss falls below that of the best constant answer, and the interval covers about what it should."""
    values = np.sin(np.arange(600) / 4) + 0.1 * RANDOM.normal(size=600)
    data = Series(values).split(gap=4).scaled().windows(length=8, horizon=2)
    task = Forecast(data, Quantiles())

    def build(key):
        rngs = nnx.Rngs(key)
        return rx.SequenceModel(rx.GRU(1, 8, rngs=rngs), task.out_features, read="last", rngs=rngs)

    plan = Plan(steps=150, chunk=50, batch_size=32, seeds=(0,))
    history = training.fit(build, task, optax.adam(1e-2), plan, Output(progress=False))
    assert history.test_metrics["loss"][0] < 0.5 * task.chance_level()
    assert set(history.test_metrics) == {"loss", "rmse", "mae", "coverage"}
    assert 0.6 < history.test_metrics["coverage"][0] <= 1


def test_refusals_name_the_value_and_the_fix():
    images = Images(np.zeros((4, 2, 2, 1), np.uint8), np.zeros(4, np.uint8))
    pictures = dataclasses.replace(DATA, train=images, validation=images, test=images)
    check_refusal(lambda: Forecast(pictures), TypeError, "got splits of Images; allowed: Arrays")
    check_refusal(lambda: Forecast(DATA, "normal"), TypeError, "head='normal'; allowed: a recurrax.heads.Head")
    check_refusal(lambda: Forecast(DATA, Quantiles((0.3, 0.7))), ValueError, "allowed: from 0.3 to 0.7")
    classes = Arrays(np.zeros((3, 2, 1)), [0, 1, 0]).split_at([0], [1], [2])
    check_refusal(lambda: Forecast(classes), ValueError, r"int\d\d\[1\].*allowed: floating-point numbers \[N, H\]")
    unequal = dataclasses.replace(DATA, test=DATA.test.__class__(DATA.test.inputs, DATA.test.targets[:, :2]))
    check_refusal(lambda: Forecast(unequal), ValueError, "with the same H and F in each")
    nothing = Arrays(np.zeros((3, 2, 1)), np.zeros((3, 1)), weights=[1.0, 1.0, 0.0]).split_at([0], [1], [2])
    check_refusal(lambda: Forecast(nothing), ValueError, "no example of the test split counts")
