"""The figure: a function of the record and nothing else."""

from __future__ import annotations

from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments.exploding_gradients.evidence import WAYS, families, floats, runs
from experiments.style import STYLE
from recurrax.report import interval

# Okabe & Ito's colours, told apart without colour by dash and marker.
FAMILIES = {
    "linear, Gaussian": ("#000000", "-", "o"),
    "linear, orthogonal": ("#56B4E9", "--", "s"),
    "tanh, Gaussian": ("#D55E00", "-", "^"),
    "tanh, orthogonal": ("#E69F00", "--", "v"),
    "tanh, Gaussian, no input": ("#009E73", "-.", "D"),
}
CLIPPING = {
    "none": ("#D55E00", "-", "o"), "norm": ("#0072B2", "--", "s"), "value": ("#009E73", "-.", "^"),
    "recurrence": ("#CC79A7", ":", "D"),
}  # fmt: skip
NAMES = {"none": "not clipped", "norm": "norm", "value": "value", "recurrence": "in the recurrence"}


def draw(record: dict[str, Any]) -> Figure:
    """Six panels: slopes, transient growth, surface; fate of the descent, of tanh and of ReLU networks."""
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(2, 3, figsize=(11.5, 7.4), layout="constrained")
        slopes(axes[0, 0], record)
        transient(axes[0, 1], record)
        surface(axes[0, 2], record)
        descent(axes[1, 0], record)
        networks = record["config"]["networks"]
        for panel, network in zip(axes[1, 1:], networks, strict=False):
            training(panel, record, network)
        for panel in axes[1, 1 + len(networks) :]:
            panel.set_axis_off()
    return figure


def slopes(axes: Axes, record: dict[str, Any]) -> None:
    """Slope of the gradient against the spectral radius: median and range over seeds."""
    radii = np.asarray(record["config"]["radii"])
    axes.plot(radii, np.log(radii), color="0.6", lw=3, label=r"$\ln\rho$")
    for name, entry in families(record).items():
        color, dash, marker = FAMILIES[name]
        low, median, high = np.quantile(entry["slope"], [0, 0.5, 1], axis=1)
        axes.plot(radii, median, dash, color=color, marker=marker, ms=3, lw=1.2, label=name)
        axes.fill_between(radii, low, high, color=color, alpha=0.15, lw=0)
    axes.axhline(0, color="0.5", lw=0.8)
    axes.set(title="a  Slope of the gradient, median and range", xlabel=r"spectral radius $\rho$",
             ylabel="nats per step of lag")  # fmt: skip
    below(axes, 2)


