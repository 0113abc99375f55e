"""The tables and the findings in words: functions of the record and nothing else."""

from __future__ import annotations

from typing import Any

from experiments import baseline
from experiments.adding_problem.config import PRESETS
from experiments.baseline import Published, Row
from recurrax.report import footer, markdown_table

Record = dict[str, Any]
BAI = "Bai, Kolter & Koltun (2018), table 1"
KELLER = "Keller et al. (2023), 100 units"
PUBLISHED = {
    ("arjovsky2016", 100, "IRNN"): Published("MSE 0.05 after 14k updates", KELLER, "primary"),
    ("arjovsky2016", 200, "IRNN"): Published("MSE 0.05 after 22k updates", KELLER, "primary"),
    ("arjovsky2016", 400, "IRNN"): Published("MSE 0.05 after 30k updates", KELLER, "primary"),
    ("arjovsky2016", 1000, "IRNN"): Published("not solved, MSE 0.16 after 60k updates", KELLER, "primary"),
    ("arjovsky2016", 2000, "LSTM-chrono"): Published(
        "LEM: MSE 0.05 after 1,900 updates", "Rusch et al. (2022), log in the repository, 128 units", "primary"
    ),
    ("bai2018", 600, "RNN"): Published("MSE 0.177", BAI, "primary"),
    ("bai2018", 600, "GRU"): Published("MSE 5.3e-5", BAI, "primary"),
    ("bai2018", 600, "LSTM-fb1"): Published("MSE 0.164", BAI, "primary"),
}
ENDS = ("solved", "both values", "one value", "neither")  # how far a run came, best first


def ends(entry: Any) -> dict[str, int]:
    """How far the runs came, by the test loss of their best model: how many are at each of `ENDS`.

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
    rows = []
    for entry in record["results"].values():
        chosen = {"cells": [entry["cell"]], "lengths": [entry["length"]]}
        rows.append(
            baseline.tuned_row(
                entry,
                baseline.command(record, PRESETS, chosen),
                "test MSE",
                PUBLISHED.get((record["config"]["variant"], entry["length"], entry["cell"])),
                ", ".join(f"{count} {end}" for end, count in ends(entry).items() if count and end != "solved"),
            )
        )
    return rows


def document(record: Record) -> str:
    """Title, findings, tables and origin in Markdown."""
    config = record["config"]
    groups = baseline.groups(baseline_rows(record))
    sections = [
        "# Which cells solve the adding problem, and after how many updates?",
        "\n".join(f"- {finding}" for finding in findings(record)),
        f"![figure]({record['hash']}.png)",
        f"Adam, norm clipped at 1, fresh batches of {config['batch_size']}; the learning rate from the grid by seeds "
        f"{', '.join(map(str, config['grid_seeds']))}\nafter {config['grid_steps']} updates, reported seeds "
        f"{', '.join(map(str, config['seeds']))}. Test MSE: of each run's best model on {config['held_out']} examples\n"
        "that chose nothing. Remarks: how far the unsolved runs came; *one value* is the second plateau, half of\n"
        "chance, where a network knows one of the two values. It is not a solution.",
        *(part for rows in groups for part in (f"## {rows[0].task}", baseline.heading(rows[0]), baseline.table(rows))),
        "## Grid",
        grid(record),
        footer(record),
    ]
    return "\n\n".join(section.strip() for section in sections) + "\n"


def grid(record: Record) -> str:
    """Every learning rate of every cell, with the seeds that chose among them."""
    return markdown_table([line for entry in record["results"].values() for line in baseline.grid_lines(entry)])


def findings(record: Record) -> list[str]:
    """What was found, in sentences made from the numbers."""
    lines = []
    for rows in baseline.groups(baseline_rows(record)):
        lines.append(f"{rows[0].task}, {rows[0].criterion}: {', '.join(map(baseline.brief, rows))}.")
    for entry in record["results"].values():
        count = ends(entry)
        if count["one value"]:
            lines.append(
                f"T = {entry['length']}, {entry['cell']}: {count['one value']} of {len(entry['solved_at'])} end at "
                f"the second plateau, near {entry['chance_level'] / 2:.4f}: one value of two."
            )
    return lines
