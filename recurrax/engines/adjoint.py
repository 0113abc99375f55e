"""The generic adjoint: one derivative rule for all cells that obey the laws of `Cell`.

    a_t  = project(x_t) + mix(s_{t-1})                       s_t  = update(s_{t-1}, a_t)
    da_t = d(project)(x_t) + d(mix)(s_{t-1}) + mix'(ds_{t-1})   ds_t = update'(ds_{t-1}, da_t)

The tangent of the loop is a loop that is linear in the state's tangent. Everything that involves a parameter is
computed outside this loop, for many steps at once. So the loop of the transpose (the backward pass) carries only state
cotangents, and every weight gradient is one large matrix product after it. The forward pass stores the states and,
optionally, the pre-activations; the backward pass recomputes the rest.

The rule is written as a JVP that JAX transposes, so forward mode and second derivatives work too.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from recurrax.cell import Carry, Cell, Structure, preactivations
from recurrax.engines.chunks import join, separate
from recurrax.engines.engine import Engine, hold, where
from recurrax.engines.joint import Joint
from recurrax.engines.scan import Scan
from recurrax.engines.tuning import CHOICES, Tuning, tune
from recurrax.kernels import for_steps, side_by_side

TRANSPOSES = jax.__version_info__ >= (0, 10)  # older JAX transposes only those scans that come from a JVP


@dataclasses.dataclass(frozen=True)
class Adjoint(Engine):
    """A forward loop with the generic backward pass above; `Scan` runs cells of structure GENERAL and MATRIX.

    The options change only time and memory. "auto" takes the values that were fastest for the device and the shape in
    the committed measurements, see `recurrax.engines.tuning`; ``recurrax tune`` measures them on your machine.

    Args:
        keep: the arrays that the forward pass stores: only the states ``[T, *batch, H]`` ("states"), or the
            pre-activations too ("preactivations"), which are recomputed otherwise.
        projection: inputs are multiplied for all steps of a chunk at once ("hoisted"), or in one product with the state
            at every step ("joint", only for an `AffineCell`; other cells use "hoisted"). With "joint" the forward loop
            needs no chunks.
        chunk: steps per chunk, which bounds the size of all arrays but states and outputs; the largest divisor of T up
            to this number is used. None: all steps.
        unroll: steps in the body of the compiled loops.

    Raises:
        ValueError: an option has another value.
    """

    keep: str = "auto"
    projection: str = "auto"
    chunk: int | str | None = "auto"
    unroll: int | str = "auto"

    def __post_init__(self) -> None:
        for name, allowed in CHOICES.items():
            value = getattr(self, name)
            if value not in ("auto", *allowed):
                raise ValueError(
                    f"Adjoint got {name}={value!r}; allowed: 'auto', {', '.join(map(repr, allowed))}. Use 'auto'."
                )
        for name, value, allowed in (("chunk", self.chunk, "'auto', None"), ("unroll", self.unroll, "'auto'")):
            if value == "auto" or (value is None and name == "chunk"):
                continue
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise ValueError(f"Adjoint got {name}={value!r}; allowed: {allowed}, or an int >= 1. Use 'auto'.")

    def __call__(
        self, cell: Cell, carry: Carry, xs: Any, mask: jax.Array | None = None, resets: jax.Array | None = None
    ) -> tuple[Carry, Any]:
        """Runs the cell over ``xs: [T, *batch, D]``, see `Engine`."""
        if cell.structure in (Structure.GENERAL, Structure.MATRIX):
            return Scan()(cell, carry, xs, mask, resets)
        tuning = tune(self, cell, carry, xs)
        laid, inputs = side_by_side(cell), xs
        if tuning.joint:
            laid, inputs = Joint.of(laid), jnp.concatenate([xs, jnp.ones_like(xs[..., :1])], axis=-1)
        carry, carries = _states(tuning, laid, carry, inputs, mask, resets)
        return carry, cell.readout(carries, xs)


class Steps(NamedTuple):
    """Values of the forward pass that the backward pass of a chunk needs: arrays ``[T, *batch, ...]``."""

    carries: Carry  # the carry after each step
    kept: Any  # the pre-activations; None if they are recomputed
    xs: Any
    mask: Any
    resets: Any


@functools.partial(jax.custom_jvp, nondiff_argnums=(0,))
def _states(tuning: Tuning, cell: Any, initial: Carry, xs: Any, mask: Any, resets: Any) -> tuple[Carry, Carry]:
    """The last carry and the carry after every step."""
    carry, (carries, _) = _forward(tuning, cell, initial, xs, mask, resets)
    return carry, carries


def _forward(tuning: Tuning, cell: Any, initial: Carry, xs: Any, mask: Any, resets: Any) -> tuple[Carry, Any]:
    """The last carry, the carry after every step, and the pre-activations of every step."""
    cell = for_steps(cell, tuning.leading)

    def step(carry: Carry, inputs: Any) -> tuple[Carry, Any]:
        u, keep, reset = inputs
        before = where(reset, initial, carry)
        a = cell.preactivations(before, u) if tuning.joint else preactivations(u, cell.mix(before))
        carry = hold(keep, cell.update(before, a), before)
        return carry, (carry, a)

    def run(carry: Carry, inputs: Any) -> tuple[Carry, Any]:
        xs, mask, resets = inputs
        steps = (xs if tuning.joint else cell.project(xs), mask, resets)
        return jax.lax.scan(step, carry, steps, unroll=tuning.unroll)

    if tuning.chunk is None or tuning.joint:  # then no array holds all steps of a chunk
        return run(initial, (xs, mask, resets))
    carry, chunks = jax.lax.scan(run, initial, separate((xs, mask, resets), tuning.chunk))
    return carry, join(chunks)


@_states.defjvp
def _states_jvp(tuning: Tuning, primals: Any, tangents: Any) -> Any:
    cell, initial, xs, mask, resets = primals
    if tuning.keep == "preactivations":
        carry, (carries, kept) = _forward(tuning, *primals)
    else:
        (carry, carries), kept = _states(tuning, *primals), None
    # Rematerialised, so that the backward pass stores nothing else of a chunk.
    run = jax.checkpoint(functools.partial(_tangents, tuning, initial), prevent_cse=False)
    steps, (d_cell, d_initial, d_xs, *_) = Steps(carries, kept, xs, mask, resets), tangents
    if tuning.chunk is None:
        whole = functools.partial(run, cell, initial, steps)
        return (carry, carries), _linear(whole, (d_cell, d_initial, d_initial, d_xs))

    size = tuning.chunk
    starts = jax.tree.map(lambda c0, cs: jnp.concatenate([c0[None], cs[size - 1 : -1 : size]]), initial, carries)
    chunks = starts, separate(steps, size)

    def loop(tangents: Any) -> tuple[Carry, Carry]:
        d_cell, d_initial, d_xs = tangents

        def body(d_carry: Carry, inputs: Any) -> tuple[Carry, Carry]:
            (start, steps), d_xs = inputs
            return run(cell, start, steps, (d_cell, d_initial, d_carry, d_xs))

        return jax.lax.scan(body, d_initial, (chunks, d_xs))

    d_carry, d_carries = _linear(loop, (d_cell, d_initial, separate(d_xs, size)))
    return (carry, carries), (d_carry, join(d_carries))


def _tangents(
    tuning: Tuning, initial: Carry, cell: Any, start: Carry, steps: Steps, tangents: Any
) -> tuple[Carry, Carry]:
    """The tangents of the last carry and of all carries of a chunk that starts at ``start``; linear in ``tangents``."""
    d_cell, d_initial, d_carry, d_xs = tangents
    before = jax.tree.map(lambda c0, cs: jnp.concatenate([c0[None], cs[:-1]]), start, steps.carries)
    before = where(steps.resets, _broadcast(initial, before), before)

    def gates(cell: Any, xs: Any) -> Any:
        if tuning.joint:
            return cell.preactivations(before, xs)
        return preactivations(cell.project(xs), cell.mix(before))

    a, d_a = jax.jvp(gates, (cell, steps.xs), (d_cell, d_xs))
    a = a if steps.kept is None else steps.kept

    def loop(tangents: Any) -> tuple[Carry, Carry]:
        d_initial, d_carry, d_a = tangents

        def step(d_carry: Carry, inputs: Any) -> tuple[Carry, Carry]:
            carry, a, d_a, keep, reset = inputs
            d_carry = where(reset, d_initial, d_carry)
            _, d_mixed = jax.jvp(cell.mix, (carry,), (d_carry,))
            _, d_new = jax.jvp(cell.update, (carry, a), (d_carry, preactivations(d_a, d_mixed)))
            d_carry = hold(keep, d_new, d_carry)
            return d_carry, d_carry

        step = jax.checkpoint(step, prevent_cse=False)  # recomputes the derivatives of update in the loop
        return jax.lax.scan(step, d_carry, (before, a, d_a, steps.mask, steps.resets), unroll=tuning.unroll)

    return loop((d_initial, d_carry, d_a))


def _linear(loop: Callable[[Any], Any], tangents: Any) -> Any:
    """A linear loop; older JAX needs it as its own JVP at zero, which takes longer to trace."""
    if TRANSPOSES:
        return loop(tangents)
    return jax.jvp(loop, (jax.tree.map(jnp.zeros_like, tangents),), (tangents,))[1]


def _broadcast(initial: Carry, carries: Carry) -> Carry:
    return jax.tree.map(lambda c0, cs: jnp.broadcast_to(c0, cs.shape), initial, carries)
