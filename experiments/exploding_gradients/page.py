"""The page and the figures: functions of the record and nothing else."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments import plots
from experiments.exploding_gradients.findings import (
    WAYS,
    Record,
    crossing,
    families,
    findings,
    floats,
    rate,
    runs,
    share,
)  # fmt: skip
from recurrax.report import interval, markdown_table

# Okabe & Ito's colours, told apart without colour by dash and marker.
FAMILIES = {
    "linear, Gaussian": ("#000000", "-", "o"),
    "linear, orthogonal": ("#56B4E9", "--", "s"),
    "tanh, Gaussian": ("#D55E00", "-", "^"),
    "tanh, orthogonal": ("#E69F00", "--", "v"),
    "tanh, Gaussian, no input": ("#009E73", "-.", "D"),
}
CLIPPING = {
    "none": ("#D55E00", "-", "o"), "norm": ("#0072B2", "--", "s"), "value": ("#009E73", "-.", "^"),
    "recurrence": ("#CC79A7", ":", "D"),
}  # fmt: skip
NAMES = {"none": "not clipped", "norm": "norm", "value": "value", "recurrence": "in the recurrence"}


def page(record: Record) -> list[Any]:
    """Title, findings and tables."""
    config = record["config"]
    seeds = ", ".join(map(str, config["seeds"]))
    return [
        "When do gradients explode, and what does clipping change?",
        findings(record),
        f"![figure]({record['hash']}-details.png)",
        f"## (a) Gradient against spectral radius: H = {config['hidden']}, T = {config['init_length']}, "
        f"{config['init_seeds']} seeds",
        "Nats per step of lag, median over seeds: slope of ln |dL/ds| (range in brackets), slope of ln sigma_max of\n"
        "the Jacobian product, largest Lyapunov exponent. Inputs N(0, 1), loss a random projection of the last output.",
        gradient_table(record),
        f"## (b) One unit: x' = w sigma(x) + b, x_0 = 0.5, L = (sigma(x_{config['surface_steps']}) - 0.7)^2",
        f"Gradient descent from {config['starts']} random starts in the box, {config['descent_steps']} updates. A "
        "path is thrown off if it is\nat any time further from the box than the box is large. "
        "Reached: the final loss is below 0.001.\nWorse: the final loss is above that of the start.",
        descent_table(record),
        f"## (c) Training: plain SGD on adding T = {config['length']}, H = {config['hidden']}, {config['steps']} "
        f"updates of batch size {config['batch_size']}",
        f"Seeds {seeds}. Norm clipped at {config['clip_norm']:g}, entries at {config['clip_value']:g}, in the "
        f"recurrence entries of every step's backward gradient\nat {config['clip_cotangents']:g}. Diverged: a loss "
        "that is not finite, or a last held-out loss above 10 times chance. Losses are\nmedians over seeds of the last "
        f"held-out loss; chance is {chance(record):.4f}.",
        training_table(record),
        "Over all radii, rates and seeds; as the runs of a seed share its draws, the intervals are descriptive.\n"
        "Clipped: mean share of updates. Spike: largest ratio of consecutive training losses, median over the runs\n"
        "that stayed finite.",
        clipping_table(record),
    ]


def chance(record: Record) -> float:
    """The chance level of the task."""
    return record["results"][f"training {record['config']['networks'][0]}"]["chance_level"]


def gradient_table(record: Record) -> str:
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


def descent_table(record: Record) -> str:
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


def training_table(record: Record) -> str:
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


def clipping_table(record: Record) -> str:
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


def draw(record: Record) -> dict[str, Figure]:
    """Slopes, surface, and the fate of tanh and of ReLU networks; then transient growth and the fate of the descent."""
    networks = record["config"]["networks"]
    first, axes = plots.panels(2, 2, 4.6, 3.7)
    slopes(axes[0, 0], record)
    surface(axes[0, 1], record)
    for panel, letter, network in zip(axes[1], "cd", networks, strict=False):
        training(panel, record, letter, network)
    for panel in axes[1, len(networks) :]:
        panel.set_axis_off()
    details, axes = plots.panels(1, 2, 4.6, 3.9)
    transient(axes[0, 0], record)
    descent(axes[0, 1], record)
    return {"": first, "details": details}


def slopes(axes: Axes, record: Record) -> None:
    """Slope of the gradient against the spectral radius: median and range over seeds."""
    radii = np.asarray(record["config"]["radii"])
    axes.plot(radii, np.log(radii), color="0.6", lw=3, label=r"$\ln\rho$")
    for name, entry in families(record).items():
        color, dash, marker = FAMILIES[name]
        low, median, high = np.quantile(entry["slope"], [0, 0.5, 1], axis=1)
        axes.plot(radii, median, dash, color=color, marker=marker, ms=3, lw=1.2, label=name)
        axes.fill_between(radii, low, high, color=color, alpha=0.15, lw=0)
    axes.axhline(0, color="0.5", lw=0.8)
    at = crossing(radii, np.median(families(record)["tanh, Gaussian"]["slope"], axis=1))
    title = f"a  In tanh networks the gradient grows {'nowhere' if at is None else f'from rho = {at:.2f} on'}"
    axes.set(title=title, xlabel=r"spectral radius $\rho$", ylabel="slope of the gradient, nats per step")
    below(axes, 2)


def transient(axes: Axes, record: Record) -> None:
    """Growth of the Jacobian product with the lag at one radius: median and 10-90% band over seeds."""
    for name, entry in families(record).items():
        color, dash, _ = FAMILIES[name]
        low, median, high = entry["profile"]
        lags = np.arange(len(median))[: 1 + len(median) // 2]
        axes.plot(lags, median[lags], dash, color=color, lw=1.2, label=name)
        axes.fill_between(lags, low[lags], high[lags], color=color, alpha=0.12, lw=0)
    axes.axhline(0, color="0.5", lw=0.8)
    index = record["config"]["radii"].index(record["config"]["transient"])
    grown = math.exp(np.median(families(record)["linear, Gaussian"]["transient"][index]))
    title = rf"a  At $\rho$ = {record['config']['transient']:g} a linear product first grows {grown:.2f} times"
    axes.set(title=title, xlabel="lag (steps)", ylabel=r"$\ln\ \sigma_{\max}(J_{t:T})$", ylim=(-8, None))
    below(axes, 2)


def surface(axes: Axes, record: Record) -> None:
    """The loss over w and b, its wall, the bifurcations, and a few paths of gradient descent."""
    entry = record["results"]["surface"]
    w, b = np.asarray(entry["w"]), np.asarray(entry["b"])
    image = axes.pcolormesh(w, b, floats(entry["loss"], np.nan).T, cmap="Greys", shading="nearest", vmin=0,
                            rasterized=True)  # fmt: skip
    axes.figure.colorbar(image, ax=axes, label="loss", shrink=0.8)
    for name, dash in (("wall", "-"), ("upper fold", "--"), ("lower fold", ":")):
        label = {"wall": r"$x_0$ unstable: basins meet", "upper fold": "upper fixed point gone",
                 "lower fold": "lower fixed point gone"}[name]  # fmt: skip
        axes.plot(w, floats(entry["lines"][name], np.nan), dash, color="#56B4E9", lw=1.4, label=label)
    for clip, (color, dash, marker) in (("none", CLIPPING["none"]), ("norm", CLIPPING["norm"])):
        drawn = [
            e for e in record["results"]["descent"] if "drawn" in e and (e["clip_norm"] is None) == (clip == "none")
        ]
        for number, path in enumerate(floats(drawn[0]["drawn"], np.nan) if drawn else []):
            label = {"none": "descent, not clipped", "norm": f"clipped at {drawn[0]['clip_norm'] or 0:g}"}[clip]
            axes.plot(*path.T, dash, color=color, lw=0.9, label=None if number else label)
            axes.plot(*path[-1], marker, color=color, ms=4, mec="w", mew=0.5)
    axes.set(title="b  One unit: descent is thrown off at a wall of the loss", xlabel="recurrent weight w",
             ylabel="bias b", xlim=(w[0], w[-1]), ylim=(b[0], b[-1]))  # fmt: skip
    below(axes, 2)


def descent(axes: Axes, record: Record) -> None:
    """Share of the paths thrown off and of those that reach a small loss, with exact intervals."""
    sizes = record["config"]["step_sizes"]
    clips = [None, *record["config"]["surface_clips"]]
    markers = ("o", "s", "^", "D", "v")
    colors = ("#D55E00", "#0072B2", "#009E73", "#CC79A7", "#E69F00")
    for index, clip in enumerate(clips):
        here = [entry for entry in record["results"]["descent"] if entry["clip_norm"] == clip]
        for key, dash, full in (("thrown_off", "-", True), ("reached", ":", False)):
            part, error = shares([(entry[key], entry["starts"]) for entry in here])
            place = np.asarray(sizes) * 1.05 ** (index - (len(clips) - 1) / 2)
            label = f"{'not clipped' if clip is None else f'clip {clip:g}'}, {key.replace('_', ' ')}"
            axes.errorbar(place, part, error, color=colors[index % 5], ls=dash, marker=markers[index % 5], ms=5, lw=1,
                          mfc=None if full else "w", capsize=2, elinewidth=0.8, label=label)  # fmt: skip
    thrown = [entry["thrown_off"] / entry["starts"] for entry in record["results"]["descent"] if entry["clip_norm"]]
    free = [entry["thrown_off"] / entry["starts"] for entry in record["results"]["descent"] if not entry["clip_norm"]]
    axes.set(title=f"b  Thrown off: up to {max(free):.0%} of the starts, {max(thrown):.0%} when clipped", xscale="log",
             xlabel="step size", ylabel="share of starts", ylim=(-0.03, 1.03))  # fmt: skip
    axes.set_xticks(sizes, [f"{size:g}" for size in sizes], minor=False)
    axes.minorticks_off()
    below(axes, 2)


def training(axes: Axes, record: Record, letter: str, network: str) -> None:
    """Share of diverged runs against the initial radius over all rates, with exact intervals."""
    radii = record["config"]["training_radii"]
    for index, way in enumerate(WAYS):
        color, dash, marker = CLIPPING[way]
        found = runs(record, network, way)
        part, error = shares([(int(d.sum()), len(d)) for d in (found.where(radius).diverged for radius in radii)])
        place = np.asarray(radii) + 0.02 * (index - 1.5)
        axes.errorbar(place, part, error, color=color, ls=dash, marker=marker, ms=5, lw=1.2, capsize=2, elinewidth=0.8,
                      label=NAMES[way])  # fmt: skip
    free, clipped = (np.mean(runs(record, network, way).diverged) for way in ("none", "norm"))
    title = f"{letter}  {network}: {free:.0%} of the runs diverge, {clipped:.0%} with the norm clipped"
    axes.set(title=title, xlabel=r"initial spectral radius $\rho$", ylabel="share of runs that diverged",
             ylim=(-0.03, 1.03))  # fmt: skip
    axes.set_xticks(radii)
    below(axes, 2)


def shares(counts: list[tuple[int, int]]) -> tuple[np.ndarray, np.ndarray]:
    """Rates and their distances to the ends of the exact 95% intervals, ``[2, N]``."""
    share = np.array([k / n for k, n in counts])
    low, high = np.array([interval(k, n) for k, n in counts]).T
    return share, np.array([share - low, high - share]).clip(0)


def below(axes: Axes, columns: int) -> None:
    """The legend under the panel, where it covers no data."""
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.17), ncols=columns, handlelength=3)
