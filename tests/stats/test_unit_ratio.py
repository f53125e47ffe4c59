"""Ratios of totals over units: against the linearised variance, Welch's and paired t tests, loops, and simulations."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from rft.stats.gaps.unit_ratio_gap import TwoUnitRatios, UnitRatioGap
from rft.stats.intervals import mean_interval
from rft.stats.unit_ratio import MIN_UNITS, UnitRatio

LENGTHS = np.array([40.0, 90.0, 15.0, 300.0, 120.0, 60.0, 80.0])
ERRORS = np.array([4.0, 30.0, 20.0, 33.0, 12.0, 0.0, 21.0])


def make_ratio(errors: np.ndarray, lengths: np.ndarray, first_unit: int = 0) -> UnitRatio:
    return UnitRatio(errors.astype(float), lengths.astype(float), first_unit + np.arange(len(errors)))


def test_the_variance_is_that_of_leaving_units_out_one_by_one() -> None:
    ratio = make_ratio(ERRORS, LENGTHS)
    k, total = len(ERRORS), 0.0
    for left_out in range(k):
        kept = [unit for unit in range(k) if unit != left_out]
        without = sum(ERRORS[unit] for unit in kept) / sum(LENGTHS[unit] for unit in kept)
        total += (without - ratio.value) ** 2
    assert ratio.variance == pytest.approx((k - 1) / k * total, rel=1e-12)
    assert ratio.value == ERRORS.sum() / LENGTHS.sum()


@pytest.mark.parametrize("k", [5, 12])
def test_units_of_one_size_give_the_linearised_variance_with_k_minus_1(k: int) -> None:
    rng = np.random.default_rng(k)
    errors = rng.poisson(8, k)
    ratio = make_ratio(errors, np.full(k, 50.0))
    assert ratio.degrees_of_freedom == pytest.approx(k - 1)
    rows = np.concatenate([np.arange(50) < count for count in errors])
    expected = mean_interval(rows, np.repeat(np.arange(k), 50), level=0.9)
    interval = ratio.confidence_interval(0.9)
    assert (interval.low, interval.high) == pytest.approx((max(expected.low, 0), expected.high))


def test_a_rate_may_be_above_1_and_its_interval_is_cut_at_0_alone() -> None:
    above = make_ratio(np.array([90, 130, 160, 99, 140]), np.full(5, 100.0)).confidence_interval()
    assert above.low < 1 < above.high
    below = make_ratio(np.array([0, 0, 0, 0, 30]), np.full(5, 100.0)).confidence_interval()
    assert below.low == 0 < below.high


def test_what_gives_no_interval() -> None:
    assert make_ratio(ERRORS[: MIN_UNITS - 1], LENGTHS[: MIN_UNITS - 1]).confidence_interval() is None
    assert make_ratio(np.full(9, 5.0), np.full(9, 50.0)).confidence_interval() is None  # all alike
    assert make_ratio(np.zeros(9), LENGTHS.repeat(2)[:9]).confidence_interval() is None
    all_in_one = make_ratio(np.array([5, 0, 0, 1, 0]), np.array([100, 0, 0, 0, 0]))
    assert not all_in_one.has_interval
    assert UnitRatio.from_rows(np.array([3, 1]), np.array([0, 0]), np.array([0, 1])) is None


def test_rows_are_summed_by_unit_and_errors_without_a_reference_count() -> None:
    ratio = UnitRatio.from_rows(np.array([1, 2, 4, 0, 3]), np.array([10, 5, 0, 0, 8]), np.array([0, 2, 3, 4, 2]))
    assert ratio.units.tolist() == [0, 2, 3]  # the fourth unit has neither errors nor words
    assert ratio.value == 10 / 23


def test_two_groups_are_those_of_welch_and_pairs_those_of_a_paired_t_test() -> None:
    rng = np.random.default_rng(4)
    first, second = rng.poisson(12, 9), rng.poisson(7, 14)
    two = TwoUnitRatios(make_ratio(first, np.full(9, 60)), make_ratio(second, np.full(14, 60), first_unit=100))
    welch = stats.ttest_ind(first / 60, second / 60, equal_var=False)
    ends = welch.confidence_interval(0.95)
    assert two.p_value == pytest.approx(welch.pvalue)
    shown = two.difference_interval()
    assert (shown.low, shown.high) == pytest.approx((ends.low, ends.high))
    before, after = rng.poisson(12, 10), rng.poisson(9, 10)
    pairs = TwoUnitRatios(make_ratio(before, np.full(10, 60)), make_ratio(after, np.full(10, 60)))
    paired = stats.ttest_rel(before / 60, after / 60)
    assert pairs.p_value == pytest.approx(paired.pvalue)
    assert pairs.difference_interval().low == pytest.approx(paired.confidence_interval(0.95).low)


def test_the_largest_gap_holds_for_all_pairs_and_is_told_from_none_where_it_exceeds_chance() -> None:
    groups = tuple(
        make_ratio(np.random.default_rng(number).poisson(mean, 8), np.full(8, 50), first_unit=100 * number)
        for number, mean in enumerate((6, 9, 11))
    )
    gap = UnitRatioGap(groups)
    level = 1 - 0.05 / 3
    margins = [TwoUnitRatios(groups[i], groups[j]).margin(level) for i, j in ((0, 1), (0, 2), (1, 2))]
    sizes = [abs(groups[i].value - groups[j].value) for i, j in ((0, 1), (0, 2), (1, 2))]
    interval = gap.confidence_interval()
    assert interval.low == pytest.approx(max(0, *(size - margin for size, margin in zip(sizes, margins, strict=True))))
    assert interval.high == pytest.approx(max(size + margin for size, margin in zip(sizes, margins, strict=True)))
    assert (gap.value > gap.gap_within_chance()) == (interval.low > 0) == (gap.p_value < 0.05)


def test_a_group_whose_units_are_alike_takes_the_interval_of_the_gap() -> None:
    perfect, other = make_ratio(np.zeros(8), np.full(8, 50)), make_ratio(ERRORS, LENGTHS, first_unit=50)
    gap = UnitRatioGap((perfect, other))
    assert gap.value == other.value
    assert gap.confidence_interval() is None


def test_where_units_stray_too_far_no_gap_is_detectable() -> None:
    wild = make_ratio(np.array([0, 0, 0, 0, 90]), np.full(5, 100))
    calm = make_ratio(np.arange(20) % 3 + 5, np.full(20, 50), first_unit=50)
    assert UnitRatioGap((wild, calm)).minimum_detectable_effect(0).gap is None
    effect = UnitRatioGap((wild, calm)).minimum_detectable_effect(1)
    assert effect.group_rate == effect.rest + effect.gap


def draw_speakers(rng: np.random.Generator, k: int, mean: float, first_unit: int = 0) -> UnitRatio:
    """Speakers of unequal length (those of the middle 95 % differ by a factor of 10) whose rates vary by one half."""
    lengths = np.maximum(np.round(np.exp(rng.normal(math.log(150), 0.6, k))), 5)
    rates = rng.gamma(4, mean / 4, k)
    return make_ratio(rng.poisson(lengths * rates), lengths, first_unit)


@pytest.mark.slow
@pytest.mark.parametrize("mean", [0.15, 0.9])
@pytest.mark.parametrize("k", [5, 10, 20, 40])
def test_intervals_cover_the_true_rate(k: int, mean: float) -> None:
    rng = np.random.default_rng(k)
    drawn = [draw_speakers(rng, k, mean).confidence_interval() for _ in range(8000)]
    assert np.mean([interval.low <= mean <= interval.high for interval in drawn]) >= 0.92


@pytest.mark.slow
@pytest.mark.parametrize("sizes", [(5, 5), (5, 20), (10, 10, 10), (8, 30, 30), (40, 40)])
def test_gaps_cover_and_are_not_found_where_there_are_none(sizes: tuple[int, ...]) -> None:
    rng = np.random.default_rng(sum(sizes))
    for means in ([0.2] * len(sizes), [0.2] * (len(sizes) - 1) + [0.35]):
        gaps = [
            UnitRatioGap(
                tuple(
                    draw_speakers(rng, k, mean, 1000 * i) for i, (k, mean) in enumerate(zip(sizes, means, strict=True))
                )
            )
            for _ in range(2000)
        ]
        true = max(means) - min(means)
        drawn = [gap.confidence_interval() for gap in gaps]
        assert np.mean([interval.low <= true <= interval.high for interval in drawn]) >= 0.92


@pytest.mark.slow
@pytest.mark.parametrize("sizes", [(10, 10), (20, 20, 20), (40, 40)])
def test_the_detectable_gap_is_found_as_often_as_it_says(sizes: tuple[int, ...]) -> None:
    rng = np.random.default_rng(1)

    def draw_gap(first: float) -> UnitRatioGap:
        rates = [first, *[0.2] * (len(sizes) - 1)]
        return UnitRatioGap(
            tuple(draw_speakers(rng, k, rate, 1000 * i) for i, (k, rate) in enumerate(zip(sizes, rates, strict=True)))
        )

    effects = [draw_gap(0.2).minimum_detectable_effect(0).gap for _ in range(400)]
    gap = float(np.median([effect for effect in effects if effect is not None]))
    found = np.mean([draw_gap(0.2 + gap).confidence_interval().low > 0 for _ in range(1500)])
    assert 0.72 <= found <= 0.9
