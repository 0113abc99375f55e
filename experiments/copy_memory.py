"""Which cells copy symbols after a delay, how long a delay, and after how many updates?

    python -m experiments.copy_memory                              # 2 idle CPU cores, about half an hour
    python -m experiments.copy_memory --cells LSTM-chrono --tasks martens2011:100
    python -m experiments.copy_memory --preset tallec2018          # a GPU; so is lezcano2019
    python -m experiments.copy_memory --help

Two tasks, each at several delays: five-bit copy (martens2011), solved where more than 99% of whole sequences have no
wrong step, and ten-symbol copy (arjovsky2016), solved where at least 99% of the recalled symbols are right. The
learning rate is chosen for each cell from the same grid, with seeds that are not reported; then every cell has the same
budget (see `experiments.tuning`). A run that does not solve its task counts as one that would need longer.

Presets, and the published results to compare them with:

    default      five bits at delays 2, 10 and 30, ten symbols at 2 and 5; 64 units
    tallec2018   ten symbols, delay 500, 128 units: the chrono LSTM beside the standard one, Tallec & Ollivier (2018)
    lezcano2019  ten symbols, delay 1000, 190 units, batches of 128: Lezcano-Casado & Martinez-Rubio (2019)
"""

from __future__ import annotations

import dataclasses
import functools
import math
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments import baseline, lab, plots, tuning
from experiments.baseline import Published, Row
from experiments.lab import Record
from recurrax.palette import look
from recurrax.tasks import Copy

NAMES = {"martens2011": "five-bit copy", "arjovsky2016": "ten-symbol copy"}  # for other variants: copy


@dataclasses.dataclass(frozen=True)
class Config(tuning.Protocol):
    """Cells and initialisations on the copy task; the defaults take about half an hour on two idle CPU cores."""

    tasks: tuple[str, ...] = ("martens2011:2", "martens2011:10", "martens2011:30", "arjovsky2016:2", "arjovsky2016:5")
    """Copy tasks, VARIANT:DELAY: the published definition, and the blank steps between symbols and recall."""
    hidden: int = 64
    """Units of every cell (H)."""
    steps: int = 3000
    """Updates of each reported seed at most, the same for every cell."""

    def __post_init__(self) -> None:
        """Raises ValueError also where a task is not VARIANT:DELAY."""
        super().__post_init__()
        if not all(name.partition(":")[2].isdecimal() for name in self.tasks):
            self.refuse("tasks", f"VARIANT:DELAY, of the variants {', '.join(Copy.VARIANTS)}, e.g. martens2011:20")


TALLEC = Config(
    cells=("LSTM-fb1", "LSTM-chrono"), hidden=128, tasks=("arjovsky2016:500",), learning_rate=(1e-3, 3e-3),
    steps=20_000, grid_steps=2000,
)  # fmt: skip
PRESETS = {
    "default": Config(),
    "smoke": Config(
        cells=("LSTM-chrono",), hidden=4, tasks=("martens2011:2", "arjovsky2016:2"),
        learning_rate=(1e-3, 1e-2), grid_steps=10, seeds=(10, 11), steps=20, batch_size=4, chunk=10, held_out=16,
    ),
    "accelerator": TALLEC,
    "tallec2018": TALLEC,
    "lezcano2019": Config(
        cells=("RNN", "IRNN", "GRU", "LSTM-chrono"), hidden=190, tasks=("arjovsky2016:1000",),
        learning_rate=(2e-4, 1e-3, 3e-3), steps=4000, batch_size=128, held_out=256,
    ),
}  # fmt: skip
TABLE_1 = "Bai, Kolter & Koltun (2018), table 1"
PUBLISHED = {
    ("arjovsky2016", 500, "LSTM-chrono"): Published(
        "solved, the standard LSTM stays at chance", "Tallec & Ollivier (2018), figure, 128 units", "recalled"
    ),
    ("bai2018", 1000, "RNN"): Published("0.0202", TABLE_1, "primary"),
    ("bai2018", 1000, "GRU"): Published("0.0197", TABLE_1, "primary"),
    ("bai2018", 1000, "LSTM-fb1"): Published("0.0204", TABLE_1, "primary"),
}


def parts(config: Config) -> dict[str, Any]:
    """Every cell on every task."""
    named = {name: name.split(":") for name in config.tasks}
    tasks = {name: Copy(int(delay), variant) for name, (variant, delay) in named.items()}
    return {
        f"{name} {cell}": functools.partial(measure, config, task, cell)
        for name, task in tasks.items()
        for cell in config.cells
    }


def measure(config: Config, task: Copy, cell: str) -> dict[str, Any]:
    """A cell on a task."""
    title = f"{NAMES.get(task.variant, 'copy')}, delay {task.delay} ({task.variant})"
    return {"variant": task.variant, "delay": task.delay, **tuning.tune_and_train(config, title, task, cell)}


def baseline_rows(record: Record) -> list[Row]:
    """The rows of the baseline table."""
    return [
        tuning.row(
            entry,
            baseline.command(
                record, PRESETS, {"cells": [entry["cell"]], "tasks": [f"{entry['variant']}:{entry['delay']}"]}
            ),
            "test cross entropy",
            PUBLISHED.get((entry["variant"], entry["delay"], entry["cell"])),
            right(entry),
        )
        for entry in record["results"].values()
    ]


def right(entry: Any) -> str:
    """The share of the test that each run has right: median and range over the runs, by the criterion's measure."""
    shares = np.nan_to_num(np.asarray(entry["test_accuracy"], float))  # a run that diverged has nothing right
    low, middle, high = (f"{100 * f(shares):.0f}" for f in (np.min, np.median, np.max))
    what = "whole sequences" if "sequences" in entry["criterion"] else "symbols"
    return f"{what} right: {middle}%" + (f" ({low} to {high})" if low != high else "")


