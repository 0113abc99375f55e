"""The figure: a function of the record and nothing else."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from experiments import plots
from experiments.lab import Record
from experiments.memory_capacity.pages import KINDS, SYMBOLS, UNITS, accuracy, entries, headline, held, most
from experiments.memory_capacity.training import WINDOW
from recurrax.palette import looks


def draw(record: Record) -> Figure:
    """For each task the contents of states of each size, and for the middle size the correct answers."""
    problems, config = record["config"]["problems"], record["config"]
    middle = config["state_bytes"][len(config["state_bytes"]) // 2]
    figure, rows = plots.panels(len(problems), 2, 4.2, 3.1)
    for (left, right), letters, problem in zip(rows, ("ab", "cd"), problems, strict=False):
        sizes(left, record, problem)
        left.set_title(f"{letters[0]}  {problem}: {UNITS[problem]} held by a state")
        (by_pairs if problem == "recall" else by_place)(right, record, middle)
        right.set_title(f"{letters[1]}  {problem} with {middle} bytes")
    plots.takeaway(figure, headline(record))
    plots.legend_below(figure, rows[0][0])
    return figure


def curves(axes: Axes, x: Any, seeds: np.ndarray, style: dict[str, Any], label: str) -> None:
    """Every seed, thin, and their median, thick: ``seeds: [S, points]``."""
    axes.plot(x, seeds.T, color=style["color"], lw=0.6, alpha=0.5)
    axes.plot(x, np.median(seeds, axis=0), **style, label=label)


def sizes(axes: Axes, record: Record, problem: str) -> None:
    """Answers held against bytes."""
    config, styles = record["config"], looks(record["config"]["cells"])
    for cell in config["cells"]:
        found = entries(record, problem, cell)
        curves(axes, [e["bytes"] for e in found], np.stack([held(e) for e in found], axis=1), styles[cell], cell)
    (control,) = entries(record, problem, WINDOW)
    levels = {"all": float(most(record, problem)), "no state": float(np.median(held(control)))}
    plots.level(axes, **levels)
    axes.set(xscale="log", ylim=(0, 1.08 * most(record, problem)), xlabel="bytes of state",
             ylabel=f"{UNITS[problem]} held of {most(record, problem)}")  # fmt: skip
    axes.set_xticks(config["state_bytes"], [str(size) for size in config["state_bytes"]])
    axes.yaxis.set_major_locator(MaxNLocator(integer=True, steps=[1, 2, 4, 5, 10]))
    axes.minorticks_off()


def by_pairs(axes: Axes, record: Record, size: int) -> None:
    """Share of right answers against the number of pairs."""
    pairs, styles = record["config"]["pairs"], looks(record["config"]["cells"])
    for entry in (e for e in entries(record, "recall") if e["bytes"] == size):
        curves(axes, pairs, np.stack([accuracy(entry, p) for p in pairs], axis=1), styles[entry["cell"]], entry["cell"])
    axes.plot(pairs, [1 / p for p in pairs], color="0.4", ls="--", lw=0.7)
    axes.annotate("dashed: one of the values shown, at random", (pairs[0], 0.04), fontsize=6, color="0.3")
    axes.set(xscale="log", ylim=(0, 1.05), xlabel="pairs in the sequence", ylabel="share of answers right")
    axes.set_xticks(pairs, [str(p) for p in pairs])
    axes.minorticks_off()


def by_place(axes: Axes, record: Record, size: int) -> None:
    """Share of right answers for each symbol in turn."""
    places, styles = np.arange(1, SYMBOLS + 1), looks(record["config"]["cells"])
    for entry in (e for e in entries(record, "copy") if e["bytes"] == size):
        curves(axes, places, np.asarray(entry["answers"]["symbols"], float), styles[entry["cell"]], entry["cell"])
    plots.level(axes, guessing=1 / KINDS)
    axes.set(ylim=(0, 1.05), xlabel="place of the symbol", ylabel="share of answers right", xticks=places)
