"""Closed forms behind the experiment on exploding gradients: spectral radii, the one-unit surface, its statistics."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from reference import jit
from scipy.special import expit
from tolerances import TOLERANCE, close

from experiments.exploding_gradients import Config, findings, matrices, networks, surface

H, RADIUS, STEPS = 5, 1.3, 30
WIDE = Config(box_w=(4.5, 7.0), box_b=(-4.5, -1.5))


def test_matrices_have_the_spectral_radius_asked_for():
    keys = jax.random.split(jax.random.key(0), 3)

    @jit
    @jax.vmap
    def draw(key):
        return matrices.gaussian(RADIUS)(key, (H, H)), matrices.rotation(RADIUS)(key, (H, H))

    normal, rotation = draw(keys)
    for draws in (np.asarray(normal), np.asarray(rotation)):
        np.testing.assert_allclose(np.abs(np.linalg.eigvals(draws)).max(axis=-1), RADIUS, rtol=1e-5)
    close(rotation @ rotation.swapaxes(1, 2), np.broadcast_to(RADIUS**2 * np.eye(H), (3, H, H)), "float32")
    assert (np.linalg.norm(normal, 2, axis=(1, 2)) > 1.05 * RADIUS).all()  # non-normal


def test_spectral_radius_of_a_nilpotent_and_of_a_defective_matrix():
    jordan = np.eye(3, k=1, dtype=np.float32)
    found = jit(jax.vmap(matrices.spectral_radius))(jnp.stack([jordan, 0.5 * np.eye(3) + jordan]))
    np.testing.assert_allclose(found, [0, 0.5], atol=1e-5)


def test_the_gradient_of_the_surface_is_its_derivative():
    w, b, step = np.array([4.5, 5.0, 6.5]), np.array([-2.0, -3.2, -2.9]), 1e-6
    loss = surface.evaluate(w, b, 10)
    for found, (dw, db) in ((loss.dw, (step, 0)), (loss.db, (0, step))):
        above, below = (surface.evaluate(w + sign * dw, b + sign * db, 10).value for sign in (1, -1))
        np.testing.assert_allclose(
            found,
            (above - below) / (2 * step),
            rtol=TOLERANCE["differences"]["rtol"],
            atol=TOLERANCE["differences"]["atol"],
        )


def test_on_the_wall_the_state_stays_and_the_gradient_is_a_geometric_series():
    w = np.array([4.3, 5.0, 6.0])
    loss = surface.evaluate(w, surface.wall(w), STEPS)
    np.testing.assert_allclose(loss.value, (expit(surface.START) - surface.TARGET) ** 2, rtol=1e-6)
    np.testing.assert_allclose(loss.norm, surface.wall_gradient(w, STEPS), rtol=1e-6)


@pytest.mark.parametrize("side", [-1, 1])
def test_the_wall_parts_two_basins_between_the_folds(side):
    w = np.array([5.0, 6.0])
    upper, lower = surface.folds(w)
    assert ((upper < surface.wall(w)) & (surface.wall(w) < lower)).all()
    x = np.full(2, surface.START)
    for _ in range(300):
        x = w * expit(x) + surface.wall(w) + side * 1e-6
    assert (side * (x - surface.START) > 0.3).all()


def test_at_a_fold_the_fixed_point_is_marginal_and_below_w_of_4_there_is_none():
    w = np.array([5.0, 6.0])
    for sign, b in zip((1, -1), surface.folds(w), strict=True):
        s = (1 + sign * np.sqrt(1 - 4 / w)) / 2
        x = np.log(s / (1 - s))
        np.testing.assert_allclose(w * expit(x) + b, x, atol=1e-12)
        np.testing.assert_allclose(w * s * (1 - s), 1, rtol=1e-12)
    assert np.isnan(surface.folds(np.array([3.9]))).all()


def test_the_largest_changes_of_the_surface_lie_on_the_wall():
    found = surface.measure(dataclasses.replace(WIDE, cells=61))
    assert found["cells_off"]["wall"]["largest"] < 2 < found["cells_off"]["upper fold"]["median"]
    assert found["largest_change"] > 100 * found["median_change"]


def test_clipping_bounds_an_update_and_keeps_the_path_in_reach():
    config = dataclasses.replace(WIDE, starts=20, descent_steps=50, step_sizes=(0.3,), surface_clips=(0.5,))
    free, clipped = surface.descend(config)
    assert clipped["longest_step"] <= 0.3 * 0.5 * (1 + 1e-12) < free["longest_step"]
    assert free["thrown_off"] > clipped["thrown_off"] == 0


def test_sgd_clips_by_the_swept_number_and_remembers_the_norms():
    gradient = jnp.array([3.0, -4.0])
    make = networks.sgd(Config(clip_norm=1.0, clip_value=0.1))
    expected = {0: [-3.0, 4.0], 1: [-0.6, 0.8], 2: [-0.1, 0.1]}

    @jit
    @jax.vmap
    def update(clipping):
        optimizer = make(1.0, clipping)
        state = optimizer.init(gradient)
        updates, state = optimizer.update(gradient, state)
        _, (norms, *_) = optimizer.update(2 * gradient, state)  # type: ignore[misc]
        return updates, norms

    updates, norms = update(jnp.arange(3))
    close(updates, jnp.array(list(expected.values())), "float32")
    np.testing.assert_allclose(norms.first, 5, rtol=1e-6)
    np.testing.assert_allclose(norms.largest, 10, rtol=1e-6)


def test_diverged_and_spike_count_what_is_not_finite():
    last, at = np.array([1.0, 10.5, np.nan, 0.1]), np.array([-1, -1, -1, 7])
    assert networks.diverged(last, at, chance_level=1.0).tolist() == [False, True, True, True]
    losses = np.array([[1.0, 3.0, 2.0], [1.0, np.inf, 1.0], [1.0, np.nan, 1.0]])
    assert networks.spike(losses).tolist() == [3.0, np.inf, np.inf]


def test_crossing_interpolates():
    radii = np.array([0.8, 1.0, 1.2])
    assert findings.crossing(radii, np.array([-0.3, -0.1, 0.1])) == pytest.approx(1.1)
    assert findings.crossing(radii, np.array([0.1, -0.1, 0.1])) == pytest.approx(1.1)  # it stays above from there on
    assert findings.crossing(radii, np.array([-0.3, 0.1, 0.0])) is None
    assert findings.crossing(radii, np.array([0.3, 0.4, 0.5])) == 0.8


@pytest.mark.parametrize(
    "change",
    [
        {"radii": (1.2, 0.9)},
        {"transient": 0.95},
        {"networks": ("LSTM",)},
        {"box_w": (5.0, 4.0)},
        {"cells": 2},
        {"box_b": (-2.0, -4.0)},
        {"radii": (-0.1, 0.9)},
        {"start_seed": -1},
    ],
)
def test_settings_that_cannot_be_run_are_refused_in_one_line(change):
    with pytest.raises(ValueError, match=r"allowed: .*\. Change --"):
        Config(**change)


def test_runs_are_those_of_one_way_of_clipping():
    entry = {
        "settings": {"clipping": [0, 1, 0], "spectral_radius": [0.8, 0.8, 1.2], "learning_rate": [0.1, 0.1, 0.1]},
        "diverged": [False, False, True], "solved_at": [-1, -1, -1], "loss": [[1, 2], [1, 3], [1, None]],
        "clipped": [0.0, 0.5, 0.0], "first_gradient": [1, 2, 3], "largest_gradient": [1, 2, None],
        "spike": [1, 1, None],
    }  # fmt: skip
    found = findings.runs({"results": {"training tanh": entry}}, "tanh", "none")
    assert found.last_loss.tolist() == [2, np.inf]
    assert found.where(radius=1.2).diverged.tolist() == [True]
    assert found.where(radius=0.8, rate=0.1).largest_gradient.tolist() == [1]
