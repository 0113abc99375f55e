"""The figure: a function of the record and nothing else."""

from __future__ import annotations

import math
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments.style import STYLE

# Okabe & Ito's colours, told apart without colour by dash and marker.
INITIAL = {
    "tanh RNN": ("#D55E00", "-"),
    "IRNN": ("#E69F00", "--"),
    "GRU": ("#009E73", "-"),
    "LSTM, forget bias 0": ("#56B4E9", ":"),
    "LSTM, forget bias 1": ("#0072B2", "-."),
    "LSTM, chrono": ("#000000", "-"),
}
CELLS = {"RNN": ("#D55E00", "-", "o"), "GRU": ("#009E73", "--", "s"), "LSTM": ("#0072B2", "-.", "^")}
NORMAL = -37.9  # log10 of the smallest normal float32


def draw(record: dict[str, Any]) -> Figure:
    """Six panels: gradients at initialisation and after training, learning curves, gates, time constants."""
    results = record["results"]
    adding = f"adding T={max(record['config']['adding_lengths'])}"
    copy = next(name for name in results["training"] if name.startswith("copy"))
    style: dict[Any, Any] = {**STYLE, "lines.linewidth": 1.4}
    with plt.rc_context(style):
        figure, axes = plt.subplots(2, 3, figsize=(11, 6.8), layout="constrained")
        profiles(axes[0, 0], results["initial"], {name: style for name, style in INITIAL.items()})
        axes[0, 0].axhline(NORMAL, color="0.6", lw=0.8)
        axes[0, 0].annotate(
            "smallest normal float32", (0, NORMAL), (2, 2), textcoords="offset points", fontsize=6, color="0.4"
        )
        axes[0, 0].set_title("a  Gradient against lag, at initialisation")
        learning(axes[0, 1], results["training"][adding], "loss", "held-out MSE")
        axes[0, 1].set(title=f"b  Learning: {adding}", yscale="log")
        learning(axes[0, 2], results["training"][copy], "accuracy", "recalled symbols, share right")
        axes[0, 2].set(title=f"b  Learning: {copy}", ylim=(0, 1.02))
        profiles(axes[1, 0], results["trained"], {cell: style[:2] for cell, style in CELLS.items()})
        axes[1, 0].set_title(f"c  Gradient against lag, trained on {adding}")
        gates(axes[1, 1], results["gates"])
        axes[1, 1].set_title("d  Gates around a marked step, slowest unit")
        time_constants(axes[1, 2], results["gates"])
        axes[1, 2].set_title("d  Time constants of the keep gate")
    return figure


def profiles(axes: Axes, entries: dict[str, Any], styles: dict[str, tuple[str, str]]) -> None:
    """Median and 10-90% band of the gradient against lag, in powers of ten."""
    for name, entry in entries.items():
        color, dash = styles[name]
        median, low, high = (_array(entry["profile"][key]) / math.log(10) for key in ("median", "low", "high"))
        lags = np.arange(len(median))
        axes.plot(lags, median, dash, color=color, label=name)
        axes.fill_between(lags, low, high, color=color, alpha=0.15, lw=0)
    axes.set(xlabel="lag k = T - t (steps)", ylabel=r"$\log_{10}\ |dL/ds_{T-k}|\,/\,|dL/ds_T|$")
    below(axes)


def learning(axes: Axes, cells: dict[str, Any], quantity: str, label: str) -> None:
    """Every seed as a thin line, their median as a thick one, beside chance level."""
    for cell, entry in cells.items():
        color, dash, marker = CELLS[cell]
        steps, curves = np.asarray(entry["steps"]), _array(entry[quantity])
        axes.plot(steps, curves.T, dash, color=color, lw=0.5, alpha=0.5)
        axes.plot(
            steps, np.nanmedian(curves, axis=0), dash, color=color, marker=marker, ms=3, markevery=0.2, label=cell
        )
    if quantity == "loss":
        axes.axhline(entry["chance_level"], color="0.4", ls="--", lw=0.8, label="chance")
        axes.axhline(0.01, color="0.4", ls=":", lw=0.8, label="criterion")
    else:
        axes.axhline(1 / 8, color="0.4", ls="--", lw=0.8, label="chance")
    axes.set(xlabel="updates", ylabel=label)
    below(axes)


def gates(axes: Axes, entries: dict[str, Any]) -> None:
    """Mean keep and write gate of the slowest quarter of the units, aligned on the marked steps."""
    for cell, entry in entries.items():
        color, _, marker = CELLS[cell]
        keep, write = {"LSTM": ("f", "i"), "GRU": ("z", "1 - z")}[cell]
        axes.plot(entry["offsets"], entry["keep"], "-", color=color, marker=marker, ms=3, label=f"{cell} keep, {keep}")
        axes.plot(
            entry["offsets"], entry["write"], ":", color=color, marker=marker, ms=3, label=f"{cell} write, {write}"
        )
    axes.axvline(0, color="0.6", lw=0.8)
    axes.set(xlabel="steps from a marked value", ylabel="gate activation", ylim=(0, 1.02))
    below(axes)


def time_constants(axes: Axes, entries: dict[str, Any]) -> None:
    """Units of each seed in order of their time constant."""
    for cell, entry in entries.items():
        color, dash, marker = CELLS[cell]
        taus = -np.sort(-_array(entry["time_constants"]), axis=1)
        units = np.arange(1, taus.shape[1] + 1)
        axes.plot(units, taus.T, dash, color=color, lw=0.5, alpha=0.5)
        axes.plot(units, np.nanmedian(taus, axis=0), dash, color=color, marker=marker, ms=3, markevery=4, label=cell)
    axes.set(
        xlabel="unit, slowest first", ylabel=r"$\tau = -1\,/\,\overline{\ln(\mathrm{keep})}$ (steps)", yscale="log"
    )
    below(axes)


def below(axes: Axes) -> None:
    """The legend under the panel, where it covers no data."""
    if not axes.get_legend_handles_labels()[0]:  # nothing was drawn, e.g. no gates in a run of the RNN alone
        return
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.17), ncols=3, handlelength=3)


def _array(values: Any) -> np.ndarray:
    """Floats, null being nothing to draw."""
    return np.asarray(values, float)
