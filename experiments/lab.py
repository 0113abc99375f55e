"""One experiment, from its settings to its page: settings -> parts -> record -> page.

An experiment is one module of this package, or a folder where one file cannot hold it. It has

    __doc__            the question, the commands, what they cost, what to expect
    Config, PRESETS    its settings, a `Settings`, and named choices of them, the default first
    parts(config)      {name: () -> result}, what is to be measured; it refuses bad settings before anything runs
    page(record)       [title, findings, section, ...] in Markdown; the figure stands between findings and sections
    draw(record)       the figure, or several by name: {"": the first one, "details": another}

and may have ``baseline_rows(record)``, its rows of the baseline table, and ``overview(records, place)``, a page over
all its records, whose pages stand at ``place``. `run` is its command line:

    if __name__ == "__main__":
        lab.run(__name__)

Pages and figures are functions of the record and of nothing else, so a committed record can be rendered again.
"""

from __future__ import annotations

import dataclasses
import importlib
import json
import re
import shutil
import sys
import time
import types
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")  # before pyplot: figures are written, not shown

import matplotlib.pyplot as plt
from matplotlib.figure import Figure

from experiments import TABLES, plots
from recurrax import compilation, report
from recurrax.cli import command
from recurrax.cli import settings as flags
from recurrax.cli.command import say as say
from recurrax.tasks import Task
from recurrax.training import History, Output, Plan, adam, fit

Record = dict[str, Any]
RESULTS = Path(__file__).parent / "results"  # the committed records
RUNS = Path("runs")  # default folder of runs in the working directory
SHORT = 1500  # updates of a fit that takes only seconds, so that saving is not worth while
OUTCOME = (
    "seeds", "settings", "steps", "loss", "accuracy", "solved_at", "diverged_at", "clipped", "test_loss",
    "test_accuracy", "seconds", "compile_seconds",
)  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Settings(flags.Settings):
    """Common settings of all experiments: validation, and the place of the record."""

    out: Path | None = dataclasses.field(default=None, metadata={"setting": False})
    """Folder of the record, its page and its figure; runs/<experiment>/ of the working directory by default."""


def run(name: str) -> None:
    """The command line: presets, and a flag for each setting.

    A bad value ends the program in one line with status 2 before anything is compiled; a checkpoint that cannot be
    used or written with status 1; SIGTERM with 143, after the state is saved; Ctrl-C with 130.
    """
    experiment = sys.modules["__main__"] if name == "__main__" else importlib.import_module(name)
    if name == "__main__":
        assert experiment.__spec__ is not None  # a module is run by python -m
        name = experiment.__spec__.name
    try:
        config = settings(experiment, name, sys.argv[1:])
        report.check_folder(folder(config))
        parts = experiment.parts(config)
    except (ValueError, TypeError, ImportError) as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    with command.statuses():
        compilation.keep(getattr(experiment, "KEEP_PROGRAMS", True))
        record = measure(name.rpartition(".")[2], config, parts)
        print(publish(experiment, record, folder(config)))
        _say_where(folder(config), record)


def settings(experiment: types.ModuleType, name: str, arguments: list[str]) -> Any:
    """The Config that the words of a command line describe."""
    committed, words = "--record" in arguments, [word for word in arguments if word != "--record"]
    text = f"{experiment.__doc__}\n--record puts the record among the committed ones, in place of runs/."
    config = flags.read(f"python -m {name}", experiment.PRESETS, words, text, flat=False)
    return config if config.out else dataclasses.replace(config, out=place(name, RESULTS if committed else RUNS))


def measure(name: str, config: Any, parts: Mapping[str, Callable[[], Any]]) -> Record:
    """Measures every part that an interrupted run has not left behind, saving after each; gives the complete record.

    Args:
        name: of the experiment.
        config: its settings.
        parts: what is to be measured, by name, in this order.
    """
    out, before = folder(config), report.load(folder(config), config) or {}
    half_done = not before.get("complete", True)
    results: Record = before["results"] if half_done else {}
    entry, began = before, time.perf_counter() - (before["seconds"] if half_done else 0)
    if results:
        say(f"resuming: {len(results)} of {len(parts)} parts are in {out / entry['hash']}.json")
    for number, (part, run) in enumerate(parts.items(), start=1):
        if part in results:
            continue
        say(f"[{number}/{len(parts)}] {part}  ({time.perf_counter() - began:.0f} s)")
        results[part] = run()
        seconds = time.perf_counter() - began
        entry = report.record(name, config, results, seconds, complete=len(results) == len(parts))
        report.save(out, entry)
    shutil.rmtree(runs(config), ignore_errors=True)  # all that counts is in the record
    return entry


