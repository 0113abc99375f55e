"""Temporal order: does clipping the gradient, or Omega too, help where plain gradient descent fails?

    python -m experiments.temporal_order                       # 2 CPU cores, some twenty minutes
    python -m experiments.temporal_order --preset long         # to T = 50, some hours
    python -m experiments.temporal_order --preset accelerator  # to T = 250
    python -m experiments.temporal_order --help

Pascanu, Mikolov & Bengio (2013), section 4.1: the order of two symbols among T; 50 units, plain SGD at rate 0.01,
batches of 20; three initialisations; without clipping (SGD), clipped at norm 1 (SGD-C), and clipped with the
regulariser Omega (SGD-CR). A run has solved the task when less than 1% of 10,000 sequences are wrong. LSTM and GRU are
trained with the same optimiser and budget, and all networks with Adam too. The paper's budget is 5 million updates;
ours are smaller, and a run that needs more is censored.

Expected: with tanh, SGD-CR solves what SGD does not, in a fraction of the updates; sigmoid networks need more than the
budget.
"""

from __future__ import annotations

import dataclasses
import functools
from typing import Any, Literal, get_args

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments import baseline, lab, pascanu2013, plots
from experiments.compare import rate
from experiments.lab import Record
from experiments.pascanu2013 import STARTS
from recurrax.palette import look
from recurrax.report import censored, interval, markdown_table
from recurrax.tasks import TemporalOrder
from recurrax.training import Plan

Network = Literal["sigmoid", "basic tanh", "smart tanh", "LSTM", "GRU"]
Method = Literal["SGD", "SGD-C", "SGD-CR", "Adam"]
NAMES = {"SGD": "SGD", "SGD-C": "SGD-C: clipped", "SGD-CR": "SGD-CR: clipped, Omega", "Adam": "Adam, clipped"}


@dataclasses.dataclass(frozen=True)
class Config(pascanu2013.Settings):
    """Networks, methods and lengths; the defaults take some twenty minutes on two CPU cores."""

    networks: tuple[Network, ...] = get_args(Network)
    """Networks: the plain RNN with the paper's three initialisations, LSTM and GRU."""
    methods: tuple[Method, ...] = get_args(Method)
    """Ways of training: SGD, SGD-C (clipped), SGD-CR (clipped, with Omega) and Adam (clipped). LSTM and GRU are trained
    by SGD-C and Adam alone."""
    lengths: tuple[int, ...] = (10, 20, 30)
    """Sequence lengths T, rising."""
    symbols: int = 2
    """Symbols whose order is asked for, 2 or 3."""


PRESETS = {
    "default": Config(),
    "smoke": Config(
        networks=("smart tanh",), methods=("SGD", "SGD-CR"), lengths=(10,), hidden=15, seeds=(10, 11), steps=4,
        batch_size=2, chunk=2, held_out=8,
    ),
    "long": Config(lengths=(10, 20, 30, 40, 50), steps=50_000),
    "accelerator": Config(lengths=(20, 50, 100, 150, 200, 250), steps=200_000, chunk=2000),
}  # fmt: skip


def parts(config: Config) -> dict[str, Any]:
    """Every network by every method at every length; a run that has solved the task is left as it is."""
    tasks = {length: TemporalOrder(length, "pascanu2013", config.symbols) for length in config.lengths}
    for method in config.methods:
        pascanu2013.optimizer(config, method)
    plan = lab.plan(config, freeze_solved=True)
    return {
        f"{network}, {method}, T={length}": functools.partial(learn, config, network, method, task, plan)
        for length, task in tasks.items()
        for network in config.networks
        for method in config.methods
        if network in STARTS or method in ("SGD-C", "Adam")
    }


def learn(config: Config, network: str, method: str, task: TemporalOrder, plan: Plan) -> dict[str, Any]:
    """Every seed of one network by one method at one length."""
    title = f"{network} {method} T={task.sequence_length}"
    return pascanu2013.train(config, title, network, method, task, plan)[1]


