"""Engines that are parallel over time, against Scan: values, time, memory, and where Newton's method stops."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

import recurrax as rx
from experiments.speed import peers, scaling, timing
from experiments.speed.config import Config

UNITS = 16  # H of Newton's cells, whose work grows with H^3
FEATURES = 4  # D of Newton's inputs


def measured(config: Config) -> dict[str, Callable[[], Any]]:
    """Both, by name."""
    return {
        "parallel associative": functools.partial(associative, config),
        "parallel newton": functools.partial(newtons, config),
    }


def associative(config: Config) -> dict[str, Any]:
    """The training step of a MinGRU under Scan and Associative: times, memory, greatest deviation of outputs."""
    shape = (1, config.scaling.parallel_length, 32, 32)
    xs = jax.random.normal(jax.random.key(1), shape[:3])
    built = {
        label: timing.attempt(lambda name=name, options=options: _build(name, options, shape, xs))
        for label, (name, options) in scaling.LINEAR_MEMORY.items()
    }
    programs = {label: found if isinstance(found, dict) else found[0] for label, found in built.items()}
    outputs = {label: found[1] for label, found in built.items() if not isinstance(found, dict)}
    rows = timing.sample(programs, config.rounds, config.seconds_per_case)
    for label, ys in outputs.items():
        rows[label]["deviation"] = float(np.max(np.abs(ys - outputs["Scan()"])))
    return {"cell": "MinGRU", "shape": shape, "rows": rows}


def _build(name: str, options: dict[str, Any], shape: Any, xs: jax.Array) -> tuple[timing.Program, np.ndarray]:
    layer = peers.ours("MinGRU", shape, backend=peers.engine(name, **options))
    program = timing.compiled(*scaling.step(layer, shape))
    return program, np.asarray(jax.jit(layer.run)(layer.parameters, xs))


def newtons(config: Config) -> dict[str, Any]:
    """Newton against Scan for every cell, T and gain of the recurrent weights."""
    try:
        from recurrax.engines.newton import newton
    except ImportError:
        return {"refused": "not available"}

    rows = []
    for cell in config.cells:
        module = peers.CELLS[cell](FEATURES, UNITS, rngs=nnx.Rngs(0))
        for T in config.scaling.newton_lengths:
            xs = jax.random.normal(jax.random.key(1), (T, 1, FEATURES))
            programs = jax.jit(newton), jax.jit(functools.partial(rx.unroll, backend=rx.Scan()))
            for gain in config.scaling.gains:
                row = timing.attempt(functools.partial(solve, programs, scaled(module, gain), xs))
                rows.append({"cell": cell, "T": T, "gain": gain, **row})
    return {"H": UNITS, "D": FEATURES, "rows": rows}


def solve(programs: tuple[Any, Any], cell: Any, xs: jax.Array) -> dict[str, Any]:
    """How Newton's iteration ended, how far its outputs are from Scan's, and milliseconds of both forward passes."""
    newton, scan = programs
    carry = cell.initialize_carry(xs.shape[1:])
    found, (_, expected) = newton(cell, carry, xs), scan(cell, xs)
    ys = cell.readout(found.carries, xs)
    calls = {
        "newton": timing.Program(lambda: jax.block_until_ready(newton(cell, carry, xs))),
        "scan": timing.Program(lambda: jax.block_until_ready(scan(cell, xs))),
    }
    times = timing.sample(calls, 5, 0.5)
    return {
        "converged": bool(found.converged),
        "iterations": int(found.iterations),
        "residual": float(found.residual),
        "deviation": float(jnp.max(jnp.abs(ys - expected))),
        "milliseconds": {name: row["milliseconds"] for name, row in times.items()},
    }


def scaled(cell: Any, gain: float) -> Any:
    """The cell with its recurrent weights multiplied."""
    cell = nnx.clone(cell)
    cell.recurrent_kernel[...] = gain * cell.recurrent_kernel[...]
    return cell
