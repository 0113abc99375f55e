"""One figure for each diagnostic, with labelled axes, units, bands, and a legend that covers no data.

Matplotlib is imported when a plot is made, so measurements do not need it. Colours are those of Okabe and Ito; each has
its own dash and marker, so that lines differ in grey too.
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

NEPER = np.log(10)  # nats per power of ten


def plot_gradients(log_norms: Mapping[str, Any], *, of: str = "dL/ds") -> Figure:
    """Plots gradients against the lag: median and 10-90% band over examples, in powers of ten.

    Args:
        log_norms: ``{name: [S, T+1]}`` in nats by time, the result of `state_gradients` under `vmap`.
        of: the quantity of the norm, for the label.
    """
    figure, axes = _axes("lag k = T - t (steps)", rf"$\log_{{10}}\ |{of}_{{T-k}}| / |{of}_T|$")
    for name, values, style in _styled(log_norms):
        median, low, high = (np.asarray(curve) / NEPER for curve in band(by_lag(values)))
        lags = np.arange(len(median))
        axes.plot(lags, median, label=name, markevery=max(len(lags) // 8, 1), **style)
        axes.fill_between(lags, low, high, color=style["color"], alpha=0.15, lw=0)
    return _legend(figure, axes)


def plot_spectrum(spectra: Mapping[str, Spectrum]) -> Figure:
    """Plots the largest, geometric-mean and smallest singular value of `jacobian_spectrum` against the lag.

    Args:
        spectra: spectra of single examples, ``{name: Spectrum of [T+1]}``.
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
    """Plots Lyapunov exponents with one standard error; nearby states separate above 0 and converge below.

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
    """Plots eigenvalues in the complex plane with the unit circle.

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
    """Plots input sensitivity against the lag, in powers of ten of its maximum, with the level of the horizon.

    Args:
        log_sensitivity: ``{name: [S, T]}`` in nats by time, the result of `input_sensitivity` under `vmap`.
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
    """Plots the squared correlation of the best linear readout with each earlier input; the legend gives the sum.

    Args:
        recalled: ``{name: [max_lag + 1]}``, the result of `memory_capacity`.
    """
    figure, axes = _axes("lag k (steps)", r"$\mathrm{corr}^2(u_{t-k},\ w_k \cdot s_t)$")
    for name, values, style in _styled(recalled):
        values = np.asarray(values)
        label = f"{name}: MC = {values.sum():.1f}"
        axes.plot(np.arange(len(values)), values, label=label, markevery=max(len(values) // 8, 1), **style)
    return _legend(figure, axes)


def plot_saturation(saturation: Mapping[str, Any]) -> Figure:
    """Plots each unit as a point: the shares of steps with a nearly closed and with a nearly open gate.

    Args:
        saturation: ``{gate: Saturation of [..., H]}``, the result of `saturation`.
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
    """Plots units sorted by time constant: a thin line for each seed and a thick line for the median.

    Args:
        taus: ``{name: [H] or [S, H]}`` in steps, the result of `time_constants`.
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
    """Plots fixed points in the plane of their two main directions: filled if stable, with the slowest time constant.

    Args:
        points: ``{name: FixedPoints}``, the result of `fixed_points`.
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
    """Makes a notebook show the figure at the end of a cell; before ``%matplotlib inline`` it would print its name."""
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    if shell is not None:
        from IPython.core.pylabtools import print_figure
        from matplotlib.figure import Figure

        printers = shell.display_formatter.formatters["image/png"]
        if Figure not in printers.type_printers:
            printers.for_type(Figure, functools.partial(print_figure, base64=True))


def _axes(xlabel: str, ylabel: str) -> tuple[Figure, Axes]:
    from matplotlib.figure import Figure  # not pyplot, because a library must not choose the backend

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
