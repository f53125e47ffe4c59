"""A rate, or an average of rates, with what it rests on: one implementation for all plugins.

Rows of one person are not independent, so a rate carries the number of independent cases that its rows are worth, and
its intervals rest on that number.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from rft.records import Interval
from rft.stats.design_effect import averages_hold, sample_of_average, sample_of_rate
from rft.stats.gaps.rate_difference import TwoRates
from rft.stats.intervals import LEVEL, Sample, clopper_pearson, wilson
from rft.stats.resampling import Sums, sums_of_rows


@dataclass(frozen=True)
class Rate:
    """A share of cases, or an average of such shares.

    Attributes:
        value: 0 to 1.
        sample: the rows that are cases, their units, and how many independent cases they are worth.
        holds: whether its interval does; not of an average over classes with fewer than 3 independent cases each, on
            average, which is reported without one.
    """

    value: float
    sample: Sample
    holds: bool = True

    @classmethod
    def of(cls, successes: ArrayLike, units: ArrayLike | None) -> Rate:
        """Return the share of N rows, N above 0.

        Args:
            successes: (N,) booleans, or numbers from 0 to 1 where rows succeed in part.
            units: (N,) of whose row each is, or None when every row stands for itself.
        """
        successes = np.asarray(successes, dtype=np.float64)
        codes = None if units is None else np.unique(np.asarray(units), return_inverse=True)[1]
        groups = np.zeros(len(successes), dtype=np.int64)
        return cls.from_sums(sums_of_rows(successes, np.ones(len(successes)), groups, codes, n_groups=1)[0])

    @classmethod
    def from_sums(cls, sums: Sums) -> Rate:
        """Return the average of R ratios, each with cases; one ratio is a rate."""
        value = float(np.clip(sums.value, 0.0, 1.0))
        if sums.numerators.shape[1] == 1:
            return cls(value, sample_of_rate(sums))
        return cls(value, sample_of_average(sums), holds=averages_hold(sums))

    @property
    def successes(self) -> float:
        """Return the value times the effective number of cases."""
        return self.value * self.sample.effective_n

    def interval(self, level: float = LEVEL) -> Interval:
        """Return the Wilson interval on the effective number of cases."""
        return self.sample.noted(wilson(self.successes, self.sample.effective_n, level=level))

    def exact_interval(self, level: float = LEVEL) -> Interval:
        """Return the Clopper-Pearson interval on the effective number of cases, for verdicts.

        Where all or none succeed Wilson's is a little wider, and its end is taken: no verdict is bolder than what is
        shown.
        """
        exact = clopper_pearson(self.successes, self.sample.effective_n, level=level)
        shown = wilson(self.successes, self.sample.effective_n, level=level)
        ends = {"low": min(exact.low, shown.low), "high": max(exact.high, shown.high)}
        return self.sample.noted(exact.model_copy(update=ends))


def gap_of_rates(first: Rate, other: Rate, *, level: float = LEVEL) -> Interval:
    """Return the interval of how far two rates are apart, on the effective number of cases of each."""
    two = TwoRates(first.successes, first.sample.effective_n, other.successes, other.sample.effective_n)
    interval = two.gap(level)
    if not first.sample.repeats and not other.sample.repeats:
        return interval
    return interval.model_copy(update={"method": f"{interval.method}, {first.sample.worth} and {other.sample.worth}"})
