"""Two shares of the same cases: what the pairs that differ say of their difference."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import brentq
from scipy.special import ndtri
from scipy.stats import binom

from rft.records import Interval
from rft.stats.gaps.power import POWER
from rft.stats.intervals import CONFIDENCE_LEVEL

_RARE = 1e-9  # probability of counts that are left out of a power


def mcnemar_p_value(won: int, lost: int) -> float:
    """Return how often so many of the pairs that differ are won, or more, where each is won or lost by a fair coin.

    The exact test of McNemar 1947, Psychometrika 12:153, on the one side: it speaks for more wins alone. Without a pair
    that differs it is 1.

    Args:
        won, lost: pairs in which only the first, or only the other, is a success.

    >>> round(mcnemar_p_value(10, 0), 6)
    0.000977
    """
    return float(binom.sf(won - 1, won + lost, 0.5))


def fewest_telling_pairs(level: float = CONFIDENCE_LEVEL) -> int:
    """Return the smallest number of pairs that can tell a change from chance: all of them, changed to one side.

    With fewer the exact test of McNemar, on both sides, rejects nothing whatever the pairs are.

    >>> fewest_telling_pairs()
    6
    """
    return math.ceil(math.log2(2 / (1 - level)) - 1e-9)


def smallest_excess(
    n: int, lost: float, *, alpha: float, floor: float, level: float = CONFIDENCE_LEVEL, power: float = POWER
) -> float | None:
    """Return the smallest difference of paired shares that is found with the given power, None where none is.

    Found is what ``mcnemar_p_value`` puts at ``alpha`` or below while ``tango_interval`` lies above ``floor``. Both are
    asked of every count of pairs that there can be, so the power is exact.

    Args:
        n: number of pairs, above 0.
        lost: share of pairs in which only the other is a success, below one half.
        alpha: of the exact test.
        floor: what the interval has to lie above.
        level: of the interval.
        power: between 0 and 1.
    """
    losses = np.arange(int(binom.isf(_RARE, n, lost)) + 1)
    fewest = _fewest_wins(losses, n, alpha, floor, level)
    weights, widest = binom.pmf(losses, n, lost), 1 - 2 * lost

    def lacking_power(excess: float) -> float:
        chance = min((lost + excess) / (1 - lost), 1.0)
        return power - float(weights @ binom.sf(fewest - 1, n - losses, chance))

    return None if lacking_power(widest) > 0 else float(brentq(lacking_power, 0.0, widest, xtol=1e-5))


def _fewest_wins(losses: np.ndarray, n: int, alpha: float, floor: float, level: float) -> np.ndarray:
    """Return (L,) how many wins are found beside each number of losses; ``n + 1`` where no number is."""
    wins = np.arange(n + 1)[:, None]
    possible = wins + losses <= n
    surely_above = wins - losses - n * floor > _normal_quantile(level) * np.sqrt(
        n * _pair_variance(wins, losses, n, floor)
    )
    found = possible & surely_above & (binom.sf(wins - 1, wins + losses, 0.5) <= alpha)
    fewest: np.ndarray = np.where(found.any(axis=0), found.argmax(axis=0), n + 1)
    return fewest


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
    z = _normal_quantile(level)
    return Interval(
        low=_lowest_difference(won, lost, n, z),
        high=-_lowest_difference(lost, won, n, z),
        method=f"Tango score for paired shares {100 * level:g} %",
    )


def _lowest_difference(won: float, lost: float, n: float, z: float) -> float:
    def excess(difference: float) -> float:
        return (won - lost - n * difference) ** 2 - z**2 * n * float(_pair_variance(won, lost, n, difference))

    observed = (won - lost) / n
    if observed <= -1:
        return -1.0
    below = observed - 1e-12  # the observed difference itself can solve the equation, and is not the root meant
    return float(brentq(excess, -1.0, below))


def _pair_variance(won: ArrayLike, lost: ArrayLike, n: float, difference: float) -> np.ndarray:
    """Return the variance of a pair's difference, at the likeliest share of lost pairs for this difference."""
    won, lost = np.asarray(won, dtype=np.float64), np.asarray(lost, dtype=np.float64)
    linear = won + lost - (2 * n - won + lost) * difference
    constant = lost * difference * (1 - difference)
    lost_share = (linear + np.sqrt(np.maximum(linear**2 + 8 * n * constant, 0.0))) / (4 * n)
    variance: np.ndarray = np.maximum(2 * lost_share + difference * (1 - difference), 0.0)
    return variance


def _normal_quantile(level: float) -> float:
    return float(ndtri(0.5 + level / 2))
