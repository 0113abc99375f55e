"""The experiments from their command lines, small; their pages and figures from committed records."""

import dataclasses
import importlib
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Literal

import pytest

pytest.importorskip("tyro", reason="the experiments need recurrax[experiments]")
pytest.importorskip("matplotlib", reason="the experiments need recurrax[experiments]")

from matplotlib import pyplot as plt

from experiments import APPLICATIONS, BENCHMARKS, EXPERIMENTS, lab, plots, rendering
from experiments import __main__ as every
from recurrax import cells
from recurrax.palette import LOOKS, look
from recurrax.report import config_hash

ROOT = Path(__file__).parents[1]
# These programs run for a moment, so XLA's time to compile is nearly all of their cost.
ENVIRONMENT = os.environ | {"JAX_NUM_CPU_DEVICES": "1", "JAX_DISABLE_MOST_OPTIMIZATIONS": "1"}


def load(name: str):
    return importlib.import_module(f"experiments.{name}")


def run(name: str, *flags: str, cwd: Path = ROOT) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", f"experiments.{name}", *flags]
    environment = ENVIRONMENT | {"PYTHONPATH": str(ROOT)}
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=900)


def here(monkeypatch, name: str, *flags: str) -> None:
    """The same command line in this process."""
    monkeypatch.setattr(sys, "argv", [f"experiments.{name}", *flags])
    lab.run(f"experiments.{name}")


