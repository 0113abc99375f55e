"""The figure: a function of the record and nothing else."""

from __future__ import annotations

from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from experiments.compare import best_runs, marked, updates
from experiments.gates.tables import of_task, tasks
from experiments.style import STYLE
from recurrax.report import censored

# Okabe & Ito's colours, told apart without colour by marker.
GATES = {
    "f": ("#0072B2", "o"),
    "i": ("#D55E00", "s"),
    "o": ("#009E73", "^"),
    "z": ("#000000", "D"),
    "r": ("#CC79A7", "v"),
}


def draw(record: dict[str, Any]) -> Figure:
    """For each task: how the cells learn it, how open their gates are in its phases, and how saturated their units."""
    names = tasks(record)
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(len(names), 3, figsize=(11, 3.3 * len(names)), layout="constrained", squeeze=False)
        for row, task in zip(axes, names, strict=True):
            entries = of_task(record, task)
            learning(row[0], task, entries)
            openness(row[1], task, entries)
            saturation(row[2], task, entries)
        handles = [
            Line2D([], [], color=color, marker=marker, lw=0, ms=5, label=f"gate {name}")
            for name, (color, marker) in GATES.items()
        ]
        figure.legend(handles=handles, loc="outside lower center", ncols=len(handles))
    return figure


def learning(axes: Axes, task: str, entries: dict[str, Any]) -> None:
    """Test loss of every seed beside chance, filled where it met the criterion; below the cells the median updates."""
    labels = []
    for place, (cell, entry) in enumerate(entries.items()):
        chosen = best_runs(entry)
        at = updates(entry)[chosen]
        loss = np.asarray(entry["test_loss"], float)[chosen]
        x, met = place + np.linspace(-0.2, 0.2, len(at)), np.isfinite(at)
        axes.plot(x[met], loss[met], "o", color="k", ms=4)
        axes.plot(x[~met], loss[~met], "o", color="k", mfc="none", ms=4)
        labels.append(f"{cell}\n{censored(marked(at), int(entry['steps'][-1])).partition(' (')[0]}")
        axes.axhline(entry["chance_level"], color="0.5", lw=0.8, ls="--")
    axes.annotate("chance", (0.01, entry["chance_level"]), (0, 2), xycoords=("axes fraction", "data"),
                  textcoords="offset points", fontsize=6, color="0.3")  # fmt: skip
    axes.set_xticks(range(len(labels)), labels, fontsize=6, rotation=20)
    axes.set(title=f"{task}: every seed (filled: solved)", ylabel="test loss", yscale="log",
             xlabel="cell, median updates to criterion")  # fmt: skip


def openness(axes: Axes, task: str, entries: dict[str, Any]) -> None:
    """Mean activation of each gate in each phase, median and range over seeds, cell by cell."""
    phases = list(next(iter(next(iter(entries.values()))["gates"].values()))["mean"])
    for place, entry in enumerate(entries.values()):
        chosen = best_runs(entry)
        for number, (name, gate) in enumerate(entry["gates"].items()):
            color, marker = GATES[name]
            values = np.asarray([gate["mean"][phase] for phase in phases], float)[:, chosen]
            x = place + np.linspace(-0.3, 0.3, len(phases)) + 0.03 * number
            axes.vlines(x, values.min(axis=1), values.max(axis=1), color=color, lw=1)
            axes.plot(x, np.median(values, axis=1), "-", color=color, marker=marker, ms=4, lw=0.8)
    axes.set_xticks(range(len(entries)), list(entries), fontsize=6, rotation=20)
    axes.set(title=f"{task}: gates when {', '.join(phases)}", ylabel="mean activation", xlabel="cell, phases from left",
             ylim=(0, 1))  # fmt: skip


def saturation(axes: Axes, task: str, entries: dict[str, Any]) -> None:
    """Each unit of the LSTM and the GRU of the first seed: how often nearly open and nearly shut."""
    shown = [cell for cell in ("LSTM", "GRU") if cell in entries] or list(entries)[:1]
    for cell in shown:
        entry = entries[cell]
        first = int(np.flatnonzero(best_runs(entry))[0])
        for name, gate in entry["gates"].items():
            color, marker = GATES[name]
            axes.plot(gate["open_units"][first], gate["closed_units"][first], marker, color=color, ms=3.5, alpha=0.7,
                      mfc=color if cell == "LSTM" else "none", lw=0)  # fmt: skip
    axes.plot([0, 1], [1, 0], color="0.6", lw=0.8)
    which = f"{' (filled), '.join(shown)}{' (open)' if len(shown) > 1 else ''}"
    axes.set(title=f"{task}: units of {which}", xlim=(-0.03, 1.03), ylim=(-0.03, 1.03),
             xlabel="nearly open (share of steps)", ylabel="nearly shut (share of steps)")  # fmt: skip
