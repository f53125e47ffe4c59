"""How far apart the groups of one attribute are in one metric, with an interval that holds for the largest of them."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from rft.plugins.fairness.measure.group_metrics import OK, GroupMetric
from rft.plugins.fairness.measure.small_groups import GroupRate, gap_with_small_groups, rate_of_group
from rft.predictions.estimates import estimate_auc
from rft.predictions.grouped import ClassTarget, GroupedPredictions
from rft.predictions.row_values import row_values
from rft.records import Interval, Status
from rft.stats import intervals, resampling
from rft.stats.gaps.max_t import LargestGap, Resamples, largest_gap, refine_p_value
from rft.stats.gaps.pairwise import PairwiseGap
from rft.stats.gaps.power import MinimumDetectableEffect, minimum_detectable_effect
from rft.stats.gaps.rate_difference import TwoRates, widest_pair
from rft.stats.gaps.small import is_small_gap
from rft.stats.multiplicity import ADJUSTED_LEVELS
from rft.stats.resampling import RatioTotals, ratio_totals_by_group
from rft.stats.scores.auc import auc_resamples
from rft.stats.scores.classification import METRICS, Metric, Ratios

MIN_EFFECTIVE_N_RESAMPLED = 10  # with fewer independent cases of a share max-t finds gaps that are not there
DRAWS_AT_ONE_LEVEL = 1999  # for an interval at 95 %
DRAWS_OF_PERMUTATION_CHECK = 399
DRAWS_FOR_VERDICTS = 39_999  # 20 of them lie beyond the strictest level that a verdict may ask for
MAX_VARIANCE_OF_ROUNDING = 1e-20  # a variance that rounding alone gives to values that are all alike


@dataclass(frozen=True)
class Gap:
    """The difference between the highest and the lowest group.

    Attributes:
        attribute, metric, target, control: what is compared; the control is the value that all rows have, or None.
        single_classes: the classes whose rows by themselves the metric rests on, as ``About.classes``.
        compared: the groups that are compared, lowest first.
        excluded: the others, with their status.
        value: None where fewer than two groups can be compared.
        intervals: at each of ``multiplicity.ADJUSTED_LEVELS``, or at 95 % alone; empty where no method gives one.
        judging_intervals: the same of all groups, those that are too small to be compared included; what rules are
            judged by. Empty where no rule may name the gap, and where nothing bounds what a small group may have.
        small_rates: of shares: what the groups in ``excluded`` have, in their order.
        p_value: of no difference between any two groups.
        p_family: the same, allowing for the number of gaps that are findings; None for others, and where ``repeats``.
        family: how many facts those gaps are.
        repeats: a metric whose gap is the same fact, as that of the true positive rate is of the false negative rate.
        fact_key: the key of that fact.
        null_95th_percentile: a gap up to this is no more than chance explains at 95 %; between these groups, with their
            cases.
        minimum_detectable_effect: the smallest gap of the smallest group that such a sample shows to be one in 80 % of
            cases; None where a gap was found, and of what is no share.
    """

    attribute: str
    metric: Metric
    target: ClassTarget
    single_classes: tuple[str, ...] | Literal["all"]
    control: str | None
    compared: tuple[GroupMetric, ...]
    excluded: tuple[GroupMetric, ...]
    value: float | None = None
    intervals: tuple[Interval, ...] = ()
    judging_intervals: tuple[Interval, ...] = ()
    small_rates: tuple[GroupRate, ...] = ()
    p_value: float | None = None
    p_family: float | None = None
    family: int = 0
    repeats: str | None = None
    fact_key: Hashable = None
    null_95th_percentile: float | None = None
    minimum_detectable_effect: MinimumDetectableEffect | None = None

    @property
    def is_share(self) -> bool:
        """Whether each group's value is one share of cases."""
        averaged = self.metric.of_class and self.target.positive is None
        return self.metric.share is not None and not averaged

    @property
    def has_interval(self) -> bool:
        """Whether a method gives one that holds: none for calibration errors."""
        return self.metric.kind != "calibration"

    @property
    def of_two_shares(self) -> bool:
        """Whether it is the difference of two shares, which needs no resampling."""
        return len(self.compared) == 2 and self.is_share

    @property
    def interval(self) -> Interval | None:
        """Return the interval at 95 %."""
        return self.intervals[0] if self.intervals else None

    @property
    def differs(self) -> bool:
        """Whether the interval lies above 0."""
        return self.interval is not None and self.interval.low > 0

    @property
    def stands_out(self) -> bool:
        """Whether chance does not explain it, allowing for all gaps that are findings."""
        return self.differs and self.p_family is not None and self.p_family <= 1 - intervals.CONFIDENCE_LEVEL

    @property
    def follows_from_labels(self) -> bool:
        """Whether a selection rate differs by definition: one of the extreme groups has one label only, not both."""
        if self.metric.name != "selection_rate" or self.value is None:
            return False
        one_label = [min(group.n_positive, group.n_negative) == 0 for group in (self.compared[0], self.compared[-1])]
        return one_label[0] != one_label[1]

    @property
    def is_small(self) -> bool:
        """Whether it is too small to matter by itself; never of what is no share of cases or mean of shares."""
        if self.value is None or self.metric.bound is None:
            return False
        lowest, highest = self.compared[0].value, self.compared[-1].value
        return lowest is not None and highest is not None and is_small_gap(lowest, highest)

    @property
    def status(self) -> Status:
        """Return ``warn`` for a difference that chance does not explain, nor the labels, and that is not small."""
        if self.value is None:
            return "not_measured"
        return "warn" if self.stands_out and not (self.follows_from_labels or self.is_small) else "info"

    @property
    def smallest(self) -> GroupMetric:
        """Return the compared group that rests on the fewest independent cases."""
        return min(self.compared, key=lambda group: (group.effective_n, group.group or ""))

    @property
    def effective_n(self) -> float:
        """Return how many independent cases it rests on."""
        return sum(group.effective_n for group in self.compared)


