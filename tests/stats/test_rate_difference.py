"""The gap of two groups and the effective number of cases: exact error rates by enumeration, and coverage."""

from __future__ import annotations

import itertools
from functools import cache

import numpy as np
import pytest
from scipy import stats

from rft.stats.design_effect import sample_of_rate
from rft.stats.gaps.rate_difference import TwoRates, widest_pair
from rft.stats.intervals import clopper_pearson_interval, wilson_interval
from rft.stats.resampling import RatioTotals

RATES = np.concatenate([[0.001, 0.003, 0.01], np.arange(0.02, 1.0, 0.02), [0.99, 0.997, 0.999]])
LEVELS = (0.95, 1 - 0.05 / 3, 1 - 0.05 / 10)
ISSUED = [(30, 500, 0.05), (60, 500, 0.03), (10, 300, 0.10)]
MORE = [(12, 60, 0.3), (30, 30, 0.25), (25, 100, 0.2), (40, 60, 0.12), (60, 120, 0.14), (20, 40, 0.45)]
SLOW = [
    (10, 10, 0.6),
    (20, 20, 0.7),
    (30, 30, 0.92),
    (30, 500, 0.18),
    (60, 500, 0.24),
    (100, 300, 0.12),
    (60, 60, 0.95),
]


@cache
def ends_by_outcome(n: int, other_n: int, level: float) -> tuple[np.ndarray, np.ndarray]:
    """Lower and upper ends of the gap for every outcome, (n + 1, other_n + 1) each."""
    pairs = itertools.product(range(n + 1), range(other_n + 1))
    gaps = [TwoRates(a, n, b, other_n).gap_interval(level) for a, b in pairs]
    ends = np.array([(gap.low, gap.high) for gap in gaps]).reshape(n + 1, other_n + 1, 2)
    return ends[..., 0], ends[..., 1]


def largest_probability(event: np.ndarray, gap: float) -> float:
    """Highest probability of an event over all base rates at which the two true rates are so far apart."""
    n, other_n = (size - 1 for size in event.shape)
    base = np.append(RATES[RATES + gap <= 1], [0.0, 1 - gap])
    below, above = (
        [stats.binom.pmf(np.arange(cases + 1), cases, rates[:, None]) for cases in (n, other_n)]
        for rates in (base, base + gap)
    )
    both = [(above[0], below[1]), (below[0], above[1])]
    return max(float(np.einsum("in,nm,im->i", first, event, second, optimize=True).max()) for first, second in both)


def check_gap_at_its_bound(n: int, other_n: int, gap: float, level: float) -> None:
    """A rule's bound just below the true gap is kept, and one just above it broken, in at most half of what is left."""
    low, high = ends_by_outcome(n, other_n, level)
    assert (low >= 0).all()
    for event in (high < gap - 1e-9, low > gap + 1e-9):
        assert largest_probability(event, gap) <= 1.02 * (1 - level) / 2


@pytest.mark.parametrize(("n", "other_n", "gap"), [*ISSUED, *MORE])
def test_no_rule_passes_or_fails_across_the_true_gap(n: int, other_n: int, gap: float) -> None:
    """Exact, at 95 %: with the upper end of the signed difference it passed in 15 to 35 % of samples."""
    low, high = ends_by_outcome(n, other_n, 0.95)
    assert (low >= 0).all()
    assert largest_probability(high < gap - 1e-9, gap) <= 0.025
    assert largest_probability(low > gap + 1e-9, gap) <= 0.025


@pytest.mark.slow
@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize(("n", "other_n", "gap"), [*ISSUED, *MORE, *SLOW])
def test_no_rule_passes_or_fails_across_the_true_gap_at_strict_levels(
    n: int, other_n: int, gap: float, level: float
) -> None:
    check_gap_at_its_bound(n, other_n, gap, level)


@pytest.mark.parametrize(("n", "other_n"), [(20, 20), (25, 25), (20, 120)])
def test_equal_groups_are_told_apart_in_at_most_5_percent(n: int, other_n: int) -> None:
    """Exact. Newcombe's interval alone does so in 6.6 % at 25 and 25 cases."""
    low, _ = ends_by_outcome(n, other_n, 0.95)
    assert largest_probability(low > 0, 0.0) <= 0.05


def test_the_gap_of_the_rows_that_passed_across_their_bound() -> None:
    """30 of 30 against 990 of 1,000: the difference of 0.01 may be one of 0.109 the other way round."""
    two = TwoRates(30, 30, 990, 1000)
    assert (two.confidence_interval().low, two.gap_interval().low) == (pytest.approx(-0.1087, abs=5e-5), 0)
    assert two.gap_interval().high == pytest.approx(0.1087, abs=5e-5)
    assert two.gap_interval() == TwoRates(990, 1000, 30, 30).gap_interval()


