"""Length generalisation: trained on sequences of 50 to 100 steps, how long may they be in the test?

    python -m experiments.length_generalization                       # 2 CPU cores, under an hour
    python -m experiments.length_generalization --preset long         # trained on 50 to 200, more tasks, some hours
    python -m experiments.length_generalization --preset accelerator  # the same, with the paper's budget
    python -m experiments.length_generalization --help

Temporal order as Pascanu, Mikolov & Bengio (2013) define it; their networks, tanh, with clipping and Omega, and LSTM
and GRU with Adam. Every example of a batch has a length of its own. Each seed is tested at every length on 10,000
fresh sequences, whether it solved the training lengths or not.

Expected: the training lengths are learned, by the plain network more slowly; none of the networks still answers well
at ten times the longest of them.
"""

from __future__ import annotations

import dataclasses
import functools
from typing import Any, Literal, get_args

import jax
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments import baseline, lab, pascanu2013, plots
from experiments.compare import rate
from experiments.lab import Record
from experiments.pascanu2013 import STARTS, MixedLengths, accuracies
from recurrax.palette import look
from recurrax.report import censored, markdown_table, solved
from recurrax.tasks import make_task
from recurrax.training import Plan

Name = Literal["temporal_order", "permutation", "adding", "multiplication", "parity"]
Network = Literal["sigmoid", "basic tanh", "smart tanh", "LSTM", "GRU"]
VARIANTS = dict.fromkeys(get_args(Name), "pascanu2013") | {"parity": "deletang2023"}
METHODS = dict.fromkeys(STARTS, "SGD-CR") | {"LSTM": "Adam", "GRU": "Adam"}
FAIL = 0.01  # share of wrong answers that is too large, by the criterion of Pascanu et al.
FAR = 1000  # steps at which the published result is asked for
TEST_KEY = 2**31 - 3  # seed of the test at every length; neither training nor evaluation uses it


@dataclasses.dataclass(frozen=True)
class Config(pascanu2013.Settings):
    """Tasks, networks and lengths; the defaults take under an hour on two CPU cores."""

    tasks: tuple[Name, ...] = ("temporal_order",)
    """Tasks to learn."""
    networks: tuple[Network, ...] = ("basic tanh", "LSTM", "GRU")
    """Networks: the paper's three, trained by clipped SGD with Omega, and LSTM and GRU, trained by Adam."""
    train_lengths: tuple[int, ...] = (50, 60, 70, 80, 90, 100)
    """Lengths in training, equally likely for every example; rising."""
    test_lengths: tuple[int, ...] = (50, 100, 150, 200, 250, 500, 1000, 2000, 3000, 5000)
    """Lengths in the test, rising."""
    tested: int = 10_000
    """Fresh sequences of the test at every length."""
    steps: int = 20_000
    """Updates, the same for every run."""
    held_out: int = 2000
    """Examples of an evaluation, of the training lengths."""


LONG = Config(
    tasks=("temporal_order", "permutation", "adding", "multiplication"), networks=get_args(Network)[1:],
    train_lengths=tuple(range(50, 201, 10)), steps=50_000,
)  # fmt: skip
PRESETS = {
    "default": Config(),
    "smoke": Config(
        networks=("basic tanh",), train_lengths=(10, 12), test_lengths=(10, 20), tested=40, hidden=15, seeds=(10, 11),
        steps=4, batch_size=2, chunk=2, held_out=8,
    ),
    "long": LONG,
    "accelerator": dataclasses.replace(
        LONG, tasks=get_args(Name), networks=get_args(Network), steps=500_000, chunk=5000
    ),
}  # fmt: skip


def parts(config: Config) -> dict[str, Any]:
    """Every network on every task. Every run makes all updates; its model with the lowest held-out loss is tested."""
    plan = lab.plan(config, stop_when_solved=False)
    tasks = {
        name: MixedLengths(tuple(make_task(name, length, VARIANTS[name]) for length in config.train_lengths))
        for name in config.tasks
    }
    for name in config.tasks:
        make_task(name, config.test_lengths[0], VARIANTS[name])
    return {
        f"{name}, {network}": functools.partial(learn, config, name, network, task, plan)
        for name, task in tasks.items()
        for network in config.networks
    }


