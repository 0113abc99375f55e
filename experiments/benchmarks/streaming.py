"""What does one step of a stream cost in onnxruntime, in JAX and in PyTorch?

    python -m experiments.benchmarks.streaming              # 2 CPU cores, about two minutes
    python -m experiments.benchmarks.streaming --help

A trained network on a small machine is fed one sample at a time. The same model, one layer and a linear head with batch
size 1, takes a step in every implementation; the sample is a NumPy array and so is the prediction, and every call
continues from the carry of the last one. All take turns in one process, each on one thread if possible. Then a process
that has onnxruntime alone runs a stream by itself: how long it takes to its first prediction, the memory it holds, and
the percentiles of a step.

Expected: at these sizes the arithmetic takes a few microseconds, and the rest is what a call costs. onnxruntime should
be the fastest; JAX pays for a module as an argument, and less where its weights are constants of the program.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import jax
import jax.export
import numpy as np
from flax import nnx
from matplotlib.figure import Figure

import recurrax as rx
from experiments import lab, plots
from experiments.benchmarks.cases import median
from experiments.benchmarks.peers import CELLS
from experiments.benchmarks.pytorch import REST, load
from recurrax.palette import MARKERS
from recurrax.report import markdown_table
from recurrax.timing import Program, Refused, attempt, conditions, keep_memory, sample

KEEP_PROGRAMS = False  # nothing comes from the disk
Record = dict[str, Any]
Step = Callable[[np.ndarray], Any]  # a sample [1, D] to a prediction [1, 1]; it keeps its carry
ONNX, INT8, CONSTANT, ARGUMENT, STABLEHLO, TORCH = (
    "onnxruntime", "onnxruntime, int8", "JAX, constant weights", "JAX, weights given", "JAX, StableHLO", "PyTorch",
)  # fmt: skip
COLORS = ("#0072B2", "#56B4E9", "#D55E00", "#E69F00", "#CC79A7", "#009E73")
DEVICE = Path(__file__).with_name("device.py")


@dataclasses.dataclass(frozen=True)
class Config(lab.Settings):
    """Times of one step of a stream."""

    cells: tuple[Literal["RNN", "GRU", "LSTM"], ...] = ("RNN", "GRU", "LSTM")
    """Cells of the layer."""
    features: int = 32
    """Inputs of a step (D)."""
    hidden: tuple[int, ...] = (32, 128, 512)
    """Units of the layer (H)."""
    rounds: int = 25
    """Samples of every implementation at most."""
    seconds: float = 20.0
    """Time for the samples of one cell and size."""
    samples: int = 20_000
    """Steps of the stream in a process of its own."""


PRESETS = {
    "default": Config(),
    "smoke": Config(cells=("LSTM",), features=3, hidden=(8,), rounds=3, seconds=0.5, samples=50),
}


def parts(config: Config) -> dict[str, Callable[[], Any]]:
    """Every cell and size, in this process and in one of its own."""
    for package in ("onnx", "onnxruntime", "flatbuffers"):
        __import__(package)
    found: dict[str, Callable[[], Any]] = {}
    for cell in config.cells:
        for hidden in config.hidden:
            found[f"{cell} H={hidden}"] = functools.partial(compare, config, cell, hidden)
            found[f"{cell} H={hidden} alone"] = functools.partial(alone, config, cell, hidden)
    return found


def build(config: Config, cell: str, hidden: int) -> rx.SequenceModel:
    """One layer and a linear head with one output."""
    rngs = nnx.Rngs(0)
    return rx.SequenceModel(rx.RNN(CELLS[cell](config.features, hidden, rngs=rngs)), 1, rngs=rngs)


def compare(config: Config, cell: str, hidden: int) -> dict[str, Any]:
    """Milliseconds of a step in every implementation, and how far its predictions are from those of recurrax."""
    keep_memory()
    model: Any = build(config, cell, hidden)
    xs = np.random.default_rng(0).normal(size=(20, 1, config.features)).astype(np.float32)
    expected = np.asarray(model(xs[:, 0][None]))[0]
    with conditions("highest"):
        steps: dict[str, Any] = {name: attempt(functools.partial(make, model, xs)) for name, make in STEPS.items()}
        differences = {
            name: float(np.abs(np.stack([np.asarray(step(x)) for x in xs])[:, 0] - expected).max())
            for name, step in steps.items()
            if callable(step)
        }
        x = xs[0]
        programs = {name: Program(lambda step=s: step(x)) if callable(s) else s for name, s in steps.items()}
        rows = sample(programs, config.rounds, config.seconds, rest={TORCH: REST["torch"]})
    return {"cell": cell, "hidden": hidden, "rows": rows, "difference": differences}


def alone(config: Config, cell: str, hidden: int) -> dict[str, Any]:
    """The results of a stream in a process with onnxruntime alone."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "step.onnx"
        path.write_bytes(rx.export.to_onnx(build(config, cell, hidden), stream=True).SerializeToString())
        command = [sys.executable, str(DEVICE), str(path), "--samples", str(config.samples)]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
        return json.loads(done.stdout) | {"file_bytes": path.stat().st_size}


