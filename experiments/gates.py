"""What do the gates learn, and which of them are needed?

    python -m experiments.gates              # 2 CPU cores, three to four minutes
    python -m experiments.gates --help

LSTM, GRU and the LSTM with one gate fewer (NFG, NIG and NOG of Greff et al., 2017) or with two gates coupled (CIFG)
learn adding and copy memory with the same learning rates and budget: the seeds that meet the task's criterion, and how
far open the gates of the trained models are in each phase of the task, how often nearly shut or open, and for how long
the gate that keeps the state keeps it.

Expected: without its input gate the LSTM does not learn adding in this budget; CIFG and GRU need fewer updates than
the LSTM. No cell solves copy memory in this budget.
"""

from __future__ import annotations

import dataclasses
import functools
from typing import Any, Literal, get_args

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments import lab, plots
from experiments.compare import RULE, as_solved_at, best_runs, updates, verdict
from experiments.lab import Record
from experiments.models import builder, cell_of, clipped_adam
from recurrax import Cell, gradflow
from recurrax.layers import SequenceModel
from recurrax.palette import look, looks
from recurrax.report import censored, listed, markdown_table, solved
from recurrax.tasks import Adding, Copy, MemoryTask
from recurrax.training import Plan

Name = Literal["LSTM", "NoForgetGate", "NoInputGate", "NoOutputGate", "CIFG", "GRU"]
CANDIDATES = ("c_tilde", "n")  # no gates: what may be written
KEEP = ("f", "z")  # the gate that keeps the state
GATES = ("z", "i", "r", "f", "o")


@dataclasses.dataclass(frozen=True)
class Config(lab.Settings):
    """Gates of trained cells and their ablations; the defaults take three to four minutes on two CPU cores."""

    seeds: tuple[int, ...] = (10, 11, 12, 13, 14)
    """Training seeds; none of them chose a setting, and all are reported."""
    cells: tuple[Name, ...] = get_args(Name)
    """Cells to train."""
    hidden: int = 32
    """Units of every cell (H)."""
    adding_length: int = 50
    """Sequence length T of adding."""
    adding_steps: int = 400
    """Updates at most on adding, for every cell."""
    copy_delay: int = 2
    """Delay of copy memory: blanks between the ten symbols and their recall."""
    copy_steps: int = 500
    """Updates at most on copy memory, for every cell."""
    learning_rate: tuple[float, ...] = (5e-3, 2e-2)
    """Adam's learning rates, the same grid for every cell; the better one counts."""
    batch_size: int = 32
    """Fresh examples of an update."""
    chunk: int = 25
    """Updates between evaluations; steps to criterion are known to this precision."""
    examples: int = 32
    """Held-out sequences on which the gates are read."""


PRESETS = {
    "default": Config(),
    "smoke": Config(seeds=(10, 11), cells=("LSTM",), hidden=4, adding_length=4, adding_steps=4, copy_delay=1,
                    copy_steps=4, learning_rate=(1e-2,), batch_size=4, chunk=2, examples=4),
    "accelerator": Config(seeds=tuple(range(10, 20)), hidden=128, adding_length=200, adding_steps=5000, copy_delay=50,
                          copy_steps=20_000, learning_rate=(3e-4, 1e-3, 3e-3), batch_size=128, chunk=250),
}  # fmt: skip


def parts(config: Config) -> dict[str, Any]:
    """Every cell on both tasks."""
    tasks: dict[str, tuple[MemoryTask, Plan]] = {
        f"adding T={config.adding_length}": (Adding(config.adding_length), lab.plan(config, steps=config.adding_steps)),
        f"copy delay={config.copy_delay}": (Copy(config.copy_delay, "s4"), lab.plan(config, steps=config.copy_steps)),
    }
    return {
        f"{name} {cell}": functools.partial(learn, config, name, task, plan, cell)
        for name, (task, plan) in tasks.items()
        for cell in config.cells
    }


