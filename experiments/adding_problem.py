"""Which cells solve the adding problem, and after how many updates?

    python -m experiments.adding_problem                             # 2 CPU cores, about six minutes
    python -m experiments.adding_problem --cells LSTM-chrono --lengths 200
    python -m experiments.adding_problem --preset bai2018            # a GPU; so are keller2023 and the others
    python -m experiments.adding_problem --help

The learning rate is chosen for each cell from the same grid, with seeds that are not reported; then every cell has the
same budget (see `experiments.tuning`). By default a run solves the problem at a held-out error of 1e-3, a tenth of what
the variant itself asks for. A network that keeps one of the two values and guesses the other is at half of chance, 1/12
for the sum: this second plateau is reported as such and not as learning.

Presets, and the published results to compare them with:

    default           T = 100, 32 units; the tanh RNN and the IRNN of Le, Jaitly & Hinton (2015) at the LSTM's budget
    bai2018           T = 600, about 70,000 parameters, markers anywhere: Bai, Kolter & Koltun (2018), table 1
    keller2023        IRNN, T = 100 and 200: Keller et al. (2023)
    keller2023-chrono chrono LSTM, T = 400 and 1000, likewise
    lem2000           T = 2000, beside LEM, Rusch et al. (2022)

Keller et al. and Rusch et al. publish the updates to an error of 0.05. That is below the second plateau and no solution
yet: ours count the updates to the variant's own criterion, an error below 0.01, which a run meets later.
"""

from __future__ import annotations

import dataclasses
import functools
from typing import Any, Literal, final

import jax
import numpy as np
from matplotlib.figure import Figure

from experiments import baseline, lab, plots, tuning
from experiments.baseline import Published, Row
from experiments.lab import Record
from recurrax.report import listed
from recurrax.tasks import Adding, Example, Task


@dataclasses.dataclass(frozen=True)
class Config(tuning.Protocol):
    """Cells and initialisations on the adding problem; the defaults take about six minutes on two CPU cores."""

    lengths: tuple[int, ...] = (100,)
    """Sequence lengths T."""
    variant: Literal[*Adding.VARIANTS] = "arjovsky2016"  # type: ignore[valid-type]
    """Its published definition."""
    loss: float | None = 1e-3
    """Criterion: that of the variant and a held-out mean squared error below this; None: that of the variant alone."""
    steps: int = 5000
    """Updates of each reported seed at most, the same for every cell."""


@final
@dataclasses.dataclass(frozen=True)
class Stricter(Task):
    """A task that is solved where its own criterion is met and the held-out loss is below a threshold.

    Args:
        task: any.
        threshold: a loss.

    Raises:
        ValueError: the threshold is looser than the task's own criterion.
    """

    task: Adding
    threshold: float

    def __post_init__(self) -> None:
        just_below = np.nextafter(self.threshold, 0)
        if not self.task.success(just_below, 1.0):
            raise ValueError(
                f"loss={self.threshold}; allowed: no looser than the criterion of {self.task.variant}, "
                f"{self.task.criterion}. Change --loss; None asks for that criterion alone."
            )

    @property
    def criterion(self) -> str:
        """The threshold in words, and the task's own criterion where it is not a loss."""
        own = "" if self.task.success(0.0, 0.0) else f"{self.task.criterion} and "
        return f"{own}held-out loss < {self.threshold:.4g}"

    def sample(self, key: jax.Array) -> Example:
        """An example of the task."""
        return self.task.sample(key)

    def loss(self, outputs: jax.Array, example: Example) -> jax.Array:
        """The loss of the task."""
        return self.task.loss(outputs, example)

    def accuracy(self, outputs: jax.Array, example: Example) -> jax.Array:
        """The accuracy of the task."""
        return self.task.accuracy(outputs, example)

    def success(self, loss: Any, accuracy: Any) -> Any:
        """Whether both criteria are met; elementwise on arrays."""
        return (loss < self.threshold) & self.task.success(loss, accuracy)


