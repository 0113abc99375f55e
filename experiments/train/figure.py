"""The figure: a function of the record and nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")  # before pyplot: figures are written, not shown

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments.style import STYLE
from experiments.train.tables import points

# Okabe & Ito's colours, told apart without colour by marker.
STYLES = [
    ("#D55E00", "o"), ("#009E73", "s"), ("#0072B2", "^"), ("#E69F00", "v"), ("#CC79A7", "D"), ("#56B4E9", "P"),
]  # fmt: skip


def save(record: dict[str, Any], path: Path) -> None:
    """Writes the figure as PNG."""
    figure = draw(record)
    figure.savefig(path, dpi=160)
    plt.close(figure)


def draw(record: dict[str, Any]) -> Figure:
    """Test loss of every run along the sweep, and the learning curves at each cell's best point of it."""
    with plt.rc_context(STYLE):
        figure, (left, right) = plt.subplots(1, 2, figsize=(8.4, 3.4), layout="constrained")
        for index, (name, entry) in enumerate(record["results"]["runs"].items()):
            along_sweep(left, name, entry, index, len(record["results"]["runs"]))
            learning(right, name, entry, best_runs(record, name), index)
        for axes in (left, right):
            axes.axhline(record["results"]["chance_level"], color="0.4", ls="--", lw=0.8, label="chance")
            axes.set_yscale("log")
        left.set(title="Every run's best model", ylabel="test loss")
        right.set(title="Held-out loss at each cell's best setting", xlabel="updates", ylabel="held-out loss")
        figure.legend(*left.get_legend_handles_labels(), loc="outside lower center", ncols=7)
    return figure


def along_sweep(axes: Axes, name: str, entry: Any, index: int, count: int) -> None:
    """Each run as a point; the abscissa is the first setting with more than one value, else nothing but room."""
    color, marker = STYLES[index % len(STYLES)]
    loss = np.asarray(entry["test_loss"], float)
    swept = [key for key, values in entry["settings"].items() if len(set(values)) > 1]
    x = np.asarray(entry["settings"][swept[0]]) if swept else np.ones(len(loss))
    shift = 1.0 + 0.06 * (index - (count - 1) / 2)  # beside each other, not on top
    axes.plot(x * shift, loss, marker, color=color, ms=4, alpha=0.7, lw=0, label=name)
    axes.set(xscale="log", xlabel=swept[0].replace("_", " ") if swept else "")
    if not swept:
        axes.set_xticks([])


def learning(axes: Axes, name: str, entry: Any, runs: np.ndarray, index: int) -> None:
    """Every seed as a thin line, their median as a thick one."""
    color, marker = STYLES[index % len(STYLES)]
    steps, curves = np.asarray(entry["steps"]), np.asarray(entry["loss"], float)[runs]
    axes.plot(steps, curves.T, color=color, lw=0.5, alpha=0.5)
    axes.plot(steps, np.nanmedian(curves, axis=0), color=color, marker=marker, ms=3, markevery=0.2, label=name)


def best_runs(record: dict[str, Any], name: str) -> np.ndarray:
    """The runs at the point of the sweep with the lowest median of the best held-out losses."""
    candidates = [(entry, runs) for fit, entry, runs in points(record) if fit == name]
    lowest = [np.median(np.nanmin(np.asarray(entry["loss"], float)[runs], axis=1)) for entry, runs in candidates]
    return candidates[int(np.argmin(lowest))][1]
