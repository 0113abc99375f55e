"""The findings in words and tables, made from the record alone."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from recurrax.report import censored, markdown_table, solved

Record = dict[str, Any]
GONE = -6.0  # log10 of the share of the gradient below which it counts as lost
TASKS = {"copy": "delay", "adding": "length"}  # what grows


def page(record: Record) -> list[Any]:
    """Title, findings and sections in Markdown."""
    config = record["config"]
    seeds = ", ".join(map(str, config["seeds"]))
    return [
        "How long a delay does each cell bridge?",
        list(findings(record)),
        f"![More on gradients, learning and gates]({record['hash']}-details.png)",
        "## Learning",
        f"Adam, norm clipped at 1, {config['batch_size']} fresh examples an update, {config['hidden']} units, seeds "
        f"{seeds}. {chosen_by(record)}\n\n"
        "Solved: k/n seeds with the exact 95% interval. Updates to the criterion: median and range; a seed that did\n"
        "not meet it counts as longer than the budget.",
        markdown_table([row(entry, rate) for entry in fits(record) for rate in rates(entry)]),
        *((f"## The choice of the learning rate\n\n{RULE}", choice_table(record)) if is_grid(record) else ()),
        f"## The gradient before and after training on adding, T = {max(config['adding_lengths'])}",
        "The slope of ln |dy_T/ds_t| against lag on held-out sequences, median and range over seeds and sequences.",
        trained_table(record),
    ]


def findings(record: Record) -> Iterator[str]:
    """At most five lines that anyone understands."""
    for task, size in TASKS.items():
        reach = {cell: reached(record, task, cell) for cell in record["config"]["cells"]}
        tried = max(entry["size"] for entry in fits(record, task))
        words = [
            f"{_list([f'the {cell}' for cell in reach if reach[cell] == far])} "
            f"{_up_to(size, far, tried, several=list(reach.values()).count(far) > 1)}"
            for far in dict.fromkeys(reach.values())
        ]
        name = {"copy": "Repeat five bits after a delay", "adding": "Add two marked numbers of a sequence"}[task]
        yield f"{name}: {'; '.join(words)}."
    left = {entry["cell"]: remaining(entry) for entry in fits(record, "adding") if "after" in entry}
    T = max(record["config"]["adding_lengths"])
    if left:
        parts = [
            f"{_share(value)} in the {cell}{'' if learnt(record, cell, T) else ', which did not learn the task'}"
            for cell, value in sorted(left.items(), key=lambda item: -item[1])
        ]
        first = max(remaining(entry, "before") for entry in fits(record, "adding") if "before" in entry)
        yield (
            f"The reason is the gradient. After training on adding, the share of it that arrives {T} steps back is "
            f"{_list(parts)}; before training it was at most {_share(first)} in each."
        )
    if faster := sooner(record):
        yield faster
    n = len(record["config"]["seeds"])
    yield (
        f"A cell solves a task here when all of {n} seeds meet its criterion: over 99% of the sequences are right, or "
        "a squared error below 0.01. Budgets are equal, and learning rates were chosen from one grid on other seeds."
    )


def summary(record: Record) -> str:
    """The record in one small table: a column for each cell."""
    cells, n = record["config"]["cells"], len(record["config"]["seeds"])
    rows = []
    for task, size in TASKS.items():
        tried = ", ".join(str(s) for s in sorted({entry["size"] for entry in fits(record, task)}))
        name = {"copy": "five bits repeated", "adding": "two numbers added"}[task]
        row = {f"all {n} seeds solve it": f"{name}: longest {size} (tried: {tried})"}
        rows.append(row | {cell: str(reached(record, task, cell) or "none") for cell in cells})
    left = {entry["cell"]: _share(remaining(entry)) for entry in fits(record, "adding") if "after" in entry}
    T = max(record["config"]["adding_lengths"])
    rows.append({f"all {n} seeds solve it": f"share of the gradient that arrives over {T} steps"} | left)
    return markdown_table(rows)


def fits(record: Record, task: str | None = None) -> list[Any]:
    """The entries of training runs, of one task or of all."""
    every = [entry for entry in record["results"].values() if "solved_at" in entry]
    return [entry for entry in every if task in (None, entry["task"])]


def rates(entry: Any) -> list[float]:
    """The learning rates of a fit in order."""
    return sorted(set(entry["settings"]["learning_rate"]))


def of_rate(entry: Any, rate: float) -> np.ndarray:
    """The runs with a learning rate: bool ``[S]``."""
    return np.asarray(entry["settings"]["learning_rate"]) == rate


def is_grid(record: Record) -> bool:
    """Whether the record has several learning rates to choose from."""
    return any(len(rates(entry)) > 1 for entry in fits(record))


RULE = (
    "Of each cell and task, the rate at which most runs of all lengths solve the task; among equals the one with the\n"
    "fewest updates in all, an unsolved run counting as its budget."
)


def choice(record: Record, task: str, cell: str) -> float:
    """The learning rate of a cell on a task, by `RULE`."""
    entries = [entry for entry in fits(record, task) if entry["cell"] == cell]

    def cost(rate: float) -> tuple[int, int]:
        at = [
            (step, entry["budget"])
            for entry in entries
            for step in np.asarray(entry["solved_at"])[of_rate(entry, rate)]
        ]
        return -sum(step >= 0 for step, _ in at), sum(step if step >= 0 else budget for step, budget in at)

    return min(rates(entries[0]), key=cost)


def chosen_runs(record: Record, entry: Any) -> np.ndarray:
    """The runs of a fit at the learning rate that counts: bool ``[S]``."""
    return of_rate(entry, choice(record, entry["task"], entry["cell"]))


def solved_at(record: Record, entry: Any) -> np.ndarray:
    """Updates to the criterion of these runs, -1 where it was not met."""
    return np.asarray(entry["solved_at"])[chosen_runs(record, entry)]


def reached(record: Record, task: str, cell: str) -> int:
    """The longest size up to which all seeds of a cell solve the task at every size; 0: none."""
    longest = 0
    for entry in sorted((e for e in fits(record, task) if e["cell"] == cell), key=lambda entry: entry["size"]):
        if (solved_at(record, entry) < 0).any():
            break
        longest = entry["size"]
    return longest


def remaining(entry: Any, when: str = "after") -> float:
    """log10 of the share of the gradient that is left at the largest lag, median over runs and sequences."""
    return float(np.asarray(entry[when]["profile"]["median"], float)[-1]) / math.log(10)


def learnt(record: Record, cell: str, length: int) -> bool:
    """Whether any seed of a cell solves adding at a length."""
    found = [entry for entry in fits(record, "adding") if (entry["cell"], entry["size"]) == (cell, length)]
    return any((solved_at(record, entry) >= 0).any() for entry in found)


def sooner(record: Record) -> str | None:
    """A sentence where the cell that bridges least is the first at the shortest delay, else None."""
    shortest = min(entry["size"] for entry in fits(record, "copy"))
    at = {e["cell"]: solved_at(record, e) for e in fits(record, "copy") if e["size"] == shortest}
    medians = {cell: float(np.median(steps)) for cell, steps in at.items() if (steps >= 0).all()}
    reach = {cell: reached(record, "copy", cell) for cell in at}
    least, first = (min(values, key=values.__getitem__) for values in (reach, medians or {"": 0.0}))
    if least != first or len(medians) < 2:
        return None
    others = sorted((cell for cell in medians if cell != first), key=medians.__getitem__)
    needed = _list([f"the {cell} {medians[cell]:.0f}" for cell in others])
    return (
        f"At the shortest delay, {shortest}, the {first} learns soonest: it needs {medians[first]:.0f} updates, "
        f"{needed}."
    )


def chosen_by(record: Record) -> str:
    """The learning rates in a sentence."""
    if is_grid(record):
        return "Every cell has all of the learning rates."
    found = {(e["task"], e["cell"]): rates(e)[0] for e in fits(record)}
    words = [f"{task} {cell} {rate:g}" for (task, cell), rate in found.items()]
    return f"Learning rates, chosen by `--preset grid`: {', '.join(words)}."


def choice_table(record: Record) -> str:
    """The rate of each cell and task."""
    return markdown_table([
        {"task": task, "cell": cell, "learning rate": f"{choice(record, task, cell):g}"}
        for task in TASKS
        for cell in record["config"]["cells"]
    ])  # fmt: skip


def row(entry: Any, rate: float) -> dict[str, str]:
    """The seeds of a cell on a task at a learning rate."""
    runs = of_rate(entry, rate)
    at = np.asarray(entry["solved_at"])[runs]
    return {
        "task": f"{entry['task']}, {TASKS[entry['task']]} {entry['size']}",
        "cell": entry["cell"],
        "learning rate": f"{rate:g}",
        "solved": solved(at),
        "updates": censored(at, entry["budget"]),
        "test loss": f"{np.nanmedian(np.asarray(entry['test_loss'], float)[runs]):.4f}",
        "chance": f"{entry['chance_level']:.4f}",
    }


def trained_table(record: Record) -> str:
    """Slopes before and after training."""
    rows = [
        {"cell": entry["cell"], "when": when, **_slope(np.asarray(entry[when]["slopes"], float))}
        for entry in fits(record, "adding")
        if "after" in entry
        for when in ("before", "after")
    ]
    return markdown_table(rows)


def _slope(slopes: np.ndarray) -> dict[str, str]:
    return {
        "slope": f"{np.median(slopes):.4f}",
        "range": f"{slopes.min():.4f} to {slopes.max():.4f}",
        "factor per step": f"{math.exp(np.median(slopes)):.3f}",
    }


def _up_to(size: str, reach: int, tried: int, several: bool) -> str:
    verb = "solve" if several else "solves"
    if not reach:
        return f"{verb} no {size} that was tried"
    return f"{verb} {size} {reach}" + (", the longest that was tried" if reach == tried else " at most")


def _share(log10: float) -> str:
    return f"{100 * 10**log10:.0f}%" if log10 > -2 else f"10^{log10:.0f}"


def _verb(subjects: list[str], verb: str) -> str:
    return verb if len(subjects) > 1 else f"{verb}s"


def _list(words: list[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


def takeaways(record: Record) -> tuple[str, str]:
    """The result of each panel of the main figure in a few words, if it holds in the record."""
    left = {entry["cell"]: remaining(entry) for entry in fits(record, "adding") if "after" in entry}
    gone, there = ([cell for cell in left if (left[cell] < GONE) == lost] for lost in (True, False))
    reach = {cell: [reached(record, task, cell) for task in TASKS] for cell in record["config"]["cells"]}
    most = [max(sizes) for sizes in zip(*reach.values(), strict=True)]
    short = [cell for cell, far in reach.items() if all(map(int.__lt__, far, most))]
    first = "How much of the gradient arrives"
    if gone and there:
        lost, kept = (f"the {_list(cells)} {_verb(cells, verb)}" for cells, verb in ((gone, "lose"), (there, "keep")))
        first = f"Trained, {lost} the gradient; {kept} it"
    second = "Seeds that solve a task"
    if short:
        second = f"The {_list(short)} {'are' if len(short) > 1 else 'is'} sure of short sequences only"
    return f"A  {first}", f"B  {second}"
