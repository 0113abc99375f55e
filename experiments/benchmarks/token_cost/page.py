"""The page: functions of the record and nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from experiments import rivals
from experiments.benchmarks.token_cost.measurements import FULL, NOTHING, RECURRENT
from experiments.lab import Record
from recurrax.report import markdown_table
from recurrax.timing import digits, size


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
    """The timings by context."""
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
    """The findings as sentences, made from the numbers."""
    config = record["config"]
    shortest, longest = config["contexts"][0], config["contexts"][-1]
    for batch in config["batches"] if FULL in config["models"] else ():
        first, last = races(record, batch)[0], races(record, batch)[-1]
        size_of = f"{'one' if batch == 1 else batch} sequence{'s' * (batch > 1)} at a time"
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
