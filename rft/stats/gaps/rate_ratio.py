"""Ratios of rates of several groups to the highest of them: one interval for every ratio that a report states.

Which group has the highest rate is itself drawn by chance. So the interval of a ratio to the highest rate comes from
the intervals of all pairs of groups at once, and never reaches above 1.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import ndtri

from rft.records import Interval
from rft.references import CLOPPER_PEARSON, KATZ, ZOU_DONNER
from rft.stats.intervals import CONFIDENCE_LEVEL, clopper_pearson_ends

SOURCES = (ZOU_DONNER, CLOPPER_PEARSON, KATZ)


def smallest_ratio(numerators: ArrayLike, denominators: ArrayLike, *, level: float = CONFIDENCE_LEVEL) -> Interval:
    """Return the interval of the lowest rate over the highest of G groups, whichever these are.

    Where the intervals of all pairs hold, the smallest true ratio is at least the smallest lower end and at most the
    smallest upper one.

    Args:
        numerators, denominators: (G,) of each group, G above 1, 0 <= numerator <= denominator, denominators above 0;
            fractions of an effective number where rows repeat units.
        level: nominal coverage, divided among the pairs (Bonferroni).

    >>> interval = smallest_ratio([18, 32], [40, 50])
    >>> round(interval.low, 3), round(interval.high, 3)
    (0.431, 1.0)
    """
    low, high = ratios_to_highest(numerators, denominators, level=level)
    return Interval(low=float(low.min()), high=float(high.min()), method=name_ratio_method(len(low), level))


def ratios_to_highest(
    numerators: ArrayLike, denominators: ArrayLike, *, level: float = CONFIDENCE_LEVEL
) -> tuple[np.ndarray, np.ndarray]:
    """Return the (G,) ends of intervals of the ratio of each rate to the highest, for all G groups at once.

    Arguments as for ``smallest_ratio``. The group that has the highest rate in the sample may not be the one that truly
    has it, so its ratio has an interval too.
    """
    numerators, denominators = (np.asarray(array, dtype=np.float64) for array in (numerators, denominators))
    if (
        numerators.ndim != 1
        or len(numerators) < 2
        or not ((denominators > 0) & (numerators >= 0) & (numerators <= denominators * (1 + 1e-9))).all()
    ):
        raise ValueError("expected two groups or more with 0 <= numerators <= denominators and denominators > 0")
    pairs = len(denominators) * (len(denominators) - 1) / 2  # a pair and its inverse are the same statement
    low, high = ratio_ends(
        numerators[:, None], denominators[:, None], numerators, denominators, level=1 - (1 - level) / pairs
    )
    np.fill_diagonal(low, 1.0)
    np.fill_diagonal(high, 1.0)
    return np.minimum(low.min(axis=1), 1.0), np.minimum(high.min(axis=1), 1.0)


def name_ratio_method(groups: int, level: float) -> str:
    """Return what intervals of so many groups are called."""
    pairs = groups * (groups - 1) // 2
    bonferroni = f", Bonferroni over {pairs} pairs" if pairs > 1 else ""
    return f"MOVER on logarithms of Clopper-Pearson limits {100 * level:g} %, no narrower than Katz{bonferroni}"


def ratio_ends(
    numerators: ArrayLike,
    denominators: ArrayLike,
    second_numerators: ArrayLike,
    second_denominators: ArrayLike,
    *,
    level: float = CONFIDENCE_LEVEL,
) -> tuple[np.ndarray, np.ndarray]:
    """Return the ends of intervals of ratios of rates, each of which errs in at most (1 - level) / 2 of samples.

    Square and add of the distances of the logarithms to Clopper-Pearson limits, with a continuity correction of
    1 / (2 sqrt(h h')), h and h' being the numerators and one half; and as wide at least as Katz's with one half added
    to successes and failures, which stays safe at strict levels. By exact enumeration over sizes of 10 to 1,000, ratios
    of .3 to .9 and all rates, an end errs in at most 2.3 % of samples at 95 %, and in no more than the nominal share at
    98 to 99.5 %. Katz's alone does in up to 7 %.

    Args:
        numerators, denominators, second_numerators, second_denominators: of any shapes that broadcast; each numerator
            within 0 to its denominator, denominators above 0. With a numerator of 0 the lower end is 0, with a second
            numerator of 0 the upper end is infinite.
        level: nominal coverage, between 0 and 1.

    Source: Zou and Donner 2008, Stat. Med. 27:1693; Katz et al. 1978, Biometrics 34:469, method C, with the halves of
    Pettigrew et al. 1986, Biometrika 73:425.
    """
    numerators, denominators, second_numerators, second_denominators = np.broadcast_arrays(
        *(
            np.asarray(array, dtype=np.float64)
            for array in (numerators, denominators, second_numerators, second_denominators)
        )
    )
    (low, high), (second_low, second_high) = (
        clopper_pearson_ends(*counts, level=level)
        for counts in ((numerators, denominators), (second_numerators, second_denominators))
    )
    continuity = np.exp(0.5 / np.sqrt((numerators + 0.5) * (second_numerators + 0.5)))
    with np.errstate(divide="ignore", invalid="ignore"):  # replaced below
        rate, second_rate = numerators / denominators, second_numerators / second_denominators
        ratio = rate / second_rate
        below = ratio / np.exp(np.hypot(np.log(rate / low), np.log(second_high / second_rate)))
        above = ratio * np.exp(np.hypot(np.log(high / rate), np.log(second_rate / second_low)))
        below = np.where(second_numerators > 0, below, low / second_high)
        above = np.where(numerators > 0, above, high / second_low)
    katz_low, katz_high = _katz_ends(numerators, denominators, second_numerators, second_denominators, level)
    return (
        np.where(numerators > 0, np.minimum(below / continuity, katz_low), 0.0),
        np.where(second_numerators > 0, np.maximum(above * continuity, katz_high), np.inf),
    )


def _katz_ends(
    numerators: np.ndarray,
    denominators: np.ndarray,
    second_numerators: np.ndarray,
    second_denominators: np.ndarray,
    level: float,
) -> tuple[np.ndarray, np.ndarray]:
    parts: Sequence[np.ndarray] = (
        1 / (numerators + 0.5),
        -1 / (denominators + 1),
        1 / (second_numerators + 0.5),
        -1 / (second_denominators + 1),
    )
    half = float(ndtri(0.5 + level / 2)) * np.sqrt(sum(parts))
    centre = np.log((numerators + 0.5) / (denominators + 1)) - np.log(
        (second_numerators + 0.5) / (second_denominators + 1)
    )
    return np.exp(centre - half), np.exp(centre + half)
