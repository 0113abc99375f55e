"""The figure: a function of the record and nothing else."""

from __future__ import annotations

from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments.noise.evidence import WRITING, Evidence
from experiments.style import STYLE, legend_below

# Okabe & Ito's colours, told apart without colour by dash and marker.
STYLES = {
    "RNN": ("#D55E00", "-", "o"), "IRNN": ("#E69F00", ":", "D"), "NoInputGate": ("#CC79A7", "--", "v"),
    "CIFG": ("#56B4E9", "-", "P"), "GRU": ("#009E73", "--", "s"), "LSTM": ("#0072B2", "-.", "^"),
    "ShutLSTM": ("#000000", (0, (5, 1)), "X"),
}  # fmt: skip


def draw(record: dict[str, Any]) -> Figure:
    """Accuracy against noise, a panel for each delay; rejection, share of noise and write gates below."""
    e = Evidence(record)
    delay = e.delays[-1]
    with plt.rc_context(STYLE):
        figure = plt.figure(figsize=(10, 6.4), layout="constrained")
        above, below = figure.subfigures(2, 1)  # type: ignore[misc]
        top = above.subplots(1, len(e.delays), sharey=True, squeeze=False)[0]
        for axes, lag in zip(top, e.delays, strict=True):
            accuracy(axes, e, lag)
        top[0].set_ylabel("test accuracy, every seed and median")
        left, middle, right = below.subplots(1, 3)
        mechanism(left, e, delay, "rejection")
        left.axhline(0, color="0.6", lw=0.8)
        left.set(title=f"b  Rejection, delay {delay}", ylabel="log10 |da/dv| at the cue over elsewhere",
                 ylim=(max(left.get_ylim()[0], -4), None))  # fmt: skip
        mechanism(middle, e, delay, "share")
        middle.set(title=f"c  Share of noise in the answer, delay {delay}", ylabel="share of the variation",
                   ylim=(-0.03, 1.03))  # fmt: skip
        writes(right, e, delay)
        legend_below(figure, top[0])
    return figure


def accuracy(axes: Axes, e: Evidence, delay: int) -> None:
    """Accuracy of every seed against noise, the median as a line, with ceiling and guessing."""
    fine = np.linspace(min(e.levels), max(e.levels), 100)
    ceiling = [e.task(delay, float(level)).ceiling() for level in fine]
    axes.plot(fine, ceiling, color="k", lw=0.8, label="ceiling Phi(1/noise)")
    axes.axhline(0.5, color="k", lw=0.8, ls=(0, (1, 2)), label="guessing")
    for index, cell in enumerate(e.cells):
        seeds(axes, e, cell, index, [e.accuracy(cell, delay, level) for level in e.levels])
    axes.set(title=f"a  Delay {delay}", xlabel="noise (standard deviation over the bit)", ylim=(0.42, 1.03))


def mechanism(axes: Axes, e: Evidence, delay: int, quantity: str) -> None:
    """A measurement of every trained model against its noise."""
    for index, cell in enumerate(e.cells):
        seeds(axes, e, cell, index, [e.mechanism(quantity, cell, delay, level) for level in e.levels])
    axes.set(xlabel="noise (standard deviation over the bit)")


def writes(axes: Axes, e: Evidence, delay: int) -> None:
    """Write gate at the cue (filled) and at later steps (open), mean over units."""
    for index, cell in enumerate(cell for cell in e.cells if cell in WRITING):
        values = np.array([np.median(e.writes(cell, delay, level), axis=0) for level in e.levels])
        color, dash, marker = STYLES[cell]
        place = np.asarray(e.levels) + 0.02 * (index - 1.5)
        axes.plot(place, values[:, 0], ls=dash, color=color, marker=marker, ms=5, lw=1.2)
        axes.plot(place, values[:, 1], ls=dash, color=color, marker=marker, ms=5, lw=0.8, mfc="w")
    axes.set(title=f"d  Write gate, delay {delay}",
             xlabel="noise (standard deviation over the bit)", ylabel="mean over units (open: after the cue)",
             ylim=(0, 1))  # fmt: skip


def seeds(axes: Axes, e: Evidence, cell: str, index: int, values: list[np.ndarray]) -> None:
    """Every seed as a mark beside those of the other cells, and the median as a line; infinite values are left out."""
    color, dash, marker = STYLES[cell]
    found = np.array([np.where(np.isfinite(at), at, np.nan) for at in values])
    place = np.asarray(e.levels) + 0.025 * (index - (len(e.cells) - 1) / 2)
    axes.plot(place, found, marker, color=color, ms=3, alpha=0.5, mew=0)
    middle = [np.sort(at)[(len(at) - 1) // 2] for at in values]  # -inf: no gradient at the cue
    axes.plot(place, np.where(np.isfinite(middle), middle, np.nan), ls=dash, color=color, marker=marker, ms=4, lw=1.2,
              label=cell)  # fmt: skip
