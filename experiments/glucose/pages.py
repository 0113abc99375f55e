"""The page of `experiments.glucose`."""

from __future__ import annotations

import textwrap
from typing import Any

import numpy as np

from experiments.baselines import blocks
from experiments.lab import Record
from recurrax.report import markdown_table

BLOCK = 3  # days of a block
READER = """## In short, for a reader of an article on LSTMs

**What it is.** A sensor under the skin gives a reading of glucose every five minutes. A recurrent network reads the
last three hours and the time of the day, and gives quantiles of each of the next twelve readings. The 5% quantile says
how low glucose may get; where it falls below a threshold, the network raises an alarm.

**What the data look like.** One patient, from March to October 2010, 52,281 readings with 580 holes (from the package
bokeh_sampledata, public domain as its maintainers state). Glucose rises and falls within an hour or two after meals
and insulin, which the data do not have. Readings below 70 mg/dl, hypoglycaemia, are 3 to 5% of all.

**What the network learns.** Glucose has momentum: a fall goes on for some minutes and then bends. The network learns
how fast it bends, and that the uncertainty is larger where glucose is high or moves fast.

**What beats it.** Ridge regression on the same three hours is close, because the next half-hour is nearly linear in the
last one. A study with meals, insulin and many patients would leave more for a network to learn.

**When to use an LSTM here.** Use one when intervals matter, not only the forecast: one network gives every quantile of
every step at once. Calibrate the quantiles on later data than it was trained on, and count false alarms. This is an
experiment on one patient and no medical device."""


def page(record: Record) -> list[Any]:
    """Title, findings, the tables, and a summary for readers."""
    return [
        "Glucose half an hour ahead, with alarms",
        findings(record),
        "## Forecasts",
        forecasts(record),
        wrapped(said_of_forecasts(record)),
        "## Alarms",
        alarms(record),
        wrapped(said_of_alarms(record)),
        f"## How\n\n{wrapped(method(record))}",
        READER,
    ]


def wrapped(text: str) -> str:
    """A paragraph in lines of a page."""
    return textwrap.fill(text, 118)


def split(record: Record) -> tuple[Any, dict[str, Any]]:
    """The baselines' entry, and the cells by name."""
    results = record["results"]
    return results["baselines"], {name: entry for name, entry in results.items() if name != "baselines"}


def seeds(entry: Any, *path: str) -> np.ndarray:
    """A number of every seed of a cell; of a baseline the one number it has."""
    values = []
    for one in entry["test"] if "test" in entry else [entry]:
        for name in path:
            one = one[name]
        values.append(one)
    return np.asarray(values, float)


def compared(entry: Any, other: Any, column: int = 0) -> tuple[float, float, float]:
    """RMSE over that of another forecast of the same days, with a 95% interval of the block bootstrap."""
    ours, theirs = (
        np.mean([one["by_day"]["squared"][column] for one in (e["test"] if "test" in e else [e])], axis=0)
        for e in (entry, other)
    )
    low, high = blocks.ratio(ours, theirs, BLOCK)
    return float(np.sqrt(ours.sum() / theirs.sum())), float(np.sqrt(low)), float(np.sqrt(high))


def best_baseline(base: Any) -> str:
    """The baseline with the smallest RMSE 30 minutes ahead on the test."""
    return min(base["rows"], key=lambda name: base["rows"][name]["rmse_30"])


def findings(record: Record) -> list[str]:
    """The findings as sentences, made from the numbers."""
    base, cells = split(record)
    best = best_baseline(base)
    median = {cell: np.median(seeds(entry, "rmse_30")) for cell, entry in cells.items()}
    winner = min(median, key=lambda cell: median[cell])
    value, low, high = compared(cells[winner], base["rows"][best])
    word = "better than" if high < 1 else "worse than" if low > 1 else "not told apart from"
    rows = base["rows"]
    coverages = [np.median(seeds(entry, "calibrated", "coverage")) for entry in cells.values()]
    raw = [np.median(seeds(entry, "raw", "coverage")) for entry in cells.values()]
    ap = {cell: np.median(seeds(entry, "alarm", "ap")) for cell, entry in cells.items()}
    others = {
        **{name: row["alarm"]["ap"] for name, row in rows.items()},
        "boosted classifier": base["classifier"]["alarm"]["ap"],
    }
    top = max(others, key=lambda name: others[name])
    return [
        f"30 minutes ahead the RMSE in mg/dl is {listed(median, 2)}; {best} has {rows[best]['rmse_30']:.2f} and "
        f"persistence {rows['persistence']['rmse_30']:.2f}. The {winner} is {word} {best}: its error is {value:.3f} "
        f"times as large (95% interval {low:.3f} to {high:.3f}).",
        f"The 90% intervals of the networks cover {spread(raw)} of the test as they are, and {spread(coverages)} after "
        "calibration on the validation part.",
        f"The average precision of the alarms is {listed(ap, 3)}; the best baseline, {top}, has {others[top]:.3f}. "
        f"An alarm at random would have {base['classifier']['alarm']['base']:.3f}.",
    ]


def listed(values: dict[str, Any], digits: int) -> str:
    """Numbers by name."""
    return ", ".join(f"{name} {value:.{digits}f}" for name, value in values.items())


