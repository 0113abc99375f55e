"""What does the next token cost: a recurrent net, or a Transformer that keeps all it has read?

    python -m experiments.benchmarks.token_cost              # one CPU core, about ten minutes
    python -m experiments.benchmarks.token_cost --help

Models of equally many weights write one token after another on one core. A recurrent net has a state of fixed size; a
Transformer keeps keys and values of its context, all of it or a window. For each length of the context the models take
turns in a fresh process, and every token is timed by itself: median, 99th percentile, bytes of state. Other fresh
processes give the peak memory. Whether a cache is written in place, not copied, is read off the compiled program.

Expected: the time of a recurrent net does not depend on the context, that of a Transformer rises in a line; with a
short context the Transformer is the faster one.
"""

from __future__ import annotations

import concurrent.futures
import dataclasses
import functools
import multiprocessing
import os
import random
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments import lab, plots, rivals
from experiments.rivals import MODELS
from recurrax.palette import looks
from recurrax.report import markdown_table
from recurrax.timing import digits, size

KEEP_PROGRAMS = False  # every program is compiled in its own process
Record = dict[str, Any]
NOTHING = "no model"
BURST, LEAST = 10, 3  # tokens of a turn, and turns at least
RECURRENT = ("LSTM", "GRU", "MinGRU", "GatedDeltaNet")
FULL = "Transformer"


@dataclasses.dataclass(frozen=True)
class Config(lab.Settings):
    """Time and memory of a token on one core; the defaults take about ten minutes."""

    models: tuple[str, ...] = tuple(MODELS)
    """Models: recurrent ones, a Transformer, and one whose layers see a window."""
    weights: int = 1_600_000
    """About how many weights every model has."""
    vocabulary: int = 256
    """Tokens that there are: bytes."""
    contexts: tuple[int, ...] = (128, 512, 2048, 8192, 32768, 65536)
    """Tokens that have been read before, rising."""
    batches: tuple[int, ...] = (1, 8)
    """Sequences that are written at the same time."""
    tokens: int = 300
    """Most tokens that are timed of each model at each context."""
    seconds: float = 8.0
    """Tokens are timed until this is spent on a context, but at least three turns of ten tokens each."""

    def __post_init__(self) -> None:
        """Refuses what cannot be run, before anything is compiled."""
        super().__post_init__()
        if not set(self.models) <= set(MODELS):
            self.refuse("models", f"one or more of {', '.join(MODELS)}")
        if list(self.contexts) != sorted(self.contexts):
            self.refuse("contexts", "one or more, rising")


PRESETS = {
    "default": Config(),
    "smoke": Config(models=("LSTM", "Transformer"), weights=20_000, vocabulary=16, contexts=(8, 16), batches=(1,),
                    tokens=30, seconds=0.1),
    "accelerator": Config(weights=100_000_000, batches=(1, 8, 64)),
}  # fmt: skip


def parts(config: Config) -> dict[str, Callable[[], Any]]:
    """Times of all models at every context, and the memory of each by itself."""
    measured: dict[str, Callable[[], Any]] = {}
    for batch in config.batches:
        for context in config.contexts:
            work = functools.partial(race, config, config.models, context, batch)
            measured[f"context {context}, batch {batch}"] = functools.partial(in_fresh_process, work)
    for model in (NOTHING, *config.models):
        for context in config.contexts[:: max(1, len(config.contexts) - 1)]:
            work = functools.partial(alone, config, model, context)
            measured[f"memory of {model}, context {context}"] = functools.partial(in_fresh_process, work)
    return measured


def in_fresh_process(work: Callable[[], Any]) -> Any:
    """What the work gives in a new process of one core."""
    spawn = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(1, mp_context=spawn, initializer=on_one_core) as pool:
        return pool.submit(work).result()


