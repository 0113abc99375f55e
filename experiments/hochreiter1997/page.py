"""Findings and tables: functions of the record and nothing else."""

from __future__ import annotations

from typing import Any

import numpy as np

from experiments import baseline
from experiments.hochreiter1997 import drift
from experiments.hochreiter1997.config import PRESETS
from experiments.hochreiter1997.published import GUESSING, PUBLISHED
from recurrax.report import censored, markdown_table, solved

Record = dict[str, Any]
ADDING = ("4", "4-half-linear", "4-logistic")  # rows whose answers are shown by target
FACTOR = 2.0  # between our mean and the paper's that still counts as the same


def page(record: Record) -> list[Any]:
    """Title, findings and tables."""
    config, results = record["config"], record["results"]
    return [
        "Long Short-Term Memory, 1997: do the paper's experiments come out again?",
        findings(results),
        f"The cell, algorithm and stop rules of the paper, T = {config['length']}, seed {config['seed']}: trial k of "
        "each row draws from\nfold_in(key(seed), k). "
        "Published numbers were read in the paper, Hochreiter & Schmidhuber (1997).",
        "## Sequences until the stop rule is met",
        "The mean is that of the trials that stopped, as in the paper. Median and range are those of all trials; one\n"
        "that did not stop by the cap counts as longer. Brackets hold exact 95% intervals.",
        training_table(results),
        f"## Test on {config['test']} fresh sequences, with the net at the stop",
        "The rows show the trials that stopped, or all of them where none did. The error is the mean absolute error\n"
        "of the outputs.",
        test_table(results, config["test"]),
        *guessing_section(results),
        *target_section(results),
        *drift.section(record),
    ]


def training_table(results: Any) -> str:
    """A line for each rule of each row."""
    lines = []
    for row, rule, met, entry in rules(results):
        paper = PUBLISHED[row]
        sequences = paper.sequences[rule]
        lines.append(
            {
                "row": row,
                "task": paper.task,
                "differs from the text by": paper.differs or "nothing",
                "weights": str(entry["weights"]),
                "stop rule": paper.rules[rule],
                "stopped": solved(met),
                "mean": thousands(mean(met)),
                "median (range)": censored(met, entry["cap"]),
                "published mean": "" if sequences is None else thousands(sequences),
                "published trials": paper.note,
            }
        )
    return markdown_table(lines)


def test_table(results: Any, size: int) -> str:
    """Wrong answers and errors after each rule."""
    lines = []
    for row, rule, met, entry in rules(results):
        chosen = met >= 0 if (met >= 0).any() else met < 0
        wrong, error = (np.asarray(entry[name][rule], float)[chosen] for name in ("wrong", "error"))
        lines.append(
            {
                "row": row,
                "stop rule": PUBLISHED[row].rules[rule],
                "nets": f"{len(wrong)} {'stopped' if (met >= 0).any() else 'not stopped'}",
                f"wrong of {size}: median (range)": f"{np.median(wrong):.0f} ({wrong.min():.0f} to {wrong.max():.0f})",
                "published": PUBLISHED[row].wrong[rule],
                "error: median (range)": f"{np.median(error):.4f} ({error.min():.4f} to {error.max():.4f})",
            }
        )
    return markdown_table(lines)


def guessing_section(results: Any) -> list[str]:
    """Guessed nets beside trained ones."""
    lines = [
        {
            "row": row,
            "weights": str(entry["weights"]),
            "success": solved(entry["met"][0]),
            "guesses: median (range)": censored(entry["guesses"], entry["cap"]),
            "sequences presented: mean": thousands(mean(np.asarray(entry["met"][0]))),
            "wrong in the test: median (range)": spread(entry["wrong"][0]),
        }
        for row, entry in results.items()
        if row in GUESSING
    ]
    if not lines:
        return []
    text = (
        "All weights of a net with 2 logistic units drawn anew, from U[-100, 100], until 256 sequences of 3a are right."
    )
    return ["## Random weight guessing", text, markdown_table(lines)]


def target_section(results: Any) -> list[str]:
    """Where in the range of targets answers are wrong, for the adding problem."""
    rows = [row for row in ADDING if row in results]
    if not rows:
        return []
    lines = []
    for row in rows:
        cells = {f"{k / 10:.1f}": percent(share) for k, share in enumerate(shares_by_target(results[row]))}
        lines.append({"row": row} | cells)
    return ["## Adding: share of wrong answers by target, tenths of [0, 1] from", markdown_table(lines)]


