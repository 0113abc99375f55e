"""Training: ensembles equal runs alone, the criterion stops them, divergence is reported, bad settings are refused."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx
from samples import Below

import recurrax as rx
from recurrax import training
from recurrax.tasks import make_task
from recurrax.training import Output, Plan, Recipe
from recurrax.training.fit import HELD_OUT_KEY
from recurrax.training.run import batch

pytestmark = pytest.mark.usefixtures("quick")

TASK = make_task("adding", 8)
SMALL = Plan(steps=6, batch_size=4, chunk=3, held_out=16, seeds=(3, 5), devices=1)


def build(key):
    rngs = nnx.Rngs(key)
    return rx.SequenceModel(rx.RNN(rx.GRUCell(2, 4, rngs=rngs)), 1, rngs=rngs)


@pytest.fixture(scope="module")
def history():
    return training.fit(build, TASK, training.adam(1e-2), SMALL)


def test_ensemble_equals_each_seed_alone(history):
    """Same data, same initial values; only the order of floating-point sums may differ."""
    recipe = Recipe(build, TASK, training.adam(1e-2), SMALL.batch_size)
    step = jax.jit(recipe.step)
    for index, seed in enumerate(SMALL.seeds):
        run = recipe.start(seed)
        losses = []
        for _ in range(SMALL.steps):
            run, loss = step(run)
            losses.append(loss)
        np.testing.assert_allclose(history.train_loss[index], losses, rtol=1e-5)
        for ours, alone in zip(jax.tree.leaves(history.run.model), jax.tree.leaves(run.model), strict=True):
            np.testing.assert_allclose(ours[index], alone, atol=1e-6)


def test_seeds_differ_in_weights_and_data(history):
    recipe = Recipe(build, TASK, training.adam(1e-2))
    first, second = recipe.start(0), recipe.start(1)
    assert not np.allclose(first.model.layer.cell.kernel[...], second.model.layer.cell.kernel[...])
    draws = [batch(TASK, jax.random.fold_in(run.key, 0), 4).inputs for run in (first, second)]
    assert not np.allclose(*draws)


def test_every_update_sees_fresh_data():
    run = Recipe(build, TASK, training.adam(1e-2)).start(0)
    first, second = (batch(TASK, jax.random.fold_in(run.key, step), 4).inputs for step in (0, 1))
    assert not np.allclose(first, second)


def test_history_is_complete(history):
    assert history.train_loss.shape == (2, 6)
    assert history.steps.tolist() == [0, 3, 6]
    assert history.loss.shape == history.accuracy.shape == (2, 3)
    assert history.solved_at.tolist() == [-1, -1]
    assert history.diverged_at.tolist() == [-1, -1]
    assert jax.tree.leaves(history.run.model)[0].shape[0] == 2
    assert history.run.step.tolist() == [6, 6]


def test_chunking_does_not_change_the_run(history):
    other = training.fit(build, TASK, training.adam(1e-2), dataclasses.replace(SMALL, chunk=4))  # 4 + 2, not 3 + 3
    assert other.steps.tolist() == [0, 4, 6]
    for a, b in zip(jax.tree.leaves(history.run.model), jax.tree.leaves(other.run.model), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)


def test_held_out_loss_is_of_the_same_examples(history):
    held_out = batch(TASK, jax.random.key(HELD_OUT_KEY), SMALL.held_out)
    model = jax.tree.map(lambda leaf: leaf[1], history.run.model)
    metrics = Recipe(build, TASK, training.adam(1e-2)).evaluate(model, held_out)
    np.testing.assert_allclose(history.loss[1, -1], metrics["loss"], rtol=1e-5)
    np.testing.assert_allclose(history.accuracy[1, -1], metrics["accuracy"], rtol=1e-5)


def test_stops_when_every_seed_has_met_the_criterion():
    plan = dataclasses.replace(SMALL, steps=300)
    history = training.fit(build, Below(TASK, 1e3), training.adam(1e-2), plan)
    assert history.solved_at.tolist() == [3, 3]
    assert history.steps.tolist() == [0, 3]
    on = training.fit(build, Below(TASK, 1e3), training.adam(1e-2), dataclasses.replace(SMALL, stop_when_solved=False))
    assert on.steps.tolist() == [0, 3, 6]
    assert on.solved_at.tolist() == [3, 3]


@pytest.mark.slow
def test_a_short_memory_is_learnt():
    """A GRU solves adding over 8 steps; chance is 1/6."""
    plan = Plan(steps=600, batch_size=16, chunk=100, held_out=128, seeds=(0,), devices=1)
    history = training.fit(build, TASK, training.adam(2e-2), plan)
    assert history.loss[0, -1] < TASK.chance_level() / 4


def explode(seed_to_hit, at):
    """An optimiser that turns one run's parameters into NaN at one update."""

    def update(updates, count, params=None):
        bad = (count == at) & (params["tag"] == seed_to_hit)
        return jax.tree.map(lambda u: jnp.where(bad, jnp.nan, u), updates), count + 1

    return optax.chain(optax.sgd(1e-2), optax.GradientTransformation(lambda params: jnp.zeros((), int), update))


