"""Findings, tables and figure: functions of the record and nothing else."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments import baseline, plots
from experiments.hochreiter1997.config import GUESSING, PRESETS, PUBLISHED
from recurrax.palette import COLORS, DASHES, looks
from recurrax.report import censored, markdown_table, solved

Record = dict[str, Any]
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
        "Mean of the trials that stopped, as the paper gives it; median and range of all, those that did not stop by\n"
        "the cap counting as longer; exact 95% intervals.",
        training_table(results),
        f"## Test on {config['test']} fresh sequences, with the net at the stop",
        "Of the trials that stopped; of all of them where none did. Error: mean absolute error of the outputs.",
        test_table(results, config["test"]),
        *guessing_section(results),
        *target_section(results),
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
    rows = [row for row in ("4", "4-logistic") if row in results]
    if not rows:
        return []
    lines = []
    for row in rows:
        cells = {f"{k / 10:.1f}": percent(share) for k, share in enumerate(shares_by_target(results[row]))}
        lines.append({"row": row} | cells)
    return ["## Adding: share of wrong answers by target, tenths of [0, 1] from", markdown_table(lines)]


def findings(results: Any) -> list[str]:
    """What was found, in sentences made from the numbers."""
    lines = []
    for row, rule, met, entry in rules(results):
        paper = PUBLISHED[row]
        published, ours = paper.sequences[rule], mean(met)
        text = f"{paper.task} ({row}; {paper.rules[rule]}): {solved(met)} stop by {thousands(entry['cap'])} sequences"
        if ours is None:
            text += "" if published is None else f"; published mean {thousands(published)}: not reproduced"
        elif published is None:
            text += f", in the mean after {thousands(ours)}"
        else:
            ratio = ours / published
            same = "within" if 1 / FACTOR <= ratio <= FACTOR else "not within"
            text += f", in the mean after {thousands(ours)}, {ratio:.2f} of the published {thousands(published)}"
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
            f"trials after {guesses} guesses, {sequences} sequences in the mean."
        )
    return lines


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
                remark=paper.note,
                published=baseline.Published(f"{published:,} in the mean", source, "primary"),
            )
        )
    return rows


def shares_by_target(entry: Any) -> np.ndarray:
    """Share of wrong ones in each tenth of the targets' range, mean over trials, ``[10]``; NaN where there is none."""
    shares = np.ma.masked_invalid(np.asarray(entry["by_target"], float))
    return shares.mean(axis=0).filled(np.nan)


def mean(met: np.ndarray) -> float | None:
    """Of the trials that stopped; None if there is none."""
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


def draw(record: Record) -> Figure:
    """Sequences to the stop of every trial beside the paper's mean; learning curves; wrong answers by target."""
    results = record["results"]
    adding = [row for row in ("4", "4-logistic") if row in results]
    height = max(3.2, 1.2 + 0.2 * (len(rules(results)) + len(results)))
    columns = 2 + bool(adding)
    figure, axes = plots.panels(1, columns, 11 / columns, height)
    stops(axes[0, 0], results)
    curves(axes[0, 1], results)
    if adding:
        targets(axes[0, 2], results, adding)
    return figure


def stops(axes: Axes, results: Any) -> None:
    """Every trial as a dot, censored ones as open triangles at the cap, the published mean as a bar."""
    labels = []
    for place, (row, rule, met, entry) in enumerate(lines_of(results)):
        spread = place + 0.25 * np.linspace(-1, 1, len(met))
        done = met >= 0
        label = dict.fromkeys(("done", "open", "paper"), None)
        if place == 0:
            label = {"done": "a trial", "open": "not by the cap", "paper": "published mean"}
        axes.plot(met[done], spread[done], "o", ms=3, color="#0072B2", alpha=0.6, mew=0, label=label["done"])
        axes.plot(
            np.full((~done).sum(), entry["cap"]), spread[~done], ">", ms=4, mfc="w", color="0.5", label=label["open"]
        )
        published = None if row in GUESSING else PUBLISHED[row].sequences[rule]
        axes.plot([published or np.nan] * 2, [place - 0.4, place + 0.4], color="#D55E00", lw=2, label=label["paper"])
        labels.append(row if rule == 0 else f"{row}, rule {rule + 1}")
    axes.set(xscale="log", yticks=range(len(labels)), yticklabels=labels, xlabel="training sequences")
    pairs = [(mean(met), PUBLISHED[row].sequences[rule]) for row, rule, met, _ in rules(results)]
    printed = [(ours, theirs) for ours, theirs in pairs if theirs]
    same = sum(bool(ours) and 1 / FACTOR <= ours / theirs <= FACTOR for ours, theirs in printed)
    axes.set(title=f"a  {same} of {len(printed)} published means within a factor {FACTOR:g}", ylabel="row")
    axes.invert_yaxis()
    below(axes, ncols=3)


def curves(axes: Axes, results: Any) -> None:
    """Share of wrong answers while training, median over trials."""
    trained = [row for row in results if row not in GUESSING]
    for row, (dash, color) in zip(trained, itertools.product(DASHES, COLORS), strict=False):
        curve = results[row]["curve"]
        axes.plot(curve["sequences"], np.asarray(curve["wrong"], float), lw=1.2, label=row, color=color, ls=dash)
    axes.set(xscale="log", ylim=(-0.03, 1.03), xlabel="training sequences", ylabel="share of wrong answers")
    axes.set(title="b  How the median trial learns")
    below(axes, ncols=4)


def below(axes: Axes, ncols: int) -> None:
    """The legend under the label of the axis, however high the figure is (inches)."""
    height = axes.get_window_extent().height / axes.figure.dpi or 1
    axes.legend(loc="upper left", bbox_to_anchor=(0, -0.5 / height), ncols=ncols)


def targets(axes: Axes, results: Any, rows: list[str]) -> None:
    """Share of wrong answers in each tenth of the range of targets, every trial and the mean."""
    middle = (np.arange(10) + 0.5) / 10
    for row, style in looks(rows).items():
        axes.plot(middle, np.asarray(results[row]["by_target"], float).T, color=style["color"], lw=0.5, alpha=0.35)
        axes.plot(middle, shares_by_target(results[row]), **style, label=row)
    title = "c  Adding, fresh sequences"
    if "4-logistic" in rows:
        title = f"c  Logistic: {tenths(results['4-logistic'])[0]:.0%} wrong at the ends"
    axes.set(xlabel="target 1/2 + (X1 + X2)/4", ylabel="share of wrong answers", title=title)
    axes.legend()


def tenths(entry: Any) -> tuple[float, float]:
    """Mean share of wrong answers in the two outer tenths at each end of the targets' range, and in the six between."""
    shares = shares_by_target(entry)
    return float(np.mean(shares[[0, 1, 8, 9]])), float(np.mean(shares[2:8]))


def lines_of(results: Any) -> list[tuple[str, int, np.ndarray, Any]]:
    """Trained rows and, as one line each, guessed ones."""
    guessed = [(row, 0, np.asarray(entry["met"][0]), entry) for row, entry in results.items() if row in GUESSING]
    return [*rules(results), *guessed]
