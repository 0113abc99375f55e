"""The truncated gradient of appendix A.1 by hand: of a whole sequence, or step by step.

The only way from the past is the cells' state, whose factor per step is 1. So with e_k = dE/d(net input of output k)
and the states' errors summed from the end,

    e_h = V e,   R_t = sum_{s >= t} e_h,s o_s h'(C_s),
    dE/da_i = R g i (1 - i),   dE/da_c = R i g'(a_c),   dE/da_o = e_h h(C) o (1 - o),

and every weight's gradient is the sum over steps of what it is multiplied by, times dE/da: one product of matrices for
all steps in place of a backward pass through time. A test holds it to `jax.grad` of `TruncatedGradient`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from experiments.hochreiter1997.network import Net, Network, Units, activate, emit, packed, seen, states, symbols

Slopes = Callable[[jax.Array], jax.Array]  # outputs [T, O] to dE/d(net inputs of output units)


def gradient(network: Network, inputs: jax.Array, slopes: Slopes, on: Any, steps: Any) -> tuple[Network, jax.Array]:
    """The truncated gradient of one sequence, a tree like the network, and the outputs ``[T, O]``.

    Args:
        network: its net is one that is trained by hand.
        inputs: ``[T, D]``.
        slopes: gives ``dE/d(net input)`` of the output units, ``[T, O]``, zeros at steps that do not count.
        on: 0 where the hidden layer is not there yet, else 1.
        steps: number of steps to look at; none after them counts.
    """
    net = network.net
    (A, V), unpack = jax.vjp(packed, network)
    a, C = states(network, inputs, steps)
    units = activate(net, a)
    y = emit(net, units, C)
    below = network.below(on * y, inputs, units)
    outputs = net.squash(below @ V)
    e = slopes(outputs)
    e_h = on * e @ V[: net.hidden].T
    carried, here = _errors(net, units, C, e_h)
    R = jnp.cumsum(carried[::-1], axis=0)[::-1]
    da = jnp.concatenate([*_chain(net, units, a, R, here)], axis=-1)
    r = seen(net, units, y)[:, : len(A) - inputs.shape[1] - 1]
    last = jnp.concatenate([jnp.zeros_like(r[:1]), r[:-1]])
    dA = jnp.concatenate([network.collect(inputs, da), last.T @ da, jnp.sum(da, axis=0)[None]])
    (found,) = unpack((dA, below.T @ e))
    return found, outputs


def gradient_at(
    network: Network, inputs: jax.Array, slopes: Slopes, on: Any, steps: Any, at: Any
) -> tuple[Network, jax.Array]:
    """`gradient` where there is an error at the step ``at`` alone, a third of its time; outputs are zeros elsewhere.

    The error of the states is then the same at all steps, so that ``P = dC_at/dw`` is one product of matrices.
    """
    net, H = network.net, network.net.hidden
    (A, V), unpack = jax.vjp(packed, network)
    a, C = states(network, inputs, steps)
    units = activate(net, a)
    y = emit(net, units, C)
    here = Units(*(unit[at] for unit in units))
    below = network.below(on * y[at], inputs[at], here)
    outputs = jnp.zeros((len(inputs), V.shape[1])).at[at].set(net.squash(below @ V))
    e = slopes(outputs)[at]
    of_C, of_o = _errors(net, here, C[at], on * V[:H] @ e)
    r = seen(net, units, y)[:, : len(A) - inputs.shape[1] - 1]
    last = jnp.concatenate([jnp.zeros_like(r[:1]), r[:-1]])
    parts = jnp.where((jnp.arange(len(inputs)) <= at)[:, None, None], _parts(net, units, a), 0).reshape(-1, 2 * H)
    P = jnp.concatenate([network.collect(inputs, parts), last.T @ parts, jnp.sum(parts, axis=0)[None]])
    z = jnp.concatenate([inputs[at], last[at], jnp.ones(1)])
    _, da_o, _ = _chain(net, here, a[at], of_C, of_o)
    dA = [_by_block(net, of_C * P[:, :H]), z[:, None] * da_o, of_C * P[:, H:]]
    (found,) = unpack((jnp.concatenate(dA, axis=-1), below[:, None] * e))
    return found, outputs


def learn_stepwise(
    network: Network, inputs: jax.Array, slopes: Callable[[Any, jax.Array], jax.Array], rate: Any, on: Any, steps: Any
) -> tuple[Network, jax.Array]:
    """One sequence with an update after every step; the network and the outputs ``[T, O]``, each before its update.

    The derivative of each cell's state by its weights is carried along: P_t = dC_c/dw = P_{t-1} + (the part of step t).

    Args:
        network: its net is one that is trained by hand.
        inputs: ``[T, D]``.
        slopes: of a step t and its outputs ``[O]`` gives ``dE_t/d(net input)``, ``[O]``, zeros where none counts.
        rate: learning rate.
        on: 0 where the hidden layer is not there yet, else 1.
        steps: number of steps to look at; none after them counts.
    """
    net, H = network.net, network.net.hidden
    (A, V), unpack = jax.vjp(packed, network)
    there, _ = packed(jax.tree.map(jnp.ones_like, network))
    # A step reads and changes only one row of the weights from one-hot inputs to outputs, so they are separate.
    D = inputs.shape[1] if network.direct and network.one_hot else 0
    rows, others = V[H : H + D], jnp.concatenate([V[:H], V[H + D :]])
    row_of = symbols(inputs)

    def step(t: Any, loop: Any) -> Any:
        A, rows, V, r, C, P, ys = loop
        x = inputs[t]
        z = jnp.concatenate([x, r, jnp.ones(1)])
        a = z @ A
        units = activate(net, a)
        C = C + net.spread(units.i) * units.g
        y = emit(net, units, C)
        below = network.below(on * y, x, units)
        below = jnp.concatenate([below[:H], below[H + D :]])
        sums = below @ V + (rows.at[row_of[t]].get(mode="fill", fill_value=0) if D else 0)
        output = net.squash(sums)
        e = slopes(t, output)
        carried, here = _errors(net, units, C, on * V[:H] @ e)
        P = P + z[:, None, None] * _parts(net, units, a)
        of_i, of_c = carried * P[:, 0], carried * P[:, 1]
        _, of_o, _ = _chain(net, units, a, carried, here)
        G = jnp.concatenate([_by_block(net, of_i), z[:, None] * of_o, of_c], axis=-1)
        A = A - rate * there * G
        V = V - rate * below[:, None] * e
        rows = rows.at[row_of[t]].add(-rate * e, mode="drop") if D else rows
        return A, rows, V, seen(net, units, y), C, P, ys.at[t].set(output)

    R = len(A) - inputs.shape[1] - 1
    start = jnp.zeros(R), jnp.zeros(H), jnp.zeros((len(A), 2, H)), jnp.zeros((len(inputs), V.shape[1]))
    A, rows, others, *_, ys = jax.lax.fori_loop(0, steps, step, (A, rows, others, *start))
    (learned,) = unpack((A, jnp.concatenate([others[:H], rows, others[H:]])))
    return learned, ys


def _errors(net: Net, units: Units, C: jax.Array, e_h: jax.Array) -> tuple[jax.Array, jax.Array]:
    """``dE/dC`` and, where there are output gates, ``dE/do``, both ``[..., H]``, at the step itself."""
    h, slope = jax.jvp(net.h, (C,), (jnp.ones_like(C),))
    return e_h * slope * (1 if net.kind == "B" else net.spread(units.o)), e_h * h


def _parts(net: Net, units: Units, a: jax.Array) -> jax.Array:
    """``dC/da`` of the step itself, of input gates and of cells: ``[..., 2, H]``."""
    _, slope = jax.jvp(net.g, (a[..., -net.hidden :],), (jnp.ones_like(units.g),))
    i = net.spread(units.i)
    return jnp.stack([units.g * i * (1 - i), i * slope], axis=-2)


def _chain(net: Net, units: Units, a: jax.Array, R: jax.Array, here: jax.Array) -> tuple[jax.Array, ...]:
    """``dE/da`` of input gates, output gates and cells from the errors of states and output gates."""
    parts = _parts(net, units, a)
    of_o = here[..., :0] if net.kind == "B" else _by_block(net, here) * units.o * (1 - units.o)
    return _by_block(net, R * parts[..., 0, :]), of_o, R * parts[..., 1, :]


def _by_block(net: Net, values: jax.Array) -> jax.Array:
    """Sums over the cells of each block: ``[..., H]`` to ``[..., K]``."""
    return jnp.sum(values.reshape(*values.shape[:-1], net.blocks, net.size), axis=-1)
