"""The figure: a function of the record and nothing else."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments import plots
from experiments.lab import Record
from experiments.transformer.pages import entry_of, headline
from experiments.transformer.training import LONGER, QUESTIONS
from recurrax.palette import looks


def draw(record: Record) -> Figure:
    """For each task, the score at the length of training and at longer ones."""
    names = record["config"]["tasks"]
    figure, axes = plots.panels(1, len(names), 2.6, 2.9)
    for letter, panel, name in zip("abcd", axes[0], names, strict=False):
        carried(panel, record, name)
        panel.set_title(f"{letter}  {QUESTIONS[name][0].capitalize()}")
    plots.takeaway(figure, headline(record))
    plots.legend_below(figure, axes[0, 0])
    return figure


def carried(axes: Axes, record: Record, name: str) -> None:
    """Every seed, thin, and their median, thick."""
    _, what, length, _ = QUESTIONS[name]
    sizes, kind = [times * length for times in LONGER], "loss" if name == "adding" else "accuracy"
    styles = looks(record["config"]["cells"])
    for cell in record["config"]["cells"]:
        scores = np.array([entry_of(record, name, cell)["longer"][str(size)][kind] for size in sizes])  # [sizes, S]
        axes.plot(sizes, scores, color=styles[cell]["color"], lw=0.5, alpha=0.5)
        axes.plot(sizes, np.median(scores, axis=1), **styles[cell], label=cell)
    axes.set(xlabel=f"{what} in the test", ylabel="mean squared error" if kind == "loss" else "share of answers right",
             xscale="log", yscale="log" if kind == "loss" else "linear")  # fmt: skip
    axes.set_xticks(sizes, [str(size) for size in sizes])
    axes.minorticks_off()
    axes.axvspan(0.9 * length, 1.1 * length, color="0.9", lw=0)
