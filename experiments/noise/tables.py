"""Findings and tables: functions of the record and nothing else."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from experiments.noise.evidence import WRITING, Evidence, share
from recurrax.report import footer, interval, markdown_table

Record = dict[str, Any]
Show = Callable[[Evidence, str, int, float], str]


def document(record: Record) -> str:
    """Everything in Markdown."""
    e, config = Evidence(record), record["config"]
    low, high = interval(config["held_out"] // 2, config["held_out"])
    sections = [
        "# Selective forgetting: do gates keep noise out?",
        "\n".join(f"- {finding}" for finding in findings(e)),
        f"![figure]({record['hash']}.png)",
        f"Recall of one bit, H = {config['hidden']}, Adam at learning rates {config['learning_rate']}, norm clipped at "
        f"1, {config['steps']} updates, seeds {', '.join(map(str, config['seeds']))};\nthe rate with the lower "
        "held-out loss counts. Keep gates start at bias ln T, the ShutLSTM's input gate at -ln T,\nthe IRNN at the "
        "identity.",
        "## Accuracy",
        f"Median and range over the seeds, each on {config['held_out']} examples that chose nothing: a 95% interval of "
        f"at most {(high - low) / 2:.3f} on either side.\nCeiling: Phi(1 / noise); guessing: 0.5.",
        table(e, accuracies),
        "## Seeds that solved it",
        "Test accuracy at least nine tenths of the way from guessing to the ceiling; exact 95% intervals. In the "
        "counts above,\nruns of one seed at several levels and delays are taken as independent.",
        table(e, solved),
        "## What lets the noise in",
        "log10 of the answer's gradient in the value at the cue over that at the other steps (root mean squares;\n"
        "-inf: the cue counts nothing), and the share of noise in the answer: 0 for the perfect observer, 1\n"
        "without the bit. Medians over seeds.",
        table(e, mechanism),
        "## Write gate (LSTM i, CIFG 1 - f, GRU 1 - z)",
        "At the cue and at later steps: mean over units; then the most selective unit of each seed. Medians of seeds.",
        table(e, gates, cells=[cell for cell in e.cells if cell in WRITING]),
        footer(record),
    ]
    return "\n\n".join(section.strip() for section in sections) + "\n"


def table(e: Evidence, show: Show, cells: list[str] | None = None) -> str:
    """A row for each delay and cell, a column for each level, headed by what a perfect observer reaches there."""
    heads = {level: f"noise {level:g} (ceiling {e.task(1, level).ceiling():.3f})" for level in e.levels}
    return markdown_table(
        [
            {"delay": str(delay), "cell": cell} | {heads[level]: show(e, cell, delay, level) for level in e.levels}
            for delay in e.delays
            for cell in (e.cells if cells is None else cells)
        ]
    )


def accuracies(e: Evidence, cell: str, delay: int, level: float) -> str:
    """Median and range."""
    values = e.accuracy(cell, delay, level)
    return f"{np.median(values):.3f} ({values.min():.3f} to {values.max():.3f})"


def solved(e: Evidence, cell: str, delay: int, level: float) -> str:
    """k/n with its interval."""
    return share(*e.pooled(cell, [delay], [level]))


def mechanism(e: Evidence, cell: str, delay: int, level: float) -> str:
    """Rejection and share of noise."""
    rejection, noise = (middle(e.mechanism(name, cell, delay, level)) for name in ("rejection", "share"))
    return f"{rejection:+.1f}; {noise:.3f}"


def gates(e: Evidence, cell: str, delay: int, level: float) -> str:
    """Write gate of the mean and of the most selective unit."""
    cue, later, best_cue, best_later = np.median(e.writes(cell, delay, level), axis=0)
    return f"{cue:.2f}, {later:.2f}; {best_cue:.2f}, {best_later:.2f}"


def findings(e: Evidence) -> list[str]:
    """What was found, in sentences made from the numbers."""
    noisy = [level for level in e.levels if level > 0]
    lines = []
    if 0 in e.levels:
        lines.append(f"Without noise, over all delays, solved: {counts(e, e.delays, [0])}.")
    if not noisy:
        return lines
    lines.append(f"With noise, over all levels and delays: {counts(e, e.delays, noisy)}.")
    lines += [f"Delay {delay}, over the levels with noise: {counts(e, [delay], noisy)}." for delay in e.delays]
    delay, level = e.delays[-1], noisy[-1]
    lines += comparisons(e, noisy)
    medians = {cell: middle(e.mechanism("rejection", cell, delay, level)) for cell in e.cells}
    lines.append(
        f"At delay {delay} and noise {level:g} the answer's gradient in the value at the cue is "
        + ", ".join(f"{power(value)} ({cell})" for cell, value in medians.items())
        + " times that at another step."
    )
    if 0 in e.levels:
        before = [middle(e.mechanism("rejection", cell, delay, 0)) for cell in e.cells]
        lines.append(
            f"Trained without noise the same ratio is {power(min(before))} to {power(max(before))}, median "
            f"{power(middle(np.asarray(before)))}."
        )
    writing = {cell: np.median(e.writes(cell, delay, level), axis=0) for cell in e.cells if cell in WRITING}
    if writing:
        shown = ", ".join(f"{cue:.2f} and {later:.2f} ({cell})" for cell, (cue, later, *_) in writing.items())
        lines.append(f"There the write gate, mean over units, is at the cue and later {shown}.")
    return lines


def comparisons(e: Evidence, noisy: list[float]) -> list[str]:
    """The LSTM against each other cell at the longest delay, in pairs of one seed and one level with noise."""
    if "LSTM" not in e.cells or len(e.cells) == 1:
        return []
    delay, shown = e.delays[-1], []
    full = np.concatenate([e.accuracy("LSTM", delay, level) for level in noisy])
    for cell in (cell for cell in e.cells if cell != "LSTM"):
        more = full - np.concatenate([e.accuracy(cell, delay, level) for level in noisy])
        shown.append(f"{share(int(np.sum(more > 0)), more.size)} against {cell} (median {np.median(more):+.3f})")
    return [
        f"Delay {delay} with noise, in pairs of one seed and level the LSTM is more accurate in {', '.join(shown)}."
    ]


def counts(e: Evidence, delays: Any, levels: Any) -> str:
    """k/n of every cell."""
    return ", ".join(f"{cell} {share(*e.pooled(cell, delays, levels))}" for cell in e.cells)


def power(exponent: float) -> str:
    """A power of ten; 0 where the answer has no gradient at the cue."""
    return "0" if exponent == -np.inf else f"10^{exponent:.1f}"


def middle(values: np.ndarray) -> float:
    """The lower median, which is one of the values, also where some are infinite."""
    return float(np.sort(values)[(len(values) - 1) // 2])
