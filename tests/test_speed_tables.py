"""The settings, the tables and the figure of the experiment `speed`, from records that nobody measured."""

import dataclasses
import json
import re

import numpy as np
import pytest

pytest.importorskip("tyro", reason="the experiments need recurrax[experiments]")
pytest.importorskip("matplotlib", reason="the experiments need recurrax[experiments]")

from experiments import lab
from experiments.benchmarks import against, cases, engine_options, ensembles, speed, streaming
from experiments.benchmarks.speed import curves, findings, measurements
from experiments.benchmarks.speed.config import PRESETS, Config, Scaling
from experiments.benchmarks.speed.page import summary
from recurrax import report, timing

SMOKE = PRESETS["smoke"]
SHAPE = (3, 5, 2, 4)
random = np.random.default_rng(0)


def row(middle: float) -> dict:
    """Five samples within two per cent above a time in milliseconds."""
    times = list(middle * (1 + 0.02 * random.random(5)))
    memory = {"temporary": int(1e6 * middle), "output": 1000, "argument": 10}
    return {"milliseconds": times, "calls": 1, "compile_seconds": 0.5, "memory": memory}


def points(sizes: tuple[int, ...], series: list[str]) -> list[dict]:
    return [{"x": x, "shape": SHAPE, "rows": {name: row(x * n) for n, name in enumerate(series, 1)}} for x in sizes]


def case(config: Config, measurement: str, cell: str, shape: str, dtype: str) -> dict:
    """Every peer within one per cent of 1 ms, `auto` 2 ms."""
    rows = {who: row(2 if who == "recurrax auto" else random.uniform(1, 1.01)) for who in measurements.names(config)}
    if cell == "RNN" and "equinox" in rows:
        rows["equinox"] = {"refused": "has no such cell"}
    shape = [int(size) for size in shape.split(",")]
    return {"measurement": measurement, "cell": cell, "shape": shape, "dtype": dtype, "rows": rows}


def newton(config: Config) -> dict:
    """Converged below a gain of 3."""
    rows = [
        {
            "cell": cell, "T": 9, "gain": gain, "converged": gain < 3, "iterations": 7, "residual": 1e-7,
            "deviation": 1e-6 if gain < 3 else None, "milliseconds": {"newton": [1.0], "scan": [2.0]},
        }
        for cell in config.cells
        for gain in config.scaling.gains
    ]  # fmt: skip
    return {"H": 4, "D": 2, "rows": [*rows, {"cell": "RNN", "T": 10, "gain": 1.0, "refused": "no"}]}


def invented(config: Config) -> dict:
    """A record of these settings with numbers that nobody measured."""
    sizes = config.scaling
    dense = [f"GRU {label}" for label in curves.MEMORY]
    linear = [f"MinGRU {label}" for label in curves.LINEAR_MEMORY]
    series = [f"{cell} {engine}" for cell, engine in curves.DENSE + curves.LINEAR + curves.OTHERS]
    long = {f"LSTM {label}": row(3) for label in curves.MEMORY} | {"LSTM flax.nnx": {"refused": "too large"}}
    calls = {name: {"trace": [0.1], "compile": [0.9]} for name in ("recurrax auto", "flax.nnx")}
    others = {
        "origin": measurements.environment(config),
        "scaling T": points(sizes.lengths, series),
        "scaling H": points(sizes.hidden, series),
        "scaling B": points(sizes.batches, series),
        "scaling runs": points(sizes.seeds, series[:3]),
        "memory T": points(sizes.memory_lengths, dense + linear),
        "memory": {"shape": SHAPE, "cell": "LSTM", "rows": long},
        "parallel associative": {
            "cell": "MinGRU", "shape": SHAPE,
            "rows": {name: row(1) | {"deviation": 0.0} for name in curves.LINEAR_MEMORY},
        },
        "parallel newton": newton(config),
        "import": {"base": [1.0, 1.1], "recurrax": [0.3, 0.3], "flax.nnx": [0.2, 0.2]},
        "first call": {"shape": SHAPE, "rows": calls},
    }  # fmt: skip
    names = ("origin", *measurements.cases(config))
    results = {name: others[name] if name in others else case(config, *name.split()) for name in names}
    return json.loads(json.dumps(report.record("speed", config, results, 1.0)))


def test_tables_say_what_the_record_holds():
    """Slower is said to be slower; the fastest peer is a peer; every part has its section."""
    record = invented(Config())
    text, short = lab.document(speed, record), summary(record)
    assert re.search(
        r"with `auto` takes [12]\.\d\d \(.*It is more than 5% slower in all 21 cases \(.*, and the whole", text
    )
    assert re.search(r"With 512 units or more .*as the fastest JAX peer in none of the 6 cases", text)
    assert "equinox: has no such cell (in 13, first RNN 32,100,2,32)" in text
    assert "LSTM flax.nnx: too large" in text
    assert "This run did not measure on a GPU or TPU." in text and "This run did not measure on a GPU or TPU." in short
    assert f" {report.processor()}.\n" in text and "clocks" not in text
    assert (
        "LSTM in 2 of the 4 cases (7 to 7 iterations), 2 of them within 0.001 of Scan's outputs, but not with" in text
    )
    assert text.count("\n## ") == 14
    assert short.count("\n- ") + short.startswith("- ") == 9
    e = findings.Evidence(record)
    assert all(findings.fastest(case) in findings.JAX_PEERS for case in e.cases("training"))
    case = e.cases("training")[0]
    low, high = cases.interval(case, "recurrax auto", findings.fastest(case))
    assert low < cases.median(case, "recurrax auto") / cases.median(case, findings.fastest(case)) < high
    assert [timing.digits(x) for x in (1234.5, 12.34, 1.234, 0.01234)] == ["1234", "12.3", "1.23", "0.0123"]
    assert [timing.size(x) for x in (None, 10, 2**21, 2**31)] == ["not measured", "10 B", "2.00 MiB", "2.00 GiB"]


