"""A ratio of two totals over units, such as errors over words of speakers: its value, variance and interval.

Units are drawn, and not rows: what one unit has is taken as a whole. The ratio may be above 1, so no interval of a
proportion fits it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.special import stdtrit

from rft.records import Interval
from rft.stats.intervals import CONFIDENCE_LEVEL

MIN_UNITS = 5  # of fewer no variance is estimated: at 3 and 4 the interval misses its level, or is as wide as useless
NO_SPREAD = 1e-12  # of a rate, by rounding


@dataclass(frozen=True)
class UnitRatio:
    """The sum of numerators over the sum of denominators of k units.

    Attributes:
        numerators, denominators: (k,) totals of each unit, at least 0; the denominators have a sum above 0. A unit may
            have a numerator without a denominator: words that were written where nothing was said.
        units: (k,) which unit each is, int64, ascending.
    """

    numerators: np.ndarray
    denominators: np.ndarray
    units: np.ndarray

    @classmethod
    def from_rows(cls, numerators: np.ndarray, denominators: np.ndarray, units: np.ndarray) -> UnitRatio | None:
        """Return the ratio of N rows; None where their denominators have no sum above 0.

        Args:
            numerators, denominators: (N,) what each row adds, at least 0.
            units: (N,) codes from 0 on of whose row each is.
        """
        tops, bottoms = (np.bincount(units, weights=values) for values in (numerators, denominators))
        if not bottoms.sum() > 0:
            return None
        counts = np.flatnonzero((tops > 0) | (bottoms > 0))
        return cls(tops[counts], bottoms[counts], counts)

    @property
    def n(self) -> int:
        """The number of units."""
        return len(self.units)

    @property
    def value(self) -> float:
        """The ratio."""
        return float(self.numerators.sum() / self.denominators.sum())

    @cached_property
    def influences(self) -> np.ndarray:
        """(k,) how far the ratio goes when a unit is left out, scaled so that their squares sum to the variance.

        Units of one size make it the linearised variance of a ratio of cluster totals, k / (k - 1) times the squared
        residuals over the squared total (Cochran 1977, Sampling Techniques, sections 2.11 and 6.3). A unit that holds
        much of the total pulls the ratio to itself and hides its own residual, which that leaves out and leaving out
        the unit does not (the jackknife of a ratio: Cochran 1977, section 6.17). NaN where one unit is all there is.
        """
        total, k = self.denominators.sum(), self.n
        residuals = self.numerators - self.value * self.denominators
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.asarray(math.sqrt((k - 1) / k) * residuals / (total - self.denominators))

    @property
    def variance(self) -> float:
        """The estimated sampling variance; NaN where one unit is all there is."""
        return float(np.sum(self.influences**2))

    @property
    def degrees_of_freedom(self) -> float:
        """How many are left to estimate the variance: k - 1 where units are of one size, at least 1.

        Of units of other sizes it is one less than what they are worth (Kish 1965: the squared sum of sizes over the
        sum of their squares): the residuals of the largest decide alone.
        """
        sizes = self.denominators
        return max(float(sizes.sum() ** 2 / np.sum(sizes**2)) - 1, 1.0)

    @property
    def has_interval(self) -> bool:
        """Whether there are enough units, and they differ: units that are all alike do not tell how others stray."""
        return self.n >= MIN_UNITS and math.isfinite(self.variance) and self.variance > NO_SPREAD**2

    def confidence_interval(self, level: float = CONFIDENCE_LEVEL) -> Interval | None:
        """Return Student's t interval, cut at 0 and not at 1; None where ``has_interval`` is not."""
        if not self.has_interval:
            return None
        half = float(stdtrit(self.degrees_of_freedom, 0.5 + level / 2)) * math.sqrt(self.variance)
        method = f"ratio estimator with Student t {100 * level:g} %, {self.n} units"
        return Interval(low=max(self.value - half, 0.0), high=self.value + half, method=method)
