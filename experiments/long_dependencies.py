"""Which cells learn which long dependencies, all on one grid and one budget?

    python -m experiments.long_dependencies                     # three cells on three tasks, a few minutes
    python -m experiments.long_dependencies --preset table      # nine cells: adding, copy, order and noisy recall
    python -m experiments.long_dependencies --preset longer     # nine cells: adding over 200 and 400 steps
    python -m experiments.long_dependencies --preset families   # the tasks of the table for a cell of each other family
    python -m experiments.long_dependencies --preset symbols    # eleven: associations, induction, parity, counting
    python -m experiments.long_dependencies --preset music      # every cell: JSB chorales, which need --data-dir
    python -m experiments.long_dependencies --help

One layer of each cell with a linear head; "-block" is the same cell in `recurrax.layers.Block`, as modern cells are
used. The learning rate of each is chosen from one grid with seeds that are not reported, then all have one budget (see
`experiments.tuning`); a run that has not solved its task by then is censored. Digits are in
`experiments.sequential_digits`.

Expected: GRU and LSTM solve adding and five-bit copy, the plain RNN fails at adding, and no cell learns parity within
the budget of the first look.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import numpy as np
from matplotlib.figure import Figure

from experiments import baseline, lab, plots, tuning
from experiments.baseline import Published, Row
from experiments.lab import Record
from experiments.tuning import FAMILIES, STARTS
from recurrax import datasets, tasks
from recurrax.palette import looks
from recurrax.report import listed, markdown_table
from recurrax.tasks import MemoryTask

# The tasks by the name of the flag: heading of the table, and task.
QUESTIONS: dict[str, tuple[str, Callable[[], MemoryTask]]] = {
    "adding-100": ("adding, T = 100", lambda: tasks.Adding(100)),
    "adding-200": ("adding, T = 200", lambda: tasks.Adding(200)),
    "adding-400": ("adding, T = 400", lambda: tasks.Adding(400)),
    "five-bits": ("five-bit copy, delay 10", lambda: tasks.Copy(10, "martens2011")),
    "ten-symbols": ("ten-symbol copy, delay 5", lambda: tasks.Copy(5, "arjovsky2016")),
    "order": ("order of two symbols, T = 50", lambda: tasks.TemporalOrder(50, "pascanu2013")),
    "noisy-recall": ("a bit among noise, delay 100", lambda: tasks.Recall(100, noise=0.5)),
    "associations": ("associative recall, 4 pairs", lambda: tasks.AssociativeRecall(24, pairs=4, vocabulary=16)),
    "induction": ("induction, 32 tokens", lambda: tasks.InductionHeads(32)),
    "parity": ("parity, up to 20 bits", lambda: tasks.Parity(20)),
    "counting": ("counting modulo 5, 20 moves", lambda: tasks.ModularCounting(20)),
}  # fmt: skip
MUSIC = "JSB chorales"
MEMORY = ("adding-100", "five-bits", "ten-symbols", "order", "noisy-recall")
LONGER = ("adding-200", "adding-400")
SYMBOLS = ("associations", "induction", "parity", "counting")
NAMES = (*QUESTIONS, "music")
# The cells that most papers compare, with the starts of the LSTM.
COMPARED = ("RNN", "IRNN", "GRU", "LSTM-fb0", "LSTM-fb1", "LSTM-chrono", "LRU", "MinGRU", "MinLSTM")
BAI = "Bai, Kolter & Koltun (2018), table 1"
PUBLISHED = {
    ("music", "LSTM-fb1"): Published("8.45 nats", BAI, "primary"),
    ("music", "GRU"): Published("8.43 nats", BAI, "primary"),
    ("music", "RNN"): Published("8.91 nats", BAI, "primary"),
}


@dataclasses.dataclass(frozen=True)
class Config(tuning.Protocol):
    """Cells on tasks of long memory; the defaults are a first look."""

    tasks: tuple[Literal[*NAMES], ...] = ("adding-100", "five-bits", "parity")  # type: ignore[valid-type]
    """The tasks by name, which the page explains."""
    data_dir: Path | None = dataclasses.field(default=None, metadata={"setting": False})
    """Where JSB_Chorales.mat lies, for the task music; `recurrax.datasets.load` says where else it looks."""
    cells: tuple[Literal[*STARTS], ...] = ("RNN", "GRU", "LSTM-fb1")  # type: ignore[valid-type]
    """Cells with their initialisation, or in a block, one after another."""
    learning_rate: tuple[float, ...] = (1e-3, 3e-3, 1e-2)
    """Adam's learning rates, the same grid for every cell; the norm of the gradient is clipped at 1."""
    grid_seeds: tuple[int, ...] = (0,)
    """Seeds that choose the learning rate and are not reported."""
    grid_steps: int = 400
    """Updates of each of them."""
    seeds: tuple[int, ...] = (10, 11, 12)
    """Seeds that are reported, all of them."""
    steps: int = 2000
    """Updates of each of them at most, the same for every cell."""


