"""Options of engines against "auto": the command, small; tables and findings of a record made by hand."""

import dataclasses
import re
import sys

import pytest

pytest.importorskip("tyro", reason="the experiments need recurrax[experiments]")
pytest.importorskip("matplotlib", reason="the experiments need recurrax[experiments]")

from experiments import lab
from experiments.benchmarks import engine_options as experiment
from recurrax.cli import tune
from recurrax.report import load


@pytest.mark.slow
@pytest.mark.usefixtures("quick")
def test_small(tmp_path, monkeypatch):
    monkeypatch.setattr(tune, "TUNABLE", {"projection": ("joint",)})  # the fewer to compile
    config = dataclasses.replace(experiment.PRESETS["smoke"], out=tmp_path)
    written = lab.publish(experiment, lab.measure("engine_options", config, experiment.parts(config)), tmp_path)
    record = load(tmp_path, config)
    assert record is not None and record["complete"] and list(record["results"]) == ["LSTM 2,5,2,4 float32"]
    (case,) = record["results"].values()
    assert case["auto"] == {"keep": "preactivations", "projection": "hoisted", "chunk": None, "unroll": 1}
    assert {'"auto"', "rx.Scan()", "rx.Adjoint()", "rx.Adjoint(projection='joint')"} <= set(case["rows"])
    assert {"auto without kernels first", "auto without transposing before the loop"} <= set(case["rows"])
    assert not tune.wrong(case["rows"]) and len(case["rows"]["rx.Scan()"]["milliseconds"]) == 2
    assert "refused" in case["rows"]["rx.Associative()"]
    assert next(tmp_path.glob("*.md")).read_text() == written == lab.document(experiment, record)
    assert next(tmp_path.glob("*.png")).stat().st_size > 10_000


def row(*milliseconds: float, loss: float = 0.5) -> dict:
    return {"milliseconds": list(milliseconds), "compile_seconds": 1.0, "memory": None, "loss": loss, "calls": 1}


@pytest.fixture
def record():
    """At one shape an option is faster, at the other a program that computes something else."""
    chosen = {"keep": "states", "projection": "hoisted", "chunk": None}
    common = {"cell": "GRU", "dtype": "float32", "auto": chosen}
    hoisted, joint = "rx.Adjoint(projection='hoisted')", "rx.Adjoint(projection='joint')"
    first = {
        '"auto"': row(10, 10, 10),
        hoisted: row(11),
        joint: row(8),
        "rx.Associative()": {"refused": "no", "loss": None},
    }
    second = {'"auto"': row(10), hoisted: row(9), joint: row(20), "rx.Scan()": row(1, loss=0.6)}
    return {
        "name": "engine_options", "hash": "0" * 8, "seconds": 2.0,
        "config": {"shapes": [[1, 2, 3, 4], [5, 6, 7, 8]], "cells": ["GRU"], "dtypes": ["float32"], "rounds": 3,
                   "seconds_per_case": 1.0},
        "provenance": {"versions": {"python": "3", "jax": "1", "flax": "1"}, "float": "float32", "commit": "abc",
                       "device": {"kind": "cpu", "count": 1, "cpus": 2}, "command": "python"},
        "results": {"a": common | {"shape": [1, 2, 3, 4], "rows": first},
                    "b": common | {"shape": [5, 6, 7, 8], "rows": second}},
    }  # fmt: skip


def test_findings_and_tables(record):
    found = list(experiment.findings(record))
    assert "in 1 of 2 cases, and" in found[0] and "faster: GRU 1,2,3,4: `Adjoint(projection='joint')` by" in found[0]
    assert "and takes 1.12 times as long over all" in found[0] and found[0].endswith(
        "by 1.25."
    )  # of 10/8 and 1: the same program, timed again, is no other
    assert "takes 1.00 times as long (0.91 to 1.09 in nine of ten of 2 pairs)" in found[1]
    (only,) = found[2:]  # projection='hoisted' is "auto" itself, and the scan of another loss does not count
    assert "`Adjoint(projection='joint')` takes 1.26 times as long as \"auto\" (0.80 to 2.00 in 2 cases)" in only
    assert only.endswith("it is more than 5% faster at GRU 1,2,3,4 0.80.")
    assert [line["fastest"] for line in experiment.choice_rows(record)] == ["`Adjoint(projection='joint')`", '`"auto"`']
    scan = experiment.option_rows(record, "GRU", "float32")[-1]
    assert scan == {"engine": "`Scan()`", "1,2,3,4": "-", "5,6,7,8": "0.10 (another loss)"}
    drawn = lab.figures(experiment, record)[""]
    written = [text.get_text() for text in drawn.axes[0].texts]
    assert "0.80" in written and "2.00" in written and "0.10" not in written  # another loss
    assert len(written) == 2 * 2 and not any(re.match("nan", text) for text in written)


def test_a_trick_that_is_left_out_is_told_apart(record):
    record["results"]["b"]["rows"]["auto without thin kernels"] = row(11)
    (*_, said) = experiment.findings(record)
    assert said.startswith('auto without thin kernels takes 1.10 times as long as "auto" (1.10 to 1.10 in 1 case); the')
    assert said.endswith("the trick gains more than 5% at GRU 5,6,7,8 1.10.")
    record["results"]["b"]["rows"]["auto without thin kernels"] = row(9)
    assert experiment.choice_rows(record)[1]["fastest"] == '`"auto"`'
    assert list(experiment.findings(record))[-1].endswith("the trick gains more than 5% nowhere.")


@pytest.mark.parametrize(
    "flags, words",
    [
        ("--shapes 0 1 1 1", "shapes=((0, 1, 1, 1),); allowed: B T D H, all >= 1"),
        ("--cells LTSM", "cells=('LTSM',); allowed: one or more of RNN"),
        ("--dtypes float16", "invalid choice 'float16'"),
        ("--rounds 0", "rounds=0; allowed: an int >= 1"),
        ("--seconds-per-case 0", "seconds_per_case=0.0; allowed: a finite number > 0"),
    ],
)
def test_bad_flags_end_in_one_message(tmp_path, monkeypatch, capsys, flags, words):
    monkeypatch.setattr(lab, "measure", lambda *_: pytest.fail("it ran"))
    monkeypatch.setattr(sys, "argv", ["engine_options", *flags.split(), "--out", str(tmp_path)])
    with pytest.raises(SystemExit) as stopped:
        lab.run("experiments.benchmarks.engine_options")
    assert stopped.value.code == 2
    said = capsys.readouterr()
    assert words in " ".join((said.err + said.out).replace("│", " ").split())


def test_accelerators_get_larger_shapes():
    assert set(experiment.PRESETS["accelerator"].shapes) > set(experiment.Config().shapes)


def test_options_that_are_gone_are_told_from_those_that_exist():
    assert experiment.exists("rx.Adjoint(unroll=4)") and experiment.exists("auto without kernels first")
    assert not experiment.exists("rx.Cudnn()") and not experiment.exists("rx.Adjoint(gates='apart')")
