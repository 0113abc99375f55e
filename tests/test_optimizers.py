"""Any Optax transformation: what it needs it gets, what cannot work is refused by name before anything is compiled."""

import dataclasses
import importlib
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

import recurrax as rx
from recurrax import training
from recurrax.tasks import make_task
from recurrax.training import Output, Plan, Recipe, parameters
from recurrax.training.fit import HELD_OUT_KEY
from recurrax.training.parameters import with_parameters

pytestmark = pytest.mark.usefixtures("quick")

TASK = make_task("adding", 6)
PLAN = Plan(steps=6, batch_size=4, chunk=3, held_out=16, seeds=(3, 5), devices=1, stop_when_solved=False)


def build(key):
    rngs = nnx.Rngs(key)
    return rx.SequenceModel(rx.RNN(rx.GRUCell(2, 3, rngs=rngs)), 1, rngs=rngs)


def fit(optimizer, plan=PLAN, output=Output()):
    return training.fit(build, TASK, optimizer, plan, output)


def by_hand(optimizer, seed=3, steps=6):
    """The same run as a loop of Optax alone, on the parameters as nested dicts."""
    recipe = Recipe(build, TASK, optax.sgd(0.0), 4)
    run = recipe.start(seed)
    params, losses = parameters(run.model), []
    state = optimizer.init(params)

    @jax.jit
    def update(params, state, step):
        examples = recipe.examples(run._replace(step=step))

        def loss(params):
            return recipe.loss(with_parameters(run.model, params), examples)

        value, gradient = jax.value_and_grad(loss)(params)
        updates, state = optax.with_extra_args_support(optimizer).update(
            gradient, state, params, value=value, grad=gradient, value_fn=loss
        )
        return optax.apply_updates(params, updates), state, value

    for step in range(steps):
        params, state, value = update(params, state, jnp.asarray(step))
        losses.append(float(value))
    return params, losses, state


SCHEDULE = optax.warmup_cosine_decay_schedule(0.0, 0.1, 2, 6)
EVERY = {
    "adamw": optax.adamw(1e-2, weight_decay=0.1),
    "schedule": optax.adam(SCHEDULE),
    "lbfgs": optax.lbfgs(),
    "plateau": optax.chain(optax.sgd(0.1), optax.contrib.reduce_on_plateau(patience=1, accumulation_size=1)),
    "polyak": optax.polyak_sgd(max_learning_rate=0.1),
    "schedule-free": optax.contrib.schedule_free_sgd(0.1),
    "injected": optax.inject_hyperparams(optax.adam)(SCHEDULE),
    "zero nans": optax.chain(optax.zero_nans(), optax.ema(0.9), optax.trace(0.9), optax.scale(-0.01)),
    "masked tree": optax.masked(optax.sgd(0.1), {"head": {"bias": True, "kernel": False}, "layer": True}),
    "masked function": optax.masked(optax.sgd(0.1), lambda params: jax.tree.map(lambda leaf: leaf.ndim > 1, params)),
    "labels": optax.partition(
        {"fast": optax.sgd(0.1), "slow": optax.adam(1e-3)}, {"head": "fast", "layer": {"cell": "slow"}}
    ),
}


OFTEN = ("adamw", "masked tree")


@pytest.mark.parametrize("name", [pytest.param(n, marks=[] if n in OFTEN else [pytest.mark.slow]) for n in EVERY])
def test_a_run_is_that_of_optax_by_hand(name):
    history = fit(EVERY[name])
    params, losses, _ = by_hand(EVERY[name])
    np.testing.assert_allclose(history.train_loss[0], losses, rtol=2e-4)
    for ours, theirs in zip(*map(jax.tree.leaves, (parameters(history.run.model), params)), strict=True):
        np.testing.assert_allclose(ours[0], theirs, rtol=2e-3, atol=2e-4)


