"""The experiment on text: n-grams against the definition, compressors, no leak, and the command, small."""

from __future__ import annotations

import collections
import functools
import math
import sys

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

pytest.importorskip("tyro", reason="the experiments need recurrax[experiments]")
pytest.importorskip("matplotlib", reason="the experiments need recurrax[experiments]")

from experiments import lab, language_model
from experiments.baselines import ngram
from experiments.language_model import judging, training
from recurrax import datasets
from recurrax.datasets import Text
from recurrax.report import load
from recurrax.tasks import NextToken
from recurrax.training import Plan, fit

RANDOM = np.random.default_rng(0)
WORDS = "And it came to pass that the king said unto him, Go forth; for the land is before thee. Selah".split()
BOOK = " ".join(RANDOM.choice(WORDS, 9_000)) + "."


def smoothed(tokens: list[int], vocabulary: int, history: tuple[int, ...]) -> list[float]:
    """Witten and Bell's distribution after a history, from the definition: counts of counts, no arrays."""
    if len(history) == 0:
        lower = [1 / vocabulary] * vocabulary
    else:
        lower = smoothed(tokens, vocabulary, history[1:])
    k = len(history)
    followers = collections.Counter(
        tokens[place + k] for place in range(len(tokens) - k) if tuple(tokens[place : place + k]) == history
    )
    total, types = sum(followers.values()), len(followers)
    if total == 0:
        return lower
    return [(followers[w] + types * lower[w]) / (total + types) for w in range(vocabulary)]


def test_n_grams_are_those_of_the_definition():
    tokens, new = RANDOM.integers(0, 5, 300), RANDOM.integers(0, 6, 40)  # 5 was never seen
    found = np.exp(ngram.NGram(tokens, 6, 3).log_probabilities(new))
    np.testing.assert_allclose(found[0], 1 / 6)
    for k in (1, 2, 3):
        for place in range(len(new)):
            history = tuple(new[max(0, place - k + 1) : place])
            expected = smoothed(tokens.tolist(), 6, history)[new[place]]
            assert found[k, place] == pytest.approx(expected), (k, place)


def test_n_grams_sum_to_one_after_any_history():
    tokens = RANDOM.integers(0, 5, 300)
    model = ngram.NGram(tokens, 7, 4)
    histories = np.repeat(RANDOM.integers(0, 7, (50, 3)), 7, axis=0)
    p = np.exp(model.after(np.column_stack([histories, np.tile(np.arange(7), 50)]))).reshape(50, 7)
    np.testing.assert_allclose(p.sum(axis=1), 1)
    assert (p > 0).all()


def test_both_ways_to_ask_n_grams_agree():
    tokens, new = RANDOM.integers(0, 5, 300), RANDOM.integers(0, 5, 30)
    model = ngram.NGram(tokens, 5, 4)
    rows = np.stack([new[place : place + 4] for place in range(len(new) - 3)])
    np.testing.assert_allclose(model.after(rows), model.log_probabilities(new)[-1, 3:])


def test_n_grams_write_what_they_have_read():
    tokens = np.tile(np.arange(4), 200)
    drawn = ngram.NGram(tokens, 4, 3).sample(np.array([0, 1, 2]), 40, np.random.default_rng(0))
    assert np.mean(drawn == np.arange(3, 43) % 4) > 0.8


def test_n_grams_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="beyond 63 bits"):
        ngram.NGram(np.arange(10), 256, 8)


@pytest.mark.parametrize("program", ["bz2", "xz"])
def test_compressors_know_the_training_text(program):
    """What was read before costs less than what is new; new random letters cost their entropy, and a little more."""
    train = "".join(RANDOM.choice(list("abcdefgh"), 60_000))
    new = "".join(RANDOM.choice(list("abcdefgh"), 30_000))
    found = [ngram.compressed_bits(train, test)[program] for test in (train[-30_000:], new)]
    assert found[0] < 0.85 * found[1] and 2.99 < found[1] < 3.8


def test_bz2_is_given_a_block_wherever_the_training_text_ends(monkeypatch):
    """Whatever stands before the end of the training text that fills a block with the test changes nothing."""
    monkeypatch.setattr(ngram, "BLOCK", 20_000)
    train, test = ("".join(RANDOM.choice(list("abcdefgh"), size)) for size in (15_000, 5_000))
    longer = ngram.compressed_bits("z" * 50_000 + train, test)["bz2"]
    assert longer == ngram.compressed_bits(train, test)["bz2"]


