"""The page, the table and the figure of `recurrax train`, computed from the record alone."""

from __future__ import annotations

import itertools
import textwrap
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from recurrax.palette import DASHES, looks
from recurrax.report import censored, footer, markdown_table, solved, write

Record = dict[str, Any]
NUMBERS = ("learning rate", "clip norm", "test loss")


def publish(record: Record, folder: Path) -> None:
    """Writes the page and the figure of a record beside it."""
    write(folder / f"{record['hash']}.md", document(record))
    draw(record).savefig(folder / f"{record['hash']}.png", dpi=160)


def document(record: Record) -> str:
    """Title, finding, figure, table and origin in Markdown."""
    sections = [
        f"# {caption(record)}",
        f"{finding(record)}\n\n![figure]({record['hash']}.png)",
        explanation(record),
        markdown_table(rows(record)),
        footer(record),
    ]
    return "\n\n".join(section.strip() for section in sections) + "\n"


def caption(record: Record) -> str:
    """The task in a line."""
    config = record["config"]
    return f"{config['task']}, length {config['length']} ({record['results']['variant']})"


def finding(record: Record) -> str:
    """A sentence on the cells that solved the task at their best point of the grid."""
    counts = {}
    for name, entry in record["results"]["runs"].items():
        at = np.asarray(entry["solved_at"])
        best = max((at[chosen] for fit, _, chosen in points(record) if fit == name), key=lambda at: np.sum(at >= 0))
        counts[label(record, name)] = (int(np.sum(best >= 0)), len(best))
    by = [f"{name} ({k} of {n} seeds)" for name, (k, n) in counts.items() if k]
    if by and all(k in (0, n) for k, n in counts.values()):
        by = [name for name, (k, _) in counts.items() if k]
    every = "" if not by or "(" in by[0] else " with every seed"
    without = [name for name, (k, _) in counts.items() if not k]
    if not by:
        return f"Not solved by {_list(without, 'or')}."
    return f"Solved by {_list(by, 'and')}{every}" + (f", not by {_list(without, 'or')}." if without else ".")


def explanation(record: Record) -> str:
    """The explanation of the table."""
    config, results = record["config"], record["results"]
    fixed = ", ".join(f"{key.replace('_', ' ')} {value:g}" for key, value in settings(record, fixed=True).items())
    text = (
        f"Adam{fixed and f' with {fixed}'}, at most {config['steps']} updates of batch size {config['batch_size']}, "
        f"{config['precision']}, engine {config['backend']}. Solved means: {results['criterion']}. The table gives k/n "
        "seeds with the exact 95% interval, and the median and range of the updates to the criterion, where seeds that "
        "did not meet it count as longer than the budget. The test loss is that of each run's best model on new "
        f"examples, median over seeds; chance is {results['chance_level']:.4f}. Seeds: "
        f"{', '.join(map(str, config['seeds']))}."
    )
    return textwrap.fill(text, 110)


def rows(record: Record) -> list[dict[str, str]]:
    """One row for each cell, size and point of the grid."""
    names = settings(record)
    return [row(label(record, name), entry, chosen, names) for name, entry, chosen in points(record)]


def summary(record: Record) -> list[dict[str, str]]:
    """`rows` for a terminal, without the intervals."""
    return [line | {"solved": line["solved"].partition(" ")[0]} for line in rows(record)]


def settings(record: Record, fixed: bool = False) -> dict[str, Any]:
    """The settings of the grid with several values, or those with a single value."""
    found: dict[str, set[float]] = {}
    for entry in record["results"]["runs"].values():
        for key, values in entry["settings"].items():
            found.setdefault(key, set()).update(values)
    return {key: min(values) for key, values in found.items() if (len(values) == 1) == fixed}


def points(record: Record) -> list[tuple[str, Any, np.ndarray]]:
    """Every fit at every point of its grid: name, entry, and the runs of the point."""
    found = []
    for name, entry in record["results"]["runs"].items():
        columns = {key: np.asarray(values) for key, values in entry["settings"].items()}
        for values in itertools.product(*(list(dict.fromkeys(column.tolist())) for column in columns.values())):
            chosen = [columns[key] == value for key, value in zip(columns, values, strict=True)]
            found.append((name, entry, np.all(chosen, axis=0) if chosen else np.ones(len(entry["seeds"]), bool)))
    return found


