"""The difference between the rates of two groups: an interval that errs at neither end more often than it says."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import brentq
from scipy.special import ndtr, ndtri

from rft.records import Interval
from rft.references import CLOPPER_PEARSON, NEWCOMBE_DIFFERENCE
from rft.stats.intervals import CONFIDENCE_LEVEL, clopper_pearson_ends, size_interval

SOURCES = (NEWCOMBE_DIFFERENCE, CLOPPER_PEARSON, "Agresti and Caffo 2000, Am. Stat. 54:280")
MIN_P_VALUE = 1e-12


@dataclass(frozen=True)
class TwoRates:
    """Two independent rates, the first minus the other.

    Attributes:
        numerator, denominator: of the first group; fractions of an effective number where rows repeat units.
        second_numerator, second_denominator: of the other.
    """

    numerator: float
    denominator: float
    second_numerator: float
    second_denominator: float

    @property
    def value(self) -> float:
        """Return the difference."""
        return self.numerator / self.denominator - self.second_numerator / self.second_denominator

    def confidence_interval(self, level: float = CONFIDENCE_LEVEL) -> Interval:
        """Return the interval of the difference, by ``difference_ends``."""
        low, high = difference_ends(*self._counts, level=level)
        method = f"Newcombe on Clopper-Pearson limits {100 * level:g} %, no narrower than Agresti-Caffo"
        return Interval(low=float(low), high=float(high), method=method)

    def gap_interval(self, level: float = CONFIDENCE_LEVEL) -> Interval:
        """Return the interval of how far apart the two rates are, whichever is the higher."""
        return size_interval(self.confidence_interval(level))

    @property
    def p_value(self) -> float:
        """Return the p-value of no difference: 1 minus the level at which the interval begins to reach 0."""
        centre, error = _smoothed_difference(*self._counts)
        of_added = 2 * float(ndtr(-abs(centre) / error))
        return max(of_added, self._p_value_of_limits())

    def gap_within_chance(self, level: float = CONFIDENCE_LEVEL) -> float:
        """Return the largest gap that is not told from none, as the interval judges it; 1 where none ever is.

        Around the pooled rate, which is moved as far as needed for both rates to lie within 0 and 1.
        """

        def lower_end(gap: float) -> float:
            interval = self._apart_by(gap).confidence_interval(level)
            return interval.low if self.value >= 0 else -interval.high

        return 1.0 if lower_end(1.0) <= 0 else float(brentq(lower_end, 0.0, 1.0, xtol=1e-9))

    def _apart_by(self, gap: float) -> TwoRates:
        """Return rates that are so far apart, the same one higher, with the same cases."""
        pooled, total = (
            (self.numerator + self.second_numerator) / (self.denominator + self.second_denominator),
            self.denominator + self.second_denominator,
        )
        signed = math.copysign(gap, self.value)
        first, second = pooled + signed * self.second_denominator / total, pooled - signed * self.denominator / total
        shift = max(0.0, -min(first, second)) - max(0.0, max(first, second) - 1.0)
        return TwoRates(
            (first + shift) * self.denominator,
            self.denominator,
            (second + shift) * self.second_denominator,
            self.second_denominator,
        )

    @property
    def _counts(self) -> tuple[float, float, float, float]:
        return self.numerator, self.denominator, self.second_numerator, self.second_denominator

    def _p_value_of_limits(self) -> float:
        sign = math.copysign(1.0, self.value)

        def nearer_end(p: float) -> float:
            low, high = _mover_ends(*self._counts, level=1 - p)
            return float(low if sign > 0 else -high)

        if nearer_end(1 - MIN_P_VALUE) <= 0:
            return 1.0
        return (
            MIN_P_VALUE
            if nearer_end(MIN_P_VALUE) > 0
            else float(brentq(nearer_end, MIN_P_VALUE, 1 - MIN_P_VALUE, xtol=1e-12))
        )


def widest_pair(numerators: ArrayLike, denominators: ArrayLike, *, level: float = CONFIDENCE_LEVEL) -> float:
    """Return the farthest that any two of G rates may be apart: the largest end of the intervals of single pairs.

    As an upper end of the largest true gap it errs no more often than the interval of one pair, (1 - level) / 2,
    however many groups there are: it is missed only where the end of that one pair which is truly the farthest apart is
    too low. Resampling has no part in it, so that a group in which everybody is right keeps its width.

    Args:
        numerators, denominators: (G,) of each group, G above 1; fractional where rows repeat units.
        level: of the interval of a pair.
    """
    numerators, denominators = (np.asarray(array, dtype=np.float64) for array in (numerators, denominators))
    first, second = np.triu_indices(len(denominators), 1)
    low, high = difference_ends(
        numerators[first], denominators[first], numerators[second], denominators[second], level=level
    )
    return float(np.maximum(np.abs(low), np.abs(high)).max())


def difference_ends(
    numerators: ArrayLike,
    denominators: ArrayLike,
    second_numerators: ArrayLike,
    second_denominators: ArrayLike,
    *,
    level: float = CONFIDENCE_LEVEL,
) -> tuple[np.ndarray, np.ndarray]:
    """Return the ends of intervals of differences of rates, each of which errs in at most (1 - level) / 2 of samples.

    Newcombe's square and add on Clopper-Pearson limits, with the continuity correction 1 / (2 sqrt(n n')), and as wide
    at least as the interval with one success and one failure added to each group, which stays safe at strict levels. By
    exact enumeration over sizes of 10 to 2,000, differences of 0 to .95 and all rates, an end errs in at most 2.4 % of
    samples at 95 %, and in 1.02 times the nominal share at 98 to 99.95 %. With Wilson's limits and without the
    correction it is 5 % at 95 %.

    Args:
        numerators, denominators, second_numerators, second_denominators: of any shapes that broadcast; each numerator
            within 0 to its denominator, denominators above 0; fractions of an effective number where rows repeat units.
        level: nominal coverage, between 0 and 1.

    Source: Newcombe 1998, Stat. Med. 17:873, method 10; Zou and Donner 2008, Stat. Med. 27:1693; Agresti and Caffo
    2000, Am. Stat. 54:280, with n + 1 instead of n + 2 in the variance.
    """
    low, high = _mover_ends(numerators, denominators, second_numerators, second_denominators, level=level)
    centre, error = _smoothed_difference(numerators, denominators, second_numerators, second_denominators)
    half = float(ndtri(0.5 + level / 2)) * error
    return np.maximum(np.minimum(low, centre - half), -1.0), np.minimum(np.maximum(high, centre + half), 1.0)


def _mover_ends(
    numerators: ArrayLike,
    denominators: ArrayLike,
    second_numerators: ArrayLike,
    second_denominators: ArrayLike,
    *,
    level: float,
) -> tuple[np.ndarray, np.ndarray]:
    (low, high), (second_low, second_high) = (
        clopper_pearson_ends(*counts, level=level)
        for counts in ((numerators, denominators), (second_numerators, second_denominators))
    )
    rate, second_rate = np.divide(numerators, denominators), np.divide(second_numerators, second_denominators)
    continuity = 0.5 / np.sqrt(np.multiply(denominators, second_denominators))
    below = np.hypot(rate - low, second_high - second_rate) + continuity
    above = np.hypot(high - rate, second_rate - second_low) + continuity
    return rate - second_rate - below, rate - second_rate + above


def _smoothed_difference(
    numerators: ArrayLike, denominators: ArrayLike, second_numerators: ArrayLike, second_denominators: ArrayLike
) -> tuple[np.ndarray, np.ndarray]:
    """Return the difference, (...) as its arguments, and its standard error, one success and failure added to each."""
    numerators, denominators, second_numerators, second_denominators = (
        np.asarray(array, dtype=np.float64)
        for array in (numerators, denominators, second_numerators, second_denominators)
    )
    rate, second_rate = (numerators + 1) / (denominators + 2), (second_numerators + 1) / (second_denominators + 2)
    return rate - second_rate, np.sqrt(
        rate * (1 - rate) / (denominators + 1) + second_rate * (1 - second_rate) / (second_denominators + 1)
    )
