"""Tanh and sigmoid of a GPU's kernels: as exact as they say, and taken where they may be."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special

from recurrax.engines.pallas.fast_math import fast, sigmoid, tanh


def check(tanh: Any, sigmoid: Any) -> None:
    x = np.concatenate([np.linspace(-12, 12, 200_001), np.logspace(-30, 0, 10_001), -np.logspace(1, 38, 10_001)])
    x = np.resize(x, 2**18).astype(np.float32)
    exact = np.tanh(x.astype(np.float64))
    assert np.all(np.abs(tanh(x) - exact) <= 6 * np.spacing(np.abs(exact).astype(np.float32)))
    np.testing.assert_allclose(sigmoid(x), scipy.special.expit(x.astype(np.float64)), rtol=0, atol=1.2e-7)
    x = np.resize(np.float32([-np.inf, -20, 0, 20, np.inf, np.nan]), 2**18)
    np.testing.assert_allclose(tanh(x), np.tanh(x), rtol=4e-7)
    np.testing.assert_allclose(sigmoid(x), scipy.special.expit(x), rtol=4e-6)


def test_they_are_as_exact_as_they_say():
    check(jax.jit(tanh), jax.jit(sigmoid))


@pytest.mark.skipif(jax.default_backend() != "gpu", reason="no CUDA device: NVIDIA's instructions cannot be run")
@pytest.mark.filterwarnings("ignore:The Pallas Triton backend is deprecated:DeprecationWarning")
def test_nvidias_instructions_are_as_exact():
    from jax.experimental import pallas as pl
    from jax.experimental.pallas import triton

    def kernel(f: Any) -> Any:
        def write(x: Any, y: Any) -> None:
            y[...] = f(x[...], True)

        return jax.jit(
            lambda x: pl.pallas_call(
                write,
                out_shape=jax.ShapeDtypeStruct(x.shape, x.dtype),
                grid=x.size // 1024,
                in_specs=[pl.BlockSpec((1024,), lambda i: (i,))],
                out_specs=pl.BlockSpec((1024,), lambda i: (i,)),
                compiler_params=triton.CompilerParams(num_warps=4),
            )(x)
        )

    check(kernel(tanh), kernel(sigmoid))


@pytest.mark.parametrize(("actual", "exact"), [(tanh, jnp.tanh), (sigmoid, jax.nn.sigmoid)])
def test_their_derivatives(actual, exact):
    x = jnp.linspace(-10, 10, 1001)
    np.testing.assert_allclose(jax.vmap(jax.grad(actual))(x), jax.vmap(jax.grad(exact))(x), atol=1e-6)


def test_every_one_of_float32_is_replaced():
    """Inside a jitted function too, through derivatives and vmap; values and structure stay."""

    def f(x: jax.Array, tree: dict) -> dict:
        return {"a": jax.jit(jnp.tanh)(x) * tree["y"], "b": jax.nn.sigmoid(x + 2.0)}

    x, tree = jnp.linspace(-1, 1, 8).reshape(4, 2), {"y": jnp.ones((4, 2))}
    mapped = [jax.vmap(g, in_axes=-1, out_axes=-1) for g in (f, fast(f))]
    outs = [jax.vjp(g, x, tree) for g in mapped]
    for exact, actual in zip(*map(jax.tree.leaves, (outs[0][0], outs[1][0])), strict=True):
        np.testing.assert_allclose(actual, exact, rtol=1e-6)
    for exact, actual in zip(*(jax.tree.leaves(vjp(out)) for out, vjp in outs), strict=True):
        np.testing.assert_allclose(actual, exact, rtol=1e-6, atol=1e-7)
    jaxpr = str(jax.make_jaxpr(lambda *a: jax.vjp(mapped[1], *a)[1](outs[1][0]))(x, tree))
    assert "= tanh " not in jaxpr and "= logistic " not in jaxpr


@pytest.mark.parametrize(
    "f",
    [
        lambda x: jnp.tanh(jax.nn.relu(x)),  # a derivative of its own
        lambda x: jax.lax.fori_loop(0, 2, lambda _, y: jnp.tanh(y), x),
    ],
)
def test_what_holds_rules_or_loops_is_left_alone(f):
    x = jnp.linspace(-1, 1, 5)
    assert "= tanh " in str(jax.make_jaxpr(fast(f))(x))
    np.testing.assert_array_equal(jax.grad(lambda x: fast(f)(x).sum())(x), jax.grad(lambda x: f(x).sum())(x))


def test_float64_keeps_its_own(x64):
    x = jnp.linspace(-1, 1, 5)
    assert x.dtype == jnp.float64
    np.testing.assert_array_equal(fast(jnp.tanh)(x), jnp.tanh(x))
