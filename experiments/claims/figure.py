"""The figure: a function of the record and nothing else."""

from __future__ import annotations

from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments.claims.evidence import Evidence
from experiments.claims.training import CELLS
from experiments.style import STYLE, legend_below
from recurrax.report import interval

# Okabe & Ito's colours, told apart without colour by dash and marker.
STYLES = {
    "RNN": ("#D55E00", "-", "o"), "identity RNN": ("#E69F00", ":", "D"), "GRU": ("#009E73", "--", "s"),
    "LSTM": ("#0072B2", "-.", "^"),
}  # fmt: skip


def draw(record: dict[str, Any]) -> Figure:
    """Four panels: seeds solved and updates against length, gradient flow at initialisation, time of a step."""
    evidence = Evidence(record)
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(2, 2, figsize=(9, 6.4), layout="constrained")
        solved(axes[0, 0], evidence)
        updates(axes[0, 1], evidence, record["config"]["steps"])
        flow(axes[1, 0], record["results"]["flow"], evidence)
        cost(axes[1, 1], evidence)
        legend_below(figure, axes[0, 0])
    return figure


def solved(axes: Axes, e: Evidence) -> None:
    """Share of seeds solved at each length, with its exact interval."""
    for index, cell in enumerate(CELLS):
        color, dash, marker = STYLES[cell]
        counts = [e.count(cell, T) for T in e.lengths]
        share = np.array([k / n for k, n in counts])
        low, high = np.array([interval(k, n) for k, n in counts]).T
        place = np.array(e.lengths) * 1.04 ** (index - 1.5)  # beside each other, not on top
        axes.errorbar(place, share, [share - low, high - share], color=color, ls=dash, marker=marker, label=cell,
                      ms=5, lw=1.2, elinewidth=0.8, capsize=2)  # fmt: skip
    axes.set(title="a  Adding: seeds solved, 95% interval", xscale="log", xlabel="length T (steps)",
             ylabel="share of seeds", ylim=(-0.03, 1.03))  # fmt: skip
    axes.set_xticks(e.lengths, [str(T) for T in e.lengths], minor=False)
    axes.minorticks_off()


def updates(axes: Axes, e: Evidence, budget: int) -> None:
    """Updates to the criterion, every seed; those that did not meet it stand on the line of the budget."""
    for index, cell in enumerate(CELLS):
        color, _, marker = STYLES[cell]
        for T in e.lengths:
            values = e.run(cell, T)["updates"]
            met = np.isfinite(values)
            place = np.full(len(values), T * 1.09 ** (index - 1.5))
            axes.plot(place[met], values[met], marker, color=color, ms=4, alpha=0.7)
            axes.plot(place[~met], np.full((~met).sum(), budget), marker, color=color, ms=5, mfc="none")
    axes.axhline(budget, color="0.5", lw=0.8)
    axes.annotate("budget; open: not solved", (0.02, budget), (0, 3), xycoords=("axes fraction", "data"),
                  textcoords="offset points", fontsize=6, color="0.3")  # fmt: skip
    axes.set(title="b  Adding: updates to criterion, every seed", xscale="log", xlabel="length T (steps)",
             ylabel="updates", ylim=(0, budget * 1.1))  # fmt: skip
    axes.set_xticks(e.lengths, [str(T) for T in e.lengths], minor=False)
    axes.minorticks_off()


def flow(axes: Axes, entries: dict[str, Any], e: Evidence) -> None:
    """Factor of the gradient per step of lag at initialisation: median and range."""
    names = list(entries)
    for row, name in enumerate(names):
        low, median, high = np.exp(np.quantile(e.slopes(name), [0, 0.5, 1], method="nearest"))
        axes.plot([low, high], [row, row], color="0.4", lw=1.2)
        axes.plot(median, row, "o", color="k", ms=4)
    axes.axvline(1, color="0.5", lw=0.8, ls="--")
    axes.set_yticks(range(len(names)), names, fontsize=6)
    axes.invert_yaxis()
    axes.set(
        title="c  Gradient at initialisation", xlabel="factor per step of lag, median and range", xlim=(-0.03, 1.2)
    )


def cost(axes: Axes, e: Evidence) -> None:
    """Time of a training step over the RNN's, beside the ratio of the parameters."""
    for cell, matrices in (("GRU", 3), ("LSTM", 4)):
        color, dash, marker = STYLES[cell]
        ratios = np.array([e.ratio(cell, "RNN", H) for H in e.sizes])
        median, low, high = ratios.T
        axes.errorbar(e.sizes, median, [median - low, high - median], color=color, ls=dash, marker=marker, ms=5, lw=1.2,
                      capsize=2)  # fmt: skip
        axes.axhline(matrices, color=color, lw=0.8, ls=":")
        axes.annotate(f"parameters of the {cell}", (0.01, matrices), (0, 2), xycoords=("axes fraction", "data"),
                      textcoords="offset points", fontsize=6, color="0.3")  # fmt: skip
    axes.set(title="d  Time of a training step over the RNN's", xscale="log", xlabel="units H",
             ylabel="ratio, quartiles", ylim=(0, None))  # fmt: skip
    axes.set_xticks(e.sizes, [str(H) for H in e.sizes], minor=False)
    axes.minorticks_off()