def in_onnxruntime(model: Any, xs: np.ndarray, int8: bool = False) -> Step:
    """The exported step, by onnxruntime on one thread."""
    import onnxruntime

    exported = rx.export.to_onnx(model, stream=True)
    if int8 and not isinstance(model.layer.cell, rx.LSTMCell):
        raise Refused("onnxruntime has no such operator in int8")
    if int8:
        zeros = {one.name: np.zeros((1, one.type.tensor_type.shape.dim[1].dim_value)) for one in exported.graph.input}
        exported = rx.export.to_int8(exported, zeros | {"inputs": xs[0]}).model
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    program, providers = exported.SerializeToString(), ["CPUExecutionProvider"]
    session: Any = onnxruntime.InferenceSession(program, options, providers=providers)
    names = [one.name for one in session.get_inputs()][1:]
    carry = {name: np.zeros((1, model.layer.out_features), np.float32) for name in names}

    def step(x: np.ndarray) -> np.ndarray:
        y, *after = session.run(None, {"inputs": x, **carry})
        carry.update(zip(names, after, strict=True))
        return y

    return step


def in_jax(model: Any, function: Callable[..., Any]) -> Step:
    """A stream of ``function(carry, x) -> (carry, y)``."""
    state = [model.initialize_carry((1,))]

    def step(x: np.ndarray) -> np.ndarray:
        state[0], y = function(state[0], x)
        return np.asarray(y)

    return step


def constant(model: Any, xs: np.ndarray) -> Step:
    """The jitted step of a model that it closes over."""
    return in_jax(model, jax.jit(model.step))


def argument(model: Any, xs: np.ndarray) -> Step:
    """The jitted step that is given the model."""
    return in_jax(model, functools.partial(jax.jit(lambda model, carry, x: model.step(carry, x)), model))


def stablehlo(model: Any, xs: np.ndarray) -> Step:
    """The exported step, by JAX."""
    program = jax.export.deserialize(bytearray(rx.export.to_stablehlo(model, stream=True)))
    call, no = jax.jit(program.call), np.array([False])
    return in_jax(model, lambda carry, x: call(carry, x, no))


