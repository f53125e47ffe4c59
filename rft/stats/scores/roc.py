"""How well a score tells members from non-members: rates and the curve, with intervals. Numbers only.

The area under the curve stands in ``rft.stats.scores.auc``. The threshold for a false-positive rate is itself
estimated, from the non-members: an interval that takes it for known misses the true rate in 15 to 85 % of samples.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.stats import binom

from rft.records import Interval
from rft.stats import intervals
from rft.stats.intervals import CONFIDENCE_LEVEL

MIN_NON_MEMBERS_ABOVE = 10  # non-members that must be expected above a threshold for its rate to count as measured
METHOD = "Wilson and order statistics, squared and added (Zou and Donner 2008, Stat. Med. 27:1693)"


@dataclass(frozen=True)
class TruePositiveRate:
    """A true-positive rate with its interval."""

    value: float
    interval: Interval


def finest_fpr(n_non_members: int) -> float:
    """Return the lowest false-positive rate at which a true-positive rate is measured: 10 / n."""
    return MIN_NON_MEMBERS_ABOVE / n_non_members


def tpr_at_fpr(
    fpr: float, members: np.ndarray, non_members: np.ndarray, *, level: float = CONFIDENCE_LEVEL
) -> TruePositiveRate | None:
    """Return the share of members above the threshold that the share ``fpr`` of non-members exceeds.

    The interval adds up two uncertainties in the way of Zou and Donner 2008: of a share of n members (Wilson), and of
    the threshold, whose limits are the non-members' order statistics with binomial ranks. In simulations with normal,
    Student and wider scores, 300 to 30,000 members and 1,000 to 10,000 non-members, it held the true rate in 94 to
    99 % of samples.

    Args:
        fpr: in (0, 1).
        members, non_members: scores of independent members (M,) and non-members (K,); higher is more like a member.
        level: nominal coverage.

    Returns:
        None with fewer than 10 / fpr non-members.
    """
    n = len(non_members)
    if n < MIN_NON_MEMBERS_ABOVE / fpr - 1e-9 or not len(members):
        return None
    falling, rising = _falling_thresholds(non_members), np.sort(members)

    def share_above(allowed: float) -> float:
        return 1 - float(np.searchsorted(rising, falling[int(allowed)], side="right")) / len(members)

    value = share_above(fpr * n + 1e-9)
    fewest, most = (share_above(rank) for rank in binom.ppf([(1 - level) / 2, (1 + level) / 2], n, fpr))
    sampled = intervals.wilson_interval(value * len(members), len(members), level=level)
    low = value - math.hypot(value - sampled.low, value - fewest)
    high = value + math.hypot(sampled.high - value, most - value)
    return TruePositiveRate(
        value, Interval(low=max(low, 0.0), high=min(high, 1.0), method=f"{METHOD} {100 * level:g} %")
    )


def roc_curve(members: np.ndarray, non_members: np.ndarray, *, points: int) -> list[tuple[float, float]]:
    """Return (false-positive rate, true-positive rate) pairs, from the finest measured rate up to (1, 1).

    At most ``points`` of them, evenly spread over the logarithm of the false-positive rate; none with fewer than 10
    non-members.
    """
    n = len(non_members)
    if n < MIN_NON_MEMBERS_ABOVE or not len(members):
        return []
    allowed = np.unique(np.geomspace(MIN_NON_MEMBERS_ABOVE, n, points).round().astype(int))
    falling, rising = _falling_thresholds(non_members), np.sort(members)
    above = len(members) - np.searchsorted(rising, falling[allowed], side="right")
    return [(float(count / n), float(n_above / len(members))) for count, n_above in zip(allowed, above, strict=True)]


def _falling_thresholds(scores: np.ndarray) -> np.ndarray:
    """Return the (n + 1,) thresholds that 0, 1, ... n of these (n,) scores exceed."""
    return np.append(np.sort(scores)[::-1], -np.inf)