@pytest.mark.parametrize(
    "counts", [(56, 70, 48, 80), (3, 20, 9, 21), (0, 20, 6, 20), (16, 20, 40, 40.5), (9, 20, 6, 20)]
)
def test_the_p_value_is_where_the_interval_begins_to_reach_zero(counts: tuple[float, float, float, float]) -> None:
    two = TwoRates(*counts)
    p = two.p_value
    for level, is_significant in ((1 - p * 1.01, True), (1 - p * 0.99, False)):
        interval = two.confidence_interval(level)
        assert (interval.low > 0 or interval.high < 0) is is_significant
    first, n, second, other_n = counts
    assert TwoRates(second, other_n, first, n).p_value == pytest.approx(p)


def test_equal_rates_have_a_p_value_of_one() -> None:
    assert TwoRates(5, 20, 5, 20).p_value == 1
    assert TwoRates(0, 20, 0, 20).p_value == 1


def test_a_gap_that_no_chance_explains() -> None:
    two = TwoRates(0, 5000, 5000, 5000)
    assert two.value == -1
    assert two.p_value <= 1e-12
    assert two.confidence_interval().high < -0.99


def of_people(hits: np.ndarray, cases: np.ndarray) -> RatioTotals:
    return RatioTotals(hits[:, None].astype(float), cases[:, None].astype(float), np.ones(len(hits)))


def test_rows_that_stand_for_themselves_count_as_one() -> None:
    rate_sample = sample_of_rate(RatioTotals(np.array([[1.0], [0.0]]), np.ones((2, 1)), np.array([12.0, 40.0])))
    assert (rate_sample.effective_n, rate_sample.rows, rate_sample.units) == (52, 52, 52)


def test_under_30_units_n_is_the_number_of_units() -> None:
    rate_sample = sample_of_rate(of_people(np.arange(29) % 5, np.full(29, 4)))
    assert (rate_sample.effective_n, rate_sample.rows, rate_sample.units) == (29, 116, 29)
    uneven = sample_of_rate(of_people(np.array([1, 2, 0, 0] * 5), np.array([1, 2, 1, 2] * 5)))
    assert uneven.effective_n == pytest.approx(30**2 / 50)  # Kish's number of 10 people with one row and 10 with two


def test_people_who_always_agree_count_once_and_independent_rows_nearly_all() -> None:
    rng = np.random.default_rng(0)
    cases = np.full(400, 5)
    agreeing = sample_of_rate(of_people(cases * (rng.random(400) < 0.4), cases))
    assert agreeing.effective_n == pytest.approx(400, rel=0.01)
    independent = sample_of_rate(of_people(rng.binomial(5, 0.4, 400), cases))
    assert 1700 < independent.effective_n <= 2000


@pytest.mark.parametrize("hits", [0, 4])
def test_without_any_variance_n_stays_finite_and_near_the_units(hits: int) -> None:
    """All rows alike say nothing of how people agree; the one success and one failure added keep n near the units."""
    rate_sample = sample_of_rate(of_people(np.full(40, hits), np.full(40, 4)))
    assert 36 <= rate_sample.effective_n <= 45


def hits_of(rng: np.random.Generator, sizes: np.ndarray, p: float, correlation: float) -> np.ndarray:
    """Hits of people whose rows agree with the intra-class correlation (beta-binomial)."""
    if correlation == 0:
        return rng.binomial(sizes, p)
    spread = (1 - correlation) / correlation
    return rng.binomial(sizes, rng.beta(p * spread, (1 - p) * spread, sizes.shape))


def wilson_coverage(units: int, p: float, correlation: float, *, runs: int, spread: float | None = None) -> float:
    rng, covered = np.random.default_rng(units), 0
    for _ in range(runs):
        sizes = rng.integers(2, 9, units)
        if spread is not None:
            sizes = np.maximum(np.round(3 * np.exp(spread * rng.standard_normal(units))), 1).astype(int)
        sums = of_people(hits_of(rng, sizes, p, correlation), sizes)
        n = sample_of_rate(sums).effective_n
        interval = wilson_interval(sums.value * n, n)
        covered += interval.low <= p <= interval.high
    return covered / runs


@pytest.mark.parametrize(
    ("units", "p", "correlation"), [(12, 0.3, 0.8), (30, 0.1, 0.3), (30, 0.5, 0.8), (60, 0.02, 0.8)]
)
def test_wilson_covers_the_rate_of_people(units: int, p: float, correlation: float) -> None:
    assert wilson_coverage(units, p, correlation, runs=1000) >= 0.93


