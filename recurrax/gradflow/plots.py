"""One figure for each diagnostic: labelled axes, units, bands, and the legend where it covers no data.

Matplotlib is imported when a plot is made, so that measuring needs none. Colours are Okabe and Ito's, with a dash and
a marker for each, so that they can be told apart in grey.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from recurrax.gradflow.fixed_points import FixedPoints
from recurrax.gradflow.profile import band, by_lag
from recurrax.gradflow.spectrum import Spectrum
from recurrax.palette import looks

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

NEPER = np.log(10)  # nats in a power of ten


def plot_gradients(log_norms: Mapping[str, Any], *, of: str = "dL/ds") -> Figure:
    """Gradient against lag: median over examples and its 10-90% band, in powers of ten.

    Args:
        log_norms: ``{name: [S, T+1]}`` in nats by time, as `state_gradients` gives them under `vmap`.
        of: what the norm is of, for the label.
    """
    figure, axes = _axes("lag k = T - t (steps)", rf"$\log_{{10}}\ |{of}_{{T-k}}| / |{of}_T|$")
    for name, values, style in _styled(log_norms):
        median, low, high = (np.asarray(curve) / NEPER for curve in band(by_lag(values)))
        lags = np.arange(len(median))
        axes.plot(lags, median, label=name, markevery=max(len(lags) // 8, 1), **style)
        axes.fill_between(lags, low, high, color=style["color"], alpha=0.15, lw=0)
    return _legend(figure, axes)


def plot_spectrum(spectra: Mapping[str, Spectrum]) -> Figure:
    """Largest, geometric-mean and smallest singular value of the Jacobian product against lag; see `jacobian_spectrum`.

    Args:
        spectra: of one example each, ``{name: Spectrum of [T+1]}``.
    """
    figure, axes = _axes("lag k = T - t (steps)", r"$\log_{10}\ \sigma(J_{T-k:T})$")
    for name, spectrum, style in _styled(spectra):
        curves = [np.flip(np.asarray(curve)) / NEPER for curve in spectrum]
        lags = np.arange(len(curves[0]))
        axes.plot(lags, curves[1], label=f"{name}: geometric mean", markevery=max(len(lags) // 8, 1), **style)
        low = np.where(np.isfinite(curves[2]), curves[2], np.nan)
        axes.fill_between(
            lags, low, curves[0], color=style["color"], alpha=0.15, lw=0, label=f"{name}: smallest to largest"
        )
    return _legend(figure, axes)


def plot_lyapunov(exponents: Mapping[str, Any], errors: Mapping[str, Any] | None = None) -> Figure:
    """Lyapunov exponents in order, with one standard error; above 0 nearby states part, below they meet.

    Args:
        exponents: ``{name: [k]}`` in nats per step.
        errors: ``{name: [k]}``, e.g. from `bootstrap`.
    """
    figure, axes = _axes("exponent i, largest first", r"$\lambda_i$ (nats per step)")
    for name, values, style in _styled(exponents):
        index = np.arange(1, len(values) + 1)
        error = None if errors is None else np.asarray(errors[name])
        axes.errorbar(
            index, np.asarray(values), error, label=name, capsize=2, markevery=max(len(index) // 8, 1), **style
        )
    axes.axhline(0, color="0.5", lw=0.8)
    return _legend(figure, axes)


def plot_eigenvalues(eigenvalues: Mapping[str, Any]) -> Figure:
    """Eigenvalues in the complex plane with the unit circle.

    Args:
        eigenvalues: ``{name: complex [...]}``, e.g. from `eigenvalues`.
    """
    figure, axes = _axes("real part", "imaginary part")
    angle = np.linspace(0, 2 * np.pi, 200)
    axes.plot(np.cos(angle), np.sin(angle), color="0.5", lw=0.8, label="unit circle")
    for name, values, style in _styled(eigenvalues):
        points = np.ravel(np.asarray(values))
        marker, color = style["marker"], style["color"]
        axes.plot(np.real(points), np.imag(points), marker, color=color, ms=3, alpha=0.5, label=name)
    axes.set_aspect("equal", adjustable="datalim")
    return _legend(figure, axes)


def plot_sensitivity(log_sensitivity: Mapping[str, Any], eps: float = 1e-2) -> Figure:
    """Sensitivity to the inputs against lag, in powers of ten of its largest, and the level that defines the horizon.

    Args:
        log_sensitivity: ``{name: [S, T]}`` in nats by time, as `input_sensitivity` gives it under `vmap`.
        eps: see `memory_horizon`.
    """
    figure, axes = _axes("lag k (steps)", r"$\log_{10}\ |dy_T/dx_{T-k}| / \max_j |dy_T/dx_{T-j}|$")
    for name, values, style in _styled(log_sensitivity):
        values = np.flip(np.asarray(values), -1)
        median, low, high = (np.asarray(curve) / NEPER for curve in band(values - values.max(-1, keepdims=True)))
        lags = np.arange(len(median))
        axes.plot(lags, median, label=name, markevery=max(len(lags) // 8, 1), **style)
        axes.fill_between(lags, low, high, color=style["color"], alpha=0.15, lw=0)
    axes.axhline(np.log10(eps), color="0.5", ls="--", lw=0.8, label=f"eps = {eps:g}")
    return _legend(figure, axes)


def plot_memory_capacity(recalled: Mapping[str, Any]) -> Figure:
    """Squared correlation of the best linear readout with each earlier input; the legend gives the sum.

    Args:
        recalled: ``{name: [max_lag + 1]}``, as `memory_capacity` gives it.
    """
    figure, axes = _axes("lag k (steps)", r"$\mathrm{corr}^2(u_{t-k},\ w_k \cdot s_t)$")
    for name, values, style in _styled(recalled):
        values = np.asarray(values)
        label = f"{name}: MC = {values.sum():.1f}"
        axes.plot(np.arange(len(values)), values, label=label, markevery=max(len(values) // 8, 1), **style)
    return _legend(figure, axes)


def plot_saturation(saturation: Mapping[str, Any]) -> Figure:
    """Each unit as a point: how often its gate is nearly closed, against how often it is nearly open.

    Args:
        saturation: ``{gate: Saturation of [..., H]}``, as `saturation` gives it.
    """
    figure, axes = _axes("nearly open (share of steps)", "nearly closed (share of steps)")
    for name, (closed, opened), style in _styled(saturation):
        axes.plot(
            np.ravel(opened), np.ravel(closed), style["marker"], color=style["color"], ms=4, alpha=0.6, label=name
        )
    axes.plot([0, 1], [1, 0], color="0.5", lw=0.8, label="always one or the other")
    axes.set(xlim=(-0.03, 1.03), ylim=(-0.03, 1.03), aspect="equal")
    return _legend(figure, axes)


def plot_time_constants(taus: Mapping[str, Any]) -> Figure:
    """Units in order of their time constant, each seed a thin line and their median a thick one.

    Args:
        taus: ``{name: [H] or [S, H]}`` in steps, as `time_constants` gives it.
    """
    figure, axes = _axes("unit, slowest first", r"$\tau$ (steps)")
    for name, values, style in _styled(taus):
        curves = -np.sort(-np.atleast_2d(np.asarray(values)), axis=1)
        units = np.arange(1, curves.shape[1] + 1)
        axes.plot(units, curves.T, color=style["color"], lw=0.5, alpha=0.5)
        axes.plot(units, np.median(curves, axis=0), label=name, markevery=max(len(units) // 8, 1), **style)
    axes.set_yscale("log")
    return _legend(figure, axes)


def plot_fixed_points(points: Mapping[str, FixedPoints]) -> Figure:
    """Fixed points in the plane of their two main directions: filled where stable, with the slowest time constant.

    Args:
        points: ``{name: FixedPoints}``, as `fixed_points` gives it.
    """
    figure, axes = _axes("principal direction 1 of the state", "principal direction 2 of the state")
    states = np.concatenate([found.states for found in points.values()])
    centre = states.mean(axis=0)
    directions = np.linalg.svd(states - centre, full_matrices=False)[2][:2]
    for name, found, style in _styled(points):
        plane = np.zeros((len(found.states), 2))
        plane[:, : len(directions)] = (found.states - centre) @ directions.T
        for stable, label in ((True, "stable"), (False, "unstable")):
            chosen = plane[found.stable == stable]
            fill = style["color"] if stable else "none"
            axes.plot(*chosen.T, style["marker"], color=style["color"], mfc=fill, ms=6, lw=0, label=f"{name}, {label}")
        for at, tau in zip(plane, found.time_constants.max(axis=1, initial=0), strict=True):
            axes.annotate(f"{tau:.3g} steps", (at[0], at[1]), (5, 5), textcoords="offset points", fontsize=6)
    return _legend(figure, axes)


def show_in_notebooks() -> None:
    """Lets a notebook show a figure that a cell ends with; before ``%matplotlib inline`` it would print its name."""
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    if shell is not None:
        from IPython.core.pylabtools import print_figure
        from matplotlib.figure import Figure

        printers = shell.display_formatter.formatters["image/png"]
        if Figure not in printers.type_printers:
            printers.for_type(Figure, functools.partial(print_figure, base64=True))


def _axes(xlabel: str, ylabel: str) -> tuple[Figure, Axes]:
    from matplotlib.figure import Figure  # no pyplot: a library must not choose the backend

    show_in_notebooks()
    figure = Figure(figsize=(4.8, 3.6), layout="constrained", dpi=150)
    axes = figure.subplots()
    axes.set(xlabel=xlabel, ylabel=ylabel)
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _styled(entries: Mapping[str, Any]) -> Any:
    if not entries:
        raise ValueError("nothing to plot: the mapping is empty; allowed: one or more entries {name: values}.")
    for name, style in looks(entries).items():
        yield name, entries[name], style


def _legend(figure: Figure, axes: Axes) -> Figure:
    figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=3, fontsize=7, frameon=False)
    return figure
