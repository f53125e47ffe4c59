"""The area under the ROC curve and its interval: one estimator for all plugins, of rows and of people.

An area is the mean over positives of the share of negatives below each, and the mean over negatives of the share of
positives above each. These placements carry its sampling variance (DeLong et al. 1988), also where rows share units
(Obuchowski 1997), and resampling them is resampling the area to first order, at the cost of one sort.

Scores may be spread in any way, positives may be rare, and nobody may be misplaced. So fractions of a unit are added to
either class at either end of the scores, which leaves an area of 0 or 1 a variance. The interval is normal on the logit
scale. Close to 0 and 1 that scale knows no end, and perfect order among 10 and 10 would leave room for a coin toss:
towards one half the interval is therefore no wider than Wilson's for as many cases as leave a share that variance.

In simulations with normal scores, standard deviations in ratios of .5 to 2 and areas of .5 to .9 (10,000 samples each)
it held the true area in 93.8 to 96.9 % of samples with 30 positives and 300 negatives, 15 and 300, and 100 and 5,000,
but in 97.0 to 98.0 % at .9 with 15 positives. That is inherent: where the area is .9 because one positive in ten lies
below all negatives, 21 % of samples of 15 positives show none, so that even perfect order must not exclude .9. With 10
or 12 positives it held in 93.9 to 98.3 %. At areas of .95 to .99 it holds in 93.5 % or more, and in up to 99.7 % where
the positives are bunched together; with ties, and over people with several rows, in 93.6 % or more.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import expit, logit, ndtri
from scipy.stats import rankdata

from rft.records import Interval
from rft.stats import intervals
from rft.stats.gaps.max_t import Resamples
from rft.stats.intervals import CONFIDENCE_LEVEL
from rft.stats.resampling import MIN_KINDS_DRAWN_AS_NORMAL, draw_batch_sizes

ADDED_UNITS = 0.25  # units at either end of the scores, in either class
ADDED_ON_LOGIT_SCALE = 0.1  # more of them would pull areas near 1 too far from it

DrawnPart = tuple[np.ndarray, np.ndarray]  # influences of units that are drawn together, and their weights


@dataclass(frozen=True)
class AucEstimate:
    """An area under the ROC curve and what its sampling variance comes from.

    Attributes:
        value: share of pairs of a positive and a negative in which the positive has the higher score, 0 to 1; ties
            count one half. The mean of such areas where it is of several classes.
        smoothed: the same with a quarter of a unit added to either class at either end of the scores.
        variance: of ``smoothed``, above 0.
        on_logit_scale: the same two with a tenth of a unit added.
        units: number of independent units where some have several rows; None where every row stands for itself.
        parts: what is drawn by itself, as (influences, weights): each class, or all units together. Influences sum to 0
            with their weights; those of what was added come last, with fractional weights.
    """

    value: float
    smoothed: float
    variance: float
    on_logit_scale: tuple[float, float]
    units: int | None
    parts: tuple[DrawnPart, ...]

    @classmethod
    def from_scores(cls, scores: np.ndarray, positive: np.ndarray, units: np.ndarray | None = None) -> AucEstimate:
        """Return the area of N rows.

        Args:
            scores: (N,) finite, higher for positives.
            positive: (N,) booleans, some of either.
            units: (N,) of whose row each is, or None when every row stands for itself.

        Raises:
            ValueError: one of the classes has no row, or a score is not finite.
        """
        codes, known = _unit_codes(units, len(scores))
        placements = _Placements.from_rows(np.asarray(scores, np.float64), np.asarray(positive, bool), codes)
        return cls._from_placements([placements], known)

    @classmethod
    def from_classes(cls, positives: np.ndarray, negatives: np.ndarray) -> AucEstimate:
        """Return the area of (M,) scores of positives and (K,) of negatives, each of which stands for itself."""
        scores = np.concatenate([positives, negatives])
        return cls.from_scores(scores, np.arange(len(scores)) < len(positives))

    @classmethod
    def mean_over_classes(cls, scores: np.ndarray, labels: np.ndarray, units: np.ndarray | None = None) -> AucEstimate:
        """Return the mean over K classes of the area of each against the rest.

        The areas share their rows, so that the variance is that of the sum of what each row moves all of them by.

        Args:
            scores: (N, K) finite.
            labels: (N,) indices of classes; each of the K occurs.
            units: as in ``from_scores``.

        Raises:
            ValueError: a class has no row or all of them, or a score is not finite.
        """
        codes, known = _unit_codes(units, len(labels))
        labels, k = np.asarray(labels), scores.shape[1]
        columns = (np.asarray(scores[:, index], np.float64) for index in range(k))
        placed = (_Placements.from_rows(column, labels == index, codes) for index, column in enumerate(columns))
        return cls._from_placements(placed, known)

    @classmethod
    def _from_placements(cls, placed: Iterable[_Placements], units: int | None) -> AucEstimate:
        mean, on_logit_scale, values = _MeanAuc(), _MeanAuc(), []
        parts: tuple[DrawnPart, ...] = ()
        for placements in placed:
            smoothed_auc = placements.smooth_auc(ADDED_UNITS)
            mean.add_auc(smoothed_auc)
            on_logit_scale.add_auc(placements.smooth_auc(ADDED_ON_LOGIT_SCALE))
            values.append(placements.value)
            parts = smoothed_auc.parts
        return cls(
            value=float(np.mean(values)),
            smoothed=mean.value,
            variance=mean.variance,
            on_logit_scale=(on_logit_scale.value, on_logit_scale.variance),
            units=units,
            parts=parts if len(values) == 1 else (mean.part,),
        )

    @property
    def effective_n(self) -> float:
        """Return how many independent cases leave a share of ``smoothed`` its variance."""
        return self.smoothed * (1 - self.smoothed) / self.variance

    def confidence_interval(self, level: float = CONFIDENCE_LEVEL) -> Interval:
        """Return the interval on the logit scale, within 0 and 1; it holds ``value``.

        >>> interval = AucEstimate.from_classes(np.arange(20) + 20, np.arange(20)).confidence_interval()
        >>> round(interval.low, 2), interval.high
        (0.84, 1.0)
        """
        wilson = intervals.wilson_interval(self.value * self.effective_n, self.effective_n, level=level)
        centre, variance = self.on_logit_scale
        half = float(ndtri(0.5 + level / 2)) * math.sqrt(variance) / (centre * (1 - centre))
        low, high = (float(expit(logit(centre) + sign * half)) for sign in (-1, 1))
        if self.value >= 0.5:
            low = max(low, wilson.low)
        if self.value <= 0.5:
            high = min(high, wilson.high)
        method = f"DeLong, logit, {100 * level:g} %" + (f", Obuchowski over {self.units} units" if self.units else "")
        return Interval(low=min(low, self.value), high=max(high, self.value), method=method)

    def draw_resamples(self, rng: np.random.Generator, draws: int) -> tuple[np.ndarray, np.ndarray]:
        """Return (B,) deviations and variances of resamples."""
        deviations, variances = zip(*(_draw_influences(*part, rng, draws) for part in self.parts), strict=True)
        return sum(deviations), sum(variances)  # type: ignore[return-value]


def difference_of_aucs(first: AucEstimate, second: AucEstimate, level: float = CONFIDENCE_LEVEL) -> Interval:
    """Return the interval of the difference of the areas of independent units, first minus other, within -1 and 1.

    The variances of both add; each side is taken from the ends on that side, which keeps the skewness of areas near 0
    and 1 (Zou and Donner 2008, Stat. Med. 27:1693). In simulations with 12 to 300 of either class and areas of .5 to .8
    it was above 0 at a level of 95 % in 0.6 to 2.7 % of samples with equal areas.

    >>> first, other = (AucEstimate.from_classes(np.arange(40) + above, np.arange(40)) for above in (20, 0))
    >>> interval = difference_of_aucs(first, other)
    >>> round(interval.low, 2), round(interval.high, 2)
    (0.22, 0.51)
    """
    first_interval, second_interval = first.confidence_interval(level), second.confidence_interval(level)
    difference = intervals.mover_difference(first.value, first_interval, second.value, second_interval)
    return difference.model_copy(update={"low": max(difference.low, -1.0), "high": min(difference.high, 1.0)})


def auc_resamples(groups: Sequence[AucEstimate], rng: np.random.Generator, *, draws: int) -> Resamples:
    """Return resamples of the areas of G groups, whose units are taken to be in one group each.

    The placements of positives and of negatives are drawn apart from each other, or those of units together. Classes
    (or units) of more than 5,000 are drawn as normal with the estimated variance.

    Args:
        groups: the areas, of at least 10 positives and 10 negatives each.
        rng: source of the draws.
        draws: number of resamples.
    """
    drawn = [group.draw_resamples(rng, draws) for group in groups]
    return Resamples(
        observed=np.array([group.value for group in groups]),
        values=np.array([group.smoothed for group in groups]),
        variances=np.array([sum(_influence_variance(*part) for part in group.parts) for group in groups]),
        deviations=np.array([deviations for deviations, _ in drawn]),
        drawn_variances=np.array([variances for _, variances in drawn]),
    )


@dataclass(frozen=True)
class _Placements:
    """Where the rows of one class lie among the others.

    Attributes:
        below: (M,) negatives below each positive; ``above``: (K,) positives above each negative; ties one half.
        positives, negatives: (M,) and (K,) codes of the rows' units.
        units: number of units of either class.
    """

    below: np.ndarray
    above: np.ndarray
    positives: np.ndarray
    negatives: np.ndarray
    units: int

    @classmethod
    def from_rows(cls, scores: np.ndarray, positive: np.ndarray, codes: np.ndarray) -> _Placements:
        if not positive.any() or positive.all() or not np.isfinite(scores).all():
            raise ValueError("expected finite scores of positives and of negatives")
        positive_scores, negative_scores = scores[positive], scores[~positive]
        ranks = rankdata(np.concatenate([positive_scores, negative_scores]))
        below = ranks[: len(positive_scores)] - rankdata(positive_scores)
        above = len(positive_scores) - (ranks[len(positive_scores) :] - rankdata(negative_scores))
        return cls(below, above, codes[positive], codes[~positive], int(codes.max()) + 1)

    @property
    def value(self) -> float:
        """Return the area."""
        return float(self.below.mean() / len(self.above))

    def smooth_auc(self, added: float) -> _SmoothedAuc:
        """Return the area with so much of a unit, of average size, added to either class at either end."""
        (m_sizes, m_worth), (n_sizes, n_worth) = (
            _unit_sizes(codes, self.units) for codes in (self.positives, self.negatives)
        )
        m_rows, n_rows = len(self.positives) / m_worth, len(self.negatives) / n_worth
        m, n = len(self.positives) + 2 * added * m_rows, len(self.negatives) + 2 * added * n_rows
        of_positives, of_negatives = (self.below + added * n_rows) / n, (self.above + added * m_rows) / m
        m_ends = np.array([n - added * n_rows / 2, added * n_rows / 2]) / n
        n_ends = np.array([added * m_rows / 2, m - added * m_rows / 2]) / m
        value = float((of_positives.sum() + added * m_rows * m_ends.sum()) / m)
        sums = (
            np.bincount(codes, weights=(placed - value) / size, minlength=self.units)
            for codes, placed, size in ((self.positives, of_positives, m), (self.negatives, of_negatives, n))
        )
        ends = (m_rows * (m_ends - value) / m, n_rows * (n_ends - value) / n)
        sides = (
            _Side(total, sizes > 0, end, worth + 2 * added)
            for total, sizes, end, worth in zip(sums, (m_sizes, n_sizes), ends, (m_worth, n_worth), strict=True)
        )
        return _SmoothedAuc(value, added, *sides)


@dataclass(frozen=True)
class _Side:
    """The positives or the negatives of a smoothed area.

    Attributes:
        sums: (U,) what the rows of each unit move the area by.
        present: (U,) whether a unit has such rows.
        ends: (2,) what a whole unit at the top and one at the bottom would move it by; fractions of one were added.
        n: how many units its rows are worth, those added included.
    """

    sums: np.ndarray
    present: np.ndarray
    ends: np.ndarray
    n: float

    @property
    def factor(self) -> float:
        """Return what makes a sum of squares of n deviations from their mean unbiased."""
        return self.n / (self.n - 1)


@dataclass(frozen=True)
class _SmoothedAuc:
    """One class against the rest, with so much of a unit added to either class at either end of the scores."""

    value: float
    added: float
    positives: _Side
    negatives: _Side

    @property
    def parts(self) -> tuple[DrawnPart, ...]:
        """Return what is drawn by itself: the units of each class, or all where some have rows of either."""
        sides = (self.positives, self.negatives)
        if bool((self.positives.present & self.negatives.present).any()):
            both = self.positives.sums + self.negatives.sums
            return (_join_part(both, np.concatenate([side.ends for side in sides]), self.added),)
        return tuple(_join_part(side.sums[side.present], side.ends, self.added) for side in sides)


class _MeanAuc:
    """The mean of areas of the same units, which are added one by one: hundreds need no more memory than one.

    In the variance the sum of squares of each class has its own n / (n - 1), products of different ones that of all
    units (Obuchowski 1997, section 3; with one row a unit and one area it is DeLong's).
    """

    def __init__(self) -> None:
        self._count = 0
        self._values = 0.0
        self._own = 0.0
        self._influence: np.ndarray = np.zeros(1)
        self._ends: list[np.ndarray] = []
        self._added = 0.0
        self._factor = 1.0

    def add_auc(self, area: _SmoothedAuc) -> None:
        """Take in one more area."""
        self._count += 1
        self._values += area.value
        self._added = area.added
        units = len(area.positives.sums) + 2 * area.added
        self._factor = units / (units - 1)
        for side in (area.positives, area.negatives):
            self._influence = self._influence + side.sums
            self._own += (side.factor - self._factor) * float(side.sums @ side.sums)
            self._own += side.factor * area.added * float(side.ends @ side.ends)
            self._ends.append(side.ends)

    @property
    def value(self) -> float:
        """Return the mean."""
        return self._values / self._count

    @property
    def variance(self) -> float:
        """Return its sampling variance."""
        shared = self._factor * float(self._influence @ self._influence)
        return (shared + self._own) / self._count**2

    @property
    def part(self) -> DrawnPart:
        """Return all units together."""
        return _join_part(self._influence / self._count, np.concatenate(self._ends) / self._count, self._added)


def _join_part(sums: np.ndarray, ends: np.ndarray, added: float) -> DrawnPart:
    return np.concatenate([sums, ends]), np.concatenate([np.ones(len(sums)), np.full(len(ends), added)])


def _unit_sizes(codes: np.ndarray, units: int) -> tuple[np.ndarray, float]:
    """Return the (U,) number of rows of each unit, and Kish's number of equal units that they are worth."""
    sizes = np.bincount(codes, minlength=units)
    return sizes, float(sizes.sum() ** 2 / np.square(sizes.astype(np.float64)).sum())


def _unit_codes(units: np.ndarray | None, n: int) -> tuple[np.ndarray, int | None]:
    """Return (N,) dense codes of units, and how many there are where some have several rows."""
    if units is None:
        return np.arange(n), None
    names, codes = np.unique(np.asarray(units), return_inverse=True)
    return codes, len(names) if len(names) < n else None


def _influence_variance(influences: np.ndarray, weights: np.ndarray) -> float:
    n = weights.sum()
    return float(n / (n - 1) * (weights @ influences**2))


def _draw_influences(
    influences: np.ndarray, weights: np.ndarray, rng: np.random.Generator, draws: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return (B,) deviations and variances of a sum of influences when those with weight 1 are drawn anew."""
    if len(influences) > MIN_KINDS_DRAWN_AS_NORMAL:
        variance = _influence_variance(influences, weights)
        return np.sqrt(variance) * rng.standard_normal(draws), np.full(draws, variance)
    added = np.where(weights < 1, weights, 0.0)
    n_units, total = int(np.count_nonzero(weights == 1)), weights.sum()
    urn = np.repeat(influences, np.round(weights / ADDED_UNITS).astype(int))
    picks = [urn[rng.integers(0, len(urn), size=(size, n_units))] for size in draw_batch_sizes(draws, n_units)]
    sums = np.concatenate([pick.sum(axis=1) for pick in picks]) + added @ influences
    squares = np.concatenate([np.einsum("bn,bn->b", pick, pick) for pick in picks]) + added @ influences**2
    expected = (n_units * weights / total + added) @ influences
    return sums - expected, total / (total - 1) * (squares - sums**2 / total)
