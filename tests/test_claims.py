"""The rules of the claims: a verdict follows from its numbers, and other numbers give another one."""

import copy
import dataclasses
import json
import re

import numpy as np
import pytest

pytest.importorskip("matplotlib", reason="the experiments need recurrax[experiments]")

from experiments import claims, lab
from experiments.claims.page import judge
from experiments.claims.verdicts import FAILS, HOLDS, UNDECIDED
from experiments.compare import best_runs, larger, more_often
from recurrax.report import config_hash


@pytest.fixture
def record() -> dict:
    return json.loads((lab.RESULTS / "claims" / f"{config_hash(claims.Config())}.json").read_text())


def verdicts(record: dict) -> dict[str, str]:
    return {row.claim: row.verdict for row in judge(record)}


def exchanged(record: dict, one: str, other: str) -> dict:
    """The record if one cell had done as the other did, and the reverse."""
    results = copy.deepcopy(record["results"])
    for name in record["results"]:
        part = re.fullmatch(rf"((?:adding T=\d+|stability) ){one}", name)
        if part:
            twin = f"{part[1]}{other}"
            results[name], results[twin] = record["results"][twin], record["results"][name]
        if name.startswith("cost"):
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
    for name in ("LSTM, forget bias 1", "LSTM, chrono", "LSTM, forget bias 0"):
        flow[name]["slopes"] = [0.0 for _ in flow[name]["slopes"]]
    flow["forget gate 0"]["slopes"] = [-20.0 for _ in flow["forget gate 0"]["slopes"]]
    turned = verdicts(record)
    assert turned["the cell state gives constant error flow"] == HOLDS
    assert turned["LSTM: strong long-term memory"] == HOLDS
    assert turned["forget gate 0 forgets, 1 retains"] == HOLDS


def test_no_difference_is_undecided(record):
    for name, entry in record["results"].items():
        if name.startswith("stability"):
            entry["diverged_at"], entry["spikes"] = ([-1 for _ in entry["seeds"]], [0.0 for _ in entry["seeds"]])
    assert verdicts(record)["training: RNN poor, LSTM stable, GRU more stable than the RNN"] == UNDECIDED


@pytest.mark.slow
@pytest.mark.usefixtures("quick")
def test_a_small_run(record, tmp_path):
    """Everything is measured of the LSTM alone; the other cells and the flow are those of the committed record."""
    config = dataclasses.replace(claims.PRESETS["smoke"], out=tmp_path, lengths=(10,), cost_hidden=(32,))
    parts = claims.parts(config)
    kept = {name: (lambda name=name: record["results"][name]) for name in parts if not name.endswith((" LSTM", "ure"))}
    written = lab.measure("claims", config, parts | kept)
    assert written["complete"] and set(written["results"]) == set(parts)
    text = lab.publish(claims, written, tmp_path)
    assert re.match(r"# What .*\n\n- \w+ of the 16 claims holds? ?.*\.\n", text)
    assert next(tmp_path.glob("*.png")).stat().st_size > 20_000
    assert written["results"]["structure"] == record["results"]["structure"]
    assert len(written["results"]["adding T=10 LSTM"]["signal_to_noise"]) == len(config.seeds)
    assert len(written["results"]["stability LSTM"]["spikes"]) == 2 * len(config.seeds)


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
