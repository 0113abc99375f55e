"""The figures of the claims: the answers in four panels, and in another one what they rest on."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments import plots
from experiments.claims.config import COMPARED, LINEAR, TRAINED
from experiments.claims.evidence import Evidence
from experiments.claims.page import summary
from recurrax.palette import look
from recurrax.report import interval

STYLES = {cell: look("IRNN" if cell == "identity RNN" else cell) for cell in (LINEAR, *TRAINED)}


def draw(record: dict[str, Any]) -> dict[str, Figure]:
    """Memory, data, stability and cost; and beside it adding, short sequences and gradient flow."""
    e = Evidence(record)
    figure, axes = plots.panels(2, 2, 4.8, 3.2)
    plots.takeaway(figure, summary(record))
    solved(axes[0, 0], e)
    curve(axes[0, 1], e, e.curves[-1], "b")
    stability(axes[1, 0], e)
    cost(axes[1, 1], e)
    plots.legend_below(figure, axes[0, 0])
    details, axes = plots.panels(2, 2, 4.8, 3.2)
    curve(axes[0, 0], e, e.curves[0], "a")
    short(axes[0, 1], e)
    flow(axes[1, 0], e)
    updates(axes[1, 1], e)
    plots.legend_below(details, axes[0, 1], axes[1, 1])
    return {"": figure, "details": details}


def solved(axes: Axes, e: Evidence) -> None:
    """Share of seeds solved at each length, with its exact interval."""
    for index, cell in enumerate(TRAINED):
        counts = [e.count(f"adding T={T}", cell) for T in e.lengths]
        share = np.array([k / n for k, n in counts])
        low, high = np.array([interval(k, n) for k, n in counts]).T
        place = np.array(e.lengths) * 1.04 ** (index - 1.5)  # beside each other, not on top
        axes.errorbar(place, share, [share - low, high - share], **STYLES[cell], label=cell, elinewidth=0.8, capsize=2)
    reach = ", ".join(f"{e.horizon(cell)} ({cell})" for cell in COMPARED)
    axes.set(title=f"a  Half of the seeds solve adding of {reach} steps", xlabel="length T (steps)",
             ylabel="share of seeds solved, 95% interval", ylim=(-0.03, 1.03))  # fmt: skip
    ticks(axes, e.lengths)


def curve(axes: Axes, e: Evidence, task: str, letter: str) -> None:
    """Held-out error of cells with as many weights against the number of training sequences: quartiles of seeds."""
    for cell in COMPARED:
        low, median, high = np.quantile(e.errors(task, cell), [0.25, 0.5, 0.75], axis=0)
        axes.errorbar(e.numbers(task), median, [median - low, high - median], **STYLES[cell], capsize=2, elinewidth=0.8)
    over = ", ".join(f"{e.needs_data(task, 'LSTM', cell).value:.2f} x {cell}" for cell in ("RNN", "GRU"))
    words = e.named(task)
    kind = "share of wrong digits" if task.startswith("digits") else "mean squared error"
    axes.set(title=f"{letter}  {words[0].upper()}{words[1:]}, few data: LSTM {over}", xlabel="training sequences",
             ylabel=f"held-out {kind}, quartiles")  # fmt: skip
    if task.startswith("digits"):
        axes.set_ylim(0, None)
    else:
        axes.set_yscale("log")
    ticks(axes, e.numbers(task))


def stability(axes: Axes, e: Evidence) -> None:
    """Share of unstable runs at every learning rate, with clipping, and without it thin."""
    rates = e.config["stability_rates"]
    for cell in TRAINED:
        style = STYLES[cell]
        axes.plot(rates, e.unstable(cell, clipped=True).mean(axis=0), **style)
        axes.plot(rates, e.unstable(cell, clipped=False).mean(axis=0), color=style["color"], lw=0.7, ls=":")
    told = ", ".join(f"{e.unstable(cell, clipped=True).mean():.0%} ({cell})" for cell in COMPARED)
    axes.set(title=f"c  Clipped runs that are unstable: {told}", xlabel="learning rate (thin, dotted: not clipped)",
             ylabel="share of unstable runs", xscale="log", ylim=(-0.03, 1.03))  # fmt: skip


def cost(axes: Axes, e: Evidence) -> None:
    """Time of a training step over the RNN's, beside the ratio of the parameters."""
    for cell, matrices in (("GRU", 3), ("LSTM", 4)):
        found = [e.time(cell, "RNN", H) for H in e.sizes]
        median, low, high = (np.array([getattr(r, name) for r in found]) for name in ("value", "low", "high"))
        spread = [median - low, np.where(np.isfinite(high), high, median) - median]
        axes.errorbar(e.sizes, median, spread, **STYLES[cell], capsize=2)
        axes.axhline(matrices, color=STYLES[cell]["color"], lw=0.8, ls=":")
        axes.annotate(f"parameters of the {cell}", (0.01, matrices), (0, 2), xycoords=("axes fraction", "data"),
                      textcoords="offset points", fontsize=6, color="0.3")  # fmt: skip
    dear = ", ".join(f"{e.time(cell, 'RNN', max(e.sizes)).value:.1f} ({cell})" for cell in ("GRU", "LSTM"))
    axes.set(title=f"d  Time of a step over the RNN's, H = {max(e.sizes)}: {dear}", xlabel="units H",
             ylabel="ratio, 95% interval", ylim=(0, None))  # fmt: skip
    ticks(axes, e.sizes)


