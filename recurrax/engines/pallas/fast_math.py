"""Tanh and sigmoid in few instructions and without branches, for kernels that run on a GPU."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.extend.core import ClosedJaxpr, Jaxpr, Literal

CALLS = ("jit", "pjit")  # of jitted functions, by JAX's version

# Odd and even powers of x in the quotient, from the highest; beyond the limit tanh rounds to 1.
NUMERATOR = (
    -2.76076848e-16,
    2.0001879e-13,
    -8.60467152e-11,
    5.12229709e-08,
    1.48572236e-05,
    0.000637261929,
    0.00489352456,
)
DENOMINATOR = (1.19825839e-06, 0.000118534706, 0.00226843463, 0.00489352519)
LIMIT = 7.99881172


@functools.partial(jax.custom_jvp, nondiff_argnums=(1,))
def tanh(x: jax.Array, ptx: bool = False) -> jax.Array:
    """``x p(x^2) / q(x^2)`` in float32, within 6 units in the last place of tanh.

    CUDA's takes one of two branches for each number, and one after the other where the numbers of a warp differ.

    Source: the minimax quotient of Eigen, which XLA too computes tanh by.
    """
    x = jnp.where(x > LIMIT, LIMIT, jnp.where(x < -LIMIT, -LIMIT, x))  # not clip, which drops nan on a GPU
    return x * _horner(NUMERATOR, x * x) * _instruction("rcp", _horner(DENOMINATOR, x * x), ptx)


@functools.partial(jax.custom_jvp, nondiff_argnums=(1,))
def sigmoid(x: jax.Array, ptx: bool = False) -> jax.Array:
    """``1 / (1 + 2^(-x log2(e)))`` in float32, within 1.2e-7 of sigmoid, below 2^-126 zero."""
    return _instruction("rcp", 1 + _instruction("ex2", x * -math.log2(math.e), ptx), ptx)


@tanh.defjvp
def _(ptx: bool, primals: Any, tangents: Any) -> Any:
    y = tanh(*primals, ptx)
    return y, tangents[0] * (1 - y * y)


@sigmoid.defjvp
def _(ptx: bool, primals: Any, tangents: Any) -> Any:
    y = sigmoid(*primals, ptx)
    return y, tangents[0] * (y * (1 - y))


FAST = {"tanh": tanh, "logistic": sigmoid}  # by JAX's names


def _instruction(name: str, x: jax.Array, ptx: bool) -> jax.Array:
    """``1 / x`` or ``2^x``: with ``ptx`` one instruction of NVIDIA's, exact but for the last bit.

    What CUDA makes of a division are nine, for quotients of numbers that are larger or smaller than any here.
    """
    if not ptx:
        return 1 / x if name == "rcp" else jnp.exp2(x)
    from jax.experimental.pallas.triton import elementwise_inline_asm

    shape = jax.ShapeDtypeStruct(x.shape, x.dtype)
    assembly = f"{name}.approx.ftz.f32 $0, $1;"
    return elementwise_inline_asm(assembly, args=[x], constraints="=f,f", pack=1, result_shape_dtypes=[shape])[0]


def _horner(coefficients: tuple[float, ...], z: jax.Array) -> jax.Array:
    total = jnp.full_like(z, coefficients[0])
    for coefficient in coefficients[1:]:
        total = total * z + coefficient
    return total


def fast(f: Callable[..., Any], ptx: bool = False) -> Callable[..., Any]:
    """``f`` with these functions for those of float32, or ``f`` itself where it has loops or rules of its own.

    With ``ptx`` it can be run in a kernel for CUDA and nowhere else.
    """

    def g(*args: Any) -> Any:
        closed, out = jax.make_jaxpr(f, return_shape=True)(*args)
        if not _plain(closed.jaxpr):
            return f(*args)
        return jax.tree.unflatten(jax.tree.structure(out), _evaluate(closed, jax.tree.leaves(args), ptx))

    return g


def _plain(jaxpr: Any) -> bool:
    """Whether no equation but a call of a jitted function holds another jaxpr."""
    return all(
        _plain(e.params["jaxpr"].jaxpr)
        if e.primitive.name in CALLS
        else not any(isinstance(value, (Jaxpr, ClosedJaxpr)) for value in e.params.values())
        for e in jaxpr.eqns
    )


def _evaluate(closed: Any, args: list[Any], ptx: bool) -> list[Any]:
    jaxpr = closed.jaxpr
    values = dict(zip((*jaxpr.constvars, *jaxpr.invars), (*closed.consts, *args), strict=True))

    def read(operand: Any) -> Any:
        return operand.val if isinstance(operand, Literal) else values[operand]

    for equation in jaxpr.eqns:
        operands, name = [read(operand) for operand in equation.invars], equation.primitive.name
        if name in CALLS:
            results = _evaluate(equation.params["jaxpr"], operands, ptx)
        elif name in FAST and operands[0].dtype == jnp.float32:
            results = [FAST[name](*operands, ptx)]
        else:
            results = equation.primitive.bind(*operands, **equation.params)
            results = results if equation.primitive.multiple_results else [results]
        values.update(zip(equation.outvars, results, strict=True))
    return [read(out) for out in jaxpr.outvars]
