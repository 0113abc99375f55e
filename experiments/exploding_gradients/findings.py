"""The findings as sentences made from the record, and the numbers for page and figures."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from recurrax.report import interval, listed

Record = dict[str, Any]
WAYS = ("none", "norm", "value", "recurrence")  # kinds of clipping
FLAT = 1e-3  # nats per step: smaller slopes are rounding


class Runs(NamedTuple):
    """The runs of one network with one way of clipping, ``[S]`` each."""

    radius: np.ndarray
    rate: np.ndarray
    diverged: np.ndarray
    solved_at: np.ndarray
    last_loss: np.ndarray
    clipped: np.ndarray
    first_gradient: np.ndarray
    largest_gradient: np.ndarray
    spike: np.ndarray

    def where(self, radius: float | None = None, rate: float | None = None) -> Runs:
        """The runs of a spectral radius, of a learning rate, or of both."""
        chosen = np.ones(len(self.radius), bool)
        for values, value in ((self.radius, radius), (self.rate, rate)):
            if value is not None:
                chosen &= np.isclose(values, value, rtol=1e-5)
        return Runs(*(values[chosen] for values in self))


def families(record: Record) -> dict[str, dict[str, np.ndarray]]:
    """Every family of networks in (a), arrays ``[R, S]``; null, the log of a zero, is minus infinity."""
    found = {**record["results"]["gradient linear"], **record["results"]["gradient tanh"]}
    return {name: {key: floats(values, -np.inf) for key, values in entry.items()} for name, entry in found.items()}


def runs(record: Record, network: str, way: str) -> Runs:
    """All runs of a network with one way of clipping."""
    part = "recurrence" if way == "recurrence" else "training"
    entry = record["results"][f"{part} {network}"]
    number = 0 if way == "recurrence" else WAYS.index(way)
    chosen = np.asarray(entry["settings"]["clipping"]) == number
    columns = (
        entry["settings"]["spectral_radius"],
        entry["settings"]["learning_rate"],
        entry["diverged"],
        entry["solved_at"],
        floats(entry["loss"], np.inf)[:, -1],
        floats(entry["clipped"], np.nan),
        floats(entry["first_gradient"], np.inf),
        floats(entry["largest_gradient"], np.inf),
        floats(entry["spike"], np.inf),
    )
    return Runs(*(np.asarray(values)[chosen] for values in columns))


def crossing(radii: np.ndarray, slopes: np.ndarray) -> float | None:
    """The radius from which on the slope is positive, by linear interpolation; None where the last one is not.

    ``radii: [R], slopes: [R]``; a slope that is positive throughout crosses at or below the first radius.
    """
    below = np.flatnonzero(~(slopes > 0))
    if not below.size:
        return float(radii[0])
    i = below[-1] + 1
    if i == len(radii):
        return None
    return float(radii[i - 1] - slopes[i - 1] * (radii[i] - radii[i - 1]) / (slopes[i] - slopes[i - 1]))


def rate(flags: Any) -> str:
    """``k/n [low, high]`` with the exact 95% interval."""
    return share(int(np.sum(flags)), len(flags))


def share(k: int, n: int) -> str:
    """``k/n [low, high]`` with the exact 95% interval."""
    low, high = interval(k, n)
    return f"{k}/{n} [{low:.2f}, {high:.2f}]"


def floats(values: Any, null: float) -> np.ndarray:
    """A (nested) list of numbers, with what stands for null."""
    array = np.asarray(values, float)
    return np.where(np.isnan(array), null, array)


def findings(record: Record) -> list[str]:
    """All of them, in the order of the parts."""
    return [headline(record), *linear(record), *saturating(record), *condition(record), *walls(record),
            *descent(record), *training(record)]  # fmt: skip


def headline(record: Record) -> str:
    """The share of diverged runs of every network, without and with clipping."""
    networks = record["config"]["networks"]
    free, clipped = (
        listed(
            [f"{np.mean(runs(record, network, way).diverged):.0%} of the {network} networks" for network in networks]
        )
        for way in ("none", "norm")
    )
    return f"Over all radii and rates, plain gradient descent diverges in {free}; with the norm clipped, in {clipped}."


def linear(record: Record) -> list[str]:
    """Linear networks against ln rho, and what non-normality adds for a while."""
    radii = np.asarray(record["config"]["radii"])
    found = {name: entry for name, entry in families(record).items() if name.startswith("linear")}
    worst = {name: np.abs(np.median(entry["slope"], axis=1) - np.log(radii)).max() for name, entry in found.items()}
    at = record["config"]["transient"]
    index = list(radii).index(at)
    grown = ", ".join(
        f"{math.exp(np.median(entry['transient'][index])):.2f} times its size at a median lag of "
        f"{np.median(entry['transient_at'][index]):.0f} ({name.split(', ')[1]})"
        for name, entry in found.items()
    )
    return [
        "Linear networks: the gradient's slope is ln rho; the medians over seeds are within "
        + " and ".join(f"{value:.1e} ({name.split(', ')[1]})" for name, value in worst.items())
        + " nats per step of it at every radius.",
        f"The Jacobian product of a linear network with rho = {at:g} first grows to {grown}: a spectral "
        "radius says nothing about short lags unless the matrix is normal.",
    ]


def saturating(record: Record) -> list[str]:
    """Where the slope of the tanh networks crosses 0."""
    radii = np.asarray(record["config"]["radii"])
    lines = []
    for name, entry in families(record).items():
        if not name.startswith("tanh"):
            continue
        median = np.median(entry["slope"], axis=1)
        at = crossing(radii, median)
        place = f"from no radius up to {radii[-1]:g}" if at is None else f"from rho = {at:.2f}"
        lines.append(
            f"{name}: the median slope stays above 0 {place}; at rho = {radii[-1]:g} it is {median[-1]:+.3f} nats per "
            f"step, ln rho is {math.log(radii[-1]):+.3f}."
        )
    return lines


def condition(record: Record) -> list[str]:
    """sigma_max(U) > 1 is necessary for explosion, not sufficient."""
    found = families(record)
    largest, slopes = (np.concatenate([entry[key].ravel() for entry in found.values()]) for key in ("largest", "slope"))
    large = largest > 1 + 1e-5
    lines = [f"Of the networks with sigma_max(U) > 1 the gradient decays in {rate(slopes[large] < -FLAT)}"]
    if (~large).any():
        lines.append(f"of those without it grows in {rate(slopes[~large] > FLAT)}")
    return ["; ".join(lines) + ": necessary for explosion, not sufficient."]


def walls(record: Record) -> list[str]:
    """The steepness of the surface and its place."""
    entry = record["results"]["surface"]
    if not entry["walled"]:
        return ["The box holds no wall: it lies at w above 4.26 on the line b = 0.5 - 0.622 w."]
    off = {name: values["median"] for name, values in entry["cells_off"].items()}
    w, steep = entry["walled"], entry["wall_gradient"]
    return [
        f"The surface of one unit: the largest change between neighbouring cells is "
        f"{entry['largest_change'] / entry['median_change']:.0f} times the median change, the largest gradient "
        f"{entry['largest_gradient'] / entry['median_gradient']:.0f} times the median gradient.",
        f"The wall is where x_0 is an unstable fixed point, b = x_0 - w sigma(x_0), the boundary between two "
        f"basins: the largest change of each row lies {off['wall']:.1f} cells from it (median; at most "
        f"{entry['cells_off']['wall']['largest']:.1f}), {off['upper fold']:.1f} and "
        f"{off['lower fold']:.1f} cells from the two saddle-node bifurcations, where a fixed point disappears.",
        f"On it the gradient is, in closed form, {steep[0]:.1e} at w = {w[0]:.2f} and {steep[-1]:.1e} at "
        f"w = {w[-1]:.2f}.",
    ]


def descent(record: Record) -> list[str]:
    """The effect of clipping for the same starts and step sizes."""
    entries = record["results"]["descent"]
    lines = []
    for size in record["config"]["step_sizes"]:
        here = [entry for entry in entries if entry["step_size"] == size]
        lines.append(
            f"Gradient descent on it, step size {size:g}: "
            + "; ".join(
                ("unclipped" if entry["clip_norm"] is None else f"clipped at {entry['clip_norm']:g}")
                + f" {share(entry['thrown_off'], entry['starts'])} thrown off, "
                + f"{share(entry['reached'], entry['starts'])} at a loss below 0.001"
                for entry in here
            )
            + "."
        )
    return lines


def training(record: Record) -> list[str]:
    """Diverged runs of every way of clipping, where, and what the surviving ones reached."""
    lines = []
    for network in record["config"]["networks"]:
        of = {way: runs(record, network, way) for way in WAYS}
        lines.append(
            f"{network} networks, diverged of all radii, rates and seeds: "
            + ", ".join(f"{way} {rate(found.diverged)}" for way, found in of.items())
            + "."
        )
        lines.append(f"{network}, unclipped, diverged by radius: {by_radius(record, network)}.")
        lines.append(
            f"{network}: {np.mean(of['norm'].clipped):.0%} of the updates are clipped by norm, "
            f"{np.mean(of['value'].clipped):.0%} by value; the best median loss over seeds is "
            + ", ".join(f"{best(record, network, way):.4f} ({way})" for way in WAYS)
            + f"; solved: {rate(np.concatenate([found.solved_at for found in of.values()]) >= 0)}."
        )
    return lines


def by_radius(record: Record, network: str) -> str:
    """Unclipped runs that diverged at every radius and rate, with the first update's gradient."""
    texts = []
    for radius in record["config"]["training_radii"]:
        found = runs(record, network, "none").where(radius)
        counts = [
            f"{here.diverged.sum()}/{len(here.diverged)} at rate {learning_rate:g}"
            for learning_rate in record["config"]["learning_rate"]
            for here in [found.where(rate=learning_rate)]
        ]
        texts.append(f"rho = {radius:g} (first gradient {np.median(found.first_gradient):.2g}) {', '.join(counts)}")
    return "; ".join(texts)


def best(record: Record, network: str, way: str) -> float:
    """The lowest median of the last held-out loss over the grid."""
    config = record["config"]
    found = runs(record, network, way)
    return min(
        float(np.median(found.where(radius, learning_rate).last_loss))
        for radius in config["training_radii"]
        for learning_rate in config["learning_rate"]
    )
