"""The LSTM cell: the cell state runs along the top, three gates decide what is kept, written and read."""

from drawing import GATE, GRU, INK, LSTM, QUIET, RNN, Axes, Figure, arrow, box, canvas, circle, label

TOP, GATES, BUS = 3.35, 1.75, 0.95  # heights of the cell state, of the gates, of what the gates read
X = {"f": 1.7, "i": 2.75, "c": 3.75, "o": 4.9}
GATE_SIZE = (0.62, 0.42)


def gates(axes: Axes) -> None:
    """The four layers that read x and h, and what they are called."""
    shown = {"f": "$\\sigma$", "i": "$\\sigma$", "c": "tanh", "o": "$\\sigma$"}
    for name, x in X.items():
        box(axes, (x, GATES), GATE_SIZE, shown[name], LSTM if name == "c" else GATE, fontsize=11)
        arrow(axes, [(x, BUS), (x, GATES - 0.22)])
    for x, text in ((X["f"], "forget\ngate"), (X["i"], "input\ngate"), (X["c"], "candidate"), (X["o"], "output\ngate")):
        label(axes, (x - 0.09, GATES - 0.52), text, QUIET, fontsize=8, ha="right")


def draw() -> Figure:
    """Left the old states, right the new ones."""
    figure, axes = canvas(7, 4.4)
    box(axes, (3.55, 2.35), (5.1, 3.25), "", QUIET, fill="#FAFAFA", lw=1.0, zorder=0)
    arrow(axes, [(0.52, TOP), (X["f"] - 0.15, TOP)], LSTM, lw=2.6)
    arrow(axes, [(X["f"] + 0.15, TOP), (3.1, TOP)], LSTM, lw=2.6)
    arrow(axes, [(3.4, TOP), (6.62, TOP)], LSTM, lw=2.6)
    circle(axes, (X["f"], TOP), "×", RNN)
    circle(axes, (3.25, TOP), "+", GRU)
    gates(axes)
    arrow(axes, [(X["f"], GATES + 0.22), (X["f"], TOP - 0.16)])
    label(axes, (X["f"] + 0.17, 2.62), "$f_t$", fontsize=12)
    circle(axes, (3.25, 2.62), "×", RNN)
    arrow(axes, [(X["i"], GATES + 0.22), (X["i"], 2.62), (3.09, 2.62)])
    arrow(axes, [(X["c"], GATES + 0.22), (X["c"], 2.62), (3.41, 2.62)])
    arrow(axes, [(3.25, 2.78), (3.25, TOP - 0.16)])
    label(axes, (X["i"] + 0.15, 2.25), "$i_t$", fontsize=12)
    label(axes, (X["c"] + 0.17, 2.25), "$\\tilde{c}_t$", fontsize=12)
    box(axes, (5.5, 2.95), (0.55, 0.34), "tanh", QUIET, fill="white", fontsize=9)
    arrow(axes, [(5.5, TOP), (5.5, 3.13)], LSTM, lw=1.8)
    circle(axes, (5.5, 2.35), "×", RNN)
    arrow(axes, [(5.5, 2.78), (5.5, 2.51)])
    arrow(axes, [(X["o"], GATES + 0.22), (X["o"], 2.35), (5.34, 2.35)])
    label(axes, (X["o"] - 0.17, 2.2), "$o_t$", fontsize=12)
    arrow(axes, [(5.5, 2.19), (5.5, BUS), (6.62, BUS)])
    arrow(axes, [(5.85, BUS), (5.85, 4.2)], INK)
    arrow(axes, [(0.52, BUS), (X["o"], BUS)], INK, head=False)
    arrow(axes, [(1.15, 0.35), (1.15, BUS)], INK, head=False)
    for place, text in (
        ((0.24, TOP), "$C_{t-1}$"), ((6.8, TOP), "$C_t$"), ((0.26, BUS), "$h_{t-1}$"), ((6.8, BUS), "$h_t$"),
        ((1.15, 0.2), "$x_t$"), ((6.22, 4.2), "$y_t = h_t$"),
    ):  # fmt: skip
        label(axes, place, text, LSTM if "C" in text else INK, fontsize=12)
    label(axes, (2.55, TOP + 0.27), "cell state: kept by $f_t$, written by $i_t$", LSTM, fontsize=9.5)
    return figure