def page(record: Record) -> list[Any]:
    """Title, findings and table."""
    config = record["config"]
    return [
        "Temporal order: what do clipping and Omega change?",
        findings(record),
        f"## {config['symbols']} symbols, H = {config['hidden']}, at most {config['steps']} updates of batch size "
        f"{config['batch_size']}",
        f"SGD at {config['learning_rate']:g}, Adam at {config['adam_rate']:g}, clipping at norm "
        f"{config['clip_norm']:g} (not in SGD), Omega times {config['omega_weight']:g} in SGD-CR. Seeds "
        f"{', '.join(map(str, config['seeds']))}.\n"
        f"Solved: less than 1% of {config['held_out']} held-out sequences wrong, k/n with the exact 95% interval. "
        "Updates: median (range).\nWrong: share of fresh test sequences, median (range) over the seeds.",
        markdown_table([row(record, *fit) for fit in fits(record)]),
        "Published (Pascanu, Mikolov & Bengio, 2013, verified in the paper and its code): success rates as curves, "
        "figure\n7, of 5 runs for each length with at most 5 million updates; with clipping and Omega 100%.",
        "These runs differ from the authors' code in three ways. Their budget is smaller. The mean of Omega takes "
        "every step\nand rescales small errors, where the code drops steps whose error has a squared norm below 1e-20. "
        "A gradient that\nis not finite ends a run as diverged, where the code replaces it by weight decay.",
    ]


def fits(record: Record) -> list[tuple[str, str, int, Any]]:
    """Network, method, length and entry of every fit."""
    named = [(part.split(", "), entry) for part, entry in record["results"].items()]
    return [(network, method, int(T.removeprefix("T=")), entry) for (network, method, T), entry in named]


def row(record: Record, network: str, method: str, length: int, entry: Any) -> dict[str, str]:
    """A fit in the table."""
    wrong = 100 * (1 - np.asarray(entry["test_accuracy"], float))
    clipped = np.asarray(entry["clipped"], float)
    return {
        "T": str(length),
        "network": network,
        "method": method,
        "solved": rate(*successes(entry)),
        "updates": censored(entry["solved_at"], record["config"]["steps"]),
        "wrong, %": f"{np.median(wrong):.2f} ({wrong.min():.2f} to {wrong.max():.2f})",
        "clipped": "" if np.isnan(clipped).all() else f"{np.mean(clipped):.0%}",
        "diverged": str(int(np.sum(np.asarray(entry["diverged_at"]) >= 0))),
        "parameters": str(entry["parameters"]),
    }


def successes(entry: Any) -> tuple[int, int]:
    """Seeds that met the criterion, and all of them."""
    at = np.asarray(entry["solved_at"])
    return int(np.sum(at >= 0)), len(at)


def by_method(record: Record, network: str) -> dict[str, dict[int, tuple[int, int]]]:
    """Successes of a network, by method and length."""
    found: dict[str, dict[int, tuple[int, int]]] = {}
    for name, method, length, entry in fits(record):
        if name == network:
            found.setdefault(method, {})[length] = successes(entry)
    return found


def baseline_rows(record: Record) -> list[baseline.Row]:
    """The rows of the baseline table."""
    config, rows = record["config"], []
    source = "Pascanu, Mikolov & Bengio (2013), figure 7"
    published = baseline.Published("all runs solved, by up to 5 million updates", source, "primary")
    for network, method, length, entry in fits(record):
        learning_rate = config["adam_rate" if method == "Adam" else "learning_rate"]
        chosen = {"networks": [network], "methods": [method], "lengths": [length]}
        rows.append(
            baseline.Row(
                task=f"temporal order, {config['symbols']} symbols, T = {length} (pascanu2013)",
                criterion=f"less than 1% of {config['held_out']:,} held-out sequences wrong",
                chance=100 * (1 - 0.5 ** config["symbols"]),
                cell=network if network not in STARTS else "RNN",
                initialization=network if network in STARTS else "default",
                parameters=entry["parameters"],
                tuned=f"not tuned: {method} at {learning_rate:g}",
                measure="test sequences wrong, %",
                values=[None if right is None else 100 * (1 - right) for right in entry["test_accuracy"]],
                solved_at=entry["solved_at"],
                budget=config["steps"],
                seconds=entry["seconds"] + entry["compile_seconds"],
                command=baseline.command(record, PRESETS, chosen),
                published=published if method == "SGD-CR" else None,
            )
        )
    return rows


