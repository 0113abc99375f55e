"""What does each cell cost, at the same size and at the same number of weights, and what do chunks of steps save?

    python -m experiments.benchmarks.zoo              # 2 CPU cores, about fifteen minutes
    python -m experiments.benchmarks.zoo --cells LSTM mLSTM --lengths 256 1024
    python -m experiments.benchmarks.zoo --help

Every cell of the library with its own defaults: a step of one sequence, as in streaming, and the gradient of a layer
over a batch, as in training, with the engine that "auto" chooses. Once with the same H for all, once with about as
many weights as an LSTM of that H. Then cells whose state is a matrix, with `Chunkwise` and with `Scan`, at growing
lengths: time and memory of values and gradients. All programs of a table take turns; medians of many samples.

Expected: at equal H a cell of matrix states carries far more numbers than an LSTM; chunks are several times faster than
a loop, and need a fraction of its memory.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from matplotlib.figure import Figure

from experiments import lab, plots
from recurrax import Cell, Chunkwise, Scan, cells, timing, unroll
from recurrax.palette import looks
from recurrax.report import markdown_table

KEEP_PROGRAMS = False  # it measures how long compilation takes
CELLS = {cell.short: cell for cell in cells.ALL}
MATRIX = ("mLSTM", "GatedDeltaNet", "GLA")  # exponential gain, delta rule, a decay of every channel
ENGINES = {"chunkwise": Chunkwise, "scan": Scan}


@dataclasses.dataclass(frozen=True)
class Config(lab.Settings):
    """Costs of every cell; the defaults take about fifteen minutes on two CPU cores."""

    cells: tuple[Literal[*CELLS], ...] = tuple(CELLS)  # type: ignore[valid-type]
    """Cells to measure."""
    features: int = 64
    """Inputs of a step (D)."""
    hidden: int = 64
    """Units (H), of all cells in one table, of the LSTM in the other."""
    length: int = 128
    """Steps of a training sequence (T)."""
    batch_size: int = 32
    """Sequences of a training step (B)."""
    matrix_cells: tuple[Literal[*MATRIX], ...] = MATRIX  # type: ignore[valid-type]
    """Cells with matrix states that are run over growing lengths."""
    lengths: tuple[int, ...] = (256, 1024, 4096, 16384)
    """Lengths (T) of those."""
    matrix_batch: int = 2
    """Sequences (B) of those."""
    rounds: int = 30
    """Samples of each program at most."""
    seconds: float = 60.0
    """Seconds for the samples of one table; every program is sampled three times at least."""


PRESETS = {
    "default": Config(),
    "smoke": Config(
        cells=("LSTM", "mLSTM"), features=3, hidden=4, length=8, batch_size=2, matrix_cells=("mLSTM",), lengths=(8,),
        matrix_batch=1, rounds=3, seconds=0.1,
    ),
    "accelerator": Config(features=256, hidden=256, length=1024, batch_size=64, matrix_batch=16),
}  # fmt: skip


def parts(config: Config) -> dict[str, Callable[[], Any]]:
    """A table at equal H, one at equal weights, and one for each cell with matrix states."""
    weights = count("LSTM", config.features, config.hidden)
    equal = {cell: config.hidden for cell in config.cells}
    alike = {cell: hidden_for(cell, config.features, weights) for cell in config.cells}
    return {
        "equal H": functools.partial(costs, config, equal),
        "equal weights": functools.partial(costs, config, alike),
        **{cell: functools.partial(by_length, config, cell) for cell in config.matrix_cells},
    }


def make(cell: str, features: int, hidden: int, key: jax.Array) -> Cell:
    """The cell with its defaults."""
    return CELLS[cell](features, hidden, rngs=nnx.Rngs(key))


def count(cell: str, features: int, hidden: int) -> int:
    """Weights of a cell."""
    shapes = jax.eval_shape(functools.partial(make, cell, features, hidden), jax.random.key(0))
    return sum(leaf.size for leaf in jax.tree.leaves(shapes))


def hidden_for(cell: str, features: int, weights: int) -> int:
    """The H whose number of weights is nearest to the one asked for."""
    low, high = 1, 2
    while count(cell, features, high) < weights:
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if count(cell, features, middle) <= weights else (low, middle)
    return min((low, high), key=lambda hidden: abs(count(cell, features, hidden) - weights))


def costs(config: Config, hidden: dict[str, int]) -> dict[str, Any]:
    """Weights, numbers of the state, and times of a step and of a gradient, of every cell."""
    D, T, B = config.features, config.length, config.batch_size
    x, xs = jax.random.normal(jax.random.key(1), (1, D)), jax.random.normal(jax.random.key(2), (T, B, D))
    made = {name: make(name, D, H, jax.random.key(0)) for name, H in hidden.items()}
    with timing.conditions("default"):
        steps = {
            name: timing.attempt(functools.partial(timing.stream, _step, cell, cell.initialize_carry((1, D)), x))
            for name, cell in made.items()
        }
        gradients = {
            name: timing.attempt(functools.partial(timing.compiled, _gradient("auto"), cell, xs))
            for name, cell in made.items()
        }
        rows = {
            "step": timing.sample(steps, config.rounds, config.seconds, calls=50),
            "gradient": timing.sample(gradients, config.rounds, config.seconds),
        }
    return {
        name: {
            "hidden": hidden[name],
            "weights": sum(leaf.size for leaf in jax.tree.leaves(cell)),
            "state_bytes": sum(leaf.nbytes for leaf in jax.tree.leaves(cell.initialize_carry((D,)))),
            **{kind: table[name] for kind, table in rows.items()},
        }
        for name, cell in made.items()
    }


def by_length(config: Config, cell: str) -> dict[str, Any]:
    """The gradient by `Chunkwise` and by `Scan` at every length."""
    D, made = config.features, make(cell, config.features, config.hidden, jax.random.key(0))
    found = {}
    for T in config.lengths:
        xs = jax.random.normal(jax.random.key(1), (T, config.matrix_batch, D))
        with timing.conditions("default"):
            programs = {
                name: timing.attempt(functools.partial(timing.compiled, _gradient(engine()), made, xs))
                for name, engine in ENGINES.items()
            }
            found[str(T)] = timing.sample(programs, config.rounds, config.seconds / len(config.lengths))
    return found


def _step(cell: Cell, carry: Any, x: jax.Array) -> Any:
    return cell(carry, x)


def _gradient(backend: Any) -> Callable[..., Any]:
    def loss(cell: Cell, xs: jax.Array) -> jax.Array:
        return jnp.mean(unroll(cell, xs, backend=backend)[1] ** 2)

    return jax.value_and_grad(loss)


def page(record: lab.Record) -> list[Any]:
    """Title, findings and tables."""
    config, results = record["config"], record["results"]
    sizes = f"D = {config['features']}; a step of one sequence; the gradient of T = {config['length']} steps of "
    sizes += (
        f"{config['batch_size']} sequences. Milliseconds, medians; the ratio is that of the LSTM in the same table."
    )
    return [
        "What does each cell cost, at the same size and at the same number of weights?",
        findings(record),
        f"## Every cell with H = {config['hidden']}",
        sizes,
        table(results["equal H"]),
        f"## Every cell with about the weights of an LSTM with H = {config['hidden']}",
        sizes,
        table(results["equal weights"]),
        "## Matrix states: a chunk of steps at once, and step by step",
        f"Values and gradients of {config['matrix_batch']} sequences, H = {config['hidden']}, one head: time, and "
        "memory of temporaries and outputs.",
        lengths(record),
    ]


def median(row: dict[str, Any]) -> float:
    """Milliseconds, NaN where a program was refused."""
    return float(np.median(row["milliseconds"])) if row.get("milliseconds") else float("nan")


def findings(record: lab.Record) -> list[str]:
    """The dearest and the cheapest cell, and what chunks save."""
    found = []
    for name in ("equal H", "equal weights"):
        times = {cell: median(entry["gradient"]) for cell, entry in record["results"][name].items()}
        order = sorted((cell for cell in times if np.isfinite(times[cell])), key=lambda cell: times[cell])
        if order:
            found.append(
                f"At {name} the gradient of {order[0]} takes {timing.digits(times[order[0]])} ms and that of "
                f"{order[-1]} {timing.digits(times[order[-1]])} ms."
            )
    for cell in record["config"]["matrix_cells"]:
        rows = record["results"][cell]
        T = max(rows, key=int)
        chunk, loop = (rows[T][engine] for engine in ENGINES)
        if np.isfinite(median(chunk)) and np.isfinite(median(loop)):
            found.append(
                f"{cell} over {T} steps: `Chunkwise` takes {timing.digits(median(loop) / median(chunk))} times less "
                f"time than `Scan`, and {timing.size(timing.needed(chunk))} in place of "
                f"{timing.size(timing.needed(loop))}."
            )
    return found


def table(entries: dict[str, Any]) -> str:
    """One row for each cell."""
    base = {kind: median(entries["LSTM"][kind]) for kind in ("step", "gradient")} if "LSTM" in entries else {}
    rows = []
    for name, entry in entries.items():
        row = {
            "cell": name,
            "structure": CELLS[name].structure.value if name in CELLS else "",
            "H": str(entry["hidden"]),
            "weights": f"{entry['weights']:,}",
            "state": f"{entry['state_bytes']:,} B",
        }
        for kind in ("step", "gradient"):
            ms = median(entry[kind])
            row[kind] = timing.digits(ms) if np.isfinite(ms) else entry[kind].get("refused", "")
            row[f"{kind} / LSTM"] = timing.digits(ms / base[kind]) if base and np.isfinite(ms) else ""
        rows.append(row)
    return markdown_table(rows)


def lengths(record: lab.Record) -> str:
    """One row for each cell and length."""
    rows = []
    for cell in record["config"]["matrix_cells"]:
        for T, entry in record["results"][cell].items():
            chunk, loop = (entry[engine] for engine in ENGINES)
            rows.append({
                "cell": cell,
                "T": f"{int(T):,}",
                "Chunkwise": f"{timing.digits(median(chunk))} ms",
                "Scan": f"{timing.digits(median(loop))} ms",
                "ratio": timing.digits(median(loop) / median(chunk)),
                "Chunkwise, memory": timing.size(timing.needed(chunk)),
                "Scan, memory": timing.size(timing.needed(loop)),
            })  # fmt: skip
    return markdown_table(rows)


def draw(record: lab.Record) -> Figure:
    """Time of a gradient against bytes of state, at equal weights; and time against length."""
    figure, ((left, right),) = plots.panels(1, 2, 4.6, 3.6)
    entries = record["results"]["equal weights"]
    for name, style in looks(entries).items():
        entry = entries[name]
        left.plot(entry["state_bytes"], median(entry["gradient"]), color=style["color"], marker=style["marker"], ms=5)
        left.annotate(
            name, (entry["state_bytes"], median(entry["gradient"])), (3, 2), textcoords="offset points", fontsize=5
        )
    left.set(xscale="log", yscale="log", xlabel="bytes of state", ylabel="ms of a gradient", title="A  Equal weights")
    for cell in record["config"]["matrix_cells"]:
        rows, style = record["results"][cell], looks([cell])[cell]
        T = [int(length) for length in rows]
        for engine, dash in zip(ENGINES, ("-", ":"), strict=True):
            times = [median(rows[length][engine]) for length in rows]
            right.plot(T, times, color=style["color"], marker=style["marker"], ms=4, ls=dash, label=f"{cell}, {engine}")
    right.set(xscale="log", yscale="log", xlabel="steps T", ylabel="ms of a gradient", title="B  Chunks and a loop")
    right.legend()
    plots.takeaway(figure, findings(record)[-1].replace("`", "") if findings(record) else "Costs of cells")
    return figure


if __name__ == "__main__":
    lab.run("experiments.benchmarks.zoo")
