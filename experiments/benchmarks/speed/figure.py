"""The figures: functions of the record and nothing else."""

from __future__ import annotations

from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullFormatter, NullLocator

from experiments import plots
from experiments.benchmarks.cases import Case, Record, geometric, label, median, timed
from experiments.benchmarks.speed.findings import Evidence, fastest
from recurrax.timing import needed, size

# Okabe & Ito's colours; ours are filled, peers are open.
MARKS = {
    "recurrax scan": ("#0072B2", "o"), "recurrax adjoint": ("#D55E00", "s"), "recurrax auto": ("#000000", "D"),
    "recurrax pallas": ("#8A2BE2", "h"), "recurrax cudnn": ("#76B900", "d"),
    "flax.nnx": ("#009E73", "^"), "flax.linen": ("#009E73", "v"), "haiku": ("#CC79A7", "P"),
    "equinox": ("#E69F00", "X"), "keras": ("#56B4E9", "p"), "torch": ("#7F7F7F", "*"),
}  # fmt: skip
OTHER = ("#8A2BE2", "h")
CELLS = {"GRU": ("-", "o"), "MinGRU": ("--", "s"), "MinLSTM": (":", "v"), "DiagonalRNN": (":", "D"), "LRU": (":", "P")}
# Looks of engines in the curves.
COLORS = {
    "scan": "#0072B2", "adjoint": "#D55E00", "associative": "#CC79A7", "flax.nnx": "#009E73",
    "Scan()": "#0072B2", "Adjoint()": "#D55E00", "Scan(checkpoint_every=100)": "#56B4E9",
    "Scan(checkpoint_every='sqrt')": "#009E73", "Scan(checkpoint_every='log')": "#000000",
    "Associative()": "#CC79A7", "Associative(chunk=256)": "#E69F00",
}  # fmt: skip
CURVES = {"scaling T": "steps T", "scaling H": "units H", "scaling B": "sequences B", "scaling runs": "runs"}
RATIOS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 1, 1.5, 2, 3, 5, 10, 20, 50)


def draw(record: Record) -> dict[str, Figure]:
    """Ratios to the fastest JAX peer, curves of time and of memory, or else first calls; the first has no name."""
    e = Evidence(record)
    drawn = {}
    if cases := e.cases("training")[::-1]:
        drawn["ratios"] = comparison(e, cases)
    if curves := [name for name in CURVES if name in e.results]:
        drawn["scaling"] = scaling(e, curves)
    if "memory T" in e.results:
        drawn["memory"] = memory(e.results["memory T"])
    if not drawn and (part := e.results.get("first call")):
        drawn["start"] = first_call(part)
    if not drawn:
        drawn["none"] = plt.figure(figsize=(6, 1))
        drawn["none"].text(0.5, 0.5, "training steps, curves and first calls were not measured", ha="center")
    first = next(iter(drawn))
    return {"" if name == first else name: figure for name, figure in drawn.items()}


def comparison(e: Evidence, cases: list[Case]) -> Figure:
    """Every implementation of every training step as a mark, on a logarithmic axis."""
    figure, ((axes,),) = plots.panels(1, 1, 7.5, max(2.4, 1.8 + 0.28 * len(cases)))
    axes.axvline(1, color="0.5", lw=0.8)
    names = e.names()
    for name, shift in zip(names, np.linspace(0.3, -0.3, len(names)), strict=True):  # none hides another
        color, marker = MARKS.get(name, OTHER)
        ours = name.startswith("recurrax ")
        at = [(median(case, name) / median(case, best), row + shift) for row, case in enumerate(cases)
              if timed(case, name) and (best := fastest(case))]  # fmt: skip
        if at:
            x, y = zip(*at, strict=True)
            axes.scatter(x, y, s=18 if ours else 14, marker=marker, color=color if ours else "none", edgecolors=color,
                         linewidths=0.9, label=name, zorder=3 if ours else 2)  # fmt: skip
    axes.set_yticks(range(len(cases)), [label(case).replace(",", ", ") for case in cases])
    axes.set(title=takeaway(e), xlabel="time over that of the fastest JAX peer", ylabel="cell and B, T, D, H",
             xscale="log", ylim=(-0.5, len(cases) - 0.5))  # fmt: skip
    for row in range(0, len(cases), 2):
        axes.axhspan(row - 0.5, row + 0.5, color="0.95", lw=0, zorder=0)
    if axes.get_legend_handles_labels()[0]:
        low, high = axes.get_xlim()
        ticks(axes, [ratio for ratio in RATIOS if low <= ratio <= high])
        plots.legend_below(figure, axes)
    else:
        axes.set_xlim(0.5, 2)  # no JAX peer to compare with
    return figure


def takeaway(e: Evidence) -> str:
    """The main result of the comparison, in one line."""
    ratios = e.ratios("training", e.main()).values()
    if not ratios:
        return "Training step"
    return (
        f"{e.main()} takes {geometric(ratios):.2f} of the time of the fastest JAX peer\n"
        f"(geometric mean of {len(ratios)} training steps)"
    )


