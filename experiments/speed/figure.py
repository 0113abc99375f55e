"""The figure: a function of the record and nothing else."""

from __future__ import annotations

from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullFormatter, NullLocator

from experiments.speed.evidence import Evidence, fastest, label, median, needed, timed
from experiments.style import STYLE

# Okabe & Ito's colours; ours are filled, peers are open.
MARKS = {
    "recurrax scan": ("#0072B2", "o"), "recurrax adjoint": ("#D55E00", "s"), "recurrax auto": ("#000000", "D"),
    "recurrax pallas": ("#8A2BE2", "h"), "recurrax cudnn": ("#76B900", "d"),
    "flax.nnx": ("#009E73", "^"), "flax.linen": ("#009E73", "v"), "haiku": ("#CC79A7", "P"),
    "equinox": ("#E69F00", "X"), "keras": ("#56B4E9", "p"), "torch": ("#7F7F7F", "*"),
}  # fmt: skip
OTHER = ("#8A2BE2", "h")
ENGINES = {"scan": "#0072B2", "adjoint": "#D55E00", "associative": "#CC79A7", "flax.nnx": "#009E73"}
CELLS = {"GRU": ("-", "o"), "MinGRU": ("--", "s"), "MinLSTM": (":", "v"), "DiagonalRNN": (":", "D"), "LRU": (":", "P")}
KEPT = {
    "Scan()": "#0072B2", "Adjoint()": "#D55E00", "Scan(checkpoint_every=100)": "#56B4E9",
    "Scan(checkpoint_every='sqrt')": "#009E73", "Scan(checkpoint_every='log')": "#000000",
    "Associative()": "#CC79A7", "Associative(chunk=256)": "#E69F00",
}  # fmt: skip
CURVES = {"scaling T": "steps T", "scaling H": "units H", "scaling B": "sequences B", "scaling runs": "runs"}


def draw(record: dict[str, Any]) -> Figure:
    """Ratios to the fastest JAX peer at the left; scaling curves and memory, where they were measured, at the right."""
    e = Evidence(record)
    cases = e.cases("training")[::-1]
    curves = [name for name in CURVES if name in e.results]
    right = bool(curves or "memory T" in e.results)
    with plt.rc_context(STYLE):
        height = max(6.4 if right else 2.0, 1.8 + 0.28 * len(cases))
        figure = plt.figure(figsize=(12.5 if right and cases else 7.5, height), layout="constrained")
        if right and cases:
            first, second = figure.subfigures(1, 2, width_ratios=[5, 7.5])  # type: ignore[misc]
            comparison(first, e, cases)
            grid(second, e, curves)
        elif right:
            grid(figure, e, curves)
        elif cases:
            comparison(figure, e, cases)
        else:
            figure.text(0.5, 0.5, "neither training steps nor curves were measured", ha="center")
    return figure


def comparison(figure: Any, e: Evidence, cases: list[dict[str, Any]]) -> None:
    """Every implementation of every training step as a mark, on a logarithmic axis."""
    axes = figure.subplots()
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
    axes.set(title="a  Training step (cell and B, T, D, H)", xlabel="time over that of the fastest JAX peer",
             xscale="log", ylim=(-0.5, len(cases) - 0.5))  # fmt: skip
    for row in range(0, len(cases), 2):
        axes.axhspan(row - 0.5, row + 0.5, color="0.95", lw=0, zorder=0)
    if not axes.get_legend_handles_labels()[0]:
        axes.set_xlim(0.5, 2)  # no JAX peer to compare with
        return
    ratio_ticks(axes)
    figure.legend(loc="outside lower center", ncols=5, handletextpad=0.2, columnspacing=1.0)


def ratio_ticks(axes: Axes) -> None:
    """Ratios as plain numbers."""
    low, high = axes.get_xlim()
    ticks = [tick for tick in (0.1, 0.2, 0.3, 0.5, 0.7, 1, 1.5, 2, 3, 5, 10, 20) if low <= tick <= high]
    axes.xaxis.set_major_locator(FixedLocator(ticks))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])


def grid(figure: Any, e: Evidence, curves: list[str]) -> None:
    """Time against T, H, B and runs; memory against T. Each group of panels has one legend."""
    weighed = "memory T" in e.results
    panels = figure.subplots(3 if weighed else 2, 2, squeeze=False)
    letters = iter("bcdefg")
    handles: dict[str, Any] = {}
    for axes, name in zip(panels[:2].flat, CURVES, strict=True):
        if name not in curves:
            axes.set_visible(False)
            continue
        times(axes, e.results[name])
        axes.set(title=f"{next(letters)}  Training step against {name.split()[-1]}", xlabel=CURVES[name], ylabel="ms")
        handles |= dict(zip(*axes.get_legend_handles_labels()[::-1], strict=True))
    if weighed:
        place, room = panels[2]
        kept(place, e.results["memory T"])
        place.set(title=f"{next(letters)}  Memory of a training step", xlabel="steps T", ylabel="MiB")
        room.axis("off")  # for the legend of the panel beside it
        own, labels = place.get_legend_handles_labels()
        room.legend(own, labels, loc="center left", title="memory (dashed: MinGRU)", alignment="left")
    if handles:
        figure.legend(list(handles.values()), list(handles), loc="outside lower center", ncols=5, columnspacing=1.0)


def times(axes: Axes, points: list[dict[str, Any]]) -> None:
    """Medians of every series, with quartiles as bars."""
    for name in dict.fromkeys(series for point in points for series in point["rows"]):
        cell, engine = name.split(" ", 1)
        at = [(point["x"], np.quantile(point["rows"][name]["milliseconds"], [0.25, 0.5, 0.75]))
              for point in points if timed(point, name)]  # fmt: skip
        if not at:
            continue
        x, values = [place for place, _ in at], np.array([quartiles for _, quartiles in at]).T
        dash, marker = CELLS.get(cell, ("-", "o"))
        axes.plot(x, values[1], ls=dash, marker=marker, ms=3, lw=1.1, color=ENGINES.get(engine, OTHER[0]), label=name)
        axes.fill_between(x, values[0], values[2], color=ENGINES.get(engine, OTHER[0]), alpha=0.15, lw=0)
    axes.set(xscale="log", yscale="log")
    sizes(axes, points)


def kept(axes: Axes, points: list[dict[str, Any]]) -> None:
    """Temporaries and outputs of every engine."""
    for name in dict.fromkeys(series for point in points for series in point["rows"]):
        cell, engine = name.split(" ", 1)
        at = [(point["x"], bytes_ / 2**20) for point in points if (bytes_ := needed(point["rows"].get(name, {})))]
        if at:
            x, y = zip(*at, strict=True)
            axes.plot(x, y, ls=CELLS[cell][0], marker=CELLS[cell][1], ms=3, lw=1.1, color=KEPT.get(engine, OTHER[0]),
                      label=name)  # fmt: skip
    axes.set(xscale="log", yscale="log")
    sizes(axes, points)


def sizes(axes: Axes, points: list[dict[str, Any]]) -> None:
    """The sizes that were measured as ticks."""
    at = [point["x"] for point in points]
    axes.xaxis.set_major_locator(FixedLocator(at))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xticks(at, [f"{x:,}" for x in at])
    axes.yaxis.set_minor_formatter(NullFormatter())
