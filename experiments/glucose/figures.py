"""The figure of `experiments.glucose`: a day with its fan and alarms, calibration, precision and recall, errors."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments import plots
from experiments.glucose.data import LOW
from experiments.glucose.pages import best_baseline, seeds, split
from experiments.glucose.training import LEVELS
from experiments.lab import Record
from recurrax.palette import look

LINES = {"persistence": "0.7", "linear extrapolation": "0.55", "ridge": "#CC79A7", "gradient boosting": "#E69F00"}


def draw(record: Record) -> Figure:
    """A day of the test, and how the forecasts and alarms compare over all of it."""
    base, cells = split(record)
    best = min(cells, key=lambda cell: np.median(seeds(cells[cell], "rmse_30")))
    figure, axes = plots.panels(2, 1, 8.4, 2.9)
    grid = axes[0][0].get_gridspec()
    axes[1][0].remove()
    lower = grid[1, 0].subgridspec(1, 3)
    one_day(axes[0][0], cells[best], best)
    calibration(figure.add_subplot(lower[0, 0]), cells)
    recalls(figure.add_subplot(lower[0, 1]), base, cells, best)
    distances(figure.add_subplot(lower[0, 2]), base, cells)
    plots.takeaway(figure, takeaway(base, cells, best))
    return figure


def takeaway(base: Any, cells: dict[str, Any], best: str) -> str:
    """A sentence on the result of the figure."""
    alarm = cells[best]
    foreseen, of = np.median(seeds(alarm, "alarm", "foreseen")), seeds(alarm, "alarm", "episodes")[0]
    false = np.median(seeds(alarm, "alarm", "false_a_day"))
    covered = np.median(seeds(alarm, "calibrated", "coverage"))
    return (
        f"The {best} foresees {foreseen:.0f} of {of:.0f} episodes of low glucose at {false:.1f} false alarms a day; "
        f"its 90% intervals hold {covered:.0%}"
    )


def one_day(axes: Axes, entry: Any, cell: str) -> None:
    """Glucose through a day, the interval that was forecast half an hour before, and the alarms."""
    found = {name: np.asarray(values) for name, values in entry["day"].items()}
    hours, color = found["hours"], look(cell)["color"]
    cuts = np.flatnonzero(np.diff(hours) > 0.2) + 1
    for number, here in enumerate(np.split(np.arange(len(hours)), cuts)):
        ahead, label = hours[here] + 0.5, number == 0
        axes.fill_between(ahead, found["low"][here], found["high"][here], color=color, alpha=0.2, lw=0,
                          label="90% interval, forecast 30 minutes before" if label else None)  # fmt: skip
        axes.plot(ahead, found["median"][here], color=color, lw=1, label=f"median of the {cell}" if label else None)
        axes.plot(hours[here], found["glucose"][here], color="black", lw=1.3, label="glucose" if label else None)
    axes.axhline(LOW, color="#D55E00", lw=0.8, ls="--")
    axes.annotate("70 mg/dl", (0.1, LOW), (0, -9), textcoords="offset points", fontsize=6.5, color="#D55E00")
    low = found["glucose"] < LOW
    axes.fill_between(hours, 0, 1, where=low, transform=axes.get_xaxis_transform(), color="#D55E00", alpha=0.15, lw=0)
    alarm = found["alarm"].astype(bool)
    axes.plot(hours[alarm], found["glucose"][alarm], "v", color="#D55E00", ms=5, mec="white", mew=0.4, label="alarm")
    axes.set(xlabel="hour of the day", ylabel="glucose, mg/dl", xlim=(0, 24.5), xticks=range(0, 25, 3))
    top = 1.25 * max(found["glucose"].max(), found["high"].max())
    axes.set_ylim(0, top)
    axes.legend(ncols=4, loc="upper left")
    axes.set_title("a  A day of the test: shaded where glucose was low, triangles where the alarm was on")


def calibration(axes: Axes, cells: dict[str, Any]) -> None:
    """Share of the test below each quantile, before and after calibration."""
    axes.plot([0, 1], [0, 1], color="0.6", lw=0.8)
    for cell, entry in cells.items():
        for kind, style in (("raw", ":"), ("calibrated", "-")):
            below = np.median([one[kind]["below"] for one in entry["test"]], axis=0)
            label = cell if kind == "calibrated" else None
            fill = None if kind == "calibrated" else "none"
            color, marker = look(cell)["color"], look(cell)["marker"]
            axes.plot(LEVELS, below, color=color, ls=style, lw=1, marker=marker, ms=3, mfc=fill, label=label)
    axes.plot([], [], color="0.3", ls=":", marker="o", mfc="none", ms=3, lw=1, label="before calibration")
    axes.set(xlabel="level of the quantile", ylabel="share of the test below it", xlim=(0, 1), ylim=(0, 1))
    axes.legend(loc="upper left", fontsize=6)
    axes.set_title("b  Calibration")


def recalls(axes: Axes, base: Any, cells: dict[str, Any], best: str) -> None:
    """Precision at each recall, of the best cell and of the baselines."""
    for name, row in base["rows"].items():
        curve = row["alarm"]["curve"]
        axes.plot(np.linspace(0, 1, len(curve)), curve, color=LINES.get(name, "0.5"), lw=1, ls="--", label=name)
    curve = base["classifier"]["alarm"]["curve"]
    axes.plot(np.linspace(0, 1, len(curve)), curve, color="#999933", lw=1, ls="-.", label="boosted classifier")
    curve = np.median([one["alarm"]["curve"] for one in cells[best]["test"]], axis=0)
    axes.plot(np.linspace(0, 1, len(curve)), curve, color=look(best)["color"], lw=1.8, label=best)
    axes.set(xlabel="recall", ylabel="precision", xlim=(0, 1), ylim=(0, 1))
    axes.legend(fontsize=6)
    axes.set_title("c  Alarms, by threshold")


def distances(axes: Axes, base: Any, cells: dict[str, Any]) -> None:
    """RMSE 30 and 60 minutes ahead, every seed."""
    rows = {**base["rows"], **cells}
    names = sorted(rows, key=lambda name: -np.median(seeds(rows[name], "rmse_30")))
    for place, name in enumerate(names):
        color = look(name)["color"] if name in cells else LINES.get(name, "0.5")
        for measure, fill in (("rmse_30", color), ("rmse_60", "white")):
            values = seeds(rows[name], measure)
            axes.plot(values, np.full(len(values), place), "o", color=color, mfc=fill, ms=4.5)
    axes.axvline(rows[best_baseline(base)]["rmse_30"], color="0.7", lw=0.7, ls="--", zorder=0)
    axes.plot([], [], "o", color="0.3", ms=4.5, label="30 minutes ahead")
    axes.plot([], [], "o", color="0.3", mfc="white", ms=4.5, label="60 minutes ahead")
    axes.set_yticks(range(len(names)), names, fontsize=6.5)
    axes.set(xlabel="RMSE, mg/dl", ylim=(-0.5, len(names) + 0.8))
    axes.legend(fontsize=6, loc="upper right", ncols=2, columnspacing=0.8, handletextpad=0.1)
    axes.set_title("d  Errors")
