"""The identity of a run: another model, optimiser, task or plan is refused by name, the same one is recognised."""

import dataclasses
import functools
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import trainee
from flax import nnx

import recurrax as rx
from recurrax import training
from recurrax.report import provenance
from recurrax.storage.description import describe
from recurrax.storage.differences import differences
from recurrax.tasks import Task, make_task
from recurrax.training import CheckpointError, Output, Plan, Recipe
from recurrax.training.identity import claim, fingerprint, identity, one_update, verdict

PARAMS = {"a": jax.ShapeDtypeStruct((3, 4), jnp.float32), "b": {"c": jax.ShapeDtypeStruct((4,), jnp.float32)}}
PLAN = Plan(steps=10, batch_size=2, chunk=5, held_out=4, seeds=(0,), devices=1)
TASK = make_task("adding", 6)
ABOUT = {"versions": provenance()["versions"]}


class Layer(nnx.Module):
    """A module with everything in it that a description has to tell."""

    def __init__(self, rngs, units=4, activation=jnp.tanh, scale=0.1):
        init = nnx.initializers.normal(scale)
        self.linear = nnx.Linear(2, units, kernel_init=init, rngs=rngs)
        self.head = nnx.Linear(units, 1, rngs=rngs)
        self.activation, self.options = activation, {"steps": (1, 2)}

    def __call__(self, xs):
        return self.head(self.activation(self.linear(xs)))


def layer(key, units=4, activation=jnp.tanh, scale=0.1):
    return Layer(nnx.Rngs(key), units, activation, scale)


SCALE = 0.1


def of_a_global(key):
    return layer(key, scale=SCALE)


def factory(units):
    return lambda key: layer(key, units)


class PlainTask(Task):
    """A task that is no dataclass."""

    def __init__(self, length, noise=None):
        self.length, self.noise = length, noise

    @functools.cached_property
    def table(self):
        return np.arange(self.length)

    def sample(self, key):
        return TASK.sample(key)

    def loss(self, outputs, example):
        return TASK.loss(outputs, example)


def settings(build=layer, task=TASK, optimizer=training.adam, plan=PLAN, config=None, penalty=None):
    return identity(Recipe(build, task, optimizer, penalty=penalty), plan, config or {})


def refused(there, here, about=ABOUT):
    """What a run is told that finds another one in its folder, after the other's settings went through a file."""
    there = json.loads(json.dumps(there))
    return verdict({"settings": there, "about": ABOUT}, {"settings": here, "about": about})


# Describing

SAME: list[Any] = [
    lambda: 0.1,
    lambda: float("nan"),
    lambda: np.float32(0.1),
    lambda: {"a": (1, [2, {3}]), "b": None},
    lambda: np.arange(3),
    lambda: jnp.arange(3),
    lambda: jax.random.key(3),
    lambda: layer(jax.random.key(0)),
    lambda: rx.Scan(unroll=2),
    lambda: TASK,
    lambda: PlainTask(3, jnp.ones(2)),
    lambda: functools.partial(layer, units=3),
    lambda: factory(8),
    lambda: optax.cosine_decay_schedule(1e-3, 100),
    lambda: nnx.initializers.orthogonal(2.0),
    lambda: PlainTask(3).sample,
    lambda: object(),
    lambda: jnp.bfloat16,
    lambda: complex(1, 2),
]


@pytest.mark.parametrize("make", SAME)
def test_what_is_made_twice_is_described_as_one(make):
    first, second = describe(make()), describe(make())
    assert first == second and json.loads(json.dumps(first)) == first
    assert "0x" not in json.dumps(first)


