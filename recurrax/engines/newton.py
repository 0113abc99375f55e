r"""Newton's method over all steps at once: parallel in time for nonlinear cells.

The states of a sequence solve T equations, ``s_t = f(s_{t-1}, x_t)``. From a guess of all of them, Newton's correction
is a *linear* recurrence, hence one associative scan:

    e_t = f(s_{t-1}, x_t) - s_t        d_t = J_t d_{t-1} + e_t,   d_0 = 0        s_t <- s_t + d_t

with ``J_t`` the Jacobian of f in the state. In exact arithmetic k iterations make the first k states exact, whatever
stands in place of J; how many are needed in all is a matter of the cell. Where f contracts it is a handful. Where it
expands (chaos) errors grow with the products of Jacobians, and T may be needed.

Derivatives never pass through the iterations. At the solution the tangents obey ``ds_t = J_t ds_{t-1} + r_t``, with
``r_t`` the tangent of f at fixed ``s_{t-1}``: one more linear recurrence, whose transpose is one run backwards.
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
    """DEER and quasi-DEER: Newton's iterations above, each an associative scan; for structures DENSE and LINEAR.

    With H units in each of S state arrays, N = S H: an iteration with the dense Jacobian takes O(T N^3) work in
    O(log T) rounds and O(T N^2) memory, with the diagonal one O(T N) and O(T N). Derivatives always take the exact
    dense Jacobian, O(T N^3) work and O(T N^2) memory: the engine is for small N and long T.

    Args:
        tolerance: it has converged where the largest residual, see `Solution`, is at most this and the last correction
            at most its square root. A small residual alone says little where f expands and amplifies it; but the error
            left by Newton's method is of the order of the last correction squared. None: 4 sqrt(N) times the machine
            epsilon of the carry's dtype, that of float32 for shorter ones, whose iterations are run in float32.
        max_iterations: it stops here, converged or not.
        jacobian: "dense" is Newton's method and converges quadratically; "diagonal" keeps of J the derivative of each
            state by itself, whose iterations are far cheaper, more, and converge linearly. The solution is the same.
        damping: k in [0, 1] puts ``(1 - k) J`` in place of J. 0 is Newton's method, 1 is Picard's
            ``s_t <- f(s_{t-1}, x_t)``. The solution does not change and the first n states are still exact after n
            iterations; convergence is linear, but where f expands at the guesses and contracts at the
            solution their products no longer blow up. Try 0.1 where 0 does not converge.
        on_failure: what happens where it has not converged. "scan": the sequence is run by `Adjoint`, one step after
            another, values and derivatives; under `jax.vmap` both are always computed. "error": RuntimeError where
            the numbers are known, that is outside `jax.jit` and `jax.vmap`; inside, like "nan". "nan": all outputs,
            and so all derivatives, are NaN.

    Raises:
        ValueError: an option is not among these; a cell of another structure or with images; a complex carry.
        RuntimeError: it has not converged, with ``on_failure="error"``.

    Source: Lim, Zhu, Selfridge & Kasim (2024), "Parallelizing non-linear sequential models over the sequence length"
    (DEER); Gonzalez, Warrington, Smith & Linderman (2024), "Towards scalable and stable parallelization of nonlinear
    RNNs" (the diagonal; n exact states after n iterations; ELK, which shrinks the eigenvalues of J by a Kalman
    smoother, and scale-ELK, which does it by one factor: ``damping``).
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
        # A product, so that NaN reaches the derivatives too: those of jnp.where would be 0.
        return jax.tree.map(lambda leaf: leaf * jnp.where(ok, 1, jnp.nan).astype(leaf.dtype), parallel())


class Solution(NamedTuple):
    """What Newton's method has found.

    The residual is ``max |s_t - f(s_{t-1}, x_t)| / max(1, |f|)`` over all steps, sequences and states.
    """

    carry: Carry  # after the last step, [*batch, H]
    carries: Carry  # after every step, [T, *batch, H]
    converged: jax.Array  # bool, see tolerance of `Newton`
    iterations: jax.Array  # how many were needed
    residual: jax.Array  # at the end
    residuals: jax.Array  # after each iteration, [max_iterations]; NaN for those that were not needed


