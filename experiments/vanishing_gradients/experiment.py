"""Runs the four measurements, writes the record after each, and prints what was found."""

from __future__ import annotations

import shutil
import time
from pathlib import Path
from typing import Any

from experiments import parts
from experiments.parts import say
from experiments.vanishing_gradients import figure, initial, learning, tables
from experiments.vanishing_gradients.config import Config
from recurrax import report
from recurrax.tasks import Adding, MemoryTask
from recurrax.training import adam

NAME = "vanishing_gradients"


def prepare(config: Config) -> dict[str, tuple[MemoryTask, int]]:
    """Everything that can be wrong with the settings, found before anything is compiled; gives the tasks."""
    adam(config.learning_rate, config.clip_norm)
    report.check_folder(config.out)
    return learning.tasks(config)


def main(config: Config, tasks: dict[str, tuple[MemoryTask, int]]) -> dict[str, Any]:
    """Measures, prints the tables and the findings, and writes record, tables and figure; gives the record."""
    began = time.perf_counter()
    results: dict[str, Any] = {"initial": {}, "controls": {}, "training": {}, "trained": {}, "gates": {}}
    before = report.load(config.out, config) or {}
    if not before.get("complete", True):  # interrupted: what it has stays, and its time counts
        began -= before["seconds"]
        results.update({kind: before["results"][kind] for kind in ("controls", "initial")})

    def save(complete: bool = False) -> dict[str, Any]:
        entry = report.record(NAME, config, results, time.perf_counter() - began, complete=complete)
        report.save(config.out, entry)
        return entry

    say(f"(a) gradient flow at initialisation: T = {config.init_length}, {config.init_seeds} seeds")
    for kind, subjects in {"controls": initial.controls(config), "initial": initial.subjects(config)}.items():
        for name, subject in subjects.items():
            if name not in results[kind]:
                results[kind][name] = initial.measure(subject, config)
    save()
    longest = f"adding T={max(config.adding_lengths)}"
    say(f"(b) training: {len(config.seeds)} seeds of each cell in one program, lr {config.learning_rate:g}")
    for name, (task, steps) in tasks.items():
        results["training"][name] = {}
        for cell in config.cells:
            history = learning.train(config, name, task, steps, cell)
            results["training"][name][cell] = learning.outcome(history, task)
            say("    " + tables.training_line(name, cell, results["training"][name][cell]))
            if name == longest:  # (c) and (d), while the trained models are at hand
                model, examples = history.run.model, config.profile_examples
                results["trained"][cell] = learning.trained_profile(model, task, examples)
                if cell in learning.KEEP and isinstance(task, Adding):
                    results["gates"][cell] = learning.memory_gates(model, task, cell, examples)
            save()
    entry = save(complete=True)
    print(render(entry, config.out))
    shutil.rmtree(parts.folder(config), ignore_errors=True)  # all that counts is in the record
    say(f"record, table and figure: {config.out}/{entry['hash']}.{{json,md,png}}")
    return entry


def render(record: dict[str, Any], folder: Path) -> str:
    """Writes the tables and the figure of a record beside it; gives the tables."""
    return parts.publish(record, folder, tables.document, figure.draw)
