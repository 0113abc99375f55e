"""The speed benchmark: every peer's layer is what it says, cases run and refuse, engines are tuned, runs go on."""

import dataclasses
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

pytest.importorskip("tyro", reason="the experiments need recurrax[experiments]")
pytest.importorskip("matplotlib", reason="the experiments need recurrax[experiments]")

import recurrax as rx
from experiments import lab
from experiments.benchmarks import peers, pytorch, speed
from experiments.benchmarks.speed import curves, measurements
from experiments.benchmarks.speed.config import CELLS
from recurrax import cells, report, timing
from recurrax.cli import tune

SMOKE = speed.PRESETS["smoke"]
B, T, D, H = SHAPE = (3, 5, 2, 4)
NAMES = ("recurrax scan", *peers.PEERS)
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning", "ignore::FutureWarning")


@pytest.fixture(scope="module", autouse=True)
def quickly(quick):
    """Nothing here runs for more than a moment."""


def layer(name: str, cell: str, dtype: str = "float32") -> peers.Layer:
    """The layer of an implementation, or a skip that says why not."""
    try:
        return peers.layer(name, cell, SHAPE, dtype)
    except timing.Refused as error:
        pytest.skip(f"{name}: {error}")


def inputs(dtype: str = "float32") -> jax.Array:
    return jax.random.normal(jax.random.key(0), (B, T, D)).astype(dtype)


@pytest.mark.slow
@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("name", NAMES)
def test_every_layer_runs_trains_and_streams(name, cell):
    """Outputs [B, T, H]; a finite gradient, not zero, for every parameter; the steps are those of the run."""
    it, xs = layer(name, cell), inputs()
    ys = jax.jit(it.run)(it.parameters, xs)
    assert ys.shape == (B, T, H) and ys.dtype == jnp.float32
    weights = sum(leaf.size for leaf in it.parameters)
    gates = {"RNN": 1, "GRU": 3, "LSTM": 4}[cell]
    assert weights >= gates * (D * H + H * H + H)
    value, gradient = jax.jit(jax.value_and_grad(lambda p: peers.loss(it.run, p, xs)))(it.parameters)
    assert value == pytest.approx(float(jnp.mean(ys**2)), rel=1e-5)
    assert all(np.isfinite(leaf).all() and np.abs(leaf).max() > 0 for leaf in gradient)
    carry, step = it.carry, jax.jit(it.step)
    for t in range(T):
        carry, y = step(it.parameters, carry, xs[:, t])
        np.testing.assert_allclose(y, ys[:, t], atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_layers_in_bfloat16_stay_in_it(name):
    it = layer(name, "GRU", "bfloat16")
    assert {leaf.dtype for leaf in it.parameters} == {jnp.dtype("bfloat16")}
    assert jax.eval_shape(it.run, it.parameters, inputs("bfloat16")).dtype == jnp.bfloat16
    carry, y = jax.eval_shape(it.step, it.parameters, it.carry, inputs("bfloat16")[:, 0])
    assert {leaf.dtype for leaf in jax.tree.leaves((carry, y))} == {jnp.dtype("bfloat16")}


def our_weights(cell: str) -> tuple[np.ndarray, ...]:
    """Outputs, W [G, H, D], U [G, H, H], b [G, H] and the GRU's inner bias [H] of our layer, none of them zero."""
    module = getattr(cells, f"{cell}Cell")(D, H, bias_init=jax.nn.initializers.normal(1.0), rngs=nnx.Rngs(0))
    inner = module.recurrent_bias[...] if cell == "GRU" else jnp.zeros(H)
    ours = (module.kernel[...], module.recurrent_kernel[...], module.bias[...], inner)
    return np.asarray(rx.RNN(module)(inputs())), *map(np.array, ours)


@pytest.mark.slow
@pytest.mark.parametrize("cell", CELLS)
def test_torch_computes_what_we_do(cell):
    """With our weights, in PyTorch's order of the gates."""
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    expected, W, U, b, inner = our_weights(cell)
    order = {"RNN": [0], "GRU": [0, 1, 2], "LSTM": [1, 0, 2, 3]}[cell]  # i, f, g, o
    module = getattr(torch.nn, cell)(D, H, batch_first=True)
    for name, value in {"weight_ih": W, "weight_hh": U, "bias_ih": b}.items():
        value = np.concatenate([value[gate] for gate in order])
        getattr(module, f"{name}_l0").data = torch.tensor(value)
    module.bias_hh_l0.data.zero_()
    module.bias_hh_l0.data[-H:] += torch.tensor(inner)
    with torch.no_grad():
        ys = module(torch.tensor(np.asarray(inputs())))[0].numpy()
    np.testing.assert_allclose(ys, expected, atol=1e-5)


@pytest.mark.parametrize("name", ("haiku", "keras", "flax.nnx"))
def test_peers_compute_what_we_do(name):
    """The LSTM with our weights, in the order that each library holds them."""
    it = layer(name, "LSTM")
    expected, W, U, b, _ = our_weights("LSTM")
    W, U = W.swapaxes(1, 2), U.swapaxes(1, 2)
    f, i, g, o = 0, 1, 2, 3

    def joined(array: np.ndarray, order: list[int]) -> np.ndarray:
        return np.concatenate([array[gate] for gate in order], axis=-1)

    if name == "haiku":  # one matrix for x and h; the forget gate gets 1 on top
        order, shift = [i, g, f, o], np.array([0, 0, 1, 0], np.float32)[:, None]
        parameters = [joined(b[:], order) - np.repeat(shift, H), np.concatenate([joined(W, order), joined(U, order)])]
    else:
        order = [i, f, g, o]
        by_shape = {(D, 4 * H): joined(W, order), (H, 4 * H): joined(U, order), (4 * H,): joined(b, order)}
        parameters = [by_shape[leaf.shape] for leaf in it.parameters]
    assert [leaf.shape for leaf in parameters] == [leaf.shape for leaf in it.parameters]
    np.testing.assert_allclose(it.run([jnp.asarray(leaf) for leaf in parameters], inputs()), expected, atol=1e-5)


@pytest.mark.parametrize("cell", CELLS)
def test_torch_programs_run(cell):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    assert pytorch.program("forward", cell, SHAPE).call().shape == (B, T, H)
    stream = pytorch.program("streaming", cell, SHAPE)
    states = [jax.tree.leaves(stream.call())[0] for _ in range(2)]
    assert states[0].shape == (B, H) and not torch.equal(*states)
    made = []
    make = getattr(torch.nn, cell)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.nn, cell, lambda *args, **options: made.append(make(*args, **options)) or made[-1])
        pytorch.program("training", cell, SHAPE).call()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in made[0].parameters())


