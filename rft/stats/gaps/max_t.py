"""The largest gap among groups, from resamples of all groups together: interval, p-value, and which pairs differ.

The largest of many observed differences is larger than the largest true one, and its percentile bootstrap excludes 0 in
every run from five equal groups on. Here every pair of groups is studentised, and the largest of all pairs is compared
with what resampling alone makes of it: pairwise max-t (Westfall and Young 1993, Resampling-Based Multiple Testing;
Hothorn, Bretz and Westfall 2008, Biometrical Journal 50:346).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from rft.records import Interval
from rft.stats.intervals import CONFIDENCE_LEVEL

DRAWS_PER_TEST = 40
# Draws that should lie beyond a quantile, which leaves its tail probability a relative error of 16 %.
DRAWS_BEYOND_QUANTILE = 40


@dataclass(frozen=True)
class Resamples:
    """A statistic of G groups and of B resamples of each.

    Attributes:
        observed: (G,) the statistic as it is shown, finite.
        values: (G,) the statistic that is studentised: smoothed, so that no group is without variance.
        variances: (G,) estimated sampling variances of ``values``, above 0.
        deviations: (G, B) the statistic of each resample minus its expectation under resampling.
        drawn_variances: (G, B) or (G, 1) the variances as each resample estimates them.
        correlations: (G, G) of the sampling errors of the groups, or None where no unit is in two groups.
    """

    observed: np.ndarray
    values: np.ndarray
    variances: np.ndarray
    deviations: np.ndarray
    drawn_variances: np.ndarray
    correlations: np.ndarray | None = None

    def __post_init__(self) -> None:
        """Refuse what cannot be studentised."""
        if len(self.values) < 2 or self.deviations.shape[0] != len(self.values):
            raise ValueError(f"expected two groups or more and draws of each, got {len(self.values)} groups")
        if not (np.isfinite(self.values).all() and (self.variances > 0).all() and np.isfinite(self.variances).all()):
            raise ValueError("expected finite values and variances above 0 of every group")


@dataclass(frozen=True)
class PairGap:
    """Two groups compared, as indices.

    Attributes:
        first, second: of which ``first`` has the higher smoothed value.
        interval: of first minus other, for all pairs at once.
        p_value: adjusted for all pairs (single step).
    """

    first: int
    second: int
    interval: Interval
    p_value: float


@dataclass(frozen=True)
class LargestGap:
    """The largest difference between any two of G groups.

    Attributes:
        value: the observed largest minus the observed smallest.
        highest, lowest: the indices of those two groups.
        p_value: of no difference between any two groups: the share of resamples, the data counted among them, whose
            largest studentised deviation is as large as the largest studentised difference.
    """

    value: float
    highest: int
    lowest: int
    p_value: float
    _differences: np.ndarray = field(repr=False)  # (G, G) smoothed, row minus column
    _errors: np.ndarray = field(repr=False)  # (G, G)
    _maxima: np.ndarray = field(repr=False)  # (B,) ascending
    _bound: float | None = None

    @property
    def _pairs(self) -> tuple[np.ndarray, np.ndarray]:
        return np.triu_indices(len(self._differences), 1)

    def max_t_quantile(self, level: float) -> float:
        """Return how many standard errors the worst pair strays in ``level`` of the resamples.

        Raises:
            ValueError: when there are too few resamples for the level.
        """
        if not 0 < level < 1:
            raise ValueError(f"expected 0 < level < 1, got {level}")
        rank = math.ceil((len(self._maxima) + 1) * level - 1e-9)
        if rank > len(self._maxima):
            needed = math.ceil(level / (1 - level))
            raise ValueError(f"expected at least {needed} draws for the level {level}, got {len(self._maxima)}")
        return float(self._maxima[rank - 1])

    @property
    def statistic(self) -> float:
        """Return the largest studentised difference of any pair."""
        return float((np.abs(self._differences)[self._pairs] / self._errors[self._pairs]).max())

    @property
    def at_floor(self) -> bool:
        """Whether no resample reached the statistic, so that the p-value is as small as so many draws allow."""
        return self.p_value < 1.5 / (1 + len(self._maxima))

    def gap_within_chance(self, level: float = CONFIDENCE_LEVEL) -> float:
        """Return the largest gap that the test does not tell from none, the groups being apart in the same pattern.

        The statistic grows in proportion to the differences, the errors being as they are; so ``value`` is above this
        exactly when the statistic is above its quantile. Where all groups are alike: the smallest margin of any pair.
        """
        quantile = self.max_t_quantile(level)
        if self.value <= 0 or self.statistic <= 0:
            return float(quantile * self._errors[self._pairs].min())
        within = quantile * self.value / self.statistic
        return within if self._bound is None else min(within, self._bound)

    def confidence_interval(self, level: float = CONFIDENCE_LEVEL) -> Interval:
        """Return the interval of the largest true gap, within 0 and the bound; it holds ``value``.

        With the probability ``level`` all pairs are within their margins at once, and then the largest gap is at least
        the largest lower limit and at most the largest upper limit of any pair. ``low`` is above 0 exactly when
        ``p_value`` is at most ``1 - level``.
        """
        gaps, margins = (matrix[self._pairs] for matrix in (np.abs(self._differences), self._errors))
        margins = self.max_t_quantile(level) * margins
        # Asked for once, so that rounding cannot part the two answers.
        excludes_zero = self.p_value <= 1 - level + 1e-12
        low, high = max(float((gaps - margins).max()), 0.0) if excludes_zero else 0.0, float((gaps + margins).max())
        high = high if self._bound is None else min(high, self._bound)
        method = f"pairwise max-t {100 * level:g} %, {len(self._differences)} groups, {len(self._maxima)} resamples"
        return Interval(low=min(low, self.value), high=max(high, self.value), method=method)

    def compare_pairs(self, level: float = CONFIDENCE_LEVEL) -> list[PairGap]:
        """Return every pair of groups, with intervals that hold for all pairs at once."""
        margin, compared_pairs = self.max_t_quantile(level), []
        for i, j in zip(*self._pairs, strict=True):
            first, second = (int(i), int(j)) if self._differences[i, j] >= 0 else (int(j), int(i))
            gap, error = float(self._differences[first, second]), float(self._errors[i, j])
            ends = (gap - margin * error, gap + margin * error)
            low, high = ends if self._bound is None else (max(ends[0], -self._bound), min(ends[1], self._bound))
            interval = Interval(low=low, high=high, method=f"simultaneous max-t {100 * level:g} %")
            compared_pairs.append(PairGap(first, second, interval, _p_value(self._maxima, gap / error)))
        return compared_pairs


def largest_gap(resamples: Resamples, *, bound: float | None = 1.0) -> LargestGap:
    """Return the largest gap between any two groups.

    Args:
        resamples: of at least two groups; leave out groups with fewer than 10 cases.
        bound: the largest gap that there can be, 1 for rates and areas; None for a statistic without bounds.
    """
    errors = np.sqrt(_pair_variances(resamples))
    differences = resamples.values[:, None] - resamples.values
    maxima = np.sort(np.sqrt(squared_maxima(resamples.deviations, resamples.drawn_variances, resamples.correlations)))
    upper = np.triu_indices(len(errors), 1)
    statistic = float((np.abs(differences)[upper] / errors[upper]).max())
    highest, lowest = int(np.argmax(resamples.observed)), int(np.argmin(resamples.observed))
    return LargestGap(
        value=float(resamples.observed[highest] - resamples.observed[lowest]),
        highest=highest,
        lowest=lowest,
        p_value=_p_value(maxima, statistic),
        _differences=differences,
        _errors=errors,
        _maxima=maxima,
        _bound=bound,
    )


def draws_for_level(level: float, *, least: int = 999) -> int:
    """Return how many resamples a quantile at the level should rest on: 40 lie beyond it.

    >>> draws_for_level(0.95), draws_for_level(1 - 0.05 / 8)
    (999, 6399)
    """
    return max(least, math.ceil(DRAWS_BEYOND_QUANTILE / (1 - level) - 1e-6) - 1)


def refine_p_value(
    gap: LargestGap, draw_gap: Callable[[], LargestGap | None], *, tests: int, draws_per_test: int = DRAWS_PER_TEST
) -> float:
    """Return the p-value of a gap, from so many more draws that Holm's correction for ``tests`` can reach 0.05.

    With B draws no p-value is below 1 / (B + 1), and Holm multiplies the smallest by the number of tests. Where no draw
    reached the statistic, fresh draws replace it (the first ones are not counted again: they were the reason to go on),
    a batch at a time, so that memory does not grow with the family.

    Args:
        gap: from the first draws.
        draw_gap: returns the same gap with fresh draws; None where they cannot be judged: the first p-value then stays.
        tests: how many p-values are corrected together.
        draws_per_test: 40 leave the smallest corrected p-value at 0.025.
    """
    if not gap.at_floor or len(gap._maxima) + 1 >= draws_per_test * tests:
        return gap.p_value
    drawn = reached = 0
    while drawn + 1 < draws_per_test * tests:
        fresh = draw_gap()
        if fresh is None:
            return gap.p_value
        batch = len(fresh._maxima)
        reached += round(fresh.p_value * (batch + 1)) - 1
        drawn += batch
    return (1 + reached) / (1 + drawn)


def adjust_by_holm(p_values: Sequence[float]) -> list[float]:
    """Return p-values adjusted for being several, in the same order (Holm 1979, Scand. J. Stat. 6:65).

    >>> [round(p, 3) for p in adjust_by_holm([0.01, 0.04, 0.03, 0.005])]
    [0.03, 0.06, 0.06, 0.02]
    """
    p = np.asarray(p_values, dtype=np.float64)
    if p.size and not ((p >= 0) & (p <= 1)).all():
        raise ValueError("expected p-values between 0 and 1")
    order = np.argsort(p, kind="stable")
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1)), 1.0)
    return [float(value) for value in adjusted]


def _p_value(maxima: np.ndarray, statistic: float) -> float:
    """Return the share of (B,) draws at or above the statistic, the data among them (Davison and Hinkley 1997, 4.2)."""
    tied = statistic * (1 - 1e-9)  # statistics of counts tie often, but for rounding
    reached = len(maxima) - int(np.searchsorted(maxima, tied, side="left"))
    return (1 + reached) / (1 + len(maxima))


def _pair_variances(resamples: Resamples) -> np.ndarray:
    """Return (G, G) variances of the differences; 1 on the diagonal, which is not used."""
    variances = resamples.variances
    total = variances[:, None] + variances
    if resamples.correlations is not None:
        total = total - 2 * resamples.correlations * np.sqrt(np.outer(variances, variances))
    return np.where(np.eye(len(variances), dtype=bool), 1.0, total)


def squared_maxima(deviations: np.ndarray, variances: np.ndarray, correlations: np.ndarray | None = None) -> np.ndarray:
    """Return (B,) the largest squared studentised deviation of each resample, over all pairs of groups.

    A resample's covariances are taken as the observed correlation times its own standard errors.

    Args:
        deviations: (G, B), G above 1.
        variances: (G, B) or (G, 1).
        correlations: (G, G), or None where no unit is in two groups.
    """
    largest = np.zeros(deviations.shape[1])
    for i in range(len(deviations) - 1):
        squared = (deviations[i + 1 :] - deviations[i]) ** 2
        total = variances[i + 1 :] + variances[i]
        if correlations is not None:
            total = total - 2 * correlations[i + 1 :, i, None] * np.sqrt(variances[i + 1 :] * variances[i])
        np.maximum(largest, (squared / total).max(axis=0), out=largest)
    return largest