def test_places_in_words():
    text, surprise = "ab, abc\nA", np.arange(9.0)
    assert training.by_place(text, surprise) == [4.0, 3.0, 6.0, 0, 0, 0, 0, 0]  # a: 0, 4, 8; b: 1, 5; c: 6


@pytest.mark.parametrize("cell", training.CELLS)
def test_models_have_at_most_the_weights_that_are_asked_for(cell):
    config = training.Config(weights=100_000, embedding=16)
    hidden = training.hidden_size(cell, config, 60)
    build = functools.partial(training.make, cell, 16, hidden, 60)
    assert 0.9 * 100_000 < training.count(build) <= 100_000
    with pytest.raises(ValueError, match="--weights"):
        training.hidden_size(cell, training.Config(weights=1000), 60)


def test_models_that_get_stuck_where_they_are_begun_are_counted():
    """One that knows what comes, but always the wrong thing where its first character was an a."""
    text = Text.contiguous("abc" * 7000)
    a, b, c = text.encode("abc")

    def model(tokens):
        after = jnp.select([tokens == a, tokens == b], [b, c], a)
        return 9.0 * jax.nn.one_hot(jnp.where(tokens[:, :1] == a, tokens, after), text.vocabulary_size)

    found = training.stuck(jax.tree_util.Partial(model), text)  # type: ignore
    assert found == pytest.approx(1 / 3, abs=0.07)
    knows = jax.tree_util.Partial(lambda tokens: jnp.zeros((*tokens.shape, text.vocabulary_size)))
    assert training.stuck(knows, text) == 0  # type: ignore  # all equally likely, and no worse


@pytest.mark.usefixtures("quick")
def test_shuffled_text_costs_its_unigrams(monkeypatch):
    """A model that saw its target, or the characters to come, would need fewer bits."""
    one_device(monkeypatch)
    text = Text.contiguous("".join(RANDOM.permutation(list(BOOK))))
    task = NextToken(text, window=32, evaluation_streams=2)
    build = functools.partial(training.make, "LSTM", 8, 16, text.vocabulary_size)
    history = fit(build, task, optax.adam(1e-2), Plan(steps=150, batch_size=8, chunk=50, seeds=(0,)))
    assert history.test_loss[0] == pytest.approx(task.chance_level(), abs=0.05)
    assert history.test_loss[0] > task.chance_level() - 0.01


def one_device(monkeypatch) -> None:
    first = jax.devices()[:1]
    monkeypatch.setattr(jax, "devices", lambda: first)


@pytest.mark.slow
@pytest.mark.usefixtures("quick")
def test_small(tmp_path, monkeypatch, capsys):
    one_device(monkeypatch)
    monkeypatch.setattr(datasets, "read", lambda name, data_dir=None: {"text": np.array(BOOK)})
    monkeypatch.setattr(sys, "argv", ["experiments.language_model", "--preset", "smoke", "--out", str(tmp_path)])
    lab.run("experiments.language_model")
    record = load(tmp_path, language_model.PRESETS["smoke"])
    assert record is not None and record["complete"]
    text = capsys.readouterr().out
    said = (
        "How well does a recurrent net",
        "6-gram",
        "bz2",
        "xz",
        "temperature 0.5",
        "linear cell",
        "restarts of the LSTM",
    )
    for words in said:
        assert words in text
    assert list(tmp_path.glob("*.png"))
    consistent(record)
    assert judging.rival(record)[0] != "unigram" and judging.counted(record)["unigram"] > judging.rival(record)[1]


def consistent(record: dict) -> None:
    """The passage is of the test split, and the surprises belong to it."""
    entry, grams = record["results"]["LSTM"], record["results"]["n-grams"]
    assert entry["passage"] in BOOK[-len(BOOK) // 20 - 1 :]
    assert len(entry["passage"]) == len(entry["surprise"]) == len(grams["passage"]) == training.SHOWN
    best = int(np.argmin(np.min(entry["bits"], axis=1)))
    assert entry["streamed_bits"] == pytest.approx(entry["test_bits"][best], abs=0.05)  # two pieces, and one
    assert grams["test"][0] == pytest.approx(math.log2(record["results"]["data"]["vocabulary"]))
    assert len(entry["stuck"]) == 2 and record["results"]["without restarts"]["test_bits"] != entry["test_bits"]
    samples = entry["samples"]
    assert list(samples) == ["0.5", "0.8", "1"] and all(len(sample) >= training.DRAWN for sample in samples.values())


def test_missing_data_are_told_in_one_line(tmp_path):
    with pytest.raises(datasets.MissingData, match="kjv"):
        language_model.parts(language_model.Config(data_dir=tmp_path))
