"""Exported models give what recurrax gives: ONNX in onnxruntime, StableHLO in a process without recurrax."""

import functools
import importlib
import subprocess
import sys
from pathlib import Path

import jax
import jax.export
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from reference import CELLS, jit, noise

import recurrax as rx
from recurrax import cells

ROOT = Path(__file__).parents[1]
D, H, OUT = 3, 8, 2
SHAPES = ((1, 1), (2, 7), (5, 3))  # batch, time
VOCABULARY = 11

MAKE = {
    "RNN": rx.RNNCell,
    "RNN-relu": functools.partial(rx.RNNCell, activation_fn=jax.nn.relu),
    "LSTM": rx.LSTMCell,
    "LSTM-softsign": functools.partial(rx.LSTMCell, activation_fn=jax.nn.soft_sign),
    "PeepholeLSTM": cells.PeepholeLSTMCell,
    "GRU": rx.GRUCell,
    "GRU-reset-before": functools.partial(rx.GRUCell, reset_after=False),
}


def layers(name: str, count: int = 1, both: bool = False, **options) -> rx.Stack:
    rngs, size, made = nnx.Rngs(0), D, []
    for _ in range(count):
        one = rx.RNN(MAKE[name](size, H, rngs=rngs), **options)
        made.append(rx.Bidirectional(one, rx.RNN(MAKE[name](size, H, rngs=rngs))) if both else one)
        size = made[-1].out_features
    return rx.Stack(made)


def with_noise(model):
    """All weights moved, so that no bias is 0."""
    return noise(model, seed=3, around=1, scale=0.3)


@pytest.fixture
def runtime():
    pytest.importorskip("onnx", reason="exporting needs recurrax[export]")
    return pytest.importorskip("onnxruntime", reason="running ONNX needs recurrax[bench]")


def session(runtime, exported):
    return runtime.InferenceSession(exported.SerializeToString(), providers=["CPUExecutionProvider"])


def draw(model, batch, time, seed=0):
    rng = np.random.default_rng(seed)
    if isinstance(model, rx.SequenceModel) and model.embed is not None:
        return rng.integers(0, VOCABULARY, (batch, time))
    return rng.normal(size=(batch, time, D)).astype(np.float32)


