"""The figures: functions of the record and nothing else."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments import plots
from experiments.hochreiter1997 import drift
from experiments.hochreiter1997.page import ADDING, FACTOR, Record, lines_of, mean, rules, shares_by_target, tenths
from experiments.hochreiter1997.published import GUESSING, LABELS, PUBLISHED
from recurrax.palette import COLORS, DASHES, looks


def draw(record: Record) -> dict[str, Figure]:
    """The figure of every record, and where cells of experiment 1 were looked at, one of their drift."""
    drifted = drift.draw(record["results"])
    return {"": overview(record)} | ({"drift": drifted} if drifted else {})


def overview(record: Record) -> Figure:
    """Sequences to the stop of every trial beside the paper's mean; learning curves; wrong answers by target."""
    results = record["results"]
    adding = [row for row in ADDING if row in results]
    height = max(2.6, 1.2 + 0.22 * len(lines_of(results)))
    columns = 2 + bool(adding)
    figure, axes = plots.panels(1, columns, 12 / columns, height)
    stops(axes[0, 0], results)
    curves(axes[0, 1], results)
    if adding:
        targets(axes[0, 2], results, adding)
    plots.takeaway(figure, headline(results))
    return figure


def headline(results: Any) -> str:
    """The number of published means that our means come near."""
    pairs = [(mean(met), PUBLISHED[row].sequences[rule]) for row, rule, met, _ in rules(results)]
    ratios = [ours / theirs if ours else np.inf for ours, theirs in pairs if theirs]
    near, below = sum(1 / FACTOR <= ratio <= FACTOR for ratio in ratios), sum(ratio < 1 / FACTOR for ratio in ratios)
    faster = f"; {below} more are faster" if below else ""
    return f"{near} of {len(ratios)} published means come out within a factor of {FACTOR:g}{faster}"


def stops(axes: Axes, results: Any) -> None:
    """Every trial as a dot, censored ones as open triangles at the cap, the published mean as a bar."""
    labels, colors = [], appearance(results)
    for place, (row, rule, met, entry) in enumerate(lines_of(results)):
        spread, done, (dash, color) = place + 0.25 * np.linspace(-1, 1, len(met)), met >= 0, colors[row]
        axes.axhline(place, color=color, ls=dash, lw=1.2, alpha=0.4, zorder=0)
        axes.plot(met[done], spread[done], "o", ms=3, color=color, alpha=0.6, mew=0)
        axes.plot(np.full((~done).sum(), entry["cap"]), spread[~done], ">", ms=4, mfc="w", color=color)
        published = None if row in GUESSING else PUBLISHED[row].sequences[rule]
        axes.plot([published or np.nan] * 2, [place - 0.4, place + 0.4], color="k", lw=2)
        labels.append(LABELS[row] + (f", rule {rule + 1}" if rule else ""))
    axes.set(xscale="log", yticks=range(len(labels)), yticklabels=labels)
    axes.set(xlabel="training sequences (triangle: given up)")
    axes.set(title="a  Trials (dots), published mean (bars)")
    axes.invert_yaxis()


def curves(axes: Axes, results: Any) -> None:
    """Share of wrong answers while training, median over trials."""
    for row, (dash, color) in appearance(results).items():
        if row in GUESSING:
            continue
        curve = results[row]["curve"]
        axes.plot(curve["sequences"], np.asarray(curve["wrong"], float), lw=1.2, color=color, ls=dash)
    axes.set(xscale="log", ylim=(-0.03, 1.03), xlabel="training sequences", ylabel="share of wrong answers")
    axes.set(title="b  The median trial, in the lines of a")


def appearance(results: Any) -> dict[str, tuple[Any, str]]:
    """Dash and colour of every row, so that rows can be told apart without colour."""
    return dict(zip(results, zip(itertools.cycle(DASHES), itertools.cycle(COLORS), strict=False), strict=False))


def targets(axes: Axes, results: Any, rows: list[str]) -> None:
    """Share of wrong answers in each tenth of the range of targets, every trial and the mean."""
    middle = (np.arange(10) + 0.5) / 10
    for row, style in looks(rows).items():
        axes.plot(middle, np.asarray(results[row]["by_target"], float).T, color=style["color"], lw=0.5, alpha=0.35)
        axes.plot(middle, shares_by_target(results[row]), **style, label=LABELS[row].partition(", ")[2])
    title = "c  Adding, fresh sequences"
    if "4-logistic" in rows:
        title = f"c  Logistic: {tenths(results['4-logistic'])[0]:.0%} wrong at the ends"
    axes.set(xlabel="target 1/2 + (X1 + X2)/4", ylabel="share of wrong answers", title=title)
    axes.legend()
