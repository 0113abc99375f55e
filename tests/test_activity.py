"""The experiment on movement: windows and folds by person, scores by hand, and the command, small."""

from __future__ import annotations

import sys

import jax
import numpy as np
import pytest
import synthetic_signals

pytest.importorskip("tyro", reason="the experiments need recurrax[experiments]")
pytest.importorskip("matplotlib", reason="the experiments need recurrax[experiments]")
pytest.importorskip("sklearn", reason="the experiments need recurrax[experiments]")

from experiments import activity, lab
from experiments.activity import pages, training
from recurrax import datasets
from recurrax.datasets import Arrays
from recurrax.report import load

MADE = synthetic_signals.watch()
SMOKE = activity.PRESETS["smoke"]


def test_windows_are_means_of_samples_of_one_recording():
    whole = training.windows(MADE, SMOKE)
    assert whole.inputs.shape[1:] == (12, 6)  # 1 s at 50 Hz, four samples a step
    assert len(whole) == 12 * ((65 - 12) // 6 + 1)
    np.testing.assert_allclose(whole.inputs[0, 1], MADE["samples"][4:8].mean(axis=0), rtol=1e-5)
    np.testing.assert_allclose(whole.inputs[1, 0], MADE["samples"][24:28].mean(axis=0), rtol=1e-5)


def test_nobody_is_in_two_splits_and_everybody_is_tested_once():
    folds = training.by_person(SMOKE, training.windows(MADE, SMOKE))
    seen = [[set(np.asarray(split.groups).tolist()) for split in (f.train, f.validation, f.test)] for f in folds]
    for train, validation, test in seen:
        assert not train & validation and not train & test and not validation & test
    assert sorted(person for *_, test in seen for person in test) == [1, 2, 3, 4]


def test_scores_by_hand():
    test = Arrays(np.zeros((4, 2, 1)), np.array([0, 0, 1, 1]), groups=np.array([3, 3, 3, 8]))
    scores = training.score(np.array([[0, 1, 1, 0], [0, 0, 1, 1]]), test)
    assert scores["accuracy"].tolist() == [0.5, 1.0] and scores["people"].tolist() == [3, 8]
    np.testing.assert_allclose(scores["by_person"], [[2 / 3, 0], [1, 1]])
    assert scores["confusion"].tolist() == [[3, 1], [1, 3]]


def test_statistics_by_hand():
    window = np.array([[[1.0], [3.0], [2.0]]])
    np.testing.assert_allclose(training.statistics(window), [[2, np.sqrt(2 / 3), 1, 3, 1.5]])


def test_the_interval_holds_the_mean_and_is_empty_where_people_do_not_differ():
    low, high = pages.interval(np.array([0.5, 0.7, 0.9]))
    assert 0.5 <= low < 0.7 < high <= 0.9
    assert pages.interval(np.full(4, 0.25)) == (0.25, 0.25)


@pytest.mark.slow
@pytest.mark.usefixtures("quick")
def test_small(tmp_path, monkeypatch, capsys):
    first = jax.devices()[:1]
    monkeypatch.setattr(jax, "devices", lambda: first)
    monkeypatch.setattr(datasets, "read", lambda name, data_dir=None: MADE)
    monkeypatch.setattr(sys, "argv", ["experiments.activity", "--preset", "smoke", "--out", str(tmp_path)])
    lab.run("experiments.activity")
    record = load(tmp_path, SMOKE)
    assert record is not None and record["complete"]
    assert list(pages.people(record, "LSTM")) == list(pages.people(record, pages.FOREST)) == [1, 2, 3, 4]
    windows = record["results"]["data"]["windows"]
    assert pages.confusion(record, "LSTM").sum() == windows * len(SMOKE.seeds)
    assert np.median(pages.whole(record, pages.LEAK)) > 0.9 > np.median(pages.whole(record, pages.SHUFFLED))
    text = capsys.readouterr().out
    assert "# Which exercise is a person doing" in text and "| random forest" in text


def test_missing_data_are_told_in_one_line(tmp_path):
    with pytest.raises(datasets.MissingData, match="watch"):
        activity.parts(activity.Config(data_dir=tmp_path))


def test_the_accuracy_of_a_random_split_is_that_of_all_its_folds():
    found = [{"accuracy": [one], "people": [0], "by_person": [[one]]} for one in (0.5, 1.0)]
    assert pages.whole({"results": {"forest": {"at random": found}}}, pages.LEAK).tolist() == [0.75]
