"""What the tables, the findings and the figure read from a record: medians, ratios and their intervals."""

from __future__ import annotations

from typing import Any

import numpy as np

Record = dict[str, Any]
Case = dict[str, Any]

JAX_PEERS = ("flax.nnx", "flax.linen", "haiku", "equinox", "keras")
PEERS = (*JAX_PEERS, "torch")
OTHER_FUNCTION = {("RNN", "haiku"): "ReLU in place of tanh"}  # timed and shown, but no measure for ours
SLOWER, FASTER = 1.05, 1 / 1.25  # ratios of time that count as slower, and as clearly faster
WIDE = 512  # units from which a cell counts as wide


class Evidence:
    """A record of the experiment, by measurement and case."""

    def __init__(self, record: Record):
        self.record, self.config, self.results = record, record["config"], record["results"]

    def accelerated(self) -> bool:
        """Whether it was measured on anything but a CPU."""
        return self.results["origin"]["platform"] != "cpu"

    def cases(self, measurement: str, dtype: str | None = None) -> list[Case]:
        """The cases of a measurement, in the order they were taken."""
        found = [self.results[name] for name in self.results if name.startswith(f"{measurement} ")]
        found = [case for case in found if isinstance(case, dict) and case.get("measurement") == measurement]
        return [case for case in found if dtype in (None, case["dtype"])]

    def names(self) -> list[str]:
        """Every implementation, ours first."""
        cases = [case for measurement in self.config["measurements"] for case in self.cases(measurement)]
        return list(dict.fromkeys(name for case in cases for name in case["rows"]))

    def ours(self) -> list[str]:
        """The engines of recurrax that were timed somewhere."""
        cases = [case for measurement in self.config["measurements"] for case in self.cases(measurement)]
        names = [name for name in self.names() if name.startswith("recurrax ")]
        return [name for name in names if any(timed(case, name) for case in cases)]

    def main(self) -> str | None:
        """The engine that findings are about: "auto" where it was timed."""
        ours = self.ours()
        return "recurrax auto" if "recurrax auto" in ours else (ours[-1] if ours else None)

    def ratios(self, measurement: str, name: str, base: str | None = None, wide: bool = False) -> dict[str, float]:
        """Time over that of ``base``, the fastest JAX peer by default, by case; of cells of `WIDE` units alone."""
        found = {}
        for case in self.cases(measurement):
            other = base or fastest(case)
            if other and timed(case, name) and timed(case, other) and (not wide or case["shape"][3] >= WIDE):
                found[label(case)] = median(case, name) / median(case, other)
        return found


def timed(case: Case, name: str) -> bool:
    """Whether a case has times of this implementation."""
    return bool(case["rows"].get(name, {}).get("milliseconds"))


def median(case: Case, name: str) -> float:
    """Milliseconds."""
    return float(np.median(case["rows"][name]["milliseconds"]))


def fastest(case: Case) -> str | None:
    """The JAX peer with the lowest median of those that compute the same; None where no such peer was timed."""
    names = [name for name in JAX_PEERS if timed(case, name) and (case["cell"], name) not in OTHER_FUNCTION]
    return min(names, key=lambda name: median(case, name), default=None)


def interval(case: Case, name: str, base: str, resamples: int = 2000) -> tuple[float, float] | None:
    """95% bootstrap interval of the ratio of medians, rounds resampled in pairs; None below five rounds."""
    times = [np.asarray(case["rows"][who]["milliseconds"]) for who in (name, base)]
    n = len(times[0])
    if n < 5 or len(times[1]) != n:
        return None
    picks = np.random.default_rng(0).integers(0, n, (resamples, n))
    ratios = np.median(times[0][picks], axis=1) / np.median(times[1][picks], axis=1)
    low, high = np.quantile(ratios, [0.025, 0.975])
    return float(low), float(high)


def rounds(case: Case) -> int:
    """Samples of each implementation."""
    return max((len(row.get("milliseconds") or ()) for row in case["rows"].values()), default=0)


def needed(row: dict[str, Any]) -> int | None:
    """Bytes of a program's temporaries and outputs, None where they are not known."""
    memory = row.get("memory")
    return memory["temporary"] + memory["output"] if memory else None


def label(case: Case) -> str:
    """Cell and shape, and the dtype where it is not float32."""
    text = f"{case['cell']} {','.join(map(str, case['shape']))}"
    return text if case["dtype"] == "float32" else f"{text} {case['dtype']}"


def geometric(values: Any) -> float:
    """Geometric mean."""
    return float(np.exp(np.mean(np.log(list(values)))))


def digits(value: float) -> str:
    """Three significant digits, no exponent."""
    places = 0 if value >= 100 else 1 if value >= 10 else 2 if value >= 1 else 3 if value >= 0.1 else 4
    return f"{value:.{places}f}"


def size(bytes_: float | None) -> str:
    """Bytes in MiB or GiB."""
    if bytes_ is None:
        return "not measured"
    mib = bytes_ / 2**20
    return f"{digits(mib / 1024)} GiB" if mib >= 1024 else f"{digits(mib)} MiB" if mib >= 0.1 else f"{bytes_} B"
