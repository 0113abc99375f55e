"""The one way to run a cell over a sequence, and the choice of the engine."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from recurrax.cell import Carry, Cell
from recurrax.engines.adjoint import Adjoint
from recurrax.engines.associative import Associative
from recurrax.engines.checks import check_carry, check_flags, check_inputs
from recurrax.engines.cudnn import Cudnn
from recurrax.engines.engine import Engine, where
from recurrax.engines.newton import Newton
from recurrax.engines.pallas import Pallas
from recurrax.engines.scan import Scan

ENGINES: dict[str, type[Engine]] = {
    "scan": Scan,
    "adjoint": Adjoint,
    "associative": Associative,
    "newton": Newton,
    "cudnn": Cudnn,
    "pallas": Pallas,
}


def choose(backend: str | Engine) -> Engine:
    """The engine for a name, an engine, or "auto".

    "auto" is `Adjoint` on every device, with its options chosen for the device and the shape by measurements on a CPU
    and on an NVIDIA GPU (experiments/results/speed and engine_options); a TPU is not measured. It runs every cell that
    `Scan` runs, in forward mode and to second order too, which `Pallas`, faster on a GPU where it fits, does not.
    ``python -m experiments.speed --tune`` measures all engines for a shape.

    Raises:
        ValueError: the name is not known.
    """
    if isinstance(backend, Engine):
        return backend
    if backend == "auto":
        return Adjoint()
    if not isinstance(backend, str) or backend not in ENGINES:
        raise ValueError(
            f"unknown backend {backend!r}; allowed: 'auto', {', '.join(map(repr, ENGINES))}, or an engine with its "
            "options, e.g. Scan(checkpoint_every=32). Use 'auto' if in doubt."
        )
    return ENGINES[backend]()


def unroll(
    cell: Cell,
    xs: jax.Array,
    carry: Carry | None = None,
    *,
    mask: jax.Array | None = None,
    resets: jax.Array | None = None,
    backend: str | Engine = "auto",
) -> tuple[Carry, Any]:
    """Runs a cell over a sequence: ``xs: [T, *batch, D]`` to the last carry and ``ys: [T, *batch, H]``.

    Args:
        cell: a `Cell`, or `Foreign` around any other step.
        xs: inputs, time first; any number of batch axes.
        carry: initial carry ``[*batch, H]``; ``cell.initialize_carry`` by default.
        mask: bool ``[T, *batch]``; a false step does not exist: the carry is held over it, its output is 0, its reset
            is ignored, and whatever stands in its input (NaN too) reaches neither values nor gradients.
        resets: bool ``[T, *batch]``; true means: before this step the carry becomes the initial carry.
        backend: "auto", the name of an engine, or an engine.

    Returns:
        ``(carry, ys)``; the carry is that after the last step that exists.

    Raises:
        ValueError: wrong shape, T = 0, an empty batch axis, or an unknown backend.
        TypeError: wrong dtype, or a carry of another structure than the cell's.
    """
    engine = choose(backend)
    xs = jnp.asarray(xs)
    steps = check_inputs(cell, xs)
    mask, resets = check_flags("mask", mask, steps), check_flags("resets", resets, steps)
    if carry is None:
        carry = cell.initialize_carry(xs.shape[1:])
    else:
        check_carry(cell, carry, xs.shape[1:])
    if mask is None:
        return engine(cell, carry, xs, None, resets)
    carry, ys = engine(cell, carry, _zero_where_false(mask, xs), mask, None if resets is None else resets & mask)
    return carry, _zero_where_false(mask, ys)


def _zero_where_false(mask: jax.Array, tree: Any) -> Any:
    return where(mask, tree, jax.tree.map(jnp.zeros_like, tree))
