"""The Transformer beside which recurrent nets are measured: causal, the same step by step, positions relative."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from experiments.baselines.transformer import Transformer, rotated

WINDOWS = [None, 3, 20]


def model(window=None, **options):
    return Transformer(5, 16, 3, window=window, rngs=nnx.Rngs(0), **options)


@pytest.fixture
def xs():
    return jax.random.normal(jax.random.key(1), (2, 9, 5))


@pytest.mark.parametrize("window", WINDOWS)
def test_one_step_at_a_time_gives_what_all_at_once_give(window, xs):
    """With a window the cache is a ring of so many rows."""
    net = model(window)
    carry, ys = net.initialize_carry(2, 9), []
    for x in jnp.swapaxes(xs, 0, 1):
        carry, y = nnx.jit(Transformer.step)(net, carry, x)
        ys.append(y)
    np.testing.assert_allclose(jnp.stack(ys, axis=1), net(xs), atol=2e-6)
    assert {rows.shape for rows in carry[1][0].keys} == {(min(window or 9, 9), 4)}


@pytest.mark.parametrize("window", WINDOWS)
def test_a_step_sees_what_came_before_it_and_no_more_than_its_windows(window, xs):
    """In two layers a step sees 2 (w - 1) steps back."""
    net = model(window)
    sees = jax.jacobian(lambda xs: net(xs)[0].sum(-1))(xs)[:, 0]  # [T, T, D]
    sees = np.abs(sees).sum(-1) > 0
    lag = np.arange(9)[:, None] - np.arange(9)[None]
    reach = 9 if window is None else 2 * (window - 1)
    np.testing.assert_array_equal(sees, (lag >= 0) & (lag <= reach))


def test_turned_products_depend_on_the_difference_of_steps_alone():
    q, k = jax.random.normal(jax.random.key(0), (2, 1, 1, 8))
    products = [float(jnp.sum(rotated(q, jnp.array([t])) * rotated(k, jnp.array([t - 4])))) for t in (4, 10, 1000)]
    np.testing.assert_allclose(products, products[0], rtol=1e-4)
    np.testing.assert_allclose(np.linalg.norm(rotated(q, jnp.array([7]))), np.linalg.norm(q), rtol=1e-6)


def test_one_head_equals_attention_written_out(xs):
    """Softmax over all pairs of steps, in NumPy."""
    net = Transformer(5, 8, 3, 1, heads=1, rngs=nnx.Rngs(0))
    (block,) = net.blocks
    x = np.asarray(net.embed(xs))
    q, k, v = (np.asarray(a)[:, :, 0] for a in block.in_heads(jnp.asarray(x), jnp.arange(9)))
    scores = np.where(np.tril(np.ones((9, 9), bool)), q @ k.swapaxes(1, 2) / np.sqrt(8), -np.inf)
    weights = np.exp(scores) / np.exp(scores).sum(-1, keepdims=True)
    expected = block.after(jnp.asarray(x), jnp.asarray(weights @ v)[:, :, None])
    np.testing.assert_allclose(net.head(net.norm(expected)), net(xs), atol=2e-6)


def test_tokens_are_embedded():
    assert model(tokens=True)(jnp.array([[0, 4, 2]])).shape == (1, 3, 3)


def test_features_that_do_not_turn_are_refused():
    with pytest.raises(ValueError, match="features=12; allowed: a multiple of 2 heads = 8"):
        Transformer(5, 12, 3, rngs=nnx.Rngs(0))
