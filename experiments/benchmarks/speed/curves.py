"""Growth of the cost, engines that are parallel over time, and start-up costs.

The curves: time of a training step against T, H, B and the number of runs, and its memory against T.
"""

from __future__ import annotations

import dataclasses
import functools
import importlib.util
import itertools
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

import recurrax as rx
from experiments import lab
from experiments.benchmarks import peers
from experiments.benchmarks.speed.config import WITH_IPYTHON, Config
from recurrax import timing
from recurrax.engines.newton import newton
from recurrax.timing import Shape

DENSE = (("GRU", "scan"), ("GRU", "adjoint"), ("GRU", "flax.nnx"))
LINEAR = (("MinGRU", "scan"), ("MinGRU", "adjoint"), ("MinGRU", "associative"))
OTHERS = (("MinLSTM", "associative"), ("DiagonalRNN", "associative"), ("LRU", "associative"))

# Engines with their options, for memory; an engine that refuses its options is a row that says so.
MEMORY = {
    "Scan()": ("scan", {}),
    "Adjoint()": ("adjoint", {}),
    "Scan(checkpoint_every=100)": ("scan", {"checkpoint_every": 100}),
    "Scan(checkpoint_every='sqrt')": ("scan", {"checkpoint_every": "sqrt"}),
    "Scan(checkpoint_every='log')": ("scan", {"checkpoint_every": "log"}),
}
LINEAR_MEMORY = {
    "Scan()": ("scan", {}),
    "Associative()": ("associative", {}),
    "Associative(chunk=256)": ("associative", {"chunk": 256}),
}
UNITS, FEATURES = 16, 4  # H of Newton's cells, whose work grows with H^3, and D of their inputs
FIRST = (64, 784, 1, 128)  # shape of the first call
IMPORTS = """
import sys, time
sys.modules.update({hidden})
began = time.perf_counter(); import jax, flax, optax
between = time.perf_counter(); import {package}
print(between - began, time.perf_counter() - between)
"""


def measured(config: Config) -> dict[str, dict[str, Callable[[], Any]]]:
    """The measurements of each part but "peers", by name."""
    small = max(max(shape) for shape in config.shapes) < 64
    return {
        "scaling": scaling(config),
        "memory": {"memory": functools.partial(engines_memory, config)},
        "parallel": {
            "parallel associative": functools.partial(associative, config),
            "parallel newton": functools.partial(newtons, config),
        },
        "start": {
            "import": functools.partial(imports, min(11, config.rounds)),
            "first call": functools.partial(first_call, config.shapes[0] if small else FIRST, min(7, config.rounds)),
        },
    }


def scaling(config: Config) -> dict[str, Callable[[], Any]]:
    """The curves, by name: each a list of points ``{"x": size, "rows": {series: times and memory}}``."""
    s = config.scaling
    B, T, D, H = s.base
    everything = DENSE + LINEAR + OTHERS
    curves = {
        "scaling T": ([(x, (1, x, D, H), 1) for x in s.lengths], everything),
        "scaling H": ([(x, (B, T, D, x), 1) for x in s.hidden], DENSE + LINEAR[1:]),
        "scaling B": ([(x, (x, T, D, H), 1) for x in s.batches], DENSE + LINEAR[1:]),
        "scaling runs": ([(x, s.base, x) for x in s.seeds], DENSE),
    }
    parts: dict[str, Callable[[], Any]] = {}
    for name, (points, series) in curves.items():
        if points:
            chosen = [(cell, engine) for cell, engine in series if cell in s.cells]
            parts[name] = functools.partial(curve, config, points, chosen)
    return parts | ({"memory T": functools.partial(memory_curve, config)} if s.memory_lengths else {})


def curve(
    config: Config, points: Iterable[tuple[int, Shape, int]], series: Iterable[tuple[str, str]]
) -> list[dict[str, Any]]:
    """The training step of every series at every point: a size, the shape (B, T, D, H) and how many runs at once."""
    found = []
    for x, shape, runs in points:
        lab.say(f"    {shape}" + (f" x {runs} runs" if runs > 1 else ""))
        programs = {
            f"{cell} {name}": timing.attempt(functools.partial(training, cell, name, shape, runs))
            for cell, name in series
        }
        # Long calls come in three samples anyway; short ones need no more than a tenth of a case.
        rows = timing.sample(programs, min(7, config.rounds), config.seconds_per_case / 10)
        found.append({"x": x, "shape": shape, "runs": runs, "rows": rows})
    return found


def training(cell: str, name: str, shape: Shape, runs: int = 1) -> timing.Program:
    """The compiled training step of ``runs`` layers at once, which see the same inputs."""
    layer = peers.layer(name if name in peers.PEERS else f"recurrax {name}", cell, shape)
    return timing.compiled(*peers.step(layer if runs == 1 else ensemble(layer, runs), shape))


def ensemble(layer: peers.Layer, runs: int) -> peers.Layer:
    """So many copies of a layer, vmapped over their parameters."""
    stacked = [jnp.stack([leaf] * runs) for leaf in layer.parameters]
    return dataclasses.replace(layer, parameters=stacked, run=jax.vmap(layer.run, in_axes=(0, None)))