def learn(config: Config, name: str, task: MemoryTask, plan: Plan, cell: str) -> dict[str, Any]:
    """Every seed and learning rate of a cell on a task, and the gates of the best models."""
    history = lab.train(config, f"{name} {cell}", builder(cell, task, config.hidden), task, clipped_adam, plan)
    return {
        "task": name,
        "cell": cell,
        **lab.outcome(history),
        **read(history.best_model, task, config.examples),
        "chance_level": task.chance_level(),
        "criterion": task.criterion,
    }


def phases(task: MemoryTask, inputs: np.ndarray) -> dict[str, np.ndarray]:
    """The steps of each phase, bool ``[examples, T]``: those that matter for adding, what there is to do for copy."""
    if isinstance(task, Adding):
        marked = inputs[..., task.marker_channel] > 0
        return {"marked": marked, "unmarked": ~marked}
    steps = np.broadcast_to(np.arange(inputs.shape[1]), inputs.shape[:2])
    memorized = (inputs.shape[1] - task.delay) // 2  # type: ignore[attr-defined]
    recall = inputs.shape[1] - memorized
    waiting = (steps >= memorized) & (steps < recall)
    return {"reading": steps < memorized, "waiting": waiting, "recalling": steps >= recall}


def read(models: SequenceModel, task: MemoryTask, examples: int) -> dict[str, Any]:
    """For each gate of each model the mean in every phase, shares of nearly shut and open, and time constants.

    Every unit, step and held-out example counts the same; time constants ``[S, H]`` are medians over examples.
    """
    xs = jax.vmap(task.sample)(jax.random.split(jax.random.key(1), examples)).inputs

    def one(cell: Cell, xs: jax.Array) -> dict[str, jax.Array]:
        return gradflow.gate_activations(cell, cell.initialize_carry(xs.shape[1:]), xs)

    activations = jax.jit(jax.vmap(jax.vmap(one, in_axes=(None, 0)), in_axes=(0, None)))(cell_of(models), xs)
    steps = phases(task, np.asarray(xs))
    entry: dict[str, Any] = {"gates": {}}
    for name, gate in activations.items():  # [S, examples, T, H]
        if name in CANDIDATES:
            continue
        values, (closed, opened) = np.asarray(gate), map(np.asarray, gradflow.saturation(jnp.moveaxis(gate, 2, 0)))
        entry["gates"][name] = {
            "mean": {phase: values[:, at].mean(axis=(1, 2)) for phase, at in steps.items()},
            "closed": closed.mean(axis=(1, 2)),
            "open": opened.mean(axis=(1, 2)),
            "closed_units": closed.mean(axis=1),
            "open_units": opened.mean(axis=1),
        }
        if name in KEEP:
            entry["time_constants"] = np.median(gradflow.time_constants(jnp.moveaxis(gate, 2, 0)), axis=1)
    return entry


def page(record: Record) -> list[Any]:
    """Title, findings and tables."""
    config = record["config"]
    criteria = dict.fromkeys(f"{entry['task']}, {entry['criterion']}" for entry in record["results"].values())
    return [
        "What do the gates learn, and which of them are needed?",
        findings(record),
        f"## Ablations: H = {config['hidden']}",
        f"Adam at learning rates {config['learning_rate']}, norm clipped at 1, seeds "
        f"{', '.join(map(str, config['seeds']))}; the better rate of each\n"
        "cell and task. Test loss and accuracy: medians of the best models.\n"
        f"Solved: {'; '.join(criteria)}.",
        markdown_table([ablation(entry) for entry in record["results"].values()]),
        RULE,
        "Published: of these, only the forget gate and the output activation are critical; coupling the gates costs\n"
        "nothing (Greff et al., 2017, on TIMIT, IAM and JSB; other tasks, sizes and optimisers).",
        "## Gates of the trained models",
        "Mean activation in each phase of the task; share of steps and units nearly shut (below 0.1) and nearly open\n"
        "(above 0.9); share of units that are so at more than half of the steps. Medians over seeds.",
        *(gates(task, entries) for task, entries in by_task(record).items()),
        "## Time constants of the keep gate",
        "tau = -1 / mean ln f in steps (z for the GRU); medians over seeds.",
        markdown_table([taus(entry) for entry in record["results"].values() if "time_constants" in entry]),
    ]