BAI = Config(
    cells=("RNN", "GRU", "GRU-chrono", "LSTM-fb1", "LSTM-chrono"), lengths=(600,), variant="bai2018",
    parameters=70_000, learning_rate=(1e-3, 2e-3, 4e-3), steps=4000, grid_steps=1000,
)  # fmt: skip
PRESETS = {
    "default": Config(),
    "smoke": Config(
        cells=("RNN", "LSTM-chrono"), hidden=4, lengths=(8,), loss=None, learning_rate=(1e-3, 1e-2), grid_steps=10,
        seeds=(10, 11), steps=20, batch_size=4, chunk=10, held_out=16,
    ),
    "accelerator": BAI,
    "bai2018": BAI,
    "keller2023": Config(
        cells=("IRNN",), hidden=100, lengths=(100, 200), loss=None, learning_rate=(1e-4, 3e-4, 1e-3), steps=44_000,
        grid_steps=5000, chunk=500,
    ),
    "keller2023-chrono": Config(
        cells=("LSTM-chrono",), hidden=128, lengths=(400, 1000), loss=None, learning_rate=(1e-3, 3e-3, 1e-2),
        steps=3000,
    ),
    "lem2000": Config(
        cells=("GRU-chrono", "LSTM-chrono"), hidden=128, lengths=(2000,), loss=None, learning_rate=(1e-3, 3e-3),
        seeds=(10, 11, 12), steps=4000, batch_size=50, held_out=256,
    ),
}  # fmt: skip
TABLE_1 = "Bai, Kolter & Koltun (2018), table 1"
KELLER = "Keller et al. (2023), 100 units"
PUBLISHED = {
    ("arjovsky2016", 100, "IRNN"): Published("MSE 0.05 after 14k updates", KELLER, "primary"),
    ("arjovsky2016", 200, "IRNN"): Published("MSE 0.05 after 22k updates", KELLER, "primary"),
    ("arjovsky2016", 400, "IRNN"): Published("MSE 0.05 after 30k updates", KELLER, "primary"),
    ("arjovsky2016", 1000, "IRNN"): Published("not solved, MSE 0.16 after 60k updates", KELLER, "primary"),
    ("arjovsky2016", 2000, "LSTM-chrono"): Published(
        "LEM: MSE 0.05 after 1,900 updates", "Rusch et al. (2022), log in the repository, 128 units", "primary"
    ),
    ("bai2018", 600, "RNN"): Published("MSE 0.177", TABLE_1, "primary"),
    ("bai2018", 600, "GRU"): Published("MSE 5.3e-5", TABLE_1, "primary"),
    ("bai2018", 600, "LSTM-fb1"): Published("MSE 0.164", TABLE_1, "primary"),
}
ENDS = ("solved", "both values", "one value", "neither")  # how far a run came, best first


def parts(config: Config) -> dict[str, Any]:
    """Every cell at every length."""
    tasks = [Adding(length, config.variant) for length in config.lengths]
    judged = [task if config.loss is None else Stricter(task, config.loss) for task in tasks]
    return {
        f"T={length} {cell}": functools.partial(measure, config, length, task, judge, cell)
        for length, task, judge in zip(config.lengths, tasks, judged, strict=True)
        for cell in config.cells
    }


def measure(config: Config, length: int, task: Adding, judged: Task, cell: str) -> dict[str, Any]:
    """A cell at a length."""
    title = f"adding problem, T = {length} ({config.variant})"
    return {"length": length, **tuning.tune_and_train(config, title, task, cell, judged)}


def ends(entry: Any) -> dict[str, int]:
    """The number of runs at each of `ENDS`, by the test loss of their best model.

    Chance is what the variance of two values gives, and half of it what that of one gives: the best answer of a network
    that keeps one marked value X and knows nothing of the other. Between the two, and between one and none, the
    geometric mean divides: "one value" is a test loss from chance / (2 sqrt 2) to chance / sqrt 2.
    """
    chance = entry["chance_level"]
    found: dict[str, int] = dict.fromkeys(ENDS, 0)
    for solved_at, loss in zip(entry["solved_at"], entry["test_loss"], strict=True):
        if solved_at >= 0:
            found["solved"] += 1
        elif loss is None or loss > chance / 2**0.5:
            found["neither"] += 1
        else:
            found["one value" if loss > chance / 2**1.5 else "both values"] += 1
    return found


