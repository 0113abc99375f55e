"""The recurrent network folded and unrolled: one set of weights, used at every step; the error flows back along it."""

from drawing import QUIET, RNN, Axes, Figure, arrow, box, canvas, label

SIZE = (0.86, 0.62)
STEPS = ("1", "2", "3", "T")


def step(axes: Axes, x: float, index: str) -> None:
    """The cell at one step with its input below and its output above."""
    box(axes, (x, 1.75), SIZE, "cell", RNN)
    arrow(axes, [(x, 0.85), (x, 1.42)])
    arrow(axes, [(x, 2.07), (x, 2.64)])
    label(axes, (x, 0.66), f"$x_{{{index}}}$", fontsize=12)
    label(axes, (x, 2.82), f"$y_{{{index}}}$", fontsize=12)


def draw() -> Figure:
    """Left the loop, right the same cell at four steps, with the way of the error below the states."""
    figure, axes = canvas(7, 3.5)
    step(axes, 0.85, "t")
    arrow(axes, [(1.28, 1.85), (1.6, 1.85), (1.6, 2.35), (0.1, 2.35), (0.1, 1.75), (0.41, 1.75)], RNN, lw=1.8)
    label(axes, (1.8, 2.1), "$h_t$", RNN, fontsize=12)
    label(axes, (2.1, 1.72), "=", fontsize=20)
    places = (2.85, 4.05, 5.25, 6.45)
    for x, index in zip(places, STEPS, strict=True):
        step(axes, x, index)
    for left, right, name in zip(places, places[1:], ("$h_1$", "$h_2$", "$\\cdots$"), strict=False):
        arrow(axes, [(left + 0.43, 1.85), (right - 0.44, 1.85)], RNN, lw=1.8)
        label(axes, ((left + right) / 2, 2.05), name, RNN, fontsize=12)
        arrow(axes, [(right - 0.44, 1.62), (left + 0.45, 1.62)], QUIET, ls=(0, (3, 2)), lw=1.2)
    label(axes, (0.85, 3.22), "one cell, one loop", fontsize=11)
    label(axes, (4.65, 3.22), "the same cell with the same weights at every step", fontsize=11)
    label(axes, (4.65, 0.24), "solid: the state goes forward     dashed: the error comes back", QUIET, fontsize=9.5)
    return figure
