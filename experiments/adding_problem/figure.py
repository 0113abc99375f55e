"""The figure: a function of the record and nothing else."""

from __future__ import annotations

from typing import Any

import matplotlib.pyplot as plt
from matplotlib.figure import Figure

from experiments.curves import learning, unsolved
from experiments.style import STYLE, legend_below


def draw(record: dict[str, Any]) -> Figure:
    """For each length: the learning curves between chance and the criterion, and who is there after how long."""
    entries, config = list(record["results"].values()), record["config"]
    lengths = config["lengths"]
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(
            len(lengths), 2, figsize=(9, 3.4 * len(lengths)), layout="constrained", squeeze=False
        )
        for (left, right), length in zip(axes, lengths, strict=True):
            shown = [entry for entry in entries if entry["length"] == length]
            chance = shown[0]["chance_level"]
            learning(left, shown)
            levels = {"guessing": chance, "one value": chance / 2, "criterion": config["loss"]}
            for name, level in levels.items():
                left.axhline(level, color="0.4", ls="--", lw=0.7)
                left.annotate(name, (1, level), (-2, 2), xycoords=("axes fraction", "data"),
                              textcoords="offset points", ha="right", fontsize=6, color="0.3")  # fmt: skip
            left.set(title=f"T = {length}: held-out loss of every seed and median", ylabel="MSE")
            unsolved(right, shown)
            right.set(title="Seeds above the criterion (Kaplan & Meier)")
        legend_below(figure, axes[0, 0])
    return figure