def by_task(record: Record) -> dict[str, dict[str, Any]]:
    """The entries by task and cell."""
    found: dict[str, dict[str, Any]] = {}
    for entry in record["results"].values():
        found.setdefault(entry["task"], {})[entry["cell"]] = entry
    return found


def ablation(entry: Any) -> dict[str, str]:
    """Seeds solved, updates, test loss and accuracy of a cell on a task."""
    chosen = best_runs(entry)
    at = as_solved_at(updates(entry)[chosen])
    loss, accuracy = (np.nanmedian(np.asarray(entry[f"test_{name}"], float)[chosen]) for name in ("loss", "accuracy"))
    return {
        "task": entry["task"],
        "cell": entry["cell"],
        "learning rate": f"{np.asarray(entry['settings']['learning_rate'])[chosen][0]:g}",
        "solved": solved(at),
        "updates to criterion": censored(at, int(entry["steps"][-1])),
        "test loss": f"{loss:.4f}",
        "chance": f"{entry['chance_level']:.4f}",
        "accuracy": f"{accuracy:.2f}",
    }


def gates(task: str, entries: dict[str, Any]) -> str:
    """Every gate of every cell on a task."""
    rows = []
    for cell, entry in entries.items():
        chosen = best_runs(entry)
        for name, gate in entry["gates"].items():
            row = {task: cell, "gate": name} | {phase: f"{mean:.2f}" for phase, mean in means(entry, name).items()}
            shares = {"nearly shut": gate["closed"], "nearly open": gate["open"]}
            for state, units in (("shut", gate["closed_units"]), ("open", gate["open_units"])):
                shares[f"units mostly {state}"] = np.mean(np.asarray(units) > 0.5, axis=1)
            rows.append(row | {column: f"{np.median(np.asarray(s)[chosen]):.0%}" for column, s in shares.items()})
    return markdown_table(rows)


def means(entry: Any, gate: str) -> dict[str, float]:
    """Mean activation of a gate in each phase, median over seeds."""
    chosen, activations = best_runs(entry), entry["gates"][gate]["mean"].items()
    return {phase: float(np.median(np.asarray(values)[chosen])) for phase, values in activations}


def taus(entry: Any) -> dict[str, str]:
    """Time constants of the middle and of the slowest unit."""
    values = np.asarray(entry["time_constants"], float)[best_runs(entry)]
    chosen = np.where(np.isnan(values), np.inf, values)  # null: it forgets nothing
    return {
        "task": entry["task"],
        "cell": entry["cell"],
        "median unit": f"{np.median(np.median(chosen, axis=1)):.1f}",
        "slowest unit": f"{np.median(chosen.max(axis=1)):.0f}",
    }


def findings(record: Record) -> list[str]:
    """The needed gates for each task, and the mean openness of the gates of the LSTM and the GRU."""
    tasks = by_task(record).items()
    lines = [*(solvers(task, entries) for task, entries in tasks), *(needed(task, entries) for task, entries in tasks)]
    for entry in (entry for entry in record["results"].values() if entry["cell"] in ("LSTM", "GRU")):
        shown = [
            f"{gate} {', '.join(f'{mean:.2f} ({phase})' for phase, mean in means(entry, gate).items())}"
            for gate in entry["gates"]
        ]
        lines.append(f"Mean activations of the {entry['cell']}'s gates on {words(entry['task'])}: {'; '.join(shown)}.")
    return lines


def words(task: str) -> str:
    """A task of the record in words: "adding, T = 50"."""
    return task.replace("copy delay", "ten-symbol copy, delay").replace("adding T", "adding, T").replace("=", " = ")