def scaling(e: Evidence, curves: list[str]) -> Figure:
    """Time of a training step against T, H, B and the number of runs."""
    figure, axes = plots.panels((len(curves) + 1) // 2, min(2, len(curves)), 3.9, 2.9)
    for panel, name, letter in zip(axes.flat, curves, "abcd", strict=False):
        points, axis = e.results[name], name.split()[-1]
        for series in names_of(points):
            times(panel, points, series)
        panel.set(title=f"{letter}  {against_flax(points[-1], axis)}", xlabel=CURVES[name], ylabel="ms")
        sizes(panel, points)
    for panel in axes.flat[len(curves) :]:
        panel.axis("off")
    handles, labels = axes[0, 0].get_legend_handles_labels()  # T has the series of all the others
    figure.legend(handles, labels, loc="outside lower center", ncols=4)
    return figure


def against_flax(point: Case, axis: str) -> str:
    """The result at the largest size of a curve, in one line."""
    ours, theirs = "GRU adjoint", "GRU flax.nnx"
    if not (timed(point, ours) and timed(point, theirs)):
        return f"Training step against {axis}"
    ratio = median(point, ours) / median(point, theirs)
    return f"{axis} = {point['x']:,}: {ours} / flax.nnx = {ratio:.2f}"


def times(axes: Axes, points: list[Case], series: str) -> None:
    """Medians of a series, with quartiles as a band."""
    cell, engine = series.split(" ", 1)
    at = [(point["x"], np.quantile(point["rows"][series]["milliseconds"], [0.25, 0.5, 0.75]))
          for point in points if timed(point, series)]  # fmt: skip
    if not at:
        return
    x, (low, middle, high) = [place for place, _ in at], np.array([quartiles for _, quartiles in at]).T
    color, (dash, marker) = COLORS.get(engine, OTHER[0]), CELLS.get(cell, ("-", "o"))
    axes.plot(x, middle, ls=dash, marker=marker, ms=3, lw=1.1, color=color, label=series)
    axes.fill_between(x, low, high, color=color, alpha=0.15, lw=0)


def memory(points: list[Case]) -> Figure:
    """Temporaries and outputs of every engine against T."""
    figure, ((axes,),) = plots.panels(1, 1, 6.0, 3.8)
    for name in names_of(points):
        cell, engine = name.split(" ", 1)
        at = [(point["x"], bytes_ / 2**20) for point in points if (bytes_ := needed(point["rows"].get(name, {})))]
        if at:
            x, y = zip(*at, strict=True)
            axes.plot(x, y, ls=CELLS[cell][0], marker=CELLS[cell][1], ms=3, lw=1.1, label=name,
                      color=COLORS.get(engine, OTHER[0]))  # fmt: skip
    kept = {
        name: found for name, row in points[-1]["rows"].items() if name.startswith("GRU") and (found := needed(row))
    }
    least = min(kept, key=lambda name: kept[name], default=None)
    text = f"\n{least} needs {size(kept[least])}, GRU Scan() {size(kept.get('GRU Scan()'))}" if least else ""
    axes.set(title=f"Memory of a training step: at T = {points[-1]['x']:,}{text}", xlabel="steps T", ylabel="MiB")
    sizes(axes, points)
    figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=2)
    return figure


def names_of(points: list[Case]) -> list[str]:
    """Every series of a curve, in order."""
    return list(dict.fromkeys(series for point in points for series in point["rows"]))


def sizes(axes: Axes, points: list[Case]) -> None:
    """Logarithmic axes, with the sizes that were measured as ticks."""
    axes.set(xscale="log", yscale="log")
    ticks(axes, [point["x"] for point in points])
    axes.yaxis.set_minor_formatter(NullFormatter())


def ticks(axes: Axes, values: list[Any]) -> None:
    """These values alone on the x axis, as plain numbers."""
    axes.xaxis.set_major_locator(FixedLocator(values))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xticks(values, [f"{value:,}" for value in values])


def first_call(part: dict[str, Any]) -> Figure:
    """The seconds until a first training step, tracing and compiling apart: medians, and every repetition."""
    figure, ((axes,),) = plots.panels(1, 1, 7.5, 2.4)
    for place, (name, row) in enumerate(part["rows"].items()):
        trace, both = np.asarray(row["trace"]), np.asarray(row["trace"]) + np.asarray(row["compile"])
        axes.barh(place, np.median(trace), color="0.75", label="" if place else "tracing")
        axes.barh(place, np.median(both) - np.median(trace), left=np.median(trace), color=MARKS.get(name, OTHER)[0],
                  alpha=0.7, label="" if place else "compiling")  # fmt: skip
        axes.plot(both, np.full(len(both), place), "k|", ms=6)
    shape = ", ".join(f"{letter} = {size:,}" for letter, size in zip("BTDH", part["shape"], strict=True))
    axes.set_yticks(range(len(part["rows"])), list(part["rows"]))
    axes.invert_yaxis()
    axes.set(xlabel="seconds; a stroke for each repetition", title=f"The first training step of an LSTM, {shape}")
    axes.legend()
    return figure
