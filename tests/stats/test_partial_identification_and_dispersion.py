"""Dispersion across groups and the bounds by missing groups, against simulation and brute force."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from rft.stats.gaps.partial_identification import gap_bounds
from rft.stats.scores.dispersion import Dispersion, measure_dispersion, rate_variances


@pytest.mark.parametrize("groups", [3, 8, 25])
@pytest.mark.parametrize("spread", [0.0, 0.1])
def test_the_corrected_dispersion_is_unbiased(groups: int, spread: float) -> None:
    rng = np.random.default_rng(groups)
    p, n = np.linspace(0.5 - spread, 0.5 + spread, groups), np.resize([20, 60, 200], groups)
    hits = rng.binomial(n, p, size=(4000, groups))
    samples = [measure_dispersion(row / n, rate_variances(row, n)) for row in hits]
    corrected = np.array([sample.corrected for sample in samples])
    assert corrected.mean() == pytest.approx(p.var(ddof=1), abs=4 * corrected.std() / np.sqrt(4000))
    assert np.mean([sample.observed for sample in samples]) > p.var(ddof=1) + 0.001  # what the correction takes off


def test_the_share_of_noise_may_exceed_one() -> None:
    dispersion = measure_dispersion([0.50, 0.51], [0.01, 0.03])
    assert dispersion == Dispersion(observed=pytest.approx(0.00005), noise=0.02)
    assert dispersion.noise_share == pytest.approx(400)
    assert dispersion.corrected == pytest.approx(-0.01995)
    assert dispersion.deviation == 0
    assert measure_dispersion([0.2, 0.2], [0.01, 0.01]).noise_share is None


def test_a_dispersion_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="two groups or more"):
        measure_dispersion([0.2], [0.1])
    with pytest.raises(ValueError, match="finite values"):
        measure_dispersion([0.2, np.nan], [0.1, 0.1])
    with pytest.raises(ValueError, match="denominators > 1"):
        rate_variances([1, 1], [1, 3])


def ways_to_share(total: int, groups: int) -> list[tuple[int, ...]]:
    """All ways to give ``total`` rows to the groups."""
    return [counts for counts in itertools.product(range(total + 1), repeat=groups) if sum(counts) == total]


def all_gaps(hits: np.ndarray, n: np.ndarray, missing_hits: int, missing_n: int) -> list[float]:
    gaps = []
    for a, b in itertools.product(ways_to_share(missing_hits, len(n)), ways_to_share(missing_n - missing_hits, len(n))):
        rates = (hits + a) / (n + a + np.array(b))
        gaps.append(float(rates.max() - rates.min()))
    return gaps


CASES = np.random.default_rng(0)
N = [CASES.integers(1, 12, groups) for groups in (2, 2, 2, 2, 3, 3, 3, 4)]
EXAMPLES = [(CASES.integers(0, n + 1), n, int(CASES.integers(0, 4)), int(CASES.integers(0, 4))) for n in N]


@pytest.mark.parametrize(("hits", "n", "missing_hits", "missing_failures"), EXAMPLES)
def test_the_bounds_hold_for_every_assignment(
    hits: np.ndarray, n: np.ndarray, missing_hits: int, missing_failures: int
) -> None:
    bounds = gap_bounds(hits, n, missing_hits, missing_hits + missing_failures)
    gaps = all_gaps(hits, n, missing_hits, missing_hits + missing_failures)
    assert bounds.high == pytest.approx(max(gaps))
    assert bounds.low <= min(gaps) + 1e-9


@pytest.mark.parametrize("seed", range(6))
def test_the_lower_bound_is_reached_by_fractions_of_rows(seed: int) -> None:
    """With every row cut into 40 the best whole assignment comes as near as 40 pieces allow."""
    rng, pieces = np.random.default_rng(seed), 40
    n = rng.integers(2, 9, 2)
    hits, missing_hits, missing_failures = rng.integers(0, n + 1), int(rng.integers(1, 3)), int(rng.integers(1, 3))
    bounds = gap_bounds(hits, n, missing_hits, missing_hits + missing_failures)
    cut = all_gaps(pieces * hits, pieces * n, pieces * missing_hits, pieces * (missing_hits + missing_failures))
    assert bounds.low <= min(cut) + 1e-9
    assert bounds.low == pytest.approx(min(cut), abs=0.02)


def test_without_missing_rows_both_bounds_are_the_gap() -> None:
    bounds = gap_bounds([30, 10, 12], [40, 50, 20], 0, 0)
    assert (bounds.low, bounds.high) == pytest.approx((0.55, 0.55))


def test_enough_missing_rows_can_hide_or_make_any_gap() -> None:
    bounds = gap_bounds([8, 5], [10, 10], 1000, 2000)
    assert bounds.low == 0
    assert bounds.high > 0.98


def test_bounds_of_nonsense_are_refused() -> None:
    with pytest.raises(ValueError, match="two groups or more"):
        gap_bounds([1], [2], 0, 0)
    with pytest.raises(ValueError, match="missing_numerator <= missing_denominator"):
        gap_bounds([1, 1], [2, 2], 3, 2)