def newton(
    cell: Cell,
    carry: Carry,
    xs: Any,
    mask: jax.Array | None = None,
    resets: jax.Array | None = None,
    options: Newton = Newton(),
) -> Solution:
    """Solves ``s_t = f(s_{t-1}, x_t)`` for all steps, with nothing done where it does not converge.

    Args:
        cell: a `Cell` of structure DENSE or LINEAR.
        carry: initial carry ``[*batch, H]``.
        xs: inputs ``[T, *batch, D]``.
        mask: ``[T, *batch]``, see `Engine`.
        resets: ``[T, *batch]``, see `Engine`.
        options: all but ``on_failure`` count.

    Returns:
        A `Solution`. Its carries have derivatives, which like themselves mean something only where it has converged.

    Raises:
        ValueError: a cell of another structure, or a complex carry.
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
    """The solution, not to be differentiated."""
    _check(cell, initial)

    def widened(leaf: jax.Array) -> jax.Array:
        half = jnp.issubdtype(leaf.dtype, jnp.floating) and jnp.finfo(leaf.dtype).bits < 32
        return leaf.astype(jnp.float32) if half else leaf

    # In half precision, and in products of TF32 or bfloat16, f is too rough to be solved to a tolerance.
    cell, start, xs = jax.tree.map(widened, jax.lax.stop_gradient((cell, initial, xs)))
    with jax.default_matmul_precision("highest"):
        found = _iterations(options, cell, start, xs, mask, resets)
    carries = jax.tree.map(lambda leaf, like: leaf.astype(like.dtype), found.carries, initial)
    return found._replace(carry=_last(carries), carries=carries)


def _iterations(options: Newton, cell: Cell, initial: Carry, xs: Any, mask: Any, resets: Any) -> Solution:
    start, us, dense = _flat(initial), cell.project(xs), options.jacobian == "dense"
    tolerance = options.tolerance or 4 * math.sqrt(start.shape[-1]) * float(jnp.finfo(start.dtype).eps)

    def evaluate(states: jax.Array, correction: jax.Array) -> tuple[jax.Array, ...]:
        """The states, f of them, the residual, and whether they have converged; NaN has not."""
        f = _flat(advance(cell, _before(initial, _tree(states, initial)), initial, us, mask, resets))
        residual, correction = (jnp.max(jnp.abs(e) / jnp.maximum(1, jnp.abs(f))) for e in (f - states, correction))
        return states, f, residual, (residual <= tolerance) & (correction <= math.sqrt(tolerance))

    def iteration(loop: Any) -> Any:
        (states, f, *_), residuals, n = loop
        before = _before(initial, _tree(states, initial))
        a = _jacobian(cell, before, us, mask, resets, dense, 1 - options.damping)
        correction = solve(a, f - states, jnp.zeros_like(start))
        new = states + correction
        # Where products of Jacobians overflow a Picard step is left, which still makes one more state exact.
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
    carries = _tree(f, initial)  # f of the states, not the states: nearer to the solution where f contracts
    return Solution(_last(carries), carries, converged, n, residual, residuals)


@jax.custom_jvp
def _differentiable(
    cell: Cell, initial: Carry, xs: Any, mask: Any, resets: Any, carries: Carry, converged: jax.Array
) -> Carry:
    """The carries, with the derivatives of a solution."""
    del cell, initial, xs, mask, resets, converged
    return carries


@_differentiable.defjvp
def _differentiable_jvp(primals: Any, tangents: Any) -> tuple[Carry, Carry]:
    cell, initial, xs, mask, resets, _, converged = primals
    carries = _differentiable(*primals)  # not the argument: second order passes through the derivatives of this

    def tangent(cell: Cell, initial: Carry, xs: Any, carries: Carry, tangents: Any) -> Carry:
        before = _before(initial, carries)

        def step(cell: Cell, initial: Carry, xs: Any) -> jax.Array:
            return _flat(advance(cell, before, initial, cell.project(xs), mask, resets))

        _, r = jax.jvp(step, (cell, initial, xs), tangents)
        a = _jacobian(cell, before, cell.project(xs), mask, resets)
        a = jnp.where(converged, a, 0)  # elsewhere they may overflow, and 0 times that would be NaN
        return _tree(solve(a, r, _flat(tangents[1])), initial)

    # Rematerialised, so that the states and no Jacobians are kept for the backward pass.
    tangent = jax.checkpoint(tangent, prevent_cse=False)
    with jax.default_matmul_precision("highest"):
        return carries, tangent(cell, initial, xs, carries, tangents[:3])


def _jacobian(
    cell: Cell, before: Carry, us: Any, mask: Any, resets: Any, dense: bool = True, factor: float = 1.0
) -> jax.Array:
    """Derivative of every step by the state before it, times ``factor``: ``[T, *batch, N, N]`` or its diagonal.

    ``mix`` is affine, so its derivative is one matrix for all steps; ``update`` is elementwise, so what is left is one
    elementwise tangent for each column, or for each state array where only the diagonal is wanted.
    """
    point = jax.tree.map(lambda leaf: jnp.zeros_like(leaf, shape=leaf.shape[-1:]), before)
    n = _flat(point).size
    units = _tree(jnp.eye(n, dtype=_flat(point).dtype), point)
    directions = (units, jax.vmap(lambda d: jax.jvp(cell.mix, (point,), (d,))[1])(units))  # [N, H] each
    if not dense:  # all columns of a state array together, each where it meets its own row
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
    """``[..., N]``, the arrays ``[..., H]`` of a carry one after another."""
    return jnp.concatenate(jax.tree.leaves(carry), axis=-1)


def _tree(flat: jax.Array, like: Carry) -> Carry:
    """The carry of ``flat: [..., N]``."""
    structure = jax.tree.structure(like)
    return jax.tree.unflatten(structure, jnp.split(flat, structure.num_leaves, axis=-1))
