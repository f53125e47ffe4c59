"""The smallest gap that an audit of this size would have found: what stands beside "no difference found"."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import brentq
from scipy.stats import binom

from rft.stats.gaps.max_t import draws_for_level, squared_maxima
from rft.stats.gaps.rate_difference import difference_ends
from rft.stats.resampling import resample_rate_deviations

POWER = 0.8
POWER_DRAWS = 1999
QUANTILE_POINTS = 64  # quantiles that stand for all counts of a group, of two
POWER_SEED = 0  # the same draws for every gap that is tried: power then grows smoothly with the gap


@dataclass(frozen=True)
class MinimumDetectableEffect:
    """The smallest gap between the smallest group and all others that would have been found.

    Attributes:
        gap: None where not even the largest possible gap would be found.
        rest: the rate of all other groups.
        group_rate: the rate of the smallest group at that gap: below ``rest`` where that is at least one half, since
            there is more room below, else above it. None without a gap.
        power: how often it is found.
        level: of the intervals that find it.
    """

    gap: float | None
    rest: float
    group_rate: float | None
    power: float
    level: float


def minimum_detectable_effect(
    n: ArrayLike, rest: float, *, level: float = 0.95, power: float = POWER, design_effects: ArrayLike = 1.0
) -> MinimumDetectableEffect:
    """Return the smallest gap of the smallest group that the test of the largest gap finds with the given power.

    All other groups share one rate. Samples are judged as the test judges them: those of two groups by the interval of
    their gap, of more by studentised differences of all pairs against the critical value for such rates. In simulations
    of the test itself, with 2 to 25 groups of 12 to 4,000 and rates of .1 to .95, the gap was found in 76 to 83 %.
    Where rows repeat units, what they are worth is estimated on the safe side, and the gap is found more often: in 81
    to 87 % with two groups, 83 to 94 % with three.

    Args:
        n: (G,) cases of each group, G above 1, each above 0.
        rest: the rate of all groups but the smallest, 0 to 1.
        level: of the interval that has to lie above 0; 1 - alpha, adjusted where the verdict's intervals are.
        power: between 0 and 1.
        design_effects: (G,) or one for all: how many rows are worth one independent case, where rows repeat units.
    """
    n = np.asarray(n, dtype=np.float64) / np.asarray(design_effects, dtype=np.float64)
    if n.ndim != 1 or len(n) < 2 or not (n > 0).all() or not 0 <= rest <= 1:
        raise ValueError(f"expected cases of two groups or more and a rate between 0 and 1, got n = {n}, rate = {rest}")
    if not 0 < level < 1 or not 0 < power < 1:
        raise ValueError(f"expected a level and a power between 0 and 1, got {level} and {power}")
    cases = np.sort(np.maximum(np.round(n), 1)).astype(np.int64)
    detection_rate = (
        _detection_of_two_groups(cases, rest, level)
        if len(cases) == 2
        else _detection_of_many_groups(cases, rest, level)
    )
    sign = -1 if rest >= 0.5 else 1
    widest = max(rest, 1 - rest)

    def lacking_power(gap: float) -> float:
        return power - detection_rate(rest + sign * gap)

    if lacking_power(widest) > 0:
        return MinimumDetectableEffect(None, rest, None, power, level)
    gap = float(brentq(lacking_power, 0.0, widest, xtol=1e-4))
    return MinimumDetectableEffect(gap, rest, rest + sign * gap, power, level)


# From the rate of the smallest group to the share of samples in which its gap is found.
DetectionRate = Callable[[float], float]


def _detection_of_two_groups(n: np.ndarray, rest: float, level: float) -> DetectionRate:
    """Return the share of samples in which the interval of the gap lies above 0, as a function; ``n``: (2,) sizes."""
    other_numerators, other_weights = _count_distribution(n[1], rest)

    def detection_rate(rate: float) -> float:
        numerators, weights = _count_distribution(n[0], rate)
        low, high = difference_ends(numerators[:, None], n[0], other_numerators, n[1], level=level)
        return float(weights @ ((low > 0) | (high < 0)) @ other_weights)

    return detection_rate


def _count_distribution(n: int, rate: float) -> tuple[np.ndarray, np.ndarray]:
    """Return (C,) counts of successes and their probabilities: all of them, or quantiles that stand for them."""
    if n <= QUANTILE_POINTS:
        numerators = np.arange(n + 1)
        return numerators, binom.pmf(numerators, n, rate)
    return binom.ppf((np.arange(QUANTILE_POINTS) + 0.5) / QUANTILE_POINTS, n, rate), np.full(
        QUANTILE_POINTS, 1 / QUANTILE_POINTS
    )


def _detection_of_many_groups(n: np.ndarray, rest: float, level: float) -> DetectionRate:
    """Return a function that gives the share of samples in which any two of the (G,) groups are told apart.

    The smallest group is the first. What does not depend on its rate is computed once.
    """
    rng, others = np.random.default_rng(POWER_SEED), n[1:]
    spread = _stratified_quantiles(rng, len(n), POWER_DRAWS)
    samples = _smooth_rates(binom.ppf(spread[1:], others[:, None], rest), others)
    largest_among_others = squared_maxima(*samples)
    critical = _critical_values(n, rest, level)

    def detection_rate(rate: float) -> float:
        numerators = binom.ppf(spread[:1], n[0], rate)
        largest = np.maximum(
            largest_among_others, _largest_squared_difference(_smooth_rates(numerators, n[:1]), samples)
        )
        return float((largest > critical(numerators[0])).mean())

    return detection_rate


def _stratified_quantiles(rng: np.random.Generator, groups: int, samples: int) -> np.ndarray:
    """Return (G, samples) probabilities: evenly spread for each group, and in an order of its own."""
    return (rng.permuted(np.tile(np.arange(samples), (groups, 1)), axis=1) + 0.5) / samples


def _critical_values(n: np.ndarray, rest: float, level: float) -> Callable[[np.ndarray], np.ndarray]:
    """Return a function of the numerator of the smallest group: which squared difference chance alone does not reach.

    It is that of the test, which resamples the groups with the rates that they have in a sample. Those of the others
    vary from draw to draw as they vary from sample to sample: with one typical sample for all draws the gap stated for
    five groups of 30 at .95 was found in less than 75 %.
    """
    draws, others = draws_for_level(level, least=POWER_DRAWS), n[1:]
    rng = np.random.default_rng(POWER_SEED)
    numerators = binom.ppf(_stratified_quantiles(rng, len(others), draws), others[:, None], rest)
    strays = resample_rate_deviations(numerators, others, rng, draws=draws)
    strayed = squared_maxima(*strays)
    known = np.unique(np.round(np.linspace(0, n[0], QUANTILE_POINTS + 1)))
    smallest_deviations = [
        resample_rate_deviations(numerators, n[:1], np.random.default_rng(POWER_SEED + 1), draws=draws)
        for numerators in known[:, None]
    ]
    by_chance = [np.maximum(strayed, _largest_squared_difference(drawn, strays)) for drawn in smallest_deviations]
    rank = math.ceil((draws + 1) * level - 1e-9) - 1
    reached = [np.partition(drawn, rank)[rank] for drawn in by_chance]
    return lambda numerators: np.interp(numerators, known, reached)


DrawnRates = tuple[np.ndarray, np.ndarray]  # (G, draws) values and their variances


def _smooth_rates(numerators: np.ndarray, n: np.ndarray) -> DrawnRates:
    shares = (numerators + 1) / (n + 2)[:, None]
    return shares, shares * (1 - shares) / (n + 1)[:, None]


def _largest_squared_difference(first: DrawnRates, others: DrawnRates) -> np.ndarray:
    """Return (draws,) the largest squared studentised difference of one group to any of the others."""
    return np.asarray(((others[0] - first[0]) ** 2 / (others[1] + first[1])).max(axis=0))
