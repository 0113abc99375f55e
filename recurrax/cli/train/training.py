"""Trains all cells and sizes one after another, writes the record after each, and then the page and the figure."""

from __future__ import annotations

import shutil
import time
from pathlib import Path
from typing import Any, NamedTuple

from recurrax import report
from recurrax.cli import models
from recurrax.cli.command import say, say_where
from recurrax.cli.tables import show
from recurrax.cli.train import page
from recurrax.tasks import MemoryTask
from recurrax.training import History, Output, Plan, adam, first_devices, fit
from recurrax.training.mesh import barrier, is_main

NAME = "train"
OUTCOME = (
    "seeds", "settings", "steps", "loss", "accuracy", "solved_at", "diverged_at", "best_at", "test_loss",
    "test_accuracy", "seconds", "compile_seconds", "resumed_at",
)  # fmt: skip
QUEUE = ("cells", "hidden", "steps")  # settings that do not affect the folder of one cell and size


class Job(NamedTuple):
    """All seeds and settings of one cell and size."""

    cell: str
    hidden: int
    build: Any
    plan: Plan
    output: Output

    @property
    def name(self) -> str:
        """Its name in the record."""
        return f"{self.cell} H={self.hidden}"


def prepare(config: Any) -> tuple[MemoryTask, list[Job]]:
    """The task and all jobs on it.

    Raises:
        ValueError: a setting is invalid; nothing has been compiled.
    """
    task, swept = models.task_of(config), models.sweep_of(config, config.cells)
    report.check_folder(config.out)
    first_devices(config.devices)  # raises if there are fewer devices
    sweep = {"learning_rate": config.learning_rate, "clip_norm": config.clip_norm} | swept
    names = ("steps", "batch_size", "chunk", "held_out", "seeds", "freeze_solved", "precision", "devices")
    plan = Plan(**{name: getattr(config, name) for name in names}, sweep=sweep)
    jobs = []
    for cell in config.cells:
        for hidden in config.hidden:
            build = models.builder(cell, task, hidden, config.backend, tuple(swept))
            models.check(build, task, tuple(swept), f"--cells {cell} --hidden {hidden} --backend {config.backend}")
            jobs.append(Job(cell, hidden, build, plan, output(config, cell, hidden)))
    return task, jobs


def output(config: Any, cell: str, hidden: int) -> Output:
    """The output of the runs of one cell and size."""
    return Output(
        folder_of(config, cell, hidden), f"{cell}, {hidden} units", config.checkpoint_every, config.keep,
        config.tensorboard, config={"cell": cell, "hidden": hidden, "optimizer": "adam"},
    )  # fmt: skip


def folder_of(config: Any, cell: str, hidden: int) -> Path:
    """The folder of one cell and size for checkpoints and metrics; it does not depend on other jobs."""
    settings = {name: value for name, value in report.settings(config).items() if name not in QUEUE}
    given = {name: value for name, value in settings.items() if value not in (None, [])}  # new flags do not change it
    return Path(config.out).expanduser() / f"{cell}-H{hidden}-{report.digest(given)}"


def main(config: Any, prepared: tuple[MemoryTask, list[Job]]) -> dict[str, Any]:
    """Trains, prints the table, and writes record, page and figure; returns the record."""
    task, jobs = prepared
    began, entry = time.perf_counter(), {}
    results: dict[str, Any] = {
        "runs": {},
        "chance_level": task.chance_level(),
        "criterion": task.criterion,
        "variant": task.variant,
    }
    out = Path(config.out).expanduser()
    for number, job in enumerate(jobs, start=1):
        if is_main() and len(jobs) > 1:
            say(f"[{number}/{len(jobs)}] {job.cell}, {job.hidden} units: {runs(job.plan)}")
        results["runs"][job.name] = outcome(config, job, task)
        entry = report.record(NAME, config, results, time.perf_counter() - began, complete=number == len(jobs))
        if is_main():
            report.save(out, entry)
    if is_main():
        page.publish(entry, out)
        show(page.summary(entry), page.caption(entry), right=page.NUMBERS)
        print(page.finding(entry), end="\n\n")
        for job in jobs:
            print(Path(job.output.folder or "").resolve())
        say_where(out, entry["hash"])
    return entry


def runs(plan: Plan) -> str:
    """The number of parallel runs as text."""
    points = 1
    for values in plan.sweep.values():
        points *= len(values)
    return f"{len(plan.seeds)} seeds x {points} settings, at most {plan.steps} updates"


def outcome(config: Any, job: Job, task: MemoryTask) -> dict[str, Any]:
    """The part of the record for one cell and size, with every run."""
    history = train(config, job, task)
    found = {name: getattr(history, name) for name in OUTCOME}
    return {"cell": job.cell, "hidden": job.hidden, **found}


def train(config: Any, job: Job, task: MemoryTask) -> History:
    """All seeds and settings of one cell and size, in its own folder."""
    if config.fresh and is_main():
        shutil.rmtree(Path(job.output.folder or ""), ignore_errors=True)
    barrier("fresh")
    return fit(job.build, task, adam, job.plan, job.output)
