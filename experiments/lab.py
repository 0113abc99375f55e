"""One experiment, from its settings to its page: settings -> parts -> record -> page.

An experiment is one module of this package, or a folder where one file cannot hold it. It has

    __doc__            the question, the commands, what they cost, what to expect
    Config, PRESETS    its settings, a `Settings`, and named choices of them, the default first
    parts(config)      {name: () -> result}, what is to be measured; it refuses bad settings before anything runs
    page(record)       [title, findings, section, ...] in Markdown; the figure stands between findings and sections
    draw(record)       the figure, or several by name: {"": the first one, "details": another}

and may have ``baseline_rows(record)``, its rows of the baseline table. `run` is its command line:

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
import typing
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")  # before pyplot: figures are written, not shown

import matplotlib.pyplot as plt
import tyro
from matplotlib.figure import Figure

from experiments import plots
from recurrax import compilation, report
from recurrax.tasks import Task
from recurrax.training import CheckpointError, History, Output, Plan, Preempted, adam, fit

Record = dict[str, Any]
RESULTS = Path(__file__).parent / "results"  # the committed records
RUNS = Path("runs")  # of the working directory: where a run goes by default
SHORT = 1500  # updates up to which a fit takes seconds, of which saving it would be a large part
OUTCOME = (
    "seeds", "settings", "steps", "loss", "accuracy", "solved_at", "diverged_at", "clipped", "test_loss",
    "test_accuracy", "seconds", "compile_seconds",
)  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Settings:
    """What the settings of every experiment share: where its record goes, and what is refused.

    Refused are an empty tuple, a value twice in a tuple, a value outside its ``Literal``, a number that is not finite,
    an int below 1 and a float that is not above 0. Seeds may be 0, and so may a field whose default is or holds 0;
    one whose default is or holds a number below 0 takes every finite number.
    """

    out: Path | None = dataclasses.field(default=None, metadata={"setting": False})
    """Folder of the record, its page and its figure; runs/<experiment>/ of the working directory by default."""

    def __post_init__(self) -> None:
        """Raises ValueError where a setting cannot be used."""
        hints = typing.get_type_hints(type(self))
        for field in dataclasses.fields(self):
            if field.metadata.get("setting", True):
                self._check(field, hints[field.name])

    def _check(self, field: Any, kind: Any) -> None:
        value = getattr(self, field.name)
        values, allowed = (value if isinstance(value, tuple) else (value,)), _choices(kind)
        if not values or len(set(values)) < len(values):
            self.refuse(field.name, "one or more, all different")
        if allowed and not set(values) <= set(allowed):
            self.refuse(field.name, f"{'one or more ' if isinstance(value, tuple) else 'one '}of {', '.join(allowed)}")
        usual = field.default if isinstance(field.default, tuple) else (field.default,)
        signed = any(isinstance(v, int | float) and v < 0 for v in usual)
        zero = signed or 0 in usual or (isinstance(value, tuple) and field.name.endswith("seeds"))
        whole = all(isinstance(v, int) for v in usual)
        least = float("-inf") if signed else 1 if whole and not zero else 0
        for number in (v for v in values if isinstance(v, int | float) and not isinstance(v, bool)):
            if not abs(number) < float("inf") or number < least or (number == 0 and not zero):
                bound = "" if signed else " >= 0" if zero else " >= 1" if whole else " > 0"
                self.refuse(field.name, f"{'an int' if whole else 'a finite number'}{bound}")

    def refuse(self, name: str, allowed: str) -> typing.NoReturn:
        """Raises ValueError: the setting, its value and what is allowed."""
        raise ValueError(f"{name}={getattr(self, name)!r}; allowed: {allowed}. Change --{name.replace('_', '-')}.")


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
    try:
        compilation.keep(getattr(experiment, "KEEP_PROGRAMS", True))
        record = measure(name.rpartition(".")[2], config, parts)
        print(publish(experiment, record, folder(config)))
        _say_where(folder(config), record)
    except (CheckpointError, OSError, ImportError) as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(1)
    except Preempted as stop:
        print(stop, file=sys.stderr)
        raise
    except KeyboardInterrupt:
        print("interrupted; the same command goes on from the last checkpoint", file=sys.stderr)
        sys.exit(130)


def settings(experiment: types.ModuleType, name: str, arguments: list[str]) -> Any:
    """The Config that the words of a command line describe."""
    presets = experiment.PRESETS
    chosen, arguments = _take(arguments, "--preset")
    if chosen not in (None, *presets):
        raise ValueError(f"--preset {chosen}; allowed: {', '.join(presets)}.")
    default = presets[chosen or next(iter(presets))]
    text = (
        f"{experiment.__doc__}\nPresets, which the flags below override: --preset {' | '.join(presets)}.\n"
        "--record puts the record among the committed ones, in place of runs/."
    )
    committed, arguments = "--record" in arguments, [word for word in arguments if word != "--record"]
    program = f"python -m {name}"
    config = tyro.cli(type(default), prog=program, default=default, args=arguments, description=text)
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
    """The complete records of an experiment, that of the default settings first."""
    presets = importlib.import_module(f"experiments.{name}").PRESETS
    default = report.config_hash(next(iter(presets.values())))
    found = [json.loads(path.read_text()) for path in sorted(place(name, results).glob("*.json"))]
    return sorted((r for r in found if r.get("complete", True)), key=lambda record: record["hash"] != default)


def folder(config: Any) -> Path:
    """Of the record, its page and its figures."""
    return Path(config.out or RUNS)


def runs(config: Any) -> Path:
    """Where the training runs of these settings are kept until the record is complete."""
    return folder(config) / "runs" / report.config_hash(config)


def train(config: Any, title: str, build: Any, task: Task, optimizer: Any, plan: Plan, penalty: Any = None) -> History:
    """`fit` under a title, which goes on where an interrupted one stopped; a short one is made again from the start."""
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
            adam(rate)  # refuses what is no learning rate
        made.setdefault("sweep", {"learning_rate": rates})
    return Plan(**made)


def outcome(history: History) -> dict[str, Any]:
    """What a record keeps of a fit: every run."""
    return {name: getattr(history, name) for name in OUTCOME}


def say(text: str) -> None:
    """Progress on stderr, so that stdout holds the page alone."""
    print(text, file=sys.stderr, flush=True)


def _say_where(out: Path, record: Record) -> None:
    say("")
    for path in sorted(out.resolve().glob(f"{record['hash']}*")):
        say(str(path))


def _choices(kind: Any) -> tuple[str, ...]:
    if typing.get_origin(kind) is typing.Literal:
        return typing.get_args(kind)
    return next((found for inner in typing.get_args(kind) if (found := _choices(inner))), ())


def _take(arguments: list[str], flag: str) -> tuple[str | None, list[str]]:
    """The value of a flag that no Config has, and the other arguments."""
    for index, argument in enumerate(arguments):
        if argument == flag or argument.startswith(f"{flag}="):
            inline = argument.partition("=")[2]
            value = inline or (arguments[index + 1] if index + 1 < len(arguments) else "")
            return value, arguments[:index] + arguments[index + (1 if inline else 2) :]
    return None, arguments