def learn(config: Config, name: str, network: str, task: MixedLengths, plan: Plan) -> dict[str, Any]:
    """Every seed of one network: its training, and the share of wrong answers at every length ``[lengths, S]``."""
    history, entry = pascanu2013.train(config, f"{name} {network}", network, METHODS[network], task, plan)
    wrong = []
    for length in config.test_lengths:
        lab.say(f"    test at T = {length}")
        key = jax.random.fold_in(jax.random.key(TEST_KEY), length)
        tested = make_task(name, length, VARIANTS[name])
        wrong.append(1 - np.asarray(accuracies(tested, history.best_model, key, config.tested), float))
    chance = float(np.mean([one.chance_level() for one in task.tasks]))
    return entry | {"wrong": wrong, "chance_level": chance, "criterion": task.criterion}


def page(record: Record) -> list[Any]:
    """Title, findings and tables."""
    config = record["config"]
    lengths = config["train_lengths"]
    return [
        "Trained on short sequences, how long may they be?",
        findings(record),
        f"## Training on lengths {lengths[0]} to {lengths[-1]}: H = {config['hidden']}, {config['steps']} "
        f"updates of batch size {config['batch_size']}",
        f"SGD-CR: SGD at {config['learning_rate']:g} with Omega times {config['omega_weight']:g}; Adam at "
        f"{config['adam_rate']:g}; both clipped at norm {config['clip_norm']:g}.\nSeeds "
        f"{', '.join(map(str, config['seeds']))}. Solved: no answer wrong on {config['held_out']} held-out "
        "sequences of the training lengths,\nwith the exact 95% interval; the criterion of each task, less than 1% "
        "wrong, asks for less.",
        markdown_table([training(config, *fit) for fit in fits(record)]),
        "## Test: wrong answers in %",
        f"Of {config['tested']} fresh sequences at every length: the best seed, median, the worst seed; seeds with "
        "less than 1% wrong.",
        markdown_table([test(record, *length) for length in enumerate(config["test_lengths"])]),
        "Published (Pascanu, Mikolov & Bengio, 2013, verified in the paper): one model, trained with clipping and "
        "Omega\non lengths 50 to 200, solves temporal order in 5 of 5 runs and then makes no error on 10,000 sequences "
        "at each\nof 50, 100, 150, 200, 250, 500, 1000, 2000, 3000 and 5000 steps. There training stops when no "
        "held-out answer is\nwrong; here every run makes all its updates, and the model with the lowest held-out loss "
        "is tested.",
    ]


def fits(record: Record) -> list[tuple[str, str, Any]]:
    """Task, network and entry of every fit."""
    return [(*part.split(", "), entry) for part, entry in record["results"].items()]  # type: ignore[misc]


def training(config: Any, task: str, network: str, entry: Any) -> dict[str, str]:
    """Seeds solved and updates of a network on a task."""
    return {
        "task": task,
        "network": network,
        "method": METHODS[network],
        "solved": solved(entry["solved_at"]),
        "updates": censored(entry["solved_at"], config["steps"]),
        "diverged": str(int(np.sum(np.asarray(entry["diverged_at"]) >= 0))),
    }


