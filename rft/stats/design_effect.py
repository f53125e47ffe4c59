"""Intervals of one group: how many independent cases its rows are worth, and means over units."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import ndtri, stdtrit

from rft.records import Interval
from rft.stats.intervals import LEVEL, wilson
from rft.stats.resampling import Sums, with_added

FEW = 30  # units, below which their variance is not estimated
DESIGN_EFFECT = "Kish 1965, Survey Sampling; Korn and Graubard 1998, Survey Methodology 24:193"


@dataclass(frozen=True)
class EffectiveCases:
    """What a rate rests on.

    Attributes:
        n: the effective number of cases, at most ``rows``.
        rows: the cases: rows that the rate is a share of.
        units: distinct units among them.
        kish: what the rows would be worth if all rows of a unit always agreed; the number of units when all have
            equally many rows.
    """

    n: float
    rows: float
    units: int
    kish: float

    @property
    def design_effect(self) -> float:
        """Return how many rows are worth one independent case, 1 or more."""
        return self.rows / self.n


def effective_cases(sums: Sums) -> EffectiveCases:
    """Return the number of independent cases on which a Wilson or Clopper-Pearson interval of a rate should rest.

    Rows divided by the design effect: the linearised variance of the rate over units divided by that of as many
    independent rows, with one success and one failure of average size added to both, and less by (z / t)^2 since the
    variance is itself estimated from few units (Korn and Graubard 1998). It lies between Kish's number, for rows of a
    unit that always agree, and the number of rows. Where Kish's number is under 30, and so with under 30 units, it is
    Kish's number: the number of units when their sizes are equal.

    In simulations with units of 2 to 8 rows that agree in part (correlations 0 to .8) and rates of .02 to .5, Wilson's
    interval covered 94.8 % or more from 30 units on, and 94 % or more at 12. The bare number of units covered 85 to
    92 % at 12 units with sizes spread e-fold, and the design effect without the additions 90 to 92 % for low rates.

    Args:
        sums: of one ratio (R = 1), of hits over cases, each unit in a kind of its own or counted together.
    """
    hits, cases = sums.numerators[:, 0], sums.denominators[:, 0]
    rows, units = float(sums.units @ cases), round(float(sums.units.sum()))
    kish = rows**2 / float(sums.units @ cases**2)
    if rows == units or kish < FEW:
        return EffectiveCases(n=kish, rows=rows, units=units, kish=kish)
    smoothed = with_added(Sums(hits[:, None], cases[:, None], sums.units))
    of_rows = smoothed.value * (1 - smoothed.value) / float(smoothed.units @ smoothed.denominators[:, 0])
    worth = rows * of_rows / smoothed.variance * _for_degrees(kish - 1)
    return EffectiveCases(n=float(np.clip(worth, kish, rows)), rows=rows, units=units, kish=kish)


def interval_of_average(sums: Sums, *, level: float = LEVEL) -> Interval | None:
    """Return the interval of an average of ratios of 0 to 1: balanced accuracy, a macro average. None for one unit.

    Wilson's for as many cases as leave a proportion with the variance of the average over units (Korn and Graubard
    1998), one success and one failure added to it, less by (z / t)^2. A group without errors keeps a width.

    Args:
        sums: of R ratios with denominators above 0.
        level: nominal coverage.
    """
    units = float(sums.units.sum())
    if units < 2:
        return None
    smoothed = with_added(sums)
    worth = smoothed.value * (1 - smoothed.value) / smoothed.variance * _for_degrees(units - 1)
    interval = wilson(sums.value * worth, worth, level=level)
    return interval.model_copy(update={"method": f"{interval.method} on the linearised variance, {units:.0f} units"})


def _for_degrees(freedom: float) -> float:
    """Return (z / t)^2 at 95 %: what is left of n when its variance is estimated with so many degrees of freedom."""
    return (float(ndtri(0.975)) / float(stdtrit(freedom, 0.975))) ** 2
