"""What the page over all records of the 1997 paper calls reproduced, and from which record."""

from typing import Any

import pytest

pytest.importorskip("tyro", reason="the experiments need recurrax[experiments]")
pytest.importorskip("matplotlib", reason="the experiments need recurrax[experiments]")

from experiments.hochreiter1997 import drift, verdicts
from experiments.hochreiter1997.published import LABELS, NAMES, PUBLISHED


def record(row: str, met: list[int], seed: int, time: str = "2026-01-01") -> dict[str, Any]:
    entry = {"met": [met], "cap": 1000, "weights": 1, "trials": len(met)}
    config = {"seed": seed, "cap": None, "length": 100, "trials": None}
    return {"results": {row: entry}, "config": config, "hash": f"h{seed}", "provenance": {"time": time}}


def test_reproduced_is_nine_of_ten_within_twice_the_published_mean():
    assert verdicts.reproduced([10] * 9 + [-1], 5)
    assert not verdicts.reproduced([10] * 8 + [-1] * 2, 10)
    assert not verdicts.reproduced([11] * 10, 5)
    assert not verdicts.reproduced([-1] * 3, 5)


def test_verdicts_name_the_change_and_take_the_record_of_the_stated_seed():
    half = round(PUBLISHED["6a"].sequences[0] or 0) // 2
    found = verdicts.lines([record("6a", [-1] * 20, 0, "2027"), record("6a", [half] * 20, 1997)])
    assert [verdicts.verdict(line) for line in found] == ["reproduced as printed, faster than published"]
    records = [record("6a", [half] * 20, 1997), record("4", [74_000] * 10, 0), record("2a", [-1] * 18, 1997)]
    page = verdicts.overview(records, "place")
    assert "Of 3 published means, 1 are reproduced as printed, 1 with a stated change, 1 not." in page
    assert "| reproduced with a stated change " in page and "linear output unit" in page
    assert "- Experiment 2a, published mean 5,040, stays open: 18 trials. as printed (2a, seed 1997): 0/18" in page
    assert page.startswith("# What the 1997 paper needs to come out")


def test_every_row_that_differs_says_by_what():
    literal = "1-264 1-264-0.5 1-276 2a 2a-simple 2b 2b-simple 2c-50 2c-100 2c-200 2c-1000-1000 2c-1000-50 3a-3 3a-1"
    literal += " 3b-3 3b-1 3c-3 3c-1 4-logistic 5 5-whole 6a 6b"
    assert {row for row, paper in PUBLISHED.items() if not paper.differs} == set(literal.split())


def test_the_figure_of_drift_needs_a_row_as_printed_and_one_with_wider_outputs():
    looked, plain = {"drift": {}}, {}
    assert drift.pair({"1-264": looked, "1-264-wide": looked}) == ("1-264", "1-264-wide")
    assert drift.pair({"1-264": looked, "1-264-wide": plain}) is None and drift.draw({"1-264": looked}) is None


def test_every_row_has_its_own_words_in_figures():
    assert set(LABELS) == set(NAMES) and len(set(LABELS.values())) == len(NAMES)
