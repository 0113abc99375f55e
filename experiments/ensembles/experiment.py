"""Times ensembles against runs one after another, and the trainer against a bare scan; writes record and table."""

from __future__ import annotations

import dataclasses
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import jax
import numpy as np

from experiments.ensembles.config import Config
from experiments.models import builder, clipped_adam
from recurrax import report
from recurrax.tasks import MemoryTask, make_task
from recurrax.training import History, Output, Plan, Recipe, fit
from recurrax.training.ensemble import grid, make_ensemble

NAME = "ensembles"


def prepare(config: Config) -> MemoryTask:
    """Everything that can be wrong with the settings, found before anything is compiled; gives the task."""
    for rate in config.learning_rates:
        clipped_adam(rate)
    report.check_folder(config.out)
    return make_task("adding", config.length)


def main(config: Config, task: MemoryTask) -> dict[str, Any]:
    """Measures, round by round, saving after each; prints the table and gives the record."""
    began, entry = time.perf_counter(), {}
    results: dict[str, Any] = {name: {"together": [], "apart": []} for name in plans(config)}
    results["trainer"] = {"fit": [], "bare": []}  # seconds of each chunk
    for turn in range(config.rounds):
        for name, plan in plans(config).items():
            results[name]["together"].append(timed(config, task, [plan]))
            results[name]["apart"].append(timed(config, task, alone(plan)))
        trainer, bare = overhead(config, task)
        results["trainer"]["fit"].extend(trainer)
        results["trainer"]["bare"].extend(bare)
        entry = report.record(NAME, config, results, time.perf_counter() - began, complete=turn + 1 == config.rounds)
        report.save(config.out, entry)
        print(f"round {turn + 1} of {config.rounds} done", file=sys.stderr, flush=True)
    print(render(entry, config.out))
    return entry


def plans(config: Config) -> dict[str, Plan]:
    """The two ensembles: seeds alone, and a sweep with as many runs."""
    common = Plan(
        steps=config.steps, batch_size=config.batch_size, chunk=config.steps, stop_when_solved=False,
        seeds=tuple(range(config.seeds)), sweep={"learning_rate": config.learning_rates[-1:]},
    )  # fmt: skip
    rates, seeds = config.learning_rates, config.seeds // len(config.learning_rates)
    swept = dataclasses.replace(common, seeds=tuple(range(seeds)), sweep={"learning_rate": rates})
    return {f"{config.seeds} seeds": common, f"{len(rates)} learning rates x {seeds} seeds": swept}


def alone(plan: Plan) -> list[Plan]:
    """The runs of an ensemble, each as a plan of its own."""
    return [
        dataclasses.replace(plan, seeds=(seed,), sweep={"learning_rate": (rate,)})
        for rate in plan.sweep["learning_rate"]
        for seed in plan.seeds
    ]


def timed(config: Config, task: MemoryTask, queue: list[Plan]) -> dict[str, float]:
    """Seconds of fits one after another: in all, and of their chunks and evaluations alone."""
    jax.clear_caches()  # as in a fresh process
    began = time.perf_counter()
    histories = [fit(builder(config.cell, task, config.hidden), task, clipped_adam, plan) for plan in queue]
    return {"total": time.perf_counter() - began, "run": sum(history.seconds for history in histories)}


def overhead(config: Config, task: MemoryTask) -> tuple[list[float], list[float]]:
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


def table(record: dict[str, Any]) -> str:
    """Medians, and their ratios; a function of the record alone."""
    config, results = record["config"], record["results"]
    rows = []
    for name, times in results.items():
        if name == "trainer":
            continue
        together, apart = (
            {key: np.median([entry[key] for entry in times[side]]) for key in ("total", "run")}
            for side in ("together", "apart")
        )
        for key, label in (("total", "compilation included"), ("run", "compilation excluded")):
            rows.append(
                {
                    "runs": name,
                    "time": label,
                    "one program (s)": f"{together[key]:.1f}",
                    "one after another (s)": f"{apart[key]:.1f}",
                    "ratio": f"{apart[key] / together[key]:.2f}",
                }
            )
    trainer, bare = (np.asarray(results["trainer"][side]) for side in ("fit", "bare"))
    low, high = np.quantile(trainer / bare, [0.25, 0.75])
    return (
        "# Many runs in one program\n\n"
        f"{config['cell']} with H = {config['hidden']}, adding with T = {config['length']}, batch size "
        f"{config['batch_size']}, {config['steps']} updates of each run; medians of\n{config['rounds']} rounds, in "
        "turn in one process.\n\n"
        f"{report.markdown_table(rows)}\n"
        f"The trainer, with evaluation, metrics and a checkpoint every {config['checkpoint_every']} updates, against a "
        f"bare jitted scan of the same\nupdates of {config['trainer_seeds']} runs, chunk by chunk in turn: "
        f"{np.median(trainer):.2f} s against {np.median(bare):.2f} s, {np.median(trainer / bare) - 1:+.1%} (median of "
        f"{len(bare)}\npairs; quartiles {low - 1:+.1%} to {high - 1:+.1%}).\n\n"
        f"{report.origin(record)}.\nCommand: `{record['provenance']['command']}`\n"
    )


def render(record: dict[str, Any], folder: Path) -> str:
    """Writes the table of a record beside it; gives it."""
    text = table(record)
    report.write(folder / f"{record['hash']}.md", text)
    return text
