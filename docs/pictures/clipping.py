"""The effect of clipping on a gradient: by norm it keeps the direction, by value it does not."""

import numpy as np
from drawing import INK, LSTM, QUIET, RNN, Axes, Figure, plt, tint
from matplotlib.patches import Circle, Rectangle

GRADIENTS = np.array([[2.6, 0.7], [0.5, 0.45], [1.5, 2.2]])


def arrows(axes: Axes, clipped: np.ndarray) -> None:
    """Each gradient, thin, and what is left of it, thick."""
    style = {"arrowstyle": "-|>", "shrinkA": 0, "shrinkB": 0, "mutation_scale": 12}
    for before, after in zip(GRADIENTS, clipped, strict=True):
        axes.annotate("", before, (0, 0), arrowprops=style | {"color": QUIET, "lw": 1.1, "ls": (0, (3, 2))})
        axes.annotate("", after, (0, 0), arrowprops=style | {"color": RNN, "lw": 2.4})
    axes.set(xlim=(-0.15, 3), ylim=(-0.15, 2.5), aspect="equal", xticks=[0, 1, 2, 3], yticks=[0, 1, 2])
    axes.set_xlabel("first component of the gradient")


def draw() -> Figure:
    """Left by norm, right by value, both at a threshold of 1."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(7, 3.4), sharey=True)
    figure.subplots_adjust(0.08, 0.15, 0.99, 0.9, wspace=0.08)
    norms = np.linalg.norm(GRADIENTS, axis=1, keepdims=True)
    left.add_patch(Circle((0, 0), 1, facecolor=tint(LSTM), edgecolor=LSTM, lw=1.2))
    right.add_patch(Rectangle((-1, -1), 2, 2, facecolor=tint(LSTM), edgecolor=LSTM, lw=1.2))
    arrows(left, GRADIENTS / np.maximum(1, norms))
    arrows(right, np.clip(GRADIENTS, -1, 1))
    left.annotate("threshold", (0.05, 1.06), color=LSTM, fontsize=9)
    right.annotate("as it was", (1.62, 2.2), color=QUIET, fontsize=9)
    right.annotate("what is applied", (1.08, 0.86), color=RNN, fontsize=9)
    left.set_ylabel("second component")
    left.set_title("by norm: shorter, same direction", fontsize=11, color=INK)
    right.set_title("by value: the direction changes", fontsize=11, color=INK)
    return figure
