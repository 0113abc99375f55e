"""What the page on the cost of a token says of times that are known, and models of equally many weights."""

import functools

import jax
import numpy as np
import pytest

from experiments import rivals, tuning
from experiments.baselines.transformer import Transformer
from experiments.benchmarks.token_cost import measurements
from experiments.benchmarks.token_cost.page import crossing, findings, in_place, slope
from recurrax import tasks
from recurrax.layers import Block

CONTEXTS = (100, 200, 400)


def record(transformer, lstm):
    """Times in microseconds at each context, the same in every turn."""
    config = {"batches": [1], "contexts": list(CONTEXTS), "models": ["LSTM", "Transformer"]}
    facts = {"weights": 1000, "state": 800, "in_place": 800, "temporary": 0}
    entries = [
        {
            "batch": 1,
            "context": context,
            "models": {
                "LSTM": facts | {"microseconds": np.full((5, 10), own)},
                "Transformer": facts | {"microseconds": np.full((5, 10), other)},
            },
        }
        for context, own, other in zip(CONTEXTS, lstm, transformer, strict=True)
    ]
    return {"config": config, "results": dict(enumerate(entries))}


@pytest.mark.parametrize(
    "transformer, expected, words",
    [
        ((10, 20, 40), 300.0, "up to a context of 300 tokens [300, 300], and slower from there on"),
        ((31, 32, 33), 0.0, "the Transformer is slower than the LSTM from 100 tokens of context on"),
        ((10, 11, 12), np.inf, "the Transformer is faster than the LSTM up to 400 tokens of context"),
    ],
)
def test_the_context_at_which_a_token_costs_the_same(transformer, expected, words):
    made = record(transformer, (30, 30, 30))
    assert crossing(made, "LSTM", 1) == (expected,) * 3
    assert words in next(findings(made))


def test_the_slope_is_that_of_the_line():
    assert slope(record((10, 20, 40), (30, 30, 30)), "Transformer", 1) == pytest.approx(100)  # ns a token
    assert slope(record((10, 20, 40), (30, 30, 30)), "LSTM", 1) == pytest.approx(0, abs=1e-9)


def test_a_cache_that_is_copied_would_be_said():
    made = record((10, 20, 40), (30, 30, 30))
    made["results"][2]["models"]["Transformer"] |= {"in_place": 200, "temporary": 2**20}
    (said,) = in_place(made)
    assert "25% of the cache is written in place" in said and "1.00 MiB" in said


@pytest.mark.parametrize("name", rivals.MODELS)
def test_no_other_size_is_nearer_to_the_weights(name):
    """And the bytes of a recurrent state do not depend on the context."""
    wanted, V = 20_000, 16
    features = rivals.features_of(name, wanted, V)

    def distance(size):
        model = jax.eval_shape(functools.partial(rivals.make, name, size, V), jax.random.key(0))
        return abs(sum(leaf.size for leaf in jax.tree.leaves(model)) - wanted)

    assert distance(features) <= min(distance(features + rivals.GRAIN), distance(max(8, features - rivals.GRAIN)))
    model = rivals.make(name, features, V, jax.random.key(0))
    short, long = (rivals.nbytes(rivals.carry_of(model, 1, context)) for context in (8, 64))
    assert (short == long) == (name in measurements.RECURRENT)


def test_a_writer_goes_on_from_its_state_and_writes_into_it():
    config = measurements.Config(models=("LSTM", "Transformer"), weights=5000, vocabulary=8, contexts=(16,))
    for name in config.models:
        writer = measurements.Writer(config, name, 16, 2)
        before = [np.asarray(leaf) for leaf in writer.state]
        assert len(writer.write(2)) == 2 and writer.facts["in_place"] == writer.facts["state"]
        assert any((a != b).any() for a, b in zip(before, map(np.asarray, writer.state), strict=True))


def test_nets_of_the_protocol_are_what_their_names_say():
    task = tasks.Adding(10)
    assert isinstance(tuning.start("LRU-block", task, 8)(jax.random.key(0)).block, Block)
    model = tuning.start("Transformer", task, 15)(jax.random.key(0))
    assert isinstance(model, Transformer) and model.features == 12  # a multiple of twice the heads
    for name in ("LRU-block", "Transformer"):
        config = tuning.Protocol(parameters=5000)
        units = tuning.units_of(config, task, name)
        assert tuning.count(tuning.start(name, task, units)) <= 5000 < tuning.count(tuning.start(name, task, units + 4))
