"""(d) The slope of the gradient at initialisation of every cell of the library, each with its own defaults."""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from experiments.initialization.starts import Config
from recurrax import Cell, cells, gradflow
from recurrax.report import markdown_table

EVERY = {cell.short: cell for cell in cells.ALL}
INPUTS = 2  # inputs of a step, N(0, 1)


def measure(config: Config, name: str) -> dict[str, Any]:
    """Slopes ``[S]`` in nats per step of lag, of a random projection of the last output."""
    T, keys = config.init_length, jax.random.split(jax.random.key(0), (3, config.init_seeds))

    def build(key: jax.Array) -> Cell:
        return EVERY[name](INPUTS, config.hidden, rngs=nnx.Rngs(key))

    made = jax.vmap(build)(keys[0])
    xs = jax.vmap(lambda key: jax.random.normal(key, (T, INPUTS)))(keys[1])
    slopes = gradflow.slope(_log_norms(made, xs, keys[2]))
    one = jax.eval_shape(build, keys[0, 0])
    return {
        "structure": one.structure.value,
        "numbers": sum(leaf.size for leaf in jax.tree.leaves(jax.eval_shape(lambda: one.initialize_carry((INPUTS,))))),
        "slopes": np.asarray(slopes),
    }


@jax.jit
@jax.vmap
def _log_norms(cell: Cell, xs: jax.Array, key: jax.Array) -> jax.Array:
    def loss(carry: Any, y: jax.Array) -> jax.Array:
        return jnp.sum(jax.random.normal(key, y.shape) * y)

    return gradflow.state_gradients(cell, cell.initialize_carry((INPUTS,)), xs, loss)


def table(entries: dict[str, Any]) -> str:
    """One row for each cell, from the one whose gradient lasts longest."""
    rows = []
    for name, entry in sorted(entries.items(), key=lambda item: -median(item[1])):
        values, rate = _slopes(entry), median(entry)
        rows.append({
            "cell": name,
            "structure": entry["structure"],
            "numbers in the state": f"{entry['numbers']:,}",
            "slope": f"{rate:.3f} ({values.min():.3f} to {values.max():.3f})",
            "factor per step": f"{math.exp(rate):.3f}",
            "1% left after": f"{math.log(0.01) / rate:,.0f} steps" if rate < 0 else "never",
        })  # fmt: skip
    return markdown_table(rows)


def finding(entries: dict[str, Any]) -> str:
    """The cells that keep the gradient at initialisation, and those that lose it soonest."""
    order = sorted(entries, key=lambda name: -median(entries[name]))
    kept = [name for name in order if abs(median(entries[name])) < 0.01]
    lost = order[-3:][::-1]
    text = f"Of {len(order)} cells with their defaults, {', '.join(lost)} lose the gradient soonest"
    fastest = math.exp(median(entries[lost[0]]))
    text += f" ({lost[0]} keeps {fastest:.2f} of it in a step)"
    return f"{text}; {', '.join(kept)} change it by less than 1% in a step." if kept else f"{text}."


def median(entry: dict[str, Any]) -> float:
    """The median slope over seeds, in nats per step."""
    return float(np.median(_slopes(entry)))


def _slopes(entry: dict[str, Any]) -> np.ndarray:
    return np.asarray([-math.inf if slope is None else slope for slope in entry["slopes"]], float)