def test_what_is_missing_or_refuses_is_a_row_that_says_why(monkeypatch):
    """A peer that is not installed, a cell it has not, an engine that is unknown or refuses the cell."""
    for module in ("torch", "haiku", "equinox", "keras"):
        monkeypatch.setitem(sys.modules, module, None)
    names = ("torch", "haiku", "equinox", "keras")
    config = dataclasses.replace(
        SMOKE, implementations=("recurrax", *names), engines=("associative", "faster"), rounds=1
    )
    rows = measurements.case(config, "streaming", "LSTM", SHAPE, "float32")["rows"]
    assert {rows[name]["refused"] for name in names} == {"not installed: pip install -e '.[bench]'"}
    assert "no engine 'faster'" in rows["recurrax faster"]["refused"]
    assert (
        "Associative got LSTMCell"
        in measurements.case(config, "forward", "LSTM", SHAPE, "float32")["rows"]["recurrax associative"]["refused"]
    )
    with pytest.raises(timing.Refused, match="no cell Fancy"):
        peers.ours("Fancy", SHAPE)


def test_equinox_has_no_plain_cell():
    pytest.importorskip("equinox", reason="Equinox is not installed")
    with pytest.raises(timing.Refused, match="has no such cell"):
        peers.layer("equinox", "RNN", SHAPE)


def test_samples_take_turns_within_the_budget(monkeypatch):
    """At least three rounds, at most those asked for; short calls are repeated; a failing program is a row."""
    now, order = [0.0], []
    monkeypatch.setattr(timing.time, "perf_counter", lambda: now[0])

    def program(name: str, seconds: float) -> timing.Program:
        def call() -> None:
            order.append(name)
            now[0] += seconds

        return timing.Program(call, 2.0, None)

    def broken() -> None:
        raise TypeError("no such\ndtype")

    programs = {"slow": program("slow", 3.0), "quick": program("quick", 0.004), "broken": timing.Program(broken)}
    rows = timing.sample(programs | {"absent": {"refused": "not here"}}, 10, 8.0)
    assert rows["broken"] == {"refused": "no such"} and rows["absent"] == {"refused": "not here"}
    assert rows["slow"]["milliseconds"] == pytest.approx([3000.0] * 3) and rows["slow"]["calls"] == 1
    assert rows["quick"]["milliseconds"] == pytest.approx([4.0] * 3) and rows["quick"]["calls"] in (5, 6)
    order.clear()
    timing.sample({name: program(name, 1.0) for name in "abc"}, 20, 100.0)
    rounds = [tuple(order[start : start + 3]) for start in range(3, len(order), 3)]  # after those that warm up
    assert len(rounds) == 20 and all(sorted(names) == ["a", "b", "c"] for names in rounds)
    assert len(set(rounds)) == 6  # every order, so that none has always the same before it
    quick = program("quick", 0.1)
    assert len(timing.sample({"quick": quick}, 10, 0.55)["quick"]["milliseconds"]) == 5
    assert len(timing.sample({"quick": quick}, 10, 60.0)["quick"]["milliseconds"]) == 10
    assert timing.sample({"quick": quick}, 1, 60.0, 50)["quick"]["calls"] == 50


