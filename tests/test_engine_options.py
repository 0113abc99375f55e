"""Options of engines against "auto": the command, small; tables and findings of a record made by hand."""

import dataclasses
import re
import sys

import pytest

pytest.importorskip("tyro", reason="the experiments need recurrax[experiments]")
pytest.importorskip("matplotlib", reason="the experiments need recurrax[experiments]")

from experiments import command
from experiments.engine_options import experiment, figure, tables
from experiments.engine_options.config import PRESETS, SMOKE, Config
from experiments.speed import tune
from recurrax.report import load


@pytest.mark.slow
@pytest.mark.usefixtures("quick")
def test_small(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(tune, "TUNABLE", {"projection": ("joint",)})  # the fewer to compile
    config = dataclasses.replace(SMOKE, out=tmp_path)
    experiment.main(config, experiment.prepare(config))
    record = load(tmp_path, config)
    assert record is not None and record["complete"] and list(record["results"]) == ["LSTM 2,5,2,4 float32"]
    (case,) = tables.cases(record)
    assert case["auto"] == {
        "keep": "preactivations",
        "projection": "hoisted",
        "chunk": None,
        "unroll": 1,
    }
    assert {'"auto"', "rx.Scan()", "rx.Adjoint()", "rx.Adjoint(projection='joint')"} <= set(case["rows"])
    assert {"auto without kernels first", "auto without thin kernels"} <= set(case["rows"])
    assert not tables.wrong(case["rows"]) and len(case["rows"]["rx.Scan()"]["milliseconds"]) == 2
    assert "refused" in case["rows"]["rx.Associative()"]
    written = next(tmp_path.glob("*.md")).read_text().strip()
    assert capsys.readouterr().out.strip() == tables.document(record).strip() == written
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
    found = list(tables.findings(record))
    assert "at 1 of 2 cases (faster there: GRU 1,2,3,4: `Adjoint(projection='joint')` by 1.25); geometric" in found[0]
    assert "geometric mean 1.12" in found[0]  # of 10/8 and 1: the same program, timed again, is no other
    assert "takes 1.00 times as long (0.91 to 1.09 in nine of ten of 2 pairs)" in found[1]
    (only,) = found[2:]  # projection='hoisted' is "auto" itself, and the scan of another loss does not count
    assert (
        "`Adjoint(projection='joint')` over \"auto\": 1.26 (0.80 to 2.00, 2 cases)" in only
        and "GRU 1,2,3,4 0.80" in only
    )
    assert [line["fastest"] for line in tables.choice_rows(record)] == ["`Adjoint(projection='joint')`", '`"auto"`']
    scan = tables.option_rows(record, "GRU", "float32")[-1]
    assert scan == {"engine": "`Scan()`", "1,2,3,4": "-", "5,6,7,8": "0.10 (another loss)"}
    drawn = figure.draw(record)
    written = [text.get_text() for text in drawn.axes[0].texts]
    assert "0.80" in written and "2.00" in written and "0.10" not in written  # another loss
    assert len(written) == 2 * 2 and not any(re.match("nan", text) for text in written)


def test_a_trick_that_is_left_out_is_told_apart(record):
    record["results"]["b"]["rows"]["auto without thin kernels"] = row(11)
    (*_, said) = tables.findings(record)
    assert said.startswith('auto without thin kernels over "auto": 1.10 (1.10 to 1.10, 1 case); the trick gains more')
    record["results"]["b"]["rows"]["auto without thin kernels"] = row(9)
    assert tables.choice_rows(record)[1]["fastest"] == '`"auto"`'
    assert list(tables.findings(record))[-1].endswith("the trick gains 5% nowhere.")


@pytest.mark.parametrize(
    "flags, words",
    [
        ("--shapes 0 1 1 1", "shapes=((0, 1, 1, 1),); allowed: B T D H, all >= 1"),
        ("--cells LTSM", "cells=('LTSM',); allowed: RNN"),
        ("--dtypes float16", "dtypes=('float16',); allowed: one or more, all different, of float32, bfloat16"),
        ("--rounds 0", "rounds=0; allowed: an int >= 1"),
        ("--seconds-per-case 0", "seconds_per_case=0.0; allowed: > 0"),
    ],
)
def test_bad_flags_end_in_one_message(tmp_path, monkeypatch, capsys, flags, words):
    monkeypatch.setattr(experiment, "main", lambda *_: pytest.fail("it ran"))
    monkeypatch.setattr(sys, "argv", ["experiments.engine_options", *flags.split(), "--out", str(tmp_path)])
    with pytest.raises(SystemExit) as stopped:
        command.run("experiments.engine_options.experiment", PRESETS, "what it is")
    assert stopped.value.code == 2
    said = capsys.readouterr()
    assert words in " ".join((said.err + said.out).replace("│", " ").split())


def test_accelerators_get_larger_shapes():
    assert set(PRESETS["accelerator"].shapes) > set(Config().shapes)
