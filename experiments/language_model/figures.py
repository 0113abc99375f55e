"""The figure of `experiments.language_model`: a passage with its surprises, bits by model, learning, and words."""

from __future__ import annotations

import textwrap
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from experiments import plots
from experiments.lab import Record
from experiments.language_model.judging import NAMED, bits, cells, counted, middle, rival, spells, winner
from recurrax.palette import look

LINE, LINES = 72, 5  # characters of a line of the passage, and lines at most
MOST = 8.0  # bits, from which on the colour stays
COUNTED = "#888888"


def draw(record: Record) -> Figure:
    """The passage above; below it bits by model, learning curves, and the surprise by place in the word."""
    figure = plt.figure(figsize=(10.5, 6.2), layout="constrained")
    axes = figure.subplot_mosaic([["a", "a", "a"], ["b", "c", "d"]], height_ratios=[1, 1.25])
    passage(axes["a"], figure, record)
    by_model(axes["b"], record)
    learning(axes["c"], record)
    by_place(axes["d"], record)
    plots.takeaway(figure, takeaway(record))
    return figure


def takeaway(record: Record) -> str:
    """A sentence on the best model."""
    best, (name, value) = winner(record), rival(record)
    mine = middle(record, best)
    if mine < value:
        return f"The {best} predicts the Bible better than counting: {mine:.2f} bits a character, {name} {value:.2f}"
    return f"After minutes of training {name} is still ahead: {value:.2f} bits a character, the {best} {mine:.2f}"


def passage(axes: Axes, figure: Figure, record: Record) -> None:
    """Every character of a passage on a ground whose colour is its surprise."""
    entry = record["results"][winner(record)]
    text, surprise = entry["passage"].replace("\n", " "), np.asarray(entry["surprise"], float)
    lines = broken(text)
    colors = plt.get_cmap("YlOrRd")
    for y, places in enumerate(lines):
        for x, place in enumerate(places):
            share = min(surprise[place] / MOST, 1.0)  # the integer 1 would be the second colour
            axes.add_patch(Rectangle((x, -y - 0.5), 1, 0.94, color=colors(share), lw=0))
            axes.text(x + 0.5, -y, text[place], ha="center", va="center", family="monospace", fontsize=9,
                      color="white" if share > 0.7 else "black")  # fmt: skip
    axes.set(xlim=(0, LINE), ylim=(-len(lines) + 0.4, 0.6), xticks=[], yticks=[])
    axes.set_xlabel("one square a character, from left to right and from line to line")
    axes.spines[:].set_visible(False)
    shown = plt.cm.ScalarMappable(Normalize(0, MOST), colors)
    bar = figure.colorbar(shown, ax=axes, fraction=0.02, pad=0.01, extend="max")
    bar.set_label("surprise, bits")
    name = NAMED[winner(record)]
    axes.set_title(f"a  What surprises the {name}: a passage of the test; the darker, the less expected")


def broken(text: str) -> list[list[int]]:
    """The places of the characters of every line, broken at spaces."""
    lines, at = [], 0
    for line in textwrap.wrap(text, LINE)[:LINES]:
        begin = text.index(line[:10], at)
        lines.append(list(range(begin, min(begin + len(line) + 1, len(text), begin + LINE))))
        at = begin + len(line)
    return lines


def by_model(axes: Axes, record: Record) -> None:
    """Test bits: a dot for every seed, and for everything that counts or compresses."""
    rows: list[tuple[float, str, list[float], Any]] = [
        (value, name, [value], {"color": COUNTED, "marker": "D"})
        for name, value in counted(record).items()
        if name not in ("all characters equally likely", "unigram")
    ]
    for cell in cells(record):
        style = look(cell)
        marks = {"color": style["color"], "marker": style["marker"]}
        rows.append((middle(record, cell), cell, list(bits(record, cell)), marks))
    rows.sort(key=lambda row: -row[0])
    for y, (value, name, values, style) in enumerate(rows):
        axes.hlines(y, 0, value, color=style["color"], lw=0.8, alpha=0.5)
        axes.plot(values, [y] * len(values), ls="", ms=4, mfc="none" if name in NAMED else COUNTED, **style)
        axes.annotate(f"{value:.2f}", (max(values), y), (6, 0), textcoords="offset points", va="center", fontsize=7)
    axes.set_yticks(range(len(rows)), [name for _, name, *_ in rows])
    low = min(min(values) for _, _, values, _ in rows)
    axes.set(xlabel="test bits a character", xlim=(max(low - 0.3, 0), max(value for value, *_ in rows) + 0.4))
    axes.set_title("b  Bits by model, every seed")


def learning(axes: Axes, record: Record) -> None:
    """Validation bits over the updates, beside the n-grams'."""
    highest = 0.0
    for cell in cells(record):
        entry, style = record["results"][cell], look(cell)
        steps, found = np.asarray(entry["steps"])[1:], np.asarray(entry["bits"], float)[:, 1:]
        seen = steps * record["config"]["batch_size"] * record["config"]["window"] / 1e6
        axes.plot(seen, found.T, color=style["color"], lw=0.4, alpha=0.4)
        axes.plot(seen, np.median(found, axis=0), **style, markevery=0.2, label=cell)
        highest = max(highest, float(np.nanmax(found)))
    grams = record["results"]["n-grams"]
    for k, value in zip(grams["orders"][2:], grams["validation"][2:], strict=True):
        if value < highest + 0.2 and k != 5:
            axes.axhline(value, color="0.4", ls="--", lw=0.7)
            axes.annotate(f"{k}-gram", (0.68, value), (0, 2), xycoords=("axes fraction", "data"), fontsize=6,
                          textcoords="offset points", ha="center", color="0.3")  # fmt: skip
    axes.legend(loc="upper right", bbox_to_anchor=(1, 0.9), frameon=True, edgecolor="none", framealpha=1)
    axes.set(xlabel="millions of characters read in training", ylabel="validation bits a character")
    best = winner(record)
    lowest = float(np.median(np.nanmin(np.asarray(record["results"][best]["bits"], float), axis=1)))
    passed = [k for k, value in zip(grams["orders"], grams["validation"], strict=True) if lowest < value]
    axes.set_title(f"c  The {best} passes the {passed[-1]}-gram" if passed[1:] else "c  Learning")


def by_place(axes: Axes, record: Record) -> None:
    """The mean surprise of the first letter of a word, of the second, and so on."""
    grams, best = record["results"]["n-grams"], winner(record)
    for name, label in ((best, best), ("n-grams", f"{grams['orders'][-1]}-gram")):
        values = np.asarray(record["results"][name]["by_place"], float)
        style = look(best) if name == best else {"color": COUNTED, "marker": "D", "ms": 4, "lw": 1.4, "ls": "--"}
        axes.plot(1 + np.arange(len(values)), values, label=label, **style)
    axes.set(xlabel="letter of the word", ylabel="mean surprise, bits", ylim=(0, None))
    axes.set_xticks(1 + np.arange(len(values)))
    axes.legend()
    mine, theirs = (np.asarray(record["results"][name]["by_place"], float) for name in (best, "n-grams"))
    told = f"The {best} guesses words, the n-gram spells" if spells(mine, theirs) else "Surprise by letter of the word"
    axes.set_title(f"d  {told}")