def compare_groups(
    grouped: GroupedPredictions,
    metric: str,
    target: ClassTarget,
    measured: Sequence[GroupMetric],
    *,
    seed: int,
    verdicts: bool,
    comparisons: int = 1,
) -> Gap:
    """Return the gap between groups that are measured.

    Args:
        grouped: the rows that they were measured on.
        metric, target: what was measured.
        measured: one for each group, in their order.
        seed: of resampling.
        verdicts: whether a rule may judge it, which takes intervals at stricter levels.
        comparisons: how many gaps are looked at together, for which p-values must be fine enough.
    """
    chosen = indices_of_compared(measured)
    gap = _gap_before_comparison(grouped, metric, target, measured)
    if verdicts and gap.is_share:
        gap = replace(gap, small_rates=_rates_of_small_groups(gap, grouped))
    if len(chosen) < 2:
        return replace(gap, judging_intervals=_judging_intervals(gap, None)) if gap.small_rates else gap
    return _measure_gap(gap, grouped, chosen, seed, ADJUSTED_LEVELS if verdicts else ADJUSTED_LEVELS[:1], comparisons)


def detects_gap(
    grouped: GroupedPredictions,
    measured: Sequence[GroupMetric],
    metric: str,
    target: ClassTarget,
    rng: np.random.Generator,
) -> bool:
    """Return whether the gap's interval at 95 % lies above 0, by the method of ``compare_groups`` and no more work.

    At least two groups must be ones that are compared.
    """
    gap = _gap_before_comparison(grouped, metric, target, measured)
    if gap.of_two_shares:
        return _two_rates_of(gap).gap_interval().low > 0
    if pairwise := _pairwise_gap(gap):
        return pairwise.confidence_interval().low > 0
    resamples = resample_groups(
        grouped, indices_of_compared(measured), gap.metric, target, rng, draws=DRAWS_OF_PERMUTATION_CHECK
    )
    return resamples is not None and largest_gap(resamples, bound=gap.metric.bound).confidence_interval().low > 0


def indices_of_compared(measured: Sequence[GroupMetric]) -> list[int]:
    """Return the indices of the groups that are compared."""
    return [index for index, group_metric in enumerate(measured) if group_metric.status == OK]


def _gap_before_comparison(
    grouped: GroupedPredictions, metric: str, target: ClassTarget, measured: Sequence[GroupMetric]
) -> Gap:
    compared = [measured[index] for index in indices_of_compared(measured)]
    return Gap(
        attribute=grouped.grouping.attribute,
        metric=METRICS[metric],
        target=target,
        single_classes=METRICS[metric].list_single_classes(grouped.rows.classes, target.positive),
        control=grouped.control,
        compared=tuple(sorted(compared, key=lambda group: (group.value or 0.0, group.group or ""))),
        excluded=tuple(group for group in measured if group.status != OK),
        fact_key=_fact_key(grouped, metric, target),
    )


def _fact_key(grouped: GroupedPredictions, metric: str, target: ClassTarget) -> Hashable:
    """Return the key of what a gap is about, which the gap of the complement has too."""
    key: Hashable = (metric, target.positive)
    if METRICS[metric].kind == "ratio":
        key = Ratios.from_metric(METRICS[metric], grouped.rows.classes, target.positive).fact_key
    return grouped.grouping.attribute, grouped.control, key


