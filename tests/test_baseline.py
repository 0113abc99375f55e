"""The baseline table: Kaplan & Meier by hand, rows of small records, and the commands that make them."""

import json
import math

import jax
import numpy as np
import pytest

pytest.importorskip("tyro", reason="the experiments need recurrax[experiments]")
pytest.importorskip("matplotlib", reason="the experiments need recurrax[experiments]")

from test_experiments import RESULTS, here

from experiments import baseline
from experiments.adding_problem import tables as adding
from experiments.adding_problem.config import PRESETS
from experiments.adding_problem.config import Config as AddingConfig
from experiments.copy_memory import tables as copy
from experiments.copy_memory.config import Config as CopyConfig
from experiments.criterion import LossBelow
from experiments.protocol import Protocol
from experiments.tuning import count, start, units_of
from recurrax.report import settings
from recurrax.tasks import Adding


@pytest.mark.parametrize(
    ("solved_at", "budget", "median"),
    [
        ([100, 200, 300, 400, 500], 500, 300),
        ([100, 200, -1, -1, -1], 500, math.inf),  # S ends at 3/5
        ([100, 200, 300, -1, -1], 500, 300),  # S = 4/5, 3/5, 2/5
        ([100, -1, -1, -1], 500, math.inf),
        ([-1, -1], 500, math.inf),
        ([100, 100], 500, 100),
    ],
)
def test_the_median_counts_unsolved_runs_as_longer_than_the_budget(solved_at, budget, median):
    middle, low, high = baseline.median_time(solved_at, budget)
    assert middle == median and low <= middle <= high


def test_the_interval_is_greenwoods_by_hand():
    """S after each of five times is 4/5 ... 0; V = sum d / (n (n - d)) / ln^2 S; S^exp(+-1.96 sqrt V) around 1/2."""
    times, low, high = [1, 2, 3, 4, 5], [], []
    total = 0.0
    for number in range(5):
        n = 5 - number
        S = (n - 1) / 5
        if S > 0:
            total += 1 / (n * (n - 1))
            width = 1.959964 * math.sqrt(total) / abs(math.log(S))
            low.append(S ** math.exp(width))
            high.append(S ** math.exp(-width))
        else:
            low.append(0.0)
            high.append(0.0)
    first = next(t for t, p in zip(times, low, strict=True) if p <= 0.5)
    last = next(t for t, p in zip(times, high, strict=True) if p <= 0.5)
    assert baseline.median_time(times, 9) == (3, first, last)
    assert baseline.shown_time([1, 2, -1, -1, -1], 9).startswith("> 9")


def test_values_that_are_missing_are_counted():
    assert baseline.shown_values([0.1, 0.3, None]) == "0.2 (0.1 to 0.3, 1 without)"
    assert baseline.shown_values([None]) == "-"


def test_the_command_names_the_preset_and_what_differs():
    def of(config: AddingConfig) -> str:
        record = {"name": "adding_problem", "config": settings(config)}
        return baseline.command(record, PRESETS, {"cells": ["GRU"], "lengths": [100]})

    assert of(AddingConfig()) == "python -m experiments.adding_problem --cells GRU --lengths 100"
    assert of(AddingConfig(steps=7)).endswith("adding_problem --steps 7 --cells GRU --lengths 100")
    assert "--preset" in of(PRESETS["bai2018"])


@pytest.mark.slow
def test_sizes_follow_the_parameters():
    task = Adding(10)
    units = units_of(Protocol(parameters=5000), task, "GRU")
    assert count(start("GRU", task, units)) <= 5000 < count(start("GRU", task, units + 1))


def test_runs_that_keep_one_value_are_at_the_second_plateau_and_not_solved():
    entry = {
        "chance_level": 1 / 6, "solved_at": [10, -1, -1, -1, -1], "test_loss": [1e-4, 1 / 12, 0.16, 0.02, None],
    }  # fmt: skip
    assert adding.ends(entry) == {"solved": 1, "both values": 1, "one value": 1, "neither": 2}


def test_a_criterion_that_guessing_meets_is_refused():
    with pytest.raises(ValueError, match=r"loss=0\.2; allowed: above 0 and below guessing's 0\.1667"):
        LossBelow(Adding(10), 0.2)


@pytest.mark.parametrize(
    ("config", "options", "words"),
    [
        (AddingConfig, {"cells": ("LTSM",)}, "allowed: one or more of RNN"),
        (AddingConfig, {"grid_seeds": (10,)}, "none of which is reported"),
        (AddingConfig, {"lengths": ()}, "lengths is empty"),
        (CopyConfig, {"delays": ()}, "delays is empty"),
        (CopyConfig, {"share": 1.0}, "share=1.0; allowed: above 0 and below 1"),
        (CopyConfig, {"hidden": 0}, "hidden=0; allowed: an int >= 1"),
    ],
)
def test_bad_settings_are_refused(config, options, words):
    with pytest.raises(ValueError, match=words):
        config(**options)


@pytest.mark.slow
@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize(
    ("name", "module", "unit"),
    [
        ("adding_problem", adding, "lengths"),
        pytest.param("copy_memory", copy, "delays", marks=pytest.mark.slow),
    ],
)
def test_a_small_run_leaves_record_table_figure_and_rows(name, module, unit, tmp_path, monkeypatch, capsys):
    first = jax.devices()[:1]
    monkeypatch.setattr(jax, "devices", lambda: first)
    here(monkeypatch, name, "--preset", "smoke", "--cells", "LSTM-chrono", "--out", str(tmp_path))
    (path,) = tmp_path.glob("*.json")
    record = json.loads(path.read_text())
    text = module.document(record)
    assert capsys.readouterr().out.strip() == text.strip() == path.with_suffix(".md").read_text().strip()
    assert path.with_suffix(".png").stat().st_size > 20_000
    (row,) = module.baseline_rows(record)
    assert row.cell == "LSTM-chrono" and len(row.solved_at) == len(row.values) == 2 and row.budget == 20
    assert f"--{unit}" in row.command and row.command.startswith(f"python -m experiments.{name} --preset smoke")
    assert row.parameters > 100 and row.chance == pytest.approx(
        record["results"][next(iter(record["results"]))]["chance_level"]
    )
    if name == "copy_memory":
        (entry,) = record["results"].values()
        assert all(0 <= share <= 1 for share in entry["symbols"] + entry["sequences"])
        assert copy.longest(record) == {"LSTM-chrono": 0 if np.all(np.array(row.solved_at) < 0) else 2}


def test_the_committed_table_is_rendered_from_the_records():
    assert (RESULTS / "README.md").read_text() == baseline.document(baseline.gather(RESULTS))
