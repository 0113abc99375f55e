"""The tables and the findings in words: functions of the record and nothing else."""

from __future__ import annotations

from typing import Any

import numpy as np

from experiments import baseline
from experiments.baseline import Published, Row
from experiments.copy_memory.config import PRESETS
from recurrax.report import footer, markdown_table

Record = dict[str, Any]
PUBLISHED = {
    ("arjovsky2016", 500, "LSTM-chrono"): Published(
        "solved, the standard LSTM stays at chance", "Tallec & Ollivier (2018), figure, 128 units", "recalled"
    ),
    ("bai2018", 1000, "RNN"): Published("0.0202", "Bai, Kolter & Koltun (2018), table 1", "primary"),
    ("bai2018", 1000, "GRU"): Published("0.0197", "Bai, Kolter & Koltun (2018), table 1", "primary"),
    ("bai2018", 1000, "LSTM-fb1"): Published("0.0204", "Bai, Kolter & Koltun (2018), table 1", "primary"),
}


def baseline_rows(record: Record) -> list[Row]:
    """The rows of the baseline table."""
    rows = []
    for entry in record["results"].values():
        chosen = {"cells": [entry["cell"]], "delays": [entry["delay"]]}
        rows.append(
            baseline.tuned_row(
                entry,
                baseline.command(record, PRESETS, chosen),
                "test cross entropy",
                PUBLISHED.get((record["config"]["variant"], entry["delay"], entry["cell"])),
                f"symbols right {percent(entry['symbols'])}, whole recalls {percent(entry['sequences'])}",
            )
        )
    return rows


def percent(shares: Any) -> str:
    """Median and range of shares of all runs."""
    low, middle, high = (100 * f(np.asarray(shares, float)) for f in (np.min, np.median, np.max))
    return f"{middle:.0f}%" if f"{low:.0f}" == f"{high:.0f}" else f"{middle:.0f}% ({low:.0f} to {high:.0f})"


def longest(record: Record) -> dict[str, int]:
    """Of every cell the longest delay at which at least half of the seeds met the criterion; 0: none."""
    found = dict.fromkeys(record["config"]["cells"], 0)
    for entry in record["results"].values():
        if 2 * np.sum(np.asarray(entry["solved_at"]) >= 0) >= len(entry["solved_at"]):
            found[entry["cell"]] = max(found[entry["cell"]], entry["delay"])
    return found


def document(record: Record) -> str:
    """Title, findings, tables and origin in Markdown."""
    config = record["config"]
    groups = baseline.groups(baseline_rows(record))
    sections = [
        "# Which cells copy ten symbols after a delay, and how long a delay?",
        "\n".join(f"- {finding}" for finding in findings(record)),
        f"![figure]({record['hash']}.png)",
        f"Adam, norm clipped at 1, fresh batches of {config['batch_size']}; the learning rate from the grid by seeds "
        f"{', '.join(map(str, config['grid_seeds']))}\nafter {config['grid_steps']} updates, reported seeds "
        f"{', '.join(map(str, config['seeds']))}. Test: each run's best model on {config['held_out']} examples that\n"
        "chose nothing. Guessing gets one symbol of eight, 12.5%.",
        *(part for rows in groups for part in (f"## {rows[0].task}", baseline.heading(rows[0]), baseline.table(rows))),
        "## Grid",
        grid(record),
        footer(record),
    ]
    return "\n\n".join(section.strip() for section in sections) + "\n"


def findings(record: Record) -> list[str]:
    """What was found, in sentences made from the numbers."""
    lines = [
        f"{rows[0].task}, {rows[0].criterion}: {', '.join(map(baseline.brief, rows))}."
        for rows in baseline.groups(baseline_rows(record))
    ]
    reach = ", ".join(f"{cell} {delay or 'none'}" for cell, delay in longest(record).items())
    lines.append(f"Longest delay of those tried at which half of the seeds meet the criterion: {reach}.")
    whole = [entry for entry in record["results"].values() if np.median(np.asarray(entry["sequences"], float)) > 0.99]
    named = ", ".join(f"{entry['cell']} at T = {entry['delay']}" for entry in whole)
    lines.append(f"More than 99% of whole recalls are right in the median run of: {named or 'no cell at any delay'}.")
    return lines


def grid(record: Record) -> str:
    """Every learning rate of every cell, with the seeds that chose among them."""
    return markdown_table([line for entry in record["results"].values() for line in baseline.grid_lines(entry)])
