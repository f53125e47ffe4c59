"""How many independent cases the rows of people are worth to a rate, and to an average of rates."""

from __future__ import annotations

import numpy as np
from scipy.special import ndtri, stdtrit

from rft.stats.intervals import Sample
from rft.stats.resampling import Sums, with_added

FEW = 30  # units, below which their variance is not estimated
DESIGN_EFFECT = "Kish 1965, Survey Sampling; Korn and Graubard 1998, Survey Methodology 24:193"
CORRELATION = "Ridout, Demetrio and Firth 1999, Biometrics 55:137"


def sample_of_rate(sums: Sums) -> Sample:
    """Return the number of independent cases on which a Wilson or Clopper-Pearson interval of a rate should rest.

    It lies between Kish's number, for rows of a unit that always agree (the number of units when their sizes are
    equal), and the number of rows. Of two estimates the smaller one is taken, each with a margin for being estimated:

    - rows over the design effect, the linearised variance of the rate over units divided by that of as many independent
      rows (Korn and Graubard 1998); where sizes are very unequal and few cases fail, it depends on whether one of the
      large units is among them, and alone it covers 84 % at a rate of .95;
    - rows over 1 + r (sum m^2 / sum m - 1), r the correlation within units (Kish 1965), which all pairs of rows
      estimate; it takes large units for no other than small ones.

    Where Kish's number is under 30, and so with under 30 units, it is Kish's number. In simulations with 12 to 600
    units of 1 to 2,000 rows (equal, 2 to 8, log-normal, Pareto with exponents 1.05 to 2.5), correlations 0 to 1 and
    rates of .01 to .99 Wilson's interval covered 92 % or more, as it does on Kish's number, and 97 % on average; it is
    a fifth shorter than on that.

    Args:
        sums: of one ratio (R = 1), of successes over cases, each unit in a kind of its own or counted together.
    """
    successes, cases = sums.numerators[:, 0], sums.denominators[:, 0]
    rows, units = float(sums.units @ cases), round(float(sums.units.sum()))
    kish = rows**2 / float(sums.units @ cases**2)
    n = kish
    if rows > units and kish >= FEW:
        smoothed = with_added(Sums(successes[:, None], cases[:, None], sums.units))
        by_variance = _rows_over_design_effect(smoothed, rows) * _for_degrees(kish - 1)
        r = _highest_correlation(successes, cases, sums.units, smoothed.value)
        n = float(np.clip(min(by_variance, rows / (1 + r * (rows / kish - 1))), kish, rows))
    return Sample(rows=round(rows), units=units, effective_n=n)


def _rows_over_design_effect(smoothed: Sums, rows: float) -> float:
    """Return rows over the design effect, one success and one failure of average size added to either variance."""
    rate = smoothed.value
    of_rows = rate * (1 - rate) / float(smoothed.units @ smoothed.denominators[:, 0])
    return rows * of_rows / smoothed.variance


def _highest_correlation(successes: np.ndarray, cases: np.ndarray, units: np.ndarray, rate: float) -> float:
    """Return the correlation of two cases of a unit plus its standard error, within 0 and 1.

    A moment estimator: products of deviations over all pairs of cases of a unit, each unit weighted by 1 / (m - 1).

    Args:
        successes, cases: (P,) of each kind of unit.
        units: (P,) how many units are of each kind.
        rate: the rate, above 0 and below 1.
    """
    paired = cases > 1
    m, count, variance = cases[paired], units[paired], rate * (1 - rate)
    products = (successes[paired] - rate * m) ** 2 - m * variance
    pairs = count @ m * variance  # sum of w m (m - 1) with w = 1 / (m - 1)
    correlation = float(count @ (products / (m - 1)) / pairs)
    strays = products / (m - 1) - correlation * variance * m
    return float(np.clip(correlation + np.sqrt(count @ strays**2) / pairs, 0.0, 1.0))


def sample_of_average(sums: Sums) -> Sample:
    """Return the same for an average of ratios of 0 to 1: balanced accuracy, a macro average.

    As many cases as leave a proportion with the linearised variance of the average over units (Korn and Graubard 1998),
    one success and one failure added to it, less by (z / t)^2. A group without errors keeps a width. In simulations
    with 2 to 10 classes and 30 to 360 rows Wilson's interval covered 92 % or more, macro F1 of 20 classes of 5 rows
    86 %, and averages over 150 people whose numbers of rows follow a Pareto law (1.2) 86 to 87 %.

    Args:
        sums: of R ratios with denominators above 0.
    """
    smoothed = with_added(sums)
    n = smoothed.value * (1 - smoothed.value) / smoothed.variance * _for_degrees(_degrees_of_average(smoothed, sums))
    rows = sums.units @ sums.denominators.max(axis=1)
    return Sample(rows=round(float(rows)), units=round(float(sums.units.sum())), effective_n=n)


def _degrees_of_average(smoothed: Sums, sums: Sums) -> float:
    """Return the degrees of freedom of the variance of an average, 1 or more (Satterthwaite 1946, Biom. Bull. 2:110).

    Each ratio's own variance has as many as Kish's number of its units, less 1.
    """
    strays = smoothed.numerators - smoothed.values * smoothed.denominators
    variances = smoothed.units @ strays**2 / (smoothed.units @ smoothed.denominators) ** 2
    kish = (sums.units @ sums.denominators) ** 2 / (sums.units @ sums.denominators**2)
    return max(float(variances.sum() ** 2 / (variances**2 / np.maximum(kish - 1, 0.5)).sum()), 1.0)


def _for_degrees(freedom: float) -> float:
    """Return (z / t)^2 at 95 %: what is left of n when its variance is estimated with so many degrees of freedom."""
    return (float(ndtri(0.975)) / float(stdtrit(freedom, 0.975))) ** 2
