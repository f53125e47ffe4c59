"""The difference of two groups and the effective number of cases: exact error rates by enumeration, and coverage."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy import stats

from rft.stats.design_effect import sample_of_rate
from rft.stats.intervals import clopper_pearson, wilson
from rft.stats.rate_difference import TwoRates
from rft.stats.resampling import Sums

NULLS = np.linspace(0.02, 0.5, 25)  # by symmetry also those above


def outcomes(n: int, other_n: int) -> np.ndarray:
    """Interval ends of every outcome: (n + 1, other_n + 1, 2)."""
    pairs = itertools.product(range(n + 1), range(other_n + 1))
    intervals = [TwoRates(a, n, b, other_n).interval() for a, b in pairs]
    return np.array([(one.low, one.high) for one in intervals]).reshape(n + 1, other_n + 1, 2)


def probability(kept: np.ndarray, p: float, q: float) -> float:
    n, other_n = (size - 1 for size in kept.shape)
    return float(stats.binom.pmf(np.arange(n + 1), n, p) @ kept @ stats.binom.pmf(np.arange(other_n + 1), other_n, q))


SIZES = [(20, 20), (21, 22), (25, 25), (33, 33), (20, 120)]
MORE_SIZES = [
    (n, m) for n in (20, 22, 24, 27, 30, 32, 41, 50, 60) for m in (20, 21, 24, 32, 41, 60, 100, 300) if n <= m
]


def check_error_rate_and_coverage(n: int, other_n: int) -> None:
    ends = outcomes(n, other_n)
    found = (ends[..., 0] > 0) | (ends[..., 1] < 0)
    assert max(probability(found, p, p) for p in NULLS) <= 0.06
    for p, q in itertools.product((0.02, 0.1, 0.3, 0.5), (0.02, 0.2, 0.4, 0.6, 0.8, 0.98)):
        covered = (ends[..., 0] <= p - q + 1e-12) & (p - q <= ends[..., 1] + 1e-12)
        assert probability(covered, p, q) >= 0.935, (p, q)


@pytest.mark.parametrize(("n", "other_n"), SIZES)
def test_two_groups_are_told_apart_by_chance_in_at_most_6_percent(n: int, other_n: int) -> None:
    """Exact. Newcombe's interval alone does so in 6.6 % at 25 and 25 cases, and covers 88 % of .02 minus .98 at 20."""
    check_error_rate_and_coverage(n, other_n)


@pytest.mark.slow
@pytest.mark.parametrize(("n", "other_n"), MORE_SIZES)
def test_two_groups_of_many_sizes_are_told_apart_by_chance_in_at_most_6_percent(n: int, other_n: int) -> None:
    check_error_rate_and_coverage(n, other_n)


@pytest.mark.parametrize(
    "counts", [(56, 70, 48, 80), (3, 20, 9, 21), (0, 20, 6, 20), (19, 20, 40, 40.5), (7, 20, 6, 20)]
)
def test_the_p_value_is_where_the_interval_begins_to_reach_zero(counts: tuple[float, float, float, float]) -> None:
    two = TwoRates(*counts)
    p = two.p_value
    for level, found in ((1 - p * 1.01, True), (1 - p * 0.99, False)):
        interval = two.interval(level)
        assert (interval.low > 0 or interval.high < 0) is found
    first, n, other, other_n = counts
    assert TwoRates(other, other_n, first, n).p_value == pytest.approx(p)


def test_equal_rates_have_a_p_value_of_one() -> None:
    assert TwoRates(5, 20, 5, 20).p_value == 1
    assert TwoRates(0, 20, 0, 20).p_value == 1


def test_a_gap_that_no_chance_explains() -> None:
    two = TwoRates(0, 5000, 5000, 5000)
    assert two.value == -1
    assert two.p_value <= 1e-12
    assert two.interval().high < -0.99


def of_people(hits: np.ndarray, cases: np.ndarray) -> Sums:
    return Sums(hits[:, None].astype(float), cases[:, None].astype(float), np.ones(len(hits)))


def test_rows_that_stand_for_themselves_count_as_one() -> None:
    found = sample_of_rate(Sums(np.array([[1.0], [0.0]]), np.ones((2, 1)), np.array([12.0, 40.0])))
    assert (found.effective_n, found.rows, found.units) == (52, 52, 52)


def test_under_30_units_n_is_the_number_of_units() -> None:
    found = sample_of_rate(of_people(np.arange(29) % 5, np.full(29, 4)))
    assert (found.effective_n, found.rows, found.units) == (29, 116, 29)
    uneven = sample_of_rate(of_people(np.ones(11), np.array([1] * 10 + [10])))
    assert uneven.effective_n == pytest.approx(400 / 110)  # one person has half of the rows


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
    found = sample_of_rate(of_people(np.full(40, hits), np.full(40, 4)))
    assert 36 <= found.effective_n <= 45


def people(rng: np.random.Generator, sizes: np.ndarray, p: float, correlation: float) -> np.ndarray:
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
        sums = of_people(people(rng, sizes, p, correlation), sizes)
        n = sample_of_rate(sums).effective_n
        interval = wilson(sums.value * n, n)
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
        sums = of_people(agreeing if correlation == 1 else people(rng, sizes, p, correlation), sizes)
        n = sample_of_rate(sums).effective_n
        intervals = wilson(sums.value * n, n), clopper_pearson(sums.value * n, n)
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
    found = [sample_of_rate(of_people(people(rng, cases, 0.8, correlation), cases)).effective_n for _ in range(200)]
    ideal = 400 / (1 + 3 * correlation)
    assert 0.75 * ideal < np.mean(found) <= ideal
