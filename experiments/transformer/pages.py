"""The page: functions of the record and nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from experiments import baseline, tuning
from experiments.lab import Record
from experiments.transformer.text import TESTED, WARM, WINDOW
from experiments.transformer.training import LONGER, QUESTIONS, RIVAL, TIMED, TIMED_BATCH
from recurrax.report import listed, markdown_table
from recurrax.timing import digits


def page(record: Record) -> list[Any]:
    """Title, findings and tables."""
    text = f"Every net has about {record['config']['parameters']:,} parameters."
    sections = [
        f"## {title}\n\n{markdown_table(rows(record, name))}"
        for name, (title, *_) in QUESTIONS.items()
        if name in record["config"]["tasks"]
    ]
    return [
        "What does a Transformer learn beside recurrent nets of equally many weights, and how far does it carry?",
        list(findings(record)),
        tuning.method(record["config"], text),
        *sections,
        f"## A training step\n\nMilliseconds over {TIMED_BATCH} sequences of so many steps, medians, all nets in turn.",
        markdown_table(step_rows(record)),
        *chain_section(record),
        *text_section(record),
    ]


def entry_of(record: Record, name: str, cell: str) -> Any:
    """The results of a net on a task."""
    return record["results"][f"{name} {cell}"]


def solved(record: Record, name: str, cell: str, size: int) -> tuple[int, int]:
    """Seeds that meet the criterion in a test of this length, and how many there are."""
    flags = entry_of(record, name, cell)["longer"][str(size)]["solved"]
    return int(np.sum(flags)), len(flags)


def seconds_to_criterion(entry: Any) -> np.ndarray:
    """Seconds until each seed met the criterion, as one of those that trained together; infinite where it did not."""
    at = np.asarray(entry["solved_at"], float)
    each = entry["seconds"] / (entry["steps"][-1] * len(at))
    return np.where(at < 0, np.inf, at * each)


def findings(record: Record) -> Iterator[str]:
    """The findings as sentences, made from the numbers."""
    cells = record["config"]["cells"]
    yield headline(record)
    for name in record["config"]["tasks"]:
        title, what, length, _ = QUESTIONS[name]
        counts = {cell: [solved(record, name, cell, times * length)[0] for times in LONGER] for cell in cells}
        n = len(record["config"]["seeds"])
        here = [cell for cell in cells if counts[cell][0] == n] or ["no net"]
        far = [cell for cell in cells if counts[cell][-1] == n] or ["no net"]
        yield (
            f"{title.capitalize()}, trained at {what} = {length}: solved with every seed there by {listed(here)}, "
            f"and at four times that length by {listed(far)}."
        )
    if RIVAL in cells:
        yield from step_findings(record)
    yield from chain_findings(record)
    if record["config"]["text_models"]:
        found = {name: record["results"][f"text {name}"]["bits"] for name in record["config"]["text_models"]}
        ordered = ", ".join(f"{name} {found[name]:.2f}" for name in sorted(found, key=lambda name: found[name]))
        seconds = [record["results"][f"text {name}"]["seconds"] for name in found]
        yield f"Text, {min(seconds):.0f} to {max(seconds):.0f} s of training: bits a character are {ordered}."


def headline(record: Record) -> str:
    """Tasks that every seed of a net solves, at the length of training and at the longest one."""
    asked, n = record["config"]["tasks"], len(record["config"]["seeds"])

    def whole(cell: str, times: int) -> int:
        return sum(solved(record, name, cell, times * QUESTIONS[name][2])[0] == n for name in asked)

    def told(times: int) -> str:
        counts: dict[int, list[str]] = {}
        for cell in record["config"]["cells"]:
            counts.setdefault(whole(cell, times), []).append(cell)
        groups = [f"{listed(counts[count])} {count or 'none'}" for count in sorted(counts, reverse=True)]
        return ", ".join(groups)

    return (
        f"Tasks of {len(asked)} that every seed solves at the length of training: {told(1)}; at {LONGER[-1]} times "
        f"that length: {told(LONGER[-1])}."
    )


def step_findings(record: Record) -> Iterator[str]:
    """The growth of the time of a training step with the length."""
    for cell in (cell for cell in record["config"]["cells"] if cell in ("LSTM-fb1", "LSTM")):
        ratios = [milliseconds(record, RIVAL, T) / milliseconds(record, cell, T) for T in TIMED]
        words = ", ".join(f"{ratio:.1f} at T = {T}" for T, ratio in zip(TIMED, ratios, strict=True))
        yield f"A training step of the Transformer takes {words} times as long as one of the LSTM, on this machine."


def chain_findings(record: Record) -> Iterator[str]:
    """A sentence on the longest chain of a training step."""
    chains = record["results"]["chains"]
    words = [f"{net} {chain[str(TIMED[0])]:,} to {chain[str(TIMED[-1])]:,}" for net, chain in chains.items()]
    yield (
        f"From T = {TIMED[0]} to T = {TIMED[-1]:,} the longest chain of operations that wait for each other, forward "
        f"and back, grows as follows: {listed(words)}."
    )


def chain_section(record: Record) -> list[str]:
    """The longest chains in a table."""
    chains = record["results"]["chains"]
    table = [{"net": net} | {f"T = {T:,}": f"{chain[str(T)]:,}" for T in TIMED} for net, chain in chains.items()]
    said = (
        "## What waits in a training step\n\nThe longest chain of operations on whole arrays in a training step, each "
        "of which waits for the one\nbefore. With enough cores this chain bounds the time."
    )
    return [said, markdown_table(table)]


def rows(record: Record, name: str) -> list[dict[str, str]]:
    """Every net on a task: parameters, seeds that solve it, updates and seconds, and scores at longer lengths."""
    _, what, length, _ = QUESTIONS[name]
    table = []
    for cell in record["config"]["cells"]:
        entry = entry_of(record, name, cell)
        middle = float(np.sort(seconds_to_criterion(entry))[(len(entry["seeds"]) - 1) // 2])
        line = {
            "net": cell,
            "parameters": f"{entry['parameters']:,}",
            "state (bytes)": f"{entry['state'][str(length)]:,}",
            "learning rate": f"{entry['learning_rate']:g}",
            "updates to criterion": baseline.shown_time(entry["solved_at"], entry["budget"]),
            "seconds to criterion": digits(middle) if np.isfinite(middle) else "-",
        }
        for times in LONGER:
            score = entry["longer"][str(times * length)]
            k, n = solved(record, name, cell, times * length)
            kind = "loss" if name == "adding" else "accuracy"
            line[f"solved, {what} = {times * length} ({kind})"] = f"{k}/{n} ({np.median(score[kind]):.3f})"
        table.append(line)
    return table


def step_rows(record: Record) -> list[dict[str, str]]:
    """Milliseconds of a training step."""
    return [
        {"net": cell} | {f"T = {T:,}": digits(milliseconds(record, cell, T)) for T in TIMED}
        for cell in record["config"]["cells"]
    ]


def milliseconds(record: Record, cell: str, T: int) -> float:
    """Median of a training step over T steps."""
    return float(np.median(record["results"]["training steps"][str(T)][cell]["milliseconds"]))


def text_section(record: Record) -> list[Any]:
    """Bits a character after equally many seconds of training."""
    names = record["config"]["text_models"]
    if not names:
        return []
    table = [
        {
            "model": name,
            "weights": f"{entry['weights']:,}",
            "learning rate": f"{entry['rate']:g} of {', '.join(entry['tried'])}",
            "updates": f"{entry['updates']:,}",
            "seconds": f"{entry['seconds']:.0f}",
            "bits a character": f"{entry['bits']:.3f}",
        }
        for name in names
        for entry in (record["results"][f"text {name}"],)
    ]
    said = (
        f"## Text\n\nThe King James Bible in windows of {WINDOW} characters that begin anew; {TESTED} held-out "
        f"windows; only the last {WINDOW - WARM} characters count. One seed."
    )
    return [said, markdown_table(table)]
