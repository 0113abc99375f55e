"""What the figures of tuned cells share: learning curves, and runs that have not met the criterion against updates."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from scipy.stats import CensoredData, ecdf

from experiments.tuning import STARTS

# Okabe & Ito's colours; initialisations of one cell share a marker.
COLORS = ("#000000", "#D55E00", "#009E73", "#56B4E9", "#E69F00", "#CC79A7", "#0072B2")
MARKERS = {"RNN": "o", "IRNN": "s", "GRU": "D", "LSTM": "^", "LRU": "P", "MinGRU": "v", "MinLSTM": "X"}
STYLES = {
    cell: {"color": COLORS[number % len(COLORS)], "marker": MARKERS[cell.partition("-")[0]], "ms": 4, "lw": 1.2}
    for number, cell in enumerate(STARTS)
}


def learning(axes: Axes, entries: Sequence[Any], scale: float = 1.0) -> None:
    """Held-out loss of every reported seed, thin, and their median: one colour for each cell; divided by ``scale``."""
    for entry in entries:
        style = STYLES[entry["cell"]]
        steps, losses = np.asarray(entry["steps"]), np.asarray(entry["loss"], float) / scale
        axes.plot(steps, losses.T, color=style["color"], lw=0.4, alpha=0.4)
        axes.plot(steps, np.nanmedian(losses, axis=0), **style, markevery=0.15, label=entry["cell"])
    axes.set(xlabel="updates", yscale="log")


def unsolved(axes: Axes, entries: Sequence[Any]) -> None:
    """Kaplan & Meier's share of seeds that have not met the criterion, to the budget."""
    for number, entry in enumerate(entries):
        at, budget = np.asarray(entry["solved_at"]), entry["budget"]
        found = ecdf(CensoredData(uncensored=at[at >= 0], right=np.full(int(np.sum(at < 0)), budget))).sf
        lift = 0.008 * (number - (len(entries) - 1) / 2)  # beside each other, not on top
        t, S = np.r_[0, found.quantiles, budget], np.r_[1, found.probabilities, found.probabilities[-1]]
        axes.step(t, S + lift, where="post", **STYLES[entry["cell"]], label=entry["cell"])
    axes.set(xlabel="updates", ylabel="share of seeds not there", ylim=(-0.05, 1.05))