def short(axes: Axes, e: Evidence) -> None:
    """Time to the criterion of every model on every short task: median of seeds, where half of them meet it."""
    for index, model in enumerate((LINEAR, *COMPARED)):
        seconds = [np.median(e.updates(task, model)) * e.milliseconds(task, model) for task in e.short]
        shown = [value if e.half(task, model) else np.nan for task, value in zip(e.short, seconds, strict=True)]
        style: dict[str, Any] = STYLES[model] | {"ls": ""}
        axes.plot(np.arange(len(e.short)) + 0.12 * (index - 1.5), shown, **style, label=model)
    quick = sum(e.half(task, LINEAR) for task in e.short)
    axes.set(title=f"b  The linear model solves {quick} of {len(e.short)} short tasks", yscale="log",
             xlabel="task", ylabel="milliseconds to the criterion, median")  # fmt: skip
    axes.set_xticks(range(len(e.short)), [task.replace(" ", "\n") for task in e.short], fontsize=6)


def flow(axes: Axes, e: Evidence) -> None:
    """Factor of the gradient per step of lag at initialisation: median and range."""
    names = list(e.results["flow"])
    for row, name in enumerate(names):
        low, median, high = np.exp(np.quantile(e.slopes(name), [0, 0.5, 1], method="nearest"))
        axes.plot([low, high], [row, row], color="0.4", lw=1.2)
        axes.plot(median, row, "o", color="k", ms=4)
    axes.axvline(1, color="0.5", lw=0.8, ls="--")
    axes.set_yticks(range(len(names)), [name.replace(", ", ",\n") for name in names], fontsize=5)
    axes.invert_yaxis()
    start = np.exp(np.median(e.slopes("tanh RNN")))
    axes.set(title=f"c  The tanh RNN keeps {start:.0%} of the gradient a step", xlim=(-0.03, 1.2),
             xlabel="factor per step of lag, median and range")  # fmt: skip


def updates(axes: Axes, e: Evidence) -> None:
    """Updates to the criterion, every seed; those that did not meet it stand on the line of the budget."""
    budget = e.config["steps"]
    for index, cell in enumerate(TRAINED):
        color, marker = STYLES[cell]["color"], STYLES[cell]["marker"]
        for T in e.lengths:
            values = e.updates(f"adding T={T}", cell)
            met, place = np.isfinite(values), np.full(len(values), T * 1.09 ** (index - 1.5))
            name = cell if T == e.lengths[0] else None
            axes.plot(place[met], values[met], marker, color=color, ms=3, alpha=0.5, label=name)
            axes.plot(place[~met], np.full((~met).sum(), budget), marker, color=color, ms=4, mfc="none")
    axes.axhline(budget, color="0.5", lw=0.8)
    axes.annotate("budget; open: not solved", (0.02, budget), (0, 3), xycoords=("axes fraction", "data"),
                  textcoords="offset points", fontsize=6, color="0.3")  # fmt: skip
    needed = ", ".join(
        f"{e.shown_updates(f'adding T={e.longest}', c).partition(' (')[0]} ({c})" for c in ("GRU", "LSTM")
    )
    axes.set(title=f"d  Updates for T = {e.longest}: {needed}", xlabel="length T (steps)",
             ylabel="updates to criterion, every seed", ylim=(0, budget * 1.1))  # fmt: skip
    ticks(axes, e.lengths)


def ticks(axes: Axes, values: list[int]) -> None:
    """The sizes that were measured as ticks of a logarithmic axis."""
    axes.set_xscale("log")
    apart = [b for a, b in zip([0, *values], values, strict=False) if b > 1.3 * a]  # labels would run into each other
    axes.set_xticks(apart, [f"{value:,}" for value in apart], minor=False)
    axes.minorticks_off()
