"""Checks of shapes, dtypes and structures, made before anything is compiled."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from recurrax.cell import Carry, Cell


def check_inputs(cell: Cell, xs: jax.Array) -> tuple[int, ...]:
    """Raises if the cell cannot run ``xs: [T, *batch, D]`` (or batch-major inputs); returns ``(T, *batch)``."""
    axes, shape = cell.num_feature_axes, jnp.shape(xs)
    if len(shape) < 1 + axes:
        raise ValueError(
            f"inputs have shape {shape}; allowed: a time axis, any batch axes and {axes} feature axis. "
            "Add the missing axis, e.g. inputs[..., None]."
        )
    steps = shape[: len(shape) - axes]
    if any(isinstance(size, int) and size == 0 for size in steps):
        raise ValueError(f"inputs have shape {shape}; allowed: T >= 1 and batch axes >= 1. Leave empty batches out.")
    return steps


def check_vectors(engine: str, cell: Cell) -> None:
    """Raises ValueError if the states of the cell are not vectors (as in convolutional cells)."""
    if cell.num_feature_axes != 1:
        raise ValueError(
            f"{engine} got {type(cell).__name__} with {cell.num_feature_axes} feature axes; allowed: cells with one. "
            "Use backend='auto' or 'scan'."
        )


def check_carry(cell: Cell, carry: Carry, input_shape: tuple[int, ...]) -> Carry:
    """Returns the carry as arrays; raises if its structure or shapes do not fit inputs ``[*batch, D]``.

    It may have any real dtype, which is promoted; it may be complex only if the cell's carry is.
    """
    name, carry = type(cell).__name__, jax.tree.map(jnp.asarray, carry)
    try:
        expected = jax.eval_shape(lambda: cell.initialize_carry(input_shape, nnx.Rngs(0)))
    except ValueError:  # a Foreign step does not know its carry, so the caller's is accepted
        return carry
    fix = f"Start from cell.initialize_carry({input_shape})."
    if jax.tree.structure(carry) != jax.tree.structure(expected):
        raise TypeError(
            f"the carry has structure {jax.tree.structure(carry)}; {name} allows {jax.tree.structure(expected)}"
            f"{' (c before h)' if cell.states == ('c', 'h') else ''}. {fix}"
        )
    for given, wanted in zip(jax.tree.leaves(carry), jax.tree.leaves(expected), strict=True):
        if given.shape != wanted.shape:
            raise ValueError(f"the carry has an array of shape {given.shape}; {name} allows {wanted.shape} here. {fix}")
        if jnp.iscomplexobj(given) != jnp.issubdtype(wanted.dtype, jnp.complexfloating):
            raise TypeError(f"the carry has dtype {given.dtype}; {name} allows {wanted.dtype} here. {fix}")
    return carry


def check_flags(name: str, flags: Any, steps: tuple[int, ...]) -> jax.Array | None:
    """Raises if a mask or resets is not bool ``[T, *batch]``."""
    if flags is None:
        return None
    if not isinstance(flags, jax.Array):
        flags = np.asarray(flags)
    if jnp.result_type(flags) != jnp.bool_:
        raise TypeError(
            f"{name} has dtype {jnp.result_type(flags)}; allowed: bool. Write {name}.astype(bool) or {name} > 0."
        )
    if jnp.shape(flags) != steps:
        raise ValueError(
            f"{name} has shape {jnp.shape(flags)}; allowed: that of the steps, {steps}. Broadcast it to that shape."
        )
    return jnp.asarray(flags)
