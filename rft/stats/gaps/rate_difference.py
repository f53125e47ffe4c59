"""The difference between the rates of two groups: an interval that errs at neither end more often than it says."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import brentq
from scipy.special import ndtr, ndtri

from rft.records import Interval
from rft.stats.intervals import CLOPPER_PEARSON, LEVEL, NEWCOMBE_DIFFERENCE, absolute, clopper_pearson_ends

SOURCES = (NEWCOMBE_DIFFERENCE, CLOPPER_PEARSON, "Agresti and Caffo 2000, Am. Stat. 54:280")
LEAST_P = 1e-12


@dataclass(frozen=True)
class TwoRates:
    """Two independent rates, the first minus the other.

    Attributes:
        hits, n: of the first group; fractions of an effective number where rows repeat units.
        other_hits, other_n: of the other.
    """

    hits: float
    n: float
    other_hits: float
    other_n: float

    @property
    def value(self) -> float:
        """Return the difference."""
        return self.hits / self.n - self.other_hits / self.other_n

    def interval(self, level: float = LEVEL) -> Interval:
        """Return the interval of the difference, by ``difference_ends``."""
        low, high = difference_ends(*self._counts, level=level)
        method = f"Newcombe on Clopper-Pearson limits {100 * level:g} %, no narrower than Agresti-Caffo"
        return Interval(low=float(low), high=float(high), method=method)

    def gap(self, level: float = LEVEL) -> Interval:
        """Return the interval of how far apart the two rates are, whichever is the higher."""
        return absolute(self.interval(level))

    @property
    def p_value(self) -> float:
        """Return the p-value of no difference: 1 minus the level at which the interval begins to reach 0."""
        centre, error = _with_added(*self._counts)
        of_added = 2 * float(ndtr(-abs(centre) / error))
        return max(of_added, self._of_limits())

    def gap_within_chance(self, level: float = LEVEL) -> float:
        """Return the largest gap that is not told from none, as the interval judges it; 1 where none ever is.

        Around the pooled rate, which is moved as far as needed for both rates to lie within 0 and 1.
        """

        def lower_end(gap: float) -> float:
            interval = self._apart_by(gap).interval(level)
            return interval.low if self.value >= 0 else -interval.high

        return 1.0 if lower_end(1.0) <= 0 else float(brentq(lower_end, 0.0, 1.0, xtol=1e-9))

    def _apart_by(self, gap: float) -> TwoRates:
        """Return rates that are so far apart, the same one higher, with the same cases."""
        pooled, total = (self.hits + self.other_hits) / (self.n + self.other_n), self.n + self.other_n
        signed = math.copysign(gap, self.value)
        first, other = pooled + signed * self.other_n / total, pooled - signed * self.n / total
        shift = max(0.0, -min(first, other)) - max(0.0, max(first, other) - 1.0)
        return TwoRates((first + shift) * self.n, self.n, (other + shift) * self.other_n, self.other_n)

    @property
    def _counts(self) -> tuple[float, float, float, float]:
        return self.hits, self.n, self.other_hits, self.other_n

    def _of_limits(self) -> float:
        sign = math.copysign(1.0, self.value)

        def nearer_end(p: float) -> float:
            low, high = _squared_and_added(*self._counts, level=1 - p)
            return float(low if sign > 0 else -high)

        if nearer_end(1 - LEAST_P) <= 0:
            return 1.0
        return LEAST_P if nearer_end(LEAST_P) > 0 else float(brentq(nearer_end, LEAST_P, 1 - LEAST_P, xtol=1e-12))


def widest_pair(successes: ArrayLike, n: ArrayLike, *, level: float = LEVEL) -> float:
    """Return the farthest that any two of G rates may be apart: the largest end of the intervals of single pairs.

    As an upper end of the largest true gap it errs no more often than the interval of one pair, (1 - level) / 2,
    however many groups there are: it is missed only where the end of that one pair which is truly the farthest apart is
    too low. Resampling has no part in it, so that a group in which everybody is right keeps its width.

    Args:
        successes, n: (G,) of each group, G above 1; fractional where rows repeat units.
        level: of the interval of a pair.
    """
    successes, n = (np.asarray(array, dtype=np.float64) for array in (successes, n))
    first, other = np.triu_indices(len(n), 1)
    low, high = difference_ends(successes[first], n[first], successes[other], n[other], level=level)
    return float(np.maximum(np.abs(low), np.abs(high)).max())


def difference_ends(
    hits: ArrayLike, n: ArrayLike, other_hits: ArrayLike, other_n: ArrayLike, *, level: float = LEVEL
) -> tuple[np.ndarray, np.ndarray]:
    """Return the ends of intervals of differences of rates, each of which errs in at most (1 - level) / 2 of samples.

    Newcombe's square and add on Clopper-Pearson limits, with the continuity correction 1 / (2 sqrt(n n')), and as wide
    at least as the interval with one success and one failure added to each group, which stays safe at strict levels. By
    exact enumeration over sizes of 10 to 2,000, differences of 0 to .95 and all rates, an end errs in at most 2.4 % of
    samples at 95 %, and in 1.02 times the nominal share at 98 to 99.95 %. With Wilson's limits and without the
    correction it is 5 % at 95 %.

    Args:
        hits, n, other_hits, other_n: of any shapes that broadcast; hits within 0 to n, n above 0.
        level: nominal coverage, between 0 and 1.

    Source: Newcombe 1998, Stat. Med. 17:873, method 10; Zou and Donner 2008, Stat. Med. 27:1693; Agresti and Caffo
    2000, Am. Stat. 54:280, with n + 1 instead of n + 2 in the variance.
    """
    low, high = _squared_and_added(hits, n, other_hits, other_n, level=level)
    centre, error = _with_added(hits, n, other_hits, other_n)
    half = float(ndtri(0.5 + level / 2)) * error
    return np.maximum(np.minimum(low, centre - half), -1.0), np.minimum(np.maximum(high, centre + half), 1.0)


def _squared_and_added(
    hits: ArrayLike, n: ArrayLike, other_hits: ArrayLike, other_n: ArrayLike, *, level: float
) -> tuple[np.ndarray, np.ndarray]:
    (low, high), (other_low, other_high) = (
        clopper_pearson_ends(*counts, level=level) for counts in ((hits, n), (other_hits, other_n))
    )
    share, other = np.divide(hits, n), np.divide(other_hits, other_n)
    continuity = 0.5 / np.sqrt(np.multiply(n, other_n))
    below = np.hypot(share - low, other_high - other) + continuity
    above = np.hypot(high - share, other - other_low) + continuity
    return share - other - below, share - other + above


def _with_added(
    hits: ArrayLike, n: ArrayLike, other_hits: ArrayLike, other_n: ArrayLike
) -> tuple[np.ndarray, np.ndarray]:
    """Return the difference and its standard error with one success and one failure added to each group."""
    hits, n, other_hits, other_n = (np.asarray(array, dtype=np.float64) for array in (hits, n, other_hits, other_n))
    share, other = (hits + 1) / (n + 2), (other_hits + 1) / (other_n + 2)
    return share - other, np.sqrt(share * (1 - share) / (n + 1) + other * (1 - other) / (other_n + 1))
