"""What can be counted: gates, parameters, floating-point operations and bytes of state; and what a step costs."""

from __future__ import annotations

import time

import jax
import jax.numpy as jnp
from flax import nnx

import recurrax as rx
from experiments.models import CELLS
from recurrax import Cell

SIZE = 128  # D = H of the counts; the ratios depend on it through the biases alone
CANDIDATES = ("c_tilde", "n")  # fields of a cell's gates that are no gates: what may be written
COMPARED = ("RNN", "GRU", "LSTM")


def count() -> dict[str, dict[str, float | None]]:
    """Of each cell: its gates, parameters, FLOP of a step by its equations and by XLA's count, bytes of state."""
    return {name: _count(CELLS[name](SIZE, SIZE, rngs=nnx.Rngs(0))) for name in (*COMPARED, "CIFG")}


def _count(cell: Cell) -> dict[str, float | None]:
    x = jnp.zeros(SIZE)
    carry = cell.initialize_carry(x.shape)
    gates = jax.eval_shape(cell.gates, carry, x)._asdict() if hasattr(cell, "gates") else {}  # type: ignore[attr-defined]
    analysis = jax.jit(lambda cell, carry, x: cell(carry, x)).lower(cell, carry, x).compile().cost_analysis() or {}
    if isinstance(analysis, list):
        (analysis,) = analysis
    kernels = cell.kernel.size + cell.recurrent_kernel.size  # type: ignore[attr-defined]
    return {
        "gates": len([name for name in gates if name not in CANDIDATES]),
        "parameters": sum(leaf.size for leaf in jax.tree.leaves(cell)),
        "flop": 2.0 * kernels,  # a multiplication and an addition for each weight
        "flop_xla": analysis.get("flops"),
        "state_bytes": sum(leaf.nbytes for leaf in jax.tree.leaves(carry)),
    }


def cost(hidden: int, rounds: int, *, batch: int = 32, steps: int = 100) -> dict[str, dict[str, list[float]]]:
    """Milliseconds of every forward pass and training step of each cell, in turn: ``{cell: {pass: [rounds]}}``.

    One layer over ``xs: [B, T, D]`` with D = H; a training step is value and gradient of mean(y^2).
    """
    xs = jax.random.normal(jax.random.key(0), (batch, steps, hidden))
    passes = {"forward": _loss, "training": jax.value_and_grad(_loss)}
    programs = {}
    for name in COMPARED:
        layer = rx.RNN(CELLS[name](hidden, hidden, rngs=nnx.Rngs(0)))
        programs[name] = {label: jax.jit(run).lower(layer, xs).compile() for label, run in passes.items()}, layer
    times: dict[str, dict[str, list[float]]] = {name: {label: [] for label in passes} for name in COMPARED}
    for turn in range(rounds + 1):
        for name, (compiled, layer) in programs.items():
            for label, run in compiled.items():
                began = time.perf_counter()
                jax.block_until_ready(run(layer, xs))
                if turn:  # the first is the warm-up
                    times[name][label].append(1e3 * (time.perf_counter() - began))
    return times


def _loss(layer: rx.RNN, xs: jax.Array) -> jax.Array:
    return jnp.mean(layer(xs) ** 2)