def baseline_rows(record: Record) -> list[Row]:
    """The rows of the baseline table."""
    return [
        tuning.row(
            entry,
            baseline.command(record, PRESETS, {"cells": [entry["cell"]], "lengths": [entry["length"]]}),
            "test MSE",
            PUBLISHED.get((record["config"]["variant"], entry["length"], entry["cell"])),
            ", ".join(f"{count} {end}" for end, count in ends(entry).items() if count and end != "solved"),
        )
        for entry in record["results"].values()
    ]


def page(record: Record) -> list[Any]:
    """Title, findings and tables."""
    rows = baseline_rows(record)
    text = (
        "The remarks say how far the unsolved runs came; *one value* is the second plateau, half of chance, where a "
        "network knows one of the two values. It is not a solution."
    )
    return [
        "Which cells solve the adding problem, and after how many updates?",
        [*map(found, baseline.groups(rows)), *plateaus(record)],
        tuning.method(record["config"], text),
        *tuning.tables(record, rows),
    ]


def found(rows: list[Row]) -> str:
    """The cells that solve a task with every seed, with some and with none; then the criterion."""
    count = {row.cell: int(np.sum(np.asarray(row.solved_at) >= 0)) for row in rows}
    every, some, none = [], [], []
    for row in sorted(rows, key=lambda row: baseline.median_time(row.solved_at, row.budget)[0]):
        group = none if not count[row.cell] else every if count[row.cell] == len(row.solved_at) else some
        group.append(row)
    parts = []
    if every:
        named = [f"{row.cell} ({baseline.median_time(row.solved_at, row.budget)[0]:.0f} updates)" for row in every]
        parts.append(f"every seed of {listed(named)} solves it")
    if some:
        parts.append(listed([f"{count[row.cell]} of {len(row.solved_at)} seeds of {row.cell}" for row in some]) + " do")
    if none:
        parts.append(f"no seed of {listed([row.cell for row in none], 'or')} does")
    task = rows[0].task.partition(" (")[0]
    return (
        f"{task[0].upper()}{task[1:]}: {', '.join(parts)}. Solved means {rows[0].criterion}, within {rows[0].budget:,} "
        "updates; the number of updates is the median."
    )


def plateaus(record: Record) -> list[str]:
    """The cells with seeds that end at the second plateau."""
    return [
        f"T = {entry['length']}: {count} of the {len(entry['solved_at'])} seeds of the {entry['cell']} "
        f"end{'s' * (count == 1)} at the second plateau, near {entry['chance_level'] / 2:.4f}, where a network knows "
        "one value of the two."
        for entry in record["results"].values()
        if (count := ends(entry)["one value"])
    ]


def draw(record: Record) -> Figure:
    """For each length: the learning curves between chance and the criterion, and who is there after how long."""
    config = record["config"]
    figure, axes = plots.panels(len(config["lengths"]), 2, 4.5, 3.4)
    for (left, right), length in zip(axes, config["lengths"], strict=True):
        shown = [entry for entry in record["results"].values() if entry["length"] == length]
        chance, reached = shown[0]["chance_level"], [e["cell"] for e in shown if min(e["solved_at"]) >= 0]
        plots.learning(left, shown)
        plots.level(left, guessing=chance, one_value=chance / 2)
        if config["loss"] is not None:
            plots.level(left, criterion=config["loss"])
        left.set(title=f"T = {length}: held-out loss of every seed, and median", ylabel="MSE")
        plots.unsolved(right, shown)
        right.set(title=f"{len(reached)} of {len(shown)} cells solve T = {length} with every seed")
    plots.legend_below(figure, axes[0, 0])
    return figure


if __name__ == "__main__":
    lab.run(__name__)
