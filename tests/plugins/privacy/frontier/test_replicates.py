"""Intervals over heads and test units: coverage by simulation, and the traps of leaving one of the two out."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import norm

from rft.plugins.privacy.frontier.replicates import difference_of_differences, rate_difference, rate_over_heads
from rft.stats import intervals

TRIALS = 300
ERROR = 3 * math.sqrt(0.95 * 0.05 / TRIALS)  # of a coverage of 95 % in so many trials


def draw_hits(rng: np.random.Generator, heads: int, units: np.ndarray, mean: np.ndarray, training: float) -> np.ndarray:
    """(R, n) hits of heads that differ by ``training``, on units and examples that differ in how hard they are."""
    n_units = units.max() + 1
    hard = rng.normal(size=n_units)[units] + 0.5 * rng.normal(size=len(units))
    noise = training * (rng.normal(size=(heads, 1)) + rng.normal(size=(heads, len(units))))
    return mean + hard + noise > 0


def expected_rate(mean: float, training: float) -> float:
    return float(norm.cdf(mean / math.sqrt(1.25 + 2 * training**2)))


@pytest.mark.parametrize("heads", [2, 3, 5])
@pytest.mark.parametrize(("people", "photos"), [(15, 1), (60, 2), (400, 1)])
@pytest.mark.parametrize(("mean", "training"), [(1.5, 0.0), (1.5, 0.4), (0.3, 1.0)])
def test_shares_are_covered(heads: int, people: int, photos: int, mean: float, training: float) -> None:
    rng, units = np.random.default_rng(0), np.repeat(np.arange(people), photos)
    truth, covered = expected_rate(mean, training), 0
    for _ in range(TRIALS):
        interval = rate_over_heads(draw_hits(rng, heads, units, np.array(mean), training), units).interval
        covered += interval.low <= truth <= interval.high
    assert covered / TRIALS > 0.95 - ERROR


@pytest.mark.parametrize("training", [0.05, 0.5])
def test_costs_and_their_differences_are_covered(training: float) -> None:
    rng, units = np.random.default_rng(0), np.repeat(np.arange(75), 2)
    in_one, covered = units % 3 == 0, np.zeros(2)
    lost = np.where(in_one, 0.6, 0.2)
    truths = [expected_rate(1.2, 0.0) - expected_rate(1.2 - cost, training) for cost in (0.6, 0.2)]
    for _ in range(TRIALS):
        hard = rng.normal(size=75)[units] + 0.5 * rng.normal(size=150)
        without = np.repeat((1.2 + hard > 0)[None], 3, axis=0)
        noise = training * (rng.normal(size=(3, 1)) + rng.normal(size=(3, 150)))
        private = 1.2 - lost + hard + noise > 0
        first = rate_difference(without, private, units).interval
        second = difference_of_differences(without, private, in_one, units).interval
        covered[0] += first.low <= truths[0] / 3 + 2 * truths[1] / 3 <= first.high
        covered[1] += second.low <= truths[0] - truths[1] <= second.high
    assert (covered / TRIALS > 0.95 - ERROR).all()


def test_what_would_be_wrong_without_the_variance_of_heads() -> None:
    """The trap: with many test examples the interval of the mean head alone all but misses what training varies."""
    rng, units, missed = np.random.default_rng(0), np.arange(2000), 0
    truth = expected_rate(0.3, 1.0)
    for _ in range(100):
        hits = draw_hits(rng, 3, units, np.array(0.3), 1.0)
        plain = intervals.wilson_interval(hits.mean() * 2000, 2000)
        missed += not plain.low <= truth <= plain.high
    assert missed > 70


def test_one_head_that_nobody_repeats_has_the_interval_of_its_units() -> None:
    units = np.repeat(np.arange(40), 3)
    hits = np.random.default_rng(0).random(120) < 0.8
    same = rate_over_heads(np.repeat(hits[None], 3, axis=0), units)
    assert same.value == pytest.approx(hits.mean())
    linearised = intervals.mean_interval(hits.astype(float), units)
    assert same.interval.high - same.interval.low == pytest.approx(linearised.high - linearised.low, rel=0.1)


def test_heads_without_an_error_still_have_an_interval() -> None:
    perfect, units = np.ones((3, 24), dtype=bool), np.repeat(np.arange(12), 2)
    interval = rate_over_heads(perfect, units).interval
    assert (interval.low, interval.high) == (pytest.approx(intervals.wilson_interval(12, 12).low), 1.0)
    nothing = rate_difference(perfect, perfect, units)
    assert nothing.value == 0
    assert nothing.interval.low < -0.1 < 0.1 < nothing.interval.high


def test_one_head_or_one_unit_shows_no_variance() -> None:
    hits = np.random.default_rng(0).random((3, 30)) < 0.5
    assert rate_over_heads(hits[:1], np.arange(30)).interval is None
    assert rate_over_heads(hits, np.zeros(30)).interval is None
    assert rate_difference(hits[:1], hits[1:2], np.arange(30)).interval is None


def test_the_order_of_examples_does_not_matter() -> None:
    rng = np.random.default_rng(0)
    hits, private_hits, units = rng.random((3, 50)) < 0.7, rng.random((3, 50)) < 0.6, rng.integers(0, 20, 50)
    order, in_one = rng.permutation(50), rng.random(50) < 0.4
    first = difference_of_differences(hits, private_hits, in_one, units)
    second = difference_of_differences(hits[:, order], private_hits[:, order], in_one[order], units[order])
    assert first.value == pytest.approx(second.value)
    assert first.interval.low == pytest.approx(second.interval.low)
