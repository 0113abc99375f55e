"""The figure: where the network looks while it writes a word, errors by length of the word, and all methods."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments import plots
from experiments.lab import Record
from experiments.pronunciation.pages import WINDOW, counted, middle, models, winner
from experiments.pronunciation.training import WAYS

COLORS = {"attention": "#0072B2", "no attention": "#56B4E9", WINDOW: "#E69F00"}
GRAMS = "#D55E00"


def draw(record: Record) -> Figure:
    """Above: two words and their alignments; below: errors by length, and all methods."""
    figure, axes = plots.panels(2, 2, 4.6, 3.1)
    shown = [row for entry in models(record).values() for row in entry["shown"] if row["looked"] and row["written"]]
    shown = (pick(shown, True) + pick(shown, False) + shown)[:2]
    for place, letter, row in zip(axes[0], "ab", shown, strict=False):
        alignment(place, row, letter)
    for place in axes[0][len(shown) :]:
        place.set_axis_off()
    lengths(axes[1, 0], record)
    bars(axes[1, 1], record)
    plots.takeaway(figure, takeaway(record))
    return figure


def takeaway(record: Record) -> str:
    """A sentence on the result of the figure."""
    found, (chosen, value) = models(record), counted(record)
    said = " and ".join(f"{middle(entry):.1f}% with {name}" for name, entry in found.items())
    said = said.replace("with no attention", "without")
    best = middle(found[winner(record)])
    if abs(best - value) < 0.5:
        verdict = "as good as"
    else:
        verdict = "better than" if best < value else "behind"
    return f"Phonemes wrong in unseen words: {said}; the best network is {verdict} {chosen} by EM at {value:.1f}%"


def pick(rows: list[Any], right: bool) -> list[Any]:
    """The first word that is written rightly, or wrongly."""
    return [row for row in rows if (row["written"] in row["answers"]) == right][:1]


def alignment(axes: Axes, row: Any, letter: str) -> None:
    """Attention's weights: letters to the right, phonemes downwards, the end last."""
    weights, sounds = np.asarray(row["looked"], float), [*row["written"].split(), "end"]
    axes.imshow(weights, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    axes.set_xticks(range(len(row["word"])), list(row["word"]), fontsize=9)
    axes.set_yticks(range(len(sounds)), sounds, fontsize=7)
    axes.tick_params(length=0)
    axes.spines[["top", "right"]].set_visible(True)
    right = "which is right" if row["written"] in row["answers"] else f"not {row['answers'][0]}"
    axes.set(xlabel="letter looked at", ylabel="phoneme written")
    axes.set_title(f"{letter}  “{row['word']}”, {right}")


def lengths(axes: Axes, record: Record) -> None:
    """Phoneme error rate by the length of the word."""
    chosen, _ = counted(record)
    methods = record["results"]["counting"]["methods"]
    rows = {f"LSTM, {name}": (values(entry), COLORS[name], "-") for name, entry in models(record).items()}
    rows[chosen] = (floats(methods[chosen]["by_length"])[None], GRAMS, "--")
    rows[WINDOW] = (floats(methods[WINDOW]["by_length"])[None], COLORS[WINDOW], ":")
    for name, (found, color, dash) in rows.items():
        x = 3 + np.arange(found.shape[1])
        axes.plot(x, np.median(found, axis=0), color=color, ls=dash, marker="o", ms=3, lw=1.4, label=name)
        if len(found) > 1:
            axes.fill_between(x, found.min(axis=0), found.max(axis=0), color=color, alpha=0.2, lw=0)
    axes.set(xlabel="letters of the word", ylabel="phonemes wrong, %", ylim=(0, None), xticks=range(3, 13))
    axes.legend()
    axes.set_title("c  Errors by length of the word (band: seeds)")


def values(entry: Any) -> np.ndarray:
    """Errors by length of every seed, ``[S, 10]``."""
    return np.stack([floats(one["by_length"]) for one in entry["judged"][WAYS[-1]]])


def floats(found: Any) -> np.ndarray:
    """Numbers, NaN where there are none."""
    return np.array([np.nan if value is None else value for value in found], float)


def bars(axes: Axes, record: Record) -> None:
    """Phonemes and words wrong of every method, the one with the fewest words wrong on top."""
    counting = record["results"]["counting"]
    rows = []
    for name, entry in models(record).items():
        per, wer = (middle(entry, rate=rate) for rate in ("PER", "WER"))
        rows.append((f"LSTM, {name}", per, wer, COLORS[name]))
    for name, one in counting["methods"].items():
        rows.append((name, one["PER"], one["WER"], COLORS.get(name, GRAMS if name == counting["chosen"] else "0.6")))
    rows.sort(key=lambda row: -row[2])
    for place, (_, per, wer, color) in enumerate(rows):
        axes.barh(place, wer, 0.72, color=color, alpha=0.4)
        axes.barh(place, per, 0.72, color=color)
        axes.text(wer + 1, place, f"{per:.1f} / {wer:.1f}", va="center", fontsize=7)
    axes.set_yticks(range(len(rows)), [row[0] for row in rows], fontsize=7)
    axes.set(xlabel="wrong, %: phonemes (full), words (pale)", xlim=(0, 118))
    axes.set_title("d  All methods, by the words that are wrong")