def in_torch(model: Any, xs: np.ndarray) -> Step:
    """PyTorch's cell and linear map with the same weights, on one thread."""
    torch, cell = load(), model.layer.cell
    torch.set_num_threads(1)
    theirs = getattr(torch.nn, f"{cell.short}Cell")(cell.in_features, cell.hidden_features)
    head: Any = torch.nn.Linear(cell.hidden_features, 1)
    arrays = {name: torch.from_numpy(array) for name, array in rx.interop.to_torch(model).items()}
    mine = {name.removeprefix("layer.").removesuffix("_l0"): array for name, array in arrays.items() if "_l0" in name}
    theirs.load_state_dict(mine)
    head.load_state_dict({name: arrays[f"head.{name}"] for name in ("weight", "bias")})
    state: list[Any] = [None]

    def step(x: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            state[0] = theirs(torch.from_numpy(x), state[0])
            return head(state[0][0] if isinstance(state[0], tuple) else state[0]).numpy()

    return step


STEPS: dict[str, Callable[..., Any]] = {
    ONNX: in_onnxruntime, INT8: functools.partial(in_onnxruntime, int8=True), CONSTANT: constant, ARGUMENT: argument,
    STABLEHLO: stablehlo, TORCH: in_torch,
}  # fmt: skip


def cases(record: Record) -> dict[str, Any]:
    """Every cell and size that was compared, by name."""
    return {name: found for name, found in record["results"].items() if "rows" in found}


def microseconds(case: dict[str, Any], name: str) -> float:
    """Median time of a step; NaN if the implementation has none."""
    return 1e3 * median(case, name) if case["rows"].get(name, {}).get("milliseconds") else float("nan")


def page(record: Record) -> list[Any]:
    """Title, findings and the two tables."""
    config = record["config"]
    method = (
        f"One layer with D = {config['features']} inputs and a linear head, batch size 1, float32; medians in "
        "microseconds. The last column is the\nlargest difference of a prediction of the float32 implementations from "
        f"recurrax over 20 steps."
    )
    own = (
        f"A process with onnxruntime and NumPy alone, {config['samples']:,} samples from a generator; percentiles of a "
        "step in microseconds."
    )
    return ["One step of a stream", findings(record), method, markdown_table(rows(record)), own,
            markdown_table(processes(record))]  # fmt: skip


def findings(record: Record) -> list[str]:
    """The findings as sentences, made from the numbers."""
    found = cases(record)
    lines = []
    for name in (CONSTANT, ARGUMENT, TORCH):
        ratios = [microseconds(case, name) / microseconds(case, ONNX) for case in found.values()]
        ratios = [ratio for ratio in ratios if ratio == ratio]
        if ratios:
            low, high = f"{min(ratios):.1f}", f"{max(ratios):.1f}"
            times = low if low == high else f"{low} to {high}"
            lines.append(f"{name}: a step takes {times} times as long as in onnxruntime.")
    streams = [entry for entry in record["results"].values() if "rows" not in entry]
    first, memory = (max(entry[key] or 0 for entry in streams) for key in ("seconds_to_first", "mebibytes"))
    late = max(entry["microseconds"]["99"] for entry in streams)
    lines.append(
        f"A process with onnxruntime alone gives its first prediction within {first:.1f} s and holds at most "
        f"{memory:.0f} MiB; 99% of its steps take at most {late:.0f} microseconds."
    )
    return lines


def rows(record: Record) -> list[dict[str, str]]:
    """A row for each cell and size."""
    lines = []
    for title, case in cases(record).items():
        times = {name: microseconds(case, name) for name in STEPS}
        errors = [value for name, value in case["difference"].items() if name != INT8]
        lines.append(
            {"cell": title}
            | {name: f"{time:.1f}" if time == time else "-" for name, time in times.items()}
            | {"difference": f"{max(errors):.0e}"}
        )
    return lines


def processes(record: Record) -> list[dict[str, str]]:
    """A row for each stream in a process of its own."""
    return [
        {
            "cell": name.removesuffix(" alone"),
            "file (KiB)": f"{entry['file_bytes'] / 1024:.0f}",
            "first prediction (s)": f"{entry['seconds_to_first']:.2f}",
            "memory (MiB)": "-" if entry["mebibytes"] is None else f"{entry['mebibytes']:.0f}",
        }
        | {("largest" if p == "100" else f"{p}%"): f"{us:.1f}" for p, us in entry["microseconds"].items()}
        for name, entry in record["results"].items()
        if "rows" not in entry
    ]


def draw(record: Record) -> Figure:
    """The times of every implementation along the size, a panel for each cell."""
    config, found = record["config"], cases(record)
    figure, axes = plots.panels(1, len(config["cells"]), max(2.8, 5.6 / len(config["cells"])), 2.9, sharey=True)
    for panel, cell, letter in zip(axes[0], config["cells"], "abc", strict=False):
        mine = [case for case in found.values() if case["cell"] == cell]
        for name, color, marker in zip(STEPS, COLORS, MARKERS, strict=False):
            times = [microseconds(case, name) for case in mine]
            panel.plot([case["hidden"] for case in mine], times, marker=marker, color=color, ms=4, lw=1.2, label=name)
        panel.set(title=f"{letter}  {cell}", xlabel="units (H)", xscale="log", yscale="log")
        panel.set_xticks(config["hidden"], [str(hidden) for hidden in config["hidden"]])
        panel.set_xticks([], minor=True)
        plots.plain_ticks(panel.yaxis)
    axes[0, 0].set_ylabel("microseconds of a step")
    plots.legend_below(figure, axes[0, 0])
    fastest = sum(np.nanargmin([microseconds(case, name) for name in STEPS]) < 2 for case in found.values())
    plots.takeaway(figure, f"onnxruntime takes the least time in {fastest} of {len(found)} cases")
    return figure


if __name__ == "__main__":
    lab.run(__name__)
