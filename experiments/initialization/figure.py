"""The figure: a function of the record and nothing else."""

from __future__ import annotations

import math
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments.compare import best_runs, updates
from experiments.initialization.tables import initial, learned
from experiments.style import STYLE

# Okabe & Ito's colours, told apart without colour by marker.
STYLES = {"RNN": ("#D55E00", "o"), "IRNN": ("#E69F00", "D"), "GRU": ("#009E73", "s"), "LSTM": ("#0072B2", "^")}


def draw(record: dict[str, Any]) -> Figure:
    """Singular values of the gates, gradients at initialisation, and what they tell of learning."""
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(1, 3, figsize=(12, 4.2), layout="constrained")
        singular_values(axes[0], record["results"]["kernels"]["cells"])
        gradients(axes[1], record)
        learning(axes[2], record)
        figure.legend(*axes[2].get_legend_handles_labels(), loc="outside lower center", ncols=len(STYLES))
    return figure


def singular_values(axes: Axes, cells: dict[str, Any]) -> None:
    """Smallest, mean and largest of each cell's gates."""
    for row, entry in enumerate(cells.values()):
        axes.plot([entry["smallest"], entry["largest"]], [row, row], color="0.4", lw=1.5)
        axes.plot(entry["mean"], row, "o", color="k", ms=4)
    axes.axvline(1, color="0.5", lw=0.8, ls="--")
    axes.set_yticks(range(len(cells)), list(cells), fontsize=6)
    axes.invert_yaxis()
    axes.set(title='a  "Orthogonal" kernels, gate by gate', xlabel="singular values: mean and range", xlim=(-0.03, 1.2))


def gradients(axes: Axes, record: dict[str, Any]) -> None:
    """Factor of the gradient per step of lag: median and range over seeds."""
    labels = []
    for row, (cell, name, entry) in enumerate(initial(record)):
        color, marker = STYLES[cell]
        values = np.exp([-math.inf if slope is None else slope for slope in entry["slopes"]])
        axes.plot([values.min(), values.max()], [row, row], color=color, lw=1.2)
        axes.plot(np.median(values), row, marker, color=color, ms=5)
        labels.append(f"{cell}, {name}")
    axes.axvline(1, color="0.5", lw=0.8, ls="--")
    axes.set_yticks(range(len(labels)), labels, fontsize=6)
    axes.invert_yaxis()
    axes.set(title="b  Gradient at initialisation", xlabel="factor per step of lag: median and range")


def learning(axes: Axes, record: dict[str, Any]) -> None:
    """Updates to the criterion of every seed against the factor per step at initialisation."""
    budget = record["config"]["steps"]
    slopes = {(cell, name): entry["slope"] for cell, name, entry in initial(record)}
    for cell, name, entry in learned(record):
        color, marker = STYLES[cell]
        at = updates(entry)[best_runs(entry)]
        slope = slopes[cell, name]
        x = np.full(len(at), 0.0 if slope is None else math.exp(slope))
        met = np.isfinite(at)
        label = None if cell in axes.get_legend_handles_labels()[1] else cell
        axes.plot(x[met], at[met], marker, color=color, ms=4, alpha=0.7)
        axes.plot(x[~met], np.full((~met).sum(), budget), marker, color=color, ms=5, mfc="none")
        axes.plot([], [], marker, color=color, ms=5, label=label)
    axes.axhline(budget, color="0.5", lw=0.8)
    axes.annotate("budget; open: not solved", (0.02, budget), (0, 3), xycoords=("axes fraction", "data"),
                  textcoords="offset points", fontsize=6, color="0.3")  # fmt: skip
    axes.set(title=f"c  Adding T = {record['config']['length']}, every seed", ylabel="updates to criterion",
             xlabel="gradient at initialisation, factor per step", ylim=(0, budget * 1.1))  # fmt: skip
