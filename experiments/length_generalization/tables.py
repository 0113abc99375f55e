"""The tables and the findings in words: functions of the record and nothing else."""

from __future__ import annotations

from typing import Any

import numpy as np

from experiments import baseline
from experiments.compare import rate
from experiments.length_generalization.config import NETWORKS, PRESETS
from experiments.temporal_order.config import STARTS
from recurrax.report import censored, footer, markdown_table, solved

Record = dict[str, Any]
FAIL = 0.01  # share of wrong answers that is too large
FAR = 1000  # steps at which the published result is asked for
PUBLISHED = (
    "Published (Pascanu, Mikolov & Bengio, 2013, verified in the paper): one model, trained with clipping and Omega\n"
    "on lengths 50 to 200, solves temporal order in 5 of 5 runs and then makes no error on 10,000 sequences at each\n"
    "of 50, 100, 150, 200, 250, 500, 1000, 2000, 3000 and 5000 steps. There, too, training stops when no held-out\n"
    "answer is wrong."
)


def document(record: Record) -> str:
    """Findings, figure and tables in Markdown."""
    config = record["config"]
    lengths = config["train_lengths"]
    sections = [
        "# Trained on short sequences, how long may they be?",
        "\n".join(f"- {finding}" for finding in findings(record)),
        f"![figure]({record['hash']}.png)",
        f"## Training on lengths {lengths[0]} to {lengths[-1]}: H = {config['hidden']}, at most {config['steps']} "
        f"updates of batch size {config['batch_size']}",
        f"SGD-CR: SGD at {config['learning_rate']:g} with Omega times {config['omega_weight']:g}; Adam at "
        f"{config['adam_rate']:g}; both clipped at norm {config['clip_norm']:g}.\nSeeds "
        f"{', '.join(map(str, config['seeds']))}. Solved: no answer wrong on {config['held_out']} held-out "
        "sequences of the training lengths,\nwith the exact 95% interval.",
        training(record),
        "## Test: wrong answers in %",
        f"Of {config['tested']} fresh sequences at every length: the best seed, median, the worst seed; seeds with "
        "less than 1% wrong.",
        test(record),
        PUBLISHED,
        footer(record),
    ]
    return "\n\n".join(section.strip() for section in sections) + "\n"


def baseline_rows(record: Record) -> list[baseline.Row]:
    """The rows of the baseline table: training on short sequences, and what is wrong at ten times their length."""
    config, rows = record["config"], []
    if FAR not in config["test_lengths"]:
        return []
    published = baseline.Published(
        "5/5 solved, no error", "Pascanu, Mikolov & Bengio (2013), lengths 50 to 200", "primary"
    )
    first, last = config["train_lengths"][0], config["train_lengths"][-1]
    for part, entry in record["results"].items():
        task, network = part.split(", ")
        method = NETWORKS[network]
        wrong = np.asarray(entry["wrong"], float)[config["test_lengths"].index(FAR)]
        learning_rate = config["adam_rate" if method == "Adam" else "learning_rate"]
        rows.append(
            baseline.Row(
                task=f"{task}, trained at T = {first} to {last}, tested at {FAR} (pascanu2013)",
                criterion=f"{entry['criterion']} (training lengths)",
                chance=None,
                cell="RNN" if network in STARTS else network,
                initialization=network if network in STARTS else "default",
                parameters=entry["parameters"],
                tuned=f"not tuned: {method} at {learning_rate:g}",
                measure=f"wrong at T = {FAR}, %",
                values=(100 * wrong).tolist(),
                solved_at=entry["solved_at"],
                budget=config["steps"],
                seconds=entry["seconds"] + entry["compile_seconds"],
                command=baseline.command(record, PRESETS, {"tasks": [task], "networks": [network]}),
                published=published if method == "SGD-CR" and task == "temporal_order" else None,
            )
        )
    return rows


def training(record: Record) -> str:
    """Seeds solved and updates of every network on every task."""
    rows = []
    for part, entry in record["results"].items():
        task, network = part.split(", ")
        rows.append(
            {
                "task": task,
                "network": network,
                "method": NETWORKS[network],
                "solved": solved(entry["solved_at"]),
                "updates": censored(entry["solved_at"], record["config"]["steps"]),
                "diverged": str(int(np.sum(np.asarray(entry["diverged_at"]) >= 0))),
            }
        )
    return markdown_table(rows)


def test(record: Record) -> str:
    """Wrong answers of every network at every length."""
    rows = []
    for index, length in enumerate(record["config"]["test_lengths"]):
        row = {"T": str(length)}
        for part, entry in record["results"].items():
            wrong = np.sort(entry["wrong"][index])
            best, middle, worst = (100 * wrong[i] for i in (0, (len(wrong) - 1) // 2, -1))
            row[part] = f"{best:.2f}, {middle:.2f}, {worst:.2f}; {np.sum(wrong < FAIL)}/{len(wrong)}"
        rows.append(row)
    return markdown_table(rows)


def findings(record: Record) -> list[str]:
    """How many seeds solve ten times the longest training length, and how far the best seed goes."""
    lengths = record["config"]["test_lengths"]
    lines = []
    for part, entry in record["results"].items():
        wrong = np.asarray(entry["wrong"], float)
        learned = np.asarray(entry["solved_at"]) >= 0
        text = f"{part}: {solved(entry['solved_at'])} solve the training lengths"
        if FAR in lengths:
            far = wrong[lengths.index(FAR)] < FAIL
            text += f"; at T = {FAR} {rate(int(far.sum()), far.size)} have less than 1% wrong"
            text += f", {rate(int((far & learned).sum()), int(learned.sum()))} of those" if learned.any() else ""
        reach = [
            max((T for T, bad in zip(lengths, seed >= FAIL, strict=True) if not bad), default=0) for seed in wrong.T
        ]
        perfect = int(np.sum((wrong == 0).all(axis=0)))
        longest = (
            f"the longest length with less than 1% wrong is {max(reach)} for the best seed"
            if max(reach)
            else ("no seed has less than 1% wrong at any length")
        )
        text += f"; {longest}; {perfect} make no error at any length"
        if NETWORKS[part.split(", ")[1]] == "SGD-CR" and FAR in lengths:
            reached = bool((wrong[lengths.index(FAR)] < FAIL).any())
            text += ": as published" if reached else ": the paper is not reproduced in this budget"
        lines.append(f"{text}.")
    return lines
