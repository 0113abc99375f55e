"""The figure: a function of the record and nothing else."""

from __future__ import annotations

import itertools
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments.sequential_digits.tables import chosen, linear, orders, tested
from experiments.style import STYLE, legend_below

# Okabe & Ito's colours, told apart without colour by marker.
LOOKS = (
    ("#000000", "o"), ("#CC79A7", "v"), ("#0072B2", "s"), ("#D55E00", "^"), ("#E69F00", "D"), ("#009E73", "P"),
    ("#56B4E9", "X"), ("#777777", "*"),
)  # fmt: skip


def draw(record: dict[str, Any]) -> Figure:
    """For each order: validation accuracy against updates, and every seed's test accuracy beside the baselines."""
    by_order = orders(record)
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(
            2, len(by_order), figsize=(1 + 3.6 * len(by_order), 5.6), layout="constrained", squeeze=False
        )
        for (above, below), (order, cells) in zip(axes.T, by_order.items(), strict=True):
            learning(above, order, cells)
            seeds(below, record, cells)
        legend_below(figure, axes[0, 0])
    return figure


def learning(axes: Axes, order: str, cells: dict[str, Any]) -> None:
    """Median over seeds, and their range."""
    for (color, marker), (cell, entry) in zip(itertools.cycle(LOOKS), cells.items(), strict=False):
        accuracy = np.asarray(entry["accuracy"], float)[chosen(entry)]
        axes.fill_between(entry["steps"], accuracy.min(axis=0), accuracy.max(axis=0), color=color, alpha=0.12, lw=0)
        axes.plot(entry["steps"], np.median(accuracy, axis=0), color=color, marker=marker, ms=3, markevery=3, lw=1,
                  label=cell)  # fmt: skip
    length = next(iter(cells.values()))["length"]
    axes.set(title=f"{order}, T = {length}: median and range", xlabel="updates", ylabel="validation accuracy",
             ylim=(0, 1))  # fmt: skip


def seeds(axes: Axes, record: dict[str, Any], cells: dict[str, Any]) -> None:
    """A dot for each seed."""
    for place, ((color, marker), entry) in enumerate(zip(itertools.cycle(LOOKS), cells.values(), strict=False)):
        accuracy = tested(entry)
        x = place + np.linspace(-0.2, 0.2, len(accuracy))
        axes.plot(x, accuracy, marker, color=color, ms=4, mfc="none", lw=0)
    for label, level in (
        ("linear classifier", linear(record)),
        ("majority class", record["results"]["data"]["majority"]),
    ):
        axes.axhline(level, color="0.5", lw=0.8, ls="--")
        axes.annotate(label, (0.01, level), (0, 2), xycoords=("axes fraction", "data"), textcoords="offset points",
                      fontsize=6, color="0.3")  # fmt: skip
    axes.set_xticks(range(len(cells)), list(cells), fontsize=6, rotation=20)
    axes.set(title="every seed, tested once", xlabel="cell", ylabel="test accuracy", ylim=(0, 1.05))
