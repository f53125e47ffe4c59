"""What rows without a group could do to a gap: bounds over every way to give each of them a group."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import brentq

MANSKI = "Manski 2003, Partial Identification of Probability Distributions"


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


def gap_bounds(hits: ArrayLike, n: ArrayLike, missing_hits: int, missing_n: int) -> GapBounds:
    """Return the bounds of the largest gap when each missing row may be in any of the G groups.

    They say nothing about chance: an interval of the gap comes on top. Groups without a case take no part.

    Args:
        hits, n: (G,) hits and cases of the groups that are known, ``n`` above 0, G above 1.
        missing_hits, missing_n: those of the rows without a group.

    Source: worst-case bounds after Manski 2003, Partial Identification of Probability Distributions, chapter 1.

    >>> gap_bounds([8, 5], [10, 10], 0, 0)
    GapBounds(low=0.3, high=0.3)
    >>> gap_bounds([8, 5], [10, 10], 2, 4)
    GapBounds(low=0.083333333333, high=0.416666666667)
    """
    hits, n = (np.asarray(array, dtype=np.float64) for array in (hits, n))
    if len(n) < 2 or not ((n > 0) & (hits >= 0) & (hits <= n)).all():
        raise ValueError("expected two groups or more with 0 <= hits <= n and n > 0")
    if not 0 <= missing_hits <= missing_n:
        raise ValueError(f"expected 0 <= missing_hits <= missing_n, got {missing_hits} and {missing_n}")
    failures, missing_failures = n - hits, missing_n - missing_hits
    pooled = (hits.sum() + missing_hits) / (n.sum() + missing_n)
    lowest = _highest_floor(hits, n, missing_hits, pooled)
    highest = 1 - _highest_floor(failures, n, missing_failures, 1 - pooled)
    return GapBounds(low=_cleaned(highest - lowest), high=_widest(hits, n, missing_hits, missing_failures))


def _widest(hits: np.ndarray, n: np.ndarray, missing_hits: int, missing_failures: int) -> float:
    """Return the gap when one group gets every missing hit and another every missing failure, for the best such pair.

    Of two groups, a hit raises the gap most in the upper one and a failure in the lower one; the other groups can at
    most be further apart than these two, and are then a pair themselves.
    """
    raised, lowered = (hits + missing_hits) / (n + missing_hits), hits / (n + missing_failures)
    gaps = raised[:, None] - lowered
    np.fill_diagonal(gaps, -np.inf)
    return _cleaned(float(gaps.max()))


def _highest_floor(hits: np.ndarray, n: np.ndarray, missing_hits: int, pooled: float) -> float:
    """Return the highest rate that all groups can be lifted to at once, at most the pooled rate.

    A group with h hits of n needs x = (f n - h) / (1 - f) of the missing hits to reach the rate f, and the failures
    that are missing are kept away from it. Floor and ceiling can be had together: an assignment of fractions of rows
    that keeps every group between both exists exactly when the hits suffice for the floor, the failures for the
    ceiling, and the pooled rate lies between (the sum of the sets that each group allows has no other edges).
    """

    def lacking(floor: float) -> float:
        return float(np.maximum(floor * n - hits, 0).sum()) - missing_hits * (1 - floor)

    if lacking(pooled) <= 0:
        return pooled
    least = float((hits / n).min())
    return least if lacking(least) >= 0 else float(brentq(lacking, least, pooled, xtol=1e-14))


def _cleaned(gap: float) -> float:
    """Return the gap without the rounding that would make 0.3 of 0.8 - 0.5."""
    return max(round(gap, 12), 0.0)
