"""The experiment on speech: folds without a leak, the nearest utterance, the masks, and the command, small."""

from __future__ import annotations

import itertools
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import synthetic_signals

pytest.importorskip("tyro", reason="the experiments need recurrax[experiments]")
pytest.importorskip("matplotlib", reason="the experiments need recurrax[experiments]")
pytest.importorskip("sklearn", reason="the experiments need recurrax[experiments]")

from experiments import lab, speech
from experiments.baselines.nearest_utterance import dtw_distances, nearest
from experiments.speech import corpus, pages, vowels
from experiments.speech.model import stripes
from recurrax import datasets
from recurrax.report import load

MADE = {"prompts": synthetic_signals.prompts(), "japanese-vowels": synthetic_signals.vowels()}


def test_digits_and_signs_are_spelled_and_punctuation_is_dropped():
    assert corpus.spoken("Press 1, then #... It's 42!") == "press one then pound it's four two"
    assert corpus.decode(corpus.encode("it's a test")) == "it's a test"
    assert corpus.encode(" a'").tolist() == [1, 2, 28]


def test_no_text_is_in_two_splits_and_every_text_is_tested_once():
    prompts = corpus.read_prompts(MADE["prompts"], 2.0, 12, 3, number=5)
    assert prompts.counts == {"all": 19, "too long": 2, "repeated": 1, "to equal folds": 1}
    tested = []
    for data in corpus.folds(prompts, 5, 0.2):
        texts = [[decoded(split, n) for n in range(len(split))] for split in (data.train, data.validation, data.test)]
        assert sorted(itertools.chain(*texts)) == sorted(prompts.texts)
        tested += texts[2]
    assert sorted(tested) == sorted(prompts.texts)


def decoded(split, number: int) -> str:
    return corpus.decode(np.asarray(split.targets[number])[np.asarray(split.weights[number]) > 0])


def test_dynamic_time_warping_against_all_paths():
    random = np.random.RandomState(0)
    query, references = random.normal(size=(3, 2)), random.normal(size=(4, 4, 2))
    lengths = np.array([4, 2, 3, 1])

    def least(reference: np.ndarray, i: int, j: int) -> float:
        cost = float(np.linalg.norm(query[i] - reference[j]))
        before = [(a, b) for a, b in ((i - 1, j), (i - 1, j - 1), (i, j - 1)) if a >= 0 and b >= 0]
        return cost + min((least(reference, a, b) for a, b in before), default=0.0)

    expected = [least(one[:n], 2, n - 1) / (3 + n) for one, n in zip(references, lengths, strict=True)]
    np.testing.assert_allclose(dtw_distances(query, references, lengths), expected)


def test_a_slower_copy_is_the_nearest():
    random = np.random.RandomState(1)
    references = random.normal(size=(5, 8, 3))
    queries = [np.repeat(references[n], 2, axis=0) for n in range(5)]
    assert nearest(queries, references, np.full(5, 8)).tolist() == list(range(5))


def test_stripes_hide_two_places_of_at_most_so_many_steps():
    for key in jax.random.split(jax.random.key(0), 50):
        seen = np.asarray(stripes(key, 20, jnp.asarray(10), 3))
        hidden = [len(list(group)) for value, group in itertools.groupby(seen) if value == 0]
        assert set(seen) <= {0.0, 1.0} and len(hidden) <= 2 and sum(hidden) <= 6 and seen[10:].all()


def test_held_out_utterances_of_the_vowels_are_trained_on_in_no_fold():
    train, test = vowels.arrays(MADE["japanese-vowels"])
    assert (len(train), len(test)) == (18, 18)
    folds = vowels.inner_folds(train, 2)
    held_out = np.concatenate([np.asarray(fold.validation.inputs) for fold in folds])
    assert sorted(map(bytes, held_out)) == sorted(map(bytes, np.asarray(train.inputs)))
    for fold in folds:
        assert not {*map(bytes, np.asarray(fold.train.inputs))} & {*map(bytes, np.asarray(fold.validation.inputs))}
        assert np.bincount(np.asarray(fold.validation.targets)).tolist() == [3, 3, 3]


@pytest.mark.slow
@pytest.mark.usefixtures("quick")
def test_small(tmp_path, monkeypatch, capsys):
    first = jax.devices()[:1]
    monkeypatch.setattr(jax, "devices", lambda: first)
    monkeypatch.setattr(datasets, "read", lambda name, data_dir=None: MADE[name])
    monkeypatch.setattr(sys, "argv", ["experiments.speech", "--preset", "smoke", "--out", str(tmp_path)])
    lab.run("experiments.speech")
    record = load(tmp_path, speech.PRESETS["smoke"])
    assert record is not None and record["complete"]
    assert pages.rates(record, pages.NOTHING)[0].tolist() == [1.0]
    assert len(pages.pairs(record, "LSTM")[0]) == len(record["results"]["prompts"]["texts"])
    text = capsys.readouterr().out
    for words in (
        "# Can a recurrent net write down what it hears",
        "nearest training utterance",
        "most frequent speaker",
    ):
        assert words in text


def test_a_fold_that_does_not_exist_is_refused():
    with pytest.raises(ValueError, match="--tested"):
        speech.Config(tested=(5,))


def test_missing_data_are_told_in_one_line(tmp_path):
    with pytest.raises(datasets.MissingData, match="prompts"):
        speech.parts(speech.Config(data_dir=tmp_path))
