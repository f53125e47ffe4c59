"""The difference of two accuracies on the same examples."""

from __future__ import annotations

import math

import numpy as np
from scipy.optimize import brentq
from scipy.special import ndtri

from rft.records import Interval
from rft.stats.intervals import CONFIDENCE_LEVEL, Sample


def paired_difference(
    hits: np.ndarray, other_hits: np.ndarray, units: np.ndarray, *, level: float = CONFIDENCE_LEVEL
) -> Interval:
    """Return the interval of the accuracy of the first classifier minus that of the other.

    Args:
        is_correct, other_hits: (n,) booleans, whether each is right about an example; n above 0.
        units: (n,) whose each example is; the interval rests on the effective number of units.
        level: nominal coverage, between 0 and 1.
    """
    sample = Sample.from_units(units)
    worth = sample.effective_n / sample.rows
    won, lost = (worth * float(np.sum(only)) for only in (hits & ~other_hits, other_hits & ~hits))
    return sample.note_units(tango_interval(won, lost, sample.effective_n, level=level))


def tango_interval(won: float, lost: float, n: float, *, level: float = CONFIDENCE_LEVEL) -> Interval:
    """Return the score interval of a difference of paired proportions, ``(won - lost) / n``.

    It holds every difference that the score test does not reject, so it lies beside 0 exactly when McNemar's test
    rejects; without a discordant pair it still has a width.

    Args:
        won, lost: pairs in which only the first, or only the other, is a success; fractions of an effective number.
        n: number of pairs, above 0.
        level: nominal coverage, between 0 and 1.

    Raises:
        ValueError: when ``won`` and ``lost`` are below 0 or together above ``n``.

    Source: Tango 1998, Stat. Med. 17:891.

    >>> interval = tango_interval(1, 7, 21)
    >>> round(interval.low, 3), round(interval.high, 3)
    (-0.517, -0.026)
    """
    if not (won >= 0 and lost >= 0 and n > 0 and won + lost <= n * (1 + 1e-9)):
        raise ValueError(f"expected won and lost of n pairs, got {won=}, {lost=}, {n=}")
    z = float(ndtri(0.5 + level / 2))
    return Interval(
        low=_lowest_difference(won, lost, n, z),
        high=-_lowest_difference(lost, won, n, z),
        method=f"Tango score for paired shares {100 * level:g} %",
    )


def _lowest_difference(won: float, lost: float, n: float, z: float) -> float:
    def excess(difference: float) -> float:
        return (won - lost - n * difference) ** 2 - z**2 * n * _pair_variance(won, lost, n, difference)

    observed = (won - lost) / n
    if observed <= -1:
        return -1.0
    below = observed - 1e-12  # the observed difference itself can solve the equation, and is not the root meant
    return float(brentq(excess, -1.0, below))


def _pair_variance(won: float, lost: float, n: float, difference: float) -> float:
    """Return the variance of a pair's difference, at the likeliest share of lost pairs for this difference."""
    linear = won + lost - (2 * n - won + lost) * difference
    constant = lost * difference * (1 - difference)
    lost_share = (linear + math.sqrt(max(linear**2 + 8 * n * constant, 0.0))) / (4 * n)
    return max(2 * lost_share + difference * (1 - difference), 0.0)
