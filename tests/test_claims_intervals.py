"""The intervals of the claims, and what they decide."""

import numpy as np
import pytest
from scipy.stats import mannwhitneyu, ttest_1samp

pytest.importorskip("statsmodels", reason="the experiments need recurrax[experiments]")

from experiments.claims.intervals import Effect, more_solved, paired_difference, paired_ratio, ratio
from experiments.claims.rules import FAILS, HOLDS, settle, settle_equal


def test_intervals_of_ratios_are_what_the_test_of_mann_and_whitney_does_not_reject():
    draws = np.random.default_rng(0)
    one, other = draws.lognormal(0.4, 0.5, 20), draws.lognormal(0.0, 0.5, 18)
    found = ratio(one, other, margin=1.25)

    def p(factor: float) -> float:
        return mannwhitneyu(one, other * factor, use_continuity=False, method="asymptotic").pvalue

    for low, high, level in ((found.low, found.high, 0.05), (found.least, found.most, 0.1)):
        assert p(low * 0.999) < level <= p(low * 1.03) and p(high * 1.001) < level <= p(high * 0.97)
    assert found.low < found.least < found.value < found.most < found.high
    unsolved = ratio(np.full(20, np.inf), np.full(20, 100.0), 1.25)
    assert unsolved.more and unsolved.low == np.inf
    assert ratio(np.full(20, np.inf), np.full(20, np.inf), 1.25).equal
    assert (ratio(one[:2], other[:2], 1.25).low, ratio(one[:2], other[:2], 1.25).high) == (0, np.inf)


def test_intervals_of_differences_are_those_of_the_literature():
    found = more_solved((56, 70), (48, 80), margin=0.2)
    assert (round(found.low, 4), round(found.high, 4)) == (0.0524, 0.3339)  # Newcombe (1998), table II, example (a)
    one, other = np.random.default_rng(1).normal(size=(2, 20))
    mean = paired_difference(one, other, margin=0.1)
    np.testing.assert_allclose((mean.low, mean.high), ttest_1samp(one - other, 0).confidence_interval(0.95))
    times = paired_ratio(np.arange(1.0, 13.0), np.ones(12), margin=1.15)
    assert (times.value, times.low, times.high) == (6.5, 3, 10)  # orders 3 and 10 of 12: binomial, at least 95%
    assert paired_ratio(np.ones(2), np.ones(2), margin=1.15).high == np.inf


def effect(low: float, least: float, most: float, high: float) -> Effect:
    return Effect((low + high) / 2, low, high, least, most, margin=1.25, ratio=True)


MORE, NONE, OPEN = effect(1.1, 1.2, 1.8, 1.9), effect(0.8, 0.9, 1.1, 1.2), effect(0.9, 0.95, 1.5, 1.6)


@pytest.mark.parametrize(
    "cases, verdict",
    [
        ({"a": MORE, "b": MORE}, HOLDS),
        ({"a": NONE, "b": NONE}, FAILS),
        ({"a": MORE, "b": NONE}, "holds only if a"),
        ({"a": MORE, "b": OPEN}, "holds only if a; undecided where b: at most 1.50 times"),
        ({"": OPEN}, "undecided: at most 1.50 times"),
    ],
)
def test_a_claim_of_a_difference(cases, verdict):
    assert settle(cases) == verdict


def test_a_claim_of_no_difference():
    assert settle_equal({"a": [NONE], "b": [NONE, NONE]}) == HOLDS
    assert settle_equal({"a": [NONE, MORE]}) == settle_equal({"a": [OPEN]}) == FAILS
    assert settle_equal({"a": [NONE], "b": [OPEN]}) == "holds only if a"
