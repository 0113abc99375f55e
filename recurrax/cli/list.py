"""Lists the tasks with their variants and criteria, the cells with their structure and source, and the engines.

recurrax list
recurrax list tasks | cells | engines
"""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Sequence

from recurrax import ENGINES, Structure
from recurrax.cli.models import CELL_FLOATS, CELLS, TASK_OPTIONS
from recurrax.cli.tables import show
from recurrax.tasks import TASKS

EXAMPLE = 100  # a length that every task allows, to show its criterion


def run(arguments: Sequence[str]) -> None:
    """Runs the command line."""
    if {"-h", "--help"} & set(arguments):
        print(f"usage: recurrax list [{' | '.join(LISTS)}]\n\n{__doc__}")
        return
    wrong = [word for word in arguments if word not in LISTS]
    if wrong or len(arguments) > 1:
        print(f"error: list {' '.join(wrong or arguments)}; allowed: one of {', '.join(LISTS)}, or nothing for all. "
              "Try recurrax list tasks.", file=sys.stderr)  # fmt: skip
        sys.exit(2)
    for name in arguments or LISTS:
        LISTS[name]()


def tasks() -> None:
    """One row for each task: its length, its variants (the default first), its other flags and its criterion."""
    rows = []
    for name, task in TASKS.items():
        size = next(iter(inspect.signature(task).parameters))
        example = task(EXAMPLE)
        default = inspect.signature(task).parameters["variant"].default
        others = [variant for variant in task.VARIANTS if variant != default]
        rows.append({
            "task": name,
            "--length": size,
            "--variant (first: default)": ", ".join([default, *others]),
            "other flags": ", ".join(f"--{option.replace('_', '-')}" for option in TASK_OPTIONS[name]),
            "solved when": example.criterion,
        })  # fmt: skip
    show(rows, "Tasks: recurrax train --task NAME --length L")


def cells() -> None:
    """One row for each cell: its structure, states, additional flags and source."""
    rows = [
        {
            "cell": name,
            "structure": cell.structure.value,
            "state": ", ".join(cell.states),
            "flags": ", ".join(f"--{option.replace('_', '-')}" for option in CELL_FLOATS[name]),
            "source": _source(cell),
        }
        for name, cell in CELLS.items()
    ]
    show(rows, "Cells: recurrax train --cells NAME ...")


def engines() -> None:
    """One row for each engine: a description, its options and the structures of cells that it runs."""
    rows = [
        {
            "engine": name,
            "what it does": _sentence(engine),
            "options": ", ".join(inspect.signature(engine).parameters),
        }
        for name, engine in ENGINES.items()
    ]
    auto = (
        f"Chooses for the device, the cell's structure ({', '.join(kind.value for kind in Structure)}) and the shape."
    )
    show([{"engine": "auto", "what it does": auto, "options": ""}, *rows], "Engines: recurrax train --backend NAME")


LISTS = {"tasks": tasks, "cells": cells, "engines": engines}


def _source(cell: type) -> str:
    """The authors and years of a cell's reference line."""
    line = re.sub(r"\s+", " ", (inspect.getdoc(cell) or "").rpartition("Source:")[2]).strip()
    return "; ".join(re.findall(r"[A-Z][^;:(]*\(\d{4}\)", line)[:2])


def _sentence(engine: type) -> str:
    """The first sentence of a docstring, without mathematical markup."""
    text = re.sub(r"\s+", " ", (inspect.getdoc(engine) or "").partition("\n\n")[0])
    text = re.sub(r":math:`([^`]*)`", r"\1", text).replace("\\to", "->").replace("`", "").replace(" above", "")
    return text if text.endswith(".") else f"{text}."