class Tagged(nnx.Module):
    """A model that carries its key, so that the test can tell the runs apart."""

    def __init__(self, key):
        self.inner = build(key)
        self.tag = nnx.Param(jax.random.uniform(key))

    def __call__(self, xs):
        return self.inner(xs)


def test_a_diverged_run_is_reported_and_the_others_go_on():
    bad = Tagged(jax.random.split(jax.random.key(5))[0]).tag[...]
    with pytest.warns(RuntimeWarning, match="seed 5 diverged.* at update 4"):
        history = training.fit(Tagged, TASK, explode(bad, 3), SMALL)
    assert history.diverged_at.tolist() == [-1, 4]
    assert np.isfinite(history.train_loss[0]).all() and np.isfinite(history.loss[0]).all()
    assert history.solved_at.tolist() == [-1, -1]


def test_on_chunk_sees_every_evaluation():
    seen = []
    output = Output(on_chunk=lambda history: seen.append(history.steps.tolist()))
    training.fit(build, TASK, training.adam(1e-2), SMALL, output)
    assert seen == [[0, 3], [0, 3, 6]]


@pytest.mark.parametrize("value", [0.0, -1e-3, float("nan"), float("inf"), "1e-3"])
def test_adam_refuses(value):
    with pytest.raises(ValueError, match=r"learning_rate=.*allowed: a finite number > 0"):
        training.adam(value)
    with pytest.raises(ValueError, match=r"clip_norm=.*allowed: a finite number > 0"):
        training.adam(1e-3, clip_norm=value)


def test_clipping_comes_before_adam():
    """Adam's first moment after one update is a tenth of the gradient it saw; its norm tells what was clipped."""
    gradient = {"a": jnp.full(4, 100.0)}
    for clip_norm, norm in ((1.0, 1.0), (None, 200.0)):
        optimizer = training.adam(1e-3, clip_norm)
        _, state = optimizer.update(gradient, optimizer.init(gradient))
        moment = jax.tree.leaves(optax.tree_utils.tree_get(state, "mu"))[0]
        np.testing.assert_allclose(jnp.linalg.norm(moment), 0.1 * norm, rtol=1e-5)


@pytest.mark.parametrize(
    "change, words",
    [
        ({"seeds": ()}, r"seeds=\(\); allowed: one or more"),
        ({"seeds": (1, 1)}, r"seeds=\(1, 1\); allowed: .* different"),
        ({"steps": 0}, "steps=0; allowed: an int >= 1"),
        ({"batch_size": -1}, "batch_size=-1; allowed: an int >= 1"),
        ({"chunk": 2.5}, "chunk=2.5; allowed: an int >= 1"),
        ({"held_out": True}, "held_out=True; allowed: an int >= 1"),
    ],
)
def test_plan_refuses(change, words):
    with pytest.raises(ValueError, match=words):
        dataclasses.replace(SMALL, **change)
