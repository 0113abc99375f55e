"""The generic adjoint: a derivative rule for every cell that obeys the laws of `Cell`, derived once from them.

    v_t   = mix(s_{t-1})                                     s_t  = update(s_{t-1}, u_t, v_t)
    dv_t  = d(mix)(s_{t-1}) + mix'(ds_{t-1})                 ds_t = update'(ds_{t-1}, du_t, dv_t)

The tangent of the loop is a loop that is linear in the state's tangent. Everything that involves a parameter stands
outside it, for many steps at once: so in the transpose (the backward pass) the loop carries only state cotangents, and
every weight gradient is a large matrix product after it. From the forward pass the states are kept, and
pre-activations if asked; the rest is recomputed.

It is written as a JVP and JAX transposes it, hence forward mode and second order work too.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from recurrax.cell import Carry, Cell, Structure
from recurrax.engines.chunks import join, separate
from recurrax.engines.engine import Engine, hold, where
from recurrax.engines.layout import Joined, fused, leading, transposed
from recurrax.engines.scan import Scan
from recurrax.engines.tuning import CHOICES, Tuning, tune

TRANSPOSES = jax.__version_info__ >= (0, 10)  # before, JAX transposes a scan only where it came out of a JVP


@dataclasses.dataclass(frozen=True)
class Adjoint(Engine):
    """A forward loop with the generic backward pass above; a cell of structure GENERAL is run by `Scan`.

    What the options do changes time and memory alone. "auto" takes what was fastest for the device and the shape in
    the committed measurements, see `recurrax.engines.tuning`; ``python -m experiments.speed --tune`` measures here.

    Args:
        gates: "fused" multiplies the state by the recurrent kernels of all gates side by side, in one product;
            "apart" by one after the other.
        keep: what the forward pass keeps beside the states ``[T, *batch, H]``: nothing more ("states"), or
            the pre-activations ("preactivations"), which are else recomputed.
        projection: inputs are projected for all steps of a chunk at once ("hoisted") or one by one ("inside"), which
            leaves the forward loop nothing to do in chunks.
        chunk: steps that are worked on at once, so that all arrays but states and outputs are as small as a chunk; the
            largest divisor of T up to it is used. None: all steps.
        unroll: steps in the body of the compiled loops.

    Raises:
        ValueError: an option is none of these.
    """

    gates: str = "auto"
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
        if cell.structure is Structure.GENERAL:
            return Scan()(cell, carry, xs, mask, resets)
        tuning = tune(self, cell, carry, xs)
        if tuning.gates == "fused":
            cell = fused(cell, inputs=tuning.projection == "inside")
        joined = Joined.of(cell, carry, xs[0]) if tuning.joint else None
        tuning = tuning._replace(joint=joined is not None)
        inputs = xs if joined is None else jnp.concatenate([xs, jnp.ones_like(xs[..., :1])], axis=-1)
        carry, carries = _states(tuning, joined or cell, carry, inputs, mask, resets)
        return carry, cell.readout(carries, xs)


class Steps(NamedTuple):
    """What is known of a chunk of steps before its tangents: arrays ``[T, *batch, ...]``."""

    carries: Carry  # after each step
    kept: Any  # the halves of the pre-activations, folded; None: to be recomputed
    xs: Any
    mask: Any
    resets: Any


@functools.partial(jax.custom_jvp, nondiff_argnums=(0,))
def _states(tuning: Tuning, cell: Cell, initial: Carry, xs: Any, mask: Any, resets: Any) -> tuple[Carry, Carry]:
    """The last carry and the carry after every step."""
    carry, (carries, _) = _forward(tuning, cell, initial, xs, mask, resets)
    return carry, carries


def _forward(tuning: Tuning, cell: Cell, initial: Carry, xs: Any, mask: Any, resets: Any) -> tuple[Carry, Any]:
    """The last carry, and of every step the carry after it and its pre-activations, folded."""
    inside = tuning.projection == "inside"
    cell = leading(transposed(cell)) if tuning.leading else cell

    def step(carry: Carry, inputs: Any) -> tuple[Carry, Any]:
        x, keep, reset = inputs
        before = where(reset, initial, carry)
        if tuning.joint:
            folded = _halves(tuning, cell, before, x)
            u, v = tuning.sums.unfold(*folded)
        else:  # as they are: what `unfold` gives adds zeros, and XLA keeps such a sum
            u, v = cell.project(x) if inside else x, cell.mix(before)
            folded = tuning.sums.fold(u, v)
        carry = hold(keep, cell.update(before, u, v), before)
        return carry, (carry, folded)

    def run(carry: Carry, inputs: Any) -> tuple[Carry, Any]:
        xs, mask, resets = inputs
        steps = (xs if inside else cell.project(xs), mask, resets)
        return jax.lax.scan(step, carry, steps, unroll=tuning.unroll)

    if tuning.chunk is None or inside:  # then no array is made for all steps of a chunk
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
    # The backward pass multiplies by the transposed kernels, at each step of the loop.
    loop_cell = transposed(cell) if tuning.transpose else leading(cell) if tuning.leading else cell
    # Rematerialised, so that nothing else of a chunk is kept for its backward pass.
    run = jax.checkpoint(functools.partial(_tangents, tuning, loop_cell, initial), prevent_cse=False)
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
    tuning: Tuning, loop_cell: Cell, initial: Carry, cell: Cell, start: Carry, steps: Steps, tangents: Any
) -> tuple[Carry, Carry]:
    """The tangents of the last carry and of all carries of a chunk that starts at ``start``; linear in ``tangents``."""
    d_cell, d_initial, d_carry, d_xs = tangents
    before = jax.tree.map(lambda c0, cs: jnp.concatenate([c0[None], cs[:-1]]), start, steps.carries)
    before = where(steps.resets, _broadcast(initial, before), before)

    def halves(cell: Cell, xs: Any) -> Any:
        return _halves(tuning, cell, before, xs)

    (us, vs), (d_us, d_vs) = jax.jvp(halves, (cell, steps.xs), (d_cell, d_xs))
    us, vs = (us, vs) if steps.kept is None else steps.kept

    def update(carry: Carry, u: Any, v: Any) -> Carry:
        return cell.update(carry, *tuning.sums.unfold(u, v))

    def loop(tangents: Any) -> tuple[Carry, Carry]:
        d_initial, d_carry, d_us, d_vs = tangents

        def step(d_carry: Carry, inputs: Any) -> tuple[Carry, Carry]:
            carry, u, v, d_u, d_v, keep, reset = inputs
            d_carry = where(reset, d_initial, d_carry)
            _, d_mixed = jax.jvp(loop_cell.mix, (carry,), (d_carry,))
            d_v = jax.tree.map(jnp.add, d_v, tuning.sums.pack(d_mixed))
            _, d_new = jax.jvp(update, (carry, u, v), (d_carry, d_u, d_v))
            d_carry = hold(keep, d_new, d_carry)
            return d_carry, d_carry

        step = jax.checkpoint(step, prevent_cse=False)  # derivatives of update are recomputed in the loop, not stacked
        inputs = (before, us, vs, d_us, d_vs, steps.mask, steps.resets)
        return jax.lax.scan(step, d_carry, inputs, unroll=tuning.unroll)

    return loop((d_initial, d_carry, d_us, d_vs))


def _halves(tuning: Tuning, cell: Any, carry: Carry, xs: Any) -> tuple[list[Any], list[jax.Array]]:
    """The halves of the pre-activations, folded."""
    if tuning.joint:
        return [None], [cell.sums(carry, xs)]
    return tuning.sums.fold(cell.project(xs), cell.mix(carry))


def _linear(loop: Callable[[Any], Any], tangents: Any) -> Any:
    """A linear loop, where JAX needs it as its JVP at zero, which it is: that takes longer to trace."""
    if TRANSPOSES:
        return loop(tangents)
    return jax.jvp(loop, (jax.tree.map(jnp.zeros_like, tangents),), (tangents,))[1]


def _broadcast(initial: Carry, carries: Carry) -> Carry:
    return jax.tree.map(lambda c0, cs: jnp.broadcast_to(c0, cs.shape), initial, carries)