@pytest.mark.slow
@pytest.mark.parametrize("name", EXPERIMENTS)
def test_a_small_run_writes_what_it_prints(name, tmp_path):
    """Into runs/ of the working directory; the paths are on lines of their own, and the training runs are gone."""
    done = run(name, "--preset", "smoke", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    folder = tmp_path / "runs" / name
    (path,) = folder.glob("*.json")
    record = json.loads(path.read_text())
    assert record["complete"] and record["name"] == name
    assert (
        done.stdout.strip() == lab.document(load(name), record).strip() == path.with_suffix(".md").read_text().strip()
    )
    assert path.with_suffix(".png").stat().st_size > 20_000
    assert str(path) in done.stderr.splitlines()
    assert not list((folder / "runs").glob("*"))


@dataclasses.dataclass(frozen=True)
class Small(lab.Settings):
    """Settings of every kind."""

    cells: tuple[Literal["RNN", "LSTM"], ...] = ("RNN",)
    seeds: tuple[int, ...] = (1, 2)
    steps: int = 10
    rate: float = 0.1
    noise: tuple[float, ...] = (0.0, 1.0)


@pytest.mark.parametrize(
    "setting, words",
    [
        ({"cells": ("GRU",)}, "cells=('GRU',); allowed: one or more of RNN, LSTM. Change --cells."),
        ({"cells": ()}, "cells=(); allowed: one or more, all different"),
        ({"seeds": (1, 1)}, "seeds=(1, 1); allowed: one or more, all different"),
        ({"seeds": (-1,)}, "allowed: an int >= 0"),
        ({"steps": 0}, "steps=0; allowed: an int >= 1"),
        ({"rate": 0.0}, "rate=0.0; allowed: a finite number > 0"),
        ({"rate": float("nan")}, "rate=nan; allowed: a finite number > 0"),
        ({"noise": (-1.0,)}, "noise=(-1.0,); allowed: a finite number >= 0"),
    ],
)
def test_settings_refuse_what_cannot_be_run(setting, words):
    with pytest.raises(ValueError, match=re.escape(words)):
        Small(**setting)


def test_settings_take_what_can_be_run():
    Small(cells=("LSTM", "RNN"), seeds=(0,), steps=1, rate=1e-9, noise=(0.0,))


def test_parts_that_were_measured_are_not_measured_again(tmp_path, capsys):
    config, calls = Small(out=tmp_path), []

    def part(name: str, fails: bool = False):
        def run() -> dict:
            calls.append(name)
            if fails:
                raise KeyboardInterrupt
            return {"value": len(calls)}

        return run

    with pytest.raises(KeyboardInterrupt):
        lab.measure("small", config, {"one": part("one"), "two": part("two", fails=True)})
    record = lab.measure("small", config, {"one": part("one"), "two": part("two")})
    assert calls == ["one", "two", "two"]
    assert record["complete"] and record["results"] == {"one": {"value": 1}, "two": {"value": 3}}
    said = capsys.readouterr().err
    assert said.count("resuming: 1 of 2 parts are in ") == 1 and "[2/2] two" in said


def test_a_run_goes_to_runs_and_a_record_among_the_committed_ones():
    gates = load("gates")
    name = "experiments.gates"
    assert lab.settings(gates, name, []).out == Path("runs/gates")
    assert lab.settings(gates, name, ["--record"]).out == lab.RESULTS / "gates"
    assert lab.settings(gates, name, ["--out", "x", "--record"]).out == Path("x")
    smoke = lab.settings(gates, name, ["--preset", "smoke", "--chunk", "3"])
    assert smoke == dataclasses.replace(gates.PRESETS["smoke"], chunk=3, out=Path("runs/gates"))


@pytest.mark.parametrize("width", [4.6, 9.0, 14.4])
def test_a_legend_below_has_room(width):
    """A record of one panel has as many cells to name as one of four."""
    with plt.rc_context(plots.STYLE):
        figure, axes = plots.panels(1, 1, width, 3)
    for cell in ("RNN", "IRNN", "GRU", "LSTM-fb1", "LSTM-chrono", "LRU", "MinGRU", "MinLSTM"):
        axes[0, 0].plot([0, 1], [0, 1], label=cell, **look(cell))
    with plt.rc_context(plots.STYLE):
        plots.legend_below(figure, axes[0, 0])
    figure.canvas.draw()
    box = figure.legends[0].get_window_extent()
    assert box.x0 >= 0 and box.x1 <= figure.bbox.x1 and box.y0 >= 0


def test_no_two_cells_look_the_same():
    same = {"LSTM-fb1": "LSTM", "basic tanh": "RNN"}  # other names of a default
    looks = {name: value for name, value in LOOKS.items() if name not in same}
    assert len(set(looks.values())) == len(looks)
    assert {cell.short for cell in cells.ALL} <= set(LOOKS)
    assert all(LOOKS[name] == LOOKS[other] for name, other in same.items())


def test_all_runs_what_is_missing_and_rebuilds_the_rest(tmp_path, monkeypatch, capsys):
    """Missing, half-done and up to date; a page that was lost comes back from the record alone."""
    ran = []

    def fake(command, **_):
        ran.append(command[2:])
        return subprocess.CompletedProcess(command, int("experiments.noise" in command))

    monkeypatch.setattr(every.subprocess, "run", fake)
    record, *_ = lab.records("gates")
    source = lab.RESULTS / "gates" / f"{record['hash']}.json"
    (tmp_path / "gates").mkdir()
    (tmp_path / "gates" / source.name).write_text(source.read_text())
    default = load("vanishing_gradients").PRESETS["default"]
    half = tmp_path / "vanishing_gradients" / f"{config_hash(default)}.json"
    half.parent.mkdir()
    half.write_text('{"complete": false}')
    only = ("vanishing_gradients", "gates", "noise")
    assert every.main(every.Config(only=only), tmp_path) == 1
    said = capsys.readouterr()
    assert said.out.splitlines() == ["vanishing_gradients: half-done", "gates: up to date", "noise: missing"]
    assert [command[0] for command in ran] == ["experiments.vanishing_gradients", "experiments.noise"]
    assert ran[0][1:] == ["--preset", "default", "--out", str(tmp_path / "vanishing_gradients")]
    assert "error: failed: noise" in said.err
    assert (tmp_path / "gates" / source.name).with_suffix(".md").read_text() == source.with_suffix(".md").read_text()
    ran.clear()
    every.main(every.Config(list=True), tmp_path)
    every.main(every.Config(rebuild=True), tmp_path)
    assert ran == []


def test_the_list_names_every_experiment_with_its_question():
    rows = [every.line(name, "default", lab.RESULTS) for name in every.EVERY]
    assert [row["experiment"] for row in rows] == [*EXPERIMENTS, *APPLICATIONS, *BENCHMARKS]
    assert all(row["question"].endswith("?") for row in rows if row["experiment"] in EXPERIMENTS)


def test_a_result_of_every_experiment_is_in_the_list_of_experiments():
    """A folder of results that no experiment fills is one that was forgotten."""
    names = {name.rpartition(".")[2] for name in every.EVERY} | {"against"}
    assert {path.name for path in lab.RESULTS.iterdir() if path.is_dir()} <= names


BAD_FLAGS = {
    "claims": {
        "--lengths 30 10": "lengths=(30, 10); allowed: one or more, rising",
        "--stability-rates 0": "stability_rates=(0.0,); allowed: a finite number > 0",
        "--lengths 1": "length=1",
        "--examples 0": "examples=0; allowed: an int >= 1",
    },
    "exploding_gradients": {
        "--radii 1 0.5": "radii=(1.0, 0.5); allowed: rising numbers",
        "--clip-norm 0": "clip_norm=0.0; allowed: a finite number > 0",
        "--networks relu": "invalid choice 'relu'",
    },
    "hochreiter1997": {
        "--rows 7": "rows=('7',); allowed: one or more, all different, of",
        "--length 10": "length=10; allowed: an int >= 20",
        "--trials 0": "trials=0; allowed: an int >= 1",
    },
    "benchmarks.ensembles": {
        "--cell X": "invalid choice 'X'",
        "--seeds 6": "seeds=6; allowed: a multiple of the 4 learning_rates",
        "--rounds 0": "rounds=0; allowed: an int >= 1",
    },
    "gates": {
        "--cells LSTM X": "invalid choice 'X'",
        "--copy-delay 0": "copy_delay=0; allowed: an int >= 1",
        "--chunk 0": "chunk=0; allowed: an int >= 1",
    },
    "initialization": {
        "--cells X": "invalid choice 'X'",
        "--learning-rate nan": "learning_rate=(nan,); allowed: a finite number > 0",
        "--lag 0": "lag=0; allowed: an int >= 1",
    },
    "noise": {
        "--noise -1": "noise=(-1.0,); allowed: a finite number >= 0",
        "--cells X": "invalid choice 'X'",
        "--delays 0": "delays=(0,); allowed: an int >= 1",
    },
    "temporal_order": {
        "--lengths 20 10": "lengths=(20, 10); allowed: one or more, rising",
        "--networks X": "invalid choice 'X'",
        "--clip-norm 0": "clip_norm=0.0; allowed: a finite number > 0",
    },
    "length_generalization": {
        "--tasks copy": "invalid choice 'copy'",
        "--tested 0": "tested=0; allowed: an int >= 1",
    },
    "adding_problem": {
        "--cells LTSM": "invalid choice 'LTSM'",
        "--variant hochreiter97": "hochreiter1997",
        "--seeds 0": "allowed: seeds none of which is reported",
        "--loss 0.05": "no looser than the criterion of arjovsky2016",
    },
    "copy_memory": {
        "--tasks martens2011:0": "delay=0",
        "--tasks martens2011": "allowed: VARIANT:DELAY",
        "--tasks copy:5": "variant='copy' is unknown",
    },
    "sequential_digits": {
        "--cells X": "invalid choice 'X'",
        "--penalties 0": "penalties=(0.0,); allowed: a finite number > 0",
    },
    "vanishing_gradients": {
        "--learning-rate nan": "learning_rate=(nan,); allowed: a finite number > 0",
        "--seeds": "seeds",
        "--batch-size 0": "batch_size=0; allowed: an int >= 1",
        "--copy-delays 0": "copy_delays=(0,); allowed: an int >= 1",
        "--adding-lengths 1": "length=1",
        "--preset tiny": "--preset tiny; allowed: default, grid, smoke, accelerator",
        "--out /proc/nowhere": "cannot write to the output folder '/proc/nowhere'",
        "--cells LSTMM": "LSTMM",
        "--hiden 3": "--hidden",
    },
}


@pytest.mark.parametrize(
    "name, flags, words", [(name, *case) for name, cases in BAD_FLAGS.items() for case in cases.items()]
)
def test_bad_flags_end_in_one_message(monkeypatch, capsys, name, flags, words):
    monkeypatch.setattr(lab, "measure", lambda *_: pytest.fail("it ran"))
    with pytest.raises(SystemExit) as stopped:
        here(monkeypatch, name, *flags.split())
    assert stopped.value.code == 2
    said = capsys.readouterr()
    said = " ".join((said.err + said.out).replace("│", " ").split())  # tyro wraps its messages in a box
    assert words in said and "Traceback" not in said


@pytest.mark.slow
def test_bad_flags_end_a_process_with_status_2():
    done = run("gates", "--chunk", "0")
    assert done.returncode == 2 and not done.stdout
    assert re.fullmatch(r"error: chunk=0; allowed: .*\n", done.stderr)


@pytest.mark.parametrize("name", every.EVERY)
def test_help_explains_every_flag(name, monkeypatch, capsys):
    config = next(iter(load(name).PRESETS.values()))
    with pytest.raises(SystemExit) as stopped:
        here(monkeypatch, name, "--help")
    said = capsys.readouterr().out
    assert not stopped.value.code
    for field in vars(config):
        assert f"--{field.replace('_', '-')}" in said, field
    assert "--preset" in said and "--record" in said


def test_a_module_of_experiments_is_a_command():
    """In a process of its own; everything else of the command lines is tested in this one."""
    done = run("gates", "--help")
    assert done.returncode == 0 and done.stdout.startswith("usage: python -m experiments.gates") and not done.stderr


RECORDS = [(name, record) for name in every.EVERY for record in lab.records(name)]


@pytest.mark.parametrize("name, record", RECORDS, ids=[f"{name}-{record['hash']}" for name, record in RECORDS])
def test_committed_pages_and_figures_are_functions_of_their_record(name, record):
    module, place = load(name), lab.place(name)
    assert (place / f"{record['hash']}.md").read_text().strip() == lab.document(module, record).strip()
    for figure in lab.figures(module, record).values():
        assert all(axes.get_xlabel() or axes.get_ylabel() for axes in figure.axes)  # a colour bar has but one
        titled = [axes for axes in figure.axes if axes.get_title(loc="left")]
        assert all(axes.get_xlabel() for axes in titled)
        assert not cut_off(figure)


def cut_off(figure) -> list[str]:
    """The titles that leave the figure, or run into the title to their right."""
    figure.canvas.draw()
    texts = [axes._left_title for axes in figure.axes if axes.get_title(loc="left")]
    texts += [figure._suptitle] if figure._suptitle else []
    boxes = [(text.get_text(), text.get_window_extent()) for text in texts]
    width, height = figure.canvas.get_width_height()
    outside = [t for t, box in boxes if box.x0 < -1 or box.y0 < -1 or box.x1 > width + 1 or box.y1 > height + 1]
    return outside + [t for t, box in boxes for other, beside in boxes if t != other and box.overlaps(beside)]


@pytest.mark.parametrize("name", every.EVERY)
def test_there_is_a_record_of_the_default_settings(name):
    _, found = every.state(name, "default", lab.RESULTS)
    assert found == "up to date"


# Not "initialization", which measures every cell of the library too and says that it takes six.
@pytest.mark.parametrize("name", ["vanishing_gradients", "exploding_gradients", "gates", "noise"])
def test_the_default_settings_take_at_most_five_minutes(name):
    record, _ = every.state(name, "default", lab.RESULTS)
    assert record is not None and record["seconds"] < 300


def test_no_command_of_a_record_names_a_module_that_is_gone():
    for _, record in RECORDS:
        words = record["provenance"]["command"].split()
        assert words[:2] == ["python", "-m"] and importlib.util.find_spec(words[2]), record["provenance"]["command"]


def test_the_main_claims_hold_in_the_committed_record():
    """What README says: the plain RNN bridges short delays only, GRU and LSTM all of them; their gradients tell why."""
    page = importlib.import_module("experiments.vanishing_gradients.page")

    record, *_ = lab.records("vanishing_gradients")
    for task in ("copy", "adding"):
        reach = {cell: page.reached(record, task, cell) for cell in ("RNN", "GRU", "LSTM")}
        longest = max(entry["size"] for entry in page.fits(record, task))
        assert 0 < reach["RNN"] < longest and reach["GRU"] == reach["LSTM"] == longest, (task, reach)
    left = {entry["cell"]: page.remaining(entry) for entry in page.fits(record, "adding") if "after" in entry}
    assert left["RNN"] < page.GONE < -1 < min(left["GRU"], left["LSTM"])


def test_the_learning_rates_of_the_main_experiment_are_those_that_its_grid_chose():
    """On seeds that are not reported, at the same delays and lengths."""
    page = importlib.import_module("experiments.vanishing_gradients.page")
    from experiments.vanishing_gradients.config import PRESETS, RATES

    grid, reported = PRESETS["grid"], PRESETS["default"]
    assert not set(grid.seeds) & set(reported.seeds)
    assert (grid.copy_delays, grid.adding_lengths) == (reported.copy_delays, reported.adding_lengths)
    record, found = every.state("vanishing_gradients", "grid", lab.RESULTS)
    assert found == "up to date"
    chosen = {task: {cell: page.choice(record, task, cell) for cell in reported.cells} for task in RATES}
    assert chosen == RATES


def test_readme_and_pages_are_rendered_from_the_records():
    changed = subprocess.run(["git", "status", "--porcelain", "experiments/results"], cwd=ROOT, capture_output=True)
    if changed.stdout.strip():
        pytest.skip("an experiment was run here: python -m experiments --rebuild brings README up to date")
    for path in (ROOT / "README.md", *rendering.asking()):
        text = path.read_text()
        assert rendering.rendered(text) == text, f"{path.name}: python -m experiments --rebuild"
    for path, page in rendering.pages().items():
        assert path.read_text() == page, f"{path.name}: python -m experiments --rebuild"


def test_readme_is_one_page():
    """Short, code that fits a narrow screen, and tables that fit a terminal."""
    text = (ROOT / "README.md").read_text()
    lines = text.splitlines()
    assert len(lines) <= 200 and len(text.encode()) <= 12_288
    blocks = re.findall(r"```\w+\n(.*?)```", text, re.DOTALL)
    assert max(len(line) for block in blocks for line in block.splitlines()) <= 88
    assert max(len(line) for line in lines if line.startswith("|")) <= 100


@pytest.mark.slow
def test_readme_program_runs(tmp_path):
    """Every Python block of the README, in order, in one process, which prints what the README says."""
    text = (ROOT / "README.md").read_text()
    program = "\n".join(re.findall(r"```python\n(.*?)```", text, re.DOTALL))
    printed = re.findall(r"```text\n(.*?)```", text, re.DOTALL)[0]
    command = [sys.executable, "-c", program]
    environment = os.environ | {"JAX_NUM_CPU_DEVICES": "1"}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(printed.partition(";")[0])  # the last digits are a machine's own