def publish(experiment: types.ModuleType, record: Record, out: Path) -> str:
    """Writes the page and the figures of a record beside it; gives the page."""
    text = document(experiment, record)
    report.write(out / f"{record['hash']}.md", text)
    for name, figure in figures(experiment, record).items():
        figure.savefig(out / f"{record['hash']}{name and '-' + name}.png", dpi=160)
        plt.close(figure)
    return text


def document(experiment: types.ModuleType, record: Record) -> str:
    """The page in Markdown: title, findings, figure, sections, origin."""
    title, findings, *sections = experiment.page(record)
    found = "\n".join(f"- {finding}" for finding in findings)
    whole = [f"# {title}", found, f"![figure]({record['hash']}.png)", *sections, report.footer(record)]
    return "\n\n".join(section.strip() for section in whole) + "\n"


def figures(experiment: types.ModuleType, record: Record) -> dict[str, Figure]:
    """The figures of a record by name; the first one has none."""
    with plt.rc_context(plots.STYLE):
        drawn = experiment.draw(record)
    return drawn if isinstance(drawn, dict) else {"": drawn}


def place(name: str, results: Path = RESULTS) -> Path:
    """The folder of an experiment among the results."""
    return results / name.rpartition(".")[2]


def records(name: str, results: Path = RESULTS) -> list[Record]:
    """The complete records of an experiment, that of the default settings first, or of an application's table."""
    presets = importlib.import_module(f"experiments.{name}").PRESETS
    default = report.config_hash(presets["table" if name in TABLES else next(iter(presets))])
    found = [json.loads(path.read_text()) for path in sorted(place(name, results).glob("*.json"))]
    return sorted((r for r in found if r.get("complete", True)), key=lambda record: record["hash"] != default)


def folder(config: Any) -> Path:
    """Folder of the record, its page and its figures."""
    return Path(config.out or RUNS)


def runs(config: Any) -> Path:
    """Where the training runs of these settings are kept until the record is complete."""
    return folder(config) / "runs" / report.config_hash(config)


def train(config: Any, title: str, build: Any, task: Task, optimizer: Any, plan: Plan, penalty: Any = None) -> History:
    """`fit` under a title, which resumes an interrupted run; a short run starts again."""
    saved = output(config, title, plan) if plan.steps > SHORT else Output(title=title)
    return fit(build, task, optimizer, plan, saved, penalty)


def output(config: Any, title: str, plan: Plan) -> Output:
    """Where a `fit` under a title keeps its checkpoints."""
    place = runs(config) / re.sub(r"[^\w=.]+", "-", title)
    return Output(place, title, checkpoint_every=5 * plan.chunk, config=report.settings(config))


def plan(config: Any, **others: Any) -> Plan:
    """The plan that the settings describe: those of `Plan`'s fields that they have; ``learning_rate`` is swept."""
    names = {field.name for field in dataclasses.fields(Plan)} & {field.name for field in dataclasses.fields(config)}
    made = {name: getattr(config, name) for name in names} | others
    rates = getattr(config, "learning_rate", None)
    if isinstance(rates, tuple):
        for rate in rates:
            adam(rate)  # raises for an invalid learning rate
        made.setdefault("sweep", {"learning_rate": rates})
    return Plan(**made)


def outcome(history: History) -> dict[str, Any]:
    """The part of a record for a fit, with every run."""
    return {name: getattr(history, name) for name in OUTCOME}


def _say_where(out: Path, record: Record) -> None:
    say("")
    for path in sorted(out.resolve().glob(f"{record['hash']}*")):
        say(str(path))
