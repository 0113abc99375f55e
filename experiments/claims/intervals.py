"""Differences and ratios with intervals, and what counts as no difference: the arithmetic of the verdicts."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from scipy.stats import norm, quantile_test, t
from statsmodels.stats.proportion import confint_proportions_2indep

SURE, EACH = 0.95, 0.90  # the interval that shows a difference; two one-sided tests at 5% ask for the one of 90%


class Effect(NamedTuple):
    """Differences with a 95% interval and, for tests of equivalence, a 90% interval.

    Args:
        value: the estimate.
        low, high: the interval of 95%.
        least, most: the interval of 90%.
        margin: what is within it counts as no difference, stated before the run.
        ratio: whether these are ratios, for which 1 is no difference, or differences, for which 0 is none.
    """

    value: float
    low: float
    high: float
    least: float
    most: float
    margin: float
    ratio: bool

    @property
    def more(self) -> bool:
        """Whether it is shown that the first is larger."""
        return self.low > (1 if self.ratio else 0)

    @property
    def less(self) -> bool:
        """Whether it is shown that the first is smaller."""
        return self.high < (1 if self.ratio else 0)

    @property
    def not_more(self) -> bool:
        """Whether it is shown that the first is not larger by more than the margin."""
        return not self.more and self.most < self.margin

    @property
    def equal(self) -> bool:
        """Whether it is shown that they differ by less than the margin, either way."""
        return self.least > (1 / self.margin if self.ratio else -self.margin) and self.most < self.margin

    def __str__(self) -> str:
        """``value [low, high]``."""
        return f"{number(self.value)} [{number(self.low)}, {number(self.high)}]"


def number(value: float) -> str:
    """Two decimals below 10, else three digits."""
    return f"{value:.2f}" if abs(value) < 10 or not math.isfinite(value) else f"{value:.3g}"


def ratio(one: np.ndarray, other: np.ndarray, margin: float) -> Effect:
    """The ratio of positive values of two groups, the median of all ``one_i / other_j``; infinite ones are censored.

    The interval holds the ratios that the test of Mann and Whitney does not reject, by its normal approximation. Two
    runs that both did not end count as equal.

    Source: Hodges & Lehmann (1963).
    """
    one, other = np.asarray(one, float), np.asarray(other, float)
    both = np.isinf(one)[:, None] & np.isinf(other)
    with np.errstate(invalid="ignore"):
        quotients = np.sort(np.where(both, 1.0, one[:, None] / other), axis=None)
    deviation = math.sqrt(len(one) * len(other) * (len(one) + len(other) + 1) / 12)

    def bounds(confidence: float) -> tuple[float, float]:
        rank = math.floor(len(quotients) / 2 - norm.ppf((1 + confidence) / 2) * deviation)
        return (float(quotients[rank - 1]), float(quotients[-rank])) if rank > 0 else (0.0, math.inf)

    return Effect(float(np.median(quotients)), *bounds(SURE), *bounds(EACH), margin, ratio=True)


def paired_ratio(one: np.ndarray, other: np.ndarray, margin: float) -> Effect:
    """The median of the ratios ``one_i / other_i`` of times that were measured in turn, by its order statistics."""
    ratios = np.asarray(one, float) / np.asarray(other, float)

    def bounds(confidence: float) -> tuple[float, float]:
        found = quantile_test(ratios, p=0.5).confidence_interval(confidence)
        return (0.0 if math.isnan(found.low) else found.low), (math.inf if math.isnan(found.high) else found.high)

    return Effect(float(np.median(ratios)), *bounds(SURE), *bounds(EACH), margin, ratio=True)


def more_solved(one: tuple[int, int], other: tuple[int, int], margin: float) -> Effect:
    """The difference of two shares k/n. Source: Newcombe (1998), method 10."""

    def bounds(confidence: float) -> tuple[float, float]:
        low, high = confint_proportions_2indep(*one, *other, method="newcomb", compare="diff", alpha=1 - confidence)
        return float(low), float(high)

    return Effect(one[0] / one[1] - other[0] / other[1], *bounds(SURE), *bounds(EACH), margin, ratio=False)


def paired_difference(one: np.ndarray, other: np.ndarray, margin: float) -> Effect:
    """The mean of ``one_i - other_i`` over seeds, by Student's t."""
    differences = np.asarray(one, float) - np.asarray(other, float)
    mean, error = differences.mean(), differences.std(ddof=1) / math.sqrt(len(differences))

    def bounds(confidence: float) -> tuple[float, float]:
        reach = t.ppf((1 + confidence) / 2, len(differences) - 1) * error
        return float(mean - reach), float(mean + reach)

    return Effect(float(mean), *bounds(SURE), *bounds(EACH), margin, ratio=False)
