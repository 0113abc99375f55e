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
from experiments.hochreiter1997.published import GUESSING, PUBLISHED
from recurrax.palette import COLORS, DASHES, looks


def draw(record: Record) -> dict[str, Figure]:
    """The figure of every record, and where cells of experiment 1 were looked at, one of their drift."""
    drifted = {"drift": drift.draw(record["results"])} if drift.rows(record["results"]) else {}
    return {"": overview(record)} | drifted


def overview(record: Record) -> Figure:
    """Sequences to the stop of every trial beside the paper's mean; learning curves; wrong answers by target."""
    results = record["results"]
    adding = [row for row in ADDING if row in results]
    height = max(3.2, 1.2 + 0.2 * (len(rules(results)) + len(results)))
    columns = 2 + bool(adding)
    figure, axes = plots.panels(1, columns, 11 / columns, height)
    stops(axes[0, 0], results)
    curves(axes[0, 1], results)
    if adding:
        targets(axes[0, 2], results, adding)
    return figure


def stops(axes: Axes, results: Any) -> None:
    """Every trial as a dot, censored ones as open triangles at the cap, the published mean as a bar."""
    labels = []
    for place, (row, rule, met, entry) in enumerate(lines_of(results)):
        spread = place + 0.25 * np.linspace(-1, 1, len(met))
        done = met >= 0
        label = dict.fromkeys(("done", "open", "paper"), None)
        if place == 0:
            label = {"done": "a trial", "open": "not by the cap", "paper": "published mean"}
        axes.plot(met[done], spread[done], "o", ms=3, color="#0072B2", alpha=0.6, mew=0, label=label["done"])
        axes.plot(
            np.full((~done).sum(), entry["cap"]), spread[~done], ">", ms=4, mfc="w", color="0.5", label=label["open"]
        )
        published = None if row in GUESSING else PUBLISHED[row].sequences[rule]
        axes.plot([published or np.nan] * 2, [place - 0.4, place + 0.4], color="#D55E00", lw=2, label=label["paper"])
        labels.append(row if rule == 0 else f"{row}, rule {rule + 1}")
    axes.set(xscale="log", yticks=range(len(labels)), yticklabels=labels, xlabel="training sequences")
    pairs = [(mean(met), PUBLISHED[row].sequences[rule]) for row, rule, met, _ in rules(results)]
    printed = [(ours, theirs) for ours, theirs in pairs if theirs]
    same = sum(bool(ours) and 1 / FACTOR <= ours / theirs <= FACTOR for ours, theirs in printed)
    axes.set(title=f"a  {same} of {len(printed)} published means within a factor {FACTOR:g}", ylabel="row")
    axes.invert_yaxis()
    below(axes, ncols=3)


def curves(axes: Axes, results: Any) -> None:
    """Share of wrong answers while training, median over trials."""
    trained = [row for row in results if row not in GUESSING]
    for row, (dash, color) in zip(trained, itertools.product(DASHES, COLORS), strict=False):
        curve = results[row]["curve"]
        axes.plot(curve["sequences"], np.asarray(curve["wrong"], float), lw=1.2, label=row, color=color, ls=dash)
    axes.set(xscale="log", ylim=(-0.03, 1.03), xlabel="training sequences", ylabel="share of wrong answers")
    axes.set(title="b  How the median trial learns")
    below(axes, ncols=4)


def below(axes: Axes, ncols: int) -> None:
    """The legend under the label of the axis, however high the figure is (inches)."""
    height = axes.get_window_extent().height / axes.figure.dpi or 1
    axes.legend(loc="upper left", bbox_to_anchor=(0, -0.5 / height), ncols=ncols)


def targets(axes: Axes, results: Any, rows: list[str]) -> None:
    """Share of wrong answers in each tenth of the range of targets, every trial and the mean."""
    middle = (np.arange(10) + 0.5) / 10
    for row, style in looks(rows).items():
        axes.plot(middle, np.asarray(results[row]["by_target"], float).T, color=style["color"], lw=0.5, alpha=0.35)
        axes.plot(middle, shares_by_target(results[row]), **style, label=row)
    title = "c  Adding, fresh sequences"
    if "4-logistic" in rows:
        title = f"c  Logistic: {tenths(results['4-logistic'])[0]:.0%} wrong at the ends"
    axes.set(xlabel="target 1/2 + (X1 + X2)/4", ylabel="share of wrong answers", title=title)
    axes.legend()
