"""Times every implementation of a training step in turn, and writes the record and its table."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

import recurrax as rx
from experiments.speed.config import Config
from recurrax import cells, report

NAME = "speed"
FLAX = {"RNN": nnx.SimpleCell, "GRU": nnx.GRUCell, "LSTM": nnx.OptimizedLSTMCell}
BASELINE = "flax.nnx.RNN"


def prepare(config: Config) -> None:
    """Finds an output folder that cannot be written before the first measurement."""
    report.check_folder(config.out)


def main(config: Config, prepared: None = None) -> dict[str, Any]:
    """Measures all cells at all shapes, saving after each; prints the table and gives the record."""
    began = time.perf_counter()
    rows: list[dict[str, Any]] = []
    entry: dict[str, Any] = {}
    for shape in config.shapes:
        for cell in config.cells:
            rows.append({"cell": cell, "shape": shape, "times": measure(cell, shape, config.rounds)})
            complete = len(rows) == len(config.shapes) * len(config.cells)
            entry = report.record(NAME, config, {"rows": rows}, time.perf_counter() - began, complete=complete)
            report.save(config.out, entry)
            print(f"{cell} {shape} done", file=sys.stderr, flush=True)
    print(render(entry, config.out))
    return entry


def render(record: dict[str, Any], folder: Path) -> str:
    """Writes the table of a record beside it; gives it."""
    text = table(record)
    report.write(folder / f"{record['hash']}.md", text)
    return text


def implementations(cell: str, shape: tuple[int, int, int, int]) -> dict[str, tuple[Callable[..., Any], Any]]:
    """Each a function ``(parameters, xs: [B, T, D]) -> ys`` with its parameters, all used as plain pytrees."""
    _, _, D, H = shape
    ours = {"RNN": cells.RNN, "GRU": cells.GRU, "LSTM": cells.LSTM}[cell](D, H, rngs=nnx.Rngs(0))
    engines = {"Scan": rx.Scan(), "Adjoint": rx.Adjoint()}
    layers = {name: rx.RNN(ours, backend=engine) for name, engine in engines.items()}
    theirs = nnx.RNN(FLAX[cell](D, H, rngs=nnx.Rngs(0)))
    return {name: (lambda layer, xs: layer(xs), layer) for name, layer in {**layers, BASELINE: theirs}.items()}


def measure(cell: str, shape: tuple[int, int, int, int], rounds: int) -> dict[str, dict[str, Any]]:
    """Milliseconds of every call of every implementation, interleaved, and seconds to compile each."""
    B, T, D, _ = shape
    xs = jax.random.normal(jax.random.key(0), (B, T, D))
    steps, times = {}, {}
    for name, (run, layer) in implementations(cell, shape).items():

        def loss(layer: Any, xs: jax.Array, run: Callable[..., jax.Array] = run) -> jax.Array:
            return jnp.mean(run(layer, xs) ** 2)

        began = time.perf_counter()
        steps[name] = jax.jit(jax.value_and_grad(loss, allow_int=True)).lower(layer, xs).compile(), layer
        times[name] = {"compile_seconds": time.perf_counter() - began, "milliseconds": []}
    for turn in range(rounds + 1):
        for name, (step, layer) in steps.items():
            began = time.perf_counter()
            jax.block_until_ready(step(layer, xs))
            if turn:  # the first is the warm-up
                times[name]["milliseconds"].append(1e3 * (time.perf_counter() - began))
    return times


def table(record: dict[str, Any]) -> str:
    """Medians with quartiles, and their ratio to Flax's; a function of the record alone."""
    rows, ratios = [], {}
    for row in record["results"]["rows"]:
        baseline = np.median(row["times"][BASELINE]["milliseconds"])
        line = {"cell": row["cell"], "B, T, D, H": ", ".join(map(str, row["shape"]))}
        for name, entry in row["times"].items():
            low, median, high = np.quantile(entry["milliseconds"], [0.25, 0.5, 0.75])
            ratio = f" = {median / baseline:.2f}" if name != BASELINE else ""
            line[f"{name} (ms)"] = f"{median:.1f} [{low:.1f}, {high:.1f}]{ratio}"
            ratios.setdefault(name, []).append(median / baseline)
        rows.append(line)
    means = ", ".join(
        f"{name} {np.exp(np.mean(np.log(values))):.2f}" for name, values in ratios.items() if name != BASELINE
    )
    return (
        "# Training step: value and gradient of mean(y^2) of one layer\n\n"
        "Median [quartiles] in milliseconds, and the ratio of medians to flax.nnx.RNN (SimpleCell, GRUCell,\n"
        "OptimizedLSTMCell), interleaved in one process.\n\n"
        f"{report.markdown_table(rows)}\n"
        f"Geometric mean of the ratios: {means}.\n\n"
        f"{report.origin(record)}, {record['config']['rounds']} rounds.\n"
    )