def spread(values: list[Any]) -> str:
    """A range of shares."""
    low, high = f"{min(values):.0%}", f"{max(values):.0%}"
    return low if low == high else f"{low} to {high}"


def forecasts(record: Record) -> str:
    """Errors and coverage of every forecast, the best 30 minutes ahead first."""
    base, cells = split(record)
    best = base["rows"][best_baseline(base)]
    rows = []
    for name, entry in {**base["rows"], **cells}.items():
        value, low, high = compared(entry, best)
        rmse = seeds(entry, "rmse_30")
        rows.append(
            {
                "forecast": name,
                "RMSE 30 min": middle(rmse, 2),
                "60 min": middle(seeds(entry, "rmse_60"), 2),
                "30 min over the best baseline's": "1" if entry is best else f"{value:.3f} ({low:.3f} to {high:.3f})",
                "90% interval covers 30 min": f"{np.median(seeds(entry, 'calibrated', 'coverage_30')):.0%}",
                "60 min ": f"{np.median(seeds(entry, 'calibrated', 'coverage_60')):.0%}",
                "remark": entry.get("note") or remark(entry),
                "order": np.median(rmse),
            }
        )
    rows.sort(key=lambda row: row.pop("order"))
    return markdown_table(rows)


def remark(entry: Any) -> str:
    """The choice of the validation split for a cell."""
    if "learning_rate" not in entry:
        return ""
    return f"added to the reading now, rate {entry['learning_rate']:g}, {entry['parameters']:,} parameters"


def middle(values: np.ndarray, digits: int) -> str:
    """The median over seeds, and the range where there are several."""
    text = f"{np.median(values):.{digits}f}"
    return text if len(values) == 1 else f"{text} ({min(values):.{digits}f} to {max(values):.{digits}f})"


def alarms(record: Record) -> str:
    """Every alarm, the one with the largest average precision first."""
    base, cells = split(record)
    rows = []
    for name, entry in {**base["rows"], "boosted classifier": base["classifier"], **cells}.items():
        ap = seeds(entry, "alarm", "ap")
        foreseen, of = np.median(seeds(entry, "alarm", "foreseen")), seeds(entry, "alarm", "episodes")[0]
        rows.append(
            {
                "alarm": name,
                "average precision": middle(ap, 3),
                "episodes foreseen": f"{foreseen:.0f} of {of:.0f}",
                "median lead, min": f"{np.median(seeds(entry, 'alarm', 'lead')):.0f}",
                "false alarms a day": f"{np.median(seeds(entry, 'alarm', 'false_a_day')):.2f}",
                "precision": f"{np.median(seeds(entry, 'alarm', 'precision')):.2f}",
                "recall": f"{np.median(seeds(entry, 'alarm', 'recall')):.2f}",
                "order": -np.median(ap),
            }
        )
    rows.sort(key=lambda row: row.pop("order"))
    return markdown_table(rows)


def said_of_forecasts(record: Record) -> str:
    """The method behind the first table."""
    base, _ = split(record)
    sizes = base["sizes"]
    return (
        f"There are {sizes['train']:,} training windows, {sizes['validation']:,} for validation and {sizes['test']:,} "
        "for the test; no window spans a hole. Of a cell the table has the median over seeds and the range. Windows "
        "overlap, so the interval of the ratio of RMSEs comes from a bootstrap of blocks of three days, with the "
        "squared errors of the seeds averaged. The quantiles of a cell are shifted by the quantiles of its "
        "validation errors at each step ahead (split conformal prediction); the intervals of the baselines are made "
        "of their validation errors in the same way."
    )


def said_of_alarms(record: Record) -> str:
    """The definition of an alarm and of a correct alarm."""
    return (
        "An alarm may be raised at every reading that is not low, and is right if glucose falls below 70 mg/dl within "
        "30 minutes. Its score is how low the calibrated 5% quantile of the next 30 minutes gets; of a baseline, how "
        "low its forecast gets; the boosted classifier is trained on the alarm itself. The threshold is the one with "
        "the largest F1 on the validation part. An episode begins where glucose is low after 30 minutes without; it is "
        "foreseen if an alarm was raised in the 30 minutes before, and the lead counts from the first of these. Alarms "
        "less than 30 minutes apart are one alarm, which is false if it was right at no reading."
    )


def method(record: Record) -> str:
    """The training of the networks."""
    config = record["config"]
    rates = ", ".join(f"{rate:g}" for rate in config["learning_rate"])
    return (
        f"Every network has one layer of {config['hidden']} units that reads {config['length']} readings, with "
        f"dropout {config['dropout']:g} before the outputs. Adam makes at most {config['steps']} updates on "
        f"{config['batch_size']} windows each, with the norm of the gradient clipped at 1. A run stops after "
        f"{config['patience']} evaluations, {config['chunk']} updates apart, without a lower validation loss, and its "
        f"best model counts. The first 70% of the readings train, the next 15% choose the learning rate ({rates}), "
        "the shift of the quantiles and the threshold of the alarm; the last 15% test. The output is added to the "
        f"reading now. Scalers see the training part alone. Seeds: {', '.join(map(str, config['seeds']))}."
    )