def transient(axes: Axes, record: dict[str, Any]) -> None:
    """Growth of the Jacobian product with the lag at one radius: median and 10-90% band over seeds."""
    for name, entry in families(record).items():
        color, dash, _ = FAMILIES[name]
        low, median, high = entry["profile"]
        lags = np.arange(len(median))[: 1 + len(median) // 2]
        axes.plot(lags, median[lags], dash, color=color, lw=1.2, label=name)
        axes.fill_between(lags, low[lags], high[lags], color=color, alpha=0.12, lw=0)
    axes.axhline(0, color="0.5", lw=0.8)
    axes.set(title=rf"a  Jacobian products at $\rho$ = {record['config']['transient']:g}", xlabel="lag (steps)",
             ylabel=r"$\ln\ \sigma_{\max}(J_{t:T})$", ylim=(-8, None))  # fmt: skip
    below(axes, 2)


def surface(axes: Axes, record: dict[str, Any]) -> None:
    """The loss over w and b, its wall, the bifurcations, and a few paths of gradient descent."""
    entry = record["results"]["surface"]
    w, b = np.asarray(entry["w"]), np.asarray(entry["b"])
    image = axes.pcolormesh(w, b, floats(entry["loss"], np.nan).T, cmap="Greys", shading="nearest", vmin=0,
                            rasterized=True)  # fmt: skip
    axes.figure.colorbar(image, ax=axes, label="loss", shrink=0.8)
    for name, dash in (("wall", "-"), ("upper fold", "--"), ("lower fold", ":")):
        label = {"wall": r"$x_0$ unstable: basins meet", "upper fold": "upper fixed point gone",
                 "lower fold": "lower fixed point gone"}[name]  # fmt: skip
        axes.plot(w, floats(entry["lines"][name], np.nan), dash, color="#56B4E9", lw=1.4, label=label)
    for clip, (color, dash, marker) in (("none", CLIPPING["none"]), ("norm", CLIPPING["norm"])):
        drawn = [
            e for e in record["results"]["descent"] if "drawn" in e and (e["clip_norm"] is None) == (clip == "none")
        ]
        for number, path in enumerate(floats(drawn[0]["drawn"], np.nan) if drawn else []):
            label = {"none": "descent, not clipped", "norm": f"clipped at {drawn[0]['clip_norm'] or 0:g}"}[clip]
            axes.plot(*path.T, dash, color=color, lw=0.9, label=None if number else label)
            axes.plot(*path[-1], marker, color=color, ms=4, mec="w", mew=0.5)
    axes.set(title="b  One unit: loss, wall and descent", xlabel="recurrent weight w", ylabel="bias b",
             xlim=(w[0], w[-1]), ylim=(b[0], b[-1]))  # fmt: skip
    below(axes, 2)


def descent(axes: Axes, record: dict[str, Any]) -> None:
    """Share of the paths thrown off and of those that reach a small loss, with exact intervals."""
    sizes = record["config"]["step_sizes"]
    clips = [None, *record["config"]["surface_clips"]]
    markers = ("o", "s", "^", "D", "v")
    colors = ("#D55E00", "#0072B2", "#009E73", "#CC79A7", "#E69F00")
    for index, clip in enumerate(clips):
        here = [entry for entry in record["results"]["descent"] if entry["clip_norm"] == clip]
        for key, dash, full in (("thrown_off", "-", True), ("reached", ":", False)):
            share, error = shares([(entry[key], entry["starts"]) for entry in here])
            place = np.asarray(sizes) * 1.05 ** (index - (len(clips) - 1) / 2)
            label = f"{'not clipped' if clip is None else f'clip {clip:g}'}, {key.replace('_', ' ')}"
            axes.errorbar(place, share, error, color=colors[index % 5], ls=dash, marker=markers[index % 5], ms=5, lw=1,
                          mfc=None if full else "w", capsize=2, elinewidth=0.8, label=label)  # fmt: skip
    axes.set(title="b  Gradient descent from the same starts", xscale="log", xlabel="step size",
             ylabel="share of starts", ylim=(-0.03, 1.03))  # fmt: skip
    axes.set_xticks(sizes, [f"{size:g}" for size in sizes], minor=False)
    axes.minorticks_off()
    below(axes, 2)


def training(axes: Axes, record: dict[str, Any], network: str) -> None:
    """Share of diverged runs against the initial radius over all rates, with exact intervals."""
    radii = record["config"]["training_radii"]
    for index, way in enumerate(WAYS):
        color, dash, marker = CLIPPING[way]
        found = runs(record, network, way)
        share, error = shares([(int(d.sum()), len(d)) for d in (found.where(radius).diverged for radius in radii)])
        place = np.asarray(radii) + 0.02 * (index - 1.5)
        axes.errorbar(place, share, error, color=color, ls=dash, marker=marker, ms=5, lw=1.2, capsize=2, elinewidth=0.8,
                      label=NAMES[way])  # fmt: skip
    axes.set(title=f"c  SGD of {network} networks: runs diverged", xlabel=r"initial spectral radius $\rho$",
             ylabel="share of rates x seeds", ylim=(-0.03, 1.03))  # fmt: skip
    axes.set_xticks(radii)
    below(axes, 2)


def shares(counts: list[tuple[int, int]]) -> tuple[np.ndarray, np.ndarray]:
    """Rates and their distances to the ends of the exact 95% intervals, ``[2, N]``."""
    share = np.array([k / n for k, n in counts])
    low, high = np.array([interval(k, n) for k, n in counts]).T
    return share, np.array([share - low, high - share]).clip(0)


def below(axes: Axes, columns: int) -> None:
    """The legend under the panel, where it covers no data."""
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.17), ncols=columns, handlelength=3)
