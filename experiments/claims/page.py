"""The page: findings, claims with verdicts, measurements and rules, and the evidence, made from the record alone."""

from __future__ import annotations

import textwrap
from collections import Counter
from typing import Any

import numpy as np

from experiments.claims.config import COMPARED, TRAINED
from experiments.claims.evidence import Evidence
from experiments.claims.rules import CONDITION, FAILS, HOLDS, NOT_YET, UNDECIDED, Verdict, kind
from experiments.claims.training import SETTLED, STABILITY_LENGTH
from experiments.claims.verdicts import CLAIMS, later
from experiments.compare import rate
from recurrax.report import listed, markdown_table

Record = dict[str, Any]
NUMBERS = ("none", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")
METHOD = (
    "k/n stands with its exact 95% interval, medians with their range; a run that did not solve its task counts as "
    "longer than any that did. In brackets behind a ratio: its 95% interval, of two groups of seeds by Hodges and "
    "Lehmann, of times that were measured in turn by the order statistics of the ratios. Shares of seeds are compared "
    "by Newcombe's interval, shares of unstable runs by Student's t over seeds. That a difference is smaller than its "
    "margin is shown by two one-sided tests at 5%, the interval of 90%. Margins and rules were fixed before the run, "
    "but for two: that equality of times has to be shown was settled after a first timing, and the times were taken "
    "anew; the rules for Transformers were written when their chains of operations had been counted and a first record "
    "of adding and recall was known. The learning rate of every cell, task and number of sequences comes from one "
    "grid, by seeds that are not "
    "reported."
)


def page(record: Record) -> list[Any]:
    """Title, what was found, the claims, and the numbers behind them."""
    config, e = record["config"], Evidence(record)
    seeds = config["seeds"]
    rates = ", ".join(f"{rate:g}" for rate in config["learning_rate"])
    told = (
        f"Adam at the best of {rates} for the seeds {', '.join(map(str, config['grid_seeds']))}, norm clipped at 1, at "
        f"most {config['steps']} updates, seeds {seeds[0]} to {seeds[-1]} ({len(seeds)})."
    )
    return [
        "How much of the textbook comparison of RNN, LSTM and GRU is true?",
        findings(record),
        claims(record),
        textwrap.fill(METHOD, 118),
        f"## Learning: H = {config['hidden']}",
        textwrap.fill(f"{told} Milliseconds: of an update, with the drawing of its examples, on a CPU.", 118),
        learning(e),
        textwrap.fill(edge(e), 118),
        "## Learning curves: cells with as many weights",
        textwrap.fill(
            f"About {config['weights']} weights, the head included; {config['data_steps']} updates whatever the "
            "number of training sequences, and every seed has its own; the model with the lowest held-out loss. "
            "Mean squared error of adding, share of wrong digits; median (range) of seeds.",
            118,
        ),
        curves(e),
        f"## Stability: adding T = {STABILITY_LENGTH}",
        textwrap.fill(
            f"A run is unstable if its loss is not finite or, after update {SETTLED} of {config['stability_steps']}, "
            f"above twice the chance level. Unstable runs of {len(seeds)} seeds at each learning rate.",
            118,
        ),
        unstable(e),
        "## Gradient flow at initialisation",
        textwrap.fill(starts(e), 118),
        flow(e),
    ]


def findings(record: Record) -> list[str]:
    """The findings: the number of claims that hold, then memory, data, short sequences, stability and cost."""
    e, judged = Evidence(record), {row.claim: row for row in judge(record)}
    n, H = len(e.config["seeds"]), e.config["hidden"]
    reach = ", ".join(f"{e.horizon(cell)} steps ({cell})" for cell in COMPARED)
    size = max(e.sizes)
    dear = [f"{e.time(cell, 'RNN', size).value:.1f} times as long for the {cell}" for cell in ("GRU", "LSTM")]
    found = [
        summary(record),
        f"Memory: with {H} units, the longest adding problem that at least half of {n} seeds solve has {reach}, and "
        f"{e.horizon('identity RNN')} steps for an RNN that starts with the identity and ReLU. We tried "
        f"{', '.join(map(str, e.lengths))} steps.",
        wants_data(e),
        short(e),
        "Stability: of the runs over all learning rates, these diverge or spike: "
        + "; ".join(
            f"{'with' if clipped else 'without'} clipping "
            + ", ".join(f"{e.unstable(cell, clipped=clipped).mean():.0%} ({cell})" for cell in COMPARED)
            for clipped in (False, True)
        )
        + ".",
        f"Cost: with {size} units a training step takes {' and '.join(dear)} as for the RNN, on this CPU.",
    ]
    waiting = [row.claim for row in judged.values() if row.verdict == NOT_YET]
    return [*found, *([f"Not measured yet: {'; '.join(waiting)}."] if waiting else [])]


def wants_data(e: Evidence) -> str:
    """A sentence on the LSTM with few training sequences."""
    told = []
    for task in e.curves:
        against = {cell: e.needs_data(task, "LSTM", cell) for cell in ("RNN", "GRU")}
        times = " and ".join(f"{effect.value:.2f} times that of the {cell}" for cell, effect in against.items())
        told.append(f"on {e.named(task)} {times}")
    most = max(e.few(e.curves[0]))
    return f"Data: with as many weights and up to {most:,} training sequences the LSTM's error is {'; '.join(told)}."


def short(e: Evidence) -> str:
    """A sentence on the short tasks that a simpler model solves as often and sooner."""
    enough: dict[str, list[str]] = {}
    for task in e.short:
        for model, (oftener, dearer) in e.simplest(task).items():
            if oftener.not_more and dearer.more:
                enough.setdefault(model, []).append(e.named(task))
    told = [f"the {model} model" if model == "linear" else f"the {model}" for model in enough]
    if not told:
        return "Short sequences: no simpler model meets the criterion as often as the LSTM and in less time."
    parts = [f"{name} on {listed(tasks, 'or')}" for name, tasks in zip(told, enough.values(), strict=True)]
    return f"Short sequences: as often as the LSTM and in less time, the criterion is met by {'; by '.join(parts)}."


def summary(record: Record) -> str:
    """The number of claims that hold: "Seven of the 16 claims hold, five hold only under a condition"."""
    kinds = Counter(kind(row.verdict) for row in judge(record))
    words = {
        HOLDS: ("holds", "hold"),
        CONDITION: ("holds only under a condition", "hold only under a condition"),
        FAILS: ("does not hold", "do not hold"),
        UNDECIDED: ("is undecided", "are undecided"),
    }
    told = [(kinds[kind], words[kind][kinds[kind] > 1]) for kind in words if kinds[kind]]
    texts = [f"{NUMBERS[count] if count < len(NUMBERS) else count} {verb}" for count, verb in told]
    texts[0] = texts[0].replace(" ", f" of the {sum(count for count, _ in told)} claims ", 1).capitalize()
    return f"{', '.join(texts[:-1])}, and {texts[-1]}." if texts[1:] else f"{texts[0]}."


def judge(record: Record) -> list[Verdict]:
    """Every claim with its verdict, those that another experiment measures last."""
    evidence = Evidence(record)
    return [*(claim(evidence) for claim in CLAIMS), *later(evidence)]


def claims(record: Record) -> str:
    """The table of the claims."""
    return markdown_table([{**row._asdict(), "verdict": f"**{row.verdict}**"} for row in judge(record)])


def learning(e: Evidence) -> str:
    """Every cell on every task, at the learning rate that the grid chose."""
    rows = []
    tasks = dict.fromkeys([*(f"adding T={T}" for T in e.lengths), *e.short])
    for name, entry in e.results.items():
        task = next((task for task in tasks if name.startswith(f"{task} ")), None)
        if task is None:
            continue
        cell = name.removeprefix(f"{task} ")
        cost = e.results["cost of short sequences"].get(task, {})
        accuracy, heard = np.asarray(entry["test_accuracy"], float), entry.get("signal_to_noise")
        rows.append(
            {
                "task": task,
                "cell": cell,
                "learning rate": f"{entry['learning_rate']:g}",
                "solved": e.share(task, cell),
                "updates to criterion": e.shown_updates(task, cell),
                "ms": f"{np.median(cost[cell]):.3f}" if cell in cost else "",
                "test loss": f"{np.median(e.values('test_loss', task, cell)):.4f}",
                "accuracy": f"{np.nanmedian(accuracy):.1%}",
                "dy/dx, marked over unmarked": _median(heard),
            }
        )
    return markdown_table(rows)


def edge(e: Evidence) -> str:
    """The number of times that the grid chose its highest learning rate, the limit of the search."""
    highest = max(e.config["learning_rate"])
    rates = [entry["learning_rate"] for entry in e.results.values() if "learning_rate" in entry]
    chosen = [value for rate in rates for value in (rate.values() if isinstance(rate, dict) else [rate])]
    return (
        f"Here and in the learning curves the grid chose its highest learning rate, {highest:g}, in "
        f"{chosen.count(highest)} of {len(chosen)} cases; higher ones were not tried."
    )


def _median(values: Any) -> str:
    found = np.asarray(values if values is not None else [], float)
    return f"{np.median(found[np.isfinite(found)]):.1f}" if np.isfinite(found).any() else ""


def curves(e: Evidence) -> str:
    """Held-out errors against the number of training sequences, and how the LSTM's compare."""
    rows = []
    for task in e.curves:
        for cell in COMPARED:
            entry, errors = e.results[f"data {task} {cell}"], e.errors(task, cell)
            shown = {
                str(number): f"{np.median(column):.4f} ({column.min():.4f} to {column.max():.4f})"
                for number, column in zip(e.numbers(task), errors.T, strict=True)
            }
            row = {"task": task, "cell": cell, "H": str(entry["units"]), "weights": str(entry["weights"])}
            columns = dict.fromkeys(str(n) for name in e.curves for n in sorted(e.numbers(name)))
            over = "" if cell == "LSTM" else str(e.needs_data(task, "LSTM", cell))
            ordered = sorted(columns, key=int)
            rows.append({**row, **{name: shown.get(name, "") for name in ordered}, "LSTM's over its, few": over})
    return markdown_table(rows)


def unstable(e: Evidence) -> str:
    """Unstable runs of every cell without and with clipping: all, and at each learning rate."""
    rows = []
    for cell in TRAINED:
        for clipped in (False, True):
            bad = e.unstable(cell, clipped=clipped)
            by_rate = zip(e.config["stability_rates"], bad.sum(axis=0), strict=True)
            row = {"cell": cell, "clipped": "yes" if clipped else "no", "unstable": rate(int(bad.sum()), bad.size)}
            rows.append(row | {f"{value:g}": str(int(k)) for value, k in by_rate})
    return markdown_table(rows)


def starts(e: Evidence) -> str:
    """The measurement of the gradient at initialisation, and its exclusions."""
    return (
        f"Factor of the gradient per step of lag over {e.config['init_length']} steps: median (range) of "
        f"{e.config['init_seeds']} initialisations. We leave out {e.unreached()} of all these, whose last output is "
        "saturated in float32 at all units, so that no gradient comes to any state before it; this was decided when "
        "the first run had shown such a one."
    )


def flow(e: Evidence) -> str:
    """The gradient at initialisation of every start."""
    return markdown_table([{"start": name, "factor per step": e.factor(name)} for name in e.results["flow"]])