def by_variant(record: Record) -> dict[str, dict[str, list[Any]]]:
    """The entries of every variant by cell, shortest delay first."""
    found: dict[str, dict[str, list[Any]]] = {}
    for entry in sorted(record["results"].values(), key=lambda entry: entry["delay"]):
        found.setdefault(entry["variant"], {cell: [] for cell in record["config"]["cells"]})
        found[entry["variant"]][entry["cell"]].append(entry)
    return {variant: found[variant] for variant in dict.fromkeys(e["variant"] for e in record["results"].values())}


def solved(entry: Any) -> float:
    """Share of the reported seeds that meet the criterion."""
    return float(np.mean(np.asarray(entry["solved_at"]) >= 0))


def counted(entry: Any) -> str:
    """Seeds that meet the criterion, of how many."""
    at = np.asarray(entry["solved_at"])
    return f"{np.sum(at >= 0)}/{len(at)}"


def longest(entries: list[Any]) -> int:
    """The longest delay at which at least half of the seeds of a cell meet the criterion; 0 where there is none."""
    return max((entry["delay"] for entry in entries if solved(entry) >= 0.5), default=0)


def page(record: Record) -> list[Any]:
    """Title, findings and tables."""
    rows = baseline_rows(record)
    text = (
        "Guessing gets one symbol of eight right on ten-symbol copy, and one whole sequence of 32 on five-bit copy. In "
        "the titles of the figure a cell solves a delay where at least half of its seeds do."
    )
    return [
        "Which cells copy symbols after a delay, and how long a delay?",
        [line for variant, cells in by_variant(record).items() for line in findings(variant, cells)],
        tuning.method(record["config"], text),
        *tuning.tables(record, rows),
    ]


def findings(variant: str, cells: dict[str, list[Any]]) -> list[str]:
    """The findings on a variant as sentences, made from the numbers."""
    first = next(iter(cells.values()))
    budget, name = first[0]["budget"], f"{NAMES.get(variant, 'copy')} ({variant})".capitalize()
    reach = ", ".join(f"{cell} {longest(entries) or 'none'}" for cell, entries in cells.items())
    lines = [f"{name}, longest delay that at least half of the seeds solve within {budget} updates: {reach}."]
    delays = ", ".join(str(entry["delay"]) for entry in first)
    counts = "; ".join(f"{cell} {', '.join(map(counted, entries))}" for cell, entries in cells.items())
    lines.append(f"{name}, seeds that solve a delay of {delays}: {counts}.")
    times = "; ".join(
        f"{cell} {', '.join(shown(e) for e in entries)}" for cell, entries in cells.items() if any(map(solved, entries))
    )
    return [*lines, f"{name}, median number of updates to the criterion: {times}."] if times else lines


def median(entry: Any) -> float:
    """Median number of updates to the criterion, infinite where the budget ends before it."""
    return baseline.median_time(entry["solved_at"], entry["budget"])[0]


def shown(entry: Any) -> str:
    """The same in words."""
    return f"{median(entry):.0f}" if math.isfinite(median(entry)) else f"> {entry['budget']}"


def draw(record: Record) -> Figure:
    """For each variant, against the delay: above the share of seeds that solve it, below the updates they need."""
    variants = by_variant(record)
    figure, axes = plots.panels(2, len(variants), 4.2, 2.7, sharey="row")
    for (above, below), (variant, cells) in zip(axes.T, variants.items(), strict=True):
        name, delays = NAMES.get(variant, variant), [entry["delay"] for entry in next(iter(cells.values()))]
        able = sum(longest(entries) == delays[-1] for entries in cells.values())
        share(above, cells)
        above.set_title(f"{name}: most seeds of {able} of {len(cells)} cells solve delay {delays[-1]}")
        updates(below, cells)
        above.set_xticks(delays)
        below.set_xticks(delays)
        below.set_title(f"{name}: median updates (hollow: over budget)")
    plots.legend_below(figure, axes[0, 0])
    return figure


def share(axes: Axes, cells: dict[str, list[Any]]) -> None:
    """Share of seeds that meet the criterion against the delay."""
    for number, (cell, entries) in enumerate(cells.items()):
        lift = 0.012 * (number - (len(cells) - 1) / 2)  # beside each other, not on top
        axes.plot([e["delay"] for e in entries], [solved(e) + lift for e in entries], **look(cell), label=cell)
    axes.set(xlabel="delay", ylabel="share of seeds solved", ylim=(-0.06, 1.06))


def updates(axes: Axes, cells: dict[str, list[Any]]) -> None:
    """Median number of updates to the criterion against the delay, hollow at the budget where it ends before; seeds."""
    for cell, entries in cells.items():
        style: dict[str, Any] = look(cell)
        hollow: dict[str, Any] = style | {"ls": "", "mfc": "none"}
        delays, middle = [e["delay"] for e in entries], np.asarray([median(e) for e in entries])
        axes.plot(delays, np.where(np.isfinite(middle), middle, np.nan), **style)
        axes.plot(delays, np.where(np.isfinite(middle), np.nan, entries[0]["budget"]), **hollow)
        for entry in entries:
            at = [step for step in entry["solved_at"] if step >= 0]
            axes.plot([entry["delay"]] * len(at), at, ".", color=style["color"], ms=3, alpha=0.5)
    plots.level(axes, budget=next(iter(cells.values()))[0]["budget"])
    axes.set(xlabel="delay", ylabel="updates to the criterion", yscale="log")


if __name__ == "__main__":
    lab.run(__name__)
