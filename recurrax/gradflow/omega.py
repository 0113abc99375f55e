"""The regulariser that keeps the norm of the backpropagated error constant from step to step."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from recurrax.cell import Cell, Structure, preactivations
from recurrax.gradflow.gradients import Loss, Step, Trajectory, loss_gradients, rescale, trajectory

FORMS = ("norm", "squared")
IMMEDIATE = ("jacobian", "weights")


def omega(
    step: Step, carry: Any, xs: Any, loss: Loss | None = None, *, form: str = "norm", immediate: str = "jacobian"
) -> Array:
    """Pascanu's Omega at each step: the deviation of the step from preserving the norm of the backpropagated error.

        g_t = dL/ds_t,  J_t = ds_t/ds_{t-1},  L at the last step
        "norm" (their eq. 9):                  Omega_t = (|J_t^T g_t| / |g_t| - 1)^2
        "squared" (their eq. 10 and code):     Omega_t = (|J_t^T g_t|^2 / |g_t|^2 - 1)^2

    The sum over t is the Omega of the paper; the authors' code uses the mean over steps and examples. In a loss:

        jax.grad(lambda cell: task_loss(cell) + weight * gradflow.omega(cell, carry, xs).sum())(cell)

    As published, only the immediate derivative is taken: states, errors and inputs are constants, and parameters get a
    gradient only through J_t. With "jacobian", J_t depends on all parameters, including through the derivative of the
    activation. With "weights", this derivative is constant too, as in the authors' code: J_t v = update'_s v +
    update'_v mix'(v) with constant update', so only the recurrent weights get a gradient.

    It handles one example; use `vmap` over examples. It costs one more backward pass. Errors are rescaled at every
    step, so they never underflow; the authors' code drops steps with a squared norm below 1e-20.

    Args:
        step: `(carry, x) -> (carry, y)`, pure.
        carry: initial state s_0, a pytree of floating or complex arrays.
        xs: inputs, [T, D] or any pytree of [T, ...], T >= 1.
        loss: `(carry_T, y_T) -> scalar`; by default the sum over y_T.
        form: "norm" or "squared".
        immediate: "jacobian", or "weights" for a cell of structure DENSE; it does not change the values.

    Returns:
        [T], dimensionless, t = 1 .. T. A step with an error of exactly zero gives 0, with derivative 0.

    Raises:
        TypeError: an integer leaf in the carry, or a step that changes the structure or dtypes of the carry.
        ValueError: ``form`` or ``immediate`` is unknown, "weights" is used for another step, there are no steps or no
            state, or the loss is not a real scalar.

    Pascanu, Mikolov and Bengio, 2013 (arXiv:1211.5063), section 3.3; code: pascanur/trainingRNNs, RNN.py.
    """
    if form not in FORMS:
        raise ValueError(
            f"form={form!r}; allowed: {', '.join(map(repr, FORMS))}. Equation 9 is 'norm', the code 'squared'."
        )
    if immediate not in IMMEDIATE:
        raise ValueError(
            f"immediate={immediate!r}; allowed: {', '.join(map(repr, IMMEDIATE))}. The authors' code is 'weights'."
        )
    if immediate == "weights" and getattr(step, "structure", None) is not Structure.DENSE:
        raise ValueError(
            f"immediate='weights' with {step!r}; allowed: a Cell of {Structure.DENSE}, whose recurrent weights are "
            "known. Use immediate='jacobian'."
        )
    fixed: Step = jax.lax.stop_gradient(step) if isinstance(step, Cell) else step
    moving = _only_weights(step) if immediate == "weights" else step
    path = trajectory(fixed, carry, xs)
    constants = jax.lax.stop_gradient((path.states, path.xs, _errors(fixed, path, loss)))

    def advance(state: Array, x: Any) -> Array:
        return path.ravel(moving(path.unravel(state), x)[0])

    return jax.vmap(lambda *point: _term(form, advance, *point))(*constants)


def _errors(step: Step, path: Trajectory, loss: Loss | None) -> Array:
    """[T, n]: g_1 .. g_T, each rescaled to a largest entry near 1."""
    (at_end, direct), _ = rescale(loss_gradients(step, path, loss))

    def pull(error: Array, point: tuple[Array, Any, Array]) -> tuple[Array, Array]:
        state, x, direct = point
        (before,) = jax.vjp(lambda state: path.advance(state, x), state)[1](error)
        return rescale(before + direct)[0], error

    directs = jnp.zeros_like(path.states).at[-1].set(direct)
    return jax.lax.scan(pull, at_end, (path.states, path.xs, directs), reverse=True)[1]


def _term(form: str, advance: Any, state: Array, x: Any, error: Array) -> Array:
    (before,) = jax.vjp(lambda state: advance(state, x), state)[1](error)
    before, exponent = rescale(before)  # otherwise its square underflows if one step shrinks it by 1e19
    scale = jnp.exp2(exponent.astype(before.dtype))
    after = jnp.sum(error**2)
    square = jnp.sum(before**2) / jnp.where(after == 0, 1, after)
    if form == "squared":
        ratio = square * scale**2
    else:
        ratio = jnp.where(square == 0, 0, jnp.sqrt(jnp.where(square == 0, 1, square))) * scale  # NaN stays NaN
    return jnp.where(after == 0, 0, (ratio - 1) ** 2)


def _only_weights(cell: Any) -> Step:
    """A step with the same values whose Jacobian depends on parameters only through the Jacobian of `mix`."""
    constant = jax.lax.stop_gradient

    def step(carry: Any, x: Any) -> tuple[Any, Any]:
        # The pre-activations keep their values; their derivative in the carry is that of mix, and in parameters it is
        # 0.
        mixed, still = cell.mix(carry), cell.mix(constant(carry))
        v = jax.tree.map(lambda m, s: constant(m) + (m - s), mixed, still)
        carry = cell.update(carry, preactivations(constant(cell.project(x)), v))
        return carry, cell.readout(carry, x)

    return step
