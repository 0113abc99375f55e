"""Fixed points of a small cell under constant input, and their stability."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from scipy.optimize import root

from recurrax.gradflow.gradients import Step, trajectory


class FixedPoints(NamedTuple):
    """The fixed points as NumPy arrays, the slowest mode first.

    Attributes:
        states: ``[F, n]``, the whole carry as one vector in the order of its leaves.
        eigenvalues: eigenvalues of the step's Jacobian there, complex ``[F, n]``, largest modulus first.
        found: number of searches that ended at each point, ``[F]``; their sum divided by ``searches`` is the share that
            converged.
        searches: number of searches.
    """

    states: np.ndarray
    eigenvalues: np.ndarray
    found: np.ndarray
    searches: int

    @property
    def stable(self) -> np.ndarray:
        """Whether all modes decay at each point, ``[F]``."""
        return np.abs(self.eigenvalues).max(axis=1) < 1

    @property
    def time_constants(self) -> np.ndarray:
        """Steps in which each mode decays (or grows) by a factor e, ``tau = 1 / |ln |lambda||``, ``[F, n]``."""
        with np.errstate(divide="ignore"):
            return 1 / np.abs(np.log(np.abs(self.eigenvalues)))


def fixed_points(
    step: Step, carries: Any, x: Any, key: jax.Array, *, noise: float = 0.1, tolerance: float = 1e-6
) -> FixedPoints:
    """Finds fixed points of a step: states s* = F(s*, x).

    From every given state plus noise, SciPy's hybrid Powell method solves F(s, x) - s = 0 with the exact Jacobian.
    Solutions closer than 1000 times the tolerance are merged. The function cannot be jitted. It takes time O(N n^3) and
    a few dozen steps per search, so it suits networks of up to a few hundred units.

    Args:
        step: `(carry, x) -> (carry, y)`, pure.
        carries: initial states, a pytree of [N, ...], e.g. states that the cell visits.
        x: the constant input.
        key: a PRNG key for the noise.
        noise: standard deviation of the noise, which helps to find points away from all trajectories.
        tolerance: the largest entry of ``|F(s) - s|`` at a fixed point.

    Returns:
        `FixedPoints`, possibly with F = 0.

    Raises:
        TypeError: an integer leaf in the carry, or a step that changes the structure or dtypes of the carry.
        ValueError: no carries, or a negative noise or tolerance.

    Sussillo and Barak, 2013, "Opening the black box", Neural Computation 25(3).
    """
    if noise < 0 or not tolerance > 0:
        raise ValueError(f"noise={noise}, tolerance={tolerance}; allowed: noise >= 0, tolerance > 0. Try the defaults.")
    counts = {leaf.shape[0] if jnp.ndim(leaf) else 0 for leaf in jax.tree.leaves(carries)}
    if len(counts) != 1 or counts == {0}:
        raise ValueError(f"carries has leading axes {sorted(counts)}; allowed: one common N >= 1. Stack some states.")
    (N,) = counts
    first = jax.tree.map(lambda leaf: leaf[0], carries)
    path = trajectory(step, first, jax.tree.map(lambda leaf: jnp.asarray(leaf)[None], x))
    advance = jax.jit(lambda state: path.advance(state, x))
    jacobian = jax.jit(jax.jacfwd(advance))
    states = jax.vmap(path.ravel)(carries)
    starts = np.asarray(states + noise * jax.random.normal(key, states.shape, states.dtype), np.float64)

    solutions = [_solve(advance, jacobian, start, tolerance) for start in starts]
    points, found = _distinct([point for point in solutions if point is not None], 1000 * tolerance)
    n = starts.shape[1]
    values = np.array([np.linalg.eigvals(jacobian(point)) for point in points], complex).reshape(-1, n)
    values = np.take_along_axis(values, np.argsort(-np.abs(values), axis=1), axis=1)
    order = np.argsort(-np.abs(values).max(axis=1)) if len(values) else np.zeros(0, int)
    return FixedPoints(np.reshape(points, (-1, n))[order], values[order], np.asarray(found, int)[order], N)


def _solve(advance: Any, jacobian: Any, start: np.ndarray, tolerance: float) -> np.ndarray | None:
    def residual(state: np.ndarray) -> np.ndarray:
        return np.asarray(advance(state), np.float64) - state

    def slope(state: np.ndarray) -> np.ndarray:
        return np.asarray(jacobian(state), np.float64) - np.eye(len(state))

    state = root(residual, start, jac=slope, method="hybr").x
    return state if np.isfinite(state).all() and np.abs(residual(state)).max() < tolerance else None


def _distinct(points: list[np.ndarray], radius: float) -> tuple[list[np.ndarray], list[int]]:
    kept: list[np.ndarray] = []
    found: list[int] = []
    for point in points:
        near = next((i for i, other in enumerate(kept) if np.abs(point - other).max() < radius), None)
        if near is None:
            kept.append(point)
            found.append(1)
        else:
            found[near] += 1
    return kept, found
