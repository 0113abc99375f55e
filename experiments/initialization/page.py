"""Findings, tables and the figure: functions of the record and nothing else."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy.stats import spearmanr

from experiments import plots
from experiments.compare import LEVEL, RULE, as_solved_at, best_runs, updates
from experiments.initialization import every_cell
from experiments.lab import Record
from recurrax.palette import look
from recurrax.report import censored, markdown_table, solved

SAME = 0.02  # largest distance of a singular value from 1 that counts as orthogonal
PAIRS = (  # one initialiser, on each gate and on the fused kernel
    ("flax.linen.LSTMCell", "flax.nnx.OptimizedLSTMCell"),
    ("flax.linen.GRUCell", "flax.nnx.GRUCell"),
)


def page(record: Record) -> list[Any]:
    """Title, findings and tables."""
    config = record["config"]
    criterion = record["results"][f"training {config['cells'][0]}"]["criterion"]
    return [
        'How much of "vanishing gradients" is the initialisation?',
        findings(record),
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
        f"each rate solved. Solved: {criterion}.",
        training(record),
        RULE,
        f"## (d) Every cell of the library: T = {config['init_length']}, H = {config['hidden']}",
        "Slope of ln |dL/ds| against lag with each cell's own defaults, median and range over seeds; the steps after\n"
        "which 1% is left follow from the slope.",
        every_cell.table(record["results"]["every cell"]),
    ]


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
                "solved": solved(as_solved_at(at[chosen])),
                "updates to criterion": censored(as_solved_at(at[chosen]), record["config"]["steps"]),
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
    """The findings as sentences, made from the numbers."""
    every = every_cell.finding(record["results"]["every cell"])
    return [*correlation(record), *orthogonality(record), *extremes(record), every]


def correlation(record: Record) -> list[str]:
    """Whether the slope at initialisation tells how soon the task is solved."""
    steps = {(cell, name): np.median(np.minimum(updates(e)[best_runs(e)], 1e9)) for cell, name, e in learned(record)}
    points = [(-e["slope"], steps[cell, name]) for cell, name, e in initial(record) if e["slope"] is not None]
    falls, takes = (np.array(column) for column in zip(*points, strict=True))
    if len(points) < 4 or len(set(takes)) == 1:
        return []
    rho, p = (float(value) for value in spearmanr(falls, takes))  # type: ignore[arg-type]
    verdict = "goes with" if p < LEVEL else "shows no relation to"
    return [
        f"How fast the gradient falls at initialisation {verdict} how many updates the task takes: over {len(points)} "
        f"initialisations their rank correlation is {rho:.2f} (p = {p:.2g})."
    ]


def orthogonality(record: Record) -> list[str]:
    """The cells that are orthogonal gate by gate, and the cost of not being so."""
    cells, version = record["results"]["kernels"]["cells"], record["results"]["kernels"]["flax"]
    broken = [name for name, e in cells.items() if e["smallest"] < 1 - SAME or e["largest"] > 1 + SAME]
    sizes = [
        f"{name} (singular values {cells[name]['smallest']:.3f} to {cells[name]['largest']:.3f})" for name in broken
    ]
    lines = [
        f'In Flax {version}, the "orthogonal" recurrent kernel is not orthogonal gate by gate in '
        f"{' and '.join(sizes) or 'no cell'}; in the other {len(cells) - len(broken)} cells all singular values are "
        f"within {SAME:g} of 1."
    ]
    for per_gate, fused in PAIRS:
        ratio = np.median(_jacobian(cells[per_gate])) - np.median(_jacobian(cells[fused]))
        lines.append(
            f"Over {record['config']['lag']} steps, the largest singular value of the Jacobian of {per_gate} is "
            f"{10**ratio:.3g} times that of {fused} (medians)."
        )
    return lines


def extremes(record: Record) -> list[str]:
    """For each cell, the gradient and the updates of its initialisations."""
    at = {(cell, name): updates(entry)[best_runs(entry)] for cell, name, entry in learned(record)}
    found: dict[str, list[str]] = {}
    for cell, name, entry in initial(record):
        takes = censored(as_solved_at(at[cell, name]), record["config"]["steps"]).partition(" (")[0]
        found.setdefault(cell, []).append(f"{factor(entry['slope']):.3f} and {takes} ({name})")
    return [
        f"{cell}: the gradient's factor per step of lag at initialisation and the median updates to the criterion are "
        f"{', '.join(shown)}."
        for cell, shown in found.items()
    ]


def factor(slope: float | None) -> float:
    """Slopes of the gradient per step of lag; a gradient of exactly zero has slope -inf, stored as null."""
    return math.exp(-math.inf if slope is None else slope)


def number(value: float | None) -> str:
    """Three decimals; a gradient that is exactly zero has slope -inf, stored as null."""
    return "-inf" if value is None or not math.isfinite(value) else f"{value + 0.0:.3f}"


def _jacobian(entry: Any) -> np.ndarray:
    return np.asarray([-math.inf if v is None else v for v in entry["log_jacobian"]], float) / math.log(10)


def draw(record: Record) -> Figure:
    """Singular values of the gates, gradients at initialisation, and what they tell of learning."""
    figure, axes = plots.panels(1, 3, 4, 4.2)
    left, middle, right = axes[0]
    singular_values(left, record["results"]["kernels"]["cells"])
    gradients(middle, record)
    learning(right, record)
    for cell in record["config"]["cells"]:
        right.plot([], [], **look(cell) | {"ls": ""}, label=cell)
    plots.takeaway(figure, findings(record)[0])
    plots.legend_below(figure, right)
    return figure


def singular_values(axes: Axes, cells: dict[str, Any]) -> None:
    """Smallest, mean and largest of each cell's gates."""
    for row, entry in enumerate(cells.values()):
        axes.plot([entry["smallest"], entry["largest"]], [row, row], color="0.4", lw=1.5)
        axes.plot(entry["mean"], row, "o", color="k", ms=4)
    axes.axvline(1, color="0.5", lw=0.8, ls="--")
    axes.set_yticks(range(len(cells)), list(cells), fontsize=6)
    axes.invert_yaxis()
    axes.set(title='a  "Orthogonal" kernels, gate by gate', xlabel="singular values: mean and range", xlim=(-0.03, 1.2))


