"""The smallest gap that would have been found, against the textbook formula and against the test itself."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from rft.stats import resampling
from rft.stats.max_t import largest_gap
from rft.stats.power import detectable_gap
from rft.stats.rate_difference import TwoRates


@pytest.mark.parametrize(("n", "rate"), [(1000, 0.5), (3000, 0.2), (20_000, 0.9)])
def test_two_large_groups_follow_the_textbook_formula(n: int, rate: float) -> None:
    """delta = (z_alpha/2 + z_beta) sqrt(p q / n + p' q' / n), at p and p' = rate plus and minus delta / 2."""
    gap = detectable_gap([n, n], rate).gap
    assert gap is not None
    error = np.sqrt(sum(p * (1 - p) / n for p in (rate + gap / 2, rate - gap / 2)))
    assert gap == pytest.approx((stats.norm.ppf(0.975) + stats.norm.ppf(0.8)) * error, rel=0.03)


def test_more_groups_fewer_cases_or_more_power_need_a_larger_gap() -> None:
    def gap(n: list[int], **options: float) -> float:
        found = detectable_gap(n, 0.4, **options).gap
        assert found is not None
        return found

    assert gap([100] * 2) < gap([100] * 5) < gap([100] * 20)
    assert gap([400] * 4) < gap([100] * 4) < gap([30] * 4)
    assert gap([100] * 4, power=0.5) < gap([100] * 4) < gap([100] * 4, power=0.95)
    assert gap([100] * 4) < gap([100] * 4, level=0.99)
    assert gap([100, 100]) == pytest.approx(gap([300, 300], design_effects=3))


def test_no_gap_at_all_can_be_found_in_tiny_groups() -> None:
    assert detectable_gap([2, 2], 0.5, level=0.999).gap is None


def test_nonsense_is_refused() -> None:
    with pytest.raises(ValueError, match="two groups or more"):
        detectable_gap([10], 0.5)
    with pytest.raises(ValueError, match="a level and a power"):
        detectable_gap([10, 10], 0.5, power=1)


def found_share(n: np.ndarray, rate: float, *, runs: int) -> float:
    """How often the test finds the gap that it is said to find in 80 %, between the two smallest groups."""
    gap = detectable_gap(n, rate).gap
    assert gap is not None
    centre = np.clip(rate, gap / 2, 1 - gap / 2)
    rates = np.full(len(n), centre)
    rates[np.argsort(n, kind="stable")[:2]] = centre + gap / 2, centre - gap / 2
    rng, found = np.random.default_rng(0), 0
    for _ in range(runs):
        hits = rng.binomial(n, rates)
        if len(n) == 2:
            found += TwoRates(hits[0], n[0], hits[1], n[1]).interval().low > 0
        else:
            found += largest_gap(resampling.rates(hits, n, rng, draws=399)).p_value <= 0.05
    return found / runs


@pytest.mark.parametrize(
    ("n", "rate"), [([30, 30], 0.5), ([100, 100], 0.1), ([30, 60, 100, 200, 400], 0.3), ([400] * 10, 0.7)]
)
def test_the_gap_is_found_in_about_80_percent(n: list[int], rate: float) -> None:
    assert 0.72 <= found_share(np.array(n), rate, runs=500) <= 0.89


@pytest.mark.slow
@pytest.mark.parametrize("rate", [0.1, 0.3, 0.5])
@pytest.mark.parametrize(
    "n", [[30, 30], [30, 400], [200, 200], [30] * 5, [30, 60, 100, 200, 400], [100] * 10, [50] * 25]
)
def test_the_gap_is_found_in_about_80_percent_of_many_runs(n: list[int], rate: float) -> None:
    assert 0.73 <= found_share(np.array(n), rate, runs=1500) <= 0.88