def check(runtime, model, exported, lengths=None):
    one = session(runtime, exported)
    for batch, time in SHAPES:
        xs = draw(model, batch, time)
        feed, kept = {"inputs": xs}, {}
        if lengths is not None:
            kept["seq_lengths"] = np.resize(lengths, batch).clip(0, time).astype(np.int32)
        (actual,) = one.run(None, feed | kept)
        expected = jit(lambda model, xs, kept: model(xs, **kept))(model, xs, kept)
        np.testing.assert_allclose(actual, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", MAKE)
def test_onnx_gives_the_outputs_of_layers_at_any_shape(name, runtime):
    model = with_noise(layers(name, count=2, both=True))
    exported = rx.export.to_onnx(model)
    check(runtime, model, exported)
    operators = [node.op_type for node in exported.graph.node]
    kind = {"RNN": "RNN", "GRU": "GRU"}.get(name.partition("-")[0], "LSTM")
    assert operators.count(kind) == 2 and not {"Loop", "Scan"} & set(operators)
    assert exported.opset_import[0].version == 17


@pytest.mark.parametrize("read", ["every", "last"])
@pytest.mark.parametrize("tokens, tied", [(False, False), (True, False), (True, True)])
@pytest.mark.parametrize("both", [False, True])
def test_onnx_gives_the_outputs_of_models(read, tokens, tied, both, runtime):
    rngs = nnx.Rngs(0)
    size = 2 * H if both else H
    layer = rx.GRU(size if tied else D, H, bidirectional=both, rngs=rngs)
    options = {"vocabulary": VOCABULARY if tokens else None, "tie_embeddings": tied}
    model = with_noise(rx.SequenceModel(layer, VOCABULARY if tied else OUT, read=read, rngs=rngs, **options))
    check(runtime, model, rx.export.to_onnx(model))


@pytest.mark.parametrize("name", ["RNN", "LSTM", "GRU"])
@pytest.mark.parametrize("read", ["every", "last"])
def test_onnx_with_lengths_0_among_them(name, read, runtime):
    model = with_noise(rx.SequenceModel(layers(name, count=2, both=True), OUT, read=read, rngs=nnx.Rngs(0)))
    check(runtime, model, rx.export.to_onnx(model, lengths=True), lengths=[3, 0, 7, 1])


def test_onnx_in_reverse(runtime):
    layer = with_noise(layers("LSTM", count=2, reverse=True, keep_order=True))
    check(runtime, layer, rx.export.to_onnx(layer))
    check(runtime, layer, rx.export.to_onnx(layer, lengths=True), lengths=[2, 5])


@pytest.mark.parametrize("name", MAKE)
@pytest.mark.parametrize("tokens", [False, True])
def test_onnx_step_by_step_gives_the_whole(name, tokens, runtime):
    layer = layers(name, count=2)
    vocabulary = VOCABULARY if tokens else None
    model = with_noise(rx.SequenceModel(layer, OUT, vocabulary=vocabulary, rngs=nnx.Rngs(0)))
    one, xs = session(runtime, rx.export.to_onnx(model, stream=True)), draw(model, 3, 9)
    names = [given.name for given in one.get_inputs()][1:]
    assert [out.name for out in one.get_outputs()] == ["outputs", *(f"next_{name}" for name in names)]
    carry, ys = {name: np.zeros((3, H), np.float32) for name in names}, []
    for t in range(xs.shape[1]):
        y, *after = one.run(None, {"inputs": xs[:, t], **carry})
        carry = dict(zip(names, after, strict=True))
        ys.append(y)
    np.testing.assert_allclose(np.stack(ys, 1), jit(lambda model, xs: model(xs))(model, xs), rtol=1e-5, atol=1e-5)


def cell(kind=rx.LSTMCell, **options):
    return kind(D, H, rngs=nnx.Rngs(0), **options)


REFUSED = {
    "another step": (lambda: cell(cells.MinGRUCell), {}, TypeError, "MinGRUCell cannot be exchanged"),
    "a projection": (lambda: cell(cells.ProjectedLSTMCell), {}, ValueError, "no counterpart in ONNX, which has no"),
    "another gate": (
        lambda: cell(gate_fn=jax.nn.hard_sigmoid), {}, ValueError,
        "gate_fn='hard_sigmoid'; allowed in ONNX: Relu, Sigmoid, Softplus, Softsign, Tanh",
    ),
    "both directions as a stream": (
        lambda: layers("GRU", both=True), {"stream": True}, ValueError, "runs in reverse, which needs the whole",
    ),
    "reverse as a stream": (
        lambda: rx.RNN(cell(), reverse=True, keep_order=True), {"stream": True}, ValueError, "runs in reverse",
    ),
    "another order": (lambda: rx.RNN(cell(), reverse=True), {}, ValueError, "allowed: keep_order=True"),
    "lengths of a step": (cell, {"stream": True, "lengths": True}, ValueError, "a step has no length"),
    "time first": (lambda: rx.RNN(cell(), time_major=True), {}, ValueError, "time-major; allowed: a batch-major one"),
    "norms": (lambda: rx.Stack([rx.RNN(cell())], residual=True), {}, ValueError, "residual=True"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_onnx_cannot_hold_is_refused_by_name(name):
    make, options, error, text = REFUSED[name]
    pytest.importorskip("onnx", reason="exporting needs recurrax[export]")
    with pytest.raises(error, match=text):
        rx.export.to_onnx(make(), **options)


@pytest.mark.parametrize("missing, attempt", [
    ("onnx", lambda: rx.export.to_onnx(cell())),
    ("onnxruntime.quantization", lambda: rx.export.to_int8(None, None)),
])  # fmt: skip
def test_a_missing_package_is_named(missing, attempt, monkeypatch):
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(ImportError, match=rf"needs {missing.partition('.')[0]}, which is not installed: pip install"):
        attempt()


def test_int8_is_smaller_and_its_error_is_the_one_reported(runtime, recwarn):
    rngs = nnx.Rngs(0)
    model = with_noise(rx.SequenceModel(rx.LSTM(D, 64, rngs=rngs), OUT, rngs=rngs))
    exported, xs = rx.export.to_onnx(model), draw(model, 4, 20)
    small = rx.export.to_int8(exported, xs)
    (before,), (after,) = (session(runtime, one).run(None, {"inputs": xs}) for one in (exported, small.model))
    errors = np.abs(after - before)
    assert small.max_error == errors.max() and small.mean_error == pytest.approx(errors.mean())
    assert 0 < small.max_error < 0.2 * small.scale and small.scale == pytest.approx(before.std())
    assert small.size < 0.4 * small.size_before == 0.4 * len(exported.SerializeToString())
    weights = {w.name: w for w in small.model.graph.initializer}
    ints = [importlib.import_module("onnx").numpy_helper.to_array(w) for w in weights.values() if w.data_type == 3]
    assert ints and max(np.abs(array.astype(int)).max() for array in ints) <= 64  # 7 bits


PROGRAM = """
import sys
for name in ("recurrax", "flax", "optax"):
    sys.modules[name] = None  # import raises ImportError
import pathlib
import jax
import jax.export
import numpy as np
folder = pathlib.Path(sys.argv[1])
for path in folder.glob("*.stablehlo"):
    program = jax.export.deserialize(bytearray(path.read_bytes()))
    given = np.load(path.with_suffix(".npz"))
    for index in range(int(given["count"])):
        ys = program.call(given[f"xs{index}"], given[f"lengths{index}"])
        np.testing.assert_allclose(ys, given[f"ys{index}"], rtol=1e-5, atol=1e-5, err_msg=path.stem)
    print(path.stem)
"""
EVERY = {kind.short for kind in cells.ALL}
EVERYDAY = {"GRU", "LRU", "GatedDeltaNet"}  # one of each structure
TIERS = {"everyday": EVERYDAY, "others": EVERY - EVERYDAY}


@pytest.mark.parametrize("tier", ["everyday", pytest.param("others", marks=pytest.mark.slow)])
def test_stablehlo_of_every_cell_runs_without_recurrax(tier, tmp_path):
    pytest.importorskip("flatbuffers", reason="exporting needs recurrax[export]")
    for name in TIERS[tier]:
        one = with_noise(CELLS[name](rngs=nnx.Rngs(0)))
        (tmp_path / f"{name}.stablehlo").write_bytes(rx.export.to_stablehlo(one, lengths=True))
        arrays: dict[str, np.ndarray] = {"count": np.array(len(SHAPES))}
        for index, (batch, time) in enumerate(SHAPES):
            xs = np.random.default_rng(index).normal(size=(batch, time, D)).astype(np.float32)
            lengths = np.resize([time, 0, 2], batch).clip(0, time).astype(np.int32)
            ys = jit(lambda one, xs, lengths: rx.RNN(one)(xs, seq_lengths=lengths))(one, xs, lengths)
            arrays |= {f"xs{index}": xs, f"lengths{index}": lengths, f"ys{index}": np.asarray(ys)}
        np.savez(tmp_path / f"{name}.npz", **arrays)  # pyright: ignore[reportArgumentType]
    command = [sys.executable, "-c", PROGRAM, tmp_path]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert not done.returncode and set(done.stdout.split()) == TIERS[tier], done.stderr


@pytest.mark.parametrize("name", ["LSTM", "sLSTM", "LRU", "mLSTM"])
def test_stablehlo_step_by_step_gives_the_whole_and_resets(name):
    pytest.importorskip("flatbuffers", reason="exporting needs recurrax[export]")
    rngs = nnx.Rngs(0)
    model = with_noise(rx.SequenceModel(rx.RNN(CELLS[name](rngs=rngs)), OUT, rngs=rngs))
    program = jax.export.deserialize(bytearray(rx.export.to_stablehlo(model, stream=True)))
    (carry, _, _), _ = jax.tree.unflatten(program.in_tree, program.in_avals)
    carry = jax.tree.map(lambda aval: jnp.full((2, *aval.shape[1:]), jnp.nan, aval.dtype), carry)
    xs, ys = draw(model, 2, 8), []
    for t in range(8):
        carry, y = program.call(carry, xs[:, t], np.array([t == 0, t in (0, 4)]))
        ys.append(y)
    resets = np.zeros((2, 8), bool)
    resets[1, 4] = True
    expected = jit(lambda model: model(xs, resets=resets))(model)
    np.testing.assert_allclose(np.stack(ys, 1), expected, rtol=1e-4, atol=1e-5)


def test_stablehlo_of_tokens_and_for_several_platforms():
    pytest.importorskip("flatbuffers", reason="exporting needs recurrax[export]")
    rngs = nnx.Rngs(0)
    model = rx.SequenceModel(rx.LSTM(D, H, 2, bidirectional=True, rngs=rngs), OUT, vocabulary=VOCABULARY, rngs=rngs)
    program = jax.export.deserialize(bytearray(rx.export.to_stablehlo(model, platforms=("cpu", "cuda", "tpu"))))
    assert program.platforms == ("cpu", "cuda", "tpu") and program.in_avals[0].dtype == jnp.int32
    tokens = draw(model, 2, 5).astype(np.int32)
    np.testing.assert_allclose(program.call(tokens), model(tokens), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("make, options, error, text", [
    (lambda: nnx.Linear(2, 3, rngs=nnx.Rngs(0)), {}, TypeError, "got Linear; allowed: a cell, RNN"),
    (cell, {"stream": True, "lengths": True}, ValueError, "a step has no length"),
    (lambda: rx.RNN(cell(), time_major=True), {}, ValueError, "time-major; allowed: a batch-major one"),
    (lambda: rx.Foreign(lambda h, x: (h, x)), {}, ValueError, "does not know its in_features"),
    (lambda: layers("LSTM", both=True), {"stream": True}, ValueError, "cannot stream"),
])  # fmt: skip
def test_what_stablehlo_refuses(make, options, error, text):
    pytest.importorskip("flatbuffers", reason="exporting needs recurrax[export]")
    with pytest.raises(error, match=text):
        rx.export.to_stablehlo(make(), **options)


def test_flatbuffers_are_named_where_they_are_missing(monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "flatbuffers" else find(name))
    with pytest.raises(ImportError, match="needs flatbuffers"):
        rx.export.to_stablehlo(cell())
