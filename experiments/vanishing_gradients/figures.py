"""The hero figure of two panels, and one of four for the curious: functions of the record and of nothing else."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments import plots
from experiments.vanishing_gradients.page import chosen_runs, fits, solved_at, takeaways
from recurrax.palette import look

Record = dict[str, Any]


def draw(record: Record) -> dict[str, Figure]:
    """Both figures by name."""
    return {"": hero(record), "details": details(record)}


def hero(record: Record) -> Figure:
    """The gradient against lag before and after training, and how many seeds of each cell solve each task."""
    figure, axes = plots.panels(1, 2, 4.6, 3.5)
    left, right = axes[0]
    T = max(record["config"]["adding_lengths"])
    for entry in (entry for entry in fits(record, "adding") if "after" in entry):
        against_lag(left, entry["before"], look(entry["cell"]) | {"ls": ":", "marker": "", "lw": 1}, None)
        against_lag(left, entry["after"], look(entry["cell"]), entry["cell"])
    titles = takeaways(record)
    left.set(title=titles[0], xlabel="steps back in time", ylabel="share of the gradient that arrives")
    left.yaxis.set_major_formatter(lambda power, _: "1" if power == 0 else f"$10^{{{power:.0f}}}$")
    left.plot([], [], ":", color="0.4", lw=1, label="before training")
    left.legend(title=f"trained to add two numbers of {T}", loc="lower left")
    solved_table(right, record)
    right.set_title(titles[1])
    return figure


def solved_table(axes: Axes, record: Record) -> None:
    """The number of seeds that solve each task at each size: a square for each cell, darker for more."""
    cells = record["config"]["cells"]
    columns = sorted({(entry["task"], entry["size"]) for entry in fits(record)}, key=lambda c: (c[0] != "copy", c[1]))
    shares = np.full((len(cells), len(columns)), np.nan)
    for entry in fits(record):
        at = solved_at(record, entry)
        place = cells.index(entry["cell"]), columns.index((entry["task"], entry["size"]))
        shares[place] = np.mean(at >= 0)
        axes.text(place[1], place[0], f"{np.sum(at >= 0)}/{len(at)}", ha="center", va="center", fontsize=11,
                  color="white" if shares[place] > 0.5 else "black")  # fmt: skip
    edges = np.arange(len(columns) + 1) - 0.5, np.arange(len(cells) + 1) - 0.5
    axes.pcolormesh(*edges, shares, cmap="Blues", vmin=-0.1, vmax=1.2, edgecolors="white", linewidth=2)
    axes.invert_yaxis()
    axes.set_xticks(range(len(columns)), [str(size) for _, size in columns])
    axes.set_yticks(range(len(cells)), cells)
    between = sum(task == "copy" for task, _ in columns)
    if 0 < between < len(columns):
        axes.axvline(between - 0.5, color="white", lw=10)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    axes.set(xlabel="repeat five bits: delay          add two numbers: length",
             ylabel="seeds that solve it")  # fmt: skip


def details(record: Record) -> Figure:
    """Learning, updates and success at growing delays and lengths, and gates around a marked step."""
    figure, axes = plots.panels(2, 2, 4.4, 3.2)
    learning(axes[0, 0], record)
    effort(axes[0, 1], record)
    success(axes[1, 0], record, "adding")
    axes[1, 0].set(title="C  Add two marked numbers of a sequence", xlabel="length (steps)")
    axes[1, 0].legend()
    gates(axes[1, 1], record)
    return figure


def against_lag(axes: Axes, entry: Any, style: dict[str, Any], label: str | None) -> None:
    """Median and 10-90% band of the gradient against lag, in powers of ten."""
    median, low, high = (np.asarray(entry["profile"][key], float) / math.log(10) for key in ("median", "low", "high"))
    lags = np.arange(len(median))
    axes.plot(lags, median, markevery=max(1, len(lags) // 8), label=label, **style)
    if label:
        axes.fill_between(lags, low, high, color=style["color"], alpha=0.15, lw=0)


def success(axes: Axes, record: Record, task: str) -> None:
    """Share of seeds that solve a task against its size; lines lie beside each other, not on top."""
    cells = record["config"]["cells"]
    for number, cell in enumerate(cells):
        entries = sorted((e for e in fits(record, task) if e["cell"] == cell), key=lambda entry: entry["size"])
        shares = [np.mean(solved_at(record, entry) >= 0) for entry in entries]
        lift = 0.015 * (number - (len(cells) - 1) / 2)
        axes.plot([entry["size"] for entry in entries], np.asarray(shares) + lift, label=cell, **look(cell))
    _sizes(axes, record, task)
    axes.set(ylabel="share of seeds that solve it", ylim=(-0.06, 1.06))


def learning(axes: Axes, record: Record) -> None:
    """Held-out loss on the longest adding: every seed thin, their median thick."""
    T = max(record["config"]["adding_lengths"])
    for entry in (entry for entry in fits(record, "adding") if entry["size"] == T):
        curves, style = np.asarray(entry["loss"], float)[chosen_runs(record, entry)], look(entry["cell"])
        axes.plot(entry["steps"], curves.T, color=style["color"], lw=0.5, alpha=0.5)
        axes.plot(entry["steps"], np.nanmedian(curves, axis=0), markevery=0.2, label=entry["cell"], **style)
    plots.level(axes, guessing=entry["chance_level"], solved=0.01)
    axes.set(title=f"A  Learning to add two numbers of {T}", xlabel="updates", ylabel="held-out MSE", yscale="log")
    axes.legend()


def effort(axes: Axes, record: Record) -> None:
    """Updates to the criterion of every seed against the delay of copy; open: not solved within the budget."""
    cells = record["config"]["cells"]
    for number, cell in enumerate(cells):
        for entry in (entry for entry in fits(record, "copy") if entry["cell"] == cell):
            at, style = solved_at(record, entry), look(cell)
            x = entry["size"] * 1.12 ** (number - (len(cells) - 1) / 2) * np.ones(len(at))
            met = at >= 0
            axes.plot(x[met], at[met], style["marker"], color=style["color"], ms=4, alpha=0.7)
            budget = np.full(int(np.sum(~met)), entry["budget"])
            axes.plot(x[~met], budget, style["marker"], color=style["color"], ms=4, mfc="none")
    _sizes(axes, record, "copy")
    axes.set(title="B  Updates to repeat five bits, every seed", xlabel="delay (steps)",
             ylabel="updates")  # fmt: skip


def gates(axes: Axes, record: Record) -> None:
    """Mean keep and write gate of each run's slowest unit around a marked step."""
    T = max(record["config"]["adding_lengths"])
    for entry in (entry for entry in fits(record, "adding") if "gates" in entry):
        found, style = entry["gates"], look(entry["cell"])
        dotted: dict[str, Any] = style | {"ls": ":"}
        axes.plot(found["offsets"], found["keep"], label=f"{entry['cell']} keeps", **style)
        axes.plot(found["offsets"], found["write"], label=f"{entry['cell']} writes", **dotted)
    axes.axvline(0, color="0.6", lw=0.8)
    axes.set(title=f"D  The slowest unit around a marked number, T = {T}", xlabel="steps from a marked number",
             ylabel="mean gate", ylim=(0, 1.03))  # fmt: skip
    if axes.get_legend_handles_labels()[0]:
        axes.legend(loc="center right")


def _sizes(axes: Axes, record: Record, task: str) -> None:
    sizes = sorted({entry["size"] for entry in fits(record, task)})
    axes.set_xscale("log")
    axes.set_xticks(sizes, [str(size) for size in sizes])
    axes.minorticks_off()