def findings(results: Any) -> list[str]:
    """The findings as sentences, made from the numbers."""
    lines = []
    for row, rule, met, entry in rules(results):
        paper = PUBLISHED[row]
        published, ours = paper.sequences[rule], mean(met)
        changes = f"; {paper.differs}" if paper.differs else ""
        text = f"{paper.task} ({row}{changes}; {paper.rules[rule]}): {solved(met)} trials stop "
        text += f"by {thousands(entry['cap'])} sequences"
        if ours is None:
            text += "" if published is None else f"; the published mean, {thousands(published)}, is not reproduced"
        elif published is None:
            text += f", on average after {thousands(ours)}"
        else:
            ratio = ours / published
            same = "within" if 1 / FACTOR <= ratio <= FACTOR else "not within"
            text += f", on average after {thousands(ours)}, {ratio:.2f} times the published {thousands(published)}"
            text += f" ({same} a factor of {FACTOR:g})"
        lines.append(text + ".")
    if "4-logistic" in results:
        ends, middle = map(percent, tenths(results["4-logistic"]))
        lines.append(
            f"With the logistic output, adding: {ends} of answers below 0.2 or above 0.8 wrong (mean of tenths of "
            f"the range), {middle} of the others."
        )
    for row in (row for row in GUESSING if row in results):
        entry = results[row]
        guesses = censored(entry["guesses"], entry["cap"])
        sequences = thousands(mean(np.asarray(entry["met"][0])))
        lines.append(
            f"Guessing all weights solves 3a with {row.split('-')[1]} informative values in {solved(entry['met'][0])} "
            f"trials after {guesses} guesses, {sequences} sequences on average."
        )
    return lines + drift.finding(results)


def rules(results: Any) -> list[tuple[str, int, np.ndarray, Any]]:
    """Every rule of every trained row: row, number of the rule, sequences of each trial, entry."""
    return [
        (row, rule, np.asarray(met), entry)
        for row, entry in results.items()
        if row not in GUESSING
        for rule, met in enumerate(entry["met"])
    ]


def baseline_rows(record: Record) -> list[baseline.Row]:
    """The rows of the baseline table, one for each stop rule that the paper has a number for."""
    rows = []
    for row, rule, met, entry in rules(record["results"]):
        paper = PUBLISHED[row]
        published, source = paper.sequences[rule], "Hochreiter & Schmidhuber (1997)"
        if published is None:
            continue
        rows.append(
            baseline.Row(
                task=paper.task,
                criterion=paper.rules[rule],
                chance=None,
                cell="Hochreiter1997",
                initialization="as published",
                parameters=entry["weights"],
                tuned="as published",
                measure=f"wrong of {record['config']['test']:,} fresh sequences",
                values=[float(wrong) for wrong in entry["wrong"][rule]],
                solved_at=met.tolist(),
                budget=entry["cap"],
                seconds=entry["seconds"],
                command=baseline.command(record, PRESETS, {"rows": [row]}),
                unit="sequences",
                remark=paper.differs or paper.note,
                published=baseline.Published(f"{published:,} on average", source, "primary"),
            )
        )
    return rows


def shares_by_target(entry: Any) -> np.ndarray:
    """Share of wrong ones in each tenth of the targets' range, mean over trials, ``[10]``; NaN where there is none."""
    shares = np.ma.masked_invalid(np.asarray(entry["by_target"], float))
    return shares.mean(axis=0).filled(np.nan)


def mean(met: np.ndarray) -> float | None:
    """A statistic over the trials that stopped; None if there is none."""
    return float(met[met >= 0].mean()) if (met >= 0).any() else None


def thousands(value: float | None) -> str:
    """A count with separators."""
    return "-" if value is None else f"{value:,.0f}"


def percent(share: Any) -> str:
    """A share; nothing where there was nothing to count."""
    return "" if np.isnan(share) else f"{share:.1%}"


def spread(values: Any) -> str:
    """Median and range of counts."""
    values = np.asarray(values, float)
    return f"{np.median(values):.0f} ({values.min():.0f} to {values.max():.0f})"


def tenths(entry: Any) -> tuple[float, float]:
    """Mean share of wrong answers in the two outer tenths at each end of the targets' range, and in the six between."""
    shares = shares_by_target(entry)
    return float(np.mean(shares[[0, 1, 8, 9]])), float(np.mean(shares[2:8]))


def lines_of(results: Any) -> list[tuple[str, int, np.ndarray, Any]]:
    """Trained rows and, as one line each, guessed ones."""
    guessed = [(row, 0, np.asarray(entry["met"][0]), entry) for row, entry in results.items() if row in GUESSING]
    return [*rules(results), *guessed]
