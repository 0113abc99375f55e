"""Gate activations along a sequence, and the resulting time constants of the cell."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

from recurrax.gradflow.gradients import length


def gate_activations(cell: Callable[[Any, Any], tuple[Any, Any]], carry: Any, xs: Any) -> dict[str, Array]:
    """The activations of a cell's named gates along a sequence.

        gates_t = cell.gates(s_{t-1}, x_t),  s_t, y_t = cell(s_{t-1}, x_t)

    The gate at index t-1 is the one used in step t = 1 .. T: it is computed from the carry before the step.

    Args:
        cell: a step `(carry, x) -> (carry, y)` with a method `gates(carry, x)` that returns a NamedTuple of
            arrays, such as an LSTM's (f, i, c, o).
        carry: initial state s_0, a pytree.
        xs: inputs, [T, D] or any pytree of [T, ...], T >= 1.

    Returns:
        One array [T, H] per gate, under the names of the NamedTuple. Dimensionless, sigmoid gates in [0, 1].

    Raises:
        TypeError: the cell has no gates, or its gates have no names.
        ValueError: no steps.

    Karpathy, Johnson and Fei-Fei, 2015 (arXiv:1506.02078), for the reading of gate statistics.
    """
    length(xs)
    gates = getattr(cell, "gates", None)
    if not callable(gates):
        raise TypeError(
            f"{type(cell).__name__} has no method gates(carry, x); gate_activations needs a gated cell, "
            "such as an LSTM or a GRU. Define gates to return a NamedTuple, or use state_gradients."
        )

    def advance(carry: Any, x: Any) -> tuple[Any, Any]:
        return cell(carry, x)[0], gates(carry, x)

    _, activations = jax.lax.scan(advance, jax.tree.map(jnp.asarray, carry), jax.tree.map(jnp.asarray, xs))
    if not hasattr(activations, "_asdict"):
        raise TypeError(
            f"{type(cell).__name__}.gates returned {type(activations).__name__}; it must return "
            "a NamedTuple, whose field names become the keys."
        )
    return activations._asdict()


class Saturation(NamedTuple):
    """Shares of steps at which a gate is nearly closed and nearly open, each ``[..., H]`` in [0, 1]."""

    closed: Array
    open: Array


def saturation(gate: ArrayLike, low: float = 0.1, high: float = 0.9) -> Saturation:
    """The shares of steps at which each unit's gate is nearly closed and nearly open.

        closed = mean_t [f_t < low],  open = mean_t [f_t > high]

    Args:
        gate: activations [T, ..., H] in [0, 1], T >= 1, e.g. of `gate_activations`.
        low: a gate below this is nearly closed.
        high: a gate above this is nearly open.

    Raises:
        ValueError: no steps, or limits out of order.

    Karpathy, Johnson and Fei-Fei, 2015 (arXiv:1506.02078), with their limits.
    """
    gate = jnp.asarray(gate)
    length(gate)
    if not 0 <= low < high <= 1:
        raise ValueError(f"low={low}, high={high}; allowed: 0 <= low < high <= 1. Try low=0.1, high=0.9.")
    return Saturation(jnp.mean(gate < low, axis=0), jnp.mean(gate > high, axis=0))


def time_constants(keep: ArrayLike) -> Array:
    """The time constant of every unit, computed from the activations of the gate that keeps its state.

        tau = -1 / mean_t ln f_t

    The geometric mean is used because the state decays by the product of its gates; the mean of 1/(1-f_t) would be
    dominated by a few steps with f near 1. The result is exact for a constant gate, where f^tau = 1/e: 1.44 steps for f
    = 1/2. It covers only the path c -> c; recurrent weights also pass gradients through the gates, and
    `state_gradients` measures the total. f is the gate that multiplies the old state: an LSTM's f; a GRU's z if h' =
    (1-z) n + z h (Flax, PyTorch), else its 1-z.

    Args:
        keep: [T, ..., H], in [0, 1], T >= 1.

    Returns:
        [..., H] in steps. f = 1 at all steps gives inf; f = 0 at any step gives 0.

    Raises:
        ValueError: no steps.

    Tallec and Ollivier, 2018 (arXiv:1804.11188).
    """
    keep = jnp.asarray(keep)
    length(keep)
    rate = jnp.mean(jnp.log(keep), axis=0)
    still = rate == 0
    return jnp.where(still, jnp.inf, -1 / jnp.where(still, 1, rate))