def test_programs_are_weighed_and_streams_go_on():
    program = timing.compiled(lambda x: jnp.cumsum(x), jnp.ones(1000))
    assert program.memory["output"] >= 4000 and program.compile_seconds > 0
    count = timing.stream(lambda p, carry, x: (carry + x, carry), None, jnp.zeros(()), jnp.ones(()))
    assert [float(count.call()) for _ in range(3)] == [0, 1, 2]


@pytest.mark.slow
def test_an_ensemble_is_its_layer_many_times():
    it = peers.ours("GRU", SHAPE, backend="scan")
    many = curves.ensemble(it, 3)
    ys = many.run(many.parameters, inputs())
    assert ys.shape == (3, B, T, H)
    np.testing.assert_allclose(ys, np.stack([it.run(it.parameters, inputs())] * 3), atol=1e-6)


def test_gains_scale_the_recurrent_weights_alone():
    cell = cells.LSTMCell(D, H, rngs=nnx.Rngs(0))
    twice = curves.scaled(cell, 2.0)
    np.testing.assert_array_equal(twice.recurrent_kernel[...], 2 * cell.recurrent_kernel[...])
    np.testing.assert_array_equal(twice.kernel[...], cell.kernel[...])


def test_an_interrupted_run_goes_on_only_with_the_same_code(tmp_path, monkeypatch):
    """What was measured is kept; other code, versions or another device drop it."""
    config = dataclasses.replace(SMOKE, parts=("peers",), measurements=("forward", "streaming"), out=tmp_path)
    ran = []

    def case(config, measurement, *_):
        ran.append(measurement)
        if len(ran) == 2:
            raise KeyboardInterrupt
        return {"measurement": measurement, "cell": "LSTM", "shape": SHAPE, "dtype": "float32", "rows": {}}

    monkeypatch.setattr(measurements, "case", case)
    with pytest.raises(KeyboardInterrupt):
        lab.measure("speed", config, measurements.parts(config))
    record = lab.measure("speed", config, measurements.parts(config))
    assert ran == ["forward", "streaming", "streaming"] and record["complete"]
    assert set(record["results"]) == {"origin", "forward LSTM 2,5,2,4 float32", "streaming LSTM 2,5,2,4 float32"}
    half = record | {"complete": False}
    report.save(tmp_path, half)
    monkeypatch.setattr(measurements, "code", lambda: "other")
    ran.clear()
    ran.append("before")
    with pytest.raises(KeyboardInterrupt):
        lab.measure("speed", config, measurements.parts(config))
    assert ran == ["before", "forward"]


def test_the_cache_on_disk_is_not_used():
    before = jax.config.jax_enable_compilation_cache
    with timing.conditions("highest"):
        assert not jax.config.jax_enable_compilation_cache and jax.config.jax_default_matmul_precision == "highest"
    assert jax.config.jax_enable_compilation_cache == before and jax.config.jax_default_matmul_precision is None


@pytest.mark.slow
def test_every_engine_and_option_is_tried_or_says_why_not():
    rows = tune.measured(tune.Tune((2, 5, 2, 4), rounds=2, seconds=0.2), "GRU")
    assert {'"auto"', "rx.Scan()", "rx.Adjoint()", "rx.Scan(unroll=4)", "rx.Adjoint(unroll=16)"} <= set(rows)
    assert not any("Pallas" in name or "truncate" in name or "clip" in name for name in rows)
    refused = {name: row["refused"].partition(";")[0] for name, row in rows.items() if "refused" in row}
    others = ("Associative", "Chunkwise")
    assert refused == {f"rx.{name}()": f"{name} got GRUCell of Structure.DENSE" for name in others}
    assert all(len(row["milliseconds"]) == 2 for name, row in rows.items() if name not in refused)


def test_an_engine_that_computes_something_else_is_named():
    row = {"compile_seconds": 1.0, "memory": None}
    rows = {
        '"auto"': row | {"milliseconds": [2.0], "loss": 0.5},
        "other": row | {"milliseconds": [1.0], "loss": 0.6},
        "diverged": row | {"milliseconds": [1.5], "loss": None},
    }
    assert tune.wrong(rows) == ["other", "diverged"]


@pytest.mark.slow
def test_imports_and_first_calls_are_timed():
    rows = curves.imports(1)
    assert list(rows)[:3] == ["base", "recurrax", "flax.nnx"]
    assert [len(values) for values in rows.values()] == [len(rows) - 1] + [1] * (len(rows) - 1)
    assert all(min(values) > 0 for values in rows.values())
    rows = curves.first_call((2, 3, 1, 2), 1)["rows"]
    assert rows["recurrax auto"]["compile"][0] > 0 and len(rows["flax.nnx"]["trace"]) == 1


def test_there_is_a_reading_file_for_every_name():
    """The digest of the code leaves out files that exist, and changes with those that measure."""
    folder = Path(speed.__file__).parent
    assert all((folder / name).exists() for name in measurements.READING)
    assert measurements.code() == measurements.code() and len(measurements.code()) == 12
