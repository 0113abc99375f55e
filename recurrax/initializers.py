"""Initialisers, applied to each gate separately.

If a framework initialises the fused ``[H, 4H]`` kernel, the blocks of the gates are far from orthogonal (singular
values from 0.003 to 0.9 instead of 1). Here every gate draws its own matrix, so an "orthogonal" recurrent kernel is
orthogonal for each gate.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax.nn.initializers import glorot_uniform as glorot_uniform
from jax.nn.initializers import lecun_normal as lecun_normal
from jax.nn.initializers import normal as normal
from jax.nn.initializers import orthogonal as orthogonal
from jax.nn.initializers import uniform as uniform
from jax.nn.initializers import variance_scaling as variance_scaling
from jax.nn.initializers import zeros as zeros

Initializer = Callable[..., jax.Array]


def per_gate(init: Initializer, key: jax.Array, gates: int, shape: tuple[int, ...], dtype) -> jax.Array:
    """Draws each gate's array with its own key: ``[G, *shape]``."""
    fine = jnp.promote_types(dtype, jnp.float32)  # the QR factorisation does not support bfloat16
    return jax.vmap(lambda key: init(key, shape, fine))(jax.random.split(key, gates)).astype(dtype)


def identity(scale: float = 1.0) -> Initializer:
    """``W = scale * I``, the recurrent kernel of the IRNN: ``[H, H]`` (Le, Jaitly & Hinton, 2015).

    Raises:
        ValueError: the shape asked for is not square.
    """

    def init(key: jax.Array, shape: tuple[int, ...], dtype=jnp.float32) -> jax.Array:
        del key
        if len(shape) != 2 or shape[0] != shape[1]:
            raise ValueError(
                f"identity() got shape {shape}; it allows square matrices only. "
                "Use it as recurrent_kernel_init, and e.g. lecun_normal() as kernel_init."
            )
        return scale * jnp.eye(shape[0], dtype=dtype)

    return init


@dataclasses.dataclass(frozen=True)
class Chrono:
    """Bias of a keep gate, ``b = log U[1, t_max - 1]``, so that time constants spread over ``[2, t_max]`` steps.

    As ``forget_bias`` of the LSTM it also sets ``b_i = -b_f``. As ``update_bias`` of the GRU it sets ``b_z`` (here z
    keeps the state; the paper's z overwrites it, hence its minus sign).

    Args:
        t_max: longest dependency expected, in steps; greater than 2.

    Raises:
        ValueError: ``t_max`` is not greater than 2.

    Source: Tallec & Ollivier (2018), "Can recurrent neural networks warp time?", section 2.
    """

    t_max: float

    def __post_init__(self) -> None:
        if not self.t_max > 2:
            raise ValueError(
                f"Chrono got t_max={self.t_max}; allowed: greater than 2. "
                "Give the longest dependency of the task in steps, e.g. Chrono(t_max=200)."
            )

    def __call__(self, key: jax.Array, shape: tuple[int, ...], dtype=jnp.float32) -> jax.Array:
        """Draws the bias of each unit."""
        return jnp.log(jax.random.uniform(key, shape, dtype, 1.0, self.t_max - 1.0))


@dataclasses.dataclass(frozen=True)
class Ring:
    r"""Eigenvalues drawn uniformly from a ring of the complex plane.

    .. math:: \lambda = \exp(-\exp(\nu) + i \exp(\theta)), \quad
        |\lambda|^2 \sim U[r_{min}^2, r_{max}^2], \quad \arg \lambda \sim U[0, \phi_{max}]

    Args:
        r_min: inner radius, at least 0.
        r_max: outer radius, above ``r_min`` and at most 1.
        max_phase: largest angle in radians, in (0, 2 pi].

    Raises:
        ValueError: a radius or the phase is out of its range.

    Source: Orvieto et al. (2023), "Resurrecting recurrent neural networks for long sequences", lemma 3.2.
    """

    r_min: float = 0.9
    r_max: float = 0.999
    max_phase: float = 2 * math.pi

    def __post_init__(self) -> None:
        if not 0 <= self.r_min < self.r_max <= 1 or not 0 < self.max_phase <= 2 * math.pi:
            raise ValueError(
                f"Ring got r_min={self.r_min}, r_max={self.r_max}, max_phase={self.max_phase}; allowed: "
                "0 <= r_min < r_max <= 1 and 0 < max_phase <= 2 pi. Try Ring(r_min=0.9, r_max=0.999)."
            )

    def nu(self, key: jax.Array, shape: tuple[int, ...], dtype=jnp.float32) -> jax.Array:
        """``nu = log(-log(abs(lambda)))`` of each unit."""
        fine = jnp.promote_types(dtype, jnp.float32)
        square = jax.random.uniform(key, shape, fine, self.r_min**2, self.r_max**2)
        # Away from 0 and 1, where the logarithms are infinite.
        square = jnp.clip(square, jnp.finfo(fine).tiny, 1 - jnp.finfo(fine).eps)
        return jnp.log(-0.5 * jnp.log(square)).astype(dtype)

    def theta(self, key: jax.Array, shape: tuple[int, ...], dtype=jnp.float32) -> jax.Array:
        """``theta = log(arg(lambda))`` of each unit."""
        fine = jnp.promote_types(dtype, jnp.float32)
        phase = jax.random.uniform(key, shape, fine, jnp.finfo(fine).eps, 1.0)
        return jnp.log(self.max_phase * phase).astype(dtype)


def keep_bias(bias: float | Initializer, key: jax.Array, shape: tuple[int, ...], dtype) -> jax.Array:
    """Bias of a keep gate from a number or an initialiser such as `Chrono`: ``[H]``."""
    return bias(key, shape, dtype) if callable(bias) else jnp.full(shape, bias, dtype)
