"""Fast tanh and sigmoid without branches, for kernels on a GPU."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.extend.core import ClosedJaxpr, Jaxpr, Literal

CALLS = ("jit", "pjit")  # the primitive of a jitted function in different JAX versions

# Coefficients of the odd and even powers of x, the highest first; beyond the limit tanh rounds to 1.
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
    """Tanh as ``x p(x^2) / q(x^2)`` in float32, within 6 units in the last place.

    CUDA's tanh has two branches, and a warp runs both one after the other if its numbers differ.

    Source: the minimax quotient of Eigen, which XLA uses too.
    """
    x = jnp.where(x > LIMIT, LIMIT, jnp.where(x < -LIMIT, -LIMIT, x))  # clip would lose NaN on a GPU
    return x * _horner(NUMERATOR, x * x) * _instruction("rcp", _horner(DENOMINATOR, x * x), ptx)


@functools.partial(jax.custom_jvp, nondiff_argnums=(1,))
def sigmoid(x: jax.Array, ptx: bool = False) -> jax.Array:
    """Sigmoid as ``1 / (1 + 2^(-x log2(e)))`` in float32, within 1.2e-7; zero below 2^-126."""
    return _instruction("rcp", 1 + _instruction("ex2", x * -math.log2(math.e), ptx), ptx)


@tanh.defjvp
def _(ptx: bool, primals: Any, tangents: Any) -> Any:
    y = tanh(*primals, ptx)
    return y, tangents[0] * (1 - y * y)


@sigmoid.defjvp
def _(ptx: bool, primals: Any, tangents: Any) -> Any:
    y = sigmoid(*primals, ptx)
    return y, tangents[0] * (y * (1 - y))


FAST = {"tanh": tanh, "logistic": sigmoid}  # keyed by the names of JAX's primitives


def _instruction(name: str, x: jax.Array, ptx: bool) -> jax.Array:
    """``1 / x`` or ``2^x``; with ``ptx`` it is a single NVIDIA instruction, exact up to the last bit.

    CUDA compiles a division to nine instructions, which handle larger and smaller numbers than occur here.
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
    """Replaces the float32 functions in ``f`` by these; returns ``f`` itself if it has loops or custom rules.

    With ``ptx`` the result runs only in a CUDA kernel.
    """

    def g(*args: Any) -> Any:
        closed, out = jax.make_jaxpr(f, return_shape=True)(*args)
        if not _plain(closed.jaxpr):
            return f(*args)
        return jax.tree.unflatten(jax.tree.structure(out), _evaluate(closed, jax.tree.leaves(args), ptx))

    return g


def _plain(jaxpr: Any) -> bool:
    """Whether only calls of jitted functions contain another jaxpr."""
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
