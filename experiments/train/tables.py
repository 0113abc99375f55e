"""The table: a function of the record and nothing else."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np

from recurrax.report import censored, footer, markdown_table, solved

Record = dict[str, Any]


def document(record: Record) -> str:
    """Title, table and origin in Markdown."""
    config, results = record["config"], record["results"]
    sections = [
        f"# {config['task']}, length {config['length']} ({config['variant']})",
        f"![figure]({record['hash']}.png)",
        f"Adam, at most {config['steps']} updates of batch size {config['batch_size']}, {config['precision']}; solved: "
        f"{results['criterion']}. Seeds\n{', '.join(map(str, config['seeds']))}; k/n with the exact 95% interval; "
        "updates to the criterion: median and range, unsolved\nseeds censored at the budget. Test loss: of each run's "
        "best model on examples that chose nothing, median over\n"
        f"seeds; chance is {results['chance_level']:.4f}.",
        table(record),
        footer(record),
    ]
    return "\n\n".join(section.strip() for section in sections) + "\n"


def table(record: Record) -> str:
    """One row for each cell, size and point of the sweep."""
    return markdown_table([row(name, entry, point) for name, entry, point in points(record)])


def points(record: Record) -> list[tuple[str, Any, np.ndarray]]:
    """Every fit at every point of its sweep: name, entry, and which of its runs are of that point."""
    found = []
    for name, entry in record["results"]["runs"].items():
        settings = {key: np.asarray(values) for key, values in entry["settings"].items()}
        for values in itertools.product(*(list(dict.fromkeys(v.tolist())) for v in settings.values())):
            chosen = [settings[key] == value for key, value in zip(settings, values, strict=True)]
            found.append((name, entry, np.all(chosen, axis=0) if chosen else np.ones(len(entry["seeds"]), bool)))
    return found


def row(name: str, entry: Any, runs: np.ndarray) -> dict[str, str]:
    """The seeds of one cell, size and point of the sweep."""
    at, diverged = np.asarray(entry["solved_at"])[runs], np.asarray(entry["diverged_at"])[runs]
    swept = {key: f"{np.asarray(values)[runs][0]:g}" for key, values in entry["settings"].items()}
    return {
        "cell": name,
        **{key.replace("_", " "): text for key, text in swept.items()},
        "solved": solved(at),
        "updates to criterion": censored(at, int(entry["steps"][-1])),
        "test loss": f"{np.nanmedian(np.asarray(entry['test_loss'], float)[runs]):.4f}",
        "diverged": f"{np.sum(diverged >= 0)}/{len(at)}",
    }
