"""The page: functions of the record and nothing else."""

from __future__ import annotations

import textwrap
from typing import Any

import numpy as np

from experiments.lab import Record
from experiments.memory_capacity.training import NUMBER, WINDOW
from recurrax.report import markdown_table

SYMBOLS, KINDS = 10, 8  # symbols to copy, and how many different ones there are
STEPS_SEEN = 4  # size of the block's convolution
UNITS = {"recall": "pairs", "copy": "symbols"}


def page(record: Record) -> list[Any]:
    """Title, findings and tables."""
    sections = [section for problem in record["config"]["problems"] for section in tables(record, problem)]
    return ["What does a byte of state remember?", findings(record), *sections, *reading(record)]


def entries(record: Record, problem: str, cell: str | None = None) -> list[Any]:
    """The results on a task, of one cell or of all cells with a state, by size."""
    found = [entry for entry in record["results"].values() if entry["problem"] == problem]
    return [entry for entry in found if (entry["cell"] == cell if cell else entry["cell"] != WINDOW)]


def accuracy(entry: Any, pairs: int) -> np.ndarray:
    """Share of right answers for so many pairs, of every seed ``[S]``."""
    return np.asarray(entry["answers"]["pairs"][str(pairs)], float)


def held(entry: Any) -> np.ndarray:
    """Answers right of the longest test sequences, pairs or symbols, of every seed ``[S]``."""
    if entry["problem"] == "copy":
        return np.sum(np.asarray(entry["answers"]["symbols"], float), axis=1)
    most = max(map(int, entry["answers"]["pairs"]))
    return most * accuracy(entry, most)


def guessed(record: Record, problem: str) -> float:
    """Answers right of one who knows which values or symbols there are, but not which belongs where."""
    return 1.0 if problem == "recall" else SYMBOLS / KINDS


def most(record: Record, problem: str) -> int:
    """Answers that are due in the longest test sequences."""
    return record["config"]["pairs"][-1] if problem == "recall" else SYMBOLS


