"""The figure: a function of the record and nothing else."""

from __future__ import annotations

from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments.engine_options.tables import AUTO, cases, options, plain, ratios
from experiments.speed.evidence import label
from experiments.style import STYLE

LIMIT = 1.0  # of log2 of the ratio, where the colours end


def draw(record: dict[str, Any]) -> Figure:
    """For each cell a map of times over that of "auto": engines and options down, shapes across."""
    config = record["config"]
    names = [option for option in options(record) if option != AUTO and ratios(record, option)]
    panels = [(cell, dtype) for dtype in config["dtypes"] for cell in config["cells"]]
    across, down = len(config["shapes"]), len(names)
    with plt.rc_context(STYLE):
        size = 2.6 + 0.5 * across * len(panels), 1.9 + 0.21 * down
        figure, axes = plt.subplots(1, len(panels), figsize=size, layout="constrained", sharey=True, squeeze=False)
        for panel, (cell, dtype) in zip(axes[0], panels, strict=True):
            image = times(panel, record, names, cell, dtype)
        axes[0, 0].set_yticks(range(down), [plain(name) for name in names])
        bar = figure.colorbar(image, ax=list(axes[0]), shrink=0.6, ticks=[-1, 0, 1], extend="both")
        bar.ax.set_yticklabels(["0.5", "1", "2"])
        bar.set_label('time over that of "auto"')
    return figure


def times(axes: Axes, record: dict[str, Any], names: list[str], cell: str, dtype: str) -> Any:
    """One cell; every ratio is written into its square, so that the colours are not needed."""
    mine = [case for case in cases(record) if (case["cell"], case["dtype"]) == (cell, dtype)]
    values = np.array([[ratios(record, name).get(label(case), np.nan) for case in mine] for name in names])
    image = axes.imshow(np.log2(values), cmap="PuOr_r", vmin=-LIMIT, vmax=LIMIT, aspect="auto")
    for (row, column), value in np.ndenumerate(values):
        text = "" if np.isnan(value) else f"{value:.2f}" if value < 9.995 else f"{value:.0f}"
        dark = not np.isnan(value) and abs(np.log2(value)) > 0.7 * LIMIT
        axes.text(column, row, text, ha="center", va="center", fontsize=6, color="w" if dark else "k")
    axes.set_xticks(range(len(mine)), [",".join(map(str, case["shape"])) for case in mine], rotation=60, ha="right")
    axes.set(title=cell if dtype == "float32" else f"{cell}, {dtype}", xlabel="B,T,D,H")
    return image
