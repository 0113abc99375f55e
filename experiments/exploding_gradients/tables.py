"""The tables: functions of the record and nothing else."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from experiments.exploding_gradients.evidence import WAYS, Record, families, rate, runs, share
from experiments.exploding_gradients.findings import findings
from recurrax.report import footer, markdown_table


def document(record: Record) -> str:
    """Findings, figure and tables in Markdown."""
    config = record["config"]
    seeds = ", ".join(map(str, config["seeds"]))
    sections = [
        "# When do gradients explode, and what does clipping change?",
        "\n".join(f"- {finding}" for finding in findings(record)),
        f"![figure]({record['hash']}.png)",
        f"## (a) Gradient against spectral radius: H = {config['hidden']}, T = {config['init_length']}, "
        f"{config['init_seeds']} seeds",
        "Nats per step of lag, median over seeds: slope of ln |dL/ds| (range in brackets), slope of ln sigma_max of\n"
        "the Jacobian product, largest Lyapunov exponent. Inputs N(0, 1), loss a random projection of the last output.",
        gradient(record),
        f"## (b) One unit: x' = w sigma(x) + b, x_0 = 0.5, L = (sigma(x_{config['surface_steps']}) - 0.7)^2",
        f"Gradient descent from {config['starts']} random starts in the box, {config['descent_steps']} updates. Thrown "
        "off: ever further from the box\nthan it is large. Reached: final loss below 0.001. Worse: than at the start.",
        descent(record),
        f"## (c) Training: plain SGD on adding T = {config['length']}, H = {config['hidden']}, {config['steps']} "
        f"updates of batch size {config['batch_size']}",
        f"Seeds {seeds}. Norm clipped at {config['clip_norm']:g}, entries at {config['clip_value']:g}, in the "
        f"recurrence entries of every step's backward gradient\nat {config['clip_cotangents']:g}. Diverged: a loss "
        "that is not finite, or a last held-out loss above 10 times chance. Losses are\nmedians over seeds of the last "
        f"held-out loss; chance is {chance(record):.4f}.",
        training(record),
        "Over all radii, rates and seeds; as the runs of a seed share its draws, the intervals are descriptive.\n"
        "Clipped: mean share of updates. Spike: largest ratio of consecutive training losses, median over the runs\n"
        "that stayed finite.",
        clipping(record),
        footer(record),
    ]
    return "\n\n".join(section.strip() for section in sections) + "\n"


def chance(record: Record) -> float:
    """The chance level of the task."""
    return record["results"][f"training {record['config']['networks'][0]}"]["chance_level"]


def gradient(record: Record) -> str:
    """Every family at every spectral radius."""
    rows = []
    for name, entry in families(record).items():
        for i, radius in enumerate(record["config"]["radii"]):
            slopes = entry["slope"][i]
            rows.append(
                {
                    "network": name,
                    "rho": f"{radius:g}",
                    "ln rho": f"{math.log(radius) + 0.0:.3f}",
                    "gradient": f"{np.median(slopes):.3f} [{slopes.min():.3f}, {slopes.max():.3f}]",
                    "product": f"{np.median(entry['jacobian_slope'][i]):.3f}",
                    "Lyapunov": f"{np.median(entry['exponent'][i]):.3f}",
                    "sigma_max(U)": f"{np.median(entry['largest'][i]):.2f}",
                }
            )
    return markdown_table(rows)


def descent(record: Record) -> str:
    """Every step size with every clipping."""
    rows = []
    for entry in record["results"]["descent"]:
        clip = entry["clip_norm"]
        rows.append(
            {
                "step size": f"{entry['step_size']:g}",
                "clip norm": "none" if clip is None else f"{clip:g}",
                "thrown off": share(entry["thrown_off"], entry["starts"]),
                "reached": share(entry["reached"], entry["starts"]),
                "worse": share(entry["worse"], entry["starts"]),
                "final loss, median": f"{entry['last_loss']:.5f}",
                "longest update": f"{entry['longest_step']:.3g}",
            }
        )
    return markdown_table(rows)


def training(record: Record) -> str:
    """Seeds diverged and last loss at every radius and rate, one way of clipping beside the other."""
    rows = []
    for network in record["config"]["networks"]:
        for radius in record["config"]["training_radii"]:
            for learning_rate in record["config"]["learning_rate"]:
                at = {way: runs(record, network, way).where(radius, learning_rate) for way in WAYS}
                first = np.median(at["none"].first_gradient)
                row = {
                    "network": network,
                    "rho": f"{radius:g}",
                    "rate": f"{learning_rate:g}",
                    "first gradient": f"{first:.2g}",
                }
                for way, of in at.items():
                    row[f"diverged, {way}"] = f"{of.diverged.sum()}/{len(of.diverged)}"
                for way, of in at.items():
                    row[f"loss, {way}"] = number(float(np.median(of.last_loss)))
                rows.append(row)
    return markdown_table(rows)


def clipping(record: Record) -> str:
    """Every network and way of clipping over all of its runs."""
    rows = []
    for network in record["config"]["networks"]:
        for way in WAYS:
            of = runs(record, network, way)
            finite = of.spike[np.isfinite(of.spike)]
            rows.append(
                {
                    "network": network,
                    "clipping": way,
                    "diverged": rate(of.diverged),
                    "solved": rate(of.solved_at >= 0),
                    "clipped": f"{np.mean(of.clipped):.0%}" if way in ("norm", "value") else "",
                    "largest gradient": f"{of.largest_gradient.max():.1e}",
                    "spike": f"{np.median(finite):.1f}" if finite.size else "",
                }
            )
    return markdown_table(rows)


def number(value: Any) -> str:
    """Four decimals of a loss, short where it is absurd."""
    if not math.isfinite(value):
        return "inf"
    return f"{value:.4f}" if value < 100 else f"{value:.0e}"
