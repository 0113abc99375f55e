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
from experiments.models import builder
from recurrax import report
from recurrax.tasks import Task, make_task
from recurrax.training import Output, Plan, Recipe, adam, fit
from recurrax.training.ensemble import grid, make_ensemble

NAME = "ensembles"


def prepare(config: Config) -> Task:
    """Everything that can be wrong with the settings, found before anything is compiled; gives the task."""
    for rate in config.learning_rates:
        adam(rate)
    report.check_folder(config.out)
    return make_task("adding", config.length)


def main(config: Config, task: Task) -> dict[str, Any]:
    """Measures, round by round, saving after each; prints the table and gives the record."""
    began, entry = time.perf_counter(), {}
    results: dict[str, Any] = {name: {"together": [], "apart": []} for name in plans(config)}
    results["trainer"] = {"fit": [], "bare": []}
    for turn in range(config.rounds):
        for name, plan in plans(config).items():
            results[name]["together"].append(timed(config, task, [plan]))
            results[name]["apart"].append(timed(config, task, alone(plan)))
        trainer, bare = overhead(config, task)
        results["trainer"]["fit"].append(trainer)
        results["trainer"]["bare"].append(bare)
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


def timed(config: Config, task: Task, queue: list[Plan]) -> dict[str, float]:
    """Seconds of fits one after another: in all, and of their chunks and evaluations alone."""
    jax.clear_caches()  # as in a fresh process
    began = time.perf_counter()
    histories = [fit(builder(config.cell, task, config.hidden), task, adam, plan) for plan in queue]
    return {"total": time.perf_counter() - began, "run": sum(history.seconds for history in histories)}


def overhead(config: Config, task: Task) -> tuple[float, float]:
    """Seconds of the trainer with evaluations, metrics and checkpoints, and of the same updates in a bare scan."""
    seeds, size = tuple(range(config.trainer_seeds)), config.checkpoint_every
    plan = Plan(
        steps=config.trainer_steps, batch_size=config.batch_size, chunk=size, seeds=seeds, stop_when_solved=False
    )
    recipe = Recipe(builder(config.cell, task, config.hidden), task, adam(1e-2), config.batch_size)
    state = make_ensemble(recipe, len(seeds), None).start(*grid(seeds, {}))
    scan = jax.jit(jax.vmap(lambda run: recipe.chunk(size, run))).lower(state.run).compile()
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        history = fit(recipe.build, task, recipe.optimizer, plan, Output(Path(folder), checkpoint_every=size))
        trainer = time.perf_counter() - began - history.compile_seconds
    run, began = state.run, time.perf_counter()
    for _ in range(config.trainer_steps // size):
        run, losses = scan(run)
    jax.block_until_ready((run, losses))
    return trainer, time.perf_counter() - began


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
    return (
        "# Many runs in one program\n\n"
        f"{config['cell']} with H = {config['hidden']}, adding with T = {config['length']}, batch size "
        f"{config['batch_size']}, {config['steps']} updates of each run; medians of\n{config['rounds']} rounds, in "
        "turn in one process.\n\n"
        f"{report.markdown_table(rows)}\n"
        f"The trainer, with evaluation, metrics and a checkpoint every {config['checkpoint_every']} updates, against a "
        f"bare jitted scan of the same\n{config['trainer_steps']} updates of {config['trainer_seeds']} runs: "
        f"{np.median(trainer):.1f} s against {np.median(bare):.1f} s, {np.median(trainer / bare) - 1:+.1%} "
        f"({', '.join(f'{ratio - 1:+.1%}' for ratio in trainer / bare)}).\n\n"
        f"{report.origin(record)}.\nCommand: `{record['provenance']['command']}`\n"
    )


def render(record: dict[str, Any], folder: Path) -> str:
    """Writes the table of a record beside it; gives it."""
    text = table(record)
    report.write(folder / f"{record['hash']}.md", text)
    return text
