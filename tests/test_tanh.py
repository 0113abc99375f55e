"""The tanh of a GPU's kernels: as exact as it says, and taken where it may be."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from recurrax.engines.tanh import tanh, without_branches


def test_it_is_within_six_units_in_the_last_place():
    x = np.concatenate([np.linspace(-12, 12, 200_001), np.logspace(-30, 0, 10_001)]).astype(np.float32)
    exact = np.tanh(x.astype(np.float64))
    assert np.all(np.abs(jax.jit(tanh)(x) - exact) <= 6 * np.spacing(np.abs(exact).astype(np.float32)))
    np.testing.assert_allclose(tanh(jnp.array([-jnp.inf, -20.0, 0.0, 20.0, jnp.inf])), [-1, -1, 0, 1, 1], rtol=4e-7)
    assert jnp.isnan(tanh(jnp.float32(jnp.nan)))


def test_its_derivative_is_that_of_tanh():
    x = jnp.linspace(-10, 10, 1001)
    np.testing.assert_allclose(jax.vmap(jax.grad(tanh))(x), jax.vmap(jax.grad(jnp.tanh))(x), atol=1e-6)


def test_every_tanh_of_float32_is_replaced():
    """Inside a jitted function too, through derivatives and vmap; values and structure stay."""

    def f(x: jax.Array, tree: dict) -> dict:
        return {"a": jax.jit(jnp.tanh)(x) * tree["y"], "b": jax.nn.sigmoid(x + 2.0)}

    x, tree = jnp.linspace(-1, 1, 8).reshape(4, 2), {"y": jnp.ones((4, 2))}
    mapped = [jax.vmap(g, in_axes=-1, out_axes=-1) for g in (f, without_branches(f))]
    outs = [jax.vjp(g, x, tree) for g in mapped]
    for exact, actual in zip(*map(jax.tree.leaves, (outs[0][0], outs[1][0])), strict=True):
        np.testing.assert_allclose(actual, exact, rtol=1e-6)
    for exact, actual in zip(*(jax.tree.leaves(vjp(out)) for out, vjp in outs), strict=True):
        np.testing.assert_allclose(actual, exact, rtol=1e-6, atol=1e-7)
    assert "= tanh " not in str(jax.make_jaxpr(lambda *a: jax.vjp(mapped[1], *a)[1](outs[1][0]))(x, tree))


@pytest.mark.parametrize(
    "f",
    [
        lambda x: jnp.tanh(jax.nn.relu(x)),  # a derivative of its own
        lambda x: jax.lax.fori_loop(0, 2, lambda _, y: jnp.tanh(y), x),
    ],
)
def test_what_holds_rules_or_loops_is_left_alone(f):
    x = jnp.linspace(-1, 1, 5)
    assert "= tanh " in str(jax.make_jaxpr(without_branches(f))(x))
    np.testing.assert_array_equal(
        jax.grad(lambda x: without_branches(f)(x).sum())(x), jax.grad(lambda x: f(x).sum())(x)
    )


def test_float64_keeps_its_own(x64):
    x = jnp.linspace(-1, 1, 5)
    assert x.dtype == jnp.float64
    np.testing.assert_array_equal(without_branches(jnp.tanh)(x), jnp.tanh(x))
