"""Is this checkout faster or slower than another one? The same programs in alternating processes.

    git worktree add ../before COMMIT
    python -m experiments.against ../before              # on a machine that does nothing else
    python -m experiments.against ../before --cells LSTM --measurements streaming

Each checkout has a process of its own, which imports recurrax from there; a third one runs the peers. They take
turns, in a random order in every round, and a case is the median of its rounds. The record has the milliseconds of
every round.
"""

from __future__ import annotations

import dataclasses
import json
import math
import random
import subprocess
import sys
import time
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import tyro

RESULTS = Path(__file__).parent / "results" / "against"
CELLS = ("RNN", "GRU", "LSTM")
MEASUREMENTS = ("training", "streaming", "first call")
PEERS = {"training": (), "streaming": ("flax.nnx", "flax.linen", "haiku", "equinox"), "first call": ("flax.nnx",)}
TRAINING = (
    (32, 100, 2, 32), (32, 100, 2, 128), (64, 784, 1, 128), (20, 35, 650, 650), (16, 1024, 768, 768),
    (1, 1000, 32, 64), (128, 256, 64, 256),
)  # fmt: skip
STREAMING = ((32, 100, 2, 128), (20, 35, 650, 650), (1, 1000, 32, 64))
SAMPLE = 0.05  # seconds of calls in a row


@dataclasses.dataclass(frozen=True)
class Config:
    """Which checkouts, cells and programs."""

    before: Annotated[Path, tyro.conf.Positional] = dataclasses.field(metadata={"setting": False})
    """Root of the other checkout; the record names its commit."""
    cells: tuple[str, ...] = CELLS
    """Of RNN, GRU and LSTM."""
    measurements: tuple[str, ...] = MEASUREMENTS
    """Of training, streaming and first call."""
    rounds: int = 15
    """Most samples of a program."""
    seconds_per_case: float = 20.0
    """Samples are taken until this is spent, but at least three."""
    out: Path = RESULTS
    """Folder of the record and the page."""

    def __post_init__(self) -> None:
        """Refuses what cannot be run."""
        if not (Path(self.before) / "recurrax" / "__init__.py").exists():
            raise ValueError(f"before={self.before}; allowed: the root of a checkout, with recurrax/ in it.")
        for name, values, allowed in (("cells", self.cells, CELLS), ("measurements", self.measurements, MEASUREMENTS)):
            if not values or not set(values) <= set(allowed):
                raise ValueError(f"{name}={values}; allowed: one or more of {', '.join(allowed)}.")


class Worker:
    """A process that builds and times programs of one checkout."""

    def __init__(self, root: Path):
        command = [sys.executable, str(Path(__file__)), "--worker", str(root.resolve())]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def ask(self, **question: Any) -> Any:
        """The answer to one question; raises RuntimeError where the process has ended."""
        assert self.process.stdin and self.process.stdout
        self.process.stdin.write(json.dumps(question) + "\n")
        self.process.stdin.flush()
        if not (answer := self.process.stdout.readline()):
            raise RuntimeError(f"the process of {self.process.args} ended; its error is above")
        return json.loads(answer)


def measure(config: Config) -> dict[str, dict[str, list[float]]]:
    """Milliseconds of every round of every program, by case."""
    ours = {"before": Worker(config.before), "after": Worker(Path(__file__).parents[1])}
    peers = Worker(Path(__file__).parents[1])
    cases: dict[str, dict[str, list[float]]] = {}
    for kind in config.measurements:
        for cell in config.cells if kind != "first call" else ("LSTM",):
            shapes = {"training": TRAINING, "streaming": STREAMING}.get(kind, ((64, 784, 1, 128),))
            for shape in shapes:
                programs = {name: (worker, "recurrax") for name, worker in ours.items()}
                programs |= {name: (peers, name) for name in PEERS[kind]}
                name = f"{kind}, {cell} {','.join(map(str, shape))}"
                cases[name] = _case(config, programs, kind, cell, shape)
                print(name, {k: f"{np.median(v):.3f} ms" for k, v in cases[name].items()}, flush=True)
    return cases


def _case(config: Config, programs: Any, kind: str, cell: str, shape: tuple[int, ...]) -> dict[str, list[float]]:
    counts, cost = {}, 0.0
    for name, (worker, library) in programs.items():
        seconds = worker.ask(build=[kind, library, cell, *shape], name=name)
        if seconds is not None:  # else the library is not installed, or has no such program
            counts[name] = max(1, math.ceil(SAMPLE / seconds))
            cost += counts[name] * seconds
    rows: dict[str, list[float]] = {name: [] for name in counts}
    order = random.Random(0)
    for _ in range(min(config.rounds, max(3, int(config.seconds_per_case / cost)))):
        for name in order.sample(list(counts), len(counts)):
            rows[name].append(round(1e3 * programs[name][0].ask(time=name, times=counts[name]), 4))
    return rows


