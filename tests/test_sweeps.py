"""Sweeps, freezing, precision and model selection: what each run of an ensemble is, and which model is reported."""

import dataclasses
import importlib

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
from recurrax.training import Plan, Recipe
from recurrax.training.ensemble import grid
from recurrax.training.fit import HELD_OUT_KEY, TEST_KEY
from recurrax.training.run import batch

pytestmark = pytest.mark.usefixtures("quick")

TASK = make_task("adding", 8)
TOLERANCE = 1e-6  # absolute, after 6 updates in float32: the order of floating-point sums and nothing else
SMALL = Plan(steps=6, batch_size=4, chunk=3, held_out=16, seeds=(3, 5), devices=1)
SWEEP = {"learning_rate": (1e-3, 3e-2), "clip_norm": (0.1,), "forget_bias": (0.0, 2.0)}


def build(key, forget_bias=1.0):
    rngs = nnx.Rngs(key)
    return rx.SequenceModel(rx.RNN(rx.LSTMCell(2, 4, forget_bias=forget_bias, rngs=rngs)), 1, rngs=rngs)


@pytest.fixture(scope="module")
def swept():
    return training.fit(build, TASK, training.adam, dataclasses.replace(SMALL, sweep=SWEEP))


@pytest.mark.slow
def test_a_sweep_is_every_seed_at_every_point(swept):
    seeds, settings = grid(SMALL.seeds, SWEEP)
    np.testing.assert_array_equal(swept.seeds, seeds)
    rows = list(zip(*(swept.settings[name].tolist() for name in SWEEP), swept.seeds.tolist(), strict=True))
    assert rows == [(lr, 0.1, bias, seed) for lr in (1e-3, 3e-2) for bias in (0.0, 2.0) for seed in (3, 5)]
    np.testing.assert_array_equal(swept.run.settings["learning_rate"], settings["learning_rate"].astype(np.float32))
    assert swept.train_loss.shape == (8, 6)


@pytest.mark.parametrize("index", range(8))
def test_every_run_of_a_sweep_is_that_run_alone(swept, index):
    """Same data and initial values as the same seed with its settings as plain numbers; equal up to summation order."""
    rate, clip, bias = (float(swept.settings[name][index]) for name in ("learning_rate", "clip_norm", "forget_bias"))
    recipe = Recipe(lambda key: build(key, bias), TASK, training.adam(rate, clip), SMALL.batch_size)
    run, losses = recipe.start(int(swept.seeds[index])), []
    assert run.model.layer.cell.bias[...][0].tolist() == 4 * [bias]
    step = jax.jit(recipe.step)
    for _ in range(SMALL.steps):
        run, loss = step(run)
        losses.append(loss)
    np.testing.assert_allclose(swept.train_loss[index], losses, rtol=0, atol=TOLERANCE)
    for ours, alone in zip(jax.tree.leaves(swept.run.model), jax.tree.leaves(run.model), strict=True):
        np.testing.assert_allclose(ours[index], alone, rtol=0, atol=TOLERANCE)


def test_swept_settings_matter(swept):
    assert len(np.unique(swept.train_loss[:, -1])) == 8


@pytest.mark.parametrize(
    "sweep, optimizer, words",
    [
        ({"lr": (1e-3,)}, training.adam, "sweep names 'lr', which neither build.* nor the optimizer takes"),
        ({"learning_rate": (1e-3,)}, training.adam(1e-3), "sweep names 'learning_rate', which neither"),
        ({"learning_rate": (-1.0,)}, training.adam, "learning_rate=-1.0; allowed: a finite number > 0"),
        ({"learning_rate": (1e-3, 1e-3)}, training.adam, "allowed: one or more different numbers"),
        ({"learning_rate": ()}, training.adam, "allowed: one or more different numbers"),
        ({"clip_norm": ("1",)}, training.adam, "sweep clip_norm holds '1'; allowed: finite numbers"),
        ({"forget_bias": (float("nan"),)}, training.adam, "sweep forget_bias holds nan; allowed: finite numbers"),
    ],
)
def test_a_sweep_is_refused_before_anything_compiles(sweep, optimizer, words):
    with pytest.raises(ValueError, match=words):
        training.fit(build, TASK, optimizer, dataclasses.replace(SMALL, sweep=sweep))


@pytest.mark.slow
def test_a_solved_run_can_be_frozen():
    """The run that solves it first stays as it was then; the others go on as if nothing had happened."""
    plan = dataclasses.replace(SMALL, steps=12, seeds=(3, 5, 6), stop_when_solved=False)
    free = training.fit(build, TASK, training.adam(1e-2), plan)
    limit = float(np.sort(free.loss[:, 2])[0] + np.sort(free.loss[:, 2])[1]) / 2  # one run is below it at update 6
    solved = free.loss[:, 1:].min(axis=1) < limit
    frozen = training.fit(build, Below(TASK, limit), training.adam(1e-2), dataclasses.replace(plan, freeze_solved=True))
    at = frozen.solved_at
    assert solved.any() and (at[solved] > 0).all() and (at[~solved] == -1).all() and at.max() < plan.steps
    for run in range(3):
        end = at[run] if at[run] > 0 else plan.steps
        assert frozen.run.step[run] == end
        assert np.isfinite(frozen.train_loss[run, :end]).all() and np.isnan(frozen.train_loss[run, end:]).all()
        np.testing.assert_allclose(frozen.train_loss[run, :end], free.train_loss[run, :end], rtol=0, atol=TOLERANCE)
        assert len(set(frozen.loss[run, frozen.steps >= end].tolist())) == 1
    assert (frozen.diverged_at == -1).all()