def findings(record: Record) -> list[str]:
    """The successes of each method, the effect of Omega compared with the paper, and the successes of every network."""
    config = record["config"]
    lines = [totals(record), *(acceptance(record, start) for start in config["networks"] if start in STARTS)]
    for network in config["networks"]:
        counts = [
            f"{method} {', '.join(f'{k}/{n} at T = {length}' for length, (k, n) in runs.items())}"
            for method, runs in by_method(record, network).items()
        ]
        lines.append(f"Seeds that {network} solved: {'; '.join(counts)}.")
    return [line for line in lines if line]


def acceptance(record: Record, start: str) -> str:
    """At the longest length where plain SGD solves at most one in five, SGD-CR should solve at least four."""
    runs = by_method(record, start)
    if not {"SGD", "SGD-CR"} <= set(runs):
        return ""
    hard = [length for length, (k, n) in runs["SGD"].items() if 5 * k <= n]
    if not hard:
        return f"{start}: plain SGD solves more than one in five at every length, so the comparison does not apply."
    length = max(hard)
    (plain, n), (k, m) = runs["SGD"][length], runs["SGD-CR"][length]
    verdict = "as published" if 5 * k >= 4 * m else "the paper is not reproduced in this budget"
    return (
        f"{start}: T = {length} is the longest at which plain SGD solves at most one seed in five. There plain SGD "
        f"solves {rate(plain, n)}, and clipped SGD with Omega {rate(k, m)}: {verdict}."
    )


def totals(record: Record) -> str:
    """Over all starts of the plain RNN and all lengths, the runs that each method solved."""
    counts = []
    for method in record["config"]["methods"]:
        found = [successes(entry) for network, by, _, entry in fits(record) if by == method and network in STARTS]
        if found:
            k, n = np.sum(found, axis=0)
            counts.append(f"{method} solved {k}/{n}")
    return f"Of the runs of the plain RNN, over all starts and lengths, {', '.join(counts)}." if counts else ""


def draw(record: Record) -> Figure:
    """A panel for each method: success rate of every network against sequence length, as in the paper's figure 7."""
    methods = record["config"]["methods"]
    figure, axes = plots.panels(1, len(methods), 2.9, 3.2, sharey=True)
    for letter, panel, method in zip("abcd", axes[0], methods, strict=False):
        rates(panel, record, method)
        panel.set_title(f"{letter}  {NAMES[method]}")
    axes[0, 0].set_ylabel("share of seeds solved")
    plots.takeaway(figure, totals(record))
    plots.legend_below(figure, max(axes[0], key=lambda panel: len(panel.containers)))
    return figure


def rates(axes: Axes, record: Record, method: str) -> None:
    """Success rates of every network by one method, with exact 95% intervals."""
    networks, lengths = record["config"]["networks"], np.asarray(record["config"]["lengths"], float)
    shift = 0.02 * (lengths[-1] - lengths[0] or 1)
    for index, network in enumerate(networks):
        runs = by_method(record, network).get(method, {})
        if runs:
            share = np.array([k / n for k, n in runs.values()])
            low, high = np.array([interval(k, n) for k, n in runs.values()]).T
            x, around = np.array(list(runs)) + shift * (index - 2), np.array([share - low, high - share]).clip(0)
            axes.errorbar(x, share, around, **look(network), capsize=2, elinewidth=0.8, label=network)
    axes.set(xlabel="sequence length T", ylim=(-0.04, 1.04), xticks=lengths)


if __name__ == "__main__":
    lab.run(__name__)