DIFFERENT: list[tuple[Any, Any, str]] = [
    (0.1, 0.2, "it is 0.1 there and 0.2 here"),
    (functools.partial(training.adam, 1e-2), training.adam, "it.learning_rate is 0.01 there and 0.001 here"),
    (functools.partial(optax.adam, optax.linear_schedule(1, 0, 10)), functools.partial(optax.adam, 1.0), "it.learn"),
    (functools.partial(optax.adam, optax.linear_schedule(1, 0, 10)),
     functools.partial(optax.adam, optax.linear_schedule(1, 0, 20)), "transition_steps is 10 there and 20 here"),
    (factory(8), factory(16), "it.units is 8 there and 16 here"),
    (lambda key: layer(key, 8), lambda key: layer(key, 16), "it.lambda is .*8.* there and .*16.* here"),
    (nnx.relu, nnx.tanh, "it is jax.nn.relu there and jax.nn.tanh here"),
    (np.arange(3), np.arange(3) + 1, "it is int64.3. of SHA-256 .* there"),
    (jax.random.key(0), jax.random.key(1), "it is key<fry>"),
    (rx.Scan(unroll=2), rx.Scan(unroll=3), "it.unroll is 2 there and 3 here"),
    (TASK, make_task("adding", 7), "it.length is 6 there and 7 here"),
    (TASK, make_task("copy", 3), "it is recurrax.tasks.Adding there and recurrax.tasks.Copy here"),
    (PlainTask(3), PlainTask(4), "it.length is 3 there and 4 here"),
    (PlainTask(3, np.abs), PlainTask(3, np.sign), "it.noise is"),
    ([1] * 200, [1] * 199 + [2], "it is 200 entries of SHA-256 .* there"),
    (rx.LSTMCell(2, 3, dtype=jnp.bfloat16, rngs=nnx.Rngs(0)), rx.LSTMCell(2, 3, rngs=nnx.Rngs(0)),
     "it.dtype is bfloat16 there and None here"),
    (rx.LSTMCell(2, 3, activation_fn=jax.nn.relu, rngs=nnx.Rngs(0)), rx.LSTMCell(2, 3, rngs=nnx.Rngs(0)),
     "it.activation_fn is jax.nn.relu there and jax.nn.tanh here"),
    (rx.LSTMCell(2, 3, rngs=nnx.Rngs(0)), rx.LSTMCell(2, 4, rngs=nnx.Rngs(0)), "it.hidden_features is 3 there and 4"),
]  # fmt: skip


@pytest.mark.parametrize("there, here, words", DIFFERENT)
def test_a_difference_is_named(there, here, words):
    found = differences(describe(there, values=True), describe(here, values=True), "it")
    assert found

    assert re.search(words, "; ".join(found)), found


def test_a_built_model_is_described_as_an_abstract_one():
    for build in (layer, functools.partial(trainee.build, units=3)):
        built, abstract = build(jax.random.key(0)), jax.eval_shape(build, jax.random.key(1))
        assert describe(built, values=False) == describe(abstract, values=False)
    assert describe(built, values=False)["kernel"] == "Param float32[2, 3]"


def test_what_is_only_computed_and_fields_that_are_no_settings_are_left_out():
    task = PlainTask(3)
    before = describe(task)
    assert task.table.size == 3 and describe(task) == before

    @dataclasses.dataclass
    class Config:
        size: int
        out: int = dataclasses.field(metadata={"setting": False})

    assert describe(Config(1, 2)) == describe(Config(1, 3))


def test_objects_that_hold_themselves_have_an_end():
    one: dict[str, Any] = {}
    one["self"] = one
    assert describe(one) == {"self": "itself"}


# Fingerprints

