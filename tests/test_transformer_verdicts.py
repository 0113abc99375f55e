"""The verdicts on Transformers turn when the numbers that decide them do."""

import json

import numpy as np
import pytest

pytest.importorskip("matplotlib", reason="experiments need recurrax[experiments]")

from experiments import lab
from experiments.claims.rules import CONDITION, FAILS, HOLDS, kind
from experiments.transformer import verdicts
from experiments.transformer.training import QUESTIONS, RIVAL, TIMED


@pytest.fixture
def table() -> dict:
    (found,) = lab.records("transformer")
    return json.loads(json.dumps(found, default=np.ndarray.tolist))


@pytest.fixture
def tokens() -> dict:
    return lab.records("benchmarks.token_cost")[0]


def kinds(table, tokens) -> list[str]:
    return [kind(row["verdict"]) for row in verdicts.verdicts(table, tokens).values()]


def test_the_record_of_the_claims_has_the_verdicts_on_the_committed_records():
    claims = lab.records("claims")[0]["results"]["transformers"]
    assert claims == verdicts.committed() and set(claims) == set(verdicts.RULES)


def test_the_committed_numbers_give_conditions(table, tokens):
    assert kinds(table, tokens) == [CONDITION, CONDITION]


@pytest.mark.parametrize(
    "nets, factor, expected",
    [
        (lambda net: net != RIVAL, 16, HOLDS),  # every recurrent net waits step by step
        (lambda net: net == RIVAL, 2, FAILS),  # the Transformer's chain grows too
        (lambda net: net == "GRU", 1, FAILS),  # a gated net that does not wait
    ],
)
def test_chains_decide_whether_only_transformers_train_in_parallel(table, tokens, nets, factor, expected):
    for net, chain in table["results"]["chains"].items():
        if nets(net):
            chain[str(TIMED[-1])] = factor * chain[str(TIMED[0])]
    assert kinds(table, tokens)[0] == expected


def set_solved(table, times, flag):
    for name in verdicts.DISTANT:
        scores = table["results"][f"{name} {RIVAL}"]["longer"][str(times * QUESTIONS[name][2])]
        scores["solved"] = [flag for _ in scores["solved"]]


def test_a_transformer_that_carries_over_reaches_distant_steps(table, tokens):
    set_solved(table, 4, True)
    assert kinds(table, tokens)[1] == HOLDS


def test_a_transformer_that_does_not_learn_or_costs_no_more_does_not(table, tokens):
    cheap = json.loads(json.dumps(table))
    cheap["results"][f"copy {RIVAL}"]["state"] = {size: 1 for size in cheap["results"][f"copy {RIVAL}"]["state"]}
    assert kinds(cheap, tokens)[1] == FAILS
    set_solved(table, 1, False)
    assert kinds(table, tokens)[1] == FAILS
