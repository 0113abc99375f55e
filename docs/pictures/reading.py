"""A plot of the gradient against the lag, with what there is to read in it."""

import jax
import numpy as np
from drawing import INK, LSTM, QUIET, RNN, Axes, Figure, plt
from flax import nnx

import recurrax as rx
from recurrax import gradflow
from recurrax.palette import look

CELLS = {"RNN": rx.RNNCell, "GRU": rx.GRUCell, "LSTM": rx.LSTMCell}
LABELS = {"RNN": (50, -26), "GRU": (54, -20.6), "LSTM": (54, -10.6)}


def profiles() -> dict[str, gradflow.Profile]:
    """The logarithm of |dL/ds| by lag, of each cell as it is at the start, over 16 sequences of 60 steps."""
    examples = jax.random.normal(jax.random.key(0), (16, 60, 2))
    found = {}
    for name, make in CELLS.items():
        cell = make(2, 32, rngs=nnx.Rngs(0))
        carry = cell.initialize_carry((2,))
        follow = jax.vmap(lambda xs, cell=cell, carry=carry: gradflow.state_gradients(cell, carry, xs))
        found[name] = gradflow.band(gradflow.by_lag(follow(examples)))
    return found


def notes(axes: Axes) -> None:
    """The notes on the plot: the level, the slope, the band, and the other scale."""
    style = {"arrowstyle": "-|>", "color": QUIET, "lw": 1.0}
    axes.axhline(0, color=QUIET, lw=0.9, ls=(0, (3, 2)))
    axes.annotate("a flat line here: nothing is lost", (30, 0), (30, 0.5), color=QUIET, fontsize=9, va="bottom")
    axes.annotate("slope: nats lost\nper step of lag", (33, -8.3), (37, -4.2), color=LSTM, fontsize=9, va="center",
                  arrowprops=style)  # fmt: skip
    axes.annotate("band: eight of ten sequences", (33, -16.5), (8, -22), color=RNN, fontsize=9, arrowprops=style)


def draw() -> Figure:
    """The curves with their notes; the scale at the right says the same as a share."""
    figure, axes = plt.subplots(figsize=(7, 3.9))
    figure.subplots_adjust(0.09, 0.14, 0.89, 0.97)
    for name, profile in profiles().items():
        style = look(name)
        lags = np.arange(len(profile.median))
        axes.fill_between(lags, profile.low, profile.high, color=style["color"], alpha=0.15, lw=0)
        axes.plot(lags, profile.median, **style, markevery=6)
        axes.annotate(name, LABELS[name], color=style["color"], fontsize=11, weight="bold", ha="center")
    notes(axes)
    axes.set(xlabel="lag: steps back from the loss", ylabel="ln |dL/ds|, 0 at the loss", xlim=(0, 61), ylim=(-31, 2.5))
    share = axes.secondary_yaxis("right")
    powers = [0, -3, -6, -9, -12]
    share.set_yticks([power * np.log(10) for power in powers], ["1", *(f"$10^{{{power}}}$" for power in powers[1:])])
    share.set_ylabel("share that arrives", color=INK)
    share.spines["right"].set_visible(True)
    return figure
