"""The protocol of the baseline table: how a cell is tuned and trained on a task, the same for every cell.

1. Grid: every learning rate makes ``grid_steps`` updates with seeds that are used for nothing else. The rate at which
   most of them meet the task's criterion is taken; among equals the one that needs the fewest updates, then the one
   with the lowest held-out loss (both by the lower median: of two seeds, the better one).
2. Report: the other seeds train at that rate until all of them meet the criterion, for at most ``steps`` updates. All
   of them are reported, and each is tested once on examples that influenced no choice.
"""

from __future__ import annotations

import bisect
import dataclasses
import textwrap
from collections.abc import Callable, Sequence
from typing import Any, Literal

import jax
import numpy as np
from flax import nnx

from experiments import baseline, lab
from experiments.baseline import Published, Row
from experiments.baselines.transformer import Transformer
from experiments.compare import best_runs
from experiments.models import CELLS, builder, clipped_adam
from recurrax.initializers import Chrono
from recurrax.layers import Block
from recurrax.report import markdown_table
from recurrax.tasks import MemoryTask, Task
from recurrax.training import History, Plan

STARTS = {
    "RNN": "orthogonal U",
    "IRNN": "U = I, W from N(0, 0.001^2)",
    "GRU": "b_z = 0",
    "GRU-chrono": "b_z = log U[1, T-1]",
    "LSTM-fb0": "b_f = 0",
    "LSTM-fb1": "b_f = 1",
    "LSTM-chrono": "b_f = log U[1, T-1] = -b_i",
    "LRU": "ring 0.9 to 0.999",
    "MinGRU": "b_z = 0",
    "MinGRU-chrono": "b_z = log U[1, T-1]",
    "MinLSTM": "b_f = 1",
    "MinLSTM-chrono": "b_f = log U[1, T-1] = -b_i",
    "OrthogonalRNN": "orthogonal U, kept so",
    "LEM": "default",
    "sLSTM": "default",
    "HGRN": "default",
    "Mamba": "default",
    "GatedDeltaNet": "default",
    "LSTM-block": "b_f = 1, in a block",
    "LRU-block": "ring 0.9 to 0.999, in a block",
    "Mamba-block": "default, in a block",
    "GatedDeltaNet-block": "default, in a block",
    "Transformer": "rotary positions, two blocks",
}  # cell and how it starts; T is the length of the sequence, a block is `recurrax.layers.Block`
FAMILIES = ("OrthogonalRNN", "LEM", "sLSTM", "HGRN", "LRU-block", "Mamba-block", "GatedDeltaNet-block")  # one of each
MOST_UNITS, UNITS = 4096, 4  # units of any cell; for a Transformer a multiple


@dataclasses.dataclass(frozen=True)
class Protocol(lab.Settings):
    """The common settings of every experiment that follows the protocol."""

    cells: tuple[Literal[*STARTS], ...] = ("RNN", "IRNN", "GRU", "LSTM-fb0", "LSTM-fb1", "LSTM-chrono")  # type: ignore[valid-type]
    """Cells with their initialisation, one after another."""
    hidden: int = 32
    """Units of every cell (H)."""
    parameters: int = 0
    """If above 0, each cell has as many units as make about that many parameters, in place of --hidden."""
    learning_rate: tuple[float, ...] = (1e-3, 3e-3, 1e-2, 3e-2)
    """Adam's learning rates, the same grid for every cell; the norm of the gradient is clipped at 1."""
    grid_seeds: tuple[int, ...] = (0, 1)
    """Seeds that choose the learning rate and are not reported."""
    grid_steps: int = 500
    """Updates of each of them."""
    seeds: tuple[int, ...] = (10, 11, 12, 13, 14)
    """Seeds that are reported, all of them."""
    steps: int = 10_000
    """Updates of each of them at most, the same for every cell."""
    batch_size: int = 32
    """Fresh examples of an update."""
    chunk: int = 100
    """Updates between evaluations; steps to criterion are known to this precision."""
    held_out: int = 512
    """Examples of an evaluation, and of the test."""

    def __post_init__(self) -> None:
        """Raises ValueError also where a seed of the grid is reported, or `Plan` refuses a number."""
        super().__post_init__()
        if set(self.seeds) & set(self.grid_seeds):
            self.refuse("grid_seeds", f"seeds none of which is reported; reported are {self.seeds}")
        grid_plan(self)
        report_plan(self, self.learning_rate[0])


