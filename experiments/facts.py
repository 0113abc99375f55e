"""Numbers, sentences and tables of records for the pages below docs, by name.

A page asks for one with ``<!-- name words --> ... <!-- end -->``, in a line or around lines of their own, and
`experiments.rendering` fills in what stands between. `FACTS` has the names; the words are a fact's arguments.
"""

from __future__ import annotations

import functools
import importlib
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from experiments import APPLICATIONS, baseline, lab
from experiments.claims.evidence import Evidence
from recurrax.report import markdown_table

Record = dict[str, Any]
TRIO = ("RNN", "GRU", "LSTM")
FAMILIES = {
    "dense: a matrix product in every step": ("RNN", "GRU", "LSTM", "SRU"),
    "linear: a product of two numbers in every step": ("MinGRU", "LRU", "RG-LRU", "S5"),
    "matrix: an outer product in every step": ("Mamba2", "mLSTM", "DeltaNet", "GatedDeltaNet"),
}


@functools.cache
def main(name: str) -> Record:
    """The first record of an experiment: that of its default settings, or of an application's table."""
    return lab.records(name)[0]


def module(name: str) -> Any:
    """A part of the experiments."""
    return importlib.import_module(f"experiments.{name}")


def finding(words: str) -> str:
    """``EXPERIMENT: the first words``: the finding of an experiment that begins so."""
    name, _, begins = words.partition(": ")
    found = [text for text in findings(name) if text.startswith(begins)]
    if len(found) != 1:
        raise ValueError(
            f"{name} has {len(found)} findings that begin with {begins!r}; allowed: one. It has: {findings(name)}."
        )
    return found[0]


@functools.cache
def findings(name: str) -> tuple[str, ...]:
    """The findings of an experiment, as sentences."""
    return tuple(module(name).page(main(name))[1])


def first(name: str) -> str:
    """The first finding of an experiment."""
    return findings(name)[0]


def count(what: str) -> str:
    """``cells``, ``engines`` or ``tasks``: how many the library has."""
    rx = importlib.import_module("recurrax")
    found = {"cells": rx.cells.ALL, "engines": rx.engines.ENGINES, "tasks": rx.tasks.TASKS}
    return str(len(found[what]))


def published_1997() -> str:
    """The number of published means of the paper of 1997 that come out."""
    verdicts = module("hochreiter1997.verdicts")
    return verdicts.summary(verdicts.lines(verdicts.cited(lab.records("hochreiter1997")))).replace("\n", " ")


def reach(words: str) -> str:
    """``TASK CELL``: the longest delay or length that all seeds of the cell solve."""
    task, cell = words.split()
    return str(module("vanishing_gradients.page").reached(main("vanishing_gradients"), task, cell))


def arrives(cell: str) -> str:
    """The share of the gradient that arrives 100 steps back in the trained cell."""
    page = module("vanishing_gradients.page")
    (entry,) = [e for e in page.fits(main("vanishing_gradients"), "adding") if e["cell"] == cell and "after" in e]
    share = page.remaining(entry)
    return f"{10**share:.0%}" if share > -2 else f"10^{share:.0f}"


def flow(start: str) -> str:
    """The factor of the gradient per step of lag at initialisation, the median of a start in the claims."""
    slope = np.quantile(Evidence(main("claims")).slopes(start), 0.5, method="nearest")
    return f"{math.exp(slope):.3f}"


def solved(words: str) -> str:
    """``CELL T``: the seeds of the claims that solve adding at a length, "5 of 5"."""
    cell, length = words.split()
    k, n = Evidence(main("claims")).count(f"adding T={length}", cell)
    return f"{k} of {n}"


def verdicts() -> str:
    """Every claim of the textbook comparison, and whether it holds."""
    rows = [{"claim": row.claim, "verdict": row.verdict} for row in module("claims.page").judge(main("claims"))]
    return table(rows)


