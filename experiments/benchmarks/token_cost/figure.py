"""The figure: a function of the record and nothing else."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments import plots
from experiments.benchmarks.token_cost.page import findings, races, times
from experiments.lab import Record
from recurrax.palette import looks


def draw(record: Record) -> Figure:
    """Time of a token and bytes of state against the context."""
    config = record["config"]
    figure, axes = plots.panels(1, 1 + len(config["batches"]), 3.4, 3.1)
    for letter, panel, batch in zip("abc", axes[0], config["batches"], strict=False):
        latency(panel, record, batch)
        panel.set_title(f"{letter}  A token, {batch} sequence{'s' * (batch > 1)} at a time")
    last, styles = axes[0, -1], looks(config["models"])
    for name in config["models"]:
        states = [(entry["context"], entry["models"][name]["state"]) for entry in races(record, config["batches"][0])]
        last.plot(*np.transpose(states), **styles[name])
    last.set(title=f"{'abcd'[len(config['batches'])]}  State of a sequence", xlabel="tokens of context", ylabel="bytes",
             xscale="log", yscale="log")  # fmt: skip
    if first := next(iter(findings(record)), ""):
        plots.takeaway(figure, first)
    plots.legend_below(figure, axes[0, 0])
    return figure


def latency(axes: Axes, record: Record, batch: int) -> None:
    """Median of every model, and a band up to the 99th percentile."""
    styles = looks(record["config"]["models"])
    for name in record["config"]["models"]:
        entries = races(record, batch)
        contexts = [entry["context"] for entry in entries]
        low, high = np.transpose([np.quantile(times(entry, name), [0.5, 0.99]) for entry in entries])
        axes.plot(contexts, low, **styles[name], label=name)
        axes.fill_between(contexts, low, high, color=styles[name]["color"], alpha=0.15, lw=0)
    axes.set(xlabel="tokens of context", ylabel="microseconds", xscale="log", yscale="log")
