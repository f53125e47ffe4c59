"""Tests of two independent proportions: that they are equal, and that one is at least so many times the other."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr
from scipy.stats import beta, binom, fisher_exact

MAX_ROWS_OF_EXACT_TEST = 5_000  # rows of the reference up to which the test of a ratio is exact: about 0.1 s
_GRID = 200  # values of the nuisance parameter over which the supremum is taken
_OUTSIDE = 1e-6  # chance that the nuisance parameter lies outside the values looked at, added to the p-value


@dataclass(frozen=True)
class PValue:
    """A p-value in [0, 1], and whether it is exact or rests on a normal approximation."""

    value: float
    exact: bool


def equality_p_value(selected: int, n: int, other_selected: int, other_n: int) -> float:
    """Return the two-sided p-value of Fisher's exact test that two proportions are equal; all n above 0."""
    table = [[selected, n - selected], [other_selected, other_n - other_selected]]
    return min(float(fisher_exact(table).pvalue), 1.0)


def ratio_p_value(selected: int, n: int, other_selected: int, other_n: int, *, ratio: float) -> PValue:
    """Return the p-value of the hypothesis that the first proportion is at least ``ratio`` times the other.

    A small p-value speaks for a ratio below. Exact up to ``MAX_ROWS_OF_EXACT_TEST`` rows of the other group: the
    unconditional test that orders outcomes by the score statistic (Chan 1998), its supremum taken over a confidence set
    of the other proportion (Berger and Boos 1994). Beyond, the score test itself (Farrington and Manning 1990).

    Args:
        selected, n: of the group in question; 0 <= selected <= n, n above 0.
        other_selected, other_n: of the group that it is compared with.
        ratio: above 0, at most 1.
    """
    observed = float(score_statistic(np.asarray(selected), n, np.asarray(other_selected), other_n, ratio))
    if other_n > MAX_ROWS_OF_EXACT_TEST:
        return PValue(float(ndtr(observed)), exact=False)
    others = np.arange(other_n + 1)
    extreme = _most_extreme(observed, n, others, other_n, ratio)
    shares = np.linspace(*_confidence_set(other_selected, other_n), _GRID)[:, np.newaxis]
    chances = binom.pmf(others, other_n, shares) * binom.cdf(extreme, n, ratio * shares)
    return PValue(min(float(chances.sum(axis=1).max()) + _OUTSIDE, 1.0), exact=True)


def score_statistic(selected: np.ndarray, n: int, other_selected: np.ndarray, other_n: int, ratio: float) -> np.ndarray:
    """Return the score statistic of a ratio of proportions: below 0 where it is less than ``ratio``.

    The variance is that of the proportions most likely when the ratio holds (Farrington and Manning 1990, equation 4);
    0 where there is nothing to tell, since nobody was selected.

    Args:
        selected, other_selected: (...) counts that can be broadcast.
        n, other_n: numbers of rows, above 0.
        ratio: above 0, at most 1.
    """
    a = ratio * (n + other_n)
    b = -(ratio * (n + other_selected) + selected + other_n)
    c = selected + other_selected
    share = np.clip((-b - np.sqrt(np.maximum(b**2 - 4 * a * c, 0.0))) / (2 * a), 0.0, 1.0)
    first = np.clip(ratio * share, 0.0, 1.0)
    variance = first * (1 - first) / n + ratio**2 * share * (1 - share) / other_n
    difference = selected / n - ratio * other_selected / other_n
    return np.asarray(np.divide(difference, np.sqrt(variance), out=np.zeros(np.shape(variance)), where=variance > 0))


def _most_extreme(observed: float, n: int, others: np.ndarray, other_n: int, ratio: float) -> np.ndarray:
    """Return, for each of (C,) counts of the other group, the largest count with a statistic no larger; -1 without one.

    The statistic rises with the count, so that bisection finds it.
    """
    low, high = np.full(len(others), -1), np.full(len(others), n)
    for _ in range(math.ceil(math.log2(n + 2))):
        middle = (low + high + 1) // 2
        inside = score_statistic(middle, n, others, other_n, ratio) <= observed + 1e-9
        low, high = np.where(inside, middle, low), np.where(inside, high, middle - 1)
    return low


def _confidence_set(selected: int, n: int) -> tuple[float, float]:
    """Return the interval of Clopper and Pearson at the level 1 - ``_OUTSIDE``."""
    low = float(beta.ppf(_OUTSIDE / 2, selected, n - selected + 1)) if selected else 0.0
    high = float(beta.ppf(1 - _OUTSIDE / 2, selected + 1, n - selected)) if selected < n else 1.0
    return low, high
