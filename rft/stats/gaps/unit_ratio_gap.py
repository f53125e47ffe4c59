"""The largest gap among ratios of totals over units, such as word error rates of groups of speakers."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations

import numpy as np
from scipy.special import stdtr, stdtrit

from rft.records import Interval
from rft.stats.gaps.power import POWER, MinimumDetectableEffect
from rft.stats.intervals import CONFIDENCE_LEVEL, size_interval
from rft.stats.unit_ratio import NO_SPREAD, UnitRatio


@dataclass(frozen=True)
class TwoUnitRatios:
    """The difference of two ratios, first minus second. Units that are in both count as pairs."""

    first: UnitRatio
    second: UnitRatio

    @property
    def value(self) -> float:
        """The difference."""
        return self.first.value - self.second.value

    @cached_property
    def _shared(self) -> tuple[np.ndarray, np.ndarray]:
        """The positions of the units of both ratios in the first and in the second."""
        _, in_first, in_second = np.intersect1d(
            self.first.units, self.second.units, assume_unique=True, return_indices=True
        )
        return in_first, in_second

    @cached_property
    def standard_error(self) -> float:
        """The root of the summed squares of influences, those of a unit in both ratios one minus the other."""
        in_first, in_second = self._shared
        together = float(self.first.influences[in_first] @ self.second.influences[in_second])
        return math.sqrt(max(self.first.variance + self.second.variance - 2 * together, 0.0))

    @property
    def degrees_of_freedom(self) -> float:
        """Those of Satterthwaite's approximation (Welch 1947); the fewer of both where units are in both ratios."""
        first, second = self.first, self.second
        if len(self._shared[0]):
            return min(first.degrees_of_freedom, second.degrees_of_freedom)
        total = first.variance + second.variance
        parts = first.variance**2 / first.degrees_of_freedom + second.variance**2 / second.degrees_of_freedom
        return total**2 / parts

    @property
    def p_value(self) -> float:
        """The p-value of no difference."""
        return float(2 * stdtr(self.degrees_of_freedom, -abs(self.value) / self.standard_error))

    def margin(self, level: float) -> float:
        """Return half the width of the interval of the difference."""
        return float(stdtrit(self.degrees_of_freedom, 0.5 + level / 2)) * self.standard_error

    def difference_interval(self, level: float = CONFIDENCE_LEVEL) -> Interval | None:
        """Return the interval of the difference; None where a ratio has none, or no unit differs."""
        if not (self.first.has_interval and self.second.has_interval) or self.standard_error <= NO_SPREAD:
            return None
        margin, n = self.margin(level), len(np.union1d(self.first.units, self.second.units))
        method = f"ratio estimator with Student t {100 * level:g} %, {n} units"
        return Interval(low=self.value - margin, high=self.value + margin, method=method)

    def gap_interval(self, level: float = CONFIDENCE_LEVEL) -> Interval:
        """Return the interval of the size of the difference; below it nothing but 0, above it no bound."""
        margin = self.margin(level)
        return size_interval(Interval(low=self.value - margin, high=self.value + margin, method=""))


@dataclass(frozen=True)
class UnitRatioGap:
    """The largest difference between any two of G ratios, by Bonferroni's correction of the intervals of all pairs.

    Attributes:
        ratios: of the groups, G above 1.
    """

    ratios: tuple[UnitRatio, ...]

    @property
    def value(self) -> float:
        """The highest ratio minus the lowest."""
        values = [ratio.value for ratio in self.ratios]
        return max(values) - min(values)

    @cached_property
    def _pairs(self) -> list[TwoUnitRatios]:
        return [TwoUnitRatios(first, second) for first, second in combinations(self.ratios, 2)]

    @property
    def has_interval(self) -> bool:
        """Whether every group has an interval, and every pair of them differs by chance."""
        return all(ratio.has_interval for ratio in self.ratios) and all(
            pair.standard_error > NO_SPREAD for pair in self._pairs
        )

    def level_of_pairs(self, level: float) -> float:
        """Return the level of the interval of one pair, for all of them to hold at ``level``."""
        return 1 - (1 - level) / len(self._pairs)

    def confidence_interval(self, level: float = CONFIDENCE_LEVEL) -> Interval | None:
        """Return the interval of the largest true gap, at least 0; it holds ``value``. None where there is none."""
        if not self.has_interval:
            return None
        ends = [pair.gap_interval(self.level_of_pairs(level)) for pair in self._pairs]
        method = f"ratio estimator with Student t {100 * level:g} %, {self._count_units()} units"
        if len(ends) > 1:
            method += f", Bonferroni over {len(ends)} pairs"
        low, high = max(interval.low for interval in ends), max(interval.high for interval in ends)
        return Interval(low=min(low, self.value), high=max(high, self.value), method=method)

    @property
    def p_value(self) -> float:
        """The p-value of no difference between any two groups."""
        return min(1.0, len(self._pairs) * min(pair.p_value for pair in self._pairs))

    def gap_within_chance(self, level: float = CONFIDENCE_LEVEL) -> float:
        """Return the largest gap that is not told from none, the groups being apart in the same pattern.

        Differences grow in proportion, the errors being as they are, until the first pair is told apart. Where all
        groups are alike: the smallest margin of any pair.
        """
        margins = [pair.margin(self.level_of_pairs(level)) for pair in self._pairs]
        if self.value <= 0:
            return min(margins)
        scales = [
            margin / abs(pair.value) for pair, margin in zip(self._pairs, margins, strict=True) if abs(pair.value) > 0
        ]
        return self.value * min(scales)

    def minimum_detectable_effect(self, group: int, level: float = CONFIDENCE_LEVEL) -> MinimumDetectableEffect:
        """Return the smallest gap of one group above another that such a sample tells from none in 80 % of cases.

        Units of a group that is worse differ more: their spread is taken to grow with the group's ratio. In simulations
        of 2 and 3 groups of 6 to 30 speakers the gap was found in 72 to 86 %.

        Args:
            group: its index, with a ratio above 0; the other is the one that it is told from most easily.
            level: of the intervals of all pairs together.
        """
        mine, level_of_pairs = self.ratios[group], self.level_of_pairs(level)
        quantiles = [float(stdtrit(mine.degrees_of_freedom, part)) for part in (0.5 + level_of_pairs / 2, POWER)]
        spread = mine.variance / mine.value**2  # of units beside the ratio itself
        others = [ratio for ratio in self.ratios if ratio is not mine]
        effects = [(_solve_detectable(sum(quantiles) ** 2, spread, other), other.value) for other in others]
        gap, rest = min(((gap, rest) for gap, rest in effects if gap is not None), default=(None, effects[0][1]))
        return MinimumDetectableEffect(gap, rest, None if gap is None else rest + gap, POWER, level)

    def _count_units(self) -> int:
        return len(np.unique(np.concatenate([ratio.units for ratio in self.ratios])))


def _solve_detectable(squared_quantiles: float, spread: float, other: UnitRatio) -> float | None:
    """Return the gap g with g^2 = q^2 (spread (rest + g)^2 + variance of the other); None where no gap is so large.

    Args:
        squared_quantiles: q^2, of the interval and of the power together.
        spread: the variance of the group's ratio over the squared ratio.
        other: the ratio that it is compared with.
    """
    rest, grows = other.value, squared_quantiles * spread
    if grows >= 1:
        return None
    constant = grows * rest**2 + squared_quantiles * other.variance
    return (grows * rest + math.sqrt((grows * rest) ** 2 + (1 - grows) * constant)) / (1 - grows)
