"""An experiment as named parts: each is recorded as soon as it is measured, and is not measured again after a crash."""

from __future__ import annotations

import re
import shutil
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")  # before pyplot: figures are written, not shown

import matplotlib.pyplot as plt
from matplotlib.figure import Figure

from recurrax import report
from recurrax.tasks import MemoryTask
from recurrax.training import History, Output, Plan, fit

Record = dict[str, Any]


def measure(name: str, config: Any, parts: Mapping[str, Callable[[], Any]]) -> Record:
    """Measures every part that an interrupted run has not left behind, saving after each; gives the complete record.

    Args:
        name: of the experiment.
        config: its settings, with the folder ``out``.
        parts: what is to be measured, by name, in this order.
    """
    before = report.load(config.out, config) or {}
    half_done = not before.get("complete", True)
    results: dict[str, Any] = before["results"] if half_done else {}
    entry = before
    began = time.perf_counter() - (before["seconds"] if half_done else 0)
    for number, (part, run) in enumerate(parts.items(), start=1):
        if part in results:
            continue
        say(f"[{number}/{len(parts)}] {part}  ({time.perf_counter() - began:.0f} s)")
        results[part] = run()
        seconds = time.perf_counter() - began
        entry = report.record(name, config, results, seconds, complete=len(results) == len(parts))
        report.save(config.out, entry)
    shutil.rmtree(folder(config), ignore_errors=True)  # all that counts is in the record
    say(f"record, table and figure: {config.out}/{report.config_hash(config)}.{{json,md,png}}")
    return entry


def folder(config: Any) -> Path:
    """Where the training runs of these settings are kept until the record is complete."""
    return config.out / "runs" / report.config_hash(config)


def train(config: Any, title: str, build: Any, task: MemoryTask, optimizer: Any, plan: Plan) -> History:
    """`fit` under a title, which goes on where an interrupted one stopped."""
    return fit(build, task, optimizer, plan, output(config, title, plan))


def output(config: Any, title: str, plan: Plan) -> Output:
    """Where a `fit` under a title keeps its checkpoints."""
    return Output(
        folder(config) / re.sub(r"[^\w=.]+", "-", title),
        title,
        checkpoint_every=5 * plan.chunk,
        config=report.settings(config),
    )


def outcome(history: History) -> dict[str, Any]:
    """What a record keeps of a fit: every run."""
    names = (
        "seeds", "settings", "steps", "loss", "accuracy", "solved_at", "diverged_at", "clipped", "test_loss",
        "test_accuracy", "seconds", "compile_seconds",
    )  # fmt: skip
    return {name: getattr(history, name) for name in names}


def publish(record: Record, out: Path, document: Callable[[Record], str], draw: Callable[[Record], Figure]) -> str:
    """Writes the table and the figure of a record beside it; gives the table."""
    text = document(record)
    report.write(out / f"{record['hash']}.md", text)
    figure = draw(record)
    figure.savefig(out / f"{record['hash']}.png", dpi=160)
    plt.close(figure)
    return text


def say(text: str) -> None:
    """Progress on stderr, so that stdout holds the tables alone."""
    print(text, file=sys.stderr, flush=True)
