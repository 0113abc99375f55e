"""Common parts of figures: look, panels, titles, levels, legends, learning curves, and missing runs."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter
from scipy.stats import CensoredData, ecdf

from recurrax.palette import look

STYLE: dict[Any, Any] = {
    "font.size": 8, "axes.titlesize": 9, "axes.titlelocation": "left", "axes.spines.top": False,
    "axes.spines.right": False, "legend.fontsize": 7, "legend.frameon": False,
}  # fmt: skip


def panels(rows: int, columns: int, width: float, height: float, **options: Any) -> tuple[Figure, Any]:
    """A figure and its axes ``[rows, columns]``; width and height of a panel in inches."""
    size = (width * columns, height * rows)
    return plt.subplots(rows, columns, figsize=size, layout="constrained", squeeze=False, **options)


def takeaway(figure: Figure, text: str) -> None:
    """Writes the result of the figure above all panels, wrapped to the width."""
    figure.suptitle(textwrap.fill(text, int(12 * figure.get_figwidth())))  # some 12 letters an inch


def level(axes: Axes, **levels: float) -> None:
    """Named horizontal lines; an underscore in a name is a space."""
    for name, value in levels.items():
        axes.axhline(value, color="0.4", ls="--", lw=0.7)
        axes.annotate(name.replace("_", " "), (1, value), (-2, 2), xycoords=("axes fraction", "data"),
                      textcoords="offset points", ha="right", fontsize=6, color="0.3")  # fmt: skip


def legend_below(figure: Figure, *axes: Axes) -> None:
    """One legend for the whole figure, of what these axes show, in as many columns as there is room for."""
    shown = {label: handle for one in axes for handle, label in zip(*one.get_legend_handles_labels(), strict=True)}
    columns = min(len(shown), max(1, int(figure.get_figwidth() / 1.1)))  # inches that a column takes
    figure.legend(list(shown.values()), list(shown), loc="outside lower center", ncols=columns)


def plain_ticks(axis: Axis) -> None:
    """Numbers without exponents on a logarithmic axis."""
    axis.set_major_locator(LogLocator(10, (1, 2, 5)))
    axis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axis.set_minor_formatter(NullFormatter())


def learning(axes: Axes, entries: Sequence[Any], scale: float = 1.0) -> None:
    """Held-out loss of every reported seed, thin, and their median, thick; divided by ``scale``."""
    for entry in entries:
        style = look(entry["cell"])
        steps, losses = np.asarray(entry["steps"]), np.asarray(entry["loss"], float) / scale
        axes.plot(steps, losses.T, color=style["color"], lw=0.4, alpha=0.4)
        axes.plot(steps, np.nanmedian(losses, axis=0), **style, markevery=0.15, label=entry["cell"])
    axes.set(xlabel="updates", yscale="log")


def unsolved(axes: Axes, entries: Sequence[Any]) -> None:
    """Kaplan & Meier's share of seeds that have not met the criterion, to the budget."""
    for number, entry in enumerate(entries):
        at, budget = np.asarray(entry["solved_at"]), entry["budget"]
        found = ecdf(CensoredData(uncensored=at[at >= 0], right=np.full(int(np.sum(at < 0)), budget))).sf
        lift = 0.008 * (number - (len(entries) - 1) / 2)  # beside each other, not on top
        t, S = np.r_[0, found.quantiles, budget], np.r_[1, found.probabilities, found.probabilities[-1]]
        axes.step(t, S + lift, where="post", **look(entry["cell"]), label=entry["cell"])
    axes.set(xlabel="updates", ylabel="share of seeds not there", ylim=(-0.05, 1.05))
