"""The figure of `experiments.anomaly`: the scores of half a year, a bad day hour by hour, and every score's AUROC."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib import dates as mdates
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments import plots
from experiments.anomaly.data import FIRST, HOURS
from experiments.anomaly.judging import all_scores, interval, split
from experiments.anomaly.pages import measured
from experiments.lab import Record
from recurrax.palette import look

BAD = "#D55E00"
LABELS = {
    "mean weekday of the training part": "mean of the weekday", "median of four same weekdays": "four same weekdays",
    "mean delay of the day": "mean delay",
}  # fmt: skip


def draw(record: Record) -> Figure:
    """Scores through the half-year above; a bad day and the comparison below."""
    base, cells = split(record)
    found = measured(record)
    best = max(cells, key=lambda cell: np.median(found[cell]["auroc"]))
    figure, axes = plots.panels(2, 1, 8.4, 2.7)
    grid = axes[1][0].get_subplotspec()
    axes[1][0].remove()
    lower = grid.subgridspec(1, 3, width_ratios=[1, 1, 1.1])
    half_year(axes[0][0], base, np.median(all_scores(record)[best], axis=0), best)
    hours = cells[best]["hours"]
    one_day(figure.add_subplot(lower[0, 0]), hours, "delay", "mean delay, minutes", "b", best)
    one_day(figure.add_subplot(lower[0, 1]), hours, "departures", "departures an hour", "c", best)
    comparison(figure.add_subplot(lower[0, 2]), record)
    simple = max(base["scores"], key=lambda name: found[name]["auroc"][0])
    plots.takeaway(
        figure,
        f"The {best}'s surprise tells disrupted days with an AUROC of {np.median(found[best]['auroc']):.2f}; "
        f"{simple}: {found[simple]['auroc'][0]:.2f}",
    )
    return figure


def half_year(axes: Axes, base: Any, score: np.ndarray, cell: str) -> None:
    """The score of every day of the test, the disrupted ones marked."""
    days = mdates.date2num(np.asarray(base["date"], "datetime64[D]"))
    disrupted = np.asarray(base["disrupted"])
    axes.vlines(days, score.min(), score, color=look(cell)["color"], lw=1, alpha=0.6)
    axes.plot(days[~disrupted], score[~disrupted], "o", ms=2.5, color=look(cell)["color"], label="other days")
    axes.plot(days[disrupted], score[disrupted], "D", ms=4.5, color=BAD, label="more than 5% cancelled")
    axes.xaxis.set_major_locator(mdates.MonthLocator())
    axes.xaxis.set_major_formatter(mdates.DateFormatter("%-d %b"))
    axes.set(ylabel="surprise, nats a number", xlim=(days[0] - 2, days[-1] + 2))
    axes.set_ylim(top=score.max() + 0.2 * (score.max() - score.min()))  # room for the legend
    axes.legend(loc="upper center", ncols=2)
    axes.set(title=f"a  Surprise of each day under the {cell}'s forecast of the evening before", xlabel="day")


def one_day(axes: Axes, hours: Any, what: str, label: str, letter: str, cell: str) -> None:
    """The forecast and the true values for each hour of a bad day."""
    x, quantiles = FIRST + np.arange(HOURS), np.asarray(hours[what])
    color = look(cell)["color"]
    axes.fill_between(x, quantiles[0], quantiles[4], color=color, alpha=0.18, lw=0, label="90% interval")
    axes.fill_between(x, quantiles[1], quantiles[3], color=color, alpha=0.32, lw=0, label="50% interval")
    axes.plot(x, quantiles[2], color=color, lw=1.2, label="median")
    axes.plot(x, hours["came"][what], "o-", color=BAD, ms=3, lw=1, label="what came")
    axes.set(xlabel="hour of the day", ylabel=label, xticks=range(6, 24, 4))
    date = np.datetime64(hours["date"]).item()
    axes.set_title(f"{letter}  {hours['airport']}, {date.day} {date:%B}")
    if letter == "b":
        axes.legend(loc="upper right", fontsize=6)


def comparison(axes: Axes, record: Record) -> None:
    """AUROC of every score with its interval."""
    base, cells = split(record)
    found, scores, disrupted = measured(record), all_scores(record), np.asarray(base["disrupted"])
    shown = [*cells, *(f"{cell}, lateness" for cell in cells)]
    names = sorted([*base["scores"], *shown], key=lambda name: np.median(found[name]["auroc"]))
    for place, name in enumerate(names):
        color = look(name.partition(",")[0])["color"] if name in shown else "0.45"
        axes.plot(interval(scores[name], disrupted), [place, place], color=color, lw=1.6)
        axes.plot(found[name]["auroc"], np.full(len(found[name]["auroc"]), place), "o", color=color, ms=3.5)
    axes.axvline(0.5, color="0.6", ls="--", lw=0.7)
    axes.set_yticks(range(len(names)), [LABELS.get(name, name) for name in names], fontsize=6.5)
    axes.set(xlabel="AUROC, 95% interval", xlim=(0.4, 1))
    axes.set_title("d  Every score")
