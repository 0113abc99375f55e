"""The command `recurrax`: lists, bad flags, training of any cell on any task, gradients, and what kills it."""

import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import jax
import numpy as np
import pytest

pytest.importorskip("tyro", reason="the command needs recurrax[cli]")
pytest.importorskip("matplotlib", reason="the command needs recurrax[cli]")

import recurrax as rx
from recurrax import cli
from recurrax.cli import gradients, models, train, tune
from recurrax.initializers import Initializer
from recurrax.tasks import TASKS

ROOT = Path(__file__).parents[1]
ENVIRONMENT = os.environ | {
    "JAX_NUM_CPU_DEVICES": "1", "JAX_DISABLE_MOST_OPTIMIZATIONS": "1", "PYTHONPATH": str(ROOT),
}  # fmt: skip
TINY = "--preset smoke --learning-rate 0.01 --chunk 5 --steps 10 --devices 1".split()


def start(*words, cwd):
    """The command in a process of its own, which keeps its compiled programs as users' do, but beside ``cwd``."""
    mine = {name: value for name, value in ENVIRONMENT.items() if not name.startswith(("JAX_COMPILATION", "JAX_PERS"))}
    return subprocess.Popen(
        [sys.executable, "-m", "recurrax", *map(str, words)], cwd=cwd, env=mine | {"XDG_CACHE_HOME": str(cwd.parent)},
        text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


def only(folder):
    (path,) = folder.glob("*.json")
    return json.loads(path.read_text())


@pytest.mark.parametrize("words", [[], ["tasks"], ["cells"], ["engines"]])
def test_list_names_everything_within_100_columns(words, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "130")
    cli.main(["list", *words])
    said = capsys.readouterr().out
    for kind, names in {"tasks": TASKS, "cells": models.CELLS, "engines": rx.ENGINES}.items():
        for name in names:
            assert (f" {name} " in said) == (not words or kind in words), name
    assert max(map(len, said.splitlines())) <= 100
    if "tasks" in words:
        assert "martens2011" in said and "held-out MSE < 0.01" in said and "--distractors" in said


@pytest.mark.parametrize(
    "name, config", [("train", train.Config), ("gradients", gradients.Config), ("tune", tune.Tune)]
)
def test_help_explains_every_flag(name, config, capsys):
    with pytest.raises(SystemExit) as stopped:
        cli.main([name, "--help"])
    said = capsys.readouterr().out
    assert not stopped.value.code and said.startswith(f"usage: recurrax {name}")
    said = " ".join(said.replace("│", " ").split())
    for field in config.__dataclass_fields__:
        assert re.search(rf"--{field.replace('_', '-')}\b", said), field
    assert said.count("(default: ") >= len(config.__dataclass_fields__)


@pytest.mark.parametrize(
    "words", [["--help"], ["list", "--help"], ["datasets", "get", "--help"], ["export", "--help"], ["--version"]]
)
def test_help_and_version(words, capsys):
    try:
        cli.main(words)
    except SystemExit as stopped:
        assert not stopped.code
    said = capsys.readouterr()
    assert ("usage: recurrax" in said.out or rx.__version__ in said.out) and not said.err


BAD_WORDS = {
    "": "no command was given; allowed: list, train, gradients, tune, datasets",
    "trian": "'trian' is not a command; allowed: list, train",
    "list task": "list task; allowed: one of tasks, cells, engines",
    "datasets get minst": "invalid choice: 'minst'",
    "datasets": "required: command. See recurrax datasets --help.",
    "train --learning-rate 0": "learning_rate=(0.0,); allowed: a finite number > 0. Change --learning-rate.",
    "train --learning-rate nan": "learning_rate=(nan,); allowed: a finite number > 0",
    "train --clip-norm -1": "clip_norm=(-1.0,); allowed: a finite number > 0. Change --clip-norm.",
    "train --forget-bias nan --cells LSTM": "forget_bias=(nan,); allowed: a finite number. Change --forget-bias.",
    "train --forget-bias 1": "forget_bias=(1.0,) with RNN, GRU; allowed: with LSTM, ",
    "train --steps 0": "steps=0; allowed: an int >= 1. Change --steps.",
    "train --steps many": "--steps: 'many'; allowed: an int.",
    "train --steps 1.5": "--steps: '1.5'; allowed: an int.",
    "train --learning-rate abc": "--learning-rate: 'abc'; allowed: values of the kind that --help names",
    "train --modulus abc": "--modulus: the value has another kind; allowed: the kinds that --help names",
    "train --devices 9999": "devices=9999; allowed: 1 to ",
    "train --stepps 3": "Unrecognized options: --stepps, 3. Did you mean --steps? See recurrax train --help.",
    "train --seeds 1 1": "seeds=(1, 1); allowed: one or more, all different. Change --seeds.",
    "train --seeds -1": "seeds=(-1,); allowed: an int >= 0",
    "train --seeds": "seeds=(); allowed: one or more, all different",
    "train --task counting": "invalid choice 'counting' for argument '--task'",
    "train --cells LSTMM": "invalid choice 'LSTMM' for argument '--cells'",
    "train --cells GRU GRU": "cells=('GRU', 'GRU'); allowed: one or more, all different",
    "train --variant x": "--task adding --length 100 --variant x: variant='x' is unknown; allowed are",
    "train --task copy --length 0": "length=0; allowed: an int >= 1. Change --length.",
    "train --task parity --length 0": "length=0; allowed: an int >= 1",
    "train --task time_lag --length 2": "--task time_lag --length 2: lag=2 is too short; allowed is an int >= 3",
    "train --task temporal_order --symbols 2.5": "--symbols 2.5: symbols=2.5 is a float; allowed is an int",
    "train --task copy --noise 0.5": "noise=0.5 with task='copy'; allowed: with recall. Leave --noise out.",
    "train --task recall --noise nan": "noise=nan; allowed: a finite number >= 0",
    "train --hidden 0": "hidden=(0,); allowed: an int >= 1. Change --hidden.",
    "train --backend associative": "--cells RNN --hidden 32 --backend associative: Associative got RNNCell",
    "train --precision float16": "invalid choice 'float16' for argument '--precision'",
    "train --devices 0": "devices=0; allowed: an int >= 1. Change --devices.",
    "train --keep 0": "keep=0; allowed: an int >= 1",
    "train --checkpoint-every 0": "checkpoint_every=0; allowed: an int >= 1",
    "train --hosts here": "--hosts 'here'; allowed: --hosts auto | HOST:PORT,PROCESSES,PROCESS",
    "train --preset tiny": "--preset tiny; allowed: default, smoke, accelerator.",
    "train --out /proc/nowhere": "cannot write to the output folder '/proc/nowhere'",
    "gradients --length 1": "length=1; allowed: an int >= 2",
    "gradients --update-bias 1": "update_bias=(1.0,) with RNN, LSTM; allowed: with GRU, LayerNormGRU, MinGRU alone",
    "gradients --out /proc/nowhere": "cannot write to the output folder '/proc/nowhere'",
    "export": "the following arguments are required: RUN. See recurrax export --help.",
    "export nowhere": "nowhere holds no best model; allowed: the folder of one cell and size below that of recurrax tr",
    "export nowhere --format tflite": "invalid choice: 'tflite'",
    "tune --shape 0 1 1 1": "shape=(0, 1, 1, 1); allowed: an int >= 1. Change --shape.",
    "tune --rounds 0": "rounds=0; allowed: an int >= 1",
    "tune --seconds 0": "seconds=0.0; allowed: a finite number > 0",
    "tune --dtype float16": "invalid choice 'float16'",
}


@pytest.mark.parametrize("words", BAD_WORDS, ids=lambda words: words or "nothing")
def test_bad_words_end_in_one_line_before_anything_runs(words, monkeypatch, capsys, tmp_path):
    monkeypatch.chdir(tmp_path)
    for module in (train, gradients, tune):
        monkeypatch.setattr(module, "main", lambda *_: pytest.fail("it ran"))
    with pytest.raises(SystemExit) as stopped:
        cli.main(words.split())
    said = capsys.readouterr()
    assert stopped.value.code == 2 and not said.out
    assert said.err.startswith("error: ") and said.err.count("\n") == 1 and BAD_WORDS[words] in said.err


def test_without_the_extra_it_says_how_to_install_it(monkeypatch, capsys):
    monkeypatch.setattr(cli, "NEEDED", ("tyro", "nowhere"))
    with pytest.raises(SystemExit) as stopped:
        cli.main(["list"])
    assert stopped.value.code == 2
    assert capsys.readouterr().err == (
        'error: the command recurrax needs nowhere; install them: pip install "recurrax[cli]"\n'
    )


def test_a_new_cell_and_its_floats_become_flags():
    class LeakyCell(rx.RNNCell):
        def __init__(
            self, in_features, hidden_features, *, leak: float | Initializer = 0.5, step_size: float = 0.1,
            step_range: tuple[float, float] = (0.1, 1.0), rngs,
        ):  # fmt: skip
            super().__init__(in_features, hidden_features, rngs=rngs)

    assert models._floats(LeakyCell) == {"leak": 0.5}  # the others are constants of a program
    constants = {"step_size", "step_range", "damping", "frequency", "lower_bound", "highway_bias"}
    assert not constants & {name for floats in models.CELL_FLOATS.values() for name in floats}
    assert models.CELL_FLOATS["GRU"] == {"update_bias": 0.0} and not models.CELL_FLOATS["LRU"]
    assert models.TASK_OPTIONS["recall"] == {"noise": 0.1, "distractors": 0.0} and not models.TASK_OPTIONS["copy"]


SIX_TASKS = {
    "adding": ["--length", 4], "copy": ["--length", 2, "--variant", "martens2011"],
    "recall": ["--length", 3, "--distractors", 0.5], "temporal_order": ["--length", 10, "--symbols", 3],
    "parity": ["--length", 3], "associative_recall": ["--length", 8, "--pairs", 2, "--vocabulary", 8],
}  # fmt: skip
SIX_CELLS = {
    "RNN": [], "LSTM": ["--forget-bias", 0, 1], "GRU": ["--update-bias", 1], "MinLSTM": ["--backend", "associative"],
    "LRU": [], "Hochreiter1997": ["--input-gate-bias", -1, 0],
}  # fmt: skip
FAST = (("copy", "LSTM"), ("recall", "MinLSTM"))


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize(
    "task, cell",
    [
        pytest.param(task, cell, marks=[] if (task, cell) in FAST else pytest.mark.slow)
        for task in SIX_TASKS
        for cell in SIX_CELLS
    ],
)
def test_any_cell_trains_on_any_task(task, cell, tmp_path, capsys):
    flags = ["--task", task, *SIX_TASKS[task], "--cells", cell, *SIX_CELLS[cell], "--out", tmp_path]
    cli.main(["train", *TINY, *map(str, flags)])
    record, said = only(tmp_path), capsys.readouterr()
    (entry,) = record["results"]["runs"].values()
    swept = [flag for flag in SIX_CELLS[cell] if isinstance(flag, int)] or [0]
    assert record["complete"] and len(entry["seeds"]) == 2 * len(swept)
    assert np.isfinite(np.asarray(entry["test_loss"], float)).all()
    page = " ".join((tmp_path / f"{record['hash']}.md").read_text().split())
    assert f"Solved means: {record['results']['criterion']}." in page
    assert (tmp_path / f"{record['hash']}.png").stat().st_size > 10_000
    table, figure = said.out.partition("\n\n/")[0].splitlines(), said.out.split()[-1]
    assert max(map(len, table)) <= 100
    assert cell in said.out and str(tmp_path / f"{record['hash']}.md") in said.out
    assert figure == str(tmp_path / f"{record['hash']}.png") and "updates in" in said.err


@pytest.mark.usefixtures("quick")
def test_a_larger_budget_resumes_and_a_smaller_one_is_refused(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    flags = ["train", *TINY, "--seeds", "0"]
    cli.main(flags)
    assert only(tmp_path / "runs" / "train")["provenance"]["command"].startswith("python")
    cli.main([*flags, "--steps", "15", "--cells", "GRU", "RNN"])
    records = [json.loads(path.read_text()) for path in (tmp_path / "runs" / "train").glob("*.json")]
    (longer,) = (record for record in records if record["config"]["steps"] == 15)
    assert [entry["resumed_at"] for entry in longer["results"]["runs"].values()] == [10, None]
    with pytest.raises(SystemExit) as stopped:
        cli.main(flags)
    assert stopped.value.code == 1
    assert re.search(r"^error: .* holds a run of 15 updates already, and steps=10.*\n$", capsys.readouterr().err, re.M)
    cli.main([*flags, "--fresh"])
    assert "Not solved by GRU." in capsys.readouterr().out


@pytest.mark.usefixtures("quick")
def test_gradients_vanish_faster_where_the_forget_bias_is_lower(tmp_path, capsys):
    words = "gradients --cells LSTM --forget-bias 0 3 --length 40 --hidden 8 --seeds 0 1 2 --out"
    cli.main([*words.split(), str(tmp_path)])
    record, said = only(tmp_path), capsys.readouterr().out
    low, high = (np.median(entry["slopes"]) for entry in record["results"].values())
    assert low < high < 0 and list(record["results"]) == ["LSTM forget bias 0", "LSTM forget bias 3"]
    assert "in LSTM forget bias 3 and by" in said and max(map(len, said.splitlines()[:9])) <= 100
    assert (tmp_path / f"{record['hash']}.md").exists() and str(tmp_path / f"{record['hash']}.png") in said


@pytest.mark.slow
def test_tune_prints_engines_by_time_and_the_line_to_write(capsys):
    rows = tune.main(tune.Tune((2, 5, 2, 4), cells=("GRU",), rounds=2, seconds=0.2))["GRU"]
    said = capsys.readouterr().out
    names = [row["engine"] for row in rows]
    assert {'"auto"', "rx.Scan()", "rx.Adjoint()", "rx.Scan(unroll=4)", "rx.Adjoint(unroll=16)"} <= set(names)
    assert not any("Pallas" in name or "truncate" in name or "clip" in name for name in names)
    assert f"layer = rx.RNN(cell, backend={names[0]})" in said and max(map(len, said.splitlines())) <= 100
    ratios = [float(row["ratio"]) for row in rows if row["ratio"] != "-"]
    assert ratios[0] == 1 and ratios == sorted(ratios)
    assert [row["note"] for row in rows if "Associative" in row["engine"]] == [
        "Associative got GRUCell of Structure.DENSE"
    ]


@pytest.mark.parametrize("platform", ["cpu", "gpu", "tpu"])
def test_tune_tries_every_engine_with_options_that_it_takes(platform):
    tried = dict(tune.candidates(platform, 100))
    assert tried.pop('"auto"') == "auto"
    assert all(eval(code, {"rx": rx}) == engine for code, engine in tried.items())
    skipped = tune.SKIPPED.get(platform, ())
    assert {type(engine) for engine in tried.values()} == {e for name, e in rx.ENGINES.items() if name not in skipped}


def test_an_engine_that_computes_something_else_comes_last():
    row = {"compile_seconds": 1.0, "memory": None}
    rows = {
        '"auto"': row | {"milliseconds": [2.0], "loss": 0.5},
        "other": row | {"milliseconds": [1.0], "loss": 0.6},
        "diverged": row | {"milliseconds": [1.5], "loss": None},
    }
    assert tune.wrong(rows) == ["other", "diverged"]
    first, *rest = tune.listing(rows)
    assert first["engine"] == '"auto"' and {line["note"] for line in rest} == {"another loss"}


LONG = "train --preset smoke --learning-rate 1e-4 2e-4 --chunk 5 --steps 150 --out run".split()  # nothing is solved


def bits(folder):
    """What a run leaves, but for wall times and where it was resumed: record, metrics, and the best models."""
    entries = only(folder)["results"]["runs"]
    for entry in entries.values():
        for name in ("seconds", "compile_seconds", "resumed_at"):
            del entry[name]
    (run,) = (path for path in folder.iterdir() if path.is_dir())
    like = models.builder("GRU", TASKS["adding"](8), 4, "auto", ())(jax.random.key(0))
    best = [jax.tree.leaves(rx.load(path, like=like)) for path in sorted((run / "best").iterdir())]
    return entries, (run / "metrics.jsonl").read_text(), [[leaf.tobytes() for leaf in leaves] for leaves in best]


def wait_for(condition, process, seconds=300):
    end = time.monotonic() + seconds
    while not condition() and process.poll() is None:
        assert time.monotonic() < end, "timed out"
        time.sleep(0.001)


def saved(folder):
    """The update of the last checkpoint."""
    names = [path.name for path in folder.glob("*/checkpoints/*")]
    return max((int(name) for name in names if name.isdecimal()), default=0)


def half_written(folder):
    return any(folder.glob("*/checkpoints/*.orbax-checkpoint-tmp"))


@pytest.mark.slow
def test_kills_at_random_moments_change_no_bit(tmp_path):
    """SIGKILL while it starts, between saves, and while a checkpoint is written; RECURRAX_KILLS says how often."""
    draw, kills, saves, ends = random.Random(0), int(os.environ.get("RECURRAX_KILLS", "6")), 0, 1
    whole, folder = tmp_path / "whole", tmp_path / "killed"
    whole.mkdir(), folder.mkdir()
    process = start(*LONG, cwd=whole)
    said = process.communicate()
    assert process.returncode == 0, said
    expected = bits(whole / "run")
    for kill in range(kills):
        process, before = start(*LONG, cwd=folder), saved(folder / "run")
        moment, chunks = ("start", "save", "chunk", "save")[kill % 4], draw.randrange(5)
        if moment == "start":
            time.sleep(draw.uniform(0, 8))
        else:
            wait_for(lambda before=before, chunks=chunks: saved(folder / "run") > before + 5 * chunks, process)
            time.sleep(draw.uniform(0, 0.2))
        if moment == "save":
            wait_for(lambda: half_written(folder / "run"), process)
        process.kill()
        said = process.communicate()
        saves += half_written(folder / "run")
        if process.returncode == 0:  # it was faster: begin again
            assert bits(folder / "run") == expected
            shutil.rmtree(folder / "run")
            ends += 1
        else:
            assert process.returncode == -signal.SIGKILL, said
    process = start(*LONG, cwd=folder)
    said = process.communicate(timeout=600)
    assert process.returncode == 0, said
    assert bits(folder / "run") == expected and saves
    print(f"{kills} kills, {saves} while a checkpoint was written, {ends} ends, all bitwise equal")


@pytest.mark.slow
@pytest.mark.parametrize("number, status", [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_ends_it_with_its_status_and_the_same_command_goes_on(tmp_path, number, status):
    """A program that a shell starts in the background ignores Ctrl-C, and so would its children: not this one."""
    words, before = [*LONG, "--steps", "100000"], signal.signal(signal.SIGINT, signal.default_int_handler)
    process = start(*words, cwd=tmp_path)
    signal.signal(signal.SIGINT, before)
    try:
        wait_for(lambda: saved(tmp_path / "run"), process)
        process.send_signal(number)
        said = process.communicate(timeout=120)
    finally:
        process.kill()
    assert process.returncode == status and "he same command" in said[1] and "Traceback" not in said[1], said


def test_output_may_end_early():
    """As in ``recurrax train --help | head -1``, whose reader is gone after a line: no traceback."""
    command = f"{sys.executable} -m recurrax train --help | head -1"
    done = subprocess.run(["bash", "-o", "pipefail", "-c", command], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0 and done.stdout.startswith("usage: recurrax train"), done
    assert "BrokenPipe" not in done.stderr
