"""Groups that are too small to be compared, as they enter a verdict: by their exact intervals, never by silence.

A group of 29 of whom nobody was decided rightly is too small for the comparison of groups, and yet a rule about the
worst group is broken. So the interval that judges a finding covers these groups too: each by the Clopper-Pearson
interval of its share, however wide. A group without a single case of the metric may have any share.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rft.predictions.estimates import estimate_rate
from rft.predictions.grouped import GroupedPredictions
from rft.records import Interval
from rft.stats.gaps.rate_ratio import smallest_ratio
from rft.stats.intervals import clopper_pearson_interval
from rft.stats.scores.classification import Ratios

EXACT_METHOD = "Clopper-Pearson for groups too small to be compared"


@dataclass(frozen=True)
class GroupRate:
    """A share of the cases of a metric in one group.

    Attributes:
        numerator, denominator: effective numbers of independent cases; both 0 where the group has no case.
    """

    numerator: float
    denominator: float

    def exact_interval(self, level: float) -> tuple[float, float]:
        """Return the Clopper-Pearson interval; 0 to 1 without any case."""
        if not self.denominator:
            return 0.0, 1.0
        interval = clopper_pearson_interval(self.numerator, self.denominator, level=level)
        return interval.low, interval.high


def rate_of_group(grouped: GroupedPredictions, group: int, ratios: Ratios) -> GroupRate:
    """Return the share of one group in a metric that is one ratio, however few its cases are."""
    rows = grouped.rows_of_group(group)
    if not ratios.count_cells(rows.confusion)[1].any():
        return GroupRate(0.0, 0.0)
    rate = estimate_rate(rows, ratios)
    return GroupRate(rate.numerator, rate.sample.effective_n)


def gap_with_small_groups(
    compared: Interval | None, rates: Sequence[GroupRate], small_rates: Sequence[GroupRate], level: float
) -> Interval:
    """Return an interval of the largest gap among all groups, those that are too small included.

    Args:
        compared: interval of the largest gap among the compared groups at ``1 - (1 - level) / 2``; None where fewer
            than two are compared.
        rates: of the compared groups.
        small_rates: of the groups that are too small, at least one.
        level: half of its complement is spent on ``compared``, the other half on the exact intervals of all groups
            (Bonferroni), of which every pair with a small group is made.
    """
    lows, highs = ([0.0], [0.0]) if compared is None else ([compared.low], [compared.high])
    for first, second in _pairs_with_small_groups(rates, small_rates, level):
        lows.append(max(first[0] - second[1], second[0] - first[1]))
        highs.append(max(first[1] - second[0], second[1] - first[0]))
    return Interval(low=max(0.0, *lows), high=max(highs), method=_name_method(compared))


def ratio_with_small_groups(
    compared: Interval | None, rates: Sequence[GroupRate], small_rates: Sequence[GroupRate], level: float
) -> Interval:
    """Return an interval of the lowest share of all groups over the highest, those that are too small included.

    Arguments as for ``gap_with_small_groups``; ``compared`` is the interval of the ratio among the compared groups.
    """
    highs = [1.0] if compared is None else [compared.high]
    lows = [1.0] if compared is None else [compared.low]
    for first, second in _pairs_with_small_groups(rates, small_rates, level):
        lows.append(min(_divide_or_infinity(first[0], second[1]), _divide_or_infinity(second[0], first[1])))
        highs.append(min(_divide_or_infinity(first[1], second[0]), _divide_or_infinity(second[1], first[0])))
    return Interval(low=min(lows), high=min(1.0, *highs), method=_name_method(compared))


def judge_ratio(rates: Sequence[GroupRate], small_rates: Sequence[GroupRate], level: float) -> Interval:
    """Return the interval of the lowest share of all groups over the highest that every rule about it is judged by.

    Args:
        rates: of the compared groups; at least two, or some small groups beside them.
        small_rates: of the groups that are too small.
        level: nominal coverage.
    """
    if not small_rates:
        return ratio_interval_of_rates(rates, level)
    compared = ratio_interval_of_rates(rates, 1 - (1 - level) / 2) if len(rates) > 1 else None
    return ratio_with_small_groups(compared, rates, small_rates, level)


def ratio_interval_of_rates(rates: Sequence[GroupRate], level: float) -> Interval:
    """Return the interval of the lowest share over the highest of at least two groups that are compared."""
    numerators, denominators = zip(*((rate.numerator, rate.denominator) for rate in rates), strict=True)
    return smallest_ratio(numerators, denominators, level=level)


def worst_rate_interval(rates: Sequence[GroupRate], *, lowest: bool, level: float) -> Interval:
    """Return an interval of the worst true share: exact intervals of all groups, corrected for their number.

    Args:
        rates: of the groups, at least one.
        lowest: whether the lowest share is the worst, otherwise the highest.
        level: nominal coverage of the interval, by Bonferroni's correction.
    """
    ends = [rate.exact_interval(1 - (1 - level) / len(rates)) for rate in rates]
    worst = min if lowest else max
    method = f"Clopper-Pearson {100 * level:g} %" + (f", Bonferroni over {len(ends)} groups" if len(ends) > 1 else "")
    return Interval(low=worst(low for low, _ in ends), high=worst(high for _, high in ends), method=method)


IntervalEnds = tuple[float, float]


def _pairs_with_small_groups(
    rates: Sequence[GroupRate], small_rates: Sequence[GroupRate], level: float
) -> Iterator[tuple[IntervalEnds, IntervalEnds]]:
    """Yield the exact intervals of every pair of groups of which one is small, at half of what the level allows."""
    groups = [*rates, *small_rates]
    part = 1 - (1 - level) / 2 / len(groups)
    ends = [rate.exact_interval(part) for rate in groups]
    for last in range(len(rates), len(groups)):
        for first in range(last):
            yield ends[first], ends[last]


def _divide_or_infinity(numerator: float, denominator: float) -> float:
    return numerator / denominator if denominator else math.inf


def _name_method(compared: Interval | None) -> str:
    return f"{compared.method}; {EXACT_METHOD}" if compared else EXACT_METHOD
