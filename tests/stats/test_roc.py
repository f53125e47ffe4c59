"""Rates against naive counting, and the coverage of their intervals by simulation."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from rft.stats import intervals
from rft.stats.scores import roc

SHAPES = {
    "no leakage": (stats.norm(0, 1), stats.norm(0, 1)),
    "a little": (stats.norm(0.5, 1), stats.norm(0, 1)),
    "much": (stats.norm(2, 1), stats.norm(0, 1)),
    "heavy tails": (stats.t(3, loc=1), stats.t(3)),
    "a few exposed": (stats.norm(0.2, 2), stats.norm(0, 1)),
}


def miss_rates(
    shape: str, n: int, n_non_members: int, fpr: float, trials: int, seed: int = 0
) -> tuple[float, float, float]:
    """Return how often the true rate lies below the interval, above it, and outside a Wilson interval."""
    members, others = SHAPES[shape]
    truth = members.sf(others.isf(fpr))
    rng, outcomes = np.random.default_rng(seed), []
    for _ in range(trials):
        rate = roc.tpr_at_fpr(fpr, members.rvs(n, random_state=rng), others.rvs(n_non_members, random_state=rng))
        assert rate is not None
        naive = intervals.wilson_interval(rate.value * n, n)
        outcomes.append(
            (
                truth < rate.interval.low - 1e-12,
                truth > rate.interval.high + 1e-12,
                not naive.low - 1e-12 <= truth <= naive.high + 1e-12,
            )
        )
    below, above, naive_misses = np.mean(outcomes, axis=0)
    return below, above, naive_misses


@pytest.mark.parametrize("shape", SHAPES)
def test_intervals_cover_the_true_rate_though_the_threshold_is_estimated(shape: str) -> None:
    below, above, naive = miss_rates(shape, 1000, 1000, 0.01, 800)
    assert below <= 0.04
    assert above <= 0.04
    assert naive >= 0.12  # what happens to whoever takes the threshold for known


@pytest.mark.slow
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(
    ("n", "n_non_members", "fpr"),
    [(300, 1000, 0.01), (5000, 5000, 0.01), (10_000, 10_000, 0.001), (30_000, 10_000, 0.001), (50, 3000, 0.01)],
)
def test_intervals_cover_at_other_sizes(shape: str, n: int, n_non_members: int, fpr: float) -> None:
    below, above, _ = miss_rates(shape, n, n_non_members, fpr, 1000)
    assert below + above <= 0.07


def test_a_rate_is_the_share_above_the_threshold_that_so_many_others_exceed() -> None:
    others = np.arange(1000.0)
    members = np.array([988.5, 989.0, 989.5, 990.0, 5000.0])
    rate = roc.tpr_at_fpr(0.01, members, others)  # ten of the others exceed 989
    assert rate is not None
    assert rate.value == pytest.approx(3 / 5)
    assert "order statistics" in rate.interval.method


def test_intervals_narrow_with_the_level() -> None:
    rng = np.random.default_rng(0)
    members, others = rng.normal(1, 1, 500), rng.normal(0, 1, 1000)
    widths = []
    for level in (0.5, 0.95, 0.99):
        rate = roc.tpr_at_fpr(0.05, members, others, level=level)
        assert rate is not None
        widths.append(rate.interval.high - rate.interval.low)
    assert widths == sorted(widths)


@pytest.mark.parametrize(("fpr", "enough"), [(0.01, 1000), (0.001, 10_000), (0.1, 100)])
def test_ten_non_members_beyond_the_threshold_are_needed(fpr: float, enough: int) -> None:
    rng = np.random.default_rng(1)
    assert roc.tpr_at_fpr(fpr, rng.random(20), rng.random(enough - 1)) is None
    assert roc.tpr_at_fpr(fpr, rng.random(20), rng.random(enough)) is not None
    assert roc.finest_fpr(enough) == pytest.approx(fpr)
    assert roc.tpr_at_fpr(fpr, np.empty(0), rng.random(enough)) is None


def test_all_or_none_found_still_has_an_interval() -> None:
    others = np.linspace(0, 1, 1000)
    for members, value in ((np.full(30, 2.0), 1.0), (np.full(30, -1.0), 0.0)):
        rate = roc.tpr_at_fpr(0.01, members, others)
        assert rate is not None
        assert rate.value == value
        assert rate.interval.high - rate.interval.low > 0.05


def test_scores_that_are_all_alike_find_nobody() -> None:
    rate = roc.tpr_at_fpr(0.01, np.zeros(50), np.zeros(1000))
    assert rate is not None
    assert rate.value == 0.0


def test_curve_begins_at_the_finest_measured_rate_and_ends_in_the_corner() -> None:
    rng = np.random.default_rng(7)
    members, others = rng.normal(1, 1, 3000).round(2), rng.normal(0, 1, 4000).round(2)
    fpr, tpr = np.array(roc.roc_curve(members, others, points=100)).T
    assert len(fpr) <= 100
    assert fpr[0] == roc.finest_fpr(4000)
    assert (fpr[-1], tpr[-1]) == (1, 1)
    assert (np.diff(fpr) > 0).all()
    assert (np.diff(tpr) >= 0).all()
    thresholds = np.unique(np.concatenate([members, others]))
    best = [max(np.mean(members > t) for t in thresholds if np.mean(others > t) <= rate + 1e-12) for rate in fpr[:20]]
    assert tpr[:20] == pytest.approx(best)


def test_no_curve_of_a_handful() -> None:
    assert roc.roc_curve(np.zeros(50), np.zeros(9), points=100) == []
    assert roc.roc_curve(np.empty(0), np.zeros(50), points=100) == []
