"""Recurrent matrices of a given spectral radius."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from recurrax.initializers import Initializer, orthogonal

SQUARINGS = 24


def spectral_radius(W: jax.Array) -> jax.Array:
    """Largest modulus of the eigenvalues, by Gelfand's formula; it runs on devices without an eigenvalue solver.

        rho(W) = lim_k |W^k|^(1/k),  k = 2, 4, 8, ... by squaring, rescaled in between

    ``W: [H, H]`` to a scalar; 0 of a nilpotent matrix. Gelfand (1941).
    """

    def square(power: jax.Array, k: jax.Array) -> tuple[jax.Array, jax.Array]:
        norm = jnp.linalg.norm(power)
        power = power / jnp.where(norm > 0, norm, 1)
        return jnp.matmul(power, power, precision=jax.lax.Precision.HIGHEST), jnp.log(norm) / k

    _, logs = jax.lax.scan(square, W, 2.0 ** jnp.arange(SQUARINGS, dtype=W.dtype))
    return jnp.exp(jnp.sum(logs))


def gaussian(radius: jax.Array | float) -> Initializer:
    """A matrix of independent normal entries, scaled to exactly this spectral radius: ``[H, H]``, non-normal."""

    def init(key: jax.Array, shape: tuple[int, ...], dtype=jnp.float32) -> jax.Array:
        W = jax.random.normal(key, shape, dtype)
        return radius / spectral_radius(W) * W

    return init


def rotation(radius: jax.Array | float) -> Initializer:
    """The radius times an orthogonal matrix: ``[H, H]``, normal, all singular values equal to the radius."""
    return lambda key, shape, dtype=jnp.float32: radius * orthogonal()(key, shape, dtype)