def tune_and_train(
    config: Protocol,
    title: str,
    task: MemoryTask,
    cell: str,
    judged: Task | None = None,
    look: Callable[[History], dict[str, Any]] = lambda history: {},
    to_the_end: bool = False,
) -> dict[str, Any]:
    """The part of a record for a cell on a task: the grid, and every reported seed.

    Args:
        config: the settings of the protocol.
        title: of the task, in the table.
        task: for which the model is built.
        cell: of `STARTS`.
        judged: the same task with a stricter criterion; by default the criterion is the task's own.
        look: what else is kept of the reported runs.
        to_the_end: all reported seeds make all updates, for a task whose loss counts more than its criterion.
    """
    judged = judged or task
    units = units_of(config, task, cell)
    build = start(cell, task, units)
    grid = lab.train(config, f"{title} {cell} grid", build, judged, clipped_adam, grid_plan(config))
    found = {
        **{name: getattr(grid, name) for name in ("seeds", "settings", "solved_at", "diverged_at")},
        "test_loss": np.nanmin(grid.loss, axis=1),  # held-out; the test influences no choice
    }
    rate = float(grid.settings["learning_rate"][best_runs(found)][0])
    history = lab.train(config, f"{title} {cell}", build, judged, clipped_adam, report_plan(config, rate, to_the_end))
    found["lowest_loss"] = found.pop("test_loss")
    return {
        "task": title,
        "cell": cell,
        "units": units,
        "parameters": count(build),
        "learning_rate": rate,
        "grid": {**found, "seconds": grid.seconds + grid.compile_seconds},
        **lab.outcome(history),
        "budget": config.steps,
        "chance_level": task.chance_level(),
        "criterion": judged.criterion,
        **look(history),
    }


def grid_plan(config: Protocol) -> Plan:
    """The plan of the seeds that choose the learning rate; all of them make all updates."""
    chunk = min(config.chunk, config.grid_steps)
    return lab.plan(config, steps=config.grid_steps, chunk=chunk, seeds=config.grid_seeds, stop_when_solved=False)


def report_plan(config: Protocol, rate: float, to_the_end: bool = False) -> Plan:
    """The plan of the seeds that are reported; by default it ends when all of them have met the criterion."""
    return lab.plan(config, sweep={"learning_rate": (rate,)}, stop_when_solved=not to_the_end)


