"""How every figure looks: small type, no frame, titles at the left."""

from __future__ import annotations

from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

STYLE: dict[Any, Any] = {
    "font.size": 8, "axes.titlesize": 9, "axes.titlelocation": "left", "axes.spines.top": False,
    "axes.spines.right": False, "legend.fontsize": 7, "legend.frameon": False,
}  # fmt: skip


def legend_below(figure: Figure, axes: Axes) -> None:
    """One legend for the whole figure, of what these axes show, in as many columns as there is room for."""
    handles, labels = axes.get_legend_handles_labels()
    columns = min(len(labels), max(1, int(figure.get_figwidth() / 1.1)))  # inches that a column takes
    figure.legend(handles, labels, loc="outside lower center", ncols=columns)
