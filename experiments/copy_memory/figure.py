"""The figure: a function of the record and nothing else."""

from __future__ import annotations

from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments.curves import STYLES, learning
from experiments.style import STYLE, legend_below


def draw(record: dict[str, Any]) -> Figure:
    """Learning curves of every delay, in shares of guessing; at the right what is recalled against the delay."""
    entries, config = list(record["results"].values()), record["config"]
    delays = config["delays"]
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(
            1, len(delays) + 1, figsize=(3.2 * (len(delays) + 1), 3.6), layout="constrained", squeeze=False
        )
        for left, delay in zip(axes[0], delays, strict=False):
            shown = [entry for entry in entries if entry["delay"] == delay]
            learning(left, shown, scale=shown[0]["chance_level"])
            for name, level in {"guessing": 1, "criterion": config["share"]}.items():
                left.axhline(level, color="0.4", ls="--", lw=0.7)
                left.annotate(name, (1, level), (-2, 2), xycoords=("axes fraction", "data"),
                              textcoords="offset points", ha="right", fontsize=6, color="0.3")  # fmt: skip
            left.set(title=f"T = {delay}: every seed and median", ylabel="held-out loss over guessing's")
        reach(axes[0, -1], entries)
        legend_below(figure, axes[0, 0])
    return figure


def reach(axes: Axes, entries: list[Any]) -> None:
    """Recalled symbols that are right against the delay: median over seeds, and every seed."""
    for cell in dict.fromkeys(entry["cell"] for entry in entries):
        shown = sorted((entry for entry in entries if entry["cell"] == cell), key=lambda entry: entry["delay"])
        delays, shares = [entry["delay"] for entry in shown], np.asarray([entry["symbols"] for entry in shown])
        axes.plot(delays, np.median(shares, axis=1), **STYLES[cell])
        axes.plot(delays, shares, ".", color=STYLES[cell]["color"], ms=3, alpha=0.5)
    axes.axhline(1 / 8, color="0.4", ls="--", lw=0.7)
    axes.set(title="Recalled symbols that are right", xlabel="delay T", ylabel="share", ylim=(0, 1.05))