def comparison() -> str:
    """RNN, LSTM and GRU beside each other: what they are, what they cost, what they learn."""
    e, counted = Evidence(main("claims")), main("claims")["results"]["structure"]
    longest = f"adding T={e.longest}"
    language, judging = main("language_model"), module("language_model.judging")
    rows: dict[str, Callable[[str], str]] = {
        "gates": lambda cell: str(counted[cell]["gates"]),
        "weights, over the RNN's": lambda cell: f"{counted[cell]['parameters'] / counted['RNN']['parameters']:.1f}",
        "state values per unit": lambda cell: f"{counted[cell]['state_bytes'] / counted['RNN']['state_bytes']:.0f}",
        **{
            f"time of a training step, H = {H}, over the RNN's": lambda cell, H=H: (
                f"{1.0 if cell == 'RNN' else e.time(cell, 'RNN', H).value:.1f}"
            )
            for H in e.sizes
        },
        "repeating five bits: longest delay that all seeds solve": lambda cell: reach(f"copy {cell}"),
        "adding two numbers: longest length that all seeds solve": lambda cell: reach(f"adding {cell}"),
        "share of the error that arrives 100 steps back": arrives,
        f"updates to learn adding, T = {e.longest} (H = {e.config['hidden']})": lambda cell: e.shown_updates(
            longest, cell
        ).partition(" (")[0],
        "bits per character of an English book, equally many weights": lambda cell: (
            f"{judging.middle(language, cell):.3f}"
        ),
    }
    return table([{"": name, **{cell: show(cell) for cell in ("RNN", "LSTM", "GRU")}} for name, show in rows.items()])


def explodes(family: str) -> str:
    """The spectral radius from which the gradient of a family of networks grows with the lag."""
    findings, record = module("exploding_gradients.findings"), main("exploding_gradients")
    slopes = np.median(findings.families(record)[family]["slope"], axis=1)
    return f"{findings.crossing(np.asarray(record['config']['radii']), slopes):.2f}"


def clipping() -> str:
    """Runs that diverged, and those that solved their task, for each way of clipping."""
    runs, record = module("exploding_gradients.findings").runs, main("exploding_gradients")
    names = {"none": "not clipped", "norm": "by norm", "value": "by value", "recurrence": "inside the recurrence"}
    rows = []
    for way, words in names.items():
        row, solved_at = {"clipping": words}, []
        for network in record["config"]["networks"]:
            found = runs(record, network, way)
            row[f"{network}: diverged"] = f"{found.diverged.sum()} of {len(found.diverged)}"
            solved_at += list(found.solved_at)
        rows.append(row | {"solved": f"{np.sum(np.asarray(solved_at) >= 0)} of {len(solved_at)}"})
    return table(rows)


def starts() -> str:
    """Every initialisation: the gradient's factor per step at the start, and the updates to learn adding."""
    page, compare, record = module("initialization.page"), module("compare"), main("initialization")
    takes = {(cell, name): compare.updates(e)[compare.best_runs(e)] for cell, name, e in page.learned(record)}
    shown = module("claims.evidence").censored
    rows = [
        {
            "cell": cell,
            "start": name,
            "gradient kept per step": f"{page.factor(entry['slope']):.3f}",
            "updates to learn": shown(compare.as_solved_at(takes[cell, name]), record["config"]["steps"]).partition(
                " ("
            )[0],
        }
        for cell, name, entry in page.initial(record)
    ]
    return table(rows)


def ablations(task: str) -> str:
    """The LSTM with a gate fewer on a task: seeds that solve it, and updates."""
    page = module("gates")
    rows = [page.ablation(entry) for entry in page.by_task(main("gates"))[task].values()]
    return table([{key: row[key] for key in ("cell", "solved", "updates to criterion", "test loss")} for row in rows])


