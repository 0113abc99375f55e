"""Every diagnostic has a plot: one call, labelled axes, legend outside the data."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from recurrax import gradflow
from recurrax.gradflow import FixedPoints, Saturation, Spectrum

pytest.importorskip("matplotlib", reason="plots need recurrax[experiments]")

CURVES = -jnp.abs(jnp.cumsum(jax.random.normal(jax.random.key(0), (5, 41)), axis=1))
POINTS = FixedPoints(np.eye(3), np.array([[1.1, 0.5, 0.1], [0.9, 0.5, 0.1], [0.8, 0.2, 0.1]], complex), np.ones(3), 3)
PLOTS = {
    "plot_gradients": {"LSTM": CURVES, "RNN": 3 * CURVES},
    "plot_spectrum": {"LSTM": Spectrum(CURVES[0], 2 * CURVES[0], 3 * CURVES[0])},
    "plot_lyapunov": {"LSTM": jnp.array([0.1, -0.2, -1.0]), "GRU": jnp.array([-0.1, -0.3, -1.2])},
    "plot_eigenvalues": {"GRU": jnp.exp(1j * jnp.arange(6.0)) * 0.8},
    "plot_sensitivity": {"LSTM": CURVES, "RNN": 3 * CURVES},
    "plot_memory_capacity": {"LSTM": jnp.exp(-jnp.arange(20.0) / 5)},
    "plot_saturation": {"f": Saturation(jnp.linspace(0, 0.3, 8), jnp.linspace(0.6, 0, 8))},
    "plot_time_constants": {"LSTM": jnp.exp(CURVES), "GRU": jnp.exp(CURVES[0])},
    "plot_fixed_points": {"GRU": POINTS},
}


@pytest.mark.parametrize("name", PLOTS)
def test_plot(name, tmp_path):
    figure = getattr(gradflow, name)(PLOTS[name])
    (axes,) = figure.axes
    assert axes.get_xlabel() and axes.get_ylabel()
    assert axes.get_legend() is None and len(figure.legends) == 1  # outside, where it covers no data
    assert len(figure.legends[0].get_texts()) >= len(PLOTS[name])
    figure.savefig(tmp_path / "plot.png")
    assert (tmp_path / "plot.png").stat().st_size > 10_000


def test_every_plot_is_here():
    assert {name for name in vars(gradflow) if name.startswith("plot_")} == set(PLOTS)


@pytest.mark.parametrize("name", PLOTS)
def test_nothing_to_plot_is_told(name):
    with pytest.raises(ValueError, match=r"nothing to plot|need at least one array"):
        getattr(gradflow, name)({})
