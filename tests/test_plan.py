"""A plan takes numbers of any library for what they say, and refuses what could not be one run each."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import trainee

from recurrax import training
from recurrax.training import Output, Plan, Recipe
from recurrax.training.ensemble import grid
from recurrax.training.identity import identity


@pytest.mark.parametrize("ten", [10, np.int64(10), np.uint8(10), np.array(10), jnp.asarray(10)])
@pytest.mark.parametrize("name", ["steps", "batch_size", "chunk", "held_out", "devices", "patience"])
def test_a_count_becomes_an_int(name, ten):
    count = getattr(Plan(**{name: ten}), name)
    assert count == 10 and type(count) is int


@pytest.mark.parametrize("value", [0, -1, 2.5, 10.0, "10", True, np.True_, np.float64(10), np.array([10]), [10]])
@pytest.mark.parametrize("name", ["steps", "batch_size", "chunk", "held_out", "devices", "patience"])
def test_a_count_is_refused(name, value):
    with pytest.raises(ValueError, match=rf"Plan got {name}=.*; allowed: an int >= 1\. Try {name}="):
        Plan(**{name: value})


@pytest.mark.parametrize("name", ["steps", "batch_size", "chunk", "held_out"])
def test_a_count_that_must_be_there_is_not_none(name):
    with pytest.raises(ValueError, match=rf"Plan got {name}=None; allowed: an int >= 1"):
        Plan(**{name: None})


def test_devices_and_patience_may_be_none():
    plan = Plan()
    assert plan.devices is None and plan.patience is None


@pytest.mark.parametrize(
    "seeds",
    [(0, 1, 2), [0, 1, 2], range(3), np.arange(3), np.arange(3, dtype=np.uint8), jnp.arange(3), tuple(np.arange(3))],
    ids=lambda seeds: type(seeds).__name__,
)
def test_seeds_become_a_tuple_of_ints(seeds):
    plan = Plan(seeds=seeds)
    assert plan.seeds == (0, 1, 2) and all(type(seed) is int for seed in plan.seeds)


def test_the_first_and_the_last_seed_are_two_runs():
    """In the middle, too, where a seed does not fit int32."""
    seeds = (0, 2**31 - 1, 2**31, 2**32 - 1)
    assert Plan(seeds=seeds).seeds == seeds
    keys = jax.vmap(jax.random.key)(jnp.asarray(grid(seeds, {})[0]))
    assert [bool(key == jax.random.key(seed)) for key, seed in zip(keys, seeds, strict=True)] == 4 * [True]
    assert len({jax.random.key_data(key).tobytes() for key in keys}) == 4


@pytest.mark.parametrize(
    "seeds",
    [
        (), np.array([]), (1, 2**32 + 1), (-1, 4294967295), (2**32,), (1, 1), (1, np.int64(1)), (0.0, 1.0), (True, 2),
        (np.False_,), ("0",), "012", 3, np.array(3), np.array([[0, 1]]), None, {0: 1}, np.array([0.0]),
    ],
    ids=repr,
)  # fmt: skip
def test_seeds_are_refused(seeds):
    allowed = r"one or more, all different, each an int from 0 to 2\*\*32 - 1"
    with pytest.raises(ValueError, match=rf"Plan got seeds=[\s\S]*; allowed: {allowed}"):
        Plan(seeds=seeds)


@pytest.mark.parametrize(
    "rates",
    [
        (0.5, 2.0), [0.5, 2.0], np.array([0.5, 2.0]), np.array([0.5, 2.0], np.float32), jnp.array([0.5, 2.0]),
        (np.float32(0.5), np.float64(2.0)), jnp.array([0.5, 2.0], jnp.bfloat16),
    ],
    ids=lambda rates: f"{type(rates).__name__} of {type(rates[0]).__name__}",
)  # fmt: skip
def test_a_sweep_becomes_tuples_of_floats(rates):
    plan = Plan(sweep={"learning_rate": rates})
    assert plan.sweep == {"learning_rate": (0.5, 2.0)}
    assert all(type(rate) is float for rate in plan.sweep["learning_rate"])


def test_a_sweep_of_ints_keeps_them():
    plan = Plan(sweep={"units": range(3), "layers": np.array([1, 2])})
    assert plan.sweep == {"units": (0, 1, 2), "layers": (1, 2)}
    assert all(type(value) is int for values in plan.sweep.values() for value in values)


@pytest.mark.parametrize(
    "values, words",
    [
        ((), "allowed: one or more different numbers"),
        (1e-3, "allowed: one or more different numbers"),
        (np.float32(1e-3), "allowed: one or more different numbers"),
        ("0.1", "allowed: one or more different numbers"),
        ((1e-3, 1e-3), "allowed: one or more different numbers"),
        ((1, 1.0), "allowed: one or more different numbers"),
        ((2**24, 2**24 + 1), "different numbers, also as float32"),
        ((0.1, np.float32(0.1)), "different numbers, also as float32"),
        (("1",), "sweep rate holds '1'; allowed: finite numbers"),
        ((True,), "sweep rate holds True; allowed: finite numbers"),
        ((np.True_,), "sweep rate holds True; allowed: finite numbers"),
        ((float("nan"),), "sweep rate holds nan; allowed: finite numbers"),
        ((np.inf,), "sweep rate holds inf; allowed: finite numbers"),
        ((1e300,), "sweep rate holds 1e[+]300; allowed: finite numbers"),
        (np.ones((1, 2)), r"sweep rate holds array\(\[1., 1.\]\); allowed: finite numbers"),
        ((None,), "sweep rate holds None; allowed: finite numbers"),
    ],
)
def test_a_sweep_is_refused(values, words):
    with pytest.raises(ValueError, match=words):
        Plan(sweep={"rate": values})


@pytest.mark.parametrize("sweep", [None, (1e-3,), "rate"])
def test_a_sweep_without_names_is_refused(sweep):
    with pytest.raises(ValueError, match=r"Plan got sweep=.*; allowed: a dict of numbers by name"):
        Plan(sweep=sweep)


def test_switches_are_bools():
    plan = Plan(stop_when_solved=np.False_, freeze_solved=np.True_)
    assert plan.stop_when_solved is False and plan.freeze_solved is True
    for value in ("no", 1, None):
        with pytest.raises(ValueError, match=r"stop_when_solved=.*; allowed: True or False"):
            Plan(stop_when_solved=value)


def test_output_takes_them_too():
    output = Output(keep=np.int64(3), checkpoint_every=np.int32(5), progress=np.True_)
    assert (output.keep, output.checkpoint_every, output.progress) == (3, 5, True)
    assert type(output.keep) is type(output.checkpoint_every) is int
    for value in ("yes", 1, 0):
        with pytest.raises(ValueError, match=r"Output got progress=.*; allowed: True, False or None"):
            Output(progress=value)


def test_the_settings_of_a_run_are_those_of_plain_numbers():
    """So that a folder written with the one opens with the other."""
    plain = Plan(steps=20, batch_size=4, seeds=(3, 5), sweep={"learning_rate": (1e-3, 1e-2)}, stop_when_solved=False)
    same = Plan(
        steps=np.int64(20), batch_size=np.int32(4), seeds=np.array([3, 5]), stop_when_solved=np.False_,
        sweep={"learning_rate": np.array([1e-3, 1e-2])},
    )  # fmt: skip
    assert same == plain
    recipe = Recipe(trainee.build, trainee.TASK, training.adam, 4)
    written = [json.dumps(identity(recipe, plan, {})) for plan in (plain, same)]
    assert written[0] == written[1]