@pytest.mark.slow
@pytest.mark.parametrize("correlation", [0.3, 0.8])
@pytest.mark.parametrize("p", [0.02, 0.1, 0.3, 0.5, 0.9])
@pytest.mark.parametrize("units", [12, 30, 60])
def test_wilson_covers_the_rate_of_people_in_many_runs(units: int, p: float, correlation: float) -> None:
    assert wilson_coverage(units, p, correlation, runs=4000) >= 0.93


@pytest.mark.slow
@pytest.mark.parametrize("spread", [0.6, 1.0, 1.5])
@pytest.mark.parametrize("units", [12, 60, 200])
def test_wilson_covers_people_with_very_unequal_numbers_of_rows(units: int, spread: float) -> None:
    assert wilson_coverage(units, 0.3, 0.8, runs=4000, spread=spread) >= 0.93


def pareto_coverage(units: int, exponent: float, p: float, correlation: float, *, runs: int) -> tuple[float, float]:
    """Coverage of Wilson's and of the exact interval where few people have most of the rows."""
    rng, covered = np.random.default_rng(units), np.zeros(2)
    for _ in range(runs):
        sizes = np.minimum(np.ceil(rng.pareto(exponent, units) + 1), 2000).astype(int)
        agreeing = sizes * (rng.random(units) < p)
        sums = of_people(agreeing if correlation == 1 else hits_of(rng, sizes, p, correlation), sizes)
        n = sample_of_rate(sums).effective_n
        intervals = wilson_interval(sums.value * n, n), clopper_pearson_interval(sums.value * n, n)
        covered += [interval.low <= p <= interval.high for interval in intervals]
    return float(covered[0] / runs), float(covered[1] / runs)


@pytest.mark.parametrize(("units", "correlation"), [(300, 1), (60, 0.8)])
def test_high_rates_of_people_with_very_unequal_numbers_of_rows_are_covered(units: int, correlation: float) -> None:
    """On the design effect alone Wilson's interval covered 84 % of the first."""
    assert min(pareto_coverage(units, 1.2, 0.95, correlation, runs=500)) >= 0.91


@pytest.mark.slow
@pytest.mark.parametrize("correlation", [0.1, 0.5, 1])
@pytest.mark.parametrize("p", [0.05, 0.5, 0.95, 0.98])
@pytest.mark.parametrize("exponent", [1.05, 1.2, 2])
@pytest.mark.parametrize("units", [30, 100, 300, 600])
def test_rates_of_people_with_pareto_sizes_are_covered_in_many_runs(
    units: int, exponent: float, p: float, correlation: float
) -> None:
    by_wilson, exact = pareto_coverage(units, exponent, p, correlation, runs=2000)
    assert by_wilson >= 0.92
    assert exact >= 0.94


@pytest.mark.parametrize("correlation", [0.0, 0.3])
def test_rows_that_agree_in_part_are_worth_more_than_their_people(correlation: float) -> None:
    """The cure for unequal sizes does not fall back to Kish's number where sizes are equal."""
    rng = np.random.default_rng(0)
    cases = np.full(100, 4)
    sizes = [sample_of_rate(of_people(hits_of(rng, cases, 0.8, correlation), cases)).effective_n for _ in range(200)]
    ideal = 400 / (1 + 3 * correlation)
    assert 0.75 * ideal < np.mean(sizes) <= ideal


@pytest.mark.parametrize("rates", [(0.938, 1, 1), (0.9, 1, 1), (0.85, 0.95, 0.95), (0.5, 0.6, 0.6), (0.97, 1, 1, 1)])
@pytest.mark.parametrize("n", [30, 60])
def test_the_upper_end_of_the_largest_gap_errs_in_at_most_one_tail(rates: tuple[float, ...], n: int) -> None:
    """By enumeration: the first group is apart from the others, which are alike, the highest of which decides."""
    true_gap, others = rates[1] - rates[0], len(rates) - 1
    counts = np.arange(n + 1)
    of_highest = np.diff(stats.binom.cdf(counts, n, rates[1]) ** others, prepend=0.0)
    missed = 0.0
    for low, weight in zip(counts, stats.binom.pmf(counts, n, rates[0]), strict=True):
        ends = np.array(
            [widest_pair([low, high], [n, n]) if p > 1e-12 else 1.0 for high, p in zip(counts, of_highest, strict=True)]
        )
        missed += weight * float(of_highest @ (ends < true_gap))
    assert missed <= 0.025


def test_another_group_never_lowers_the_upper_end() -> None:
    assert widest_pair([30, 30], [30, 30]) == pytest.approx(TwoRates(30, 30, 30, 30).gap_interval().high)
    assert widest_pair([30, 30, 1000], [30, 30, 1000]) >= widest_pair([30, 30], [30, 30])
    assert widest_pair([30, 12, 28], [30, 30, 30]) == pytest.approx(TwoRates(30, 30, 12, 30).gap_interval().high)