def _measure_gap(
    gap: Gap, grouped: GroupedPredictions, chosen: Sequence[int], seed: int, levels: Sequence[float], comparisons: int
) -> Gap:
    values = [group.value for group in gap.compared if group.value is not None]
    gap = replace(gap, value=max(values) - min(values))
    if not gap.has_interval:
        return gap
    rng = np.random.default_rng(seed)
    draws = DRAWS_AT_ONE_LEVEL if len(levels) == 1 else DRAWS_FOR_VERDICTS

    def draw_gap() -> LargestGap | None:
        resamples = resample_groups(grouped, chosen, gap.metric, gap.target, rng, draws=draws)
        return None if resamples is None else largest_gap(resamples, bound=gap.metric.bound)

    largest = None if gap.of_two_shares else _pairwise_gap(gap) or draw_gap()
    if largest is None and not gap.of_two_shares:
        return gap
    gap = replace(
        gap,
        intervals=tuple(_gap_interval(gap, largest, level) for level in levels),
        judging_intervals=_judging_intervals(gap, largest) if len(levels) > 1 else (),
        p_value=_p_value(gap, largest, draw_gap, comparisons),
        null_95th_percentile=_null_95th_percentile(gap, largest),
    )
    asked = gap.is_share and len(levels) > 1 and not gap.differs
    return replace(gap, minimum_detectable_effect=_minimum_detectable_effect(gap, largest)) if asked else gap


def _p_value(
    gap: Gap,
    largest: LargestGap | PairwiseGap | None,
    draw_gap: Callable[[], LargestGap | None],
    comparisons: int,
) -> float:
    if largest is None:
        return _two_rates_of(gap).p_value
    if isinstance(largest, PairwiseGap):
        return largest.p_value
    return refine_p_value(largest, draw_gap, tests=comparisons)


def _pairwise_gap(gap: Gap) -> PairwiseGap | None:
    """Return the gap of all pairs by themselves, where a share rests on too few cases to be resampled; else None."""
    if not gap.is_share or min(group.effective_n for group in gap.compared) >= MIN_EFFECTIVE_N_RESAMPLED:
        return None
    return PairwiseGap(tuple(_numerator_and_denominator(group) for group in gap.compared))


def _minimum_detectable_effect(gap: Gap, largest: LargestGap | PairwiseGap | None) -> MinimumDetectableEffect:
    """Return the gap that the test would have found; of pairs by themselves, that to the largest other group."""
    others = [group for group in gap.compared if group is not gap.smallest]
    rest = sum(_numerator_and_denominator(group)[0] for group in others) / sum(group.effective_n for group in others)
    if isinstance(largest, PairwiseGap):
        pair = [gap.smallest.effective_n, max(group.effective_n for group in others)]
        return minimum_detectable_effect(pair, rest, level=largest.level_of_pairs(intervals.CONFIDENCE_LEVEL))
    return minimum_detectable_effect([group.effective_n for group in gap.compared], rest)


def _gap_interval(gap: Gap, largest: LargestGap | PairwiseGap | None, level: float) -> Interval:
    """Return the interval of the largest gap of all pairs, or of two groups' shares by themselves.

    Resamples of a small group in which everybody is right hardly vary. So the upper end for shares is no lower than
    that of any two groups by themselves: leaving a group out never widens an interval.
    """
    if largest is None:
        return _two_rates_of(gap).gap_interval(level)
    interval = largest.confidence_interval(level)
    if not gap.is_share:
        return interval
    numerators, denominators = zip(*map(_numerator_and_denominator, gap.compared), strict=True)
    return interval.model_copy(update={"high": max(interval.high, widest_pair(numerators, denominators, level=level))})


def _rates_of_small_groups(gap: Gap, grouped: GroupedPredictions) -> tuple[GroupRate, ...]:
    ratios = Ratios.from_metric(gap.metric, grouped.rows.classes, gap.target.positive)
    return tuple(rate_of_group(grouped, grouped.names.index(group.group or ""), ratios) for group in gap.excluded)