EVERY = (*COMPARED, *FAMILIES)
PRESETS = {
    "default": Config(),
    "table": Config(cells=COMPARED, tasks=MEMORY),
    "longer": Config(cells=COMPARED, tasks=LONGER),
    "families": Config(cells=FAMILIES, tasks=MEMORY),
    "symbols": Config(cells=(*COMPARED, "sLSTM", "GatedDeltaNet-block"), tasks=SYMBOLS),
    "music": Config(cells=EVERY, tasks=("music",), hidden=128, batch_size=16, steps=1000, chunk=50),
    "smoke": Config(cells=("LRU-block",), tasks=("parity",), hidden=4, learning_rate=(1e-2, 1e-3), grid_steps=2,
                    seeds=(10, 11), steps=4, batch_size=4, chunk=2, held_out=8),
    "accelerator": Config(cells=EVERY, tasks=(*MEMORY, *LONGER, *SYMBOLS), hidden=128, grid_steps=2000,
                          seeds=(10, 11, 12, 13, 14), steps=50_000, chunk=500, batch_size=128),
}  # fmt: skip


def parts(config: Config) -> dict[str, Any]:
    """Every cell on every task."""
    asked = {name: question(config, name) for name in config.tasks}
    return {
        f"{name} {cell}": functools.partial(measure, config, name, title, task, cell)
        for name, (title, task) in asked.items()
        for cell in config.cells
    }


def question(config: Config, name: str) -> tuple[str, MemoryTask]:
    """Heading and task of a name."""
    if name == "music":
        return MUSIC, tasks.PolyphonicMusic(datasets.load("jsb_chorales", config.data_dir))
    title, make = QUESTIONS[name]
    return title, make()


def measure(config: Config, name: str, title: str, task: MemoryTask, cell: str) -> dict[str, Any]:
    """A cell on a task; the record keeps no curves."""
    found = tuning.tune_and_train(config, title, task, cell, to_the_end=name == "music")
    return {"name": name, **{key: value for key, value in found.items() if key not in ("loss", "accuracy", "steps")}}


def baseline_rows(record: Record) -> list[Row]:
    """The rows of the baseline table."""
    return [row_of(record, entry) for entry in record["results"].values()]


def row_of(record: Record, entry: Any) -> Row:
    """The row of a cell on a task."""
    chosen = {"cells": [entry["cell"]], "tasks": [entry["name"]]}
    command = baseline.command(record, PRESETS, chosen)
    return tuning.row(entry, command, "test loss", PUBLISHED.get((entry["name"], entry["cell"])), "")


def page(record: Record) -> list[Any]:
    """Title, findings and tables."""
    rows = baseline_rows(record)
    text = "The runs of a cell end when all of them have met the criterion of their task, which stands above the table."
    if "music" in record["config"]["tasks"]:
        text += (
            " On the chorales batches are drawn from the training part, and every run makes all updates, because the "
            "loss counts there."
        )
    return [
        "Which cells learn which long dependencies?",
        findings(record),
        tuning.method(record["config"], text),
        "## All cells and tasks\n\nSeeds that solve a task, and the median of their updates.",
        markdown_table(leaderboard(record)),
        *tuning.tables(record, rows),
    ]


def findings(record: Record) -> list[str]:
    """The cells that solve most tasks, and for every task the cells that solve it with every seed."""
    cells, asked = record["config"]["cells"], [name for name in record["config"]["tasks"] if name != "music"]
    chorales = [ranking(record)] if "music" in record["config"]["tasks"] else []
    if not asked:
        return chorales
    score = {cell: sum(share(entry_of(record, name, cell)) == 1 for name in asked) for cell in cells}
    most = max(score.values())
    leaders = listed([cell for cell in cells if score[cell] == most])
    verb = "solves" if leaders in cells else "solve"
    lines = [f"{leaders} {verb} the most tasks with every seed: {most} of {len(asked)}."]
    for name in asked:
        title = entry_of(record, name, cells[0])["task"]
        whole = [cell for cell in cells if share(entry_of(record, name, cell)) == 1]
        none = [cell for cell in cells if share(entry_of(record, name, cell)) == 0]
        done = f"every seed of {listed(whole)} solves it" if whole else "no cell solves it with every seed"
        rest = f"; {listed(none)} never {'does' if len(none) == 1 else 'do'}" if none else ""
        if len(none) == len(cells):
            done, rest = "no cell solves it with any seed", ""
        lines.append(f"{title[0].upper()}{title[1:]}: {done}{rest}.")
    return lines + chorales


def ranking(record: Record) -> str:
    """The cells by their test loss on the chorales, beside the published numbers."""
    losses = {cell: np.median(tested(entry_of(record, "music", cell))) for cell in record["config"]["cells"]}
    ranked = sorted(losses, key=losses.__getitem__)
    shown = ", ".join(f"{cell} {losses[cell]:.2f}" for cell in ranked)
    known = ", ".join(
        f"{cell.partition('-')[0]} {published.result}"
        for (name, cell), published in PUBLISHED.items()
        if name == "music"
    )
    return (
        f"JSB chorales: {ranked[0]} has the lowest test loss, {losses[ranked[0]]:.2f} nats a frame. Medians of all "
        f"cells: {shown}. Published by Bai et al. (2018): {known}."
    )


