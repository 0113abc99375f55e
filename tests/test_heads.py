"""Predictive distributions: densities and quantiles of SciPy, scikit-learn's pinball loss, constants, refusals."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats
from samples import check_refusal

from recurrax.heads import LEVELS, Gaussian, Laplace, Quantiles, pinball

RANDOM = np.random.default_rng(0)
OUTPUTS = RANDOM.normal(size=(7, 6)).astype(np.float32)
TARGETS = RANDOM.normal(size=(7, 3)).astype(np.float32)
DISTRIBUTIONS = {Gaussian(): scipy.stats.norm, Laplace(): scipy.stats.laplace}
HEADS = [*DISTRIBUTIONS, Quantiles(), Quantiles((0.9, 0.1)), Quantiles((0.5,))]


@pytest.mark.parametrize("head", DISTRIBUTIONS, ids=repr)
def test_densities_and_quantiles_are_those_of_scipy(head):
    location, scale = OUTPUTS[:, 0::2], np.logaddexp(OUTPUTS[:, 1::2], 0) + 1e-3
    law = DISTRIBUTIONS[head](location, scale)
    np.testing.assert_allclose(head.loss(OUTPUTS, TARGETS), -law.logpdf(TARGETS), rtol=1e-5)
    for level in (0.01, 0.3, 0.5, 0.95):
        np.testing.assert_allclose(head.quantile(OUTPUTS, level), law.ppf(level), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(head.median(OUTPUTS), location, rtol=1e-6)
    low, high = head.interval(OUTPUTS, 0.8)
    np.testing.assert_allclose(law.cdf(high) - law.cdf(low), 0.8, rtol=1e-5)


def test_the_pinball_loss_is_that_of_scikit_learn():
    mean_pinball_loss = pytest.importorskip("sklearn.metrics").mean_pinball_loss
    head = Quantiles((0.95, 0.05, 0.5))
    outputs = RANDOM.normal(size=(7, 9)).astype(np.float32)
    found = np.asarray(head.all(outputs))
    assert head.levels == (0.05, 0.5, 0.95) and found.shape == (7, 3, 3)
    wanted = [mean_pinball_loss(TARGETS.ravel(), found[..., k].ravel(), alpha=p) for k, p in enumerate(head.levels)]
    assert float(head.loss(outputs, TARGETS).mean()) == pytest.approx(np.mean(wanted), rel=1e-5)
    assert float(pinball(1.0, 3.0, 0.9)) == pytest.approx(1.8) and float(pinball(3.0, 1.0, 0.9)) == pytest.approx(0.2)


@pytest.mark.parametrize("levels", [LEVELS, (0.1, 0.9), (0.2, 0.4, 0.6, 0.8)])
def test_quantiles_never_cross(levels):
    head = Quantiles(levels)
    outputs = 5 * RANDOM.normal(size=(50, 2 * len(levels))).astype(np.float32)
    found = np.asarray(head.all(outputs))
    assert (np.diff(found, axis=-1) >= 0).all()
    for k, level in enumerate(levels):
        np.testing.assert_array_equal(head.quantile(outputs, level), found[..., k])
    between = (levels[0] + levels[1]) / 2
    np.testing.assert_allclose(head.quantile(outputs, between), found[..., :2].mean(axis=-1), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("head", HEADS, ids=repr)
def test_no_other_constant_answer_is_better(head):
    """The constant's loss is below that of answers nearby; rows of weight 0 do not count."""
    targets = np.concatenate([RANDOM.gamma(2.0, size=(400, 2)), np.full((10, 2), 1e6)])
    weights = (targets < 1e6).astype(float)
    best = jnp.asarray(head.constant(targets, weights), jnp.float32)
    assert best.shape == (head.out_features(2),)

    def loss(outputs):
        return float(jnp.mean(jax.vmap(head.loss, in_axes=(None, 0))(outputs, jnp.asarray(targets[:400], jnp.float32))))

    for _ in range(8):
        assert loss(best + 0.05 * RANDOM.normal(size=best.shape)) > loss(best) - 1e-4


@pytest.mark.parametrize("head", HEADS, ids=repr)
def test_gradients_are_finite_where_outputs_are_extreme(head):
    for size in (-1e4, 0.0, 1e4):
        outputs = jnp.full(head.out_features(2), size)
        gradient = jax.grad(lambda y: head.loss(y, jnp.zeros(2)).sum())(outputs)
        assert jnp.isfinite(gradient).all()
    assert head.loss(jnp.zeros(head.out_features(2), jnp.bfloat16), jnp.zeros(2)).dtype == jnp.float32


def test_refusals_name_the_value_and_the_fix():
    check_refusal(lambda: Quantiles((0.5, 1.0)), ValueError, r"levels=\(0.5, 1.0\); allowed: .* between 0 and 1")
    check_refusal(lambda: Quantiles(()), ValueError, "one or more different numbers")
    check_refusal(lambda: Quantiles((0.1, 0.1)), ValueError, "different")
    check_refusal(lambda: Quantiles((0.1, 0.9)).interval(jnp.zeros(2), 0.9), ValueError, "allowed: from 0.1 to 0.9")
    check_refusal(
        lambda: Gaussian().loss(jnp.zeros(3), jnp.zeros(1)), ValueError, r"shape \[3\]; allowed: \[..., n \* 2\]"
    )
    check_refusal(lambda: Laplace().quantile(jnp.zeros(2), 1.5), ValueError, "level=1.5; allowed: a number between")
