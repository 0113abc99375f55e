"""The experiments from their command lines, small; their tables and figures from committed records."""

import dataclasses
import importlib
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest

pytest.importorskip("tyro", reason="the experiments need recurrax[experiments]")
pytest.importorskip("matplotlib", reason="the experiments need recurrax[experiments]")

from experiments import command, readme
from experiments.__main__ import EXPERIMENTS
from experiments.ensembles import experiment as ensembles
from experiments.speed import tables as speed_tables
from experiments.speed.config import Config as SpeedConfig
from experiments.train import tables as train_tables
from experiments.vanishing_gradients import figure, tables
from experiments.vanishing_gradients.config import Config
from recurrax.report import config_hash
from recurrax.report import load as load_record

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "experiments" / "results"
# These programs run for a moment, so XLA's time to compile is nearly all of their cost.
ENVIRONMENT = os.environ | {"JAX_NUM_CPU_DEVICES": "1", "JAX_DISABLE_MOST_OPTIMIZATIONS": "1"}


def run(experiment: str, *flags: str) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", f"experiments.{experiment}", *flags]
    return subprocess.run(command, cwd=ROOT, env=ENVIRONMENT, capture_output=True, text=True, timeout=600)


def here(monkeypatch, experiment: str, *flags: str) -> None:
    """The same command line in this process."""
    monkeypatch.setattr(sys, "argv", [f"experiments.{experiment}", *flags])
    presets = importlib.import_module(f"experiments.{experiment}.config").PRESETS
    command.run(f"experiments.{experiment}.experiment", presets, "what it is", several_hosts=experiment == "train")


@pytest.mark.slow
@pytest.mark.usefixtures("quick")
def test_train_small_and_a_larger_budget(tmp_path, monkeypatch, capsys):
    """The grid on the command line; a larger budget goes on where the smaller one ended."""
    flags = ["--preset", "smoke", "--cells", "LSTM", "--sweep.forget-bias", "0", "1", "--out", str(tmp_path)]
    first = run("train", *flags, "--tensorboard")
    assert first.returncode == 0, first.stderr
    (path,) = tmp_path.glob("*.json")
    record = json.loads(path.read_text())
    assert record["complete"] and record["provenance"]["command"].startswith(
        "python -m experiments.train --preset smoke"
    )
    entry = record["results"]["runs"]["LSTM H=4"]
    assert entry["seeds"] == 4 * [0, 1]
    assert entry["settings"]["learning_rate"] == 4 * [0.01] + 4 * [0.02]
    assert entry["settings"]["forget_bias"] == 2 * [0, 0, 1, 1]
    assert first.stdout.strip() == train_tables.document(record).strip() == path.with_suffix(".md").read_text().strip()
    assert first.stdout.count("| LSTM H=4 |") == 4
    assert path.with_suffix(".png").stat().st_size > 10_000
    (folder,) = (tmp_path / "runs").iterdir()
    assert (folder / "metrics.jsonl").read_text().count("\n") == 8 * 3
    here(monkeypatch, "train", *flags, "--steps", "30", "--devices", "1")
    (other,) = (json.loads(p.read_text()) for p in tmp_path.glob("*.json") if p != path)
    assert other["results"]["runs"]["LSTM H=4"]["resumed_at"] == 20
    with pytest.raises(SystemExit) as stopped:
        here(monkeypatch, "train", *flags, "--devices", "1")
    assert stopped.value.code == 1
    assert "holds a run of 30 updates already, and steps=20" in capsys.readouterr().err


def test_a_refused_checkpoint_ends_in_one_line(tmp_path, monkeypatch, capsys):
    from experiments.train.config import SMOKE
    from experiments.train.experiment import folder_of

    folder = folder_of(dataclasses.replace(SMOKE, out=tmp_path), "GRU", 4)
    folder.mkdir(parents=True)
    (folder / "settings.json").write_text('{"settings": {"plan": {"batch_size": 3}}}')
    with pytest.raises(SystemExit) as stopped:
        here(monkeypatch, "train", "--preset", "smoke", "--devices", "1", "--out", str(tmp_path))
    assert stopped.value.code == 1
    assert re.search(r"^error: .*plan.batch_size is 3 there and 4 here.*\n$", capsys.readouterr().err, re.MULTILINE)


