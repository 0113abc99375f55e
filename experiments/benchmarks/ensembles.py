"""What do many seeds cost in one program, and what does the trainer cost beside a bare loop?

    python -m experiments.benchmarks.ensembles              # 2 CPU cores, about eight minutes
    python -m experiments.benchmarks.ensembles --help

Eight runs in one compiled program against the same eight one after another, each compiled as it comes, all by `fit`:
eight seeds, then four learning rates with two seeds. And `fit` with its evaluations, metrics and checkpoints against
the same updates in a bare jitted scan. The two sides take turns in one process; medians over the rounds.

Expected: one program compiles once in place of eight times; whether it then also runs faster depends on how far one run
alone leaves the device idle, which two CPU cores are not. The trainer costs a few per cent.
"""

from __future__ import annotations

import dataclasses
import functools
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import jax
import numpy as np
from matplotlib.figure import Figure

from experiments import lab, plots
from experiments.models import builder, clipped_adam
from recurrax.report import markdown_table
from recurrax.tasks import Adding, MemoryTask
from recurrax.training import History, Output, Plan, Recipe, fit
from recurrax.training.ensemble import grid, make_ensemble

KEEP_PROGRAMS = False  # it measures how long compilation takes
Record = dict[str, Any]
TIMES = {"total": "compilation included", "run": "compilation excluded"}


@dataclasses.dataclass(frozen=True)
class Config(lab.Settings):
    """Wall times of ensembles and of the trainer."""

    cell: Literal["RNN", "GRU", "LSTM"] = "LSTM"
    """Cell to train."""
    hidden: int = 32
    """Its units (H)."""
    length: int = 100
    """Sequence length T of the adding problem."""
    batch_size: int = 32
    """Fresh examples of an update."""
    seeds: int = 8
    """Runs of the first comparison."""
    learning_rates: tuple[float, ...] = (1e-3, 3e-3, 1e-2, 3e-2)
    """Values of the second, with seeds / values seeds each."""
    steps: int = 200
    """Updates of each run in the two comparisons."""
    checkpoint_every: int = 500
    """Updates between evaluations, metrics and checkpoints in the third."""
    trainer_steps: int = 2000
    """Updates of each run there, two chunks or more; the first is not timed."""
    trainer_seeds: int = 5
    """Runs there, in one program."""
    rounds: int = 3
    """Times that each comparison is made."""

    def __post_init__(self) -> None:
        """Refuses what cannot be run, before anything is compiled."""
        super().__post_init__()
        if self.trainer_steps < 2 * self.checkpoint_every:
            self.refuse("trainer_steps", f"twice checkpoint_every={self.checkpoint_every}, or more")
        if self.seeds % len(self.learning_rates):
            self.refuse("seeds", f"a multiple of the {len(self.learning_rates)} learning_rates, so that both "
                        "comparisons have as many runs")  # fmt: skip


PRESETS = {
    "default": Config(),
    "smoke": Config(
        cell="RNN", hidden=4, length=8, batch_size=4, seeds=2, learning_rates=(1e-2,), steps=10, checkpoint_every=10,
        trainer_steps=20, trainer_seeds=2, rounds=1,
    ),
}  # fmt: skip


def parts(config: Config) -> dict[str, Callable[[], Any]]:
    """The two ensembles against their runs one by one, and the trainer against a bare scan."""
    for rate in config.learning_rates:
        clipped_adam(rate)
    task = Adding(config.length)
    measured: dict[str, Callable[[], Any]] = {
        name: functools.partial(compare, config, task, plan) for name, plan in plans(config).items()
    }
    return measured | {"trainer": functools.partial(overhead, config, task)}


def plans(config: Config) -> dict[str, Plan]:
    """The two ensembles: seeds alone, and a sweep with as many runs."""
    common = Plan(
        steps=config.steps, batch_size=config.batch_size, chunk=config.steps, stop_when_solved=False,
        seeds=tuple(range(config.seeds)), sweep={"learning_rate": config.learning_rates[-1:]},
    )  # fmt: skip
    rates, seeds = config.learning_rates, config.seeds // len(config.learning_rates)
    swept = dataclasses.replace(common, seeds=tuple(range(seeds)), sweep={"learning_rate": rates})
    return {f"{config.seeds} seeds": common, f"{len(rates)} learning rates x {seeds} seeds": swept}


def compare(config: Config, task: MemoryTask, plan: Plan) -> dict[str, list[dict[str, float]]]:
    """Seconds of every round, of the ensemble and of its runs one after another."""
    alone = [
        dataclasses.replace(plan, seeds=(seed,), sweep={"learning_rate": (rate,)})
        for rate in plan.sweep["learning_rate"]
        for seed in plan.seeds
    ]
    rounds = [(timed(config, task, [plan]), timed(config, task, alone)) for _ in range(config.rounds)]
    return {"together": [together for together, _ in rounds], "apart": [apart for _, apart in rounds]}


def timed(config: Config, task: MemoryTask, queue: list[Plan]) -> dict[str, float]:
    """Seconds of fits one after another: in all, and of their chunks and evaluations alone."""
    jax.clear_caches()  # as in a fresh process
    began = time.perf_counter()
    histories = [fit(builder(config.cell, task, config.hidden), task, clipped_adam, plan) for plan in queue]
    return {"total": time.perf_counter() - began, "run": sum(history.seconds for history in histories)}