def gradients(axes: Axes, record: Record) -> None:
    """Factor of the gradient per step of lag: median and range over seeds."""
    labels = []
    for row, (cell, name, entry) in enumerate(initial(record)):
        values = np.array([factor(slope) for slope in entry["slopes"]])
        axes.plot([values.min(), values.max()], [row, row], color=look(cell)["color"], lw=1.2)
        axes.plot(np.median(values), row, **look(cell))
        labels.append(f"{cell}, {name}")
    axes.axvline(1, color="0.5", lw=0.8, ls="--")
    axes.set_yticks(range(len(labels)), labels, fontsize=6)
    axes.invert_yaxis()
    axes.set(title="b  Gradient at initialisation", xlabel="factor per step of lag: median and range")


def learning(axes: Axes, record: Record) -> None:
    """Updates to the criterion of every seed against the factor per step at initialisation."""
    budget = record["config"]["steps"]
    slopes = {(cell, name): entry["slope"] for cell, name, entry in initial(record)}
    for cell, name, entry in learned(record):
        for at in updates(entry)[best_runs(entry)]:
            face = None if math.isfinite(at) else "none"
            axes.plot(factor(slopes[cell, name]), min(at, budget), **look(cell), mfc=face, alpha=0.7)
    axes.axhline(budget, color="0.5", lw=0.8, ls="--", zorder=0)
    axes.set(title=f"c  Adding, T = {record['config']['length']}; open: not solved", ylim=(0, budget * 1.1),
             ylabel="updates to criterion", xlabel="gradient at initialisation, factor per step")  # fmt: skip
