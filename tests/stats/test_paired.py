"""Differences of two classifiers on the same rows: against plain loops, published formulas and simulations."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import t as student
from sklearn.metrics import balanced_accuracy_score, roc_auc_score

from rft.stats.paired import paired_auc_difference, paired_mean_difference, paired_share_difference


def test_the_interval_of_accuracies_is_that_of_bonett_and_price() -> None:
    before = np.array([True] * 60 + [False] * 40)
    after = np.array([True] * 57 + [False] * 3 + [True] * 9 + [False] * 31)
    interval = paired_share_difference(before, after, np.zeros(100, dtype=int)).confidence_interval()
    gained, lost = 10 / 102, 4 / 102
    half = student.ppf(0.975, 101) * math.sqrt((gained + lost - (gained - lost) ** 2) / 101)
    assert interval is not None
    assert (interval.low, interval.high) == pytest.approx((gained - lost - half, gained - lost + half))


def test_balanced_accuracy_is_that_of_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    labels = rng.choice(3, 300, p=[0.7, 0.2, 0.1])
    first, second = (np.where(rng.random(300) < share, labels, rng.choice(3, 300)) for share in (0.5, 0.7))
    difference = paired_share_difference(first == labels, second == labels, labels)
    expected = balanced_accuracy_score(labels, second) - balanced_accuracy_score(labels, first)
    assert difference.value == pytest.approx(expected)
    interval = difference.confidence_interval()
    assert interval is not None
    assert interval.low < expected < interval.high


def delong_by_loops(first: np.ndarray, second: np.ndarray, positive: np.ndarray) -> tuple[float, float]:
    """Return the difference of two areas and its variance, by the structural components of DeLong et al. 1988."""
    wins = [
        np.array([[1.0 if x > y else 0.5 if x == y else 0.0 for y in scores[~positive]] for x in scores[positive]])
        for scores in (first, second)
    ]
    shift = wins[1] - wins[0]
    by_positive, by_negative = shift.mean(axis=1), shift.mean(axis=0)
    return shift.mean(), by_positive.var() / len(by_positive) + by_negative.var() / len(by_negative)


def test_the_difference_of_areas_is_that_of_delong() -> None:
    rng = np.random.default_rng(1)
    positive = rng.random(80) < 0.4
    first, second = (np.round(positive + rng.normal(size=80) * spread, 1) for spread in (2.0, 1.0))
    difference = paired_auc_difference(first[:, None], second[:, None], positive[:, None])
    assert difference is not None
    value, variance = delong_by_loops(first, second, positive)
    assert difference.value == pytest.approx(value)
    assert difference.value == pytest.approx(roc_auc_score(positive, second) - roc_auc_score(positive, first))
    interval = difference.confidence_interval()
    assert interval is not None
    half = student.ppf(0.975, 79) * math.sqrt(variance * 80 / 79)
    assert (interval.low, interval.high) == pytest.approx((value - half, value + half))


def test_too_few_of_a_class_give_no_area() -> None:
    scores, positive = np.linspace(0, 1, 40)[:, None], (np.arange(40) < 9)[:, None]
    assert paired_auc_difference(scores, scores, positive) is None


def test_rows_of_one_unit_count_once() -> None:
    rng = np.random.default_rng(2)
    before, after = rng.normal(size=50), rng.normal(size=50)
    single = paired_mean_difference(before, after).confidence_interval()
    repeated = paired_mean_difference(before.repeat(4), after.repeat(4), np.arange(50).repeat(4)).confidence_interval()
    assert single is not None
    assert repeated is not None
    assert (repeated.low, repeated.high) == pytest.approx((single.low, single.high))
    was_right, is_right = rng.random(50) < 0.5, rng.random(50) < 0.7
    strata, units = np.zeros(50, dtype=int), np.arange(50).repeat(4)
    once = paired_share_difference(was_right, is_right, strata).confidence_interval()
    four = paired_share_difference(
        was_right.repeat(4), is_right.repeat(4), strata.repeat(4), units
    ).confidence_interval()
    assert once is not None
    assert four is not None
    assert (four.low, four.high) == pytest.approx((once.low, once.high))


def test_equal_scores_have_no_interval_and_equal_decisions_one_around_zero() -> None:
    values = np.random.default_rng(3).random(60)
    assert paired_mean_difference(values, values).confidence_interval() is None
    interval = paired_share_difference(values > 0.5, values > 0.5, np.zeros(60, dtype=int)).confidence_interval()
    assert interval is not None
    assert interval.low < 0 < interval.high


@pytest.mark.parametrize(("n", "gained", "lost"), [(50, 0.06, 0.02), (200, 0.02, 0.02), (200, 0.08, 0.02)])
def test_intervals_of_accuracies_hold(n: int, gained: float, lost: float) -> None:
    rng = np.random.default_rng(4)
    missed = 0
    for _ in range(600):
        drawn = rng.random(n)
        before = np.where(drawn < gained, False, np.where(drawn < gained + lost, True, rng.random(n) < 0.5))
        after = np.where(drawn < gained, True, np.where(drawn < gained + lost, False, before))
        interval = paired_share_difference(before, after, np.zeros(n, dtype=int)).confidence_interval()
        assert interval is not None
        missed += not interval.low <= gained - lost <= interval.high
    assert missed / 600 < 0.075
