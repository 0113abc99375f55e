"""Digits as sequences: the command, small; the linear classifier; tables and figure from a record."""

import copy
import dataclasses
import json
import sys

import jax
import numpy as np
import pytest

pytest.importorskip("tyro", reason="the experiments need recurrax[experiments]")
pytest.importorskip("matplotlib", reason="the experiments need recurrax[experiments]")
pytest.importorskip("sklearn", reason="the experiments need recurrax[experiments]")

from experiments import lab
from experiments import sequential_digits as digits
from experiments.sequential_digits import PRESETS, Config, pages
from experiments.sequential_digits.training import classify, majority
from recurrax import datasets
from recurrax.datasets import Images
from recurrax.report import load, settings


def here(monkeypatch, *flags: str) -> None:
    monkeypatch.setattr(sys, "argv", ["experiments.sequential_digits", *flags])
    lab.run("experiments.sequential_digits")


@pytest.mark.slow
@pytest.mark.usefixtures("quick")
def test_small(tmp_path, monkeypatch, capsys):
    first = jax.devices()[:1]
    monkeypatch.setattr(jax, "devices", lambda: first)
    here(monkeypatch, "--preset", "smoke", "--out", str(tmp_path))
    record = load(tmp_path, PRESETS["smoke"])
    assert record is not None and record["complete"]
    assert list(record["results"]) == ["data", "linear", "rows GRU"]
    data, entry = record["results"]["data"], record["results"]["rows GRU"]
    assert data["sizes"] == [1197, 300, 300] and data["sha256"] == datasets.load("digits").sha256
    assert entry["steps"] == [0, 2, 4] and entry["seeds"] == [20, 21] and len(entry["test_accuracy"]) == 2
    assert entry["length"] == 8 and entry["settings"]["learning_rate"] == [0.01, 0.01]
    written = next(tmp_path.glob("*.md")).read_text().strip()
    assert capsys.readouterr().out.strip() == lab.document(digits, record).strip() == written
    assert next(tmp_path.glob("*.png")).stat().st_size > 10_000
    assert "data_dir" not in record["config"]  # a path decides nothing; the arrays' SHA-256 is there


def test_the_linear_classifier_is_chosen_on_validation():
    data = datasets.load("digits")
    entry = classify(data, (1000.0, 0.1))
    assert entry["chosen"] == 1 and entry["validation"][1] > 0.9 > entry["validation"][0]
    flipped = dataclasses.replace(data, test=data.train)
    assert classify(flipped, (0.1,))["validation"] == entry["validation"][1:]
    labels = np.asarray(data.train.labels)
    assert majority(data) == np.mean(np.asarray(data.test.labels) == np.bincount(labels).argmax())
    shifted = Images(255 - np.asarray(data.test.images), data.test.labels)  # seen by the classifier as it is
    assert classify(dataclasses.replace(data, test=shifted), (0.1,))["test"] < entry["test"][1:]


@pytest.fixture
def record() -> dict:
    """Two orders, two cells, two rates of three seeds; one run never had a finite loss."""

    def entry(order, cell, loss, test):
        accuracy = np.linspace(0.1, 0.8, 5) * np.ones((6, 1))
        return {
            "order": order, "cell": cell, "length": 64, "parameters": 1234,
            "settings": {"learning_rate": [0.01] * 3 + [0.1] * 3}, "steps": list(range(0, 500, 100)),
            "loss": [[None, low, 2.0, 2.0, 2.0] if low else [None] * 5 for low in loss],
            "accuracy": accuracy.tolist(), "test_accuracy": test, "best_at": [100, 300, 400, 0, 0, 200],
            "seconds": 3.0, "compile_seconds": 2.0,
        }  # fmt: skip

    return {
        "name": "sequential_digits", "hash": "0" * 8, "seconds": 1.0,
        "config": json.loads(json.dumps(settings(Config()))),
        "provenance": {
            "device": {"kind": "cpu", "count": 1, "cpus": 2}, "float": "float32", "commit": "abc", "command": "python",
            "versions": {"python": "3", "jax": "0", "flax": "0"},
        },
        "results": {
            "data": {"name": "mnist", "source": "there", "sha256": "abc", "sizes": [1197, 300, 300], "majority": 0.1,
                     "chance_level": 2.3},
            "linear": {"penalty": [1, 0.1], "validation": [0.8, 0.7], "test": [0.75, 0.99], "iterations": [7, 9],
                       "chosen": 0},
            "pixels GRU": entry("pixels", "GRU", [0.5, 0.5, 0.6, 0.1, 0.1, 1.9], [0.8, 0.9, 0.76, 0.1, 0.1, 0.1]),
            "pixels RNN": entry("pixels", "RNN", [0.5, 0.5, None, 1, 1, 1], [0.99, 0.99, None, 0.3, 0.8, 0.0]),
            "permuted GRU": entry("permuted", "GRU", [0.5, 0.5, 0.5, 1, 1, 1], [0.5, 0.6, 0.4, 0.9, 0.9, 0.9]),
            "rows GRU": entry("rows", "GRU", [0.5, None, 0.5, None, 1, 1], [0.9, None, 0.7, None, 0.9, 0.9]),
        },
    }  # fmt: skip