def overhead(config: Config, task: MemoryTask) -> dict[str, list[float]]:
    """Seconds of each chunk of every round in the trainer, and of the same updates in a bare scan."""
    rounds = [chunks(config, task) for _ in range(config.rounds)]
    return {"fit": [s for trainer, _ in rounds for s in trainer], "bare": [s for _, bare in rounds for s in bare]}


def chunks(config: Config, task: MemoryTask) -> tuple[list[float], list[float]]:
    """Seconds of chunks in the trainer, evaluation, metrics and checkpoint included, and of the same in a bare scan.

    In turn, a chunk of the one after a chunk of the other, so that both see the same machine.
    """
    seeds, size = tuple(range(config.trainer_seeds)), config.checkpoint_every
    plan = Plan(
        steps=config.trainer_steps, batch_size=config.batch_size, chunk=size, seeds=seeds, stop_when_solved=False
    )
    recipe = Recipe(builder(config.cell, task, config.hidden), task, clipped_adam(1e-2), config.batch_size)
    run = make_ensemble(recipe, len(seeds), None).start(*grid(seeds, {})).run
    scan = jax.jit(jax.vmap(lambda run: recipe.chunk(size, run))).lower(run).compile()
    trainer, bare, began = [], [], None

    def turn(history: History) -> None:
        nonlocal run, began
        if began is not None:  # the first chunk shares its time with compilation
            trainer.append(time.perf_counter() - began)
            began = time.perf_counter()
            run, _ = jax.block_until_ready(scan(run))
            bare.append(time.perf_counter() - began)
        began = time.perf_counter()

    with tempfile.TemporaryDirectory() as folder:
        output = Output(Path(folder), checkpoint_every=size, on_chunk=turn)
        fit(recipe.build, task, recipe.optimizer, plan, output)
    return trainer, bare


def page(record: Record) -> list[Any]:
    """Title, findings and table."""
    config, pairs = record["config"], more(record)
    low, middle, high = np.quantile(pairs, [0.25, 0.5, 0.75])
    trainer, bare = (np.median(record["results"]["trainer"][side]) for side in ("fit", "bare"))
    method = (
        f"{config['cell']} with H = {config['hidden']}, adding with T = {config['length']}, batch size "
        f"{config['batch_size']}, {config['steps']} updates of each run; medians of\n{config['rounds']} rounds, in "
        "turn in one process."
    )
    costs = (
        f"The trainer, with evaluation, metrics and a checkpoint every {config['checkpoint_every']} updates, takes "
        f"{trainer:.2f} s a chunk for {config['trainer_seeds']} runs; a bare\njitted scan of the same updates takes "
        f"{bare:.2f} s: {middle:+.1%} (median of {len(pairs)} pairs, chunk by chunk in turn;\nquartiles {low:+.1%} to "
        f"{high:+.1%})."
    )
    return ["Many runs in one program", findings(record), method, markdown_table(rows(record)), costs]


def rows(record: Record) -> list[dict[str, str]]:
    """Each ensemble, with and without compilation: medians, and their ratio."""
    return [
        {
            "runs": name,
            "time": label,
            "one program (s)": f"{together:.1f}",
            "one after another (s)": f"{apart:.1f}",
            "ratio": f"{apart / together:.2f}",
        }
        for name, found in ensembles(record).items()
        for label, (together, apart) in found.items()
    ]


def ensembles(record: Record) -> dict[str, dict[str, tuple[float, float]]]:
    """Median seconds of each ensemble and of its runs one after another, with and without compilation."""
    return {
        name: {
            label: tuple(float(np.median([entry[key] for entry in times[side]])) for side in ("together", "apart"))
            for key, label in TIMES.items()
        }
        for name, times in record["results"].items()
        if name != "trainer"
    }  # type: ignore[return-value]


def more(record: Record) -> np.ndarray:
    """The additional time of the trainer over the bare scan, as a share, pair by pair."""
    trainer, bare = (np.asarray(record["results"]["trainer"][side]) for side in ("fit", "bare"))
    return trainer / bare - 1


def findings(record: Record) -> list[str]:
    """The findings as sentences, made from the numbers."""
    lines = []
    for name, found in ensembles(record).items():
        whole, alone = (found[label][1] / found[label][0] for label in TIMES.values())
        lines.append(
            f"{name} in one program take {1 / whole:.2f} of the time that they take one after another; once compiled, "
            f"{1 / alone:.2f}."
        )
    return [*lines, f"The trainer takes {np.median(more(record)):.1%} longer than a bare scan of the same updates."]


def draw(record: Record) -> Figure:
    """Seconds of each ensemble beside its runs one after another."""
    figure, axes = plots.panels(1, 2, 3.6, 2.6, sharey=True)
    names = list(ensembles(record))
    for panel, (letter, label) in zip(axes[0], zip("ab", TIMES.values(), strict=True), strict=True):
        times = np.array([ensembles(record)[name][label] for name in names])  # [names, sides]
        ratios = " and ".join(f"{apart / together:.1f}" for together, apart in times)
        for shift, side, color, words in ((0.17, 0, "#0072B2", "one program"), (-0.17, 1, "#E69F00", "one by one")):
            panel.barh(np.arange(len(names)) + shift, times[:, side], 0.3, color=color, label=words)
        panel.set_yticks(range(len(names)), names)
        panel.set(title=f"{letter}  {label.capitalize()}:\n{ratios} times as fast", xlabel="seconds")
    plots.legend_below(figure, axes[0, 0])
    return figure


if __name__ == "__main__":
    lab.run(__name__)
