"""The figure: where the network looks while it translates, BLEU by length of the verse, and all methods."""

from __future__ import annotations

import textwrap
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments import plots
from experiments.lab import Record
from experiments.translation.decoding import UNKNOWN, WAYS
from experiments.translation.pages import DICTIONARY, MEMORY, by_length, middle, models, simple, winner

COLORS = {"attention": "#0072B2", "no attention": "#56B4E9", DICTIONARY: "#D55E00", MEMORY: "#E69F00"}


def draw(record: Record) -> Figure:
    """Above: two verses and their alignments; below: BLEU by length, and all methods."""
    figure, axes = plots.panels(2, 2, 4.8, 3.2, gridspec_kw={"height_ratios": [1.35, 1]})
    looked = [one for entry in models(record).values() for one in entry["looked"] or () if one["english"]]
    looked.sort(key=lambda one: (one["english"].count(UNKNOWN), -len(one["english"])))
    for place, letter, one in zip(axes[0], "ab", looked, strict=False):
        alignment(place, one, letter)
    for place in axes[0][len(looked) :]:
        place.set_axis_off()
    lengths(axes[1, 0], record)
    bars(axes[1, 1], record)
    plots.takeaway(figure, takeaway(record))
    return figure


def takeaway(record: Record) -> str:
    """A sentence on the result of the figure."""
    found, base = models(record), simple(record)[DICTIONARY]["BLEU"]
    said = " and ".join(
        f"{middle(entry):.1f} {'with' if name == 'attention' else 'without'} attention" for name, entry in found.items()
    )
    best = middle(found[winner(record)])
    return (
        f"Spanish to English, BLEU of an LSTM: {said}; the dictionary of IBM's first model has {base:.1f} and is "
        f"{'behind' if best > base else 'ahead'}"
    )


def alignment(axes: Axes, one: Any, letter: str) -> None:
    """Attention's weights: Spanish words to the right, English ones downwards, the end last."""
    weights, english = np.asarray(one["weights"], float), [*one["english"], "end"]
    axes.imshow(weights, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    axes.set_xticks(range(len(one["spanish"])), one["spanish"], rotation=40, ha="right", rotation_mode="anchor")
    axes.set_yticks(range(len(english))[: len(weights)], english[: len(weights)])
    axes.tick_params(length=0, labelsize=7)
    axes.spines[["top", "right"]].set_visible(True)
    axes.set(xlabel="Spanish word looked at", ylabel="English word written")
    axes.set_title(textwrap.fill(f"{letter}  “{' '.join(one['english'])}”", 58))


def lengths(axes: Axes, record: Record) -> None:
    """BLEU by the length of the Spanish verse."""
    names = ["{}–{}".format(*pair) for pair in record["results"]["data"]["lengths"]]
    x = np.arange(len(names))
    for name, entry in models(record).items():
        rows = np.array([one["by_length"] for one in entry["judged"][WAYS[-1]]], float)
        axes.fill_between(x, rows.min(axis=0), rows.max(axis=0), color=COLORS[name], alpha=0.2, lw=0)
        axes.plot(x, by_length(entry), color=COLORS[name], marker="o", ms=4, label=f"LSTM, {name}")
    for name, dash in ((DICTIONARY, "--"), (MEMORY, ":")):
        axes.plot(x, np.array(simple(record)[name]["by_length"], float), color=COLORS[name], ls=dash, label=name)
    axes.set_xticks(x, names)
    axes.set(xlabel="words and signs of the Spanish verse", ylabel="BLEU", ylim=(0, None))
    low, high = axes.get_ylim()
    axes.set_ylim(low, high * 1.3)
    axes.legend(ncols=2, loc="upper right")
    axes.set_title("c  BLEU by length of the verse (band: seeds)")


def bars(axes: Axes, record: Record) -> None:
    """BLEU and chrF of every method, with the interval of BLEU."""
    rows = []
    for name, entry in models(record).items():
        inside = np.median([one["interval"] for one in entry["judged"][WAYS[-1]]], axis=0)
        rows.append((f"LSTM, {name}", middle(entry), middle(entry, score="chrF"), inside, COLORS[name]))
    for name, one in simple(record).items():
        rows.append((name, one["BLEU"], one["chrF"], one["interval"], COLORS.get(name, "0.6")))
    rows.sort(key=lambda row: row[1])
    for place, (_, value, letters, inside, color) in enumerate(rows):
        axes.barh(place, letters, 0.72, color=color, alpha=0.4)
        axes.barh(place, value, 0.72, color=color)
        axes.hlines(place, *inside, color="0.15", lw=1)
        axes.text(letters + 0.7, place, f"{value:.1f} / {letters:.1f}", va="center", fontsize=7)
    axes.set_yticks(range(len(rows)), [row[0] for row in rows], fontsize=7)
    axes.set(xlabel="BLEU (full, with 95% interval), chrF (pale)", xlim=(0, 1.2 * max(row[2] for row in rows)))
    axes.set_title("d  All methods, the best on top")