@pytest.mark.slow
def test_bfloat16_computes_and_float32_keeps():
    """The model's arithmetic is in bfloat16; parameters, optimiser, loss and the evaluation's means are float32."""
    recipe = Recipe(build, TASK, training.adam(1e-2), 4, precision="bfloat16")
    run = recipe.start(0)
    examples = batch(TASK, jax.random.key(0), 4)
    assert "bf16" in str(jax.make_jaxpr(recipe.outputs)(run.model, examples))  # inside; outputs are float32 again
    assert jax.eval_shape(recipe.outputs, run.model, examples).dtype == jnp.float32
    new, loss = jax.jit(recipe.step)(run)
    floats = [leaf for leaf in jax.tree.leaves(new) if jnp.issubdtype(leaf.dtype, jnp.floating)]
    assert loss.dtype == jnp.float32 and {leaf.dtype for leaf in floats} == {jnp.dtype("float32")}
    assert all(value.dtype == jnp.float32 for value in jax.eval_shape(recipe.evaluate, new.model, examples).values())
    fine = Recipe(build, TASK, training.adam(1e-2), 4)
    difference = abs(float(loss - jax.jit(fine.step)(run)[1]))
    assert 0 < difference < 0.05  # not the same arithmetic, but the same loss to bfloat16's 3 digits
    gradient = [jax.jit(jax.grad(r.loss))(run.model, examples) for r in (recipe, fine)]
    for half, full in zip(*map(jax.tree.leaves, gradient), strict=True):
        np.testing.assert_allclose(half, full, rtol=0, atol=0.02 * (1 + float(jnp.abs(full).max())))


@pytest.mark.slow
def test_bfloat16_learns_too():
    plan = Plan(
        steps=600, batch_size=16, chunk=100, held_out=128, seeds=(0,), devices=1, precision="bfloat16",
        stop_when_solved=False,
    )  # fmt: skip
    history = training.fit(build, TASK, training.adam(2e-2), plan)
    assert history.test_loss[0] < TASK.chance_level() / 4


def test_precision_is_refused():
    for make in (lambda name: Plan(precision=name), lambda name: Recipe(build, TASK, training.adam, precision=name)):
        with pytest.raises(ValueError, match="precision='float16'; allowed: float32, bfloat16"):
            make("float16")


def rise_and_fall(at):
    """An optimiser that improves until an update and spoils the model afterwards."""

    def update(updates, count, params=None):
        return jax.tree.map(lambda u: jnp.where(count < at, u, -30 * u), updates), count + 1

    return optax.chain(optax.sgd(0.3), optax.GradientTransformation(lambda params: jnp.zeros((), int), update))


@pytest.fixture(scope="module")
def overtrained():
    return training.fit(build, TASK, rise_and_fall(6), dataclasses.replace(SMALL, steps=12, stop_when_solved=False))


@pytest.mark.slow
def test_the_best_model_is_that_of_the_lowest_held_out_loss(overtrained):
    lowest = np.nanargmin(overtrained.loss, axis=1)
    assert (lowest < overtrained.loss.shape[1] - 1).any()
    np.testing.assert_array_equal(overtrained.best_at, overtrained.steps[lowest])
    held_out = batch(TASK, jax.random.key(HELD_OUT_KEY), SMALL.held_out)
    recipe = Recipe(build, TASK, optax.sgd(1.0))
    for run in range(2):
        model = jax.tree.map(lambda leaf, run=run: leaf[run], overtrained.best_model)
        np.testing.assert_allclose(recipe.evaluate(model, held_out)["loss"], overtrained.loss[run].min(), rtol=1e-5)


@pytest.mark.slow
def test_selection_never_sees_the_test_examples(overtrained, monkeypatch):
    """The test loss is that of the selected models on a stream of its own; other test examples change nothing else."""
    examples = batch(TASK, jax.random.key(TEST_KEY), SMALL.held_out)
    recipe = Recipe(build, TASK, optax.sgd(1.0))
    for run in range(2):
        model = jax.tree.map(lambda leaf, run=run: leaf[run], overtrained.best_model)
        np.testing.assert_allclose(recipe.evaluate(model, examples)["loss"], overtrained.test_loss[run], rtol=1e-5)
    monkeypatch.setattr(importlib.import_module("recurrax.training.fit"), "TEST_KEY", 17)
    plan = dataclasses.replace(SMALL, steps=12, stop_when_solved=False)
    other = training.fit(build, TASK, rise_and_fall(6), plan)
    assert not np.allclose(other.test_loss, overtrained.test_loss)
    np.testing.assert_array_equal(other.best_at, overtrained.best_at)
    np.testing.assert_array_equal(other.loss, overtrained.loss)
    for ours, theirs in zip(*(jax.tree.leaves(h.best_model) for h in (other, overtrained)), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_held_out_test_and_training_streams_differ():
    keys = [jax.random.key(HELD_OUT_KEY), jax.random.key(TEST_KEY)]
    keys += [jax.random.fold_in(Recipe(build, TASK, training.adam).start(seed).key, 0) for seed in (0, 1)]
    draws = [np.asarray(batch(TASK, key, 4).inputs).tobytes() for key in keys]
    assert len(set(draws)) == 4
