"""The table and the findings in words: functions of the record and nothing else."""

from __future__ import annotations

from typing import Any

import numpy as np

from experiments import baseline
from experiments.compare import rate
from experiments.temporal_order.config import PRESETS, STARTS
from recurrax.report import censored, footer, markdown_table

Record = dict[str, Any]
SOURCE = "Pascanu, Mikolov & Bengio (2013), figure 7"
PUBLISHED = (
    "Published (Pascanu, Mikolov & Bengio, 2013, verified in the paper and its code): success rates as curves, figure\n"
    "7, of 5 runs for each length with at most 5 million updates; with clipping and Omega 100%."
)
DIFFERENCES = (
    "Different from the authors' code: the budget; no step is left out of the mean of Omega, whose errors are\n"
    "rescaled in place of being dropped below a squared norm of 1e-20; a gradient that is not finite is not replaced\n"
    "by weight decay but ends the run as diverged."
)


def document(record: Record) -> str:
    """Findings, figure and table in Markdown."""
    config = record["config"]
    sections = [
        "# Temporal order: what do clipping and Omega change?",
        "\n".join(f"- {finding}" for finding in findings(record)),
        f"![figure]({record['hash']}.png)",
        f"## {config['symbols']} symbols, H = {config['hidden']}, at most {config['steps']} updates of batch size "
        f"{config['batch_size']}",
        f"SGD at {config['learning_rate']:g}, Adam at {config['adam_rate']:g}, clipping at norm "
        f"{config['clip_norm']:g} (not in SGD), Omega times {config['omega_weight']:g} in SGD-CR. Seeds "
        f"{', '.join(map(str, config['seeds']))}.\n"
        f"Solved: less than 1% of {config['held_out']} held-out sequences wrong, k/n with the exact 95% interval. "
        "Updates: median (range).\nWrong: share of fresh test sequences, median (range) over the seeds.",
        table(record),
        PUBLISHED,
        DIFFERENCES,
        footer(record),
    ]
    return "\n\n".join(section.strip() for section in sections) + "\n"


def entries(record: Record) -> dict[tuple[str, str, int], Any]:
    """The fits by network, method and length."""
    found = {}
    for part, entry in record["results"].items():
        network, method, length = part.split(", ")
        found[network, method, int(length.removeprefix("T="))] = entry
    return found


def baseline_rows(record: Record) -> list[baseline.Row]:
    """The rows of the baseline table."""
    config, rows = record["config"], []
    published = baseline.Published("all runs solved, by up to 5 million updates", SOURCE, "primary")
    for (network, method, length), entry in entries(record).items():
        learning_rate = config["adam_rate" if method == "Adam" else "learning_rate"]
        rows.append(
            baseline.Row(
                task=f"temporal order, {config['symbols']} symbols, T = {length} (pascanu2013)",
                criterion=f"less than 1% of {config['held_out']:,} held-out sequences wrong",
                chance=100 * (1 - 0.5 ** config["symbols"]),
                cell=network if network not in STARTS else "RNN",
                initialization=network if network in STARTS else "default",
                parameters=entry["parameters"],
                tuned=f"not tuned: {method} at {learning_rate:g}",
                measure="test sequences wrong, %",
                values=[None if right is None else 100 * (1 - right) for right in entry["test_accuracy"]],
                solved_at=entry["solved_at"],
                budget=config["steps"],
                seconds=entry["seconds"] + entry["compile_seconds"],
                command=baseline.command(
                    record, PRESETS, {"networks": [network], "methods": [method], "lengths": [length]}
                ),
                published=published if method == "SGD-CR" else None,
            )
        )
    return rows


def successes(entry: Any) -> tuple[int, int]:
    """Seeds that met the criterion, and all of them."""
    at = np.asarray(entry["solved_at"])
    return int(np.sum(at >= 0)), len(at)


def table(record: Record) -> str:
    """Every fit."""
    rows = []
    for (network, method, length), entry in entries(record).items():
        wrong = 100 * (1 - np.asarray(entry["test_accuracy"], float))
        clipped = np.asarray(entry["clipped"], float)
        rows.append(
            {
                "T": str(length),
                "network": network,
                "method": method,
                "solved": rate(*successes(entry)),
                "updates": censored(entry["solved_at"], record["config"]["steps"]),
                "wrong, %": f"{np.median(wrong):.2f} ({wrong.min():.2f} to {wrong.max():.2f})",
                "clipped": "" if np.isnan(clipped).all() else f"{np.mean(clipped):.0%}",
                "diverged": str(int(np.sum(np.asarray(entry["diverged_at"]) >= 0))),
                "parameters": str(entry["parameters"]),
            }
        )
    return markdown_table(rows)


def findings(record: Record) -> list[str]:
    """What every start gives, whether Omega does what the paper says, and the gated cells."""
    config = record["config"]
    lines = [acceptance(record, start) for start in config["networks"] if start in STARTS]
    for network in config["networks"]:
        counts = [
            f"{method} {', '.join(f'{k}/{n} at T = {length}' for length, (k, n) in runs.items())}"
            for method, runs in by_method(record, network).items()
        ]
        lines.append(f"{network}, solved: {'; '.join(counts)}.")
    return [line for line in lines if line]


def by_method(record: Record, network: str) -> dict[str, dict[int, tuple[int, int]]]:
    """Successes of a network, by method and length."""
    found: dict[str, dict[int, tuple[int, int]]] = {}
    for (name, method, length), entry in entries(record).items():
        if name == network:
            found.setdefault(method, {})[length] = successes(entry)
    return found


def acceptance(record: Record, start: str) -> str:
    """At the longest length where plain SGD solves at most one in five, SGD-CR should solve at least four."""
    runs = by_method(record, start)
    if not {"SGD", "SGD-CR"} <= set(runs):
        return ""
    hard = [length for length, (k, n) in runs["SGD"].items() if 5 * k <= n]
    if not hard:
        return f"{start}: plain SGD solves more than one in five at every length, so nothing is to be shown."
    length = max(hard)
    (plain, n), (k, m) = runs["SGD"][length], runs["SGD-CR"][length]
    verdict = "as published" if 5 * k >= 4 * m else "the paper is not reproduced in this budget"
    return (
        f"{start}, T = {length}, the longest at which plain SGD solves at most one in five: SGD {rate(plain, n)}, "
        f"clipped and with Omega {rate(k, m)}: {verdict}."
    )