def row(name: str, entry: Any, runs: np.ndarray, names: Any) -> dict[str, str]:
    """The seeds of one cell, size and point of the grid."""
    at, diverged = np.asarray(entry["solved_at"])[runs], np.asarray(entry["diverged_at"])[runs]
    losses = np.asarray(entry["test_loss"], float)[runs]
    return {
        "cell": name,
        **{key.replace("_", " "): f"{np.asarray(entry['settings'][key])[runs][0]:g}" for key in names},
        "solved": solved(at),
        "updates to criterion": censored(at, int(entry["steps"][-1])),
        "test loss": f"{np.nanmedian(losses):.4f}" if np.isfinite(losses).any() else "not finite",
        "diverged": f"{np.sum(diverged >= 0)}/{len(at)}",
    }


def label(record: Record, name: str) -> str:
    """The name of a fit, without its size if there is only one size."""
    return name if len(record["config"]["hidden"]) > 1 else name.partition(" ")[0]


def draw(record: Record) -> Figure:
    """Draws the test loss of every run along the grid, and the learning curves at each cell's best point."""
    figure = Figure(figsize=(8.4, 3.8), layout="constrained")
    left, right = figure.subplots(1, 2)
    runs = record["results"]["runs"]
    styles = looks(dict.fromkeys(entry["cell"] for entry in runs.values()))
    for index, (name, entry) in enumerate(runs.items()):
        size = record["config"]["hidden"].index(entry["hidden"])
        style = styles[entry["cell"]] | ({"ls": DASHES[size % len(DASHES)]} if size else {})
        along_grid(left, record, name, style, index - (len(runs) - 1) / 2)
        learning(right, label(record, name), entry, best_runs(record, name), style)
    for axes in (left, right):
        axes.axhline(record["results"]["chance_level"], color="0.4", ls="--", lw=0.8, label="chance")
        axes.set_yscale("log")
        axes.spines[["top", "right"]].set_visible(False)
        axes.title.set_fontsize(9)
    left.set_title("a  Test loss of every run", loc="left", fontsize=9)
    right.set_title("b  Learning at each cell's best setting", loc="left", fontsize=9)
    right.set(xlabel="updates", ylabel="held-out loss")
    figure.suptitle(f"{caption(record)}. {finding(record)}", fontsize=10, x=0.01, ha="left", wrap=True)
    figure.legend(*right.get_legend_handles_labels(), loc="outside lower center", ncols=7, fontsize=8, frameon=False)
    return figure


def along_grid(axes: Axes, record: Record, name: str, style: Any, place: float) -> None:
    """Draws each run as a point; the x axis is the first setting with several values, if there is one."""
    entry, names = record["results"]["runs"][name], list(settings(record))
    loss = np.asarray(entry["test_loss"], float)
    x = np.asarray(entry["settings"][names[0]], float) if names else np.zeros(len(loss))
    positive = bool(names) and x.min() > 0
    width = np.ptp(x) or 1.0
    x = x * 1.06**place if positive else x + 0.02 * width * place  # side by side
    axes.plot(x, loss, style["marker"], color=style["color"], ms=4, alpha=0.7, lw=0)
    axes.set(xlabel=names[0].replace("_", " ") if names else "", ylabel="test loss")
    if positive:
        axes.set_xscale("log")
    if names:
        ticks = list(dict.fromkeys(entry["settings"][names[0]]))
        axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
        axes.set_xticks([], minor=True)
    if not names:
        axes.set_xticks([])


def learning(axes: Axes, name: str, entry: Any, runs: np.ndarray, style: Any) -> None:
    """Draws a thin line for every seed and a thick line for the median."""
    steps, curves = np.asarray(entry["steps"]), np.asarray(entry["loss"], float)[runs]
    axes.plot(steps, curves.T, color=style["color"], lw=0.5, alpha=0.5)
    some = np.isfinite(curves).any(axis=0)
    axes.plot(steps[some], np.nanmedian(curves[:, some], axis=0), **style, markevery=0.2, label=name)


def best_runs(record: Record, name: str) -> np.ndarray:
    """The runs at the point of the grid with the lowest median of the best held-out losses."""
    candidates = [(entry, runs) for fit, entry, runs in points(record) if fit == name]
    losses = [np.asarray(entry["loss"], float)[runs] for entry, runs in candidates]
    lowest = [np.median(np.where(np.isfinite(loss), loss, np.inf).min(axis=1)) for loss in losses]
    return candidates[int(np.argmin(lowest))][1]


def _list(names: list[str], word: str) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} {word} {names[-1]}"
