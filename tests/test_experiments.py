"""The experiments from their command lines, small; their tables and figures from committed records."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("tyro", reason="the experiments need recurrax[experiments]")
pytest.importorskip("matplotlib", reason="the experiments need recurrax[experiments]")

from experiments.speed import experiment as speed
from experiments.vanishing_gradients import figure, tables
from experiments.vanishing_gradients.config import Config
from recurrax.report import config_hash

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "experiments" / "results"


def run(experiment: str, *flags: str) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", f"experiments.{experiment}", *flags]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600)


def test_vanishing_gradients_small(tmp_path):
    done = run("vanishing_gradients", "--preset", "smoke", "--cells", "LSTM", "--out", str(tmp_path))
    assert done.returncode == 0, done.stderr
    (record,) = (json.loads(path.read_text()) for path in tmp_path.glob("*.json"))
    results = record["results"]
    for name, control in results["controls"].items():
        assert control["slope"] == pytest.approx(control["closed_form"], rel=0.05, abs=1e-3), name
    assert set(results["training"]) == {"adding T=10", "copy delay=2"}
    assert set(results["training"]["adding T=10"]) == set(results["trained"]) == set(results["gates"]) == {"LSTM"}
    assert len(results["training"]["adding T=10"]["LSTM"]["solved_at"]) == 2
    assert done.stdout.strip() == tables.document(record).strip() == next(tmp_path.glob("*.md")).read_text().strip()
    assert next(tmp_path.glob("*.png")).stat().st_size > 20_000


def test_speed_small(tmp_path):
    done = run("speed", "--preset", "smoke", "--out", str(tmp_path))
    assert done.returncode == 0, done.stderr
    (record,) = (json.loads(path.read_text()) for path in tmp_path.glob("*.json"))
    assert [len(row["times"]["Adjoint"]["milliseconds"]) for row in record["results"]["rows"]] == [2, 2, 2]
    assert done.stdout.strip() == speed.table(record).strip()


@pytest.mark.parametrize(
    "flags, words",
    [
        (["--learning-rate", "nan"], "learning_rate=nan; allowed: a finite number > 0"),
        (["--seeds"], "seeds"),
        (["--batch-size", "0"], "batch_size=0; allowed: an int >= 1"),
        (["--copy-delay", "0"], "delay=0"),
        (["--adding-variant", "hochreiter97"], "hochreiter1997"),
        (["--adding-lengths", "1"], "length=1"),
        (["--preset", "tiny"], "unknown preset 'tiny'; allowed: default, smoke, accelerator"),
        (["--out", "/proc/nowhere"], "cannot write to the output folder '/proc/nowhere'"),
        (["--cells", "LSTMM"], "cells=('LSTMM',); allowed: one or more of RNN, GRU, LSTM"),
        (["--hiden", "3"], "--hidden"),
    ],
)
def test_bad_flags_end_in_one_message(flags, words):
    done = run("vanishing_gradients", *flags)
    assert done.returncode == 2
    said = " ".join((done.stderr + done.stdout).replace("│", " ").split())  # tyro wraps its messages in a box
    assert words in said
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("experiment", ["vanishing_gradients", "speed"])
def test_help_explains_every_flag(experiment):
    import importlib

    config = importlib.import_module(f"experiments.{experiment}.config").Config()
    done = run(experiment, "--help")
    assert done.returncode == 0
    for field in vars(config):
        assert f"--{field.replace('_', '-')}" in done.stdout, field
    assert "--preset" in done.stdout


def committed(experiment: str) -> list[Path]:
    return sorted((RESULTS / experiment).glob("*.json"))


@pytest.mark.parametrize("path", committed("vanishing_gradients"), ids=lambda path: path.stem)
def test_committed_tables_are_rendered_from_their_record(path):
    record = json.loads(path.read_text())
    assert path.with_suffix(".md").read_text().strip() == tables.document(record).strip()
    drawn = figure.draw(record)
    assert len(drawn.axes) == 6 and all(axes.get_xlabel() and axes.get_ylabel() for axes in drawn.axes)


@pytest.mark.parametrize("path", committed("speed"), ids=lambda path: path.stem)
def test_committed_speed_tables_are_rendered_from_their_record(path):
    assert path.with_suffix(".md").read_text().strip() == speed.table(json.loads(path.read_text())).strip()


def test_the_main_claims_hold_in_the_committed_record():
    """What README says: gradients vanish in the plain RNN and adding at T = 100 separates the cells."""
    record = json.loads((RESULTS / "vanishing_gradients" / f"{config_hash(Config())}.json").read_text())
    runs = record["results"]["training"]["adding T=100"]
    solved = {cell: np.sum(np.array(entry["solved_at"]) >= 0) for cell, entry in runs.items()}
    assert solved == {"RNN": 0, "GRU": 5, "LSTM": 5}
    for name, control in record["results"]["controls"].items():
        assert control["slope"] == pytest.approx(control["closed_form"], rel=0.05, abs=1e-3), name


def test_readme_numbers_are_rendered_from_the_records():
    from experiments import render

    text = (ROOT / "README.md").read_text()
    assert render.rendered(text) == text


def test_readme_program_runs():
    """Every Python block of the README, in order, in one process."""
    import re

    text = (ROOT / "README.md").read_text()
    program = "\n".join(re.findall(r"```python\n(.*?)```", text, re.DOTALL))
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert "nats per step of lag: -" in done.stdout
