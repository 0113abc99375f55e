"""Measures how fast the gradient of cells vanishes or explodes with the lag, at initialisation.

    recurrax gradients                                              # RNN, GRU and LSTM over 100 steps, half a minute
    recurrax gradients --cells LSTM MinLSTM --forget-bias 0 1 3 --hidden 64 --length 300
    recurrax gradients --cells LRU DiagonalRNN

Every cell reads independent normal inputs. The loss is a random projection of the last output, and its gradient is
taken with respect to the state after every step. The slope, fitted over the middle half of the lags, is the change of
the log gradient per step back in time: at 0 the gradient keeps its size, below 0 it vanishes, and above 0 it explodes.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
import math
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from matplotlib.figure import Figure

from recurrax import Cell, gradflow, report
from recurrax.cli import command, models
from recurrax.cli.command import say, say_where
from recurrax.cli.settings import FREE, Settings
from recurrax.cli.tables import show

NAME = "gradients"
NUMBERS = ("nats per step", "range over seeds", "factor per step", "left at the start", "1% left after")


@dataclasses.dataclass(frozen=True)
class Base(Settings):
    """The cells, their sizes, and the number of steps."""

    cells: tuple[Literal[*models.CELLS], ...] = ("RNN", "GRU", "LSTM")  # type: ignore[valid-type]
    """Cells to measure."""
    hidden: tuple[int, ...] = (32,)
    """Units of every cell (H), one size after another."""
    features: int = 2
    """Inputs of every step (D)."""
    length: int = 100
    """Number of steps (T) over which the gradient is measured."""
    seeds: tuple[int, ...] = tuple(range(10))
    """Independent draws of weights, inputs and loss."""
    out: Path = dataclasses.field(default=Path("runs") / NAME, metadata=FREE)
    """Folder of the record, its page and its figure."""


Config = models.flags(Base, "Config")
PRESETS = {"default": Config()}


def run(arguments: Sequence[str]) -> None:
    """Runs the command line."""
    command.run(sys.modules[__name__], "recurrax gradients", arguments)


def prepare(config: Any) -> dict[str, tuple[str, int, dict[str, float]]]:
    """The measurements by name: cell, H and the arguments of the cell.

    Raises:
        ValueError: a setting is invalid.
    """
    report.check_folder(config.out)
    if config.length < 2:
        config.refuse("length", "an int >= 2, for a slope needs two lags")
    return {name: (cell, hidden, options) for name, cell, hidden, options in subjects(config)}


def subjects(config: Any) -> Iterator[tuple[str, str, int, dict[str, float]]]:
    """All cells at all sizes and all values of their own flags."""
    swept = models.sweep_of(config, config.cells)
    for cell, hidden, *values in itertools.product(config.cells, config.hidden, *swept.values()):
        options = dict(zip(swept, values, strict=True))
        words = [f"H={hidden}"] if len(config.hidden) > 1 else []
        words += [f"{name.replace('_', ' ')} {value:g}" for name, value in options.items()]
        yield " ".join([cell, ", ".join(words)]).strip(), cell, hidden, options


def main(config: Any, parts: dict[str, tuple[str, int, dict[str, float]]]) -> dict[str, Any]:
    """Measures, prints the table, and writes record, page and figure; returns the record."""
    began, results = time.perf_counter(), {}
    for number, (name, (cell, hidden, options)) in enumerate(parts.items(), start=1):
        say(f"[{number}/{len(parts)}] {name}")
        results[name] = measure(config, cell, hidden, options)
    record, out = report.record(NAME, config, results, time.perf_counter() - began), Path(config.out).expanduser()
    report.save(out, record)
    report.write(out / f"{record['hash']}.md", document(record))
    draw(record).savefig(out / f"{record['hash']}.png", dpi=160)
    show(rows(record), title(record), right=NUMBERS)
    print(finding(record), end="\n\n")
    say_where(out, record["hash"])
    return record


def measure(config: Any, cell: str, hidden: int, options: dict[str, float]) -> dict[str, Any]:
    """Measures the log norms ``[S, T+1]`` of the gradient by time, and their slopes ``[S]`` in nats per step."""
    keys = jax.vmap(lambda seed: jax.random.split(jax.random.key(seed), 3))(jnp.asarray(config.seeds))

    def build(key: jax.Array) -> Cell:
        return models.CELLS[cell](config.features, hidden, rngs=nnx.Rngs(key), **options)

    cells = jax.vmap(build)(keys[:, 0])
    xs = jax.vmap(lambda key: jax.random.normal(key, (config.length, config.features)))(keys[:, 1])
    norms = log_norms(cells, xs, keys[:, 2])
    return {"cell": cell, "log_norms": np.asarray(norms), "slopes": np.asarray(gradflow.slope(norms))}


@jax.jit
@functools.partial(jax.vmap, in_axes=(0, 0, 0))
def log_norms(cell: Cell, xs: jax.Array, key: jax.Array) -> jax.Array:
    """``ln |dL/ds_t|``, ``[T+1]``, of a random projection L of the last output."""

    def loss(carry: Any, y: jax.Array) -> jax.Array:
        return jnp.sum(jax.random.normal(key, y.shape) * y).real

    return gradflow.state_gradients(cell, cell.initialize_carry(xs.shape[1:]), xs, loss)


def title(record: dict[str, Any]) -> str:
    """The title of the measurement."""
    config = record["config"]
    return f"Gradient over {config['length']} steps at initialisation, {len(config['seeds'])} seeds"


def rows(record: dict[str, Any]) -> list[dict[str, str]]:
    """One row for each subject: medians over seeds, and the range of the slopes."""
    lines = []
    for name, entry in record["results"].items():
        rates, rate = slopes(entry), median(entry)
        lines.append({
            "cell": name,
            "nats per step": f"{rate:.3f}",
            "range over seeds": f"{rates.min():.3f} to {rates.max():.3f}",
            "factor per step": f"{math.exp(rate):.3f}",
            "left at the start": left(record, rate),
            "1% left after": f"{math.log(0.01) / rate:.0f} steps" if rate < 0 else "never",
        })  # fmt: skip
    return lines


def slopes(entry: dict[str, Any]) -> np.ndarray:
    """The slopes of all seeds, in nats per step."""
    return np.asarray([-math.inf if slope is None else slope for slope in entry["slopes"]], float)


def median(entry: dict[str, Any]) -> float:
    """The median slope over seeds, in nats per step."""
    return float(np.median(slopes(entry)))


def left(record: dict[str, Any], rate: float) -> str:
    """The share of the gradient that reaches the first step at this slope."""
    nats = rate * record["config"]["length"]
    if not math.isfinite(nats):
        return "0" if nats < 0 else "not finite"
    return f"{math.exp(nats):.2g}" if abs(nats) < 7 else f"1e{nats / math.log(10):.0f}"


def finding(record: dict[str, Any]) -> str:
    """A sentence on the cells that keep the most and the least of the gradient."""
    rates = {name: median(entry) for name, entry in record["results"].items()}
    most, least = max(rates, key=lambda name: rates[name]), min(rates, key=lambda name: rates[name])
    told = (
        f"Over {record['config']['length']} steps the gradient is multiplied by {left(record, rates[most])} in {most}"
    )
    return told + (f" and by {left(record, rates[least])} in {least}." if most != least else ".")


def document(record: dict[str, Any]) -> str:
    """Title, figure, table and origin in Markdown."""
    config = record["config"]
    sizes = ", ".join(map(str, config["hidden"]))
    text = (
        f"Inputs of {config['features']} features, independent and normal; H = {sizes}. The slope is fitted over the "
        "middle half of\nthe lags: median over seeds, with its range. The two columns on the right extrapolate it."
    )
    parts = [
        f"# {title(record)}",
        finding(record),
        f"![figure]({record['hash']}.png)",
        text,
        report.markdown_table(rows(record)),
    ]
    return "\n\n".join(part.strip() for part in [*parts, report.footer(record)]) + "\n"


def draw(record: dict[str, Any]) -> Figure:
    """Gradient against lag: median over seeds and its 10-90% band."""
    curves = {
        name: np.asarray([[-np.inf if x is None else x for x in run] for run in entry["log_norms"]], float)
        for name, entry in record["results"].items()
    }
    figure = gradflow.plot_gradients(curves)
    figure.axes[0].set_title(f"{title(record)}.\n{finding(record)}", loc="left", fontsize=8)
    return figure
