"""Is this checkout faster or slower than another one? The same programs in alternating processes.

    git worktree add ../before COMMIT
    python -m experiments.benchmarks.against ../before              # on a machine that does nothing else
    python -m experiments.benchmarks.against ../before --cells LSTM --measurements streaming

Each checkout has a process of its own, which imports recurrax from there; a third one runs the peers. They take
turns, in a random order in every round, and a case is the median of its rounds. The record has the milliseconds of
every round.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import math
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

import numpy as np
import tyro
from matplotlib.figure import Figure

from experiments import lab, plots
from experiments.benchmarks.speed import PRESETS as SPEED
from experiments.benchmarks.speed.config import CELLS, Name
from recurrax.report import markdown_table

KEEP_PROGRAMS = False  # it measures how long compilation takes
Record = dict[str, Any]
Measurement = Literal["training", "streaming", "first call"]
ROOT = Path(__file__).parents[2]
PEERS = {"training": (), "streaming": ("flax.nnx", "flax.linen", "haiku", "equinox"), "first call": ("flax.nnx",)}
SHAPES = {
    "training": SPEED["default"].shapes, "streaming": SPEED["default"].inference_shapes,
    "first call": ((64, 784, 1, 128),),
}  # fmt: skip
SAMPLE = 0.05  # seconds of calls in a row


@dataclasses.dataclass(frozen=True)
class Config(lab.Settings):
    """The checkouts, cells and programs to compare."""

    before: Annotated[Path, tyro.conf.Positional] = dataclasses.field(
        default=Path("../before"), metadata={"setting": False}
    )
    """Root of the other checkout; the record names its commit."""
    cells: tuple[Name, ...] = CELLS
    """Cells to time."""
    measurements: tuple[Measurement, ...] = get_args(Measurement)
    """Measurements to make."""
    rounds: int = 15
    """Most samples of a program."""
    seconds_per_case: float = 20.0
    """Samples are taken until this is spent, but at least three."""


PRESETS = {"default": Config()}


class Worker:
    """A process that builds and times programs of one checkout."""

    def __init__(self, root: Path):
        command = [sys.executable, str(Path(__file__).parent / "worker.py"), str(root.resolve())]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def ask(self, **question: Any) -> Any:
        """The answer to one question; raises RuntimeError where the process has ended."""
        assert self.process.stdin and self.process.stdout
        self.process.stdin.write(json.dumps(question) + "\n")
        self.process.stdin.flush()
        if not (answer := self.process.stdout.readline()):
            raise RuntimeError(f"the process of {self.process.args} ended; its error is above")
        return json.loads(answer)


def parts(config: Config) -> dict[str, Callable[[], Any]]:
    """The commit of the other checkout, and all cases."""
    if not (config.before / "recurrax" / "__init__.py").exists():
        raise ValueError(f"before={config.before}; allowed: the root of a checkout, with recurrax/ in it.")
    return {"before": functools.partial(commit, config.before), "cases": functools.partial(measure, config)}


def commit(root: Path) -> str:
    """The commit of a checkout."""
    git = ["git", "-C", str(root), "rev-parse", "--short=12", "HEAD"]
    return subprocess.run(git, capture_output=True, text=True, check=False).stdout.strip() or "unknown"


def measure(config: Config) -> dict[str, dict[str, list[float]]]:
    """Milliseconds of every round of every program, by case."""
    ours, peers = {"before": Worker(config.before), "after": Worker(ROOT)}, Worker(ROOT)
    cases: dict[str, dict[str, list[float]]] = {}
    for kind in config.measurements:
        for cell in config.cells if kind != "first call" else ("LSTM",):
            for shape in SHAPES[kind]:
                programs = {name: (worker, "recurrax") for name, worker in ours.items()}
                programs |= {name: (peers, name) for name in PEERS[kind]}
                name = f"{kind}, {cell} {','.join(map(str, shape))}"
                cases[name] = _case(config, programs, kind, cell, shape)
                lab.say(f"{name} { ({k: f'{np.median(v):.3f} ms' for k, v in cases[name].items()}) }")
    return cases


def _case(config: Config, programs: Any, kind: str, cell: str, shape: tuple[int, ...]) -> dict[str, list[float]]:
    counts, cost = {}, 0.0
    for name, (worker, library) in programs.items():
        seconds = worker.ask(build=[kind, library, cell, *shape], name=name)
        if seconds is not None:  # None if the library is missing or has no such program
            counts[name] = max(1, math.ceil(SAMPLE / seconds))
            cost += counts[name] * seconds
    rows: dict[str, list[float]] = {name: [] for name in counts}
    order = random.Random(0)
    for _ in range(min(config.rounds, max(3, int(config.seconds_per_case / cost)))):
        for name in order.sample(list(counts), len(counts)):
            rows[name].append(round(1e3 * programs[name][0].ask(time=name, times=counts[name]), 4))
    return rows


def medians(record: Record) -> dict[str, dict[str, float]]:
    """Milliseconds of every program, by case."""
    cases = record["results"]["cases"].items()
    return {name: {who: float(np.median(values)) for who, values in samples.items()} for name, samples in cases}


def means(record: Record) -> dict[str, float]:
    """Geometric mean of after / before of each measurement."""
    logs: dict[str, list[float]] = {}
    for name, median in medians(record).items():
        logs.setdefault(name.split(",")[0], []).append(math.log(median["after"] / median["before"]))
    return {kind: math.exp(sum(values) / len(values)) for kind, values in logs.items()}


def page(record: Record) -> list[Any]:
    """Title, finding and the ratios of the medians."""
    rows = []
    for name, median in medians(record).items():
        others = {peer: value for peer, value in median.items() if peer not in ("before", "after")}
        fastest = min(others, key=others.__getitem__) if others else None
        rows.append({
            "case": name,
            "before, ms": f"{median['before']:.3g}",
            "after, ms": f"{median['after']:.3g}",
            "after / before": f"{median['after'] / median['before']:.2f}",
            "after / fastest peer": f"{median['after'] / others[fastest]:.2f} ({fastest})" if fastest else "",
            "rounds": str(len(record["results"]["cases"][name]["after"])),
        })  # fmt: skip
    found = ", ".join(f"{kind} {mean:.3f}" for kind, mean in means(record).items())
    title = f"This checkout against commit {record['results']['before']}"
    return [title, [f"Geometric means of after / before: {found}."], markdown_table(rows)]


def draw(record: Record) -> Figure:
    """Time after over time before of every case, with quartiles over rounds."""
    found = list(medians(record).items())
    figure, ((axes,),) = plots.panels(1, 1, 6.5, 1.2 + 0.18 * len(found))
    for row, (name, median) in enumerate(found):
        low, high = np.quantile(record["results"]["cases"][name]["after"], [0.25, 0.75]) / median["before"]
        axes.plot([low, high], [row, row], color="0.5", lw=1.2)
        axes.plot(median["after"] / median["before"], row, "o", color="#0072B2", ms=4)
    axes.axvline(1, color="0.5", lw=0.8)
    axes.set_yticks(range(len(found)), [name for name, _ in found], fontsize=6)
    axes.invert_yaxis()
    text = ", ".join(f"{kind} {mean:.2f}" for kind, mean in means(record).items())
    plots.takeaway(figure, f"Time after over time before, geometric means: {text}")
    axes.set(xscale="log",
             xlabel="ratio of medians, quartiles of the rounds after")  # fmt: skip
    return figure


if __name__ == "__main__":
    lab.run(__name__)
