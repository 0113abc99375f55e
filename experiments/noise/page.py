"""Findings, tables and the figure: functions of the record and nothing else."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments import plots
from experiments.compare import rate
from experiments.lab import Record
from recurrax.palette import look
from recurrax.report import interval, markdown_table
from recurrax.tasks import Recall

WRITING = ("LSTM", "ShutLSTM", "CIFG", "GRU")  # cells with a gate on what is written


class Evidence:
    """The results of a cell at a delay and a noise level."""

    def __init__(self, record: Record):
        self.config, self.results = record["config"], record["results"]
        self.cells, self.levels, self.delays = (self.config[name] for name in ("cells", "noise", "delays"))

    def task(self, delay: int, level: float) -> Recall:
        """The task of these runs."""
        return Recall(delay, noise=level)

    def runs(self, cell: str, delay: int, level: float) -> np.ndarray:
        """Indices of the runs that count: those of the learning rate with the lower median held-out loss."""
        entry = self.results[f"delay={delay} {cell}"]
        rates, levels = (np.asarray(entry["settings"][name], float) for name in ("learning_rate", "noise"))
        loss = numbers(entry["best_loss"], math.inf)
        groups = [np.flatnonzero((rates == rate) & np.isclose(levels, level)) for rate in np.unique(rates)]
        return min(groups, key=lambda group: np.median(loss[group]))

    def accuracy(self, cell: str, delay: int, level: float) -> np.ndarray:
        """Test accuracy of every seed; a run that never had a finite loss guesses."""
        entry = self.results[f"delay={delay} {cell}"]
        return numbers(entry["test_accuracy"], 0.5)[self.runs(cell, delay, level)]

    def solved(self, cell: str, delay: int, level: float) -> np.ndarray:
        """Whether each seed met the criterion of its level on the test examples."""
        return np.asarray(self.task(delay, level).success(0.0, self.accuracy(cell, delay, level)))

    def pooled(self, cell: str, delays: Any, levels: Any) -> tuple[int, int]:
        """The number of runs that solved the task, of all at some delays and levels."""
        met = [self.solved(cell, delay, level) for delay in delays for level in levels]
        return int(np.sum(met)), int(np.size(met))

    def mechanism(self, quantity: str, cell: str, delay: int, level: float) -> np.ndarray:
        """The results of `mechanism.measure` for every seed; null is minus infinity, if the cue has no effect."""
        found = self.results[f"delay={delay} {cell}"]["mechanism"][quantity]
        return numbers(found, -math.inf)[self.runs(cell, delay, level)]

    def writes(self, cell: str, delay: int, level: float) -> np.ndarray:
        """Write gate at the cue and later, mean over units, then that of the most selective unit: ``[seeds, 4]``."""
        cue, later = (self.mechanism(f"write_{name}", cell, delay, level) for name in ("cue", "else"))
        most = np.argmax(cue - later, axis=-1)[:, None]
        best = [np.take_along_axis(gate, most, axis=-1)[:, 0] for gate in (cue, later)]
        return np.stack([cue.mean(axis=-1), later.mean(axis=-1), *best], axis=-1)


def numbers(values: Any, null: float) -> np.ndarray:
    """Nested lists of a record as floats."""
    array = np.asarray(values, float)
    return np.where(np.isnan(array), null, array)


def page(record: Record) -> list[Any]:
    """Title, findings and tables."""
    e, config = Evidence(record), record["config"]
    low, high = interval(config["held_out"] // 2, config["held_out"])
    return [
        "Selective forgetting: do gates keep noise out?",
        findings(e),
        f"Recall of one bit, H = {config['hidden']}, Adam at learning rates {config['learning_rate']}, norm clipped at "
        f"1, {config['steps']} updates, seeds {', '.join(map(str, config['seeds']))};\nthe rate with the lower "
        "held-out loss counts. Keep gates start at bias ln T, the ShutLSTM's input gate at -ln T,\nthe IRNN at the "
        "identity.",
        "## Accuracy",
        f"Median and range over the seeds, each on {config['held_out']} examples that influenced no "
        "choice: a 95% interval of "
        f"at most {(high - low) / 2:.3f} on either side.\nCeiling: Phi(1 / noise); guessing: 0.5.",
        table(e, accuracies),
        "## Seeds that solved the task",
        "Solved: the task's criterion, an accuracy at least nine tenths of the way from guessing to the ceiling, on\n"
        "the test examples; exact 95% intervals. The counts above take runs of one seed at several levels and delays\n"
        "as independent.",
        table(e, solved),
        "## What lets the noise in",
        "log10 of the answer's gradient with respect to the value at the cue over that at the other steps (root mean\n"
        "squares; -inf: the cue has no effect), and the share of noise in the answer: 0 for the perfect observer, 1\n"
        "without the bit. Medians over seeds.",
        table(e, rejection),
        "## Write gate (LSTM i, CIFG 1 - f, GRU 1 - z)",
        "At the cue and at later steps: mean over units; then the most selective unit of each seed. Medians of seeds.",
        table(e, gates, cells=[cell for cell in e.cells if cell in WRITING]),
    ]


def table(e: Evidence, show: Callable[[Evidence, str, int, float], str], cells: list[str] | None = None) -> str:
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
    return rate(*e.pooled(cell, [delay], [level]))


def rejection(e: Evidence, cell: str, delay: int, level: float) -> str:
    """Rejection and share of noise."""
    ratio, noise = (middle(e.mechanism(name, cell, delay, level)) for name in ("rejection", "share"))
    return f"{ratio:+.1f}; {noise:.3f}"


def gates(e: Evidence, cell: str, delay: int, level: float) -> str:
    """Write gate of the mean and of the most selective unit."""
    cue, later, best_cue, best_later = np.median(e.writes(cell, delay, level), axis=0)
    return f"{cue:.2f}, {later:.2f}; {best_cue:.2f}, {best_later:.2f}"


def findings(e: Evidence) -> list[str]:
    """The findings as sentences, made from the numbers."""
    noisy = [level for level in e.levels if level > 0]
    lines = [f"Without noise, runs that solved the task, over all delays: {counts(e, e.delays, [0])}."]
    if not noisy:
        return lines
    lines = [by_gate(e), *(lines if 0 in e.levels else [])]
    lines.append(f"With noise, over all levels and delays: {counts(e, e.delays, noisy)}.")
    lines += [f"With noise, over all levels at delay {delay}: {counts(e, [delay], noisy)}." for delay in e.delays]
    return [*lines, *comparisons(e, noisy), *causes(e, e.delays[-1], noisy[-1])]


def by_gate(e: Evidence) -> str:
    """A sentence on cells with and without a write gate at the longest delay with noise; "" without noise."""
    found, noisy = [], [level for level in e.levels if level > 0]
    for which, gated in (("with", True), ("without", False)):
        cells = [cell for cell in e.cells if (cell in WRITING) == gated]
        if cells and noisy:
            k, n = np.sum([e.pooled(cell, e.delays[-1:], noisy) for cell in cells], axis=0)
            found.append(f"cells {which} a write gate ({', '.join(cells)}) solved {k}/{n} runs")
    return f"With noise at delay {e.delays[-1]}, {', and '.join(found)}." if found else ""


def causes(e: Evidence, delay: int, level: float) -> list[str]:
    """The answer's gradient at the cue, and the write gates, at a delay and a level of noise."""
    medians = {cell: middle(e.mechanism("rejection", cell, delay, level)) for cell in e.cells}
    lines = [
        f"At delay {delay} and noise {level:g}, the gradient of the answer with respect to the value at the cue is "
        + ", ".join(f"{power(value)} ({cell})" for cell, value in medians.items())
        + " times that at another step."
    ]
    if 0 in e.levels:
        before = [middle(e.mechanism("rejection", cell, delay, 0)) for cell in e.cells]
        lines.append(
            f"Trained without noise at that delay, the cells have ratios from {power(min(before))} to "
            f"{power(max(before))}, with median {power(middle(np.asarray(before)))}."
        )
    writing = {cell: np.median(e.writes(cell, delay, level), axis=0) for cell in e.cells if cell in WRITING}
    shown = ", ".join(f"{cue:.2f} and {later:.2f} ({cell})" for cell, (cue, later, *_) in writing.items())
    where = (
        f"At delay {delay} and noise {level:g}, the write gate, averaged over units, is open at the cue and later by"
    )
    return [*lines, f"{where} {shown}."] if writing else lines


