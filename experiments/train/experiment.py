"""Trains every cell and size in turn, writes the record after each, and prints the table."""

from __future__ import annotations

import dataclasses
import shutil
import sys
import time
from pathlib import Path
from typing import Any

from experiments.models import builder, clipped_adam
from experiments.train import figure, tables
from experiments.train.config import Config
from recurrax import report
from recurrax.tasks import MemoryTask, make_task
from recurrax.training import History, Output, Plan, fit
from recurrax.training.mesh import is_main, together

NAME = "train"
FREE = ("cells", "hidden", "steps")  # of the config, what a single run's folder does not depend on


def prepare(config: Config) -> MemoryTask:
    """Everything that can be wrong with the settings, found before anything is compiled; gives the task."""
    for rate in config.sweep.learning_rate:
        for norm in config.sweep.clip_norm:
            clipped_adam(rate, clip_norm=norm)
    plan_of(config)
    output_of(config, config.cells[0], config.hidden[0])
    report.check_folder(config.out)
    return make_task(config.task, config.length, config.variant)


def main(config: Config, task: MemoryTask) -> dict[str, Any]:
    """Trains, prints the table, and writes record, table and figure; gives the record."""
    began, entry = time.perf_counter(), {}
    results: dict[str, Any] = {"runs": {}, "chance_level": task.chance_level(), "criterion": task.criterion}
    queue = [(cell, hidden) for cell in config.cells for hidden in config.hidden]
    for cell, hidden in queue:
        history = train(config, task, cell, hidden)
        results["runs"][f"{cell} H={hidden}"] = outcome(history)
        complete = len(results["runs"]) == len(queue)
        entry = report.record(NAME, config, results, time.perf_counter() - began, complete=complete)
        if is_main():
            report.save(config.out, entry)
    if is_main():
        print(render(entry, config.out))
        print(f"record, table and figure: {config.out}/{entry['hash']}.{{json,md,png}}", file=sys.stderr)
    return entry


def train(config: Config, task: MemoryTask, cell: str, hidden: int) -> History:
    """All seeds and settings of one cell and size, in its own folder."""
    if config.fresh and is_main():
        shutil.rmtree(folder_of(config, cell, hidden), ignore_errors=True)
    together("fresh")
    return fit(builder(cell, task, hidden), task, clipped_adam, plan_of(config), output_of(config, cell, hidden))


def output_of(config: Config, cell: str, hidden: int) -> Output:
    """What the runs of one cell and size show and write."""
    return Output(
        folder_of(config, cell, hidden), f"{cell} H={hidden}", config.checkpoint_every, config.keep, config.tensorboard,
        config={"cell": cell, "hidden": hidden, "optimizer": "adam"},
    )  # fmt: skip


def plan_of(config: Config) -> Plan:
    """The plan of each run; an empty tuple of the sweep leaves a setting at its default."""
    sweep = {name: values for name, values in dataclasses.asdict(config.sweep).items() if values}
    names = ("steps", "batch_size", "chunk", "held_out", "seeds", "freeze_solved", "precision", "devices")
    return Plan(**{name: getattr(config, name) for name in names}, sweep=sweep)


def folder_of(config: Config, cell: str, hidden: int) -> Path:
    """Where one cell and size keeps its checkpoints and metrics, whatever else is in the queue."""
    settings = {name: value for name, value in report.settings(config).items() if name not in FREE}
    return config.out / "runs" / f"{cell}-H{hidden}-{report.digest(settings)}"


def outcome(history: History) -> dict[str, Any]:
    """What the record keeps of a fit: every run."""
    names = (
        "seeds", "settings", "steps", "loss", "accuracy", "solved_at", "diverged_at", "best_at", "test_loss",
        "test_accuracy", "seconds", "compile_seconds", "resumed_at",
    )  # fmt: skip
    return {name: getattr(history, name) for name in names}


def render(record: dict[str, Any], folder: Path) -> str:
    """Writes the table and the figure of a record beside it; gives the table."""
    text = tables.document(record)
    report.write(folder / f"{record['hash']}.md", text)
    figure.save(record, folder / f"{record['hash']}.png")
    return text
