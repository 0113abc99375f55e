"""The figures of `experiments.forecasting`: fans over a few days, errors by distance, and the shares."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments import plots
from experiments.forecasting.judging import REFERENCE, best_baseline, by_series, compared, seeds, skill, verdict
from experiments.lab import Record
from recurrax.palette import look

HOURS = {"electricity": 0.5, "weather": 1.0}  # length of a step
COLORS = {"persistence": "0.75", "daily naive": "0.6", "weekly naive": "0.45", "ridge": "#CC79A7"}


def draw(record: Record) -> dict[str, Figure]:
    """Fans and errors of electricity and weather, and the shares' R2 in a figure of its own."""
    found = by_series(record)
    shown = [name for name in found if name != "stocks" and found[name][1]]
    figures: dict[str, Figure] = {}
    if shown:
        figure, axes = plots.panels(len(shown), 2, 4.6, 3.0, gridspec_kw={"width_ratios": [1.5, 1]})
        for (left, right), letters, name in zip(axes, ("ab", "cd"), shown, strict=False):
            fan(left, name, *found[name], letters[0])
            distances(right, name, *found[name], letters[1])
        plots.takeaway(figure, takeaway(found, shown))
        figures[""] = figure
    if "stocks" in found and found["stocks"][1]:
        figure = shares(*found["stocks"])
        figures["shares" if shown else ""] = figure
    return figures


def takeaway(found: dict[str, Any], shown: list[str]) -> str:
    """A sentence on the best forecast of each series."""
    said = []
    for name in shown:
        base, cells = found[name]
        best = best_baseline(base)
        value = base["rows"][best]["mae"]
        cell = min(cells, key=lambda c: np.median(seeds(cells[c], "mae")))
        error = np.median(seeds(cells[cell], "mae"))
        far = f"{abs(error / value - 1):.0%} {'less' if error < value else 'more'}"
        sure = verdict(compared(cells[cell], base["rows"][best], name)) != "not told apart"
        said.append(f"on {name} the {cell} errs {far} than {plain(best)}{'' if sure else ', within chance'}")
    return "Beside the best simple forecast: " + "; ".join(said)


def plain(name: str) -> str:
    """The name of a baseline within a sentence."""
    return "the corrected weekly naive forecast" if "phi" in name else name


def fan(axes: Axes, name: str, base: Any, cells: dict[str, Any], letter: str) -> None:
    """The fans of the best cell over the first days of the test, made at midnight, with the truth."""
    cell = min(cells, key=lambda c: np.median(seeds(cells[c], "mae")))
    entry, reference = cells[cell], base["rows"][REFERENCE[name]]
    quantiles, truth = (np.asarray(entry["fans"][key]) for key in ("quantiles", "truth"))
    naive, color = np.asarray(reference["fans"]["quantiles"])[..., 2], look(cell)["color"]
    scale = 1000 if name == "electricity" else 1
    for day in range(len(truth)):
        x = day + (np.arange(truth.shape[1]) + 1) / truth.shape[1]
        q = quantiles[day] / scale
        labels = (
            ("",) * 5
            if day
            else ("90% interval", "50% interval", f"median of the {cell}", REFERENCE[name], "what came")
        )
        axes.fill_between(x, q[:, 0], q[:, 4], color=color, alpha=0.18, lw=0, label=labels[0])
        axes.fill_between(x, q[:, 1], q[:, 3], color=color, alpha=0.32, lw=0, label=labels[1])
        axes.plot(x, q[:, 2], color=color, lw=1.4, label=labels[2])
        axes.plot(x, naive[day] / scale, color="0.5", lw=0.9, ls="--", label=labels[3])
        axes.plot(x, truth[day] / scale, color="black", lw=1.1, label=labels[4])
        axes.axvline(day, color="0.9", lw=0.6, zorder=0)
    axes.set(xlabel="days of the test, a forecast made each midnight", xlim=(0, len(truth)))
    axes.set_ylabel("demand, GW" if name == "electricity" else "temperature, °C")
    axes.set_xticks(range(len(truth) + 1))
    low, high = axes.get_ylim()
    axes.set_ylim(low, high + 0.28 * (high - low))
    axes.legend(ncols=3, loc="upper left", fontsize=6.5)
    covered = np.median(seeds(entry, "coverage"))
    axes.set_title(f"{letter}  {name}: the 90% interval holds {covered:.0%} of the test")


def distances(axes: Axes, name: str, base: Any, cells: dict[str, Any], letter: str) -> None:
    """Error by distance, of every cell and baseline."""
    scale = 1000 if name == "electricity" else 1
    best = best_baseline(base)
    for label, row in base["rows"].items():
        error = np.asarray(row["horizon"]) / scale
        x = HOURS[name] * (1 + np.arange(len(error)))
        if row["mae"] > 2.5 * base["rows"][best]["mae"]:
            continue
        axes.plot(x, error, color=COLORS.get(label, "#E69F00"), ls="--", lw=1.2, label=label.partition(" + ")[0] + (
            ", corrected" if "+" in label else ""))  # fmt: skip
    for cell, entry in cells.items():
        error = np.median([one["horizon"] for one in entry["test"]], axis=0) / scale
        style = look(cell)
        axes.plot(x, error, color=style["color"], ls=style["ls"], lw=1.6, label=cell)
    axes.set(xlabel="hours ahead", ylim=(0, None))
    axes.set_ylabel("mean absolute error, " + ("GW" if name == "electricity" else "°C"))
    axes.set_xticks(range(0, 25, 6))
    axes.legend(fontsize=6.5, loc="lower right")
    axes.set_title(f"{letter}  {name}: error by distance")


def shares(base: Any, cells: dict[str, Any]) -> Figure:
    """R2 of every forecast of the shares with its interval, beside that of a forecast of 0."""
    figure, axes = plots.panels(1, 1, 5.2, 2.6)
    place = axes[0][0]
    rows = {**{name: row for name, row in base["rows"].items() if name not in ("zero", "persistence")}, **cells}
    for number, (name, entry) in enumerate(rows.items()):
        value, low, high = skill(entry, base)
        color = look(name)["color"] if name in cells else "0.4"
        place.plot([100 * low, 100 * high], [number, number], color=color, lw=2)
        place.plot(100 * value, number, "o", color=color)
    place.axvline(0, color="0.4", ls="--", lw=0.8)
    place.set_yticks(range(len(rows)), list(rows))
    place.set(xlabel="R2 against a forecast of 0, in percent, with 95% interval", ylim=(-0.6, len(rows) - 0.4))
    skilled = [name for name, entry in rows.items() if skill(entry, base)[1] > 0]
    plots.takeaway(figure, f"Skill on tomorrow's return: {', '.join(skilled) if skilled else 'none'}")
    return figure
