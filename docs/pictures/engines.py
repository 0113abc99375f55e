"""The ways in which engines run a sequence: step by step, all steps at once, by iteration, or in chunks."""

import itertools

from drawing import GRU, INK, QUIET, RNN, Axes, Figure, arrow, box, canvas, label, tint

from recurrax.palette import look

LRU, MATRIX = look("LRU")["color"], look("Mamba2")["color"]
PLACES = [0.28 + 0.38 * step for step in range(8)]


def frame(axes: Axes, corner: tuple[float, float], title: str, text: str, color: str) -> None:
    """The heading of a panel and what is said of it."""
    x, y = corner
    label(axes, (x + 0.12, y + 2.0), title, color, fontsize=11, weight="bold", ha="left")
    label(axes, (x + 0.12, y + 0.26), text, QUIET, fontsize=8.5, ha="left")


def row(axes: Axes, corner: tuple[float, float], height: float, color: str, fill: float = 0.18) -> list[tuple]:
    """Eight states beside each other; gives their places."""
    x, y = corner
    centers = [(x + place, y + height) for place in PLACES]
    for center in centers:
        box(axes, center, (0.24, 0.24), "", color, fill=tint(color, fill), lw=1.0)
    return centers


def in_turn(axes: Axes, corner: tuple[float, float]) -> None:
    """A loop: each step waits for the one before."""
    states = row(axes, corner, 1.2, RNN)
    for (x, y), (right, _) in itertools.pairwise(states):
        arrow(axes, [(x + 0.12, y), (right - 0.12, y)], RNN, scale=7, lw=1.2)
    text = "one step after the other, for every cell:\nreference, fewer bytes, fused kernel"
    frame(axes, corner, "Scan, Adjoint, Pallas", text, RNN)


def at_once(axes: Axes, corner: tuple[float, float]) -> None:
    """A tree: the steps of a linear cell are combined in pairs, then pairs of pairs."""
    states = row(axes, corner, 1.66, LRU)
    level, height = states, 1.66
    while len(level) > 1:
        height -= 0.33
        middles = [((a[0] + b[0]) / 2, corner[1] + height) for a, b in zip(level[::2], level[1::2], strict=True)]
        for middle, pair in zip(middles, zip(level[::2], level[1::2], strict=True), strict=True):
            for place in pair:
                arrow(axes, [(place[0], place[1] - 0.12), middle], LRU, head=False, lw=1.0)
            axes.plot(*middle, "o", ms=4.5, color=LRU, zorder=4)
        level = [(x, y + 0.12) for x, y in middles]
    frame(axes, corner, "Associative", "linear cells: all steps at once,\nin log T rounds", LRU)


def by_iteration(axes: Axes, corner: tuple[float, float]) -> None:
    """Guesses of the whole sequence, each better than the one before."""
    for number, (height, fill) in enumerate(((1.66, 0.04), (1.2, 0.3), (0.74, 0.85))):
        states = row(axes, corner, height, GRU, fill)
        if number < 2:
            for x, y in (states[1], states[3], states[5]):
                arrow(axes, [(x + 0.19, y - 0.13), (x + 0.19, y - 0.33)], GRU, scale=7, lw=1.0)
    frame(axes, corner, "Newton", "nonlinear cells: guess all steps,\nthen correct all at once", GRU)


def in_chunks(axes: Axes, corner: tuple[float, float]) -> None:
    """Products of matrices inside a chunk, one state handed on between chunks."""
    x, y = corner[0], corner[1] + 1.2
    for left in (x + 0.12, x + 1.66):
        box(axes, (left + 0.64, y), (1.28, 0.66), "", MATRIX, fill=tint(MATRIX, 0.1), lw=1.0)
        for number in range(4):
            box(axes, (left + 0.19 + 0.3 * number, y), (0.22, 0.22), "", MATRIX, fill=tint(MATRIX, 0.35), lw=1.0)
    arrow(axes, [(x + 1.4, y), (x + 1.66, y)], INK, scale=9, lw=1.6)
    frame(axes, corner, "Chunkwise", "matrix states: products inside a chunk,\na loop over chunks", MATRIX)


def draw() -> Figure:
    """Four panels; time runs to the right."""
    figure, axes = canvas(7, 4.95)
    in_turn(axes, (0.2, 2.45))
    at_once(axes, (3.75, 2.45))
    by_iteration(axes, (0.2, 0.1))
    in_chunks(axes, (3.75, 0.1))
    label(axes, (3.5, 4.78), "All engines give the same values and gradients; time runs to the right", fontsize=10.5)
    return figure
