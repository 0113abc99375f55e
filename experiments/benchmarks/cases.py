"""One case of a benchmark, ``{"cell", "shape", "dtype", "rows": {name: times and memory}}``, in numbers and words."""

from __future__ import annotations

from typing import Any

import numpy as np

Record = dict[str, Any]
Case = dict[str, Any]
SLOWER = 1.05  # the ratio of times above which a program counts as slower


def timed(case: Case, name: str) -> bool:
    """Whether a case has times of this implementation."""
    return bool(case["rows"].get(name, {}).get("milliseconds"))


def median(case: Case, name: str) -> float:
    """Milliseconds."""
    return float(np.median(case["rows"][name]["milliseconds"]))


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


def label(case: Case) -> str:
    """Cell and shape, and the dtype where it is not float32."""
    text = f"{case['cell']} {','.join(map(str, case['shape']))}"
    return text if case["dtype"] == "float32" else f"{text} {case['dtype']}"


def geometric(values: Any) -> float:
    """Geometric mean."""
    return float(np.exp(np.mean(np.log(list(values)))))