def on_one_core() -> None:
    """This process, and every thread that it will have, stays on one core."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})


def race(config: Config, names: tuple[str, ...], context: int, batch: int) -> dict[str, Any]:
    """Microseconds of every token of every model, in turn, after so long a context."""
    writers = {name: Writer(config, name, context, batch) for name in names}
    for writer in writers.values():
        writer.write(BURST)  # warms up
    times: dict[str, list[list[float]]] = {name: [] for name in names}
    orders, began = random.Random(0), time.perf_counter()
    turns = 0
    while turns < LEAST or (turns * BURST < config.tokens and time.perf_counter() - began < config.seconds):
        for name in orders.sample(names, len(names)):
            times[name].append(writers[name].write(BURST))
        turns += 1
    return {
        "context": context,
        "batch": batch,
        "models": {name: writers[name].facts | {"microseconds": times[name]} for name in names},
    }


class Writer:
    """A model that writes one token after another; its state is given away at every step and comes back."""

    def __init__(self, config: Config, name: str, context: int, batch: int):
        features = rivals.features_of(name, config.weights, config.vocabulary)
        self.model = rivals.make(name, features, config.vocabulary, jax.random.key(0))
        self.carry, self.token = rivals.carry_of(self.model, batch, context), jnp.zeros(batch, jnp.int32)
        if name not in RECURRENT:
            self.carry = (jnp.int32(context - 1), self.carry[1])  # the last row of the cache; from there on it stays
        state = rivals.nbytes(self.carry)
        step = jax.jit(lambda model, carry, token: model.step(carry, token), donate_argnums=1)
        self.step = step.lower(self.model, self.carry, self.token).compile()
        memory = self.step.memory_analysis()
        self.facts = {
            "features": features,
            "weights": rivals.weights(self.model),
            "state": state,
            "in_place": getattr(memory, "alias_size_in_bytes", None),
            "temporary": getattr(memory, "temp_size_in_bytes", None),
        }

    def write(self, tokens: int) -> list[float]:
        """Microseconds of each of so many tokens."""
        spent = []
        for _ in range(tokens):
            began = time.perf_counter()
            self.carry, scores = self.step(self.model, self.carry, self.token)
            jax.block_until_ready(scores)
            spent.append(1e6 * (time.perf_counter() - began))
        return spent


def alone(config: Config, name: str, context: int) -> dict[str, Any]:
    """Peak memory of this process, in bytes, after a model has written some tokens."""
    if name == NOTHING:
        jax.block_until_ready(jnp.zeros(1) + 1)
    else:
        Writer(config, name, context, 1).write(BURST)
    return {"model": name, "context": context, "peak": peak()}


def peak() -> int | None:
    """Most bytes that this process has held, None where the system does not say."""
    status = Path("/proc/self/status")
    if not status.exists():
        return None
    (line,) = (line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
    return 1024 * int(line.split()[1])


def page(record: Record) -> list[Any]:
    """Title, findings and tables."""
    config = record["config"]
    method = (
        f"Models of about {config['weights']:,} weights and {rivals.LAYERS} layers, {config['vocabulary']} tokens, "
        "float32, one core. Every token is timed by itself, ten of a model in a turn. Times are microseconds, the "
        f"median and in brackets the 99th percentile. The window is of {rivals.WINDOW} tokens in each layer."
    )
    tables = [
        section
        for batch in config["batches"]
        for section in (
            f"## A token, {batch} sequence{'s' * (batch > 1)} at a time",
            markdown_table(rows(record, batch)),
        )
    ]
    return [
        "What does the next token cost: a recurrent net, or a Transformer that keeps all it has read?",
        list(findings(record)),
        method,
        *tables,
        "## Memory\n\nBytes of state of one sequence, and the most memory that a fresh process held.",
        markdown_table(memory_rows(record)),
    ]


def races(record: Record, batch: int) -> list[Any]:
    """What was timed, by context."""
    return [entry for entry in record["results"].values() if entry.get("batch") == batch]


def times(entry: Any, name: str) -> np.ndarray:
    """Microseconds of every token, in turns ``[turns, 10]``."""
    return np.asarray(entry["models"][name]["microseconds"])


def crossing(record: Record, name: str, batch: int, resamples: int = 1000) -> tuple[float, float, float]:
    """Context at which a Transformer's token takes as long as a recurrent net's, and its 95% bootstrap interval.

    The Transformer's time is read off between the measured contexts, in a line between their medians; turns are
    resampled. Infinite where it stays the faster one, 0 where it never is.
    """
    entries = races(record, batch)
    own = [times(entry, FULL) for entry in entries]
    other = np.concatenate([times(entry, name) for entry in entries])
    draws = np.random.default_rng(0)

    def drawn(turns: np.ndarray) -> float:
        return float(np.median(turns[draws.integers(0, len(turns), len(turns))]))

    contexts = [entry["context"] for entry in entries]
    found = [meeting(contexts, [drawn(turns) for turns in own], drawn(other)) for _ in range(resamples)]
    low, high = np.quantile(found, [0.025, 0.975], method="nearest")
    return meeting(contexts, [float(np.median(turns)) for turns in own], float(np.median(other))), low, high


def meeting(contexts: list[int], costs: list[float], level: float) -> float:
    """Where costs first exceed a level."""
    if costs[0] > level:
        return 0.0
    for (n, low), (m, high) in zip(
        zip(contexts, costs, strict=True), list(zip(contexts, costs, strict=True))[1:], strict=False
    ):
        if high > level:
            return n + (m - n) * (level - low) / (high - low)
    return np.inf


def slope(record: Record, name: str, batch: int) -> float:
    """Nanoseconds that a token takes longer for each token of context: least squares over the medians."""
    entries = races(record, batch)
    medians = [np.median(times(entry, name)) for entry in entries]
    return 1e3 * float(np.polyfit([entry["context"] for entry in entries], medians, 1)[0])


def findings(record: Record) -> Iterator[str]:
    """What was found, in sentences made from the numbers."""
    config = record["config"]
    shortest, longest = config["contexts"][0], config["contexts"][-1]
    for batch in config["batches"] if FULL in config["models"] else ():
        first, last = races(record, batch)[0], races(record, batch)[-1]
        size_of = f"{batch} sequence{'s' * (batch > 1)} at a time"
        for name in (name for name in RECURRENT if name in config["models"]):
            at, low, high = crossing(record, name, batch)
            own, other = (float(np.median(times(last, model))) for model in (name, FULL))
            yield (
                f"{size_of.capitalize()}, {meets(name, at, low, high, shortest, longest)}; after {longest:,} tokens it "
                f"takes {other / own:.0f} times as long ({digits(other)} and {digits(own)} microseconds)."
            )
        begin = {name: float(np.median(times(first, name))) for name in config["models"]}
        fastest = min(begin, key=lambda name: begin[name])
        yield (
            f"{size_of.capitalize()} and after {shortest} tokens, {fastest} is fastest: {digits(begin[fastest])} "
            "microseconds."
        )
    yield from in_place(record)


def meets(name: str, at: float, low: float, high: float, shortest: int, longest: int) -> str:
    """Where a Transformer is faster than a recurrent net, in words."""
    if at == 0:
        return f"the Transformer is slower than the {name} from {shortest} tokens of context on"
    if not np.isfinite(at):
        return f"the Transformer is faster than the {name} up to {longest:,} tokens of context"
    return (
        f"the Transformer is faster than the {name} up to a context of {at:,.0f} tokens [{low:,.0f}, {high:,.0f}], "
        "and slower from there on"
    )


def in_place(record: Record) -> Iterator[str]:
    """Whether the programs write into the state that they are given."""
    entry = races(record, record["config"]["batches"][0])[-1]
    for name in (name for name in record["config"]["models"] if name not in RECURRENT):
        facts = entry["models"][name]
        if facts["in_place"] is not None:
            yield (
                f"{name}: {facts['in_place'] / facts['state']:.0%} of the cache is written in place; beside it a step "
                f"needs {size(facts['temporary'])}, for a cache of {size(facts['state'])}."
            )


def rows(record: Record, batch: int) -> list[dict[str, str]]:
    """Every model: its time at each context, and what a token of context adds."""
    table = []
    for name in record["config"]["models"]:
        entries = races(record, batch)
        line = {"model": name, "weights": f"{entries[0]['models'][name]['weights']:,}"}
        for entry in entries:
            low, high = np.quantile(times(entry, name), [0.5, 0.99])
            line[f"{entry['context']:,} tokens"] = f"{digits(low)} ({digits(high)})"
        table.append(line | {"ns a token of context": f"{slope(record, name, batch):.2f}"})
    return table


def memory_rows(record: Record) -> list[dict[str, str]]:
    """Every model: bytes of state and peak memory of its process, at the shortest and the longest context."""
    found = [entry for entry in record["results"].values() if "peak" in entry]
    states = {entry["context"]: entry["models"] for entry in races(record, record["config"]["batches"][0])}
    table = []
    for name in dict.fromkeys(entry["model"] for entry in found):
        line = {"model": name}
        for entry in (entry for entry in found if entry["model"] == name):
            context = entry["context"]
            if name != NOTHING:
                line[f"state, {context:,} tokens"] = size(states[context][name]["state"])
            line[f"process, {context:,} tokens"] = size(entry["peak"])
        table.append(line)
    columns = dict.fromkeys(column for line in table for column in line)
    return [{column: line.get(column, "-") for column in columns} for line in table]


def draw(record: Record) -> Figure:
    """Time of a token and bytes of state against the context."""
    config = record["config"]
    figure, axes = plots.panels(1, 1 + len(config["batches"]), 3.4, 3.1)
    for letter, panel, batch in zip("abc", axes[0], config["batches"], strict=False):
        latency(panel, record, batch)
        panel.set_title(f"{letter}  A token, {batch} sequence{'s' * (batch > 1)} at a time")
    last, styles = axes[0, -1], looks(config["models"])
    for name in config["models"]:
        states = [(entry["context"], entry["models"][name]["state"]) for entry in races(record, config["batches"][0])]
        last.plot(*np.transpose(states), **styles[name])
    last.set(title=f"{'abcd'[len(config['batches'])]}  State of a sequence", xlabel="tokens of context", ylabel="bytes",
             xscale="log", yscale="log")  # fmt: skip
    if first := next(iter(findings(record)), ""):
        plots.takeaway(figure, first)
    plots.legend_below(figure, axes[0, 0])
    return figure


def latency(axes: Axes, record: Record, batch: int) -> None:
    """Median of every model, and a band up to the 99th percentile."""
    styles = looks(record["config"]["models"])
    for name in record["config"]["models"]:
        entries = races(record, batch)
        contexts = [entry["context"] for entry in entries]
        low, high = np.transpose([np.quantile(times(entry, name), [0.5, 0.99]) for entry in entries])
        axes.plot(contexts, low, **styles[name], label=name)
        axes.fill_between(contexts, low, high, color=styles[name]["color"], alpha=0.15, lw=0)
    axes.set(xlabel="tokens of context", ylabel="microseconds", xscale="log", yscale="log")


if __name__ == "__main__":
    lab.run(__name__)