def test_tables_and_findings(record):
    text = lab.document(digits, record)
    first, permuted, rows, order = pages.findings(record)
    assert first == (
        "Pixel by pixel (64 steps), GRU is right in 82.0% of the test images and the linear classifier in 75.0%; every "
        "seed of GRU beats it. Mean test accuracy in percent: GRU 82.0, RNN 36.7."
    )
    assert "GRU 50.0" in permuted and "no cell beats it with every seed." in permuted
    assert "GRU 53.3" in rows  # both rates lost a seed, which counts as 0
    assert order.startswith("Reading the pixels in a random order") and order.endswith(
        "GRU -32.0, no difference seen."
    )  # of 3 seeds
    rows = {line.split("|")[2].strip(): line for line in text.splitlines() if line.startswith("| pixels, T = 64")}
    assert "80.0, 90.0, 76.0" in rows["GRU"] and "3/3 [0.29, 1.00]" in rows["GRU"] and "100 to 400" in rows["GRU"]
    assert "| 0.01 " in rows["GRU"] and "| 0.1 " in rows["RNN"]  # where the mean of the lowest losses is lowest
    assert "30.0, 80.0, 0.0" in rows["RNN"] and "1/3" in rows["RNN"]
    said = " ".join(text.split())
    assert (
        "same pixels, 75.0: " in said and "penalty 1 of [1, 0.1], by validation; 7 of at most 1,000 iterations" in said
    )
    assert "Majority class: 10.0." in said
    assert "| pixels   | LSTM" in text and "87.2" in text and "85.7" in text  # published, for MNIST alone
    other = copy.deepcopy(record)
    other["results"]["data"]["name"] = "digits"
    assert "87.2" not in lab.document(digits, other)
    drawn = lab.figures(digits, record)[""]
    assert len(drawn.axes) == 3 and all(axes.get_xlabel() and axes.get_ylabel() for axes in drawn.axes)


def test_rows_of_the_baseline_table_pass_the_linear_classifier_on_validation(record):
    record["results"]["linear"]["validation"][0] = 0.7
    record["results"]["pixels GRU"]["accuracy"][1] = [0.9] * 5
    record["results"]["pixels GRU"]["accuracy"][2] = [0.1, 0.2, 0.3, 0.4, 0.7]  # equal is not above
    row, *_ = pages.baseline_rows(record)
    assert (row.task, row.cell, row.chance, row.seconds) == ("mnist, pixels, 64 steps", "GRU", 10, 5)
    assert row.solved_at == [400, 0, -1] and row.values == pytest.approx([80, 90, 76])
    assert row.tuned == "learning rate 0.01 of 0.01, 0.1"
    assert row.reached == "above linear"
    assert row.command == "python -m experiments.sequential_digits --orders pixels --cells GRU"
    assert row.published is not None and row.published.result == "96.2" and row.published.checked == "primary"
    assert pages.reported("mnist", "pixels", "IRNN").checked == "secondary"
    assert pages.reported("mnist", "pixels", "LSTM-fb1").result == "87.2"
    assert pages.reported("digits", "pixels", "GRU") is pages.reported("mnist", "pixels", "LSTM-chrono") is None


@pytest.mark.parametrize(
    "flags, words",
    [
        ("--data minst", "invalid choice 'minst'"),
        ("--orders columns", "invalid choice 'columns'"),
        ("--penalties 0", "penalties=(0.0,); allowed: a finite number > 0"),
        ("--cells X", "invalid choice 'X'"),
        ("--batch-size 0", "batch_size=0; allowed: an int >= 1"),
        ("--data mnist --data-dir {}", "error: no data set 'mnist' in {}, {}/mnist; allowed"),
    ],
)
def test_bad_flags_end_in_one_message(tmp_path, monkeypatch, capsys, flags, words):
    monkeypatch.setattr(lab, "measure", lambda *_: pytest.fail("it ran"))
    with pytest.raises(SystemExit) as stopped:
        here(monkeypatch, *flags.replace("{}", str(tmp_path)).split(), "--out", str(tmp_path / "out"))
    assert stopped.value.code == 2
    said = capsys.readouterr()
    assert words.replace("{}", str(tmp_path)) in " ".join((said.err + said.out).replace("│", " ").split())
