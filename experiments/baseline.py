"""The baseline table: every experiment's rows of one form, beside what is published.

An experiment joins the table by a function of its module,

    def baseline_rows(record: dict[str, Any]) -> list[Row]: ...

which makes rows of a record and of nothing else. `experiments.tuning.row` makes one from what the protocol left in a
record; an experiment that trains otherwise fills in `Row` itself. `gather` finds the records and asks for their rows.
"""

from __future__ import annotations

import dataclasses
import importlib
import importlib.util
import json
import math
import shlex
import warnings
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from scipy.stats import CensoredData, ecdf

from experiments import EXPERIMENTS
from recurrax import report

Record = dict[str, Any]
CHECKED = {
    "primary": "read in the source itself",
    "secondary": "quoted from another work",
    "recalled": "from memory, not verified",
}
RULE = """\
Each row is one cell with one initialisation on one task. The column "tuned" says which learning rates were tried;
within a task every cell had the same grid and the same budget, and the seeds that chose the rate are not among those
reported. "Solved" means that a run met the criterion of the task, which stands above the table; where a task has none,
the column says what was reached instead. It is given as k/n of the reported runs with the 95% interval of Clopper &
Pearson. The updates to the criterion are the median of Kaplan & Meier, with its 95% interval in brackets (Brookmeyer &
Crowley, log-log): a run that did not meet the criterion, even one that diverged, is censored at the budget and never
dropped. Where five runs all met it, the interval is their range, whose exact level is 94%. All other numbers are
medians, with ranges over all reported runs. The published numbers were obtained with other sizes, optimisers and
budgets unless the row says so; how each was checked stands in brackets: """
RULE += "; ".join(f"*{name}*, {meaning}" for name, meaning in CHECKED.items())


@dataclasses.dataclass(frozen=True)
class Published:
    """A number of the literature: what was found, by whom, and how that was checked."""

    result: str
    source: str
    checked: Literal["primary", "secondary", "recalled"]

    def __str__(self) -> str:
        return f"{self.result} ({self.source}; *{self.checked}*)"


@dataclasses.dataclass(frozen=True)
class Row:
    """A cell with an initialisation on a task.

    Args:
        task: the heading of the row's table, e.g. "adding problem, T = 100 (arjovsky2016)".
        criterion: of success, in words.
        chance: what ``measure`` is for the best guess without memory; None where there is no such number.
        cell: its name.
        initialization: how it started.
        parameters: of the whole model.
        tuned: what was chosen, and from what: "learning rate 0.01 of 0.003, 0.01".
        measure: what ``values`` are, e.g. "test MSE".
        values: one for each reported run; None where there is none.
        solved_at: updates to the criterion of each reported run; -1 where it was not met.
        budget: updates after which such a run was given up.
        seconds: wall time of the row, its tuning and compilation included.
        command: what runs this row again.
        unit: of ``solved_at`` and ``budget``.
        remark: what the numbers do not say.
        published: beside it, if anything is.
        reached: what a run has done that met the criterion; "solved" only where the criterion is that of the task.
    """

    task: str
    criterion: str
    chance: float | None
    cell: str
    initialization: str
    parameters: int
    tuned: str
    measure: str
    values: Sequence[float | None]
    solved_at: Sequence[int]
    budget: int
    seconds: float
    command: str
    unit: str = "updates"
    remark: str = ""
    published: Published | None = None
    reached: str = "solved"

    @property
    def table(self) -> tuple[Any, ...]:
        """The key of the row's table: rows with the same key share a table."""
        return self.task, self.criterion, self.chance, self.measure, self.budget, self.unit


def median_time(solved_at: Sequence[int], budget: int) -> tuple[float, float, float]:
    r"""Median of the updates to the criterion and its 95% interval; infinite where the budget ends before it.

    .. math:: S(t) = \prod_{t_i \le t} (1 - d_i / n_i), \qquad m = \min \{t : S(t) \le 1/2\}

    d_i runs met the criterion at t_i, n_i had not before. The interval holds every t at which that of S, by Greenwood's
    formula for ln(-ln S), does not lie wholly on one side of 1/2; where no run is left, S = 0 has no width.

    Args:
        solved_at: updates of each run, -1 where it did not meet the criterion: it is censored at the budget.
        budget: updates of a run at most.

    Source: Kaplan & Meier (1958); Brookmeyer & Crowley (1982).
    """
    at = np.asarray(solved_at)
    survival = ecdf(CensoredData(uncensored=at[at >= 0], right=np.full(int(np.sum(at < 0)), budget))).sf
    with warnings.catch_warnings():  # where S is 0 or 1 the formula has no value
        warnings.simplefilter("ignore", RuntimeWarning)
        band = survival.confidence_interval(method="log-log")
    S, t = survival.probabilities, survival.quantiles
    low, high = (np.where((S == 0) | (S == 1), S, side.probabilities) for side in (band.low, band.high))
    median, first, last = (float(t[np.argmax(p <= 0.5)]) if (p <= 0.5).any() else math.inf for p in (S, low, high))
    return median, first, last


def shown_time(solved_at: Sequence[int], budget: int) -> str:
    """`median_time` in words: ``500 [400, > 10000]``."""
    median, low, high = (
        f"{step:.0f}" if math.isfinite(step) else f"> {budget}" for step in median_time(solved_at, budget)
    )
    return median if low == high else f"{median} [{low}, {high}]"


