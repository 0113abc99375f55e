"""The tables and the findings in words: functions of the record and nothing else."""

from __future__ import annotations

from typing import Any

import numpy as np

from experiments.compare import RULE, best_runs, larger, marked, more_often, updates
from recurrax.report import censored, footer, markdown_table, solved

Record = dict[str, Any]
GREFF = (
    "Published: of these, only the forget gate and the output activation are critical; coupling the gates costs\n"
    "nothing (Greff et al., 2017, on TIMIT, IAM and JSB; other tasks, sizes and optimisers)."
)


def document(record: Record) -> str:
    """All tables and findings in Markdown."""
    config = record["config"]
    sections = [
        "# What do the gates learn, and which of them are needed?",
        "\n".join(f"- {finding}" for finding in findings(record)),
        f"![figure]({record['hash']}.png)",
        f"## Ablations: H = {config['hidden']}",
        f"Adam at learning rates {config['learning_rate']}, norm clipped at 1, seeds "
        f"{', '.join(map(str, config['seeds']))}; the better rate of each\n"
        "cell and task. Test loss and accuracy: medians of the best models.",
        ablations(record),
        RULE,
        GREFF,
        "## Gates of the trained models",
        "Mean activation in each phase of the task; share of steps and units nearly shut (below 0.1) and nearly open\n"
        "(above 0.9); medians over seeds.",
        *(gates(record, task) for task in tasks(record)),
        "## Time constants of the keep gate",
        "tau = -1 / mean ln f in steps (z for the GRU); medians over seeds.",
        time_constants(record),
        footer(record),
    ]
    return "\n\n".join(section.strip() for section in sections) + "\n"


def tasks(record: Record) -> list[str]:
    """The tasks in order."""
    return list(dict.fromkeys(entry["task"] for entry in record["results"].values()))


def of_task(record: Record, task: str) -> dict[str, Any]:
    """The entries of a task by cell."""
    return {entry["cell"]: entry for entry in record["results"].values() if entry["task"] == task}


def ablations(record: Record) -> str:
    """Seeds solved, updates, test loss and accuracy of every cell on every task."""
    rows = []
    for entry in record["results"].values():
        chosen = best_runs(entry)
        at = marked(updates(entry)[chosen])
        rows.append(
            {
                "task": entry["task"],
                "cell": entry["cell"],
                "learning rate": f"{np.asarray(entry['settings']['learning_rate'])[chosen][0]:g}",
                "solved": solved(at),
                "updates to criterion": censored(at, int(entry["steps"][-1])),
                "test loss": f"{np.nanmedian(np.asarray(entry['test_loss'], float)[chosen]):.4f}",
                "chance": f"{entry['chance_level']:.4f}",
                "accuracy": f"{np.nanmedian(np.asarray(entry['test_accuracy'], float)[chosen]):.2f}",
            }
        )
    return markdown_table(rows)


def gates(record: Record, task: str) -> str:
    """Every gate of every cell on a task."""
    rows = []
    for cell, entry in of_task(record, task).items():
        chosen = best_runs(entry)
        for name, gate in entry["gates"].items():
            means = {phase: np.median(np.asarray(values)[chosen]) for phase, values in gate["mean"].items()}
            rows.append(
                {
                    task: cell,
                    "gate": name,
                    **{phase: f"{value:.2f}" for phase, value in means.items()},
                    "nearly shut": f"{np.median(np.asarray(gate['closed'])[chosen]):.0%}",
                    "nearly open": f"{np.median(np.asarray(gate['open'])[chosen]):.0%}",
                }
            )
    return markdown_table(rows)


def time_constants(record: Record) -> str:
    """Of the middle and of the slowest unit."""
    rows = []
    for entry in record["results"].values():
        if "time_constants" not in entry:
            continue
        taus = _taus(entry)
        rows.append(
            {
                "task": entry["task"],
                "cell": entry["cell"],
                "median unit": f"{np.median(np.median(taus, axis=1)):.1f}",
                "slowest unit": f"{np.median(taus.max(axis=1)):.0f}",
            }
        )
    return markdown_table(rows)


def findings(record: Record) -> list[str]:
    """What was found, in sentences made from the numbers."""
    lines = []
    for task in tasks(record):
        entries = of_task(record, task)
        if "LSTM" in entries:
            lines.append(
                f"{task}, against the LSTM: " + "; ".join(_against(entries, cell) for cell in entries if cell != "LSTM")
            )
    for task in tasks(record):
        for cell, entry in of_task(record, task).items():
            if cell in ("LSTM", "GRU"):
                lines.append(f"{task}, {cell}: " + "; ".join(_opens(entry, name) for name in entry["gates"]) + ".")
    return lines


def _against(entries: dict[str, Any], cell: str) -> str:
    mine, lstm = entries[cell], entries["LSTM"]
    loss, other = (np.asarray(e["test_loss"], float)[best_runs(e)] for e in (mine, lstm))
    at, reference = (updates(e)[best_runs(e)] for e in (mine, lstm))
    count, full = ((int(np.isfinite(steps).sum()), len(steps)) for steps in (at, reference))
    if more_often(full, count) or larger(at, reference):
        word = "needs more updates" if not more_often(full, count) else "solves fewer seeds"
    elif more_often(count, full) or larger(reference, at):
        word = "is sooner there" if not more_often(count, full) else "solves more seeds"
    elif larger(loss, other) or larger(other, loss):
        word = f"ends at a {'higher' if larger(loss, other) else 'lower'} test loss"
    else:
        word = "no difference seen"
    return f"{cell} {word} ({censored(marked(at), int(mine['steps'][-1]))} updates, test loss {np.median(loss):.4f})"


def _opens(entry: Any, name: str) -> str:
    chosen = best_runs(entry)
    means = {phase: np.median(np.asarray(v)[chosen]) for phase, v in entry["gates"][name]["mean"].items()}
    return f"{name} " + ", ".join(f"{value:.2f} {phase}" for phase, value in means.items())


def _taus(entry: Any) -> np.ndarray:
    taus = [[np.inf if tau is None else tau for tau in run] for run in entry["time_constants"]]
    return np.asarray(taus, float)[best_runs(entry)]