def comparisons(e: Evidence, noisy: list[float]) -> list[str]:
    """The LSTM against each other cell at the longest delay, in pairs of one seed and one level with noise."""
    if "LSTM" not in e.cells or len(e.cells) == 1:
        return []
    delay, shown = e.delays[-1], []
    full = np.concatenate([e.accuracy("LSTM", delay, level) for level in noisy])
    for cell in (cell for cell in e.cells if cell != "LSTM"):
        more = full - np.concatenate([e.accuracy(cell, delay, level) for level in noisy])
        shown.append(f"than {cell} in {rate(int(np.sum(more > 0)), more.size)} (median {np.median(more):+.3f})")
    return [
        f"With noise at delay {delay}, of the pairs of runs with one seed and one level, the LSTM is more accurate "
        f"{', '.join(shown)}."
    ]


def counts(e: Evidence, delays: Any, levels: Any) -> str:
    """k/n of every cell."""
    return ", ".join(f"{cell} {rate(*e.pooled(cell, delays, levels))}" for cell in e.cells)


def power(exponent: float) -> str:
    """A power of ten; 0 where the answer has no gradient at the cue."""
    return "0" if exponent == -np.inf else f"10^{exponent:.1f}"


def middle(values: np.ndarray) -> float:
    """The lower median, which is one of the values, also where some are infinite."""
    return float(np.sort(values)[(len(values) - 1) // 2])


def draw(record: Record) -> Figure:
    """Accuracy against noise at the shortest and the longest delay; there, share of noise and write gates."""
    e = Evidence(record)
    first, delay = e.delays[0], e.delays[-1]
    figure, ((left, right), (share, gate)) = plots.panels(2, 2, 5, 2.9)
    for axes, letter, lag in ((left, "a", first), (right, "b", delay)):
        accuracy(axes, e, lag)
        axes.set(title=f"{letter}  Accuracy at delay {lag}", ylabel="test accuracy: seeds, median")
    for index, cell in enumerate(e.cells):
        seeds(share, e, cell, index, [e.mechanism("share", cell, delay, level) for level in e.levels])
    share.set(title=f"c  Noise in the answer at delay {delay}", ylabel="share of the variation", ylim=(-0.03, 1.03))
    writes(gate, e, delay)
    gate.set(title=f"d  Write gate at delay {delay}: at the cue (filled), later (open)", ylabel="mean over units",
             ylim=(0, None))  # fmt: skip
    for axes in (left, right, share, gate):
        axes.set_xlabel("noise (standard deviation over the bit)")
    plots.takeaway(figure, by_gate(e))
    plots.legend_below(figure, left)
    return figure


def accuracy(axes: Axes, e: Evidence, delay: int) -> None:
    """Accuracy of every seed against noise, the median as a line, with ceiling and guessing."""
    fine = np.linspace(min(e.levels), max(e.levels), 100)
    ceiling = [e.task(delay, float(level)).ceiling() for level in fine]
    axes.plot(fine, ceiling, color="k", lw=0.8, label="ceiling Phi(1/noise)")
    plots.level(axes, guessing=0.5)
    for index, cell in enumerate(e.cells):
        seeds(axes, e, cell, index, [e.accuracy(cell, delay, level) for level in e.levels])
    axes.set_ylim(0.42, 1.03)


def writes(axes: Axes, e: Evidence, delay: int) -> None:
    """Write gate at the cue (filled) and at later steps (open), mean over units, median over seeds."""
    for index, cell in enumerate(cell for cell in e.cells if cell in WRITING):
        values = np.array([np.median(e.writes(cell, delay, level), axis=0) for level in e.levels])
        place = np.asarray(e.levels) + 0.02 * (index - 1.5)
        axes.plot(place, values[:, 0], **look(cell))
        axes.plot(place, values[:, 1], **look(cell), mfc="w")


def seeds(axes: Axes, e: Evidence, cell: str, index: int, values: list[np.ndarray]) -> None:
    """Every seed as a mark beside those of the other cells, and the median as a line."""
    place, style = np.asarray(e.levels) + 0.025 * (index - (len(e.cells) - 1) / 2), look(cell)
    axes.plot(place, np.array(values), style["marker"], color=style["color"], ms=3, alpha=0.5, mew=0)
    axes.plot(place, [middle(at) for at in values], **style, label=cell)
