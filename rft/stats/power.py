"""The smallest gap that an audit of this size would have found: what stands beside "no difference found"."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import brentq
from scipy.special import ndtri
from scipy.stats import binom

from rft.stats.max_t import draws_for, largest_gap
from rft.stats.resampling import rates

POWER = 0.8
DRAWS = 999
SEED = 0  # the same draws for every gap that is tried: power then grows smoothly with the gap


@dataclass(frozen=True)
class Detectable:
    """The smallest gap that would have been found, or None where none could be.

    Attributes:
        gap: between the two groups that are hardest to tell apart, the others half way between them; a gap as large
            between any other two is found at least as often.
        power: how often it is found.
        level: of the intervals that find it.
    """

    gap: float | None
    power: float
    level: float


def detectable_gap(
    n: ArrayLike, rate: float, *, level: float = 0.95, power: float = POWER, design_effects: ArrayLike = 1.0
) -> Detectable:
    """Return the smallest gap between rates that the largest-gap test finds with the given power.

    Samples are drawn and judged as the test judges them: shares with one success and one failure added, the variances
    that they give, and the critical value for groups of such rates. A gap of delta puts the two smallest groups at
    ``rate`` plus and minus delta / 2, moved as far as needed to lie within 0 and 1. In simulations of the test itself,
    with 2 to 25 groups of 30 to 400 and rates of .1 to .5, the gap was found in 73 to 88 % of samples.

    Args:
        n: (G,) cases of each group, G above 1, each above 0.
        rate: pooled over the groups, 0 to 1.
        level: of the interval that has to lie above 0; 1 - alpha, adjusted where the verdict's intervals are.
        power: between 0 and 1.
        design_effects: (G,) or one for all: how many rows are worth one independent case, where rows repeat units.
    """
    n = np.asarray(n, dtype=np.float64) / np.asarray(design_effects, dtype=np.float64)
    if n.ndim != 1 or len(n) < 2 or not (n > 0).all() or not 0 <= rate <= 1:
        raise ValueError(f"expected cases of two groups or more and a rate between 0 and 1, got n = {n}, rate = {rate}")
    if not 0 < level < 1 or not 0 < power < 1:
        raise ValueError(f"expected a level and a power between 0 and 1, got {level} and {power}")
    cases = np.maximum(np.round(n), 1)
    uniform = np.random.default_rng(SEED).random((DRAWS, len(n)))

    def lacking(gap: float) -> float:
        apart = _rates(gap, rate, cases)
        return power - _found(apart, cases, uniform, _critical(cases, apart, level))

    if lacking(1.0) > 0:
        return Detectable(None, power, level)
    return Detectable(float(brentq(lacking, 0.0, 1.0, xtol=1e-4)), power, level)


def _critical(n: np.ndarray, apart: np.ndarray, level: float) -> float:
    """Return how many standard errors the worst pair strays by chance, as the test finds it for such rates."""
    if len(n) == 2:
        return float(ndtri(0.5 + level / 2))
    cases = n.astype(np.int64)
    draws = draws_for(level, least=DRAWS)
    resamples = rates(np.round(cases * apart).astype(np.int64), cases, np.random.default_rng(SEED), draws=draws)
    return largest_gap(resamples).quantile(level)


def _rates(gap: float, rate: float, n: np.ndarray) -> np.ndarray:
    """Return (G,) rates with the gap between the two smallest groups."""
    centre = min(max(rate, gap / 2), 1 - gap / 2)
    apart = np.full(len(n), centre)
    apart[np.argsort(n, kind="stable")[:2]] = centre + gap / 2, centre - gap / 2
    return apart


def _found(apart: np.ndarray, n: np.ndarray, uniform: np.ndarray, critical: float) -> float:
    """Return the share of samples in which one of the two groups apart is told from another group.

    Each sample is judged as the test judges it: smoothed shares, and the variances that they give. The few false
    findings between the groups in the middle are not counted.
    """
    smoothed = (binom.ppf(uniform, n, apart) + 1) / (n + 2)  # (draws, G)
    variances = smoothed * (1 - smoothed) / (n + 1)
    found = np.zeros(len(smoothed), dtype=bool)
    for group in np.argsort(n, kind="stable")[:2]:
        margins = critical * np.sqrt(variances + variances[:, [group]])
        others = np.arange(len(n)) != group
        found |= (np.abs(smoothed - smoothed[:, [group]]) > margins)[:, others].any(axis=1)
    return float(found.mean())
