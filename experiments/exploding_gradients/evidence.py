"""What the record says, as numbers that tables, findings and figure share."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from recurrax.report import interval

Record = dict[str, Any]
WAYS = ("none", "norm", "value", "recurrence")  # of clipping


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
        """Those of a spectral radius, of a learning rate, or of both."""
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
