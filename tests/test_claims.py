"""The rules of the claims: a verdict follows from its numbers, and other numbers give another one."""

import copy
import dataclasses
import json
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

pytest.importorskip("matplotlib", reason="the experiments need recurrax[experiments]")

from experiments import claims, lab
from experiments.claims.config import COMPARED, LINEAR, SHUT
from experiments.claims.evidence import Evidence
from experiments.claims.limited import Flat, LimitedAdding, Owner, equal_units, model_of, owning
from experiments.claims.measurements import digits
from experiments.claims.page import judge
from experiments.claims.rules import CONDITION, FAILS, HOLDS, NOT_YET, UNDECIDED
from experiments.claims.training import adam_by_count
from experiments.claims.verdicts import LATER
from experiments.compare import best_runs, larger, more_often
from experiments.tuning import count
from recurrax.report import config_hash
from recurrax.tasks import Adding, SequentialImages

TABLE = claims.PRESETS["table"]


@pytest.fixture
def record() -> dict:
    return json.loads((lab.RESULTS / "claims" / f"{config_hash(TABLE)}.json").read_text())


def verdicts(record: dict) -> dict[str, str]:
    return {row.claim: row.verdict for row in judge(record)}


def exchanged(record: dict, one: str, other: str) -> dict:
    """The record if one cell had done as the other did, and the reverse."""
    results = copy.deepcopy(record["results"])
    for name in record["results"]:
        part = re.fullmatch(rf"((?:data )?(?:adding|digits) T=\d+ |stability ){one}", name)
        if part:
            twin = f"{part[1]}{other}"
            results[name], results[twin] = record["results"][twin], record["results"][name]
        if name.startswith("cost H="):
            times = results[name]
            times[one], times[other] = times[other], times[one]
    return {**record, "results": results}


def test_an_rnn_that_did_as_the_lstm_turns_the_verdicts(record):
    turned = verdicts(exchanged(record, "RNN", "LSTM"))
    assert turned["RNN: limited memory"] == turned["LSTM: strong long-term memory"] == FAILS
    assert turned["long sequences: RNN weak, LSTM and GRU strong"] == FAILS
    assert turned["LSTMs are slower"] == FAILS
    assert turned["cost: RNN low, LSTM high, GRU below the LSTM"] == FAILS


def test_the_structure_is_judged_and_not_known(record):
    assert verdicts(record)["gates: RNN none, LSTM three, GRU two"] == HOLDS
    record["results"]["structure"]["GRU"] |= {"gates": 3, "parameters": 10**9}
    turned = verdicts(record)
    assert turned["gates: RNN none, LSTM three, GRU two"] == FAILS
    assert turned["complexity: RNN low, GRU medium, LSTM high"] == FAILS


def test_flow_with_other_slopes(record):
    flow = record["results"]["flow"]
    for name in ("LSTM, forget bias 1", "LSTM, chrono"):
        flow[name]["slopes"] = [0.0 for _ in flow[name]["slopes"]]
    flow["forget gate 0"]["slopes"] = [-20.0 for _ in flow["forget gate 0"]["slopes"]]
    turned = verdicts(record)
    assert turned["the cell state gives constant error flow"] == HOLDS
    assert turned["forget gate 0 forgets, 1 retains"] == HOLDS