def test(record: Record, index: int, length: int) -> dict[str, str]:
    """Wrong answers of every network at a length."""
    row = {"T": str(length)}
    for part, entry in record["results"].items():
        wrong = np.sort(entry["wrong"][index])
        best, middle, worst = (100 * wrong[i] for i in (0, (len(wrong) - 1) // 2, -1))
        row[part] = f"{best:.2f}, {middle:.2f}, {worst:.2f}; {np.sum(wrong < FAIL)}/{len(wrong)}"
    return row


def baseline_rows(record: Record) -> list[baseline.Row]:
    """The rows of the baseline table: training on short sequences, and what is wrong at ten times their length."""
    config, rows = record["config"], []
    if FAR not in config["test_lengths"]:
        return []
    source = "Pascanu, Mikolov & Bengio (2013), lengths 50 to 200"
    published = baseline.Published("5/5 solved, no error", source, "primary")
    first, last = config["train_lengths"][0], config["train_lengths"][-1]
    for task, network, entry in fits(record):
        method = METHODS[network]
        wrong = np.asarray(entry["wrong"], float)[config["test_lengths"].index(FAR)]
        learning_rate = config["adam_rate" if method == "Adam" else "learning_rate"]
        rows.append(
            baseline.Row(
                task=f"{task.replace('_', ' ')}, T = {first} to {last} mixed (pascanu2013)",
                criterion=f"{entry['criterion']} (training lengths)",
                chance=None,
                cell="RNN" if network in STARTS else network,
                initialization=network if network in STARTS else "default",
                parameters=entry["parameters"],
                tuned=f"not tuned: {method} at {learning_rate:g}",
                measure=f"wrong at T = {FAR}, %",
                values=(100 * wrong).tolist(),
                solved_at=entry["solved_at"],
                budget=config["steps"],
                seconds=entry["seconds"] + entry["compile_seconds"],
                command=baseline.command(record, PRESETS, {"tasks": [task], "networks": [network]}),
                remark=f"at T = {FAR} {int(np.sum(wrong < FAIL))} of {len(wrong)} seeds have less than 1% wrong",
                published=published if method == "SGD-CR" and task == "temporal_order" else None,
            )
        )
    return rows


def findings(record: Record) -> list[str]:
    """The longest lengths of the best seeds; then for each network the solved training lengths, and T = 1000."""
    lengths = record["config"]["test_lengths"]
    lines = [reached(record)]
    for task, network, entry in fits(record):
        wrong = np.asarray(entry["wrong"], float)
        learned = np.asarray(entry["solved_at"]) >= 0
        text = f"{task}, {network}: {solved(entry['solved_at'])} seeds solve the training lengths. "
        if FAR in lengths:
            far = wrong[lengths.index(FAR)] < FAIL
            text += f"At T = {FAR}, {rate(int(far.sum()), far.size)} seeds have less than 1% wrong"
            both = rate(int((far & learned).sum()), int(learned.sum())) if learned.any() else ""
            text += f", {both} of those that solve the training lengths. " if both else ". "
        reach, perfect = longest(lengths, wrong), int(np.sum((wrong == 0).all(axis=0)))
        text += f"The longest T at which a seed has less than 1% wrong is {reach or 'none of those tested'}"
        text += f", and {perfect}/{len(learned)} seeds make no error at any length"
        if METHODS[network] == "SGD-CR" and FAR in lengths:
            as_published = bool((wrong[lengths.index(FAR)] < FAIL).any())
            text += ": as published" if as_published else ": the paper is not reproduced in this budget"
        lines.append(f"{text}.")
    return lines


def reached(record: Record) -> str:
    """The longest sequences that the best seed of each network answers, in one sentence."""
    config, far = record["config"], {}
    for task, network, entry in fits(record):
        length = longest(config["test_lengths"], entry["wrong"])
        far.setdefault(task, []).append(f"{length or 'none'} ({network})")
    shown = "; ".join(f"{', '.join(found)} on {task.replace('_', ' ')}" for task, found in far.items())
    last = config["train_lengths"][-1]
    return f"Trained on at most {last} steps, the longest T at which a seed has less than 1% wrong is {shown}."


def longest(lengths: list[int], wrong: Any) -> int:
    """The longest length at which some seed has less than 1% wrong, 0 where there is none. wrong: ``[lengths, S]``."""
    return max((length for length, seeds in zip(lengths, wrong, strict=True) if min(seeds) < FAIL), default=0)


def draw(record: Record) -> Figure:
    """A panel for each task: wrong answers against sequence length, every seed and the median."""
    names = record["config"]["tasks"]
    figure, axes = plots.panels(1, len(names), max(3.2, 6 / len(names)), 3.4, sharey=True)
    for letter, panel, name in zip("abcde", axes[0], names, strict=False):
        wrong(panel, record, name)
        panel.set_title(f"{letter}  {name.replace('_', ' ')}")
    axes[0, 0].set_ylabel("wrong answers, +1/2 of one")
    plots.takeaway(figure, reached(record))
    plots.legend_below(figure, axes[0, 0])
    return figure


def wrong(axes: Axes, record: Record, name: str) -> None:
    """One task; half an answer is added so that no error has a place on the log scale."""
    config = record["config"]
    lengths, least = config["test_lengths"], 0.5 / config["tested"]
    first, last = config["train_lengths"][0], config["train_lengths"][-1]
    axes.axvspan(first, last, color="0.9", lw=0, label="trained")
    for network in config["networks"]:
        seeds = np.asarray(record["results"][f"{name}, {network}"]["wrong"], float) + least
        axes.plot(lengths, seeds, color=look(network)["color"], lw=0.6, alpha=0.5)
        axes.plot(lengths, np.median(seeds, axis=1), **look(network), label=network)
    plots.level(axes, **{"1% wrong": FAIL})
    axes.set(xlabel="sequence length T", xscale="log", yscale="log", ylim=(0.7 * least, 1.2))


if __name__ == "__main__":
    lab.run(__name__)