@pytest.mark.slow
def test_ensembles_small(tmp_path):
    done = run("ensembles", "--preset", "smoke", "--out", str(tmp_path))
    assert done.returncode == 0, done.stderr
    (record,) = (json.loads(path.read_text()) for path in tmp_path.glob("*.json"))
    assert set(record["results"]) == {"2 seeds", "1 learning rates x 2 seeds", "trainer"}
    assert done.stdout.strip() == ensembles.table(record).strip()


@pytest.mark.parametrize("width", [4.6, 9.0, 14.4])
def test_a_legend_below_has_room(width):
    """A record of one panel has as many cells to name as one of four."""
    from matplotlib import pyplot as plt

    from experiments.style import STYLE, legend_below

    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(figsize=(width, 3), layout="constrained")
        for cell in ("RNN", "IRNN", "GRU", "LSTM-fb1", "LSTM-chrono", "LRU", "MinGRU", "MinLSTM"):
            axes.plot([0, 1], [0, 1], label=cell)
        legend_below(figure, axes)
        figure.canvas.draw()
        box = figure.legends[0].get_window_extent()
    assert box.x0 >= 0 and box.x1 <= figure.bbox.x1 and box.y0 >= 0


def test_all_runs_what_is_missing_and_rebuilds_the_rest(tmp_path, monkeypatch, capsys):
    """Missing, half-done and up to date; a table that was lost comes back from the record alone."""
    every = importlib.import_module("experiments.__main__")
    ran = []

    def fake(command, **_):
        ran.append(command[2:])
        return subprocess.CompletedProcess(command, int("experiments.train" in command))

    monkeypatch.setattr(every.subprocess, "run", fake)
    source = RESULTS / "speed" / f"{config_hash(SpeedConfig())}.json"
    (tmp_path / "speed").mkdir()
    (tmp_path / "speed" / source.name).write_text(source.read_text())
    half = tmp_path / "vanishing_gradients" / f"{config_hash(Config())}.json"
    half.parent.mkdir()
    half.write_text('{"complete": false}')
    assert every.main(every.Config(), tmp_path) == 1
    said = capsys.readouterr()
    states = dict(line.split(": ") for line in said.out.splitlines())
    assert states == dict.fromkeys(EXPERIMENTS, "missing") | {
        "speed": "up to date", "vanishing_gradients": "half-done",
    }  # fmt: skip
    assert [command[0] for command in ran] == [f"experiments.{n}" for n in EXPERIMENTS if n != "speed"]
    assert ran[0][1:] == ["--preset", "default", "--out", str(tmp_path / EXPERIMENTS[0])]
    assert "error: failed: train" in said.err
    assert (tmp_path / "speed" / source.name).with_suffix(".md").read_text() == source.with_suffix(".md").read_text()
    ran.clear()
    every.main(every.Config(list=True), tmp_path)
    every.main(every.Config(rebuild=True), tmp_path)
    assert ran == []