OPTIMISERS = {
    "adam": lambda: optax.adam(1e-3),
    "adam, faster": lambda: optax.adam(1e-2),
    "cosine": lambda: optax.adam(optax.cosine_decay_schedule(1e-3, 100)),
    "cosine, longer": lambda: optax.adam(optax.cosine_decay_schedule(1e-3, 200)),
    "clipped": lambda: optax.chain(optax.clip_by_global_norm(1.0), optax.adam(1e-3)),
    "clipped at 2": lambda: optax.chain(optax.clip_by_global_norm(2.0), optax.adam(1e-3)),
    "masked": lambda: optax.adamw(1e-3, mask={"a": True, "b": False}),
    "masked, the other": lambda: optax.adamw(1e-3, mask={"a": False, "b": True}),
    "injected": lambda: optax.inject_hyperparams(optax.sgd)(learning_rate=1e-3),
    "injected, faster": lambda: optax.inject_hyperparams(optax.sgd)(learning_rate=1e-2),
    "constants": lambda: optax.stateless(lambda u, _: jax.tree.map(lambda x: x * jnp.arange(4.0), u)),
    "other constants": lambda: optax.stateless(lambda u, _: jax.tree.map(lambda x: x * jnp.arange(1, 5.0), u)),
    "line search": lambda: optax.lbfgs(memory_size=2, linesearch=optax.scale_by_backtracking_linesearch(3)),
    "plateau": lambda: optax.chain(optax.sgd(1e-2), optax.contrib.reduce_on_plateau(patience=3)),
}


def fingerprints():
    return {name: fingerprint(functools.partial(one_update, make()), PARAMS) for name, make in OPTIMISERS.items()}


def test_optax_transformations_are_told_apart_and_recognised():
    first = fingerprints()
    assert len(set(first.values())) == len(OPTIMISERS)
    jax.clear_caches()
    assert fingerprints() == first


@pytest.mark.slow
def test_fingerprints_and_descriptions_are_the_same_in_another_process():
    code = "import json, test_identity; print(json.dumps(test_identity.told()))"
    environment = {
        **os.environ,
        "PYTHONHASHSEED": "77",
        "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *sys.path]),
    }
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True)
    assert json.loads(done.stdout.splitlines()[-1]) == json.loads(json.dumps(told()))


def told():
    models = [functools.partial(lambda cell, key: cell(2, 3, rngs=nnx.Rngs(key)), cell) for cell in rx.cells.ALL]
    return {
        "optimisers": fingerprints(),
        "models": [fingerprint(build, jax.random.key(0)) for build in models],
        "runs": [settings(build=build) for build in (layer, factory(3), trainee.build)],
        "values": [describe(make()) for make in SAME],
    }


def test_names_and_places_of_functions_are_no_part_of_a_program():
    def double(x):
        return jax.jit(lambda y: y * 2)(x)

    def twice(x):
        @jax.jit
        def inner(y):
            return y * 2

        return inner(x)

    assert fingerprint(double, 1.0) == fingerprint(twice, 1.0) != fingerprint(lambda x: x * 2, 1)


# Runs

CHANGES: list[tuple[dict[str, Any], dict[str, Any], str]] = [
    ({}, {"optimizer": functools.partial(training.adam, learning_rate=1e-2)},
     "optimizer.learning_rate is 0.001 there and 0.01 here"),
    ({"optimizer": optax.adam(1e-3)}, {"optimizer": optax.adam(1e-2)},
     r"the optimizer differs \(its update is another program\)"),
    ({"optimizer": functools.partial(optax.adam, 1e-3)}, {"optimizer": functools.partial(optax.adam, 1e-2)},
     "optimizer.learning_rate is 0.001 there and 0.01 here"),
    ({"optimizer": training.adam}, {"optimizer": training.sgd},
     "optimizer is recurrax.training.adam there and recurrax.training.sgd here"),
    ({}, {"build": functools.partial(layer, activation=jax.nn.relu)},
     "model.activation is jax.n.*.tanh there and jax.nn.relu here"),
    ({"build": factory(4)}, {"build": factory(8)}, "build.units is 4 there and 8 here"),
    ({"build": lambda key: layer(key, scale=0.1)}, {"build": lambda key: layer(key, scale=0.2)},
     "build.lambda is .*0.1.* there and .*0.2"),
    ({}, {"build": functools.partial(layer, scale=0.2)}, "build.scale is 0.1 there and 0.2 here"),
    ({}, {"task": make_task("adding", 7)}, "task.length is 6 there and 7 here"),
    ({}, {"task": make_task("copy", 3)}, "task is recurrax.tasks.Adding there and recurrax.tasks.Copy here"),
    ({"task": PlainTask(3)}, {"task": PlainTask(4)}, "task.length is 3 there and 4 here"),
    ({}, {"penalty": lambda model, examples: 0.1}, "penalty is None there and .*lambda.* here"),
    ({}, {"plan": dataclasses.replace(PLAN, batch_size=3)}, "plan.batch_size is 2 there and 3 here"),
    ({"config": {"a": float("nan")}}, {"config": {"a": 1.0, "b": 2}}, "config.a is nan there and 1.0 here; config.b"),
]  # fmt: skip


