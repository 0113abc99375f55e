"""How a training step's time grows with T, H, B and the number of runs, and its memory with T."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterable
from typing import Any

import jax
import jax.numpy as jnp

from experiments.parts import say
from experiments.speed import peers, timing
from experiments.speed.config import Config, Shape

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


def measured(config: Config) -> dict[str, Callable[[], Any]]:
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
        say(f"    {shape}" + (f" x {runs} runs" if runs > 1 else ""))
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
    return timing.compiled(*step(layer if runs == 1 else ensemble(layer, runs), shape))


def step(layer: peers.Layer, shape: Shape) -> tuple[Callable[..., Any], list[jax.Array], jax.Array]:
    """The training step and its arguments."""
    xs = jax.random.normal(jax.random.key(1), shape[:3])
    return jax.value_and_grad(functools.partial(peers.loss, layer.run)), layer.parameters, xs


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
    """What the compiled training step needs; nothing is run, and no input of that size is made."""
    run, parameters, _ = step(layer, (1, 1, shape[2], shape[3]))
    program = timing.compiled(run, parameters, jax.ShapeDtypeStruct(shape[:3], jnp.float32))
    return {"memory": program.memory, "compile_seconds": program.compile_seconds}