def _judging_intervals(gap: Gap, largest: LargestGap | PairwiseGap | None) -> tuple[Interval, ...]:
    """Return the intervals of the largest gap among all groups, at each level; ``largest`` is that of those compared.

    Of what is no share, a small group may have anything: the gap may be as large as the metric allows.
    """
    has_comparison = len(gap.compared) > 1
    if not gap.excluded:
        return tuple(_gap_interval(gap, largest, level) for level in ADJUSTED_LEVELS) if has_comparison else ()
    if gap.is_share:
        rates = [GroupRate(*_numerator_and_denominator(group)) for group in gap.compared]
        return tuple(
            gap_with_small_groups(
                _gap_interval(gap, largest, 1 - (1 - level) / 2) if has_comparison else None,
                rates,
                gap.small_rates,
                level,
            )
            for level in ADJUSTED_LEVELS
        )
    if largest is None or gap.metric.bound is None:
        return ()
    bound = {"high": gap.metric.bound}
    return tuple(_gap_interval(gap, largest, level).model_copy(update=bound) for level in ADJUSTED_LEVELS)


def _two_rates_of(gap: Gap) -> TwoRates:
    """Return the shares of both groups, the higher one first."""
    low, high = gap.compared
    return TwoRates(*_numerator_and_denominator(high), *_numerator_and_denominator(low))


def _numerator_and_denominator(group: GroupMetric) -> tuple[float, float]:
    assert group.value is not None  # scored groups have one
    return group.value * group.effective_n, group.effective_n


def _null_95th_percentile(gap: Gap, largest: LargestGap | PairwiseGap | None) -> float:
    """Return the largest gap that the test takes for chance at 95 %, were the groups apart in the same pattern.

    The very test that judges the gap, so that what lies within the band never is a finding, nor the other way round.
    """
    return _two_rates_of(gap).gap_within_chance() if largest is None else largest.gap_within_chance()


def resample_groups(
    grouped: GroupedPredictions,
    chosen: Sequence[int],
    metric: Metric,
    target: ClassTarget,
    rng: np.random.Generator,
    *,
    draws: int,
) -> Resamples | None:
    """Return resamples of a metric in some of the groups, by the method that suits its kind.

    None for a mean that hardly varies in one of them: where a whole group, or a resample of it, has one value, nothing
    tells how far its mean strays.
    """
    if metric.kind == "auc":
        aucs = [estimate_auc(grouped.rows_of_group(group), target.positive) for group in chosen]
        return auc_resamples(aucs, rng, draws=draws)
    if metric.kind == "mean":
        return _resample_means(_value_totals_by_group(grouped, chosen, metric, target), rng, draws)
    ratios = Ratios.from_metric(metric, grouped.rows.classes, target.positive)
    if grouped.rows.units is not None:
        return resampling.resample_ratios(_ratio_totals_by_group(grouped, chosen, ratios), rng, draws=draws)
    if len(ratios.names) == 1:
        numerators, denominators = (part[chosen, 0] for part in ratios.count_cells(grouped.confusion))
        return resampling.resample_rates(numerators, denominators, rng, draws=draws)
    totals = [
        RatioTotals.from_counts(grouped.confusion[group], ratios.numerators, ratios.denominators) for group in chosen
    ]
    return resampling.resample_ratios(totals, rng, draws=draws)


def _resample_means(totals: Sequence[RatioTotals], rng: np.random.Generator, draws: int) -> Resamples | None:
    if min(total.variance for total in totals) <= MAX_VARIANCE_OF_ROUNDING:
        return None
    resamples = resampling.resample_ratios(totals, rng, draws=draws, smoothed=False)
    return resamples if (resamples.drawn_variances > MAX_VARIANCE_OF_ROUNDING).all() else None


def _ratio_totals_by_group(grouped: GroupedPredictions, chosen: Sequence[int], ratios: Ratios) -> list[RatioTotals]:
    rows = grouped.rows
    numerators, denominators = ratios.mark_rows(rows.labels, rows.predictions)
    return ratio_totals_by_group(
        numerators, denominators, _number_chosen_groups(grouped, chosen), rows.units, n_groups=len(chosen)
    )


def _value_totals_by_group(
    grouped: GroupedPredictions, chosen: Sequence[int], metric: Metric, target: ClassTarget
) -> list[RatioTotals]:
    values = row_values(metric.name, grouped.rows, target.positive)
    ones = np.ones(len(values))
    return ratio_totals_by_group(
        values, ones, _number_chosen_groups(grouped, chosen), grouped.rows.units, n_groups=len(chosen)
    )


def _number_chosen_groups(grouped: GroupedPredictions, chosen: Sequence[int]) -> np.ndarray:
    """Return (N,) numbers of the chosen groups, -1 for rows in no group or in another."""
    numbers = np.full(len(grouped.names) + 1, -1)  # the last one is for the code -1
    numbers[list(chosen)] = np.arange(len(chosen))
    return np.asarray(numbers[grouped.grouping.codes])
