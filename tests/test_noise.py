"""Recall under noise: its distribution, its ceiling and the mixing of levels; closed forms of what lets noise in."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

pytest.importorskip("tyro", reason="the experiments need recurrax[experiments]")
pytest.importorskip("matplotlib", reason="the experiments need recurrax[experiments]")

from experiments.models import cell_of
from experiments.noise.measurements import Apart, leveled, measure, mix, noise_share, rejection
from recurrax.tasks import Example, Recall

COUNT, LEVEL, DELAY = 20_000, 1.5, 3


@pytest.fixture(scope="module")
def drawn() -> tuple[Recall, Example, Example]:
    """Many examples at one level, and the same ones taken apart."""
    task, apart = Recall(DELAY, noise=LEVEL), Apart(DELAY)
    keys = jax.random.split(jax.random.key(0), COUNT)
    return task, *jax.device_get(jax.jit(jax.vmap(lambda key: (task.sample(key), apart.sample(key))))(keys))


@pytest.mark.slow
def test_recall_samples(drawn):
    task, (inputs, targets, weights, *_), _ = drawn
    value, marker = inputs[..., task.value_channel], inputs[..., task.marker_channel]
    steps, bits = np.arange(DELAY + 5), 2 * targets[:, -1] - 1
    assert (weights == (steps == DELAY + 4)).all() and (targets[:, :-1] == 0).all()
    assert set(np.unique(marker)) == {0, 1} and (marker.sum(-1) == 1).all()
    counts = marker.sum(0)
    assert (counts[5:] == 0).all() and np.abs(counts[:5] / COUNT - 0.2).max() < 5 * math.sqrt(0.16 / COUNT)
    assert abs(bits.mean()) < 5 / math.sqrt(COUNT)
    noise = (value - bits[:, None] * marker) / LEVEL
    n = noise.size
    assert abs(noise.mean()) < 5 / math.sqrt(n) and abs(noise.var() - 1) < 5 * math.sqrt(2 / n)
    assert abs((noise**4).mean() - 3) < 5 * math.sqrt(96 / n) and np.abs(noise).max() > 4
    for threshold in (-2.0, -0.5, 1.0):
        below = 0.5 * math.erfc(-threshold / math.sqrt(2))
        assert abs((noise < threshold).mean() - below) < 5 * math.sqrt(below * (1 - below) / n)
    correlations = np.corrcoef(np.concatenate([noise, bits[:, None]], axis=1).T) - np.eye(DELAY + 6)
    assert np.abs(correlations).max() < 5.5 / math.sqrt(COUNT)  # every step's noise is its own, and none tells the bit


@pytest.mark.slow
def test_the_perfect_observer_reaches_the_ceiling(drawn):
    """Its log odds are calibrated too, so that its loss is the least there is."""
    task, examples, _ = drawn
    outputs = np.asarray(jax.vmap(task.oracle)(examples.inputs))
    accuracy = np.asarray(jax.vmap(task.accuracy)(outputs, examples)).mean()
    ceiling = task.ceiling()
    assert abs(accuracy - ceiling) < 5 * math.sqrt(ceiling * (1 - ceiling) / COUNT)
    loss = [np.asarray(jax.vmap(task.loss)(scale * outputs, examples)).mean() for scale in (0.8, 1.0, 1.25)]
    assert loss[1] < min(loss[0], loss[2])
    assert [Recall(1, noise=level).ceiling() for level in (0, 1, 2)] == pytest.approx([1, 0.841345, 0.691462], abs=1e-6)
    least = 0.5 + 0.9 * (ceiling - 0.5)
    np.testing.assert_array_equal(task.success(0.0, np.array([least - 1e-3, least + 1e-3])), [False, True])
    assert f"{least:.3f}" in task.criterion


def test_bad_noise_is_named():
    with pytest.raises(ValueError, match=r"noise=-1 is out of range; allowed is a finite float >= 0; pass e.g."):
        Recall(3, noise=-1)
    with pytest.raises(TypeError, match=r"noise='1' is a str; allowed is a float >= 0; pass noise=float"):
        Recall(3, noise="1")  # type: ignore


def test_a_level_added_by_the_model_is_that_of_the_task(drawn):
    """The same examples, and a level that is not trained."""
    _, examples, apart = drawn
    np.testing.assert_allclose(mix(jnp.asarray(apart.inputs), LEVEL), examples.inputs, rtol=1e-6, atol=1e-6)
    for got, expected in zip(apart[1:], examples[1:], strict=True):
        np.testing.assert_array_equal(got, expected)
    assert Apart(DELAY) == Apart(DELAY) != Apart(DELAY + 1) and hash(Apart(DELAY)) == hash(Apart(DELAY))
    assert not Apart(DELAY).success(0.0, np.ones(3)).any()
    inputs = jnp.asarray(apart.inputs[:2])
    assert jax.grad(lambda level: jnp.sum(mix(inputs, level)))(LEVEL) == 0


@pytest.mark.slow
def test_closed_forms_of_a_linear_answer(drawn):
    """For a = sum_t w_t v_t the gradient is w, and a redrawn value adds 2 w_t^2 Var(v_t) to the mean square."""
    apart = jnp.asarray(drawn[2].inputs)
    half = COUNT // 2
    marked = np.asarray(apart[:half, :, 1] > 0)
    weight_cue, weight_other = 3.0, 0.25
    weights = np.where(marked, weight_cue, weight_other)
    assert rejection(weights[None], marked) == pytest.approx([math.log10(weight_cue / weight_other)])
    assert rejection(1e-30 * weights.astype(np.float32), marked) == pytest.approx(math.log10(12))
    assert rejection(0.0 * weights, marked) == rejection(np.where(marked, 0, weights), marked) == -np.inf
    assert rejection(np.where(marked, weights, 0), marked) == np.inf

    def answer(xs):
        return jnp.sum(jnp.where(xs[..., 1] > 0, weight_cue, weight_other) * mix(xs, LEVEL)[..., 0], axis=-1)

    share = noise_share(answer, apart[:half], apart[half:])
    noise, cue = weight_other**2 * (DELAY + 4) * LEVEL**2, weight_cue**2 * (1 + LEVEL**2)
    assert share == pytest.approx(noise / (noise + cue), rel=0.05)
    observer = noise_share(lambda xs: jnp.sum(xs[..., 1] * mix(xs, LEVEL)[..., 0], axis=-1), apart[:half], apart[half:])
    assert observer == 0


@pytest.mark.slow
@pytest.mark.usefixtures("quick")
def test_measures_of_models():
    """Shapes, and that levels change the gates but not the weights, which a seed draws alike for all of them."""
    build = leveled("ShutLSTM", DELAY, 2)
    keys = jax.random.split(jax.random.key(0), 2)
    models = jax.vmap(lambda level: build(keys[0], level))(jnp.array([0.0, LEVEL]))
    for leaf in jax.tree.leaves(models.model):
        np.testing.assert_array_equal(leaf[0], leaf[1])
    bias = cell_of(models.model).bias[...]  # type: ignore
    np.testing.assert_allclose(bias[:, 0], math.log(DELAY + 5), rtol=1e-6)
    np.testing.assert_array_equal(bias[:, 1], -bias[:, 0])
    found = measure(models, Apart(DELAY), "ShutLSTM", 8)
    assert found["rejection"].shape == found["share"].shape == (2,)
    assert found["share"][0] == 0 < found["share"][1] < 1
    assert found["write_cue"].shape == found["write_else"].shape == (2, 2)
    assert ((found["write_cue"] > 0) & (found["write_cue"] < 1)).all()
    assert (found["write_cue"][0] != found["write_cue"][1]).all()
