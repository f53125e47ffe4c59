"""Ratios of rates to the highest: exact error rates by enumeration, and one interval whoever is the highest."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from scipy import stats

from rft.stats.gaps.rate_ratio import _katz_ends, ratio_ends, ratios_to_highest, smallest_ratio

LEVELS = (0.95, 1 - 0.05 / 3, 1 - 0.05 / 10)
RATES = np.minimum(np.concatenate([[0.03, 0.06], np.arange(0.1, 1.01, 0.05)]), 1.0)


@cache
def ends_by_outcome(n: int, other_n: int, level: float) -> tuple[np.ndarray, np.ndarray]:
    """Ends of the smaller rate over the larger for every outcome, (n + 1, other_n + 1) each."""
    hits, other_hits = np.arange(n + 1)[:, None], np.arange(other_n + 1)
    low, high = ratio_ends(hits, n, other_hits, other_n, level=level)
    inverse_low, inverse_high = ratio_ends(other_hits, other_n, hits, n, level=level)
    return np.minimum(low, inverse_low), np.minimum(np.minimum(high, inverse_high), 1.0)


def largest_probability(event: np.ndarray, ratio: float) -> float:
    """Highest probability of an event over all rates of which the smaller is so many times the larger."""
    n, other_n = (size - 1 for size in event.shape)
    first, second = (
        [stats.binom.pmf(np.arange(cases + 1), cases, rates[:, None]) for rates in (RATES, ratio * RATES)]
        for cases in (n, other_n)
    )
    both = [(first[0], second[1]), (first[1], second[0])]
    return max(float(np.einsum("in,nm,im->i", left, event, right, optimize=True).max()) for left, right in both)


@pytest.mark.parametrize("ratio", [0.4, 0.8])
@pytest.mark.parametrize(("n", "other_n"), [(10, 10), (30, 30), (30, 500), (60, 500), (20, 60)])
def test_no_rule_passes_or_fails_across_the_true_ratio(n: int, other_n: int, ratio: float) -> None:
    """Exact, at 95 %. With Katz's interval alone a rule passed in 7 % of samples (10 beside 10, 30 beside 500)."""
    low, high = ends_by_outcome(n, other_n, 0.95)
    assert largest_probability(low > ratio + 1e-9, ratio) <= 0.025
    assert largest_probability(high < ratio - 1e-9, ratio) <= 0.025


@pytest.mark.slow
@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("ratio", [0.3, 0.5, 0.6, 0.7, 0.8, 0.9])
@pytest.mark.parametrize(
    ("n", "other_n"), [(10, 10), (30, 30), (30, 100), (30, 500), (60, 500), (100, 1000), (200, 200)]
)
def test_no_rule_passes_or_fails_across_the_true_ratio_at_strict_levels(
    n: int, other_n: int, ratio: float, level: float
) -> None:
    low, high = ends_by_outcome(n, other_n, level)
    assert largest_probability(low > ratio + 1e-9, ratio) <= 1.02 * (1 - level) / 2
    assert largest_probability(high < ratio - 1e-9, ratio) <= 1.02 * (1 - level) / 2


@pytest.mark.parametrize("counts", [(18, 40, 32, 50), (1, 34, 7, 34), (3, 10, 10, 10), (480, 1000, 1, 20)])
def test_it_is_no_narrower_than_scipys_relative_risk_with_one_half_added(counts: tuple[int, int, int, int]) -> None:
    """SciPy takes whole numbers: twice the counts and one more of either kind, which have half the variance."""
    hits, n, other_hits, other_n = counts
    doubled = stats.contingency.relative_risk(2 * hits + 1, 2 * n + 2, 2 * other_hits + 1, 2 * other_n + 2)
    low, high = np.log(doubled.confidence_interval(0.95))
    centre, half = (low + high) / 2, np.sqrt(2) * (high - low) / 2
    first, rows, second, second_rows = map(np.asarray, map(float, counts))
    katz = _katz_ends(first, rows, second, second_rows, 0.95)
    assert np.log(katz) == pytest.approx([centre - half, centre + half])
    ends = ratio_ends(*counts)
    assert ends[0] <= katz[0]
    assert ends[1] >= katz[1]


def test_a_ratio_and_its_inverse_are_one_statement() -> None:
    low, high = ratio_ends(18, 40, 32, 50)
    inverse_low, inverse_high = ratio_ends(32, 50, 18, 40)
    assert (low, high) == (pytest.approx(1 / inverse_high), pytest.approx(1 / inverse_low))


def test_the_ratio_at_the_edges() -> None:
    assert ratio_ends(0, 20, 5, 20)[0] == 0 < ratio_ends(0, 20, 5, 20)[1] < 3
    low, high = ratio_ends(5, 20, 0, 20)
    assert 0 < low < 5
    assert np.isinf(high)
    low, high = ratio_ends(20, 20, 30, 30)
    assert low < 1 < high
    assert [float(end) for end in ratio_ends(0, 20, 0, 20)] == [0, np.inf]
    with pytest.raises(ValueError, match="expected two groups or more"):
        smallest_ratio([3, 3], [2, 3])


def test_an_interval_that_reaches_above_one_counts_with_its_inverse() -> None:
    """30 of 30 beside 400 of 500: the first is higher in the sample, and yet it may be the lower by a little."""
    low, high = ratio_ends(20, 30, 320, 500)
    assert low < 1 < high
    interval = smallest_ratio([20, 320], [30, 500])
    assert interval.low == pytest.approx(min(low, 1 / high))
    assert interval.high == 1


def test_the_highest_group_of_the_sample_has_an_interval_too() -> None:
    low, high = ratios_to_highest([30, 28, 10], [60, 60, 60])
    assert list(high) == [1, 1, pytest.approx(high[2])]
    assert high[2] < 1
    assert low[0] < 1
    assert smallest_ratio([30, 28, 10], [60, 60, 60]).low == low.min() == low[2]


@pytest.mark.parametrize("rates", [(0.5, 0.5, 0.5, 0.5), (0.2, 0.4, 0.4), (0.9, 0.6, 0.7, 0.65, 0.8)])
def test_the_smallest_of_many_ratios_is_covered(rates: tuple[float, ...]) -> None:
    rng, n = np.random.default_rng(0), np.resize([40, 150, 60], len(rates))
    drawn = [smallest_ratio(rng.binomial(n, rates), n) for _ in range(1500)]
    true = min(rates) / max(rates)
    assert np.mean([interval.low <= true + 1e-9 for interval in drawn]) >= 0.965
    assert np.mean([true <= interval.high + 1e-9 for interval in drawn]) >= 0.965
