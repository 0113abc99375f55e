"""The figure: a prompt and what the network hears in it, the error rates, and the vowels."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments import plots
from experiments.lab import Record
from experiments.speech.corpus import LETTERS
from experiments.speech.pages import NAMED, NEAREST, NOTHING, cells, middle, rates, winner
from recurrax.palette import COLORS, look

SHOWN = {"LSTM": "LSTM\nboth directions", "GRU": "GRU\nboth directions", "forward LSTM": "LSTM\nforward only",
         NEAREST: "nearest\nutterance", NOTHING: "nothing\nwritten"}  # fmt: skip


def draw(record: Record) -> Figure:
    """Left: a prompt and its letters in time; right: error rates and the vowels."""
    figure, axes = plots.panels(2, 2, 4.8, 2.9)
    first = cells(record)[0]
    entry = record["results"][f"{first} fold {record['config']['tested'][0]}"]["example"]
    sound(axes[0, 0], entry, record)
    letters(axes[1, 0], entry, record, first.removeprefix("forward "))
    bars(axes[0, 1], record)
    vowels(axes[1, 1], record)
    best = winner(record)
    plots.takeaway(
        figure,
        f"After eight minutes of speech, {NAMED[best]} gets {middle(record, best):.0%} of the letters of new texts "
        f"wrong, the nearest utterance {middle(record, NEAREST):.0%}; by words it is {middle(record, best, True):.0%} "
        f"and {middle(record, NEAREST, True):.0%}",
    )
    return figure


def sound(axes: Axes, entry: Any, record: Record) -> None:
    """The log-mel features over time."""
    energy = np.asarray(entry["log_mel"], float).T
    axes.imshow(energy, origin="lower", aspect="auto", cmap="magma", extent=(0, energy.shape[1] / 100, 0, len(energy)))
    axes.set(xlabel="seconds", ylabel="mel band", xlim=(0, energy.shape[1] / 100))
    axes.set_title(f"a  The sound of “{entry['text']}”")


def letters(axes: Axes, entry: Any, record: Record, name: str) -> None:
    """The probability of each letter over time; a letter is named where it is written."""
    y = np.asarray(entry["posteriors"], float)
    seconds = (np.arange(len(y)) + 0.5) * record["config"]["stack"] / 100
    axes.fill_between(seconds, y[:, 0], color="0.92", lw=0, label="blank")
    path = y.argmax(axis=1)
    named = dict.fromkeys(label for label in path if label)
    for number, label in enumerate(named):
        color = COLORS[1:][number % (len(COLORS) - 1)]
        axes.plot(seconds, y[:, label], color=color, lw=1)
        axes.fill_between(seconds, y[:, label], color=color, alpha=0.25, lw=0)
    for step, label in enumerate(path):
        if label and (step == 0 or path[step - 1] != label):
            height = min(y[step, label] + 0.03, 1.03)
            axes.text(seconds[step], height, LETTERS[label - 1].replace(" ", "␣"), ha="center", fontsize=8)
    axes.set(xlabel="seconds", ylabel="probability", xlim=(0, len(y) * record["config"]["stack"] / 100), ylim=(0, 1.18))
    axes.text(0.995, 0.9, "grey: blank", transform=axes.transAxes, ha="right", fontsize=6, color="0.4")
    axes.set_title(f"b  The {name} writes “{entry['written']}”")


def bars(axes: Axes, record: Record) -> None:
    """Error rates of letters and words with their intervals."""
    names = [*cells(record), NEAREST, NOTHING]
    for place, name in enumerate(names):
        color = look(name.removeprefix("forward "))["color"] if name in cells(record) else "0.6"
        for words, shift in ((False, -0.2), (True, 0.2)):
            seeds, (low, high) = rates(record, name, words)
            value = float(np.median(seeds))
            style: dict[str, Any] = {"color": color, "alpha": 0.45 if words else 1.0}
            axes.bar(place + shift, value, 0.38, **style)
            axes.vlines(place + shift, low, high, color="0.2", lw=0.8)
            axes.text(place + shift, max(high, value) + 0.02, f"{value:.2f}", ha="center", fontsize=6)
    axes.set_xticks(range(len(names)), [SHOWN[name] for name in names], fontsize=6)
    axes.set(xlabel="who writes", ylabel="error rate", ylim=(0, 1.2))
    axes.set_title("c  Errors in unheard texts: letters (full), words (pale)")


def vowels(axes: Axes, record: Record) -> None:
    """Test accuracy of every seed beside the baselines."""
    chosen = record["config"]["vowel_cells"]
    values = {cell: np.asarray(record["results"][f"vowels {cell}"]["accuracy"], float) for cell in chosen}
    for place, (cell, accuracy) in enumerate(values.items()):
        style: dict[str, Any] = look(cell) | {"ls": "", "mfc": "none"}
        axes.plot(place + np.linspace(-0.15, 0.15, len(accuracy)), accuracy, **style)
    base = record["results"]["vowel baselines"]
    higher, lower = sorted(("nearest", "logistic"), key=lambda name: -base[name])
    names = {"nearest": "nearest utterance (DTW)", "logistic": "linear classifier of the mean frame"}
    for name, offset in ((higher, 2), (lower, -8)):
        axes.axhline(base[name], color="0.4", ls="--", lw=0.7)
        axes.annotate(
            f"{names[name]} {base[name]:.3f}", (1, base[name]), (-2, offset), xycoords=("axes fraction", "data"),
            textcoords="offset points", ha="right", fontsize=6,
        )  # fmt: skip
    lowest = min(base["nearest"], base["logistic"], *(value.min() for value in values.values()))
    axes.set_xticks(range(len(values)), list(values))
    axes.set(xlabel="cell", ylabel="test accuracy of every seed")
    axes.set(xlim=(-0.5, len(values) + 0.5), ylim=(max(lowest - 0.02, 0), 1.0))
    above = [cell for cell, accuracy in values.items() if accuracy.min() > base[higher]]
    said = f"{' and '.join(above)} above both baselines" if above else "no network above both baselines"
    axes.set_title(f"d  Who said the vowel? {said[0].upper()}{said[1:]}")