def tested(entry: Any) -> np.ndarray:
    """The test loss of every seed, infinite where it never was a number: ``[S]``."""
    losses = np.asarray(entry["test_loss"], float)
    return np.where(np.isfinite(losses), losses, np.inf)


def entry_of(record: Record, name: str, cell: str) -> Any:
    """The results of a cell on a task."""
    return record["results"][f"{name} {cell}"]


def share(entry: Any) -> float:
    """The share of seeds that solved the task."""
    return float(np.mean(np.asarray(entry["solved_at"]) >= 0))


def leaderboard(record: Record) -> list[dict[str, str]]:
    """A line for each cell: seeds that solved each task with the median of their updates."""
    table = []
    for cell in record["config"]["cells"]:
        line = {"cell": cell}
        for name in record["config"]["tasks"]:
            entry = entry_of(record, name, cell)
            at = entry["solved_at"]
            middle, *_ = baseline.median_time(at, entry["budget"])
            line[entry["task"]] = f"{np.sum(np.asarray(at) >= 0)}/{len(at)}" + (
                f" ({middle:.0f})" if np.isfinite(middle) else ""
            )
        table.append(line)
    return table


def draw(record: Record) -> Figure:
    """A map of cells and tasks: the share of seeds that solve a task as colour, the median of updates as a number."""
    cells, asked = record["config"]["cells"], record["config"]["tasks"]
    if asked == ["music"]:
        return draw_music(record)
    shares = np.array([[share(entry_of(record, name, cell)) for name in asked] for cell in cells])
    figure, axes = plots.panels(1, 1, max(6.0, 2.4 + 0.75 * len(asked)), 2.2 + 0.21 * len(cells))
    panel = axes[0, 0]
    image = panel.imshow(shares, cmap="YlGnBu", vmin=0, vmax=1, aspect="auto")
    for (row, column), value in np.ndenumerate(shares):
        entry = entry_of(record, asked[column], cells[row])
        middle, *_ = baseline.median_time(entry["solved_at"], entry["budget"])
        number = int(np.sum(np.asarray(entry["solved_at"]) >= 0))
        few = f"{number} seed{'s' * (number > 1)}" if number else ""
        text = f"{middle:.0f}" if np.isfinite(middle) else few
        panel.text(column, row, text, ha="center", va="center", fontsize=6, color="w" if value > 0.6 else "k")
    panel.set_yticks(range(len(cells)), cells)
    panel.set_xticks(range(len(asked)), [entry_of(record, name, cells[0])["task"] for name in asked], rotation=30,
                     ha="right")  # fmt: skip
    panel.set(xlabel="task", ylabel="cell")
    panel.set_title("updates until half of the seeds solve a task; empty: none does")
    figure.colorbar(image, ax=panel, label="share of seeds that solve it")
    plots.takeaway(figure, findings(record)[0])
    return figure


def draw_music(record: Record) -> Figure:
    """The test loss of every seed on the chorales, the best cell on top, beside the published losses."""
    losses = {cell: tested(entry_of(record, "music", cell)) for cell in record["config"]["cells"]}
    ranked = sorted(losses, key=lambda cell: -np.median(losses[cell]))
    figure, axes = plots.panels(1, 1, 6.5, 1.2 + 0.21 * len(ranked))
    panel = axes[0, 0]
    for place, (cell, style) in enumerate(looks(ranked).items()):
        panel.plot(losses[cell], [place] * len(losses[cell]), **style | {"ls": "", "ms": 4})
    known = {
        cell: float(published.result.split()[0]) for (name, cell), published in PUBLISHED.items() if name == "music"
    }
    for cell, loss in known.items():
        panel.axvline(loss, color="0.5", ls="--", lw=0.8)
        left = loss == min(known.values())  # the two lowest are close to each other
        at = {"xycoords": ("data", "axes fraction"), "textcoords": "offset points", "ha": "right" if left else "left"}
        panel.annotate(cell.partition("-")[0], (loss, 0.01), (-2 if left else 2, 0), fontsize=6, **at)
    panel.set(yticks=range(len(ranked)), yticklabels=ranked, xlabel="test loss, nats a frame (dashed: published)")
    low, high = (np.nanmin(np.concatenate(list(losses.values()))), chance_of(record))
    panel.set_xlim(low - 0.2, min(high, low + 1))
    plots.takeaway(figure, ranking(record).partition(". Medians")[0])
    return figure


def chance_of(record: Record) -> float:
    """The loss of the best guess without memory."""
    return float(entry_of(record, "music", record["config"]["cells"][0])["chance_level"])


if __name__ == "__main__":
    lab.run(__name__)
