"""The regulariser that asks the error to keep its norm from step to step."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from recurrax.gradflow.gradients import Loss, Scaled, Step, follow, loss_gradients, rescale

FORMS = ("norm", "squared")


def omega(step: Step, carry: Any, xs: Any, loss: Loss | None = None, *, form: str = "norm") -> Array:
    """How far every step is from keeping the norm of the error that it passes back: Pascanu's Omega, step by step.

        g_t = dL/ds_t,  J_t = ds_t/ds_{t-1},  L at the last step
        "norm" (their eq. 9):                  Omega_t = (|J_t^T g_t| / |g_t| - 1)^2
        "squared" (their eq. 10 and code):     Omega_t = (|J_t^T g_t|^2 / |g_t|^2 - 1)^2

    The sum over t is the paper's Omega; the mean over steps and examples is that of the authors' code. In a loss:

        jax.grad(lambda cell: task_loss(cell) + weight * gradflow.omega(cell, carry, xs).sum())(cell)

    Only its immediate derivative is taken, as published: states and errors are constants, and what the step closes over
    is differentiated through J_t alone. There J_t depends on all parameters, through the derivative of the activation
    too; the authors' code holds that derivative constant as well and so differentiates the recurrent weights alone.

    One example; `vmap` over examples. Costs one more backward pass. Errors are rescaled at every step, so nothing
    underflows; the authors' code drops steps whose squared norm is below 1e-20.

    Args:
        step: `(carry, x) -> (carry, y)`, pure.
        carry: initial state s_0, a pytree of floating or complex arrays.
        xs: inputs, [T, D] or any pytree of [T, ...], T >= 1.
        loss: `(carry_T, y_T) -> scalar`; by default the sum over y_T.
        form: "norm" or "squared".

    Returns:
        [T], dimensionless, t = 1 .. T. A step whose error is exactly zero gives 0, and so does its derivative.

    Raises:
        TypeError: an integer leaf in the carry, or a step that changes the structure or dtypes of the carry.
        ValueError: an unknown form, no steps, no state, or a loss that is not a real scalar.

    Pascanu, Mikolov and Bengio, 2013 (arXiv:1211.5063), section 3.3; code: pascanur/trainingRNNs, RNN.py.
    """
    if form not in FORMS:
        raise ValueError(
            f"form={form!r}; allowed: {', '.join(map(repr, FORMS))}. Equation 9 is 'norm', the code 'squared'."
        )
    path = follow(step, carry, xs)
    states = jax.lax.stop_gradient(path.states)
    (at_end, direct), _ = rescale(jax.lax.stop_gradient(loss_gradients(step, path, loss)))

    def pulled(state: Array, x: Any, gradient: Array) -> Array:
        return jax.vjp(lambda state: path.advance(state, x), state)[1](gradient)[0]

    def pull(after: Scaled, point: tuple[Array, Any, Array]) -> tuple[Scaled, Array]:
        gradient, exponent = after
        state, x, direct = point
        before, shift = rescale(pulled(state, x, gradient) + direct)
        return (before, exponent + shift), gradient

    directs = jnp.zeros_like(states).at[-1].set(direct)
    start = at_end, jnp.zeros((), jnp.int32)
    _, gradients = jax.lax.scan(pull, start, (states, path.xs, directs), reverse=True)  # each near 1 in size
    return jax.vmap(lambda *point: _term(pulled, form, *point))(states, path.xs, jax.lax.stop_gradient(gradients))


def _term(pulled: Any, form: str, state: Array, x: Any, gradient: Array) -> Array:
    after = jnp.sum(gradient**2)
    before = jnp.sum(pulled(state, x, gradient) ** 2)
    alive = (after > 0) & (before > 0) if form == "norm" else after > 0
    ratio = jnp.where(alive, before, 1) / jnp.where(alive, after, 1)
    term = (jnp.sqrt(ratio) - 1) ** 2 if form == "norm" else (ratio - 1) ** 2
    vanished = (after > 0) & (before == 0)  # |J^T g| = 0: the root has no derivative there
    return jnp.where(alive, term, jnp.where(vanished, jnp.ones_like(term), jnp.zeros_like(term)))