@pytest.mark.parametrize("before, after, words", CHANGES)
def test_another_run_is_refused_by_the_difference(before, after, words):

    there, here = settings(**before), settings(**after)
    assert not refused(there, settings(**before)) and not refused(here, here)
    assert re.search(words, "; ".join(refused(there, here)))


def test_initial_values_that_depend_on_a_global_are_told_apart(monkeypatch):
    there = settings(build=of_a_global)
    monkeypatch.setattr(sys.modules[__name__], "SCALE", 0.3)
    assert refused(there, settings(build=of_a_global))[0] == "build.SCALE is 0.1 there and 0.3 here"


def test_arguments_that_change_no_program_change_no_run():
    """A factory that also knows the budget, a default that is written out: the same run."""

    def schedule(config):
        return lambda key: layer(key, config["units"])

    there = settings(build=schedule({"units": 4, "steps": 10}), optimizer=functools.partial(training.adam))
    here = settings(
        build=schedule({"units": 4, "steps": 20}),
        optimizer=training.adam(1e-3),
        plan=dataclasses.replace(PLAN, steps=20),
    )
    assert not refused(there, here)


def test_programs_are_not_compared_between_versions():
    there, other = settings(optimizer=optax.adam(1e-3)), settings(optimizer=optax.adam(1e-2))
    for package in ("jax", "optax"):
        about = {"versions": {**ABOUT["versions"], package: "0.0.1"}}
        assert not refused(there, other, about)
        named = refused(settings(), settings(optimizer=functools.partial(training.adam, 1e-2)), about)
        assert named == ["optimizer.learning_rate is 0.001 there and 0.01 here"]
        model = {**there, "model": {**there["model"], "new": 1}}  # an attribute that another version of Flax has
        assert not refused(model, there, about) and refused(model, there)
        assert refused({**there, "config": {}}, {**there, "config": {"a": 1}}, about)


def test_a_sweep_is_part_of_the_plan_and_not_of_the_program():
    plan = dataclasses.replace(PLAN, sweep={"learning_rate": (1e-3,), "scale": (0.1,)})
    found = settings(plan=plan)
    assert found["plan"]["sweep"] == {"learning_rate": [0.001], "scale": [0.1]}
    other = dataclasses.replace(PLAN, sweep={"learning_rate": (1e-2,), "scale": (0.1,)})
    assert refused(found, settings(plan=other)) == ["plan.sweep.learning_rate is [0.001] there and [0.01] here"]


def test_many_differences_are_counted(tmp_path):
    claim(tmp_path, settings(), ABOUT)
    config = dict.fromkeys("abcdefgh", 1)
    with pytest.raises(CheckpointError, match=r"config.e is nothing there and 1 here; and 3 more. Allowed: the same"):
        claim(tmp_path, settings(config=config), ABOUT)


def test_a_second_fit_with_another_learning_rate_is_refused(tmp_path, quick):
    """It used to give the result of the first."""
    plan = dataclasses.replace(PLAN, steps=2, chunk=2)
    training.fit(trainee.build, TASK, optax.adam(1e-3), plan, Output(tmp_path))
    with pytest.raises(CheckpointError, match=r"other settings: the optimizer differs .*Use another folder"):
        training.fit(trainee.build, TASK, optax.adam(10.0), plan, Output(tmp_path))
    written = json.loads((tmp_path / "settings.json").read_text())
    assert written["format"] == 1 and written["settings"]["optimizer"] == {
        "class": "optax.GradientTransformationExtraArgs"
    }
