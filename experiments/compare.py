"""Comparisons of runs by tests that take censored and tied values."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from scipy.stats import fisher_exact, mannwhitneyu

from recurrax.report import interval

LEVEL = 0.05  # level of every two-sided test
RULE = (
    f"Two rates differ by Fisher's exact test, other values by Mann and Whitney's, at {LEVEL:g}; a run that did not\n"
    "solve its task counts as longer than any that did. k/n with the exact 95% interval, medians with ranges."
)


def rate(k: int, n: int) -> str:
    """``k/n [low, high]``."""
    low, high = interval(k, n)
    return f"{k}/{n} [{low:.2f}, {high:.2f}]"


def more_often(one: tuple[int, int], other: tuple[int, int]) -> bool:
    """Whether the first of two rates k/n is larger (Fisher's exact test)."""
    (a, n), (b, m) = one, other
    p: Any = fisher_exact([[a, n - a], [b, m - b]])[1]
    return bool(a * m > b * n and p < LEVEL)


def larger(one: np.ndarray, other: np.ndarray) -> bool:
    """Whether values of the first kind are larger than of the second (Mann & Whitney's test); infinities count."""
    one, other = (np.asarray(values, float) for values in (one, other))
    if np.isnan(one).any() or np.isnan(other).any() or len(set(np.r_[one, other])) == 1:
        return False
    finite = np.nan_to_num(np.r_[one, other], posinf=1e300, neginf=-1e300)
    test = mannwhitneyu(finite[: len(one)], finite[len(one) :])
    return bool(test.pvalue < LEVEL and 2 * test.statistic > len(one) * len(other))


def best_runs(entry: Any) -> np.ndarray:
    """The runs of a fit at the learning rate of its grid with most seeds solved, then fewest updates: bool ``[S]``."""
    at = updates(entry)
    rates = np.asarray(entry["settings"]["learning_rate"])
    losses = np.asarray([math.inf if loss is None else loss for loss in np.asarray(entry["test_loss"], object)], float)

    def rank(rate: float) -> tuple[int, float, float]:
        chosen = rates == rate
        middle = (np.sum(chosen) - 1) // 2
        solved = int(np.isfinite(at[chosen]).sum())
        return -solved, float(np.sort(at[chosen])[middle]), float(np.sort(losses[chosen])[middle])

    return rates == min(np.unique(rates), key=rank)


def updates(entry: Any) -> np.ndarray:
    """Updates to the criterion of every run of a fit, infinite where it was not met: ``[S]``."""
    at = np.asarray(entry["solved_at"], float)
    return np.where(at < 0, math.inf, at)


def as_solved_at(updates: np.ndarray) -> list[int]:
    """The same with -1 where the criterion was not met, as `recurrax.report` takes them."""
    return [int(step) if math.isfinite(step) else -1 for step in updates]


def verdict(mine: Any, other: Any) -> str:
    """A comparison of the best runs of two fits: seeds solved, else updates, else test loss."""
    loss, reference = (np.asarray(e["test_loss"], float)[best_runs(e)] for e in (mine, other))
    at, before = (updates(e)[best_runs(e)] for e in (mine, other))
    count, full = ((int(np.isfinite(steps).sum()), len(steps)) for steps in (at, before))
    tests = (
        ("solved fewer seeds", more_often(full, count)),
        ("solved more seeds", more_often(count, full)),
        ("needed more updates", larger(at, before)),
        ("needed fewer updates", larger(before, at)),
        ("ended at a higher test loss", larger(loss, reference)),
        ("ended at a lower test loss", larger(reference, loss)),
    )
    return next((word for word, differs in tests if differs), "showed no significant difference")
