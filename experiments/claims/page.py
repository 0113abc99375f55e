"""The claims with their measurements and verdicts, as page and figure: functions of the record and nothing else."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments import plots
from experiments.claims.evidence import Evidence
from experiments.claims.measurements import SETTLED, STABILITY_LENGTH, TRAINED
from experiments.claims.verdicts import CLAIMS, FAILS, HOLDS, UNDECIDED, Verdict
from experiments.compare import RULE, rate
from recurrax.palette import look
from recurrax.report import interval, markdown_table

Record = dict[str, Any]
NUMBERS = ("none", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")
STYLES = {cell: look("IRNN" if cell == "identity RNN" else cell) for cell in TRAINED}


def page(record: Record) -> list[Any]:
    """Title, how many claims hold, the claims, and the numbers behind them."""
    config = record["config"]
    seeds = ", ".join(map(str, config["seeds"]))
    return [
        "What of the textbook comparison of RNN, LSTM and GRU is true?",
        [summary(record)],
        claims(record),
        RULE + " Times: ratios\nwith quartiles.",
        f"## Learning: adding, H = {config['hidden']}",
        f"Adam at learning rates {config['learning_rate']}, norm clipped at 1, at most {config['steps']} updates, "
        f"seeds {seeds}; the better rate\nof each cell and length. dy/dx: root mean squares.",
        learning(record),
        f"## Stability: adding T = {STABILITY_LENGTH}, learning rates {config['stability_rates']}",
        f"Unstable: the loss is not finite, or above twice the chance level after update {SETTLED}.",
        unstable(record),
    ]


def summary(record: Record) -> str:
    """How many claims hold: "Seven of the 16 claims hold, five hold only under a condition"."""
    kinds = Counter(row.verdict if row.verdict in (HOLDS, FAILS, UNDECIDED) else "only if" for row in judge(record))
    words = {
        HOLDS: ("holds", "hold"),
        "only if": ("holds only under a condition", "hold only under a condition"),
        FAILS: ("does not hold", "do not hold"),
        UNDECIDED: ("is undecided", "are undecided"),
    }
    told = [(kinds[kind], words[kind][kinds[kind] > 1]) for kind in words if kinds[kind]]
    texts = [f"{NUMBERS[count] if count < len(NUMBERS) else count} {verb}" for count, verb in told]
    texts[0] = texts[0].replace(" ", f" of the {len(CLAIMS)} claims ", 1).capitalize()
    return f"{', '.join(texts[:-1])}, and {texts[-1]}." if texts[1:] else f"{texts[0]}."


def judge(record: Record) -> list[Verdict]:
    """Every claim with its verdict."""
    evidence = Evidence(record)
    return [claim(evidence) for claim in CLAIMS]


def claims(record: Record) -> str:
    """The table of the claims."""
    return markdown_table([{**row._asdict(), "verdict": f"**{row.verdict}**"} for row in judge(record)])


def learning(record: Record) -> str:
    """Every cell at every length, at its better learning rate."""
    e = Evidence(record)
    rows = []
    for T in e.lengths:
        for cell in TRAINED:
            run = e.run(cell, T)
            rows.append(
                {
                    "T": str(T),
                    "cell": cell,
                    "solved": e.share(cell, T),
                    "updates to criterion": e.updates(cell, T),
                    "test loss": f"{np.nanmedian(run['loss']):.4f}",
                    "dy/dx, marked over unmarked": f"{np.nanmedian(run['signal_to_noise']):.1f}",
                }
            )
    return markdown_table(rows)


def unstable(record: Record) -> str:
    """Unstable runs of every cell without and with clipping, and the share of clipped updates."""
    e = Evidence(record)
    rows = []
    for cell in TRAINED:
        entry = record["results"][f"stability {cell}"]
        at_one = np.asarray(entry["settings"]["clip_norm"]) <= 1
        rows.append(
            {
                "cell": cell,
                "unstable, not clipped": rate(*e.unstable(cell, clipped=False)),
                "unstable, clipped": rate(*e.unstable(cell, clipped=True)),
                "clipped updates": f"{np.nanmean(np.asarray(entry['clipped'], float)[at_one]):.0%}",
            }
        )
    return markdown_table(rows)


def draw(record: Record) -> Figure:
    """Four panels: seeds solved and updates against length, gradient flow at initialisation, time of a step."""
    evidence = Evidence(record)
    figure, axes = plots.panels(2, 2, 4.8, 3.2)
    solved(axes[0, 0], evidence)
    updates(axes[0, 1], evidence, record["config"]["steps"])
    flow(axes[1, 0], record["results"]["flow"], evidence)
    cost(axes[1, 1], evidence)
    plots.legend_below(figure, axes[0, 0])
    return figure


def solved(axes: Axes, e: Evidence) -> None:
    """Share of seeds solved at each length, with its exact interval."""
    for index, cell in enumerate(TRAINED):
        counts = [e.count(cell, T) for T in e.lengths]
        share = np.array([k / n for k, n in counts])
        low, high = np.array([interval(k, n) for k, n in counts]).T
        place = np.array(e.lengths) * 1.04 ** (index - 1.5)  # beside each other, not on top
        axes.errorbar(place, share, [share - low, high - share], **STYLES[cell], label=cell, elinewidth=0.8, capsize=2)
    reach = ", ".join(f"{e.horizon(cell)} ({cell})" for cell in ("RNN", "GRU", "LSTM"))
    axes.set(title=f"a  Half of the seeds solve T = {reach}", xlabel="length T (steps)",
             ylabel="share of seeds solved, 95% interval", ylim=(-0.03, 1.03))  # fmt: skip
    sizes(axes, e.lengths)


def updates(axes: Axes, e: Evidence, budget: int) -> None:
    """Updates to the criterion, every seed; those that did not meet it stand on the line of the budget."""
    for index, cell in enumerate(TRAINED):
        color, marker = STYLES[cell]["color"], STYLES[cell]["marker"]
        for T in e.lengths:
            values = e.run(cell, T)["updates"]
            met = np.isfinite(values)
            place = np.full(len(values), T * 1.09 ** (index - 1.5))
            axes.plot(place[met], values[met], marker, color=color, ms=4, alpha=0.7)
            axes.plot(place[~met], np.full((~met).sum(), budget), marker, color=color, ms=5, mfc="none")
    axes.axhline(budget, color="0.5", lw=0.8)
    axes.annotate("budget; open: not solved", (0.02, budget), (0, 3), xycoords=("axes fraction", "data"),
                  textcoords="offset points", fontsize=6, color="0.3")  # fmt: skip
    T = e.shortest
    needed = ", ".join(f"{e.updates(cell, T).partition(' (')[0]} ({cell})" for cell in ("RNN", "GRU", "LSTM"))
    axes.set(title=f"b  T = {T} takes {needed} updates", xlabel="length T (steps)",
             ylabel="updates to criterion, every seed", ylim=(0, budget * 1.1))  # fmt: skip
    sizes(axes, e.lengths)


def flow(axes: Axes, entries: dict[str, Any], e: Evidence) -> None:
    """Factor of the gradient per step of lag at initialisation: median and range."""
    names = list(entries)
    for row, name in enumerate(names):
        low, median, high = np.exp(np.quantile(e.slopes(name), [0, 0.5, 1], method="nearest"))
        axes.plot([low, high], [row, row], color="0.4", lw=1.2)
        axes.plot(median, row, "o", color="k", ms=4)
    axes.axvline(1, color="0.5", lw=0.8, ls="--")
    axes.set_yticks(range(len(names)), names, fontsize=6)
    axes.invert_yaxis()
    kept = np.exp(np.median(e.slopes("tanh RNN")))
    axes.set(title=f"c  The tanh RNN keeps {kept:.0%} of the gradient a step", xlim=(-0.03, 1.2),
             xlabel="factor per step of lag, median and range")  # fmt: skip


def cost(axes: Axes, e: Evidence) -> None:
    """Time of a training step over the RNN's, beside the ratio of the parameters."""
    for cell, matrices in (("GRU", 3), ("LSTM", 4)):
        color, ratios = STYLES[cell]["color"], np.array([e.ratio(cell, "RNN", H) for H in e.sizes])
        median, low, high = ratios.T
        axes.errorbar(e.sizes, median, [median - low, high - median], **STYLES[cell], capsize=2)
        axes.axhline(matrices, color=color, lw=0.8, ls=":")
        axes.annotate(f"parameters of the {cell}", (0.01, matrices), (0, 2), xycoords=("axes fraction", "data"),
                      textcoords="offset points", fontsize=6, color="0.3")  # fmt: skip
    H = max(e.sizes)
    dear = ", ".join(f"{e.ratio(cell, 'RNN', H)[0]:.1f} ({cell})" for cell in ("GRU", "LSTM"))
    axes.set(title=f"d  Time over the RNN's, H = {H}: {dear}", xlabel="units H",
             ylabel="ratio, quartiles", ylim=(0, None))  # fmt: skip
    sizes(axes, e.sizes)


def sizes(axes: Axes, values: list[int]) -> None:
    """The sizes that were measured as ticks of a logarithmic axis."""
    axes.set_xscale("log")
    axes.set_xticks(values, [str(value) for value in values], minor=False)
    axes.minorticks_off()