def bits(record: Record, problem: str) -> float:
    """Bits of an answer: the logarithm of the number of values, or of symbols."""
    vocabulary = record["config"]["vocabulary"]
    return float(np.log2(vocabulary - vocabulary // 2 if problem == "recall" else KINDS))


def ranged(values: np.ndarray, digits: int = 2) -> str:
    """``median [lowest, highest]`` of the seeds."""
    low, middle, high = (f"{value:.{digits}f}" for value in (values.min(), np.median(values), values.max()))
    return middle if low == high else f"{middle} [{low}, {high}]"


def findings(record: Record) -> list[str]:
    """The best cells at the middle size, every size of every task, and the use of the LSTM's bytes in another cell."""
    lines = [f"{headline(record)}, after the same training. {both(record)}"]
    for problem in record["config"]["problems"]:
        told = [f"with {size} bytes {order(record, problem, size)}" for size in record["config"]["state_bytes"]]
        asked = "values asked for" if problem == "recall" else "symbols to repeat"
        (control,) = entries(record, problem, WINDOW)
        lines.append(
            f"{problem.capitalize()}: of {most(record, problem)} {asked} these are right, {'; '.join(told)}. Guessing "
            f"gives {guessed(record, problem):g}, the same network without a state {ranged(held(control), 1)}."
        )
    return [*lines, *(line for line in [exchange(record)] if line)]


def ranked(record: Record, problem: str, size: int) -> list[Any]:
    """The cells of a size, the best first."""
    return sorted((e for e in entries(record, problem) if e["bytes"] == size), key=lambda e: -float(np.median(held(e))))


def order(record: Record, problem: str, size: int) -> str:
    """The cells of a size and what they hold, the best first, or that none holds anything."""
    found = ranked(record, problem, size)
    if not holds(record, found[0]):
        return "no cell does better than guessing"
    return ", ".join(f"the {entry['cell']} {ranged(held(entry), 1)}" for entry in found)


def holds(record: Record, entry: Any) -> bool:
    """Whether a cell does better than guessing, by the median over seeds."""
    return bool(np.median(held(entry)) > 1.05 * guessed(record, entry["problem"]))


def both(record: Record) -> str:
    """Whether one cell is best at both tasks, at the sizes at which any cell holds something."""
    best: dict[str, set[str]] = {}
    for problem in record["config"]["problems"]:
        first = [ranked(record, problem, size)[0] for size in record["config"]["state_bytes"]]
        best[problem] = {entry["cell"] for entry in first if holds(record, entry)}
    if len(best) < 2 or not all(best.values()):
        return ""
    if len(set.union(*best.values())) == 1:
        return f"The {named(best['recall'])} is best at both tasks at every size."
    told = "By the median over seeds no" if len(record["config"]["seeds"]) > 1 else "No"
    return (
        f"{told} cell is best at both tasks: at recall it is the {named(best['recall'])}, at "
        f"copying the {named(best['copy'])}. How many bytes a state has says less than what a step can do with them."
    )


def named(cells: set[str]) -> str:
    """``A``, or ``A or B by size``."""
    return sorted(cells)[0] if len(cells) == 1 else f"{' or '.join(sorted(cells))} by size"


def exchange(record: Record) -> str:
    """The smallest state that holds as many pairs as the LSTM's largest one."""
    if "recall" not in record["config"]["problems"] or not (own := entries(record, "recall", "LSTM")):
        return ""
    level, size = float(np.median(held(own[-1]))), own[-1]["bytes"]
    others = (e for e in entries(record, "recall") if e["cell"] != "LSTM" and e["bytes"] < size)
    cheaper = [e for e in others if np.median(held(e)) >= level]
    if not cheaper:
        return ""
    least = min(cheaper, key=lambda e: (e["bytes"], -np.median(held(e))))
    return (
        f"At recall the {least['cell']} holds more pairs in {least['bytes']} bytes, {ranged(held(least), 1)}, than the "
        f"LSTM in {size}, {ranged(held(own[-1]), 1)}, and has {least['parameters']:,} parameters beside "
        f"{own[-1]['parameters']:,}."
    )


def tables(record: Record, problem: str) -> list[str]:
    """The rows of a task, and the learning rates that were tried."""
    config = record["config"]
    title = {
        "recall": f"Multi-query associative recall: {config['vocabulary']} tokens",
        "copy": f"Copying {SYMBOLS} symbols of {KINDS}, {config['copy_delay']} steps later",
    }[problem]
    rows = [row(record, entry) for entry in (*entries(record, problem), *entries(record, problem, WINDOW))]
    return [f"## {title}", textwrap.fill(how(record, problem), 118), markdown_table(rows)]


def row(record: Record, entry: Any) -> dict[str, str]:
    """A line of the table: what a cell holds in how many bytes."""
    problem, count = entry["problem"], entry["bytes"]
    line = {"cell": entry["cell"], "bytes": str(count), "parameters": str(entry["parameters"])}
    line["learning rate"] = f"{entry['rate']:g}"
    if problem == "recall":
        for pairs in record["config"]["pairs"]:
            line[f"{pairs} pairs"] = ranged(accuracy(entry, pairs))
    else:
        symbols = np.median(np.asarray(entry["answers"]["symbols"], float), axis=0)
        line |= {"first 3": f"{symbols[:3].mean():.2f}", "middle 4": f"{symbols[3:7].mean():.2f}",
                 "last 3": f"{symbols[7:].mean():.2f}"}  # fmt: skip
    line[f"{UNITS[problem]} held"] = ranged(held(entry), 1)
    line["still falling"] = falling(entry)
    known = max(0.0, float(np.median(held(entry))) - guessed(record, problem))
    line["bits a byte"] = f"{known * bits(record, problem) / count:.3f}" if count else "-"
    return line


def falling(entry: Any) -> str:
    """By how much the held-out loss fell in the last quarter of training, median over seeds."""
    if np.all(np.asarray(entry["solved_at"]) >= 0):
        return "solved"
    loss = np.asarray(entry["loss"], float)
    before, end = loss[:, round(0.75 * (loss.shape[1] - 1))], loss[:, -1]
    return f"{np.nanmedian(1 - end / before):.0%}"


def how(record: Record, problem: str) -> str:
    """The method and the uncertainty of the rows."""
    config = record["config"]
    rates = ", ".join(f"{rate:g}" for rate in config["learning_rate"])
    chosen = f"The learning rate is {rates}, not tuned."
    if len(config["learning_rate"]) > 1:
        chosen = (
            f"The learning rate is that of {rates} with the lowest held-out loss of seed "
            f"{', '.join(map(str, config['grid_seeds']))} after {config['grid_steps']} updates, for each row."
        )
    floor = (
        f"Who knows the values that were shown, but not which key has which, answers one in K right; who knows nothing "
        f"one in {round(2 ** bits(record, problem))}."
        if problem == "recall"
        else f"Who knows nothing repeats one in {KINDS} right."
    )
    return (
        f"Share of answers right in {config['tested']} fresh sequences: median of seeds "
        f"{', '.join(map(str, config['seeds']))} [lowest, highest]. {floor} Held: answers right in the longest "
        f"sequences. Bits a byte: {bits(record, problem):g} bits for each answer beyond those that are guessed, "
        f"divided by the bytes of the state. Still falling: how far the held-out loss fell in the last quarter of the "
        "updates; where it is much, training and not the state sets the limit. Every network makes at most "
        f"{config['steps']} updates on batches of {config['batch_size']} by Adam, clipped at norm 1. {chosen}"
    )


def reading(record: Record) -> list[str]:
    """For a reader who wants to choose a cell."""
    config = record["config"]
    window = (STEPS_SEEN - 1) * config["features"] * NUMBER
    texts = {
        "What is compared": (
            "Each network is an embedding, one recurrax.layers.Block (norm, a convolution over "
            f"{STEPS_SEEN} steps, the cell, a SiLU gate, a projection, a residual connection) and a Linear that reads "
            "every step. Only the cell differs, and its size is set so that the state of one sequence has the bytes in "
            "the table. Parameters differ, and are in the table. The convolution keeps the last three inputs, "
            f"{window} bytes, in every network; they do not reach farther back, and the rows without a state show "
            "what they do alone."
        ),
        "What the states are": (
            "The LSTM has two numbers a unit, and a matrix product between its units at every step. The LRU has "
            "complex units that turn by a fixed angle and decay by a fixed factor: a bank of filters, which tells when "
            "something came. MinGRU has units that each input can keep or overwrite. DeltaNet has a matrix: it stores "
            "a value at the place that a key points to, replaces what was there, and reads the place that a query "
            "points to. With n rows it has room for n keys that do not disturb each other."
        ),
        "When to use which": (
            "Use a matrix memory where things are looked up by what they are: names, definitions, earlier tokens of a "
            "text. It has no order: the inputs must show what comes first and what next. Use a linear recurrent "
            "unit, or another state that oscillates, where order and time matter: signals, delays, copying. Its step "
            "does not depend on the input, so that it cannot choose what to keep. Gates that see the input alone, as "
            "MinGRU's, choose what to keep, and keep it without order. An LSTM can do all of it, as its next step "
            "depends on its state, which counting and parity need; but it has to learn from its gates what the others "
            "are built to do, so that it takes longer, and it learns to copy long before it learns to look up."
        ),
        "What this does not show": (
            f"These are results after {config['steps']} updates, not what the states could hold at best: an answer is "
            f"{bits(record, 'recall'):g} bits, and a byte has eight. Where the loss was still falling, longer training "
            "raises the numbers. Tokens are drawn at random; text is more regular. Arora et al. (2023) find that "
            "recall explains most of the gap in perplexity between attention and gated convolutions, and Arora et al. "
            '(2024), "Simple linear attention language models balance the recall-throughput tradeoff", that it grows '
            "with the size of the state."
        ),
    }
    return [f"## {title}\n\n{textwrap.fill(text, 118)}" for title, text in texts.items()]


def headline(record: Record) -> str:
    """The figure's message: the best cell of each task at the middle size."""
    config = record["config"]
    middle, told = config["state_bytes"][len(config["state_bytes"]) // 2], []
    for problem in config["problems"]:
        best, verb = ranked(record, problem, middle)[0], "recalls" if problem == "recall" else "copies"
        told.append(
            f"the {best['cell']} {verb} {np.median(held(best)):.0f} of {most(record, problem)} {UNITS[problem]}"
        )
    return f"In {middle} bytes of state {' and '.join(told)}"
