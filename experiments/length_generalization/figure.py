"""The figure: a function of the record and nothing else."""

from __future__ import annotations

from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments.length_generalization.tables import FAIL
from experiments.style import STYLE

# Okabe & Ito's colours, told apart without colour by dash and marker.
NETWORKS = {
    "sigmoid": ("#E69F00", "-", "v"), "basic tanh": ("#009E73", "-", "^"), "smart tanh": ("#56B4E9", "--", "o"),
    "LSTM": ("#D55E00", "-.", "s"), "GRU": ("#0072B2", ":", "D"),
}  # fmt: skip


def draw(record: dict[str, Any]) -> Figure:
    """A panel for each task: wrong answers against sequence length, every seed and the median."""
    names = record["config"]["tasks"]
    with plt.rc_context(STYLE):
        size = max(5.5, 3.2 * len(names) + 1), 3.2
        figure, axes = plt.subplots(1, len(names), figsize=size, sharey=True, squeeze=False, layout="constrained")
        for panel, name in zip(axes[0], names, strict=True):
            wrong(panel, record, name)
        axes[0, 0].set_ylabel("wrong answers, +1/2 of one")
        figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=6, handlelength=3)
    return figure


def wrong(axes: Axes, record: dict[str, Any], name: str) -> None:
    """One task; half an answer is added so that no error has a place on the log scale."""
    config = record["config"]
    lengths, least = config["test_lengths"], 0.5 / config["tested"]
    for network in config["networks"]:
        color, dash, marker = NETWORKS[network]
        seeds = np.asarray(record["results"][f"{name}, {network}"]["wrong"], float) + least
        axes.plot(lengths, seeds, color=color, lw=0.6, alpha=0.5)
        axes.plot(lengths, np.median(seeds, axis=1), dash, color=color, marker=marker, ms=4, lw=1.4, label=network)
    axes.axhline(FAIL, color="0.5", lw=0.8, ls="--", label="1%")
    first, last = config["train_lengths"][0], config["train_lengths"][-1]
    axes.axvspan(first, last, color="0.9", lw=0, label="trained")
    axes.set(title=name, xlabel="sequence length T", xscale="log", yscale="log", ylim=(0.7 * least, 1.2))
