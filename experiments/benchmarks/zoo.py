"""What does every cell cost, and when is a chunk of steps at once worth it?

    python -m experiments.benchmarks.zoo              # 2 CPU cores, about six minutes
    python -m experiments.benchmarks.zoo --help

Every cell is timed beside an LSTM, in turn in one process: one streaming step, and a training step (value and gradient
of the mean square of the outputs), once with as many units as the LSTM has and once with about as many weights. Then
cells with matrix states run over longer and longer sequences, in a loop and a chunk at a time: time and memory.

Expected: with few numbers of state for each unit, cells that are linear in their state train fastest, because all
their products are made before the loop; with many, as in S4D and Mamba, they are slowest. In chunks, matrix states are
several times faster than in a loop and need a fraction of the memory.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterator
from typing import Any

import jax
import numpy as np
from flax import nnx
from matplotlib.axes import Axes
from matplotlib.figure import Figure

import recurrax as rx
from experiments import lab, plots
from experiments.benchmarks import peers
from experiments.benchmarks.cases import Record, geometric, interval, median, timed
from recurrax import cells, timing
from recurrax.cell import Structure
from recurrax.palette import look
from recurrax.report import markdown_table
from recurrax.timing import digits, needed, size

KEEP_PROGRAMS = False  # it measures how long compilation takes
REFERENCE = "LSTM"
STRUCTURES = {cell.short: cell.structure for cell in cells.ALL}
MATRIX = tuple(name for name, structure in STRUCTURES.items() if structure is Structure.MATRIX)
EQUAL = {"units": "as many units", "weights": "as many weights"}
PASSES = {"step": "streaming step", "training": "training step"}
LONG = {"loop": rx.Scan(), "chunks": rx.Chunkwise()}


@dataclasses.dataclass(frozen=True)
class Config(lab.Settings):
    """Times of every cell; the defaults take about six minutes on two CPU cores."""

    cells: tuple[str, ...] = tuple(STRUCTURES)
    """Cells to time beside the LSTM, by their names without "Cell"."""
    shape: timing.Shape = (16, 100, 64, 64)
    """Shape (B, T, D, H) of the LSTM: batch, steps, inputs, units."""
    long_cells: tuple[str, ...] = MATRIX
    """Cells with matrix states that are run over long sequences."""
    lengths: tuple[int, ...] = (256, 1024, 4096, 16384)
    """Their steps T, with a batch of one, and inputs and units as in the shape."""
    rounds: int = 15
    """Most samples of a program in a case, one of each in turn."""
    seconds_per_case: float = 2.0
    """Samples are taken until this is spent, but at least three; compilation comes on top."""

    def __post_init__(self) -> None:
        """Refuses what cannot be run, before anything is compiled."""
        super().__post_init__()
        if not set(self.cells) <= set(STRUCTURES):
            self.refuse("cells", f"one or more of {', '.join(STRUCTURES)}")
        if not set(self.long_cells) <= set(MATRIX):
            self.refuse("long_cells", f"one or more of {', '.join(MATRIX)}")


PRESETS = {
    "default": Config(),
    "smoke": Config(
        cells=("LSTM", "LRU"), shape=(2, 5, 4, 8), long_cells=("GLA",), lengths=(16, 32), rounds=2,
        seconds_per_case=0.1,
    ),
    "accelerator": Config(shape=(64, 512, 512, 512), lengths=(1024, 4096, 16384, 65536)),
}  # fmt: skip


def parts(config: Config) -> dict[str, Callable[[], Any]]:
    """Every cell beside the LSTM, and every matrix cell at every length."""
    timing.keep_memory()
    measured: dict[str, Callable[[], Any]] = {}
    for equal, words in EQUAL.items():
        for cell in config.cells:
            measured[f"{words} {cell}"] = functools.partial(beside, config, cell, equal)
    for cell in config.long_cells:
        for length in config.lengths:
            measured[f"T={length} {cell}"] = functools.partial(long, config, cell, length)
    return measured


def beside(config: Config, cell: str, equal: str) -> dict[str, Any]:
    """A cell and the LSTM: weights, bytes of state of a sequence, times of both passes."""
    B, T, D, H = config.shape
    units = H if equal == "units" else same_weights(cell, D, weights(REFERENCE, D, H))
    layers = {cell: peers.ours(cell, (B, T, D, units)), f"{REFERENCE} beside": peers.ours(REFERENCE, config.shape)}
    programs = {}
    for name, layer in layers.items():
        programs[f"training {name}"], programs[f"step {name}"] = trained(layer, config.shape), streamed(layer, B, D)
    with timing.conditions("default"):
        rows = timing.sample({name: timing.attempt(make) for name, make in programs.items()}, *budget(config))
    state = peers.CELLS[cell](D, units, rngs=nnx.Rngs(0)).initialize_carry((D,))
    nbytes = sum(leaf.nbytes for leaf in jax.tree.leaves(state))
    return {"cell": cell, "equal": equal, "units": units, "weights": weights(cell, D, units), "state": nbytes,
            "rows": rows}  # fmt: skip


def trained(layer: peers.Layer, shape: timing.Shape) -> Callable[[], timing.Program]:
    """Compiles a training step."""
    return lambda: timing.compiled(*peers.step(layer, shape))


def streamed(layer: peers.Layer, batch: int, in_features: int) -> Callable[[], timing.Program]:
    """Compiles a step whose next call continues from its carry."""
    x = jax.random.normal(jax.random.key(2), (batch, in_features))
    return lambda: timing.stream(layer.step, layer.parameters, layer.carry, x)


def long(config: Config, cell: str, length: int) -> dict[str, Any]:
    """Training steps of a cell with matrix states, over a long sequence in a loop and in chunks."""
    shape = (1, length, *config.shape[2:])
    programs = {name: trained(peers.ours(cell, shape, backend=engine), shape) for name, engine in LONG.items()}
    with timing.conditions("default"):
        rows = timing.sample({name: timing.attempt(make) for name, make in programs.items()}, *budget(config))
    return {"cell": cell, "length": length, "rows": rows}


def budget(config: Config) -> tuple[int, float]:
    """Rounds and seconds of a case."""
    return config.rounds, config.seconds_per_case


@functools.cache
def weights(cell: str, in_features: int, units: int) -> int:
    """Numbers that a cell learns."""
    made = jax.eval_shape(lambda: peers.CELLS[cell](in_features, units, rngs=nnx.Rngs(0)))
    return sum(leaf.size for leaf in jax.tree.leaves(made))


def same_weights(cell: str, in_features: int, wanted: int) -> int:
    """The number of units, in steps of 4, whose cell is nearest to so many weights."""
    units = 4
    while weights(cell, in_features, units + 4) < wanted:
        units += 4
    return min(units, units + 4, key=lambda u: abs(weights(cell, in_features, u) - wanted))


def page(record: Record) -> list[Any]:
    """Title, findings and tables."""
    B, T, D, H = record["config"]["shape"]
    method = (
        f"Batch {B}, {T} steps, {D} inputs; the LSTM has {H} units. Times are medians in milliseconds; a ratio is the "
        "time of a cell over that of an LSTM which was timed in turn with it. Every cell runs under "
        '`backend="auto"`. Bytes of state are those of one sequence.'
    )
    tables = [f"## With {words} as the LSTM\n\n{markdown_table(rows(record, equal))}" for equal, words in EQUAL.items()]
    lengths = (
        "## Matrix states over long sequences\n\nTraining steps with a batch of one, in a loop (`Scan`) and a chunk "
        "at a time (`Chunkwise`). Brackets hold the 95% bootstrap interval of the ratio, from five rounds on; memory "
        "is that of the compiled program's temporaries and outputs."
    )
    return ["What does every cell cost?", list(findings(record)), method, *tables, lengths,
            markdown_table(long_rows(record))]  # fmt: skip


def ratio(entry: Any, which: str) -> float:
    """Time of a cell over that of the LSTM beside it; NaN where it was refused."""
    own, other = f"{which} {entry['cell']}", f"{which} {REFERENCE} beside"
    return median(entry, own) / median(entry, other) if timed(entry, own) else float("nan")


def entries(record: Record, equal: str) -> list[Any]:
    """Cells that were timed beside the LSTM, with equal units or weights."""
    return [entry for entry in record["results"].values() if entry.get("equal") == equal]


def long_entries(record: Record) -> list[Any]:
    """Cells and lengths."""
    return [entry for entry in record["results"].values() if "length" in entry]


def findings(record: Record) -> Iterator[str]:
    """The findings as sentences, made from the numbers."""
    for equal, words in EQUAL.items():
        found = {entry["cell"]: ratio(entry, "training") for entry in entries(record, equal)}
        ordered = sorted((cell for cell in found if not np.isnan(found[cell])), key=lambda cell: found[cell])
        rivals = {cell: value for cell, value in found.items() if cell != REFERENCE}
        yield (
            f"With {words} as the LSTM, {sum(value < 1 for value in rivals.values())} of {len(rivals)} other cells "
            f"train faster than it. A training step takes {with_ratios(ordered[:3], found)} of the LSTM's time, and at "
            f"the other end {with_ratios(ordered[-3:], found)}."
        )
    both = [entry for entry in long_entries(record) if all(timed(entry, name) for name in LONG)]
    for length in sorted({entry["length"] for entry in both}):
        mine = [entry for entry in both if entry["length"] == length]
        faster = [median(entry, "loop") / median(entry, "chunks") for entry in mine]
        memory = [needed(e["rows"]["loop"]) / needed(e["rows"]["chunks"]) for e in mine if needed(e["rows"]["loop"])]  # type: ignore[operator]
        less = f", and need {1 / geometric(memory):.1%} of the memory" if memory else ""
        yield (
            f"Over {length:,} steps matrix cells train {geometric(faster):.1f} times as fast with `Chunkwise` as with "
            f"`Scan` ({min(faster):.1f} to {max(faster):.1f} over {len(mine)} cells){less}."
        )


def with_ratios(names: list[str], values: dict[str, float]) -> str:
    """Names with their ratios."""
    return ", ".join(f"{values[name]:.2f} ({name})" for name in names)


def rows(record: Record, equal: str) -> list[dict[str, str]]:
    """Every cell: weights, bytes, times and their ratios to the LSTM's."""
    table = []
    for entry in entries(record, equal):
        row = {
            "cell": entry["cell"],
            "structure": str(STRUCTURES[entry["cell"]]).rpartition(".")[2].lower(),
            "units": str(entry["units"]),
            "weights": f"{entry['weights']:,}",
            "state (bytes)": f"{entry['state']:,}",
        }
        for which, words in PASSES.items():
            name = f"{which} {entry['cell']}"
            known = timed(entry, name)
            row[f"{words} (ms)"] = digits(median(entry, name)) if known else entry["rows"][name]["refused"]
            row[f"{words} / LSTM"] = f"{ratio(entry, which):.2f}" if known else "-"
        table.append(row)
    return table