def page(record: dict[str, Any]) -> str:
    """Ratios of the medians, and their geometric means."""
    from recurrax import report

    rows, logs = [], {}
    for name, samples in record["results"]["cases"].items():
        median = {program: float(np.median(values)) for program, values in samples.items()}
        others = {peer: value for peer, value in median.items() if peer not in ("before", "after")}
        fastest = min(others, key=others.__getitem__) if others else None
        logs.setdefault(name.split(",")[0], []).append(math.log(median["after"] / median["before"]))
        rows.append({
            "case": name,
            "before, ms": f"{median['before']:.3g}",
            "after, ms": f"{median['after']:.3g}",
            "after / before": f"{median['after'] / median['before']:.2f}",
            "after / fastest peer": f"{median['after'] / others[fastest]:.2f} ({fastest})" if fastest else "",
            "rounds": str(len(samples["after"])),
        })  # fmt: skip
    means = ", ".join(f"{kind} {math.exp(sum(v) / len(v)):.3f}" for kind, v in logs.items())
    return (
        f"# This checkout against commit {record['results']['before']}\n\n"
        f"Geometric means of after / before: {means}.\n\n"
        f"{report.markdown_table(rows)}\n{report.footer(record)}\n"
    )


def main() -> None:
    """Measures, writes the record and the page, and prints the page."""
    from recurrax import report

    config = tyro.cli(Config, description=__doc__)
    report.check_folder(config.out)
    began = time.monotonic()
    results = {"before": _commit(config.before), "cases": measure(config)}
    record = report.record("against", config, results, time.monotonic() - began)
    report.save(config.out, record)
    report.write(config.out / "README.md", page(record))
    print(page(record))


def _commit(root: Path) -> str:
    """The commit of a checkout."""
    git = ["git", "-C", str(root), "rev-parse", "--short=12", "HEAD"]
    done = subprocess.run(git, capture_output=True, text=True, check=False)
    return done.stdout.strip() or "unknown"


def work(root: str) -> None:
    """Builds and times programs as the lines of standard input say."""
    sys.path[:] = [root, *(path for path in sys.path if Path(path).resolve() != Path(__file__).parent.resolve())]
    import recurrax

    assert Path(recurrax.__file__).is_relative_to(root), recurrax.__file__
    calls: dict[str, Any] = {}
    for line in sys.stdin:
        question = json.loads(line)
        if "build" in question:
            calls[question["name"]] = call = _program(*question["build"])
            print(json.dumps(None if call is None else _seconds(call, 3)), flush=True)
        else:
            print(json.dumps(_seconds(calls[question["time"]], question["times"])), flush=True)


def _seconds(call: Any, times: int) -> float:
    began = time.perf_counter()
    for _ in range(times):
        call()
    return (time.perf_counter() - began) / times


def _program(kind: str, library: str, cell: str, B: int, T: int, D: int, H: int) -> Any:
    """A call that waits for all it gives; None where the library is not installed."""
    import jax
    import jax.numpy as jnp

    if library == "recurrax":
        parameters, run, carry, step = _ours(cell, B, D, H)
    else:
        from experiments.speed import peers
        from experiments.speed.timing import Refused

        try:
            layer = peers.layer(library, cell, (B, T, D, H))
        except Refused:
            return None
        parameters, run, carry, step = layer.parameters, layer.run, layer.carry, layer.step
    xs = jax.random.normal(jax.random.key(1), (B, T, D))

    def loss(parameters: Any, xs: jax.Array) -> jax.Array:
        return jnp.mean(run(parameters, xs) ** 2)

    if kind == "first call":

        def first() -> None:
            jax.clear_caches()
            jax.jit(jax.value_and_grad(lambda p, xs: loss(p, xs))).lower(parameters, xs).compile()

        first()
        return first
    if kind == "training":
        train = jax.jit(jax.value_and_grad(loss))
        jax.block_until_ready(train(parameters, xs))
        return lambda: jax.block_until_ready(train(parameters, xs))
    stream, state, x = jax.jit(step), [jax.tree.map(jnp.array, carry)], xs[:, 0]

    def advance() -> None:
        state[0], _ = jax.block_until_ready(stream(parameters, state[0], x))

    advance()
    return advance


def _ours(cell: str, B: int, D: int, H: int) -> Any:
    import jax
    from flax import nnx

    import recurrax as rx

    make = getattr(rx.cells, f"{cell}Cell", None) or getattr(rx.cells, cell)  # the name of the first edition
    module = rx.RNN(make(D, H, rngs=nnx.Rngs(0)))
    leaves, tree = jax.tree.flatten(module)
    return (
        leaves,
        lambda p, xs: jax.tree.unflatten(tree, p)(xs),
        module.cell.initialize_carry((B, D)),
        lambda p, carry, x: jax.tree.unflatten(tree, p).cell(carry, x),
    )


if __name__ == "__main__":
    work(sys.argv[2]) if sys.argv[1:2] == ["--worker"] else main()
