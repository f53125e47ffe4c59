"""Areas under the ROC curve of several groups, for ``simultaneous.largest_gap``: DeLong's components, resampled.

An area is the mean over positives of the share of negatives below each, and the mean over negatives of the share of
positives above each. These components carry its sampling variance (DeLong et al. 1988), also where rows share units
(Obuchowski 1997), and resampling them is resampling the area to first order, at the cost of one sort.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from rft.stats.intervals import effective_n
from rft.stats.max_t import Resamples
from rft.stats.resampling import MANY, draw_sizes

DELONG = "DeLong et al. 1988, Biometrics 44:837; Obuchowski 1997, Biometrics 53:567"
ADDED = 0.25  # rows at either end of the scores, in either class


@dataclass(frozen=True)
class Area:
    """The area under the ROC curve of one group and what its sampling variance comes from.

    Attributes:
        value: share of pairs of a positive and a negative in which the positive has the higher score; ties one half.
        smoothed: the same with a quarter of a row added to either class at either end of the scores.
        parts: what is drawn by itself, as (influences, weights): each class, or all units together. Influences sum to 0
            with their weights, and those added come last, with fractional weights.
    """

    value: float
    smoothed: float
    parts: tuple[tuple[np.ndarray, np.ndarray], ...]

    @classmethod
    def of(cls, scores: np.ndarray, positive: np.ndarray, units: np.ndarray | None = None) -> Area:
        """Return the area of N rows.

        Args:
            scores: (N,) finite.
            positive: (N,) booleans, some of either.
            units: (N,) whose row each is, or None when every row stands for itself.

        Raises:
            ValueError: one of the classes has no row, or a score is not finite.
        """
        positive = np.asarray(positive, dtype=bool)
        scores = np.asarray(scores, dtype=np.float64)
        if not positive.any() or positive.all() or not np.isfinite(scores).all():
            raise ValueError("expected finite scores of positives and of negatives")
        value = float(_components(scores[positive], scores[~positive], 0.0)[0].mean())
        of_positives, of_negatives = _components(scores[positive], scores[~positive], ADDED)
        weights = [np.concatenate([np.ones(n - 2), [ADDED, ADDED]]) for n in (len(of_positives), len(of_negatives))]
        smoothed = float(np.average(of_positives, weights=weights[0]))
        influences = [
            (own - smoothed) / weight.sum() for own, weight in zip((of_positives, of_negatives), weights, strict=True)
        ]
        if units is None:
            return cls(value, smoothed, tuple(zip(influences, weights, strict=True)))
        of_units = _summed_by_unit(influences, positive, np.asarray(units))
        added = np.concatenate([own[-2:] for own in influences])
        weight = np.concatenate([np.ones(len(of_units)), np.full(4, ADDED)])
        return cls(value, smoothed, ((np.concatenate([of_units, added]), weight),))

    @property
    def variance(self) -> float:
        """Return the sampling variance of ``smoothed``."""
        return sum(_variance(influences, weights) for influences, weights in self.parts)

    def drawn(self, rng: np.random.Generator, draws: int) -> tuple[np.ndarray, np.ndarray]:
        """Return (B,) deviations and variances of resamples."""
        parts = [_drawn(influences, weights, rng, draws) for influences, weights in self.parts]
        deviations, variances = zip(*parts, strict=True)
        return sum(deviations), sum(variances)  # type: ignore[return-value]


def areas(groups: Sequence[Area], rng: np.random.Generator, *, draws: int) -> Resamples:
    """Return resamples of the areas of G groups, whose units are taken to be in one group each.

    The components of positives and of negatives are drawn apart from each other, or those of units together. What is
    added keeps an area of 1 from having no variance. Classes (or units) of more than 5,000 are drawn as normal with the
    estimated variance.

    Args:
        groups: the areas, of at least 10 positives and 10 negatives each.
        rng: source of the draws.
        draws: number of resamples.
    """
    drawn = [group.drawn(rng, draws) for group in groups]
    return Resamples(
        observed=np.array([group.value for group in groups]),
        values=np.array([group.smoothed for group in groups]),
        variances=np.array([group.variance for group in groups]),
        deviations=np.array([deviations for deviations, _ in drawn]),
        drawn_variances=np.array([variances for _, variances in drawn]),
    )


def effective_classes(positive: np.ndarray, units: np.ndarray | None) -> tuple[float, float]:
    """Return how many independent positives and negatives the rows are worth, for ``intervals.auc_interval``.

    Args:
        positive: (N,) booleans.
        units: (N,) whose row each is, or None when every row stands for itself.
    """
    positive = np.asarray(positive, dtype=bool)
    if units is None:
        return float(positive.sum()), float((~positive).sum())
    return effective_n(units[positive]), effective_n(units[~positive])


def _components(positives: np.ndarray, negatives: np.ndarray, added: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the share of negatives below each positive and of positives above each negative, ties one half.

    With ``added`` rows at either end of either class, the last two of each are those at the top and at the bottom.
    """
    below, above = _below(positives, negatives) + added, len(positives) - _below(negatives, positives) + added
    if not added:
        return below / len(negatives), above / len(positives)
    n_positive, n_negative = len(positives) + 2 * added, len(negatives) + 2 * added
    of_positives = np.concatenate([below, [n_negative - added / 2, added / 2]]) / n_negative
    of_negatives = np.concatenate([above, [added / 2, n_positive - added / 2]]) / n_positive
    return of_positives, of_negatives


def _below(scores: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Return how many of the others are below each score; ties count one half."""
    others = np.sort(others)
    return (np.searchsorted(others, scores, "left") + np.searchsorted(others, scores, "right")) / 2


def _summed_by_unit(influences: Sequence[np.ndarray], positive: np.ndarray, units: np.ndarray) -> np.ndarray:
    of_rows = np.empty(len(units))
    of_rows[positive], of_rows[~positive] = influences[0][:-2], influences[1][:-2]
    _, unit = np.unique(units, return_inverse=True)
    return np.bincount(unit, weights=of_rows)


def _variance(influences: np.ndarray, weights: np.ndarray) -> float:
    n = weights.sum()
    return float(n / (n - 1) * (weights @ influences**2))


def _drawn(
    influences: np.ndarray, weights: np.ndarray, rng: np.random.Generator, draws: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return (B,) deviations and variances of a sum of influences when those with weight 1 are drawn anew."""
    if len(influences) > MANY:
        variance = _variance(influences, weights)
        return np.sqrt(variance) * rng.standard_normal(draws), np.full(draws, variance)
    added = np.where(weights < 1, weights, 0.0)
    n, total = int(np.count_nonzero(weights == 1)), weights.sum()
    urn = np.repeat(influences, np.round(weights / ADDED).astype(int))
    picks = [urn[rng.integers(0, len(urn), size=(size, n))] for size in draw_sizes(draws, n)]
    sums = np.concatenate([pick.sum(axis=1) for pick in picks]) + added @ influences
    squares = np.concatenate([np.einsum("bn,bn->b", pick, pick) for pick in picks]) + added @ influences**2
    expected = (n * weights / total + added) @ influences
    return sums - expected, total / (total - 1) * (squares - sums**2 / total)
