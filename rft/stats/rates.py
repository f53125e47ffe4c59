"""A rate, or an average of rates, with what it rests on: one implementation for all plugins.

Rows of one person are not independent, so a rate carries the number of independent cases that its rows are worth, and
its intervals rest on that number.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from rft.records import Interval
from rft.stats.design_effect import average_has_enough_cases, sample_of_average, sample_of_rate
from rft.stats.gaps.rate_difference import TwoRates
from rft.stats.intervals import CONFIDENCE_LEVEL, Sample, clopper_pearson_interval, wilson_interval
from rft.stats.resampling import RatioTotals, ratio_totals_by_group


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
    def from_rows(cls, outcomes: ArrayLike, units: ArrayLike | None) -> Rate:
        """Return the share of N rows, N above 0.

        Args:
            outcomes: (N,) booleans, or numbers from 0 to 1 where rows succeed in part.
            units: (N,) of whose row each is, or None when every row stands for itself.
        """
        outcomes = np.asarray(outcomes, dtype=np.float64)
        codes = None if units is None else np.unique(np.asarray(units), return_inverse=True)[1]
        groups = np.zeros(len(outcomes), dtype=np.int64)
        return cls.from_totals(ratio_totals_by_group(outcomes, np.ones(len(outcomes)), groups, codes, n_groups=1)[0])

    @classmethod
    def from_totals(cls, totals: RatioTotals) -> Rate:
        """Return the average of R ratios, each with cases; one ratio is a rate."""
        value = float(np.clip(totals.value, 0.0, 1.0))
        if totals.numerators.shape[1] == 1:
            return cls(value, sample_of_rate(totals))
        return cls(value, sample_of_average(totals), holds=average_has_enough_cases(totals))

    @property
    def numerator(self) -> float:
        """Return the value times the effective number of cases."""
        return self.value * self.sample.effective_n

    def confidence_interval(self, level: float = CONFIDENCE_LEVEL) -> Interval:
        """Return the Wilson interval on the effective number of cases."""
        return self.sample.note_units(wilson_interval(self.numerator, self.sample.effective_n, level=level))

    def exact_interval(self, level: float = CONFIDENCE_LEVEL) -> Interval:
        """Return the Clopper-Pearson interval on the effective number of cases, for verdicts.

        Where all or none succeed Wilson's is a little wider, and its end is taken: no verdict is bolder than what is
        shown.
        """
        exact = clopper_pearson_interval(self.numerator, self.sample.effective_n, level=level)
        shown = wilson_interval(self.numerator, self.sample.effective_n, level=level)
        ends = {"low": min(exact.low, shown.low), "high": max(exact.high, shown.high)}
        return self.sample.note_units(exact.model_copy(update=ends))


def gap_interval_of_rates(first: Rate, second: Rate, *, level: float = CONFIDENCE_LEVEL) -> Interval:
    """Return the interval of how far two rates are apart, on the effective number of cases of each."""
    two_rates = TwoRates(first.numerator, first.sample.effective_n, second.numerator, second.sample.effective_n)
    interval = two_rates.gap_interval(level)
    if not first.sample.repeats and not second.sample.repeats:
        return interval
    return interval.model_copy(
        update={"method": f"{interval.method}, {first.sample.units_in_words} and {second.sample.units_in_words}"}
    )
