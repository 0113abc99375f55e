r"""Newton's method over all steps at once: parallelism in time for nonlinear cells.

The states of a sequence solve T equations, ``s_t = f(s_{t-1}, x_t)``. From a guess of all states, Newton's correction
is a *linear* recurrence, which one associative scan solves:

    e_t = f(s_{t-1}, x_t) - s_t        d_t = J_t d_{t-1} + e_t,   d_0 = 0        s_t <- s_t + d_t

with ``J_t`` the Jacobian of f in the state. In exact arithmetic the first k states are exact after k iterations, even
with another matrix in place of J. The number of iterations until all states are accurate depends on the cell. If f
contracts, a handful suffice. If f expands (chaos), errors grow with the products of Jacobians, and T iterations may be
needed.

Derivatives never pass through the iterations. At the solution the tangents obey ``ds_t = J_t ds_{t-1} + r_t``, with
``r_t`` the tangent of f at fixed ``s_{t-1}``: one more linear recurrence, whose transpose runs backwards.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
from jax.core import Tracer

from recurrax.cell import Carry, Cell, Structure, preactivations
from recurrax.engines.adjoint import Adjoint
from recurrax.engines.checks import check_vectors
from recurrax.engines.engine import Engine, advance, hold, where
from recurrax.engines.recurrence import solve
from recurrax.engines.sharding import check_not_varying

CHOICES = {"jacobian": ("dense", "diagonal"), "on_failure": ("scan", "error", "nan")}


def _is_real(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


@dataclasses.dataclass(frozen=True)
class Newton(Engine):
    """DEER and quasi-DEER: the Newton iterations above, each an associative scan; for structures DENSE and LINEAR.

    With H units in each of S state arrays, N = S H, an iteration with the dense Jacobian takes O(T N^3) work in O(log
    T) rounds and O(T N^2) memory; with the diagonal Jacobian it takes O(T N) work and memory. Derivatives always use
    the exact dense Jacobian with O(T N^3) work and O(T N^2) memory. The engine is for small N and long T.

    Args:
        tolerance: the method has converged if the largest residual, see `Solution`, is at most this and the last
            correction is at most its square root. A small residual alone is not enough if f expands and amplifies it,
            but the remaining error of Newton's method is of the order of the last correction squared. None uses 4
            sqrt(N) times the machine epsilon of the carry's dtype. Shorter dtypes than float32 use the epsilon of
            float32, and their iterations run in float32.
        max_iterations: the largest number of iterations.
        jacobian: "dense" is Newton's method and converges quadratically. "diagonal" uses only the diagonal of J:
            iterations are far cheaper, but converge linearly, so more of them are needed. The solution is the same.
        damping: k in [0, 1] replaces J by ``(1 - k) J``. 0 is Newton's method; 1 is Picard's method, ``s_t <-
            f(s_{t-1}, x_t)``. The solution does not change, and the first n states are still exact after n iterations.
            Convergence becomes linear, but the products of Jacobians no longer blow up if f expands at the guesses and
            contracts at the solution. Try 0.1 if 0 does not converge.
        on_failure: what to do if the method has not converged. "scan": `Adjoint` runs the sequence step by step, with
            its derivatives; under `jax.vmap` both are always computed. "error": raises RuntimeError if the numbers are
            known, that is outside `jax.jit` and `jax.vmap`; inside them it acts like "nan". "nan": all outputs, and so
            all derivatives, are NaN.

    Raises:
        ValueError: an option has another value, the cell has another structure or images as states, or the carry is
            complex.
        RuntimeError: the method has not converged, with ``on_failure="error"``.

    Source: Lim, Zhu, Selfridge & Kasim (2024), "Parallelizing non-linear sequential models over the sequence length"
    (DEER); Gonzalez, Warrington, Smith & Linderman (2024), "Towards scalable and stable parallelization of nonlinear
    RNNs" (the diagonal Jacobian; n exact states after n iterations; ELK, in which a Kalman smoother shrinks the
    eigenvalues of J, and scale-ELK, which shrinks them by one factor as ``damping`` does).
    """

    tolerance: float | None = None
    max_iterations: int = 100
    jacobian: Literal["dense", "diagonal"] = "dense"
    damping: float = 0.0
    on_failure: Literal["scan", "error", "nan"] = "scan"

    def __post_init__(self) -> None:
        if self.tolerance is not None and not (_is_real(self.tolerance) and 0 < self.tolerance < math.inf):
            raise ValueError(
                f"Newton got tolerance={self.tolerance!r}; allowed: a finite number > 0 or None. Try tolerance=1e-6."
            )
        n = self.max_iterations
        if isinstance(n, bool) or not isinstance(n, int) or n < 1:
            raise ValueError(f"Newton got max_iterations={n!r}; allowed: an int >= 1. Try max_iterations=100.")
        if not (_is_real(self.damping) and 0 <= self.damping <= 1):
            raise ValueError(f"Newton got damping={self.damping!r}; allowed: a number from 0 to 1. Try damping=0.0.")
        for name, allowed in CHOICES.items():
            if (value := getattr(self, name)) not in allowed:
                names = ", ".join(map(repr, allowed))
                raise ValueError(f"Newton got {name}={value!r}; allowed: {names}. Try {name}={allowed[0]!r}.")

    def __call__(
        self, cell: Cell, carry: Carry, xs: Any, mask: jax.Array | None = None, resets: jax.Array | None = None
    ) -> tuple[Carry, Any]:
        """Runs the cell over ``xs: [T, *batch, D]``, see `Engine`."""
        check_not_varying("Newton", xs)
        found = _iterate(self, cell, carry, xs, mask, resets)
        ok = found.converged

        def parallel() -> tuple[Carry, Any]:
            carries = _differentiable(cell, carry, xs, mask, resets, found.carries, ok)
            return _last(carries), cell.readout(carries, xs)

        if self.on_failure == "scan":
            return jax.lax.cond(ok, parallel, lambda: Adjoint()(cell, carry, xs, mask, resets))
        if self.on_failure == "error" and not isinstance(ok, Tracer) and not ok:
            raise RuntimeError(
                f"Newton did not converge in {int(found.iterations)} iterations: its residual is "
                f"{float(found.residual):.3g}. Allow more iterations or a larger tolerance, try damping=0.1, or use "
                "on_failure='scan'."
            )
        # A product carries NaN into the derivatives too; with jnp.where they would be 0.
        return jax.tree.map(lambda leaf: leaf * jnp.where(ok, 1, jnp.nan).astype(leaf.dtype), parallel())


class Solution(NamedTuple):
    """The result of Newton's method.

    The residual is ``max |s_t - f(s_{t-1}, x_t)| / max(1, |f|)`` over all steps, sequences and states.
    """

    carry: Carry  # the carry after the last step, [*batch, H]
    carries: Carry  # the carry after every step, [T, *batch, H]
    converged: jax.Array  # bool, see the tolerance of `Newton`
    iterations: jax.Array  # the number of iterations
    residual: jax.Array  # the final residual
    residuals: jax.Array  # the residual after each iteration, [max_iterations]; NaN after convergence


def newton(
    cell: Cell,
    carry: Carry,
    xs: Any,
    mask: jax.Array | None = None,
    resets: jax.Array | None = None,
    options: Newton = Newton(),
) -> Solution:
    """Solves ``s_t = f(s_{t-1}, x_t)`` for all steps, without a fallback if it does not converge.

    Args:
        cell: a `Cell` of structure DENSE or LINEAR.
        carry: initial carry ``[*batch, H]``.
        xs: inputs ``[T, *batch, D]``.
        mask: ``[T, *batch]``, see `Engine`.
        resets: ``[T, *batch]``, see `Engine`.
        options: ``on_failure`` is ignored.

    Returns:
        A `Solution`. Its carries and their derivatives are valid only if it has converged.

    Raises:
        ValueError: the cell has another structure, or the carry is complex.
    """
    found = _iterate(options, cell, carry, xs, mask, resets)
    carries = _differentiable(cell, carry, xs, mask, resets, found.carries, found.converged)
    return found._replace(carry=_last(carries), carries=carries)


def _check(cell: Cell, carry: Carry) -> None:
    check_vectors("Newton", cell)
    name = type(cell).__name__
    if cell.structure not in (Structure.DENSE, Structure.LINEAR):
        raise ValueError(
            f"Newton got {name} of {cell.structure}; allowed: {Structure.DENSE} and {Structure.LINEAR}, whose steps "
            "are elementwise beside one affine map of the state. Use backend='auto' for this one."
        )
    if any(jnp.iscomplexobj(leaf) for leaf in jax.tree.leaves(carry)):
        raise ValueError(f"Newton got {name} with a complex carry; allowed: a real one. Use Associative() or Scan().")


def _iterate(options: Newton, cell: Cell, initial: Carry, xs: Any, mask: Any, resets: Any) -> Solution:
    """Iterates to the solution, without derivatives."""
    _check(cell, initial)

    def widened(leaf: jax.Array) -> jax.Array:
        half = jnp.issubdtype(leaf.dtype, jnp.floating) and jnp.finfo(leaf.dtype).bits < 32
        return leaf.astype(jnp.float32) if half else leaf

    # Half precision and products in TF32 or bfloat16 are too coarse to reach a tolerance.
    cell, start, xs = jax.tree.map(widened, jax.lax.stop_gradient((cell, initial, xs)))
    with jax.default_matmul_precision("highest"):
        found = _iterations(options, cell, start, xs, mask, resets)
    carries = jax.tree.map(lambda leaf, like: leaf.astype(like.dtype), found.carries, initial)
    return found._replace(carry=_last(carries), carries=carries)


def _iterations(options: Newton, cell: Cell, initial: Carry, xs: Any, mask: Any, resets: Any) -> Solution:
    start, us, dense = _flat(initial), cell.project(xs), options.jacobian == "dense"
    tolerance = options.tolerance or 4 * math.sqrt(start.shape[-1]) * float(jnp.finfo(start.dtype).eps)

    def evaluate(states: jax.Array, correction: jax.Array) -> tuple[jax.Array, ...]:
        """The states, f of the states, the residual, and whether they have converged; NaN counts as not converged."""
        f = _flat(advance(cell, _before(initial, _tree(states, initial)), initial, us, mask, resets))
        residual, correction = (jnp.max(jnp.abs(e) / jnp.maximum(1, jnp.abs(f))) for e in (f - states, correction))
        return states, f, residual, (residual <= tolerance) & (correction <= math.sqrt(tolerance))

    def iteration(loop: Any) -> Any:
        (states, f, *_), residuals, n = loop
        before = _before(initial, _tree(states, initial))
        a = _jacobian(cell, before, us, mask, resets, dense, 1 - options.damping)
        correction = solve(a, f - states, jnp.zeros_like(start))
        new = states + correction
        # If products of Jacobians overflow, take a Picard step, which still makes one more state exact.
        new = jnp.where(jnp.isfinite(new), new, jnp.where(jnp.isfinite(f), f, 0))
        now = evaluate(new, correction)
        return now, residuals.at[n].set(now[2]), n + 1

    guess = jnp.broadcast_to(start, (len(jax.tree.leaves(us)[0]), *start.shape))
    nothing = jnp.full(options.max_iterations, jnp.nan, start.dtype)
    (_, f, residual, converged), residuals, n = jax.lax.while_loop(
        lambda loop: ~loop[0][3] & (loop[2] < options.max_iterations),
        iteration,
        (evaluate(guess, jnp.zeros_like(guess)), nothing, jnp.zeros((), jnp.int32)),
    )
    carries = _tree(f, initial)  # f of the states is nearer to the solution than the states if f contracts
    return Solution(_last(carries), carries, converged, n, residual, residuals)


@jax.custom_jvp
def _differentiable(
    cell: Cell, initial: Carry, xs: Any, mask: Any, resets: Any, carries: Carry, converged: jax.Array
) -> Carry:
    """The carries, with the derivatives that a solution has."""
    del cell, initial, xs, mask, resets, converged
    return carries


@_differentiable.defjvp
def _differentiable_jvp(primals: Any, tangents: Any) -> tuple[Carry, Carry]:
    cell, initial, xs, mask, resets, _, converged = primals
    carries = _differentiable(*primals)  # a recursive call, so that second derivatives pass through the first ones

    def tangent(cell: Cell, initial: Carry, xs: Any, carries: Carry, tangents: Any) -> Carry:
        before = _before(initial, carries)

        def step(cell: Cell, initial: Carry, xs: Any) -> jax.Array:
            return _flat(advance(cell, before, initial, cell.project(xs), mask, resets))

        _, r = jax.jvp(step, (cell, initial, xs), tangents)
        a = _jacobian(cell, before, cell.project(xs), mask, resets)
        a = jnp.where(converged, a, 0)  # without convergence the Jacobians may overflow, and 0 times infinity is NaN
        return _tree(solve(a, r, _flat(tangents[1])), initial)

    # Rematerialised, so that the backward pass stores the states but no Jacobians.
    tangent = jax.checkpoint(tangent, prevent_cse=False)
    with jax.default_matmul_precision("highest"):
        return carries, tangent(cell, initial, xs, carries, tangents[:3])


def _jacobian(
    cell: Cell, before: Carry, us: Any, mask: Any, resets: Any, dense: bool = True, factor: float = 1.0
) -> jax.Array:
    """The Jacobian of every step in the previous state, times ``factor``: ``[T, *batch, N, N]`` or its diagonal.

    ``mix`` is affine, so its derivative is one matrix for all steps. ``update`` is elementwise, so it needs one
    elementwise tangent for each column, or for each state array if only the diagonal is computed.
    """
    point = jax.tree.map(lambda leaf: jnp.zeros_like(leaf, shape=leaf.shape[-1:]), before)
    n = _flat(point).size
    units = _tree(jnp.eye(n, dtype=_flat(point).dtype), point)
    directions = (units, jax.vmap(lambda d: jax.jvp(cell.mix, (point,), (d,))[1])(units))  # arrays [N, H]
    if not dense:  # one tangent for all columns of a state array gives the diagonal
        directions = jax.tree.map(lambda d: jnp.diagonal(d.reshape(-1, d.shape[-1], d.shape[-1]), 0, 1, 2), directions)
    at = (before, cell.mix(before))

    def along(direction: Any) -> Carry:
        direction = jax.tree.map(lambda d, leaf: jnp.broadcast_to(d, leaf.shape), direction, at)
        return jax.jvp(lambda carry, v: cell.update(carry, preactivations(us, v)), at, direction)[1]

    if dense:
        a = jax.vmap(lambda direction: _flat(along(direction)), out_axes=-1)(directions)
        identity = jnp.broadcast_to(jnp.eye(n, dtype=a.dtype), a.shape)
    else:
        a = _flat([leaf[k] for k, leaf in enumerate(jax.tree.leaves(jax.vmap(along)(directions)))])
        identity = jnp.ones_like(a)
    return hold(mask, where(resets, jnp.zeros_like(a), factor * a), identity)


def _before(initial: Carry, carries: Carry) -> Carry:
    """The carry before every step."""
    return jax.tree.map(lambda c0, cs: jnp.concatenate([c0[None], cs[:-1]]), initial, carries)


def _last(carries: Carry) -> Carry:
    return jax.tree.map(lambda leaf: leaf[-1], carries)


def _flat(carry: Carry) -> jax.Array:
    """Concatenates the arrays ``[..., H]`` of a carry to ``[..., N]``."""
    return jnp.concatenate(jax.tree.leaves(carry), axis=-1)


def _tree(flat: jax.Array, like: Carry) -> Carry:
    """Splits ``flat: [..., N]`` into a carry, the inverse of `_flat`."""
    structure = jax.tree.structure(like)
    return jax.tree.unflatten(structure, jnp.split(flat, structure.num_leaves, axis=-1))
