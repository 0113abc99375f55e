"""The share of the last step's error that reaches earlier steps in the three trained cells, from the record."""

import numpy as np
from drawing import INK, QUIET, Axes, Figure, arrow, box, canvas, label, tint

from experiments import lab
from recurrax.palette import look

LAGS = (100, 50, 20, 10, 5, 1, 0)
FIRST, APART = 1.25, 0.87  # the place of the earliest step, and the way to the next


def shares(cell: str) -> list[float]:
    """The share of the gradient that arrives so many steps back, the median over runs and sequences."""
    main, *_ = lab.records("vanishing_gradients")
    profile = main["results"][f"adding 100 {cell}"]["after"]["profile"]
    return [float(np.exp(profile["median"][lag])) for lag in LAGS]


def worded(share: float) -> str:
    """A share as a percentage, or as a power of ten where that would be 0%."""
    return f"{share:.0%}" if share >= 0.005 else f"$10^{{{np.log10(share):.0f}}}$"


def row(axes: Axes, cell: str, y: float) -> None:
    """A cell at seven steps; the darker a step, the more of the error reaches it."""
    color = look(cell)["color"]
    label(axes, (0.42, y), cell, color, fontsize=12, weight="bold")
    for number, share in enumerate(shares(cell)):
        x = FIRST + APART * number
        shown = min(share, 1.0)
        box(axes, (x, y), (0.64, 0.46), worded(share), color, fill=tint(color, 0.9 * shown + 0.02), lw=1.0,
            text_color="white" if shown > 0.55 else INK)  # fmt: skip
        if number:
            arrow(axes, [(x - 0.33, y), (x - APART + 0.34, y)], color, lw=0.6 + 2.2 * shown, alpha=0.25 + 0.75 * shown)


def draw() -> Figure:
    """A row for each cell, the last step at the right, where the loss is."""
    figure, axes = canvas(7, 3.1)
    label(axes, (3.86, 2.88), "How much of the error at the last step arrives so many steps back", fontsize=11)
    for cell, y in zip(("RNN", "GRU", "LSTM"), (2.35, 1.6, 0.85), strict=True):
        row(axes, cell, y)
    for number, lag in enumerate(LAGS):
        label(axes, (FIRST + APART * number, 0.38), f"{lag}" if lag else "loss", QUIET, fontsize=10)
    label(axes, (0.42, 0.38), "steps back", QUIET, fontsize=10)
    label(axes, (3.86, 0.12), "trained on adding, T = 100; medians over seeds and sequences", QUIET, fontsize=8.5)
    return figure