def test_the_start_of_the_forget_gate_is_a_condition_only_where_it_decides(record):
    longest = f"adding T={max(TABLE.lengths)}"
    shut, seeds = record["results"][f"{longest} {SHUT}"], TABLE.seeds
    shut["solved_at"] = [-1 for _ in seeds]
    assert verdicts(record)["LSTM: strong long-term memory"].startswith(CONDITION)
    shut["solved_at"] = record["results"][f"{longest} LSTM"]["solved_at"] = [100 for _ in seeds]
    assert verdicts(record)["LSTM: strong long-term memory"] == HOLDS
    shut["solved_at"] = [100, -1] * (len(seeds) // 2)
    assert verdicts(record)["LSTM: strong long-term memory"].startswith(CONDITION)
    shut["solved_at"] = [-1, -1, *[100] * (len(seeds) - 2)]
    assert verdicts(record)["LSTM: strong long-term memory"] == "holds; undecided with a forget bias of 0"


def test_no_difference_in_stability_is_no_support(record):
    for name, entry in record["results"].items():
        if name.startswith("stability"):
            runs = len(entry["seeds"])
            entry["diverged_at"], entry["spikes"] = [-1] * runs, [0.0] * runs
    assert verdicts(record)["training: RNN poor, LSTM stable, GRU more stable than the RNN"] == FAILS


def test_an_lstm_that_needs_more_examples_turns_the_verdict(record):
    for task in Evidence(record).curves:
        entry = record["results"][f"data {task} LSTM"]
        for name, worst in (("test_loss", 10.0), ("test_accuracy", 0.0)):
            entry[name] = [worst if count <= 1000 else value
                           for value, count in zip(entry[name], entry["settings"]["count"], strict=True)]  # fmt: skip
    assert verdicts(record)["LSTMs want more data"] == HOLDS


def test_a_linear_model_that_is_as_good_makes_the_lstm_overkill(record):
    seeds = TABLE.seeds
    for task in Evidence(record).short:
        for cell in (LINEAR, *COMPARED):
            record["results"][f"{task} {cell}"]["solved_at"] = [100 for _ in seeds]
        record["results"]["cost of short sequences"][task] |= {LINEAR: [1.0], "RNN": [2.0], "LSTM": [2.0]}
    assert verdicts(record)["LSTMs are overkill for short sequences"] == HOLDS
    for task in Evidence(record).short:
        record["results"][f"{task} {LINEAR}"]["solved_at"] = [-1 for _ in seeds]
        record["results"][f"{task} RNN"]["solved_at"] = [1000 for _ in seeds]
    assert verdicts(record)["LSTMs are overkill for short sequences"] == FAILS


def test_claims_of_another_experiment_wait_for_its_rows(record):
    record["results"].pop("transformers")
    assert all(verdicts(record)[claim] == NOT_YET for claim in LATER.values())
    rows = {name: {"verdict": FAILS, "measured": "1", "rule": "2"} for name in LATER}
    record["results"]["transformers"] = rows
    assert all(verdicts(record)[claim] == FAILS for claim in LATER.values())


def test_no_claim_of_the_record_is_undecided(record):
    found = verdicts(record)
    assert not [claim for claim, verdict in found.items() if UNDECIDED in verdict]
    assert len(record["config"]["seeds"]) >= 20
    assert all(row.rule and row.measured for row in judge(record))


@pytest.mark.slow
@pytest.mark.usefixtures("quick")
def test_a_small_run(record, tmp_path):
    """Everything is measured of the LSTM alone; the other cells and the flow are those of the committed record."""
    smoke = claims.PRESETS["smoke"]
    config = dataclasses.replace(
        smoke, out=tmp_path, batch_size=8, lengths=(50,), data_lengths=(10,), digit_steps=(8,), cost_hidden=(32,),
        seeds=TABLE.seeds, stability_rates=TABLE.stability_rates[:2], sequences=TABLE.sequences,
    )  # fmt: skip
    parts = claims.parts(config)
    kept = {
        name: (lambda name=name: record["results"][name])
        for name in parts
        if not name.endswith((" LSTM", "ure", "short sequences"))
    }
    written = lab.measure("claims", config, parts | kept)
    assert written["complete"] and set(written["results"]) == set(parts)
    text = lab.publish(claims, written, tmp_path)
    assert re.match(r"# How much .*\n\n- \w+ of the 18 claims holds? ?.*\.\n", text)
    assert all(path.stat().st_size > 20_000 for path in tmp_path.glob("*.png"))
    assert written["results"]["structure"] == record["results"]["structure"]
    runs = len(config.seeds)
    assert len(written["results"]["adding T=50 LSTM"]["signal_to_noise"]) == runs
    assert len(written["results"]["stability LSTM"]["spikes"]) == 2 * 2 * runs
    assert len(written["results"]["data digits T=8 LSTM"]["test_accuracy"]) == 4 * runs


def test_a_run_learns_from_its_own_examples_and_is_judged_on_others():
    task = LimitedAdding(Adding(6))
    build = owning(lambda key: lambda inputs: inputs[..., :1], most=50)
    model, other = build(jax.random.key(3), 2), build(jax.random.key(4), 2)
    examples = jax.vmap(task.sample)(jax.random.split(jax.random.key(0), 64))

    def seen(model: Owner, key: int) -> set[float]:
        outputs, targets = task.apply(model, examples, jax.random.key(key))
        losses = jax.vmap(task.loss)((outputs, targets), examples)
        np.testing.assert_allclose(losses, np.square(outputs - targets)[:, -1, 0], rtol=1e-5)
        return set(np.asarray(targets[:, -1, 0]).tolist())

    own = seen(model, 0)
    assert own == seen(model, 1) and len(own) == 2 and not own & seen(other, 0)
    assert own < set.union(*(seen(build(jax.random.key(3), 50), key) for key in range(10)))
    outputs, targets = task.apply(model, examples)
    np.testing.assert_array_equal(targets, examples.targets)
    np.testing.assert_array_equal(outputs, examples.inputs[..., :1])


@pytest.mark.parametrize("steps", [2, 8, 64])
def test_digits_in_any_number_of_steps_hold_the_same_pixels(steps):
    task, pixels = digits(steps), SequentialImages(digits(steps).data)
    found, whole = task.example("test", 5), pixels.example("test", 5)
    assert found.inputs.shape == (steps, 64 // steps) and found.weights.tolist() == [0] * (steps - 1) + [1]
    np.testing.assert_array_equal(found.inputs.ravel(), whole.inputs.ravel())
    assert found.targets[-1] == whole.targets[-1]


def test_a_run_reads_its_own_digits():
    task = digits(8)
    labels = np.asarray(task.data.train.labels)
    model = owning(lambda key: lambda inputs: jnp.zeros((*inputs.shape[:2], 10)), most=len(labels))(
        jax.random.key(0), 3
    )
    start = int(model.key[0]) % len(labels)
    examples = jax.vmap(lambda index: task.example("validation", index))(jnp.arange(40))
    _, targets = task.apply(model, examples, jax.random.key(1))
    assert set(targets[:, -1].tolist()) == set(np.take(labels, range(start, start + 3), mode="wrap").tolist())
    np.testing.assert_array_equal(task.apply(model, examples)[1], examples.targets)


def test_a_linear_model_adds_two_numbers_and_no_more():
    """Of two steps both are marked, so the sum is linear in the inputs; of T a share 2 / T of its variance is."""
    examples = {T: jax.vmap(Adding(T).sample)(jax.random.split(jax.random.key(0), 1000)) for T in (2, 10)}
    model = model_of(LINEAR, Adding(2), 0)(jax.random.key(0))
    model.head.kernel = nnx.Param(jnp.array([[1.0], [0], [1], [0]]))  # value, marker, value, marker
    losses = jax.vmap(Adding(2).loss)(model(examples[2].inputs), examples[2])
    np.testing.assert_allclose(losses, 0, atol=1e-10)
    inputs, sums = np.asarray(examples[10].inputs).reshape(1000, -1), np.asarray(examples[10].targets[:, -1, 0])
    best, *_ = np.linalg.lstsq(np.c_[inputs, np.ones(1000)], sums)
    left = np.mean((np.c_[inputs, np.ones(1000)] @ best - sums) ** 2)
    np.testing.assert_allclose(left, (1 - 2 / 10) * Adding(10).chance_level(), rtol=0.1)  # weights 2 / T of the values


def test_a_linear_model_reads_every_step_and_answers_at_each():
    model = Flat(6, 1, rngs=nnx.Rngs(0))
    xs = jax.random.normal(jax.random.key(0), (4, 3, 2))
    found = model(xs)
    np.testing.assert_allclose(found[:, :1] + model(-xs), 2 * model(0 * xs), atol=1e-5)
    assert found.shape == (4, 3, 1)
    assert all(jnp.abs(jax.grad(lambda xs: model(xs)[0, -1, 0])(xs)[0]).min(axis=1) > 0)


@pytest.mark.parametrize("cell", COMPARED)
def test_cells_are_compared_with_as_many_weights(cell):
    for task in (LimitedAdding(Adding(10)), digits(8)):
        units = equal_units(cell, task, TABLE.weights)
        assert abs(count(model_of(cell, task, units)) / TABLE.weights - 1) < 0.06


def test_every_number_of_sequences_has_its_own_learning_rate():
    rates, parameters = {100: 0.25, 1000: 0.5}, jnp.zeros(3)
    for number, rate in rates.items():
        optimizer = adam_by_count(rates)(count=jnp.float32(number))
        step, _ = optimizer.update(jnp.ones(3), optimizer.init(parameters), parameters)
        np.testing.assert_allclose(step, -rate, rtol=1e-5)


def test_comparisons():
    inf = np.inf
    assert larger(np.array([5, 6, 7, inf, inf]), np.array([1, 2, 3, 4, 4.5]))
    assert not larger(np.array([1, 2, 3, 4, 4.5]), np.array([5, 6, 7, inf, inf]))
    assert not larger(np.full(5, inf), np.full(5, inf)) and not larger(np.array([1, 2.0]), np.array([0, 1.5]))
    assert more_often((5, 5), (0, 5)) and not more_often((3, 5), (2, 5)) and not more_often((0, 5), (5, 5))
    entry = {
        "solved_at": [100, 100, -1, 50],
        "settings": {"learning_rate": [0.1, 0.1, 0.2, 0.2]},
        "test_loss": [1, 1, 1, None],
    }
    np.testing.assert_array_equal(best_runs(entry), [True, True, False, False])