def families() -> str:
    """Some cells of every structure with as many weights: bytes of state, time of a step and of training."""
    zoo = module("benchmarks.zoo")
    entries = {entry["cell"]: entry for entry in zoo.entries(main("benchmarks.zoo"), "weights")}
    rows = [
        {
            "structure": words if cell == cells[0] else "",
            "cell": cell,
            "units": str(entries[cell]["units"]),
            "bytes of state": f"{entries[cell]['state']:,}",
            "training time / LSTM's": f"{zoo.ratio(entries[cell], 'training'):.2f}",
            "time of one step / LSTM's": f"{zoo.ratio(entries[cell], 'step'):.2f}",
        }
        for words, cells in FAMILIES.items()
        for cell in cells
    ]
    return table(rows)


def applications() -> str:
    """Every application: its question, and the first thing that was found."""
    return table([
        {
            "question": f"[{question(name)}](../results/{name}.md)",
            "found": sentence(findings(name)[0]),
        }
        for name in APPLICATIONS
        if lab.records(name)
    ])  # fmt: skip


def question(name: str) -> str:
    """The question of an experiment."""
    return (module(name).__doc__ or "").partition("\n")[0].strip()


def sentence(text: str, most: int = 230) -> str:
    """The first sentence of a text, cut at a semicolon where it is long."""
    first = text.split(". ")[0].rstrip(".")
    while len(first) > most and "; " in first:
        first = first.rpartition("; ")[0]
    return f"{first}."


def leaderboard() -> str:
    """For every task of the baseline table that several cells were trained on, the best cell and the others."""
    rows = []
    for group in _groups():
        cells = {row.cell: row for row in sorted(group, key=_rank, reverse=True)}  # keep the best entry of each cell
        if len(cells) == 1:
            continue
        best, *others = sorted(cells.values(), key=_rank)
        named = best.cell if best.initialization == "default" else f"{best.cell}, {best.initialization}"
        solved = _met(best) > 0
        rows.append(
            {
                "task": best.task,
                "best cell": named if solved else "none",
                "met the criterion": f"{_met(best)} of {len(best.solved_at)}" if solved else "-",
                "median": _median(best),
                "criterion": best.criterion,
                "other cells": ", ".join(map(baseline.brief, others if solved else cells.values())),
                "published": next((f"{row.cell}: {row.published}" for row in (best, *group) if row.published), "-"),
            }
        )
    return table(rows)


def _groups() -> list[Any]:
    """The rows of one task, of all records of an experiment with the same grid, budget and number of seeds."""
    groups: dict[Any, list[Any]] = {}
    for record, rows in baseline.gather(lab.RESULTS):
        for row in rows:
            key = record["name"], row.table, len(row.solved_at), row.tuned.partition(" of ")[2]
            groups.setdefault(key, []).append(row)
    return list(groups.values())


def _median(row: Any) -> str:
    """Updates until half of the runs meet the criterion."""
    median, *_ = baseline.median_time(row.solved_at, row.budget)
    return f"{median:,.0f} {row.unit}" if math.isfinite(median) else f"> {row.budget:,} {row.unit}"


def _met(row: Any) -> int:
    return int(np.sum(np.asarray(row.solved_at) >= 0))


def _rank(row: Any) -> tuple[float, float]:
    """The most runs that meet the criterion first, then the fewest updates."""
    return -_met(row) / max(1, len(row.solved_at)), baseline.median_time(row.solved_at, row.budget)[0]


def table(rows: list[dict[str, str]]) -> str:
    """A table without the line that ends it."""
    return markdown_table(rows).strip()


FACTS: dict[str, Callable[..., str]] = {
    fact.__name__: fact
    for fact in (
        finding, first, count, published_1997, reach, arrives, flow, solved, verdicts, comparison, explodes, clipping,
        starts, ablations, families,
        applications, leaderboard,
    )
}  # fmt: skip


def fact(text: str) -> str:
    """The fact that a page asks for by ``name words``.

    Raises:
        ValueError: there is no fact of that name.
    """
    name, _, words = text.partition(" ")
    if name not in FACTS:
        raise ValueError(f"a page asks for <!-- {text} -->; allowed: {', '.join(FACTS)}. Correct the page.")
    return FACTS[name](words) if words else FACTS[name]()
