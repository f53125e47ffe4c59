"""How a statistic differs between two classifiers on the same rows: what both find hard about a row cancels out.

Each statistic is linearised: a row has an influence on it under either classifier, and the difference of both is a
mean over rows, whose interval counts units where rows repeat them. Shares of rows get one pair more in each direction
(Bonett and Price 2012), so that a few rows that differ are not taken for more than they are.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.stats import rankdata

from rft.records import Interval
from rft.stats.intervals import CONFIDENCE_LEVEL, mean_interval

MIN_ROWS_PER_CLASS = 10  # of positives and of negatives, below which the variance of an area is not trusted


@dataclass(frozen=True)
class PairedDifference:
    """The difference of a statistic, of the second classifier minus the first.

    Attributes:
        value: the difference.
        influences: (M,) contributions of rows, whose mean the interval is around.
        units: (M,) whose row each is; None where every row stands for itself.
        method: how the interval is made, in words.
        bound: the largest difference that there can be; None without a bound.
    """

    value: float
    influences: np.ndarray
    units: np.ndarray | None
    method: str
    bound: float | None = 1.0

    def confidence_interval(self, level: float = CONFIDENCE_LEVEL) -> Interval | None:
        """Return the interval; None with fewer than two units, or where no row differs in a statistic of scores."""
        interval = mean_interval(self.influences, self.units, level=level)
        if interval is None or interval.high - interval.low < 1e-12:
            return None
        low, high = min(interval.low, self.value), max(interval.high, self.value)
        if self.bound is not None:
            low, high = max(low, -self.bound), min(high, self.bound)
        return Interval(low=low, high=high, method=f"paired, {self.method}, {interval.method}")


def paired_share_difference(
    before: np.ndarray, after: np.ndarray, strata: np.ndarray, units: np.ndarray | None = None
) -> PairedDifference:
    """Return the difference of a share of rows, averaged over strata that count the same.

    One stratum gives the difference of accuracies, a stratum for each class that of balanced accuracies.

    Args:
        before, after: (N,) booleans: whether either classifier has the row right.
        strata: (N,) codes from 0 on, each with a row.
        units: (N,) codes of whose row each is, or None.
    """
    differences = after.astype(np.float64) - before
    shares = np.array([differences[strata == code].mean() for code in range(int(strata.max()) + 1)])
    padded = [_add_both_directions(differences, strata == code, units) for code in range(len(shares))]
    n = sum(len(rows) for rows, _ in padded)
    centre = float(np.mean([rows.mean() for rows, _ in padded]))
    influences = [centre + n * (rows - rows.mean()) / (len(padded) * len(rows)) for rows, _ in padded]
    codes = None if units is None else np.concatenate(_number_added([of_rows for _, of_rows in padded], units))
    return PairedDifference(float(shares.mean()), np.concatenate(influences), codes, "one pair added in each direction")


def _add_both_directions(
    differences: np.ndarray, mask: np.ndarray, units: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray]:
    """Return the differences of a (N,) mask and of two units of average size more, and whose they are: -1, -2."""
    rows = differences[mask]
    codes = np.arange(len(rows)) if units is None else units[mask]
    size = max(1, round(len(rows) / len(np.unique(codes))))
    return np.concatenate([rows, np.ones(size), -np.ones(size)]), np.concatenate([codes, [-1] * size, [-2] * size])


def _number_added(codes_by_stratum: list[np.ndarray], units: np.ndarray) -> list[np.ndarray]:
    """Return codes in which the units that were added to each stratum are units of their own."""
    first = int(units.max()) + 1
    return [
        np.where(codes < 0, first + 2 * stratum - 1 - codes, codes) for stratum, codes in enumerate(codes_by_stratum)
    ]


def paired_mean_difference(before: np.ndarray, after: np.ndarray, units: np.ndarray | None = None) -> PairedDifference:
    """Return the difference of the means of a number that (N,) rows have under either classifier."""
    differences = after - before
    return PairedDifference(float(differences.mean()), differences, units, "differences of rows", None)


def paired_auc_difference(
    before: np.ndarray, after: np.ndarray, labels: np.ndarray, units: np.ndarray | None = None
) -> PairedDifference | None:
    """Return the difference of the areas of one-against-the-rest, averaged over the columns of the scores.

    Its variance is that of DeLong et al. 1988: how far the placements of each row differ between the classifiers.

    Args:
        before, after: (N, C) scores of either classifier for C classes.
        labels: (N, C) booleans: whether the row is of the class.
        units: (N,) codes of whose row each is, or None.

    Returns:
        The difference; None where a class has fewer than 10 rows, or fewer than 10 are of others.
    """
    rows_of_class = labels.sum(axis=0)
    if min(rows_of_class.min(), (len(labels) - rows_of_class).min()) < MIN_ROWS_PER_CLASS:
        return None
    areas, influences = zip(
        *(
            _auc_influences(scores[:, column], labels[:, column])
            for scores in (before, after)
            for column in range(labels.shape[1])
        ),
        strict=True,
    )
    classes = labels.shape[1]
    value = float(np.mean(areas[classes:]) - np.mean(areas[:classes]))
    shift = np.mean(influences[classes:], axis=0) - np.mean(influences[:classes], axis=0)
    return PairedDifference(value, value + shift, units, "DeLong")


def _auc_influences(scores: np.ndarray, positive: np.ndarray) -> tuple[float, np.ndarray]:
    """Return the area of (N,) scores and (N,) influences on it, whose mean is 0."""
    ranks, n_positive = rankdata(scores), int(positive.sum())
    n_negative = len(scores) - n_positive
    placed = np.empty(len(scores))
    placed[positive] = (ranks[positive] - rankdata(scores[positive])) / n_negative
    placed[~positive] = 1 - (ranks[~positive] - rankdata(scores[~positive])) / n_positive
    area = float(placed[positive].mean())
    weights = np.where(positive, len(scores) / n_positive, len(scores) / n_negative)
    return area, weights * (placed - area)
