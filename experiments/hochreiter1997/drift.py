"""Activity of the cells of experiment 1 in trained nets, measured in the run and drawn from the record.

Without a bias at the output units, a cell can serve as one: its input gate stays near 1, its state moves the same way
at every step and ends where h is flat, h' near 0. Such a cell cannot keep the first T or P until it is asked for.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments import plots
from experiments.hochreiter1997.network import Network, activate, states
from experiments.hochreiter1997.published import PUBLISHED, WIDE
from experiments.hochreiter1997.rows import Setup
from experiments.hochreiter1997.training import Trial
from recurrax.palette import COLORS
from recurrax.report import markdown_table
from recurrax.tasks import Example

SYMBOLS = "BTPSXVE"
T, P = 1, 2  # their places in it
SHOWN = 12  # symbols, at least, of the string whose states are kept
BIAS = 0.9  # mean input gate and remaining share of h'(0) of cells that serve as bias units
FLAT = 0.1
KEEPS = 0.5  # share of the variance of h(C) explained by T or P, for cells that keep it
Measured = dict[str, Any]


def measure(setup: Setup, trials: Trial) -> Measured:
    """The activity of each cell, arrays ``[trials, H]``, and the states of a failed and a solved net at one string."""
    found = jax.jit(jax.vmap(lambda trial: cells(setup, last(trial), trial.source.strings)))(trials)
    entry: Measured = {name: np.asarray(values) for name, values in found.items()}
    met = np.asarray(trials.met)[:, -1]
    for name, which in (("failed", met < 0), ("solved", met >= 0)):
        if which.any():
            entry[name] = trace(setup, jax.tree.map(lambda leaf, k=int(which.argmax()): leaf[k], trials))
    return entry


def last(trial: Trial) -> Network:
    """The net kept for the last rule."""
    return jax.tree.map(lambda leaf: leaf[-1], trial.kept)


def cells(setup: Setup, network: Network, strings: Example) -> dict[str, jax.Array]:
    """Statistics of each cell over all strings, ``[H]`` each; the end is the step at which the second T or P is due.

    "gate": mean of its input gate. "moves": mean of ``|i g|``. "state": mean of ``|C|`` at the end. "slope": mean of
    ``h'(C) / h'(0)`` at the end. "keeps": share of the variance of ``h(C)`` at the end that the first T or P explains.
    """
    net, steps = setup.net, strings.weights > 0
    a, C = jax.vmap(lambda xs: states(network, xs, len(xs)))(strings.inputs)
    units = activate(net, a)
    i = net.spread(units.i)
    ends = jnp.sum(steps, axis=1) - 2
    C_end = jnp.take_along_axis(C, ends[:, None, None], axis=1)[:, 0]
    h, slope = jax.jvp(net.h, (C_end,), (jnp.ones_like(C_end),))
    steepest = jax.grad(lambda c: net.h(c))(0.0)
    is_t = strings.inputs[:, 1, T]
    apart = h - jnp.mean(h, axis=0)
    between = jnp.mean(apart * (is_t - jnp.mean(is_t))[:, None], axis=0) ** 2 / jnp.var(is_t)
    return {
        "gate": jnp.sum(i * steps[..., None], axis=(0, 1)) / jnp.sum(steps),
        "moves": jnp.sum(jnp.abs(i * units.g) * steps[..., None], axis=(0, 1)) / jnp.sum(steps),
        "state": jnp.mean(jnp.abs(C_end), axis=0),
        "slope": jnp.mean(slope, axis=0) / steepest,
        "keeps": between / jnp.maximum(jnp.var(h, axis=0), 1e-12),
    }


def trace(setup: Setup, trial: Trial) -> Measured:
    """States ``[steps, H]`` at the first string that is long enough, and at the same one with T and P exchanged."""
    strings = jax.device_get(trial.source.strings)
    lengths = (strings.weights > 0).sum(axis=1)
    chosen = int(np.argmax((lengths >= SHOWN) & (lengths < strings.weights.shape[1])))
    xs = strings.inputs[chosen, : lengths[chosen]]
    entry: Measured = {"string": "".join(SYMBOLS[k] for k in xs.argmax(-1))}
    for name, symbol in (("T", T), ("P", P)):
        told = xs.copy()
        told[[1, -1]] = np.eye(len(SYMBOLS), dtype=xs.dtype)[symbol]
        entry[name] = np.asarray(states(last(trial), jnp.asarray(told), len(told))[1])
    return entry


def rows(results: Any) -> list[str]:
    """Rows whose cells were looked at."""
    return [row for row, entry in results.items() if "drift" in entry]


def table(results: Any) -> str:
    """For each row, of failed and of solved nets: the medians over cells, and the kinds of cells in a net."""
    lines = []
    for row in rows(results):
        for name, chosen in outcomes(results[row]).items():
            if not chosen.any():
                continue
            of = {key: np.asarray(results[row]["drift"][key], float)[chosen] for key in ("gate", "state", "slope")}
            keeps = np.asarray(results[row]["drift"]["keeps"], float)[chosen]
            lines.append(
                {
                    "row": row,
                    "nets": f"{int(chosen.sum())} {name}",
                    "cells of a net": str(keeps.shape[1]),
                    "input gate": f"{np.median(of['gate']):.2f}",
                    "state": f"{np.median(of['state']):.1f}",
                    "h'(C) / h'(0)": f"{np.median(of['slope']):.3f}",
                    "bias units in a net": f"{biases(of['gate'], of['slope']).sum(1).mean():.2f}",
                    "cells that keep T or P": f"{(keeps >= KEEPS).sum(1).mean():.2f}",
                }
            )
    return markdown_table(lines)


def finding(results: Any) -> list[str]:
    """In how many failed and solved nets some cell keeps T or P, and how many cells serve as bias units."""
    found = []
    for row in rows(results):
        entry, texts = results[row]["drift"], []
        for name, chosen in outcomes(results[row]).items():
            if not chosen.any():
                continue
            keeps = (np.asarray(entry["keeps"], float)[chosen] >= KEEPS).any(axis=1)
            served = biases(np.asarray(entry["gate"], float)[chosen], np.asarray(entry["slope"], float)[chosen])
            texts.append(
                f"in {keeps.sum()} of {chosen.sum()} {name} nets a cell keeps T or P, and on average "
                f"{served.sum(1).mean():.1f} of {served.shape[1]} cells are bias units"
            )
        found.append(f"{row}: {'; '.join(texts)}.")
    return found


def outcomes(entry: Any) -> dict[str, np.ndarray]:
    """The nets that failed and those that solved the task, bool ``[trials]`` each."""
    met = np.asarray(entry["met"][-1])
    return {"failed": met < 0, "solved": met >= 0}


def biases(gate: np.ndarray, slope: np.ndarray) -> np.ndarray:
    """The cells that serve as bias units: an open input gate, and a state where h is flat."""
    return (gate >= BIAS) & (slope <= FLAT)


def section(record: Any) -> list[str]:
    """The part of a record's page, empty where no cells were looked at."""
    if not rows(record["results"]):
        return []
    figure = f"![Input gates, states and slopes of the cells of experiment 1]({record['hash']}-drift.png)"
    return [
        "## Why experiment 1 fails: bias units and drift",
        "The table shows medians over all cells of the nets, on all 512 strings: the mean input gate, and the state\n"
        "and h'(C) / h'(0) at the end, the step that asks for the second T or P. A bias unit has a mean input gate\n"
        f">= {BIAS:g} and h'(C) / h'(0) <= {FLAT:g}. A cell keeps T or P if the first T or P explains at least\n"
        f"{KEEPS:.0%} of the variance of h(C) at the end.",
        *([figure] if pair(record["results"]) else []),
        table(record["results"]),
    ]


