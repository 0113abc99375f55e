"""The generic adjoint: a derivative rule for every cell that obeys the laws of `Cell`, derived once from them.

    v_t   = mix(s_{t-1})                                     s_t  = update(s_{t-1}, u_t, v_t)
    dv_t  = d(mix)(s_{t-1}) + mix'(ds_{t-1})                 ds_t = update'(ds_{t-1}, du_t, dv_t)

The tangent of the loop is a loop that is linear in the state's tangent. Everything that involves a parameter stands
outside it, for all steps at once: so in the transpose (the backward pass) the loop carries only state cotangents, and
every weight gradient is one large matrix product over T*B after it. Nothing but the states is kept from the forward
pass: pre-activations are recomputed, all steps in one product, and the derivatives of `update` inside the loop.

It is written as a JVP and JAX transposes it, hence forward mode and second order work too.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp

from recurrax.cell import Carry, Cell, Structure
from recurrax.engines.engine import Engine, advance, hold, where
from recurrax.engines.scan import Scan


@dataclasses.dataclass(frozen=True)
class Adjoint(Engine):
    """`Scan`'s forward loop with the generic backward pass above; a cell of structure GENERAL is run by `Scan`.

    Keeps the states ``[T, *batch, H]`` for the backward pass and no pre-activation or gate.
    """

    def __call__(
        self, cell: Cell, carry: Carry, xs: Any, mask: jax.Array | None = None, resets: jax.Array | None = None
    ) -> tuple[Carry, Any]:
        """Runs the cell over ``xs: [T, *batch, D]``, see `Engine`."""
        if cell.structure is Structure.GENERAL:
            return Scan()(cell, carry, xs, mask, resets)
        carry, carries = _states(cell, carry, xs, mask, resets)
        return carry, cell.readout(carries, xs)


@jax.custom_jvp
def _states(cell: Cell, initial: Carry, xs: Any, mask: Any, resets: Any) -> tuple[Carry, Carry]:
    """The last carry and the carry after every step."""

    def step(carry: Carry, inputs: Any) -> tuple[Carry, Carry]:
        carry = advance(cell, carry, initial, *inputs)
        return carry, carry

    return jax.lax.scan(step, initial, (cell.project(xs), mask, resets))


@_states.defjvp
def _states_jvp(primals: Any, tangents: Any) -> Any:
    cell, initial, xs, mask, resets = primals
    carry, carries = _states(*primals)
    # Rematerialised, so that the states are all that the backward pass needs from the forward pass.
    tangent_loop = jax.checkpoint(_tangent_loop, prevent_cse=False)
    return (carry, carries), tangent_loop((cell, initial, xs), carries, mask, resets, tangents[:3])


def _tangent_loop(primals: Any, carries: Carry, mask: Any, resets: Any, tangents: Any) -> tuple[Carry, Carry]:
    """The tangents of ``_states``, linear in ``tangents``."""
    (cell, initial, xs), (d_cell, d_initial, d_xs) = primals, tangents
    before = jax.tree.map(lambda c0, cs: jnp.concatenate([c0[None], cs[:-1]]), initial, carries)
    before = where(resets, _broadcast(initial, before), before)
    us, d_us = jax.jvp(lambda cell, xs: cell.project(xs), (cell, xs), (d_cell, d_xs))
    vs, d_vs = jax.jvp(lambda cell: cell.mix(before), (cell,), (d_cell,))

    def loop(tangents: Any) -> tuple[Carry, Carry]:
        d_initial, d_us, d_vs = tangents

        def step(d_carry: Carry, inputs: Any) -> tuple[Carry, Carry]:
            carry, u, v, d_u, d_v, keep, reset = inputs
            d_carry = where(reset, d_initial, d_carry)
            _, d_mixed = jax.jvp(cell.mix, (carry,), (d_carry,))
            d_v = jax.tree.map(jnp.add, d_v, d_mixed)
            _, d_new = jax.jvp(cell.update, (carry, u, v), (d_carry, d_u, d_v))
            d_carry = hold(keep, d_new, d_carry)
            return d_carry, d_carry

        step = jax.checkpoint(step, prevent_cse=False)  # derivatives of update are recomputed in the loop, not stacked
        return jax.lax.scan(step, d_initial, (before, us, vs, d_us, d_vs, mask, resets))

    # The loop is linear: its JVP at zero is the loop itself. jax 0.7 transposes a scan only where it came out of a JVP.
    linear = (d_initial, d_us, d_vs)
    return jax.jvp(loop, (jax.tree.map(jnp.zeros_like, linear),), (linear,))[1]


def _broadcast(initial: Carry, like: Carry) -> Carry:
    return jax.tree.map(lambda c0, cs: jnp.broadcast_to(c0, cs.shape), initial, like)
