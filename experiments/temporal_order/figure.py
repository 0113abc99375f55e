"""The figure: a function of the record and nothing else."""

from __future__ import annotations

from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments.style import STYLE
from experiments.temporal_order.tables import by_method
from recurrax.report import interval

# Okabe & Ito's colours, told apart without colour by dash and marker.
METHODS = {
    "SGD": ("#D55E00", "-", "o"), "SGD-C": ("#0072B2", "--", "s"), "SGD-CR": ("#009E73", "-.", "^"),
    "Adam": ("#CC79A7", ":", "D"),
}  # fmt: skip
NAMES = {"SGD": "SGD", "SGD-C": "SGD-C, clipped", "SGD-CR": "SGD-CR, clipped, Omega", "Adam": "Adam, clipped"}


def draw(record: dict[str, Any]) -> Figure:
    """A panel for each network: success rate against sequence length, as the paper's figure 7."""
    networks = record["config"]["networks"]
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(
            1, len(networks), figsize=(2.4 * len(networks) + 1, 3), sharey=True, squeeze=False, layout="constrained"
        )
        for panel, network in zip(axes[0], networks, strict=True):
            rates(panel, record, network)
        axes[0, 0].set_ylabel("share of seeds solved")
        handles = {}
        for panel in axes[0]:
            handles.update(dict(zip(*panel.get_legend_handles_labels()[::-1], strict=True)))
        figure.legend(handles.values(), handles, loc="outside lower center", ncols=4, handlelength=3)
    return figure


def rates(axes: Axes, record: dict[str, Any], network: str) -> None:
    """Success rates of one network with exact 95% intervals."""
    lengths = np.asarray(record["config"]["lengths"], float)
    shift = 0.02 * (lengths[-1] - lengths[0] or 1)
    for index, (method, (color, dash, marker)) in enumerate(METHODS.items()):
        runs = by_method(record, network).get(method)
        if runs is None:
            continue
        share = np.array([k / n for k, n in runs.values()])
        low, high = np.array([interval(k, n) for k, n in runs.values()]).T
        axes.errorbar(
            np.array(list(runs)) + shift * (index - 1.5), share, np.array([share - low, high - share]).clip(0),
            color=color, ls=dash, marker=marker, ms=5, lw=1.2, capsize=2, elinewidth=0.8, label=NAMES[method],
        )  # fmt: skip
    axes.set(title=network, xlabel="sequence length T", ylim=(-0.04, 1.04))
    axes.set_xticks(lengths)
