"""What rows without a group could do to a gap: bounds over every way to give each of them a group."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import brentq


@dataclass(frozen=True)
class GapBounds:
    """The least and the most that the largest gap of a rate could be, had every row a group.

    Attributes:
        low: no assignment has a smaller gap. It would be reached if rows could be split between groups; whole rows may
            leave a little more.
        high: the largest gap of any assignment, reached by one.
    """

    low: float
    high: float


def gap_bounds(
    numerators: ArrayLike, denominators: ArrayLike, missing_numerator: int, missing_denominator: int
) -> GapBounds:
    """Return the bounds of the largest gap when each missing row may be in any of the G groups.

    They say nothing about chance: an interval of the gap comes on top. Groups without a case take no part.

    Args:
        numerators, denominators: (G,) of the groups that are known, denominators above 0, G above 1.
        missing_numerator, missing_denominator: those of the rows without a group.

    Source: worst-case bounds after Manski 2003, Partial Identification of Probability Distributions, chapter 1.

    >>> gap_bounds([8, 5], [10, 10], 0, 0)
    GapBounds(low=0.3, high=0.3)
    >>> gap_bounds([8, 5], [10, 10], 2, 4)
    GapBounds(low=0.083333333333, high=0.416666666667)
    """
    numerators, denominators = (np.asarray(array, dtype=np.float64) for array in (numerators, denominators))
    if len(denominators) < 2 or not ((denominators > 0) & (numerators >= 0) & (numerators <= denominators)).all():
        raise ValueError("expected two groups or more with 0 <= numerators <= denominators and denominators > 0")
    if not 0 <= missing_numerator <= missing_denominator:
        raise ValueError(
            f"expected 0 <= missing_numerator <= missing_denominator, got {missing_numerator} and {missing_denominator}"
        )
    failures, missing_failures = denominators - numerators, missing_denominator - missing_numerator
    pooled = (numerators.sum() + missing_numerator) / (denominators.sum() + missing_denominator)
    lowest = _highest_floor(numerators, denominators, missing_numerator, pooled)
    highest = 1 - _highest_floor(failures, denominators, missing_failures, 1 - pooled)
    return GapBounds(
        low=_round_gap(highest - lowest),
        high=_widest_gap(numerators, denominators, missing_numerator, missing_failures),
    )


def _widest_gap(
    numerators: np.ndarray, denominators: np.ndarray, missing_numerator: int, missing_failures: int
) -> float:
    """Return the gap when one group gets every missing success and another every missing failure, for the best pair.

    Of two of (G,) groups, a success raises the gap most in the upper one and a failure in the lower one; the other
    groups can at most be further apart than these two, and are then a pair themselves.
    """
    raised, lowered = (
        (numerators + missing_numerator) / (denominators + missing_numerator),
        numerators / (denominators + missing_failures),
    )
    gaps = raised[:, None] - lowered
    np.fill_diagonal(gaps, -np.inf)
    return _round_gap(float(gaps.max()))


def _highest_floor(numerators: np.ndarray, denominators: np.ndarray, missing_numerator: int, pooled: float) -> float:
    """Return the highest rate that all (G,) groups can be lifted to at once, at most the pooled rate.

    A group with h successes of n needs x = (f n - h) / (1 - f) of the missing successes to reach the rate f, and the
    failures that are missing are kept away from it. Floor and ceiling can be had together: an assignment of fractions
    of rows that keeps every group between both exists exactly when the successes suffice for the floor, the failures
    for the ceiling, and the pooled rate lies between (the sum of the sets that each group allows has no other edges).
    """

    def lacking_numerator(floor: float) -> float:
        return float(np.maximum(floor * denominators - numerators, 0).sum()) - missing_numerator * (1 - floor)

    if lacking_numerator(pooled) <= 0:
        return pooled
    least = float((numerators / denominators).min())
    return least if lacking_numerator(least) >= 0 else float(brentq(lacking_numerator, least, pooled, xtol=1e-14))


def _round_gap(gap: float) -> float:
    """Return the gap without the rounding that would make 0.3 of 0.8 - 0.5."""
    return max(round(gap, 12), 0.0)