def start(name: str, task: MemoryTask, units: int) -> Callable[..., Any]:
    """``build(key) -> model`` of a cell with an initialisation, by its name in `STARTS`."""
    if name == "Transformer":
        features = max(UNITS, units // UNITS * UNITS)
        return lambda key: Transformer(task.in_features, features, task.out_features, heads=2, rngs=nnx.Rngs(key))
    cell, _, initialization = name.partition("-")
    if initialization == "block":
        return lambda key: Blocked(cell, task, units, nnx.Rngs(key))
    bias = "update_bias" if cell.endswith("GRU") else "forget_bias"
    options: dict[str, Any] = {
        "": {},
        "fb0": {bias: 0.0},
        "fb1": {bias: 1.0},
        "chrono": {bias: Chrono(task.sequence_length)} if initialization == "chrono" else {},
    }[initialization]
    return builder(cell, task, units, **options)


class Blocked(nnx.Module):
    """A block around a cell, as modern cells are used, between a Linear to as many features as units and a head."""

    def __init__(self, cell: str, task: MemoryTask, units: int, rngs: nnx.Rngs):
        self.embed = nnx.Linear(task.in_features, units, rngs=rngs)
        self.block = Block(CELLS[cell](units, units, rngs=rngs), rngs=rngs)
        self.head = nnx.Linear(units, task.out_features, rngs=rngs)

    def __call__(self, xs: jax.Array) -> jax.Array:
        """``[*batch, T, D]`` to ``[*batch, T, O]``."""
        return self.head(self.block(self.embed(xs)))


def units_of(config: Protocol, task: MemoryTask, cell: str) -> int:
    """H: that of the settings, or the largest with no more than their number of parameters, at least 1."""
    if not config.parameters:
        return config.hidden
    sizes = range(1, MOST_UNITS + 1)
    return max(1, bisect.bisect_right(sizes, config.parameters, key=lambda units: count(start(cell, task, units))))


def count(build: Callable[..., Any]) -> int:
    """The number of parameters of a model, without computing them."""
    return sum(leaf.size for leaf in jax.tree.leaves(jax.eval_shape(build, jax.random.key(0))))


def row(entry: Any, command: str, measure: str, published: Published | None, remark: str) -> Row:
    """The row of what `tune_and_train` left in a record, with the test loss of every run."""
    return Row(
        task=entry["task"],
        criterion=entry["criterion"],
        chance=entry["chance_level"],
        cell=entry["cell"],
        initialization=STARTS[entry["cell"]],
        parameters=entry["parameters"],
        tuned=baseline.rate_of(entry["learning_rate"], entry["grid"]["settings"]["learning_rate"]),
        measure=measure,
        values=entry["test_loss"],
        solved_at=entry["solved_at"],
        budget=entry["budget"],
        seconds=entry["seconds"] + entry["compile_seconds"] + entry["grid"]["seconds"],
        command=command,
        remark=remark,
        published=published,
    )


def method(config: dict[str, Any], text: str) -> str:
    """The method of the rows of a record, followed by the experiment's own text."""
    grid_seeds, seeds = (", ".join(map(str, config[name])) for name in ("grid_seeds", "seeds"))
    choose = f"Seeds {grid_seeds} choose" if len(config["grid_seeds"]) > 1 else f"Seed {grid_seeds} chooses"
    said = (
        f"Every cell is trained by Adam on fresh batches of {config['batch_size']}, with the norm of the gradient "
        f"clipped at 1. {choose} its learning rate from the grid after {config['grid_steps']} "
        f"updates; seeds {seeds} are reported, all of them. The best model of each run is tested once, on "
        f"{config['held_out']} examples that influenced no choice. {text}"
    )
    return textwrap.fill(said, 118)


def tables(record: dict[str, Any], rows: Sequence[Row]) -> list[str]:
    """A table for each task, and the grid: every learning rate of every cell, with the seeds that chose among them."""
    parts = [
        (f"## {group[0].task}", baseline.heading(group[0]), baseline.table(group)) for group in baseline.groups(rows)
    ]
    lines = [line for entry in record["results"].values() for line in grid_lines(entry)]
    return [*(text for part in parts for text in part), "## Grid", markdown_table(lines)]


def grid_lines(entry: Any) -> list[dict[str, str]]:
    """A line for each learning rate of a cell."""
    found, lines = entry["grid"], []
    rates = np.asarray(found["settings"]["learning_rate"])
    for rate in dict.fromkeys(rates.tolist()):
        at, losses = (np.asarray(found[name], float)[rates == rate] for name in ("solved_at", "lowest_loss"))
        lines.append(
            {
                "task": entry["task"],
                "cell": entry["cell"],
                "learning rate": f"{rate:g}" + (" (chosen)" if rate == entry["learning_rate"] else ""),
                "solved": f"{np.sum(at >= 0)}/{len(at)}",
                "lowest held-out loss": baseline.shown_values(losses.tolist()),
            }
        )
    return lines