def pair(results: Any) -> tuple[str, str] | None:
    """The first row as printed and the first with wider outputs; None where one of them is missing."""
    wide = [row for row in rows(results) if PUBLISHED[row].differs.startswith(WIDE)]
    printed = [row for row in rows(results) if row not in wide]
    return (printed[0], wide[0]) if printed and wide else None


def draw(results: Any) -> Figure | None:
    """Gates and states of all cells as printed and with wider outputs, and the states of two nets.

    Wider outputs see inputs and gates too, not cells alone. None where the record lacks one of the two.
    """
    found = pair(results)
    if found is None:
        return None
    printed, wide = found
    words = {printed: "As printed", wide: "Wider outputs"}
    figure, axes = plots.panels(2, 2, 3.9, 2.7)
    for letter, panel, row in zip("ab", axes[0], (printed, wide), strict=True):
        scatter(panel, results[row])
        solved = outcomes(results[row])["solved"]
        panel.set_title(f"{letter}  {words[row]}: {solved.sum()} of {len(solved)} nets solve it")
    for letter, panel, row, name in zip("cd", axes[1], (printed, wide), ("failed", "solved"), strict=True):
        states_of(panel, results[row]["drift"].get(name), name)
        panel.set_title(f"{letter}  Cells of a {name} net: T solid, P dashed")
    plots.takeaway(figure, headline(results, printed, wide))
    return figure


def headline(results: Any, printed: str, wide: str) -> str:
    """A sentence on the difference between failed and solved nets."""

    def of(row: str, name: str) -> tuple[np.ndarray, np.ndarray]:
        chosen, entry = outcomes(results[row])[name], results[row]["drift"]
        gate, slope, keeps = (np.asarray(entry[key], float)[chosen] for key in ("gate", "slope", "keeps"))
        return biases(gate, slope), np.any(keeps >= KEEPS, axis=1)

    (served, _), (_, kept) = of(printed, "failed"), of(wide, "solved")
    if not len(served):
        return f"In {kept.sum()} of {len(kept)} nets that solve it with wider outputs a cell keeps T or P"
    return (
        f"As printed, {served.sum(1).mean():.1f} of {served.shape[1]} cells of a failed net serve as bias units and "
        f"drift away; in {kept.sum()} of {len(kept)} nets that solve it with wider outputs a cell keeps T or P"
    )


def scatter(axes: Axes, entry: Any) -> None:
    """Every cell of every net: its mean input gate, and how far its state has gone at the end."""
    for (name, chosen), color in zip(outcomes(entry).items(), (COLORS[1], COLORS[0]), strict=True):
        gate, state = (np.asarray(entry["drift"][key], float)[chosen].ravel() for key in ("gate", "state"))
        axes.plot(gate, state, ls="", marker="o", ms=2.5, mew=0, alpha=0.6, color=color, label=f"{name} nets")
    axes.set(xlabel="mean input gate of a cell", ylabel="|state| at the end", xlim=(-0.03, 1.03))
    axes.legend()


def states_of(axes: Axes, traced: Any, name: str) -> None:
    """Every cell's state along a string that has T, and dashed along the one that has P."""
    axes.set(xlabel="symbol", ylabel="state C")
    if not traced:
        axes.set(xticks=[], yticks=[])
        axes.annotate(f"no {name} net", (0.5, 0.5), xycoords="axes fraction", ha="center")
        return
    for style, symbol in (("-", "T"), ("--", "P")):
        for cell, color in zip(np.asarray(traced[symbol], float).T, COLORS, strict=False):
            axes.plot(cell, ls=style, lw=1.1, color=color)
    inside = traced["string"][2:-1]
    axes.set_xticks(range(len(traced["string"])), ["B", "·", *inside, "·"], fontsize=6)
