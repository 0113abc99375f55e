"""Norms of products of state Jacobians: the largest effect of a change of an early state on the last state."""

from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from recurrax.gradflow.gradients import Scaled, Step, log_root, rescale, trajectory


def jacobian_norms(step: Step, carry: Any, xs: Any) -> Array:
    """Log of the largest singular value of the Jacobian of the last state with respect to every earlier one.

        J_t = ds_t/ds_{t-1},  J_{t:T} = J_T ... J_{t+1}
        result_t = ln sigma_max(J_{t:T})

    It bounds `state_gradients`: ``|g_t| <= sigma_max(J_{t:T}) |g_T|`` for every loss on s_T. It handles one example;
    use `vmap` over examples and seeds. With n numbers in the state, each step costs n backward passes (one batched vjp;
    J_t is never formed) and the singular values of an n x n matrix: time O(T n^3), memory T n plus a few n^2 numbers.
    The product is rescaled at every step, so it never underflows.

    Args:
        step: `(carry, x) -> (carry, y)`, pure.
        carry: initial state s_0, a pytree of floating or complex arrays.
        xs: inputs, [T, D] or any pytree of [T, ...], T >= 1.

    Returns:
        [T+1] in nats, t = 0 .. T; entry T is 0. A product of exactly zero gives -inf.

    Raises:
        TypeError: an integer leaf in the carry, or a step that changes the structure or dtypes of the carry.
        ValueError: there are no steps or no state.

    Bengio, Simard and Frasconi, 1994; Pascanu, Mikolov and Bengio, 2013 (arXiv:1211.5063).
    """
    path = trajectory(step, carry, xs)

    def pull(after: Scaled, point: tuple[Array, Any]) -> tuple[Scaled, Array]:
        product, exponent = after
        state, x = point
        backward = jax.vjp(lambda state: path.advance(state, x), state)[1]
        (product,) = jax.vmap(backward)(product)  # P J row by row, without forming J
        product, shift = rescale(product)
        largest = jnp.linalg.svd(product, compute_uv=False)[0]
        return (product, exponent + shift), log_root(largest**2, exponent + shift)

    identity = jnp.eye(path.final.size, dtype=path.final.dtype)
    start = identity, jnp.zeros((), jnp.int32)
    _, log_norms = jax.lax.scan(pull, start, (path.states, path.xs), reverse=True)
    return jnp.append(log_norms, jnp.zeros((), log_norms.dtype))