@pytest.mark.slow
@pytest.mark.usefixtures("quick")
def test_the_main_experiment_small_interrupted_and_gone_on_with(tmp_path, monkeypatch, capsys):
    """It writes and prints what its record says; what an interrupted one has measured is not measured again."""
    from experiments.vanishing_gradients import experiment
    from experiments.vanishing_gradients.config import SMOKE

    for kind, name in (("controls", "LSTM, U = 0, forget bias 1"), ("subjects", "LSTM, forget bias 1")):
        chosen = {name: getattr(experiment.initial, kind)(SMOKE)[name]}  # of twelve that compile one by one
        monkeypatch.setattr(experiment.initial, kind, lambda _, chosen=chosen: chosen)
    first = jax.devices()[:1]
    monkeypatch.setattr(jax, "devices", lambda: first)
    config = dataclasses.replace(SMOKE, cells=("LSTM",), out=tmp_path)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(experiment.learning, "trained_profile", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        experiment.main(config, experiment.prepare(config))
    before = load_record(tmp_path, config)
    assert not before["complete"] and before["results"]["initial"] and not before["results"]["trained"]
    monkeypatch.setattr(experiment.initial, "measure", lambda *_: pytest.fail("measured again"))
    capsys.readouterr()
    experiment.main(config, experiment.prepare(config))
    record = load_record(tmp_path, config)
    results = record["results"]
    assert record["complete"] and record["seconds"] > before["seconds"]
    assert results["initial"] == before["results"]["initial"]
    for name, control in results["controls"].items():
        assert control["slope"] == pytest.approx(control["closed_form"], rel=0.05, abs=1e-3), name
    assert set(results["training"]) == {"adding T=10", "copy delay=2"}
    assert set(results["training"]["adding T=10"]) == set(results["trained"]) == set(results["gates"]) == {"LSTM"}
    assert len(results["training"]["adding T=10"]["LSTM"]["solved_at"]) == 2
    written = next(tmp_path.glob("*.md")).read_text().strip()
    assert capsys.readouterr().out.strip() == tables.document(record).strip() == written
    assert next(tmp_path.glob("*.png")).stat().st_size > 20_000
    assert not list((tmp_path / "runs").iterdir())  # the runs are in the record; their checkpoints are gone


@pytest.mark.slow
def test_speed_small(tmp_path):
    parts = ("peers", "scaling", "memory", "parallel")  # import and first call: in test_speed.py
    done = run("speed", "--preset", "smoke", "--cells", "GRU", "--parts", *parts, "--out", str(tmp_path))
    assert done.returncode == 0, done.stderr
    (record,) = (json.loads(path.read_text()) for path in tmp_path.glob("*.json"))
    assert record["complete"] and {"training GRU 2,5,2,4 float32", "parallel newton", "memory"} <= set(
        record["results"]
    )
    assert done.stdout.strip() == speed_tables.document(record).strip()


def refused(monkeypatch, capsys, experiment: str, *flags: str) -> str:
    """What the command line says to bad flags, in this process: it must end with status 2 before anything runs."""
    module = importlib.import_module(f"experiments.{experiment}.experiment")
    monkeypatch.setattr(module, "main", lambda *_: pytest.fail("it ran"))
    with pytest.raises(SystemExit) as stopped:
        here(monkeypatch, experiment, *flags)
    assert stopped.value.code == 2
    said = capsys.readouterr()
    return " ".join((said.err + said.out).replace("│", " ").split())  # tyro wraps its messages in a box


BAD_FLAGS = {
    "vanishing_gradients": {
        "--learning-rate nan": "learning_rate=nan; allowed: a finite number > 0",
        "--seeds": "seeds",
        "--batch-size 0": "batch_size=0; allowed: an int >= 1",
        "--copy-delay 0": "delay=0",
        "--adding-variant hochreiter97": "hochreiter1997",
        "--adding-lengths 1": "length=1",
        "--preset tiny": "unknown preset 'tiny'; allowed: default, smoke, accelerator",
        "--out /proc/nowhere": "cannot write to the output folder '/proc/nowhere'",
        "--cells LSTMM": "cells=('LSTMM',); allowed: one or more of RNN, GRU, LSTM",
        "--hiden 3": "--hidden",
    },
    "train": {
        "--sweep.learning-rate 0": "learning_rate=0.0; allowed: a finite number > 0",
        "--sweep.forget-bias 1": "allowed: the LSTM alone",
        "--steps 0": "steps=0; allowed: an int >= 1",
        "--seeds 1 1": "seeds=(1, 1); allowed: one or more, all different",
        "--task counting": "invalid choice 'counting'",
        "--variant x": "variant='x' is unknown; allowed are",
        "--hidden 0": "hidden=(0,); allowed: one or more ints >= 1",
        "--precision float16": "invalid choice 'float16'",
        "--devices 0": "devices=0; allowed: an int >= 1",
        "--keep 0": "keep=0; allowed: an int >= 1",
        "--hosts here": "--hosts 'here'; allowed: --hosts auto | HOST:PORT,PROCESSES,PROCESS",
    },
    "claims": {
        "--lengths 30 10": "lengths=(30, 10); allowed: one or more, rising",
        "--stability-rates 0": "learning_rate=0.0; allowed: a finite number > 0",
        "--lengths 1": "length=1",
        "--examples 0": "examples=0; allowed: an int >= 1",
    },
    "gates": {
        "--cells LSTM X": "cells=('LSTM', 'X'); allowed: one or more of LSTM, NoForgetGate",
        "--copy-delay 0": "delay=0",
        "--chunk 0": "chunk=0; allowed: an int >= 1",
    },
    "initialization": {
        "--cells X": "cells=('X',); allowed: one or more of RNN, IRNN, GRU, LSTM",
        "--learning-rate nan": "learning_rate=nan; allowed: a finite number > 0",
        "--lag 0": "lag=0; allowed: an int >= 1",
    },
    "exploding_gradients": {
        "--radii 1 0.5": "radii=(1.0, 0.5); allowed: one or more numbers > 0, rising",
        "--clip-norm 0": "clip_norm=0.0; allowed: a finite number > 0",
        "--networks relu": "networks=('relu',); allowed",
    },
    "noise": {
        "--noise -1": "noise=(-1.0,); allowed: one or more",
        "--cells X": "cells=('X',); allowed: one or more",
        "--delays 0": "delay",
    },
    "temporal_order": {
        "--lengths 20 10": "lengths=(20, 10); allowed: one or more, rising",
        "--networks X": "networks=('X',); allowed: one or more of sigmoid",
        "--clip-norm 0": "clip_norm=0.0; allowed: a finite number > 0",
    },
    "length_generalization": {
        "--tasks copy": "tasks=('copy',); allowed: one or more of temporal_order",
        "--tested 0": "tested=0; allowed: an int >= 1",
    },
    "adding_problem": {
        "--cells LTSM": "cells=('LTSM',); allowed: one or more of RNN",
        "--variant hochreiter97": "hochreiter1997",
        "--seeds 0": "none of which is reported",
    },
    "copy_memory": {
        "--delays 0": "delay=0",
        "--share 1": "share=1.0; allowed: above 0 and below 1",
    },
    "hochreiter1997": {
        "--rows 7": "rows=('7',); allowed: one or more, all different, of",
        "--length 10": "length=10; allowed: an int >= 20",
        "--trials 0": "trials=0; allowed: an int >= 1",
    },
    "ensembles": {
        "--cell X": "cell='X'; allowed: RNN, GRU, LSTM",
        "--seeds 6": "seeds=6 with 4 learning_rates; allowed: a multiple",
        "--rounds 0": "rounds=0; allowed: an int >= 1",
    },
}


@pytest.mark.parametrize(
    "experiment, flags, words", [(name, *case) for name, cases in BAD_FLAGS.items() for case in cases.items()]
)
def test_bad_flags_end_in_one_message(monkeypatch, capsys, experiment, flags, words):
    said = refused(monkeypatch, capsys, experiment, *flags.split())
    assert words in said
    assert "Traceback" not in said


@pytest.mark.slow
def test_bad_flags_end_a_process_with_status_2():
    done = run("train", "--sweep.learning-rate", "nan")
    assert done.returncode == 2 and not done.stdout
    assert re.fullmatch(r"error: learning_rate=nan; allowed: .*\n", done.stderr)


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_help_explains_every_flag(experiment, monkeypatch, capsys):
    config = importlib.import_module(f"experiments.{experiment}.config").Config()
    with pytest.raises(SystemExit) as stopped:
        here(monkeypatch, experiment, "--help")
    said = capsys.readouterr().out
    assert not stopped.value.code
    for field in vars(config):
        assert f"--{field.replace('_', '-')}" in said, field
    assert "--preset" in said and ("--hosts" in said) == (experiment == "train")


def test_a_module_of_experiments_is_a_command():
    """In a process of its own; everything else of the command lines is tested in this one."""
    done = run("train", "--help")
    assert done.returncode == 0 and done.stdout.startswith("usage: python -m experiments.train") and not done.stderr


def committed(experiment: str) -> list[Path]:
    return sorted((RESULTS / experiment).glob("*.json"))


@pytest.mark.parametrize("path", committed("vanishing_gradients"), ids=lambda path: path.stem)
def test_committed_tables_are_rendered_from_their_record(path):
    record = json.loads(path.read_text())
    assert path.with_suffix(".md").read_text().strip() == tables.document(record).strip()
    drawn = figure.draw(record)
    assert len(drawn.axes) == 6 and all(axes.get_xlabel() and axes.get_ylabel() for axes in drawn.axes)


WITH_FIGURES = ("claims", "exploding_gradients", "gates", "initialization", "noise")


@pytest.mark.parametrize(
    "path",
    [path for name in (*WITH_FIGURES, *readme.BENCHMARK) for path in committed(name)],
    ids=lambda path: f"{path.parent.name}-{path.stem}",
)
def test_committed_tables_and_figures_are_functions_of_their_record(path):
    record, package = json.loads(path.read_text()), f"experiments.{path.parent.name}"
    text = importlib.import_module(f"{package}.tables").document(record)
    assert path.with_suffix(".md").read_text().strip() == text.strip()
    drawn = importlib.import_module(f"{package}.figure").draw(record)
    assert all(axes.get_xlabel() or axes.get_ylabel() for axes in drawn.axes)  # a colour bar has but one
    assert all(axes.get_xlabel() for axes in drawn.axes if axes.get_title(loc="left"))


@pytest.mark.parametrize("name", WITH_FIGURES)
def test_there_is_a_record_of_the_default_settings_within_five_minutes(name):
    config = importlib.import_module(f"experiments.{name}.config").Config()
    record = load_record(RESULTS / name, config)
    assert record is not None and record["complete"] and record["seconds"] < 300


@pytest.mark.parametrize("name", readme.BENCHMARK)
def test_there_is_a_record_of_the_default_settings(name):
    record = load_record(RESULTS / name, importlib.import_module(f"experiments.{name}.config").Config())
    assert record is not None and record["complete"]


@pytest.mark.parametrize("path", committed("speed"), ids=lambda path: path.stem)
def test_committed_speed_tables_are_rendered_from_their_record(path):
    assert path.with_suffix(".md").read_text().strip() == speed_tables.document(json.loads(path.read_text())).strip()


def test_the_main_claims_hold_in_the_committed_record():
    """What README says: gradients vanish in the plain RNN and adding at T = 100 separates the cells."""
    record = json.loads((RESULTS / "vanishing_gradients" / f"{config_hash(Config())}.json").read_text())
    runs = record["results"]["training"]["adding T=100"]
    solved = {cell: np.sum(np.array(entry["solved_at"]) >= 0) for cell, entry in runs.items()}
    assert solved == {"RNN": 0, "GRU": 5, "LSTM": 5}
    for name, control in record["results"]["controls"].items():
        assert control["slope"] == pytest.approx(control["closed_form"], rel=0.05, abs=1e-3), name


def test_readme_numbers_are_rendered_from_the_records():
    changed = subprocess.run(["git", "status", "--porcelain", "experiments/results"], cwd=ROOT, capture_output=True)
    if changed.stdout.strip():
        pytest.skip("an experiment was run here: python -m experiments --rebuild brings README up to date")
    text = (ROOT / "README.md").read_text()
    assert readme.rendered(text) == text


@pytest.mark.slow
def test_readme_program_runs(tmp_path):
    """Every Python block of the README, in order, in one process."""
    import re

    text = (ROOT / "README.md").read_text()
    program = "\n".join(re.findall(r"```python\n(.*?)```", text, re.DOTALL))
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, cwd=tmp_path, env=ENVIRONMENT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert "nats per step of lag: -" in done.stdout
