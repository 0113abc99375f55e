"""The GRU cell: one state, an update gate that keeps it and a reset gate that hides it from the candidate."""

from drawing import GATE, GRU, INK, QUIET, RNN, Axes, Figure, arrow, box, canvas, circle, label

TOP, MIDDLE, GATES = 3.35, 2.55, 1.75  # heights of the state, of what is written, of the gates
H_BUS, X_BUS = 1.1, 0.8  # and of the lines that carry h and x to the gates
X = {"z": 2.05, "r": 3.15, "n": 4.75}
RESET = 3.95  # the place where r meets h


def gates(axes: Axes) -> None:
    """The three layers, what they are called, and what they read."""
    for name, x in X.items():
        text, color = ("tanh", GRU) if name == "n" else ("$\\sigma$", GATE)
        box(axes, (x, GATES), (0.62, 0.42), text, color, fontsize=11)
    for name in ("z", "r"):
        arrow(axes, [(X[name] - 0.1, X_BUS), (X[name] - 0.1, GATES - 0.22)])
        arrow(axes, [(X[name] + 0.1, H_BUS), (X[name] + 0.1, GATES - 0.22)], GRU)
    arrow(axes, [(1.35, 0.35), (1.35, X_BUS), (X["n"], X_BUS), (X["n"], GATES - 0.22)])
    arrow(axes, [(1.35, TOP), (1.35, H_BUS), (RESET, H_BUS), (RESET, GATES - 0.16)], GRU)
    for name, text in (("z", "update\ngate"), ("r", "reset\ngate")):
        label(axes, (X[name] - 0.17, GATES - 0.42), text, QUIET, fontsize=8, ha="right")
    label(axes, (X["n"] + 0.09, GATES - 0.5), "candidate", QUIET, fontsize=8, ha="left")


def draw() -> Figure:
    """Left the old state, right the new one."""
    figure, axes = canvas(7, 4.4)
    box(axes, (3.55, 2.35), (5.1, 3.25), "", QUIET, fill="#FAFAFA", lw=1.0, zorder=0)
    arrow(axes, [(0.52, TOP), (X["z"] - 0.15, TOP)], GRU, lw=2.6)
    arrow(axes, [(X["z"] + 0.15, TOP), (5.25, TOP)], GRU, lw=2.6)
    arrow(axes, [(5.55, TOP), (6.62, TOP)], GRU, lw=2.6)
    circle(axes, (X["z"], TOP), "×", RNN)
    circle(axes, (5.4, TOP), "+", GRU)
    gates(axes)
    arrow(axes, [(X["z"], GATES + 0.22), (X["z"], TOP - 0.16)])
    label(axes, (X["z"] - 0.17, 2.25), "$z_t$", fontsize=12)
    arrow(axes, [(X["r"] + 0.31, GATES), (RESET - 0.16, GATES)])
    circle(axes, (RESET, GATES), "×", RNN)
    label(axes, (3.62, GATES + 0.18), "$r_t$", fontsize=12)
    arrow(axes, [(RESET + 0.15, GATES), (X["n"] - 0.32, GATES)], GRU)
    box(axes, (3.4, MIDDLE), (0.62, 0.34), "$1 - z_t$", QUIET, fill="white", fontsize=9)
    arrow(axes, [(X["z"], MIDDLE), (3.08, MIDDLE)])
    circle(axes, (X["n"], MIDDLE), "×", RNN)
    arrow(axes, [(3.72, MIDDLE), (X["n"] - 0.16, MIDDLE)])
    arrow(axes, [(X["n"], GATES + 0.22), (X["n"], MIDDLE - 0.16)])
    label(axes, (X["n"] + 0.2, 2.18), "$n_t$", fontsize=12)
    arrow(axes, [(X["n"] + 0.15, MIDDLE), (5.4, MIDDLE), (5.4, TOP - 0.16)])
    arrow(axes, [(5.85, TOP), (5.85, 4.2)], INK)
    for place, text in (((0.24, TOP), "$h_{t-1}$"), ((6.8, TOP), "$h_t$")):
        label(axes, place, text, GRU, fontsize=12)
    label(axes, (1.35, 0.2), "$x_t$", fontsize=12)
    label(axes, (6.24, 4.2), "$y_t = h_t$", fontsize=12)
    label(axes, (3.75, TOP + 0.27), "the state: kept by $z_t$, written by $1 - z_t$", GRU, fontsize=9.5)
    return figure
