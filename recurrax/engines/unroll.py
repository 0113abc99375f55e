"""`unroll`, which runs a cell over a sequence, and the choice of the engine."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from recurrax.cell import Carry, Cell, Structure
from recurrax.engines.adjoint import Adjoint
from recurrax.engines.associative import Associative
from recurrax.engines.checks import check_carry, check_flags, check_inputs
from recurrax.engines.chunkwise import Chunkwise
from recurrax.engines.engine import Engine, where
from recurrax.engines.newton import Newton
from recurrax.engines.pallas import Pallas
from recurrax.engines.scan import Scan
from recurrax.engines.sharding import place_like

ENGINES: dict[str, type[Engine]] = {
    "scan": Scan,
    "adjoint": Adjoint,
    "associative": Associative,
    "chunkwise": Chunkwise,
    "newton": Newton,
    "pallas": Pallas,
}


def choose(backend: str | Engine, cell: Cell | None = None) -> Engine:
    """The engine for a name, an engine, or "auto".

    "auto" is `Chunkwise` for cells of structure MATRIX and `Adjoint` for all others. The options of `Adjoint` follow
    measurements on a CPU and on an NVIDIA GPU (experiments/results/speed and engine_options) for the device and the
    shape; a TPU has not been measured. On an NVIDIA GPU `unroll` uses `Pallas` instead if the kernel fits, which takes
    about half the time. ``recurrax tune`` measures all engines for a shape.

    Raises:
        ValueError: the name is not known.
    """
    if isinstance(backend, Engine):
        return backend
    if backend == "auto":
        return Chunkwise() if cell is not None and cell.structure is Structure.MATRIX else Adjoint()
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
    key: jax.Array | None = None,
) -> tuple[Carry, Any]:
    """Runs a cell over a sequence: from ``xs: [T, *batch, D]`` to the last carry and ``ys: [T, *batch, O]``.

    Args:
        cell: a `Cell`, or `Foreign` around any other step.
        xs: inputs, time first, with any number of batch axes; promoted with the parameters.
        carry: initial carry ``[*batch, H]``; ``cell.initialize_carry`` by default.
        mask: bool ``[T, *batch]``; steps with False are skipped: the carry is held, their outputs are 0, their resets
            are ignored, and their inputs (even NaN) reach neither values nor gradients.
        resets: bool ``[T, *batch]``; True resets the carry to the initial carry before this step.
        backend: "auto", the name of an engine, or an engine.
        key: PRNG key for cells with noise, see `Cell.prepare`; None means evaluation.

    Returns:
        ``(carry, ys)``; the carry after the last unmasked step, and the outputs.

    Raises:
        ValueError: a shape is wrong, T = 0, a batch axis is empty, or the backend is unknown.
        TypeError: the inputs are complex, or the carry has another structure than the cell's.
    """
    engine = choose(backend, cell)
    xs = cell.check_features(xs)
    steps = check_inputs(cell, xs)
    known = all(isinstance(size, int) for size in xs.shape)
    if not known and not isinstance(engine, Scan):
        engine = _for_unknown_sizes(engine, backend, xs)
    mask, resets = check_flags("mask", mask, steps), check_flags("resets", resets, steps)
    if carry is None:
        carry = cell.initialize_carry(xs.shape[1:])
    else:
        carry = check_carry(cell, carry, xs.shape[1:])
    put = place_like(xs, len(steps) - 1)
    mask, resets = put(mask, after=1), put(resets, after=1)
    if mask is not None:
        xs, resets = where(mask, xs, jnp.zeros_like(xs)), None if resets is None else resets & mask
    cell, xs = cell.prepare(xs, key)
    cell, carry, xs = cell.promote(carry, xs)
    cell, carry = put(cell, None), put(carry)
    if cell.structure is Structure.GENERAL:
        carry = _as_the_step_leaves_it(cell, carry, xs)
    if backend == "auto" and isinstance(engine, Adjoint) and Pallas().fits(cell, carry, xs):
        engine = Pallas()
    carry, ys = engine(cell, carry, xs, mask, resets)
    return carry, ys if mask is None else where(mask, ys, jax.tree.map(jnp.zeros_like, ys))


def _for_unknown_sizes(engine: Engine, backend: str | Engine, xs: jax.Array) -> Engine:
    """Replaces "auto" by `Scan` for sizes that `jax.export` leaves open; raises ValueError for other engines."""
    if backend == "auto":
        return Scan()
    raise ValueError(
        f"{type(engine).__name__} got inputs of shape {xs.shape}; allowed: known sizes. Use backend='auto' or 'scan', "
        "which run sizes that jax.export leaves open."
    )


def _as_the_step_leaves_it(cell: Cell, carry: Carry, xs: jax.Array) -> Carry:
    """Casts the carry to the dtypes that a step returns; with other dtypes a loop would fail, as Flax's does."""
    after, _ = jax.eval_shape(cell, carry, xs[0])
    if jax.tree.structure(after) != jax.tree.structure(carry):
        return carry
    return jax.tree.map(lambda leaf, new: leaf.astype(jnp.promote_types(leaf.dtype, new.dtype)), carry, after)