@pytest.mark.slow
def test_accumulation_updates_every_third_time_only():
    history = fit(optax.MultiSteps(optax.sgd(0.1), 3), dataclasses.replace(PLAN, chunk=1))
    kernels = history.loss[0]
    assert len(set(kernels.tolist())) == 3 and (kernels[:3] == kernels[0]).all() and (kernels[3:6] == kernels[3]).all()


@pytest.mark.slow
def test_weights_that_a_transformation_averages_are_those_that_are_judged():
    """The average starts at the first weights, so with a decay near 1 the held-out loss hardly moves."""
    plain, slow = fit(optax.sgd(0.3)), fit(optax.chain(optax.sgd(0.3), training.average(0.99)))
    np.testing.assert_array_equal(plain.train_loss, slow.train_loss)
    moved = [np.abs(h.loss[:, -1] - h.loss[:, 0]) for h in (plain, slow)]
    assert (moved[1] < 0.3 * moved[0]).all()
    for ours, state in zip(
        jax.tree.leaves(parameters(slow.best_model)), jax.tree.leaves(slow.run.optimizer[-1].average), strict=True
    ):
        assert ours.shape == state.shape
    with pytest.raises(ValueError, match="decay=1; allowed: 0 <= decay < 1"):
        training.average(1)


@pytest.mark.slow
def test_schedule_free_is_judged_at_its_average():
    optimizer = optax.contrib.schedule_free_sgd(0.1)
    history, (params, _, state) = fit(optimizer), by_hand(optimizer)
    model = with_parameters(
        Recipe(build, TASK, optimizer).start(3).model, optax.contrib.schedule_free_eval_params(state, params)
    )
    recipe = Recipe(build, TASK, optimizer, 16)
    examples = jax.vmap(TASK.sample)(jax.random.split(jax.random.key(HELD_OUT_KEY), 16))
    np.testing.assert_allclose(history.loss[0, -1], recipe.evaluate(model, examples)["loss"], rtol=1e-4)


@pytest.mark.slow
def test_the_learning_rate_is_logged_where_the_optimiser_tells_it(tmp_path):
    history = fit(optax.inject_hyperparams(optax.adam)(SCHEDULE))
    np.testing.assert_allclose(history.metrics["learning_rate"][0, 1:], SCHEDULE(np.array([2, 5])), rtol=1e-5)
    groups = {"fast": optax.inject_hyperparams(optax.sgd)(0.5), "slow": optax.inject_hyperparams(optax.sgd)(0.1)}
    two = fit(optax.partition(groups, {"head": "fast", "layer": "slow"}))
    told = {name: value[0, -1] for name, value in two.metrics.items() if name.startswith("learning_rate")}
    assert told == pytest.approx({"learning_rate.fast": 0.5, "learning_rate.slow": 0.1})
    assert "learning_rate" not in fit(optax.adam(1e-3)).metrics


def tree_of_modules() -> Any:
    model = build(jax.random.key(0))
    return jax.tree.map(lambda leaf: leaf.ndim > 1, model)


def growing() -> optax.GradientTransformation:
    return optax.GradientTransformation(
        lambda params: jnp.zeros(1), lambda updates, state, params=None: (updates, jnp.concatenate([state, state]))
    )


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: optax.masked(optax.sgd(0.1), tree_of_modules()), "a module is called as if it were a function"),
        (lambda: optax.lookahead(optax.sgd(0.1), 5, 0.5), "the optimizer cannot be used on this model"),
        (lambda: optax.masked(optax.sgd(0.1), {"tail": True}), r"given the parameters as nested dicts, \{head: "),
        (growing, r"an update of the optimizer changes its state from .*float32\[1\].* to .*float32\[2\]"),
        (lambda: lambda: "adam", "the optimizer is str; allowed: an Optax transformation"),
    ],
)
def test_what_cannot_work_is_refused_by_name_before_anything_compiles(make, words, monkeypatch):
    monkeypatch.setattr(importlib.import_module("recurrax.training.fit"), "Programs", None)  # nothing gets that far
    with pytest.raises((ValueError, TypeError), match=words):
        fit(make())
