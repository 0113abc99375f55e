"""The baseline table: Kaplan & Meier by hand, rows of small records, the commands that make them, and "solved"."""

import json
import math
import sys

import jax
import numpy as np
import pytest

pytest.importorskip("tyro", reason="the experiments need recurrax[experiments]")
pytest.importorskip("matplotlib", reason="the experiments need recurrax[experiments]")

from experiments import adding_problem as adding
from experiments import baseline, lab
from experiments import copy_memory as copy
from experiments.tuning import Protocol, count, report_plan, start, units_of
from recurrax.report import config_hash, settings
from recurrax.tasks import Adding, Copy


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
    def of(config: adding.Config) -> str:
        record = {"name": "adding_problem", "config": settings(config)}
        return baseline.command(record, adding.PRESETS, {"cells": ["GRU"], "lengths": [100]})

    assert of(adding.Config()) == "python -m experiments.adding_problem --cells GRU --lengths 100"
    assert of(adding.Config(steps=7)).endswith("adding_problem --steps 7 --cells GRU --lengths 100")
    assert "--preset" in of(adding.PRESETS["bai2018"])


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


def test_a_criterion_may_be_stricter_than_the_tasks_own_and_never_looser():
    stricter = adding.Stricter(Adding(10), 1e-3)
    assert stricter.criterion == "held-out loss < 0.001"
    np.testing.assert_array_equal(stricter.success(np.array([9e-4, 1e-3]), 0.0), [True, False])
    assert adding.Stricter(Adding(10), 0.01)
    with pytest.raises(
        ValueError, match=r"loss=0\.011; allowed: no looser than the criterion of arjovsky2016, held-out"
    ):
        adding.Stricter(Adding(10), 0.011)
    both = adding.Stricter(Adding(100, "hochreiter1997"), 0.01)  # its own criterion is of another kind
    assert both.criterion == "every held-out |error| < 0.04 and held-out loss < 0.01"
    np.testing.assert_array_equal(both.success(0.001, np.array([0.99, 1.0])), [False, True])


@pytest.mark.parametrize("preset", adding.PRESETS.values(), ids=adding.PRESETS)
def test_every_preset_of_adding_asks_for_the_variants_criterion_or_more(preset):
    if preset.loss is not None:
        adding.Stricter(Adding(preset.lengths[0], preset.variant), preset.loss)
    assert adding.parts(preset)


@pytest.mark.parametrize("module, folder", [(adding, "adding_problem"), (copy, "copy_memory")])
def test_solved_in_the_committed_record_is_the_criterion_of_the_named_variant(module, folder):
    """Its words are the task's, and every run that counts as solved met it at that evaluation and not before."""
    record = json.loads((lab.RESULTS / folder / f"{config_hash(module.Config())}.json").read_text())
    for entry in record["results"].values():
        if module is copy:
            task = Copy(entry["delay"], entry["variant"])
        else:
            task = adding.Stricter(Adding(entry["length"], record["config"]["variant"]), record["config"]["loss"])
        assert entry["criterion"] == task.criterion
        for loss, accuracy, solved_at in zip(entry["loss"], entry["accuracy"], entry["solved_at"], strict=True):
            known = [np.array([np.nan if v is None else v for v in values]) for values in (loss, accuracy)]
            met = np.flatnonzero(task.success(*known))
            assert solved_at == (entry["steps"][met[0]] if len(met) else -1)


@pytest.mark.parametrize(
    ("config", "options", "words"),
    [
        (adding.Config, {"cells": ("LTSM",)}, "allowed: one or more of RNN"),
        (adding.Config, {"grid_seeds": (10,)}, r"grid_seeds=\(10,\); allowed: seeds none of which is reported"),
        (adding.Config, {"lengths": ()}, r"lengths=\(\); allowed: one or more"),
        (copy.Config, {"tasks": ("copy",)}, r"tasks=\('copy',\); allowed: VARIANT:DELAY"),
        (copy.Config, {"hidden": 0}, "hidden=0; allowed: an int >= 1"),
        (copy.Config, {"chunk": 0}, "chunk=0; allowed: an int >= 1"),
    ],
)
def test_bad_settings_are_refused(config, options, words):
    with pytest.raises(ValueError, match=words):
        config(**options)


def entry(delay: int, solved_at: list[int]) -> dict:
    """What the copy experiment has of a cell at a delay, as far as its findings go."""
    return {"cell": "GRU", "variant": "martens2011", "delay": delay, "solved_at": solved_at, "budget": 900}


def test_the_findings_of_copy_say_who_solves_how_long_a_delay_and_after_how_many_updates():
    cells = {
        "RNN": [entry(5, [-1, -1, 300]), entry(30, [-1, -1, -1])],
        "GRU": [entry(5, [100, 100, 200]), entry(30, [400, 800, -1])],
    }
    assert copy.findings("martens2011", cells) == [
        "Five-bit copy (martens2011), longest delay that at least half of the seeds solve within 900 updates: RNN "
        "none, GRU 30.",
        "Five-bit copy (martens2011), seeds that solve a delay of 5, 30: RNN 1/3, 0/3; GRU 3/3, 2/3.",
        "Five-bit copy (martens2011), median number of updates to the criterion: RNN > 900, > 900; GRU 100, 800.",
    ]


@pytest.mark.slow
@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("module", [adding, copy], ids=["adding_problem", "copy_memory"])
def test_a_small_run_leaves_record_page_figure_and_rows(module, tmp_path, monkeypatch, capsys):
    first = jax.devices()[:1]
    monkeypatch.setattr(jax, "devices", lambda: first)
    flags = ["--preset", "smoke", "--cells", "LSTM-chrono", "--out", str(tmp_path)]
    monkeypatch.setattr(sys, "argv", [module.__name__, *flags])
    lab.run(module.__name__)
    (path,) = tmp_path.glob("*.json")
    record = json.loads(path.read_text())
    text = lab.document(module, record)
    assert capsys.readouterr().out.strip() == text.strip() == path.with_suffix(".md").read_text().strip()
    assert path.with_suffix(".png").stat().st_size > 20_000
    row, *_ = module.baseline_rows(record)
    assert row.cell == "LSTM-chrono" and len(row.solved_at) == len(row.values) == 2 and row.budget == 20
    assert row.command.startswith(f"python -m {module.__name__} --preset smoke") and "LSTM-chrono" in row.command
    first_entry = next(iter(record["results"].values()))
    assert row.parameters > 100 and row.chance == pytest.approx(first_entry["chance_level"])


def test_the_committed_table_is_rendered_from_the_records():
    assert (lab.RESULTS / "README.md").read_text() == baseline.document(baseline.gather(lab.RESULTS))


def test_a_run_ends_with_the_criterion_or_to_the_end():
    config = Protocol()
    assert report_plan(config, 0.01).stop_when_solved
    assert not report_plan(config, 0.01, to_the_end=True).stop_when_solved