def long_rows(record: Record) -> list[dict[str, str]]:
    """Every matrix cell and length: time and memory in a loop and in chunks."""
    table = []
    for entry in long_entries(record):
        row = {"cell": entry["cell"], "T": f"{entry['length']:,}"}
        for name in LONG:
            known = timed(entry, name)
            row[f"{name} (ms)"] = digits(median(entry, name)) if known else entry["rows"][name]["refused"]
            row[f"{name}, memory"] = size(needed(entry["rows"][name])) if known else "-"
        if all(timed(entry, name) for name in LONG):
            between = interval(entry, "loop", "chunks")
            spread = f" [{between[0]:.1f}, {between[1]:.1f}]" if between else ""
            row["loop / chunks"] = f"{median(entry, 'loop') / median(entry, 'chunks'):.1f}{spread}"
        table.append(row)
    return table


def draw(record: Record) -> Figure:
    """Time of a training step of every cell with equal weights, and of matrix states against the length."""
    found = [entry for entry in entries(record, "weights") if timed(entry, f"training {entry['cell']}")]
    figure, axes = plots.panels(1, 2, 3.8, 1.2 + 0.13 * len(found))
    left, right = axes[0]
    ordered = sorted(found, key=lambda entry: -ratio(entry, "training"))
    names, values = [entry["cell"] for entry in ordered], [ratio(entry, "training") for entry in ordered]
    left.barh(range(len(names)), np.array(values) - 1, left=1, color=[look(name)["color"] for name in names])
    left.set_yticks(range(len(names)), names, fontsize=6)
    left.axvline(1, color="0.3", lw=0.7)
    left.set(
        title="a  A training step, equal weights",
        xlabel="time over that of the LSTM",
        xscale="log",
        ylim=(-1, len(names)),
    )
    plots.plain_ticks(left.xaxis)
    against_length(right, record)
    faster = sum(value < 1 for name, value in zip(names, values, strict=True) if name != REFERENCE)
    plots.takeaway(figure, f"{faster} cells of {len(found)} train faster than an LSTM of equally many weights")
    return figure


def against_length(axes: Axes, record: Record) -> None:
    """Milliseconds of a step of the sequence, in a loop and in chunks."""
    for cell in dict.fromkeys(entry["cell"] for entry in long_entries(record)):
        for name, line in (("loop", "--"), ("chunks", "-")):
            mine = [e for e in long_entries(record) if e["cell"] == cell and timed(e, name)]
            each = [1e3 * median(entry, name) / entry["length"] for entry in mine]
            axes.plot([e["length"] for e in mine], each, **{**look(cell), "ls": line}, label=f"{cell}, {name}")
    axes.set(title="b  Matrix states: a loop (dashed) and chunks", xlabel="steps of the sequence",
             ylabel="microseconds a step, training", xscale="log", yscale="log")  # fmt: skip
    plots.plain_ticks(axes.xaxis)
    plots.plain_ticks(axes.yaxis)
    handles, labels = axes.get_legend_handles_labels()
    kept = [(h, text.partition(",")[0]) for h, text in zip(handles, labels, strict=True) if text.endswith("chunks")]
    axes.legend(*zip(*kept, strict=True), fontsize=6, loc="center", bbox_to_anchor=(0.5, 0.62), ncols=2)


if __name__ == "__main__":
    lab.run(__name__)
