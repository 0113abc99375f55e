"""The benchmark of one step: its table is a function of the record, and a process without JAX runs the stream."""

import copy
import json
import subprocess
import sys

import numpy as np
import pytest
from flax import nnx

pytest.importorskip("tyro", reason="the experiments need recurrax[experiments]")
pytest.importorskip("matplotlib", reason="the experiments need recurrax[experiments]")

import recurrax as rx
from experiments import lab
from experiments.benchmarks import streaming
from recurrax import report

SMOKE = streaming.PRESETS["smoke"]


def timed(microseconds):
    return {"milliseconds": [1e-3 * microseconds] * 5}


def made():
    """A record with times that were made up."""
    rows = {name: timed(10 * number) for number, name in enumerate(streaming.STEPS, start=1)}
    alone = {
        "seconds_to_first": 0.5, "mebibytes": 57.2, "samples": 100, "without": ["jax"], "file_bytes": 2048,
        "microseconds": {"50": 20.0, "90": 21.0, "99": 30.0, "99.9": 44.0, "100": 90.0},
    }  # fmt: skip
    results = {}
    for cell in ("RNN", "LSTM"):
        for hidden in (8, 16):
            mine = copy.deepcopy(rows)
            if cell == "RNN":
                mine[streaming.INT8] = {"refused": "onnxruntime has no such operator in int8"}
            case = {"cell": cell, "hidden": hidden, "rows": mine, "difference": {streaming.ONNX: 2e-7}}
            results |= {f"{cell} H={hidden}": case, f"{cell} H={hidden} alone": alone}
    config = streaming.Config(cells=("RNN", "LSTM"), hidden=(8, 16))
    return report.record("streaming", config, results, 1.0, complete=True)


def test_the_page_says_what_the_record_says():
    text = lab.document(streaming, made())
    assert "- PyTorch: a step takes 6.0 times as long as in onnxruntime." in text
    assert "first prediction within 0.5 s and holds at most 57 MiB; 99% of its steps take at most 30 micro" in text
    (first,) = [line for line in text.splitlines() if line.startswith("| RNN H=8 ") and "2e-07" in line]
    assert [cell.strip() for cell in first.split("|")[2:5]] == ["10.0", "-", "30.0"]
    assert "| LSTM H=16 | 2          | 0.50" in text


def test_the_figure_has_a_panel_for_each_cell():
    (figure,) = lab.figures(streaming, made()).values()
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["a  RNN", "b  LSTM"]
    assert figure._suptitle.get_text() == "onnxruntime takes the least time in 4 of 4 cases"
    assert [len(axes.lines) for axes in figure.axes] == [6, 6]


def test_a_stream_runs_without_jax(tmp_path):
    pytest.importorskip("onnxruntime", reason="running ONNX needs recurrax[bench]")
    model = rx.SequenceModel(rx.GRU(3, 8, 2, rngs=nnx.Rngs(0)), 1, rngs=nnx.Rngs(0))
    (tmp_path / "step.onnx").write_bytes(rx.export.to_onnx(model, stream=True).SerializeToString())
    command = [sys.executable, str(streaming.DEVICE), "step.onnx", "--samples", "20"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["without"] == ["jax", "recurrax", "torch"] and found["samples"] == 20
    times = list(found["microseconds"].values())
    assert 0 < found["seconds_to_first"] and times == sorted(times) and times[0] > 0


@pytest.mark.slow
def test_every_implementation_gives_the_same_predictions():
    pytest.importorskip("onnxruntime", reason="running ONNX needs recurrax[bench]")
    found = streaming.compare(SMOKE, "LSTM", 8)
    names = [name for name, row in found["rows"].items() if "refused" not in row]
    assert set(names) == set(found["difference"]) >= {streaming.ONNX, streaming.CONSTANT, streaming.STABLEHLO}
    assert all(error < 1e-5 for name, error in found["difference"].items() if name != streaming.INT8)
    assert found["difference"][streaming.INT8] < 0.1
    assert all(np.median(row["milliseconds"]) > 0 for row in found["rows"].values() if "refused" not in row)
    refused = streaming.compare(SMOKE, "GRU", 8)["rows"][streaming.INT8]
    assert refused == {"refused": "onnxruntime has no such operator in int8"}
