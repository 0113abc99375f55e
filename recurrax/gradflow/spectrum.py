"""Singular values of products of state Jacobians, Lyapunov exponents and eigenvalues along a trajectory."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from recurrax.gradflow.gradients import Step, length, trajectory
from recurrax.gradflow.jacobians import jacobian_norms


class Spectrum(NamedTuple):
    """Logs of singular values, each ``[T+1]`` in nats."""

    largest: Array
    geometric_mean: Array
    smallest: Array


class Lyapunov(NamedTuple):
    """Lyapunov exponents ``[k]`` in nats per step, largest first: the means of the windows ``[W, k]``."""

    exponents: Array
    windows: Array


def jacobian_spectrum(step: Step, carry: Any, xs: Any) -> Spectrum:
    """Log singular values of the Jacobian of the last state with respect to every earlier one.

        J_t = ds_t/ds_{t-1},  J_{t:T} = J_T ... J_{t+1} with singular values sigma_1 >= ... >= sigma_n
        result_t = ln sigma_1,  (1/n) sum_i ln sigma_i = (1/n) ln |det J_{t:T}|,  ln sigma_n

    It uses QR factorisations in the log domain: J_{t:T}^T Q_0 = Q D U with Q_0 and Q orthogonal, D diagonal and stored
    as logarithms, and U unit upper triangular. A QR factorisation of J_t^T Q goes one step further back. So the
    smallest singular value is accurate even if its ratio to the largest is beyond the precision of the dtype, which
    soon happens. It handles one example; use `vmap` over examples and seeds. Time O(T n^3), memory O(T n + n^2); J_t is
    never formed.

    Args:
        step: `(carry, x) -> (carry, y)`, pure.
        carry: initial state s_0, a pytree of floating or complex arrays, n numbers in all.
        xs: inputs, [T, D] or any pytree of [T, ...], T >= 1.

    Returns:
        `Spectrum` of [T+1] in nats, t = 0 .. T; entry T is 0. If a Jacobian on the way is singular, the geometric mean
        and the smallest value are -inf.

    Raises:
        TypeError: an integer leaf in the carry, or a step that changes the structure or dtypes of the carry.
        ValueError: there are no steps or no state.

    Bengio, Simard and Frasconi, 1994; Pascanu, Mikolov and Bengio, 2013 (arXiv:1211.5063).
    """
    path = trajectory(step, carry, xs)

    def pull(after: tuple[Array, Array, Array, Array], point: tuple[Array, Any]) -> Any:
        Q, d, U, singular = after  # d = ln diag D
        state, x = point
        backward = jax.vjp(lambda state: path.advance(state, x), state)[1]
        (rows,) = jax.vmap(backward)(Q.T)  # (J^T Q)^T
        Q, R = jnp.linalg.qr(rows.T)
        signs = jnp.where(jnp.diagonal(R) < 0, -1, 1).astype(R.dtype)
        Q, R = Q * signs, R * signs[:, None]  # make D positive
        diagonal = jnp.diagonal(R)
        singular |= jnp.any(diagonal == 0)
        diagonal = jnp.where(diagonal == 0, 1, diagonal)
        ratios = jnp.exp(jnp.where(jnp.triu(R) == 0, 0, d[None, :] - d[:, None]))  # D_j / D_i where R is not 0
        U = (R / diagonal[:, None] * ratios) @ U
        d += jnp.log(diagonal)
        M = jax.scipy.linalg.solve_triangular(U, jnp.diag(jnp.exp(jnp.min(d) - d)))
        smallest = jnp.min(d) - jnp.log(jnp.linalg.norm(M, 2))
        lost = jnp.where(singular, -jnp.inf, jnp.stack([jnp.mean(d), smallest]))
        return (Q, d, U, singular), (lost[0], lost[1])

    n, dtype = path.final.size, path.final.dtype
    start = generic_basis(n, n, dtype), jnp.zeros(n, dtype), jnp.eye(n, dtype=dtype), jnp.zeros((), bool)
    _, (mean, smallest) = jax.lax.scan(pull, start, (path.states, path.xs), reverse=True)
    end = jnp.zeros((), dtype)
    return Spectrum(jacobian_norms(step, carry, xs), jnp.append(mean, end), jnp.append(smallest, end))


def lyapunov_spectrum(
    step: Step, carry: Any, xs: Any, *, k: int | None = None, every: int = 1, warmup: int = 0
) -> Lyapunov:
    """Lyapunov exponents of a driven cell: mean growth rates of k orthogonal directions along its trajectory.

        Q_t R_t = qr(J_t Q_{t-1}),  lambda_i = (1/T) sum_t ln |R_t,ii|

    If lambda_1 < 0, nearby states converge, and gradients fall by about exp(lambda_1) per step of lag. The sum of all n
    exponents is the mean of ``ln |det J_t|``. It handles one input sequence; use `vmap` over sequences, and `bootstrap`
    the windows for an error. It takes time O(T n k^2 / every), T k forward passes through the step, and memory O(T n +
    n k).

    Args:
        step: `(carry, x) -> (carry, y)`, pure.
        carry: initial state s_0, a pytree of floating or complex arrays, n numbers in all.
        xs: inputs, [T, D] or any pytree of [T, ...].
        k: number of exponents, 1 to n; by default all.
        every: steps between two QR factorisations, the length of a window. With too many steps the directions collapse
            into one.
        warmup: steps at the start to ignore, while the directions align; rounded up to whole windows.

    Returns:
        `Lyapunov`; -inf for a direction that vanishes within one window.

    Raises:
        TypeError: an integer leaf in the carry, or a step that changes the structure or dtypes of the carry.
        ValueError: k, every or warmup is out of range.

    Benettin, Galgani, Giorgilli and Strelcyn, 1980; for recurrent networks Vogt, Puelma Touzel, Shlizerman and Lajoie,
    2022 (arXiv:2006.14123).
    """
    path = trajectory(step, carry, xs)
    n, T = path.final.size, length(xs)
    k = n if k is None else k
    if not 1 <= k <= n:
        raise ValueError(f"k={k}; allowed: 1 to n = {n}, the numbers in the state. Leave it out for all.")
    if not 1 <= every <= T:
        raise ValueError(f"every={every}; allowed: 1 to T = {T} steps. Try every=1.")
    windows, skipped = T // every, -(-warmup // every)
    if warmup < 0 or skipped >= windows:
        raise ValueError(
            f"warmup={warmup}; allowed: 0 or more that leave a window of every={every} of the T = {T} steps. "
            "Use a longer sequence."
        )

    def push(columns: Array, point: tuple[Array, Any]) -> tuple[Array, None]:
        state, x = point
        forward = jax.linearize(lambda state: path.advance(state, x), state)[1]
        return jax.vmap(forward, in_axes=1, out_axes=1)(columns), None

    def window(Q: Array, points: tuple[Array, Any]) -> tuple[Array, Array]:
        Q, R = jnp.linalg.qr(jax.lax.scan(push, Q, points)[0])
        return Q, jnp.log(jnp.abs(jnp.diagonal(R))) / every

    used = jax.tree.map(
        lambda leaf: leaf[: windows * every].reshape(windows, every, *leaf.shape[1:]), (path.states, path.xs)
    )
    _, rates = jax.lax.scan(window, generic_basis(n, k, path.final.dtype), used)
    rates = rates[skipped:]
    return Lyapunov(jnp.mean(rates, axis=0), rates)


def generic_basis(n: int, k: int, dtype: Any) -> Array:
    """A fixed random orthonormal basis ``[n, k]``; coordinate axes can be invariant and never align."""
    return jnp.linalg.qr(jax.random.normal(jax.random.key(0), (n, n), dtype)[:, :k])[0]


def bootstrap(key: Array, windows: Array, samples: int = 1000) -> Array:
    """Bootstrap standard error of the mean over the leading axis.

    Args:
        key: a PRNG key.
        windows: [W, ...], e.g. those of `lyapunov_spectrum`, or the exponents of W input sequences. Successive windows
            are correlated, so use longer windows or independent sequences.
        samples: number of resamplings.

    Returns:
        [...], in the unit of the windows.

    Raises:
        ValueError: there are fewer than two windows.

    Efron, 1979.
    """
    W = windows.shape[0] if windows.ndim else 0
    if W < 2:
        raise ValueError(f"windows has shape {windows.shape}; allowed: [W, ...] with W >= 2. Use more or shorter ones.")
    chosen = jax.random.randint(key, (samples, W), 0, W)
    counts = jax.vmap(lambda row: jnp.bincount(row, length=W))(chosen) / W
    return jnp.std(jnp.tensordot(counts.astype(windows.dtype), windows, 1), axis=0, ddof=1)


def jacobians(step: Step, carry: Any, xs: Any) -> Array:
    """The Jacobian of every step along a trajectory, J_t = ds_t/ds_{t-1}: ``[T, n, n]``.

    This is the only diagnostic that forms them, with memory O(T n^2). The state is the whole carry as one real vector,
    in the order of its leaves (an LSTM's c, then h).

    Args:
        step: `(carry, x) -> (carry, y)`, pure.
        carry: initial state s_0, a pytree of floating or complex arrays.
        xs: inputs, [T, D] or any pytree of [T, ...], T >= 1.

    Raises:
        TypeError: an integer leaf in the carry, or a step that changes the structure or dtypes of the carry.
        ValueError: there are no steps or no state.
    """
    path = trajectory(step, carry, xs)
    return jax.vmap(jax.jacfwd(path.advance))(path.states, path.xs)


def eigenvalues(step: Step, carry: Any, xs: Any) -> Array:
    """Eigenvalues of the Jacobian of every step along a trajectory, largest modulus first: complex ``[T, n]``.

    The spectral radius of single steps does not determine a product of different, non-normal Jacobians; use
    `jacobian_spectrum` for that. Arguments and errors are those of `jacobians`. A backend without a general eigenvalue
    solver raises an error.
    """
    values = jnp.linalg.eigvals(jacobians(step, carry, xs))
    return jnp.take_along_axis(values, jnp.argsort(-jnp.abs(values), axis=-1), axis=-1)