def test_a_peer_that_computes_something_else_is_no_measure():
    """Haiku's plain cell has a ReLU: it is timed, and never the peer that ours are compared with."""
    rows = {"haiku": row(0.5), "flax.linen": row(1), "keras": row(2), "torch": row(0.1), "recurrax auto": row(0.2)}
    chosen = [findings.fastest({"cell": cell, "rows": rows}) for cell in ("RNN", "GRU", "LSTM")]
    assert chosen == ["flax.linen", "haiku", "haiku"]


def test_a_gpu_is_held_against_pytorch_and_flax():
    record = invented(PRESETS["gpu"])
    results = record["results"]
    results["origin"] |= {
        "platform": "gpu",
        "gpu": {"driver_version": "580.1", "clocks.max.sm": "1980 MHz", "power.limit": "700.00 W"},
    }
    for number, found in enumerate(case for name, case in results.items() if name != "origin"):
        found["clocks"] = {"clocks.sm": f"{1900 + number % 2} MHz", "clocks.mem": "3201 MHz"}
        found["rows"]["recurrax pallas"] = {"refused": "too large"} if number else row(0.1)
    text = summary(record)
    assert re.search(
        r"PyTorch's: `auto` [12]\.\d\d \(.*slower in all 16 cases.*; `pallas` 0.\d\d .* in none of the 1 cases", text
    )
    assert re.search(
        r"relative to flax.nnx.RNN's: `auto` 0.5.*at least 5 in none of the 16 cases; `pallas` .* in all 1 cases", text
    )
    assert "SM 1900 MHz/1901 MHz (highest 1980 MHz), memory 3201 MHz" in text and "not measure on a TPU" in text
    header = text[text.index("| cell") :].splitlines()[0]
    assert all(f"{name} / PyTorch" in header for name in ("auto", "pallas"))
    assert "a rest of" in lab.document(speed, invented(SMOKE)) and "a rest of" not in lab.document(speed, record)


@pytest.mark.parametrize(
    "config",
    [
        Config(),
        dataclasses.replace(SMOKE, implementations=("recurrax",)),
        dataclasses.replace(SMOKE, parts=("peers",), implementations=("torch",)),
        dataclasses.replace(SMOKE, parts=("start",)),
        dataclasses.replace(SMOKE, parts=("scaling",), scaling=Scaling(memory_lengths=())),
    ],
    ids=["default", "ours alone", "torch alone", "start", "scaling"],
)
def test_figure_and_tables_of_any_parts(config):
    """Whatever was left out, what there is can be drawn and written."""
    record = invented(config)
    assert lab.document(speed, record) and summary(record)
    drawn = lab.figures(speed, record)
    shown = [axes for figure in drawn.values() for axes in figure.axes if axes.get_visible() and axes.axison]
    assert all(axes.get_xlabel() and axes.get_title(loc="left") for axes in shown)
    assert set(re.findall(r"!\[figure\]\(\w+-?(\w*)\.png", lab.document(speed, record))) == set(drawn)
    for figure in drawn.values():
        figure.draw_without_rendering()


@pytest.mark.parametrize(
    "change, words",
    [
        ({"cells": ("LSTMM",)}, "cells=('LSTMM',); allowed: one or more of RNN, GRU, LSTM. Change --cells."),
        ({"shapes": ()}, "shapes=(); allowed: one or more, all different"),
        ({"shapes": ((1, 2, 3, 0),)}, "shapes=((1, 2, 3, 0),); allowed: B T D H, all >= 1. Change --shapes."),
        ({"rounds": 0}, "rounds=0; allowed: an int >= 1"),
        ({"seconds_per_case": 0.0}, "seconds_per_case=0.0; allowed: a finite number > 0"),
        ({"implementations": ("jax",)}, "of recurrax, flax.nnx"),
        ({"engines": ()}, "engines=(); allowed: one or more"),
        ({"parts": ("all",)}, "of peers, scaling, memory, parallel, start"),
    ],
)
def test_settings_that_cannot_be_run(change, words):
    with pytest.raises(ValueError, match=re.escape(words)):
        dataclasses.replace(SMOKE, **change)


def test_sizes_that_cannot_be_run():
    with pytest.raises(ValueError, match=r"scaling.hidden=\(0,\); allowed: numbers > 0. Change --scaling.hidden."):
        Scaling(hidden=(0,))
    assert set(PRESETS) == {"default", "smoke", "gpu", "accelerator"}


@pytest.mark.parametrize(
    "experiment", [speed, engine_options, ensembles, streaming, against], ids=lambda module: module.__name__
)
def test_committed_pages_are_functions_of_their_record(experiment):
    folder = lab.RESULTS / experiment.__name__.rpartition(".")[2]
    for path in folder.glob("*.json"):
        record = json.loads(path.read_text())
        assert path.with_suffix(".md").read_text() == lab.document(experiment, record)
        assert all(axes.get_xlabel() or axes.get_ylabel() or not axes.axison
                   for figure in lab.figures(experiment, record).values() for axes in figure.axes)  # fmt: skip
