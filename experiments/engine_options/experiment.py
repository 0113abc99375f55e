"""Measures every cell and shape as a part of its own, and writes the record, its tables and its figure."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax.numpy as jnp
from flax import nnx

from experiments import parts
from experiments.engine_options import figure, tables
from experiments.engine_options.config import Config
from experiments.engine_options.without import TRICKS, without
from experiments.speed import peers, timing, tune
from experiments.speed.config import Shape, Tune
from recurrax import report
from recurrax.engines import Adjoint
from recurrax.engines.tuning import CHOICES
from recurrax.engines.tuning import tune as decide

NAME = "engine_options"


def prepare(config: Config) -> None:
    """Everything that can be wrong with the settings, found before anything is compiled."""
    for name in config.cells:
        if name not in peers.CELLS:
            raise ValueError(f"cells={config.cells}; allowed: {', '.join(peers.CELLS)}. Try --cells LSTM.")
    report.check_folder(config.out)


def main(config: Config, prepared: None = None) -> dict[str, Any]:
    """Measures, prints the tables, and writes record, table and figure; gives the record."""
    timing.keep_memory()
    with timing.conditions("default"):
        record = parts.measure(NAME, config, measured(config))
    print(render(record, config.out))
    return record


def render(record: dict[str, Any], folder: Path) -> str:
    """Writes the tables and the figure of a record beside it; gives the tables."""
    return parts.publish(record, folder, tables.document, figure.draw)


def measured(config: Config) -> dict[str, Callable[[], Any]]:
    """What is to be measured, by name."""
    return {
        f"{cell} {','.join(map(str, shape))} {dtype}": functools.partial(case, config, cell, shape, dtype)
        for dtype in config.dtypes
        for shape in config.shapes
        for cell in config.cells
    }


def case(config: Config, cell: str, shape: Shape, dtype: str) -> dict[str, Any]:
    """Every engine and option at one shape, in turn, and what "auto" decides there."""
    settings = Tune(shape, (cell,), dtype, config.rounds, config.seconds_per_case)  # type: ignore[arg-type]
    rows = tune.measured(settings, cell, {f"{tables.WITHOUT}{trick}": without(trick) for trick in TRICKS})
    return {"cell": cell, "shape": shape, "dtype": dtype, "auto": decided(cell, shape, dtype), "rows": rows}


def decided(cell: str, shape: Shape, dtype: str) -> dict[str, Any]:
    """The options of `Adjoint` that `recurrax.engines.tuning` decides on."""
    B, T, D, H = shape
    module = peers.CELLS[cell](D, H, dtype=jnp.dtype(dtype), param_dtype=jnp.dtype(dtype), rngs=nnx.Rngs(0))
    found = decide(Adjoint(), module, module.initialize_carry((B, D)), jnp.zeros((T, B, D), dtype))
    return {name: getattr(found, name) for name in (*CHOICES, "chunk", "unroll")}