def shown_values(values: Sequence[float | None]) -> str:
    """Median and range; a run without a value is counted."""
    known = np.asarray([value for value in values if value is not None], float)
    missing = f", {len(values) - len(known)} without" if len(known) < len(values) else ""
    if not len(known):
        return "-"
    return f"{np.median(known):.4g} ({known.min():.4g} to {known.max():.4g}{missing})"


def rate_of(chosen: float, tried: Iterable[float]) -> str:
    """The learning rate and those it was chosen from."""
    return f"learning rate {chosen:g} of {', '.join(f'{rate:g}' for rate in dict.fromkeys(tried))}"


def command(record: Record, presets: Mapping[str, Any], chosen: Mapping[str, Any]) -> str:
    """The command that makes a part of a record again: its nearest preset, the differences, and the chosen part.

    Args:
        record: of any settings.
        presets: of its experiment, the default first.
        chosen: settings in place of the record's, e.g. ``{"cells": ["GRU"]}``.
    """

    def others(preset: Any) -> dict[str, Any]:
        known = report.settings(preset)
        return {key: value for key, value in record["config"].items() if value != known.get(key) and key not in chosen}

    name = min(presets, key=lambda name: len(others(presets[name])))
    words = ["python", "-m", f"experiments.{record['name']}"]
    words += [] if name == next(iter(presets)) else ["--preset", name]
    for key, value in (others(presets[name]) | dict(chosen)).items():
        values = value if isinstance(value, list | tuple) else [value]
        words += [f"--{key.replace('_', '-')}", *map(str, values)]
    return shlex.join(words)


def gather(results: Path) -> list[tuple[Record, list[Row]]]:
    """Every complete record of every experiment that has rows; of each experiment the default settings first."""
    found = []
    for name in EXPERIMENTS:
        rows_of, config = _rows_and_config(name)
        if rows_of is None:
            continue
        default = report.config_hash(config())
        records = [json.loads(path.read_text()) for path in sorted((results / name).glob("*.json"))]
        for record in sorted(records, key=lambda record: record["hash"] != default):
            if record.get("complete", True):
                found.append((record, rows_of(record)))
    return found


def _rows_and_config(name: str) -> tuple[Any, Any]:
    """The function that makes an experiment's rows, None where it has none, and its settings."""
    module = importlib.import_module(f"experiments.{name}")
    if hasattr(module, "Config"):
        return getattr(module, "baseline_rows", None), module.Config
    if not importlib.util.find_spec(f"experiments.{name}.tables"):
        return None, None
    tables, config = (importlib.import_module(f"experiments.{name}.{part}") for part in ("tables", "config"))
    return getattr(tables, "baseline_rows", None), config.Config


def document(gathered: Sequence[tuple[Record, list[Row]]]) -> str:
    """The whole table in Markdown."""
    sections = ["# Baselines", f"Rendered from the records by `python -m experiments`.\n\n{RULE}."]
    for record, rows in gathered:
        for group in groups(rows):
            sections += [f"## {group[0].task}", heading(group[0]), table(group), report.footer(record)]
    return "\n\n".join(section.strip() for section in sections) + "\n"


def groups(rows: Sequence[Row]) -> list[list[Row]]:
    """Rows by the table they stand in."""
    return [[row for row in rows if row.table == key] for key in dict.fromkeys(row.table for row in rows)]


def heading(row: Row) -> str:
    """The common heading of all rows of a table."""
    chance = "" if row.chance is None else f" The best guess without memory has {row.chance:.4g}."
    return f"{row.reached.capitalize()}: {row.criterion}, within {row.budget} {row.unit}.{chance}"


def table(rows: Sequence[Row]) -> str:
    """Rows that share a heading."""
    lines = [
        {
            "cell": row.cell,
            "initialisation": row.initialization,
            "parameters": str(row.parameters),
            "tuned": row.tuned,
            row.reached: report.solved(row.solved_at),
            f"{row.unit} to criterion": shown_time(row.solved_at, row.budget),
            row.measure: shown_values(row.values),
            "remark": row.remark,
            "published": str(row.published or "-"),
            "seconds": f"{row.seconds:.0f}",
            "command": f"`{row.command}`",
        }
        for row in rows
    ]
    if not any(row.remark for row in rows):
        lines = [{key: text for key, text in line.items() if key != "remark"} for line in lines]
    return report.markdown_table(lines)


def head(gathered: Sequence[tuple[Record, list[Row]]]) -> str:
    """One line for each table: of every cell the runs that meet the criterion and their median time."""
    lines = [
        {
            "task": rows[0].task,
            "criterion": rows[0].criterion,
            "budget": f"{rows[0].budget} {rows[0].unit}",
            "runs that meet it (median time)": ", ".join(map(brief, rows)),
        }
        for _, all_rows in gathered
        for rows in groups(all_rows)
    ]
    return report.markdown_table(lines).strip()


def brief(row: Row) -> str:
    """A row in a few characters: ``GRU 5/5 (400)``."""
    at, (median, *_) = np.asarray(row.solved_at), median_time(row.solved_at, row.budget)
    return f"{row.cell} {np.sum(at >= 0)}/{len(at)}" + (f" ({median:.0f})" if math.isfinite(median) else "")
