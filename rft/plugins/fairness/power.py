"""The smallest gap that an audit of this size would have found: what stands beside "no difference found"."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import brentq
from scipy.special import ndtri

from rft.plugins.fairness.resampling import rates
from rft.plugins.fairness.simultaneous import draws_for, largest_gap

POWER = 0.8
DRAWS = 3999
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

    Normal approximation with the smoothed variances of the test (one success and one failure added) and its critical
    value for groups that all have the pooled rate. A gap of delta puts the two smallest groups at ``rate`` plus and
    minus delta / 2, moved as far as needed to lie within 0 and 1. In simulations of the test itself, with 2 to 25
    groups of 20 to 1,000 and rates of .05 to .9, the gap was found in 74 to 87 % of samples where 80 % were meant.

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
    normal = np.random.default_rng(SEED).standard_normal((len(n), DRAWS))
    critical = _critical(n, rate, level)

    def lacking(gap: float) -> float:
        return power - _found(_rates(gap, rate, n), n, normal, critical)

    if lacking(1.0) > 0:
        return Detectable(None, power, level)
    return Detectable(float(brentq(lacking, 0.0, 1.0, xtol=1e-4)), power, level)


def _variances(shares: np.ndarray, n: np.ndarray) -> np.ndarray:
    smoothed = (n * shares + 1) / (n + 2)
    return smoothed * (1 - smoothed) / (n + 1)


def _critical(n: np.ndarray, rate: float, level: float) -> float:
    """Return how many standard errors the worst pair of groups with this rate strays, as the test itself finds it."""
    if len(n) == 2:
        return float(ndtri(0.5 + level / 2))
    cases = np.maximum(np.round(n), 1).astype(np.int64)
    hits = np.round(cases * rate).astype(np.int64)
    draws = draws_for(level, least=DRAWS)
    return largest_gap(rates(hits, cases, np.random.default_rng(SEED), draws=draws)).quantile(level)


def _rates(gap: float, rate: float, n: np.ndarray) -> np.ndarray:
    """Return (G,) rates with the gap between the two smallest groups."""
    centre = min(max(rate, gap / 2), 1 - gap / 2)
    apart = np.full(len(n), centre)
    apart[np.argsort(n, kind="stable")[:2]] = centre + gap / 2, centre - gap / 2
    return apart


def _found(apart: np.ndarray, n: np.ndarray, normal: np.ndarray, critical: float) -> float:
    """Return the share of draws in which one of the two groups apart is told from another group.

    The few false findings between the groups in the middle are not counted.
    """
    variances = _variances(apart, n)
    drawn = (n * apart + 1) / (n + 2) + np.sqrt(n * apart * (1 - apart)) / (n + 2) * normal.T  # (draws, G)
    found = np.zeros(len(drawn), dtype=bool)
    for group in np.argsort(n, kind="stable")[:2]:
        margins = critical * np.sqrt(variances + variances[group])
        found |= (np.abs(drawn - drawn[:, [group]]) > margins).any(axis=1)
    return float(found.mean())