def memory_curve(config: Config) -> list[dict[str, Any]]:
    """Bytes of the training step of GRU and MinGRU at every T; compiled, never run."""
    B, _, D, H = config.scaling.base
    return [
        {"x": T, "shape": (B, T, D, H), "rows": memory_rows("GRU", MEMORY, (B, T, D, H))
         | memory_rows("MinGRU", LINEAR_MEMORY, (B, T, D, H))}
        for T in config.scaling.memory_lengths
    ]  # fmt: skip


def engines_memory(config: Config) -> dict[str, Any]:
    """Bytes of one training step of the LSTM under every engine, and under flax.nnx.RNN."""
    shape = config.scaling.memory_shape
    rows = memory_rows("LSTM", MEMORY, shape)
    rows["LSTM flax.nnx"] = timing.attempt(lambda: weighed(peers.layer("flax.nnx", "LSTM", shape), shape))
    return {"shape": shape, "cell": "LSTM", "rows": rows}


def memory_rows(cell: str, variants: dict[str, Any], shape: Shape) -> dict[str, Any]:
    """Bytes and seconds to compile, under every engine."""

    def build(name: str, options: dict[str, Any]) -> dict[str, Any]:
        return weighed(peers.ours(cell, shape, backend=peers.engine(name, **options)), shape)

    return {
        f"{cell} {label}": timing.attempt(functools.partial(build, name, options))
        for label, (name, options) in variants.items()
    }


def weighed(layer: peers.Layer, shape: Shape) -> dict[str, Any]:
    """The memory needs of the compiled training step; nothing is run, and no input of that size is made."""
    run, parameters, _ = peers.step(layer, (1, 1, shape[2], shape[3]))
    program = timing.compiled(run, parameters, jax.ShapeDtypeStruct(shape[:3], jnp.float32))
    return {"memory": program.memory, "compile_seconds": program.compile_seconds}


def associative(config: Config) -> dict[str, Any]:
    """The training step of a MinGRU under Scan and Associative: times, memory, greatest deviation of outputs."""
    shape = (1, config.scaling.parallel_length, 32, 32)
    xs = jax.random.normal(jax.random.key(1), shape[:3])
    built = {
        label: timing.attempt(lambda name=name, options=options: _build(name, options, shape, xs))
        for label, (name, options) in LINEAR_MEMORY.items()
    }
    programs = {label: found if isinstance(found, dict) else found[0] for label, found in built.items()}
    outputs = {label: found[1] for label, found in built.items() if not isinstance(found, dict)}
    rows = timing.sample(programs, config.rounds, config.seconds_per_case)
    for label, ys in outputs.items():
        rows[label]["deviation"] = float(np.max(np.abs(ys - outputs["Scan()"])))
    return {"cell": "MinGRU", "shape": shape, "rows": rows}


def _build(name: str, options: dict[str, Any], shape: Any, xs: jax.Array) -> tuple[timing.Program, np.ndarray]:
    layer = peers.ours("MinGRU", shape, backend=peers.engine(name, **options))
    program = timing.compiled(*peers.step(layer, shape))
    return program, np.asarray(jax.jit(layer.run)(layer.parameters, xs))


def newtons(config: Config) -> dict[str, Any]:
    """Newton against Scan for every cell, T and gain of the recurrent weights."""
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
    """The end of Newton's iteration, the deviation from Scan's outputs, and milliseconds of both forward passes."""
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


def imports(repeats: int) -> dict[str, list[float]]:
    """Seconds of ``import jax, flax, optax``, and of recurrax or flax.nnx after it, each in a new process.

    As in a plain installation: flax.nnx imports IPython where that is found, so it is hidden, and counted apart where
    there is one. All are imported from bytecode, as pip installs them; a source tree has none if Python does not write
    it.
    """
    packages = ("recurrax", "flax.nnx", *((WITH_IPYTHON,) if importlib.util.find_spec("IPython") else ()))
    rows: dict[str, list[float]] = {"base": [], **{package: [] for package in packages}}
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    with tempfile.TemporaryDirectory() as bytecode:
        environment["PYTHONPYCACHEPREFIX"] = bytecode
        for repeat, package in itertools.product(range(repeats + 1), packages):
            hidden = {} if package == WITH_IPYTHON else {"IPython": None}
            code = IMPORTS.format(package=package.split()[0], hidden=hidden)
            done = subprocess.run(
                [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
            )
            if repeat:  # the first one writes bytecode
                for name, seconds in zip(("base", package), done.stdout.split(), strict=True):
                    rows[name].append(float(seconds))
    return rows


def first_call(shape: tuple[int, int, int, int], repeats: int) -> dict[str, Any]:
    """Seconds to trace and to compile an LSTM's training step, each time from nothing, in turn."""
    names = ("recurrax auto", "recurrax scan", "flax.nnx")
    rows: dict[str, dict[str, list[float]]] = {name: {"trace": [], "compile": []} for name in names}
    for _ in range(repeats):
        for name in names:
            layer = peers.layer(name, "LSTM", shape)
            run, *arguments = peers.step(layer, shape)
            jax.clear_caches()
            began = time.perf_counter()
            lowered = jax.jit(run).lower(*arguments)
            between = time.perf_counter()
            lowered.compile()
            rows[name]["trace"].append(between - began)
            rows[name]["compile"].append(time.perf_counter() - between)
    return {"shape": shape, "rows": rows}
