"""Starts of the initialisation experiment: what a fused orthogonal draw is, and one program for all of them."""

import jax
import numpy as np
import pytest

pytest.importorskip("matplotlib", reason="the experiments need recurrax[experiments]")

from experiments.initialization import measurements, starts

D, H, T = 2, 4, 6


def test_a_fused_orthogonal_draw_leaves_no_gate_orthogonal():
    U = np.asarray(starts.fused_orthogonal(jax.random.key(0), 4, 16))
    np.testing.assert_allclose(np.einsum("gij,gkj->ik", U, U), np.eye(16), atol=1e-5)  # orthogonal as a whole
    sizes = np.linalg.svd(U, compute_uv=False)
    assert sizes.max() < 0.99 and sizes.min() < 0.3
    np.testing.assert_allclose(np.mean(sizes**2), 1 / 4, rtol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("cell", ["GRU", "IRNN"])
def test_every_number_is_its_initialisation(cell):
    key = jax.random.key(3)
    choose = starts.any_start(cell, key, D, H, T)
    for index, start in enumerate(starts.starts(cell, H, T).values()):
        expected = starts.build(cell, start, key, D, H)
        jax.tree.map(np.testing.assert_array_equal, choose(index), expected)


def test_blocks_of_both_layouts_and_the_slope_at_rest():
    fused = np.arange(2 * 3 * 6.0).reshape(2, 3, 6)
    apart = measurements.gate_blocks(fused, 3)
    np.testing.assert_array_equal(apart[1, 1], fused[1][:, 3:])
    np.testing.assert_array_equal(measurements.gate_blocks(apart, 3), apart)
    assert measurements.rest_slope(0.5 * np.stack([np.eye(2)] * 3)) == pytest.approx(np.log(0.5))
    assert measurements.rest_slope(np.zeros((1, 2, 2))) == -np.inf
