"""The figure: a function of the record and nothing else."""

from __future__ import annotations

from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments.hochreiter1997.published import GUESSING, PUBLISHED
from experiments.hochreiter1997.tables import rules, shares_by_target
from experiments.style import STYLE

# Okabe & Ito's colours, told apart without colour by dash.
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
DASHES = ("-", "--", "-.", ":")


def draw(record: dict[str, Any]) -> Figure:
    """Sequences to the stop of every trial beside the paper's mean; learning curves; wrong answers by target."""
    results = record["results"]
    lines = rules(results)
    adding = [row for row in ("4", "4-logistic") if row in results]
    with plt.rc_context(STYLE):
        height = max(3.2, 1.2 + 0.2 * (len(lines) + len(results)))
        figure, axes = plt.subplots(1, 2 + bool(adding), figsize=(11, height), layout="constrained", squeeze=False)
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
        axes.plot(met[done], spread[done], "o", ms=3, color=COLORS[0], alpha=0.6, mew=0, label=label["done"])
        axes.plot(
            np.full((~done).sum(), entry["cap"]), spread[~done], ">", ms=4, mfc="w", color="0.5", label=label["open"]
        )
        published = None if row in GUESSING else PUBLISHED[row].sequences[rule]
        axes.plot([published or np.nan] * 2, [place - 0.4, place + 0.4], color=COLORS[1], lw=2, label=label["paper"])
        labels.append(row if rule == 0 else f"{row}, rule {rule + 1}")
    axes.set(xscale="log", yticks=range(len(labels)), yticklabels=labels, xlabel="training sequences")
    axes.set(title="a  Sequences to the stop rule", ylabel="row")
    axes.invert_yaxis()
    below(axes, ncols=3)


def curves(axes: Axes, results: Any) -> None:
    """Share of wrong answers while training, median over trials."""
    trained = [row for row in results if row not in GUESSING]
    for number, row in enumerate(trained):
        curve = results[row]["curve"]
        wrong = np.asarray(curve["wrong"], float)
        color, dash = COLORS[number % len(COLORS)], DASHES[number // len(COLORS) % len(DASHES)]
        axes.plot(curve["sequences"], wrong, lw=1.2, label=row, color=color, ls=dash)
    axes.set(xscale="log", ylim=(-0.03, 1.03), xlabel="training sequences", ylabel="share of wrong answers")
    axes.set(title="b  Learning, median over trials")
    below(axes, ncols=4)


def below(axes: Axes, ncols: int) -> None:
    """The legend under the label of the axis, however high the figure is (inches)."""
    height = axes.get_window_extent().height / axes.figure.dpi or 1
    axes.legend(loc="upper left", bbox_to_anchor=(0, -0.5 / height), ncols=ncols)


def targets(axes: Axes, results: Any, rows: list[str]) -> None:
    """Share of wrong answers in each tenth of the range of targets, every trial and the mean."""
    middle = (np.arange(10) + 0.5) / 10
    for number, row in enumerate(rows):
        shares = np.asarray(results[row]["by_target"], float)
        color = COLORS[number]
        axes.plot(middle, shares.T, color=color, lw=0.5, alpha=0.35)
        mean = shares_by_target(results[row])
        axes.plot(middle, mean, color=color, ls=DASHES[number], marker="o", ms=3, label=row)
    axes.set(xlabel="target 1/2 + (X1 + X2)/4", ylabel="share of wrong answers", title="c  Adding, fresh sequences")
    axes.legend()


def lines_of(results: Any) -> list[tuple[str, int, np.ndarray, Any]]:
    """Trained rows and, as one line each, guessed ones."""
    guessed = [(row, 0, np.asarray(entry["met"][0]), entry) for row, entry in results.items() if row in GUESSING]
    return [*rules(results), *guessed]
