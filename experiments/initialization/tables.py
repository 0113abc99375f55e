"""The tables and the findings in words: functions of the record and nothing else."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from scipy.stats import spearmanr

from experiments.compare import RULE, best_runs, marked, updates
from recurrax.report import censored, footer, markdown_table, solved

Record = dict[str, Any]
SAME = 0.02  # largest distance of a singular value from 1 that counts as orthogonal
PAIRS = (  # one initialiser, on each gate and on the fused kernel
    ("flax.linen.LSTMCell", "flax.nnx.OptimizedLSTMCell"),
    ("flax.linen.GRUCell", "flax.nnx.GRUCell"),
)


def document(record: Record) -> str:
    """All tables and findings in Markdown."""
    config = record["config"]
    sections = [
        '# How much of "vanishing gradients" is the initialisation?',
        "\n".join(f"- {finding}" for finding in findings(record)),
        f"![figure]({record['hash']}.png)",
        f"## (a) Recurrent kernels: H = {config['hidden']}, {config['init_seeds']} seeds",
        f"Singular values of each gate's H x H block over gates and seeds, with the cell's own initialiser; and the "
        f"largest singular value\nof the Jacobian of the whole carry over {config['lag']} steps with inputs N(0, 1), "
        f"median and range over seeds. Flax {record['results']['kernels']['flax']}.",
        kernels(record),
        f"## (b) Gradient at initialisation: T = {config['init_length']}, {config['init_seeds']} seeds",
        "Slope of ln |dL/ds| against lag in nats per step, median and range; that of the largest singular value of\n"
        "the Jacobian product; the largest Lyapunov exponent; at rest, ln of the spectral radius of the Jacobian at\n"
        "state 0 without input; and ln sigmoid(b) of the keep gate, the slope of its slowest unit without recurrent\n"
        "weights.",
        slopes(record),
        f"## (c) Learning: adding T = {config['length']}",
        f"Adam at learning rates {config['learning_rate']}, norm clipped at 1, at most {config['steps']} updates, "
        f"seeds {', '.join(map(str, config['seeds']))};\nthe better rate of each initialisation, and how many seeds "
        "each rate solved.",
        training(record),
        RULE,
        footer(record),
    ]
    return "\n\n".join(section.strip() for section in sections) + "\n"


def kernels(record: Record) -> str:
    """Singular values and the Jacobian of every cell."""
    rows = []
    for name, entry in record["results"]["kernels"]["cells"].items():
        low, median, high = np.quantile(_jacobian(entry), [0, 0.5, 1], method="nearest")
        rows.append(
            {
                "cell": name,
                "smallest": f"{entry['smallest']:.3f}",
                "mean": f"{entry['mean']:.3f}",
                "largest": f"{entry['largest']:.3f}",
                "log10 sigma_max of J": f"{median:.2f} ({low:.2f} to {high:.2f})",
            }
        )
    return markdown_table(rows)


def slopes(record: Record) -> str:
    """Every initialisation of every cell."""
    rows = []
    for cell, name, entry in initial(record):
        values = [-math.inf if slope is None else slope for slope in entry["slopes"]]
        rows.append(
            {
                "cell": cell,
                "initialisation": name,
                "slope": f"{number(entry['slope'])} ({number(min(values))} to {number(max(values))})",
                "sigma_max": number(entry["jacobian_slope"]),
                "exponent": number(entry["exponent"]),
                "at rest": number(entry["at_rest"]),
                "no recurrence": "" if entry["path"] is None else number(entry["path"]),
            }
        )
    return markdown_table(rows)


def training(record: Record) -> str:
    """Seeds solved and updates of every initialisation of every cell."""
    rows = []
    for cell, name, entry in learned(record):
        chosen = best_runs(entry)
        at, rates = updates(entry), np.asarray(entry["settings"]["learning_rate"])
        by_rate = [f"{np.isfinite(at[rates == rate]).sum()}/{(rates == rate).sum()}" for rate in np.unique(rates)]
        rows.append(
            {
                "cell": cell,
                "initialisation": name,
                "solved": solved(marked(at[chosen])),
                "updates to criterion": censored(marked(at[chosen]), record["config"]["steps"]),
                "at each rate": ", ".join(by_rate),
                "test loss": f"{np.nanmedian(np.asarray(entry['test_loss'], float)[chosen]):.4f}",
                "chance": f"{record['results'][f'training {cell}']['chance_level']:.4f}",
            }
        )
    return markdown_table(rows)


def initial(record: Record) -> Iterator[tuple[str, str, Any]]:
    """Cell, initialisation and its slopes."""
    for cell in record["config"]["cells"]:
        for name, entry in record["results"][f"slopes {cell}"].items():
            yield cell, name, entry


def learned(record: Record) -> Iterator[tuple[str, str, Any]]:
    """Cell, initialisation and its runs, as an entry of their own."""
    for cell in record["config"]["cells"]:
        whole = record["results"][f"training {cell}"]
        number = np.asarray(whole["settings"]["initialization"])
        for index, name in enumerate(whole["names"]):
            mine = np.flatnonzero(number == index)
            runs = {key: [whole[key][run] for run in mine] for key in ("solved_at", "test_loss")}
            rates = [whole["settings"]["learning_rate"][run] for run in mine]
            yield cell, name, {**runs, "settings": {"learning_rate": rates}}


def findings(record: Record) -> list[str]:
    """What was found, in sentences made from the numbers."""
    return [*orthogonality(record), *extremes(record), *correlation(record)]


def orthogonality(record: Record) -> list[str]:
    """Which cells are orthogonal gate by gate, and what it costs not to be."""
    cells, version = record["results"]["kernels"]["cells"], record["results"]["kernels"]["flax"]
    broken = [name for name, e in cells.items() if e["smallest"] < 1 - SAME or e["largest"] > 1 + SAME]
    lines = [
        f'Flax {version}: the "orthogonal" recurrent kernel is not orthogonal for each gate in '
        + (", ".join(f"{n} ({cells[n]['smallest']:.3f} to {cells[n]['largest']:.3f})" for n in broken) or "no cell")
        + f"; in the other {len(cells) - len(broken)} cells all singular values are 1 within {SAME:g}."
    ]
    for per_gate, fused in PAIRS:
        ratio = np.median(_jacobian(cells[per_gate])) - np.median(_jacobian(cells[fused]))
        lines.append(
            f"Over {record['config']['lag']} steps the Jacobian of {per_gate} is {10**ratio:.3g} times that of {fused} "
            "at its largest (medians)."
        )
    return lines


def extremes(record: Record) -> list[str]:
    """For each cell, the gradient and the updates of its initialisations."""
    at = {(cell, name): updates(entry)[best_runs(entry)] for cell, name, entry in learned(record)}
    lines = []
    for cell in record["config"]["cells"]:
        shown = [
            f"{name} {math.exp(-math.inf if e['slope'] is None else e['slope']):.3f} and "
            f"{censored(marked(at[cell, name]), record['config']['steps']).partition(' (')[0]}"
            for which, name, e in initial(record)
            if which == cell
        ]
        lines.append(f"{cell}, gradient per step of lag at first and median updates to solve: {'; '.join(shown)}.")
    return lines


def correlation(record: Record) -> list[str]:
    """Whether the slope at initialisation tells how soon the task is solved."""
    steps = {(cell, name): np.median(np.minimum(updates(e)[best_runs(e)], 1e9)) for cell, name, e in learned(record)}
    points = [(-e["slope"], steps[cell, name]) for cell, name, e in initial(record) if e["slope"] is not None]
    falls, takes = (np.array(column) for column in zip(*points, strict=True))
    if len(points) < 4 or len(set(takes)) == 1:
        return []
    rho, p = spearmanr(falls, takes)
    return [
        f"Rank correlation over {len(points)} initialisations of how fast the gradient falls at first and how many "
        f"updates the task takes: {rho:.2f} (p = {p:.2g})."
    ]


def number(value: float | None) -> str:
    """Three decimals; a gradient that is exactly zero has slope -inf, stored as null."""
    return "-inf" if value is None or not math.isfinite(value) else f"{value + 0.0:.3f}"


def _jacobian(entry: Any) -> np.ndarray:
    return np.asarray([-math.inf if v is None else v for v in entry["log_jacobian"]], float) / math.log(10)