def solvers(task: str, entries: dict[str, Any]) -> str:
    """The cells that solve a task with every seed, and those that never do."""
    share = {cell: np.mean(np.isfinite(updates(entry)[best_runs(entry)])) for cell, entry in entries.items()}
    every, none = ([cell for cell in share if share[cell] == value] for value in (1, 0))
    task = words(task)
    if len(none) == len(share):
        return f"No seed of any cell solves {task}."
    whole = f"every seed of {listed(every)}" if every else "no cell with every seed"
    return f"{task[0].upper()}{task[1:]} is solved by {whole}" + (f"; by no seed of {listed(none)}." if none else ".")


def needed(task: str, entries: dict[str, Any]) -> str:
    """A comparison of each cell with the first one, which is the LSTM if it was trained."""
    first, *others = sorted(entries, key=lambda cell: cell != "LSTM")
    at = as_solved_at(updates(entries[first])[best_runs(entries[first])])
    text = f"On {words(task)}, {solved(at)} seeds of the {first} solve the task"
    found: dict[str, list[str]] = {}
    for cell in others:
        found.setdefault(verdict(entries[cell], entries[first]), []).append(cell)
    compared = "; ".join(f"{' and '.join(', '.join(c).rsplit(', ', 1))} {word}" for word, c in found.items())
    return f"{text}. Compared with it, {compared}." if others else f"{text}."


def draw(record: Record) -> Figure:
    """For each task, how the cells learn it and how open their gates are in its phases."""
    tasks = by_task(record)
    figure, rows = plots.panels(len(tasks), 2, 5, 3.2)
    for (left, right), letters, (task, entries) in zip(rows, ("ab", "cd"), tasks.items(), strict=False):
        learning(left, entries)
        left.set_title(f"{letters[0]}  {words(task)}: every seed (filled: solved)")
        openness(right, entries)
        right.set_title(f"{letters[1]}  {words(task)}: gates by phase of the task")
    plots.takeaway(figure, " ".join(solvers(task, entries) for task, entries in tasks.items()))
    for gate in dict.fromkeys(gate for entry in record["results"].values() for gate in entry["gates"]):
        rows[0][1].plot([], [], **looks(GATES)[gate] | {"ls": "-"}, label=f"gate {gate}")
    plots.legend_below(figure, rows[0][1])
    return figure


def learning(axes: Axes, entries: dict[str, Any]) -> None:
    """Test loss of every seed beside chance, filled where it met the criterion; below the cells the median updates."""
    labels = []
    for place, (cell, entry) in enumerate(entries.items()):
        chosen = best_runs(entry)
        at, loss = updates(entry)[chosen], np.asarray(entry["test_loss"], float)[chosen]
        for seed, x in enumerate(place + np.linspace(-0.2, 0.2, len(at))):
            axes.plot(x, loss[seed], **look(cell), mfc=None if np.isfinite(at[seed]) else "none")
        labels.append(f"{cell}\n{censored(as_solved_at(at), int(entry['steps'][-1])).partition(' (')[0]}")
    plots.level(axes, chance=entries[cell]["chance_level"])
    axes.set_xticks(range(len(labels)), labels, fontsize=6)
    axes.set(ylabel="test loss", yscale="log", xlabel="cell, median updates to criterion")


def openness(axes: Axes, entries: dict[str, Any]) -> None:
    """Mean activation of each gate in each phase, median and range over seeds, cell by cell."""
    phases: list[str] = []
    for place, entry in enumerate(entries.values()):
        for number, (name, gate) in enumerate(entry["gates"].items()):
            phases, style = list(gate["mean"]), dict(looks(GATES)[name], ls="-", lw=0.8)
            values = np.asarray(list(gate["mean"].values()), float)[:, best_runs(entry)]
            x = place + np.linspace(-0.3, 0.3, len(phases)) + 0.03 * number
            axes.vlines(x, values.min(axis=1), values.max(axis=1), color=style["color"], lw=1)
            axes.plot(x, np.median(values, axis=1), **style)
    axes.set_xticks(range(len(entries)), list(entries), fontsize=6)
    axes.set(ylabel="mean activation", xlabel=f"cell; from left to right: {', '.join(phases)}", ylim=(0, 1))


if __name__ == "__main__":
    lab.run(__name__)
