"""The tables and the findings in words: functions of the record and nothing else."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from recurrax.report import censored, footer, markdown_table, solved

Record = dict[str, Any]
PUBLISHED = (
    "Published, for adding at T = 100: an IRNN of 100 units reaches MSE 0.05 after 14,000 updates (Keller et al.,\n"
    "2023); the LSTM of 1997 needs 74,000 single sequences in its own definition (Hochreiter & Schmidhuber, 1997).\n"
    "For copy the chance level is that of a predictor without memory, 10 ln 8 / (delay + 20) (Arjovsky et al., 2016).\n"
    "Definitions, sizes and optimisers differ: a frame, not a race."
)


def document(record: Record) -> str:
    """All tables and findings in Markdown."""
    config = record["config"]
    sections = [
        "# Do gradients vanish, and does it matter?",
        "\n".join(f"- {finding}" for finding in findings(record)),
        f"![figure]({record['hash']}.png)",
        f"## (a) At initialisation: T = {config['init_length']}, {config['init_seeds']} seeds",
        "Slope of ln |dL/ds| against lag in nats per step, median and range over seeds; sigma_max is the slope of the\n"
        "largest singular value of the Jacobian product. Inputs N(0, 1), loss a random projection of the last output.",
        initial_table(record),
        f"## (b) Training: {len(config['seeds'])} seeds, the same optimiser and budget for every cell",
        f"Adam, learning rate {config['learning_rate']:g}, norm clipped at {config['clip_norm']:g}, batch "
        f"{config['batch_size']}, fresh data. Seeds solved with their exact 95%\n"
        "interval; updates to the criterion, median and range, unsolved seeds censored at the budget.",
        training_table(record),
        PUBLISHED,
        f"## (c) After training on adding T={max(config['adding_lengths'])}",
        "Slope of ln |dy_T/ds_t| against lag on held-out sequences.",
        trained_table(record),
        "## (d) The gates that carry the memory",
        "Keep gate: f (LSTM), z (GRU); write gate: i, 1 - z. Mean over seeds of the slowest unit of each, at steps\n"
        "with a marked value and at those around them; time constants -1 / mean ln(keep gate) in steps.",
        gates_table(record),
        footer(record),
    ]
    return "\n\n".join(section.strip() for section in sections) + "\n"


def initial_table(record: Record) -> str:
    """Slopes at initialisation; controls with their closed forms first."""
    rows = []
    for kind in ("controls", "initial"):
        for name, entry in record["results"][kind].items():
            exact = entry["closed_form"]
            rows.append(
                {
                    "cell": name,
                    "slope": number(entry["slope"]),
                    "range over seeds": spread(entry["slopes"]),
                    "sigma_max": number(entry["jacobian_slope"]),
                    "closed form": "" if exact is None else number(exact),
                    "deviation": "" if exact is None else deviation(entry["slope"], exact),
                }
            )
    return markdown_table(rows)


def training_table(record: Record) -> str:
    """Seeds solved, updates to criterion and held-out loss beside chance."""
    rows = []
    for task, cells in record["results"]["training"].items():
        for cell, entry in cells.items():
            loss, accuracy = (np.asarray(entry[name], float)[:, -1] for name in ("loss", "accuracy"))
            rows.append(
                {
                    "task": task,
                    "cell": cell,
                    "solved": solved(entry["solved_at"]),
                    "updates to criterion": censored(entry["solved_at"], int(entry["steps"][-1])),
                    "loss": f"{np.nanmedian(loss):.4f}",
                    "chance": f"{entry['chance_level']:.4f}",
                    "accuracy": f"{np.nanmedian(accuracy):.2f}",
                    "criterion": entry["criterion"],
                }
            )
    return markdown_table(rows)


def trained_table(record: Record) -> str:
    """Slopes before and after training."""
    before = {"RNN": "tanh RNN", "GRU": "GRU", "LSTM": "LSTM, forget bias 1"}
    rows = [
        {
            "cell": cell,
            "slope after training": number(entry["slope"]),
            "range over seeds": spread(entry["slopes"]),
            "slope at initialisation": number(record["results"]["initial"][before[cell]]["slope"]),
        }
        for cell, entry in record["results"]["trained"].items()
    ]
    return markdown_table(rows)


def gates_table(record: Record) -> str:
    """Gates at and around marked steps, and time constants."""
    rows = []
    for cell, entry in record["results"]["gates"].items():
        middle = entry["offsets"].index(0)
        keep, write, taus = (np.asarray(entry[name], float) for name in ("keep", "write", "time_constants"))
        rows.append(
            {
                "cell": cell,
                "keep, marked": f"{keep[middle]:.3f}",
                "keep, around": f"{np.delete(keep, middle).mean():.3f}",
                "write, marked": f"{write[middle]:.3f}",
                "write, around": f"{np.delete(write, middle).mean():.3f}",
                "median time constant": f"{np.nanmedian(taus):.1f}",
                "slowest unit (median seed)": f"{np.nanmedian(np.nanmax(taus, axis=1)):.0f}",
            }
        )
    return markdown_table(rows)


def findings(record: Record) -> list[str]:
    """What was found, in sentences made from the numbers."""
    results = record["results"]
    exact = [(entry["slope"], entry["closed_form"]) for entry in results["controls"].values()]
    worst = max((abs(slope / form - 1) for slope, form in exact if form), default=math.nan)
    drift = max((abs(slope) for slope, form in exact if form == 0), default=math.nan)
    slopes = {name: entry["slope"] for name, entry in results["initial"].items()}
    lines = [
        f"The instrument: {len(exact)} controls with a known slope are met within {worst:.2%} of it; where it is 0, "
        f"within {drift:.1e} nats per step.",
        "At initialisation the gradient changes per step of lag by a factor of "
        + ", ".join(f"{factor(slope)} ({name})" for name, slope in slopes.items())
        + ".",
    ]
    for task, cells in results["training"].items():
        lines.append(
            f"{task}: "
            + ", ".join(f"{cell} {solved(entry['solved_at'])}" for cell, entry in cells.items())
            + " seeds solved."
        )
    lines.append(
        "After training on adding the factor is "
        + ", ".join(f"{factor(entry['slope'])} ({cell})" for cell, entry in results["trained"].items())
        + "."
    )
    diverged = [
        f"{task} {cell} seed {seed} at update {step}"
        for task, cells in results["training"].items()
        for cell, entry in cells.items()
        for seed, step in zip(record["config"]["seeds"], entry["diverged_at"], strict=True)
        if step >= 0
    ]
    return [*lines, "Diverged: " + ("; ".join(diverged) if diverged else "no run") + "."]


def training_line(task: str, cell: str, entry: Any) -> str:
    """One line of progress."""
    seconds = f"{entry['seconds']:.0f} s + {entry['compile_seconds']:.0f} s to compile"
    updates = censored(entry["solved_at"], int(entry["steps"][-1]))
    return f"{task} {cell}: {solved(entry['solved_at'])} solved, updates {updates} ({seconds})"


def number(value: float | None) -> str:
    """Four decimals; a gradient that is exactly zero has slope -inf, stored as null."""
    return "-inf" if value is None or not math.isfinite(value) else f"{value + 0.0:.4f}"


def spread(slopes: list[float | None]) -> str:
    """Smallest and largest of the slopes, null being minus infinity."""
    values = [-math.inf if slope is None else slope for slope in slopes]
    return f"{number(min(values))} to {number(max(values))}"


def deviation(value: float, exact: float) -> str:
    """Relative to the closed form; absolute where that is zero."""
    return f"{abs(value / exact - 1):.2%}" if exact else f"{abs(value):.1e} nats"


def factor(slope: float | None) -> str:
    """The factor per step of a slope in nats per step."""
    return "0" if slope is None else f"{math.exp(slope):.3f}"
