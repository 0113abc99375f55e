"""`recurrax export` writes the best model of a run of `recurrax train`, and says which one that is."""

import json

import jax.export
import numpy as np
import pytest
from flax import nnx
from test_cli import TINY

import recurrax as rx
from recurrax import cli
from recurrax.cli import export

pytest.importorskip("onnx", reason="exporting needs recurrax[export]")


@pytest.fixture(scope="module")
def trained(tmp_path_factory, quick):
    """The folders of an LSTM and of a linear cell, two seeds of each."""
    out = tmp_path_factory.mktemp("trained")
    cli.main(["train", *TINY, "--cells", "LSTM", "LRU", "--out", str(out)])
    return {cell: next(out.glob(f"{cell}-*")) for cell in ("LSTM", "LRU")}


def about(folder):
    return json.loads((folder / "model.json").read_text())["about"]


def best(folder):
    return min((folder / "best").iterdir(), key=lambda path: about(path)["metrics"]["loss"])


def test_onnx_of_the_best_model(trained, tmp_path, monkeypatch, capsys):
    runtime = pytest.importorskip("onnxruntime", reason="running ONNX needs recurrax[bench]")
    monkeypatch.chdir(tmp_path)
    cli.main(["export", str(trained["LSTM"]), "--format", "onnx"])
    path, found = tmp_path / f"{trained['LSTM'].name}.onnx", about(best(trained["LSTM"]))
    first, last = capsys.readouterr().out.splitlines()
    assert last == str(path) and first.startswith(f"LSTM D=2 H=4 O=1, seed={found['seed']}, learning_rate=0.01, ")
    xs = np.random.default_rng(0).normal(size=(3, 5, 2)).astype(np.float32)
    model, _ = export.restored(best(trained["LSTM"]))
    (actual,) = runtime.InferenceSession(path.read_bytes()).run(None, {"inputs": xs})
    np.testing.assert_allclose(actual, model(xs), rtol=1e-5, atol=1e-5)


def test_a_seed_a_step_and_a_folder_of_best(trained, tmp_path, capsys):
    for seed in (0, 1):
        cli.main(["export", str(trained["LSTM"]), "--stream", "--seed", str(seed), "--out", str(tmp_path / f"{seed}")])
        assert f"seed={seed}, " in capsys.readouterr().out
        (one,) = (trained["LSTM"] / "best").glob(f"seed={seed},*")
        cli.main(["export", str(one), "--stream", "--out", str(tmp_path / "same")])
        assert (tmp_path / "same").read_bytes() == (tmp_path / f"{seed}").read_bytes()
    for folder in (trained["LSTM"], one):
        with pytest.raises(SystemExit) as stopped:
            cli.main(["export", str(folder), "--seed", "7"])
        assert stopped.value.code == 2 and "holds no best model with seed=7; allowed: " in capsys.readouterr().err


def test_stablehlo_of_a_cell_that_onnx_does_not_have(trained, tmp_path, capsys):
    pytest.importorskip("flatbuffers", reason="exporting needs recurrax[export]")
    folder, out = str(trained["LRU"]), tmp_path / "lru.stablehlo"
    with pytest.raises(SystemExit) as stopped:
        cli.main(["export", folder])
    said = capsys.readouterr().err
    assert stopped.value.code == 2 and said.count("\n") == 1 and said.endswith("Or give --format stablehlo.\n")
    cli.main(["export", folder, "--format", "stablehlo", "--out", str(out)])
    xs = np.random.default_rng(0).normal(size=(3, 5, 2)).astype(np.float32)
    model, _ = export.restored(best(trained["LRU"]))
    np.testing.assert_allclose(jax.export.deserialize(bytearray(out.read_bytes())).call(xs), model(xs), rtol=1e-5)


def test_a_folder_above_and_another_model_are_refused(trained, tmp_path, capsys):
    for folder, text in (
        (trained["LRU"].parent, f"Give another folder; there are {trained['LRU'].name}, {trained['LSTM'].name} in it."),
        (rx.save(tmp_path / "other", rx.RNNCell(2, 3, rngs=nnx.Rngs(0))), "holds no model of recurrax"),
    ):
        with pytest.raises(SystemExit) as stopped:
            cli.main(["export", str(folder)])
        assert stopped.value.code == 2 and text in capsys.readouterr().err
