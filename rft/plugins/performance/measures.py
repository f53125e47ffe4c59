"""What is measured on the predictions of one split. How it is told stands in ``audit``.

A measure that is not defined for the rows at hand is None with the reason, never a number.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from rft.records import Adjusted, Interval
from rft.stats import intervals, multiplicity
from rft.stats.auc import AucEstimate
from rft.stats.intervals import Rate, ResampledShare, Sample

ROWS_A_BIN = 10  # the calibration error uses fewer bins when its bins would hold fewer rows on average
SIMULATIONS = 1000
MOST_SIMULATED = 100_000  # rows that are drawn one by one
SMALLEST_PROBABILITY = float(np.finfo(np.float64).eps)  # as in scikit-learn's log_loss


@dataclass(frozen=True)
class Scored:
    """The predictions of one split.

    Attributes:
        classes: the K class names.
        positive: index of the class whose ROC curve is meant when there are two classes.
        labels, predictions: (N,) indices into ``classes``, N above 0.
        scores: (N, K) finite probabilities, or None; ``no_scores`` is then the reason.
        units: (N,) codes from 0 on of whose row each is; None when every row stands for itself.
        bins: largest number of bins of the calibration error.
        least_in_bin: rows and units that each bin must hold, where fewer bins can.
    """

    classes: tuple[str, ...]
    positive: int
    labels: np.ndarray
    predictions: np.ndarray
    scores: np.ndarray | None
    no_scores: str
    units: np.ndarray | None
    bins: int
    least_in_bin: int = 0

    @cached_property
    def sample(self) -> Sample:
        """Return how many independent cases the rows are worth."""
        return Sample.of_rows(len(self.labels)) if self.units is None else Sample.of(self.units)


@dataclass(frozen=True)
class Measure:
    """A measured value, or None with the reason; ``remark`` is added to what its finding says, ``warn`` marks it.

    ``adjusted`` are the intervals for verdicts in which several estimates are judged.
    """

    value: float | None
    n: int
    interval: Interval | None = None
    reason: str | None = None
    remark: str = ""
    warn: bool = False
    adjusted: tuple[Adjusted, ...] = ()


def confusion(rows: Scored) -> np.ndarray:
    """Return (K, K) counts: label by prediction."""
    k = len(rows.classes)
    return np.bincount(rows.labels * k + rows.predictions, minlength=k * k).reshape(k, k)


def recalls(counts: np.ndarray) -> np.ndarray:
    """Return (K,) recalls of a confusion matrix; NaN for a class without rows."""
    return _ratio(np.diag(counts), counts.sum(axis=1))


def precisions(counts: np.ndarray) -> np.ndarray:
    """Return (K,) precisions of a confusion matrix; NaN for a class that is never predicted."""
    return _ratio(np.diag(counts), counts.sum(axis=0))


def f1_scores(counts: np.ndarray) -> np.ndarray:
    """Return (K,) F1 scores of a confusion matrix; NaN for a class that has no rows and is never predicted."""
    return _ratio(2 * np.diag(counts), counts.sum(axis=0) + counts.sum(axis=1))


def _ratio(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    undefined = np.full(len(numerator), np.nan)
    return np.divide(numerator, denominator, out=undefined, where=denominator > 0)


def equal_mass_bins(confidence: np.ndarray, bins: int) -> np.ndarray:
    """Return (N,) bin numbers from 0 on without gaps; equal confidences share a bin, whatever the order of the rows."""
    bins = max(min(bins, len(confidence) // ROWS_A_BIN), 1)
    edges = np.quantile(confidence, np.linspace(0, 1, bins + 1)[1:-1])
    return np.unique(np.searchsorted(edges, confidence), return_inverse=True)[1]


def expected_calibration_error(confidence: np.ndarray, correct: np.ndarray, bins: np.ndarray) -> float:
    """Return the expected calibration error: mean over rows of |accuracy - confidence| of their bin.

    Source: Guo et al. 2017, ICML, section 2, with the bins of equal mass of Nguyen and O'Connor 2015, EMNLP.
    """
    return float(np.abs(np.bincount(bins, weights=correct - confidence)).sum() / len(confidence))


def accuracy(rows: Scored, rng: np.random.Generator) -> Measure:
    """Measure the share of rows whose class is right."""
    rate = Rate.of(rows.labels == rows.predictions, rows.units)
    adjusted = multiplicity.adjusted(rate.exact_interval)
    return Measure(rate.value, rate.sample.units, rate.interval(), adjusted=adjusted)


def balanced_accuracy(rows: Scored, rng: np.random.Generator) -> Measure:
    """Measure the mean of the recalls of all classes."""
    return _mean_over_classes(rows, recalls, "has no rows", rng)


def macro_f1(rows: Scored, rng: np.random.Generator) -> Measure:
    """Measure the mean of the F1 scores of all classes."""
    return _mean_over_classes(rows, f1_scores, "has no rows and is never predicted", rng)


def _mean_over_classes(
    rows: Scored, scores: Callable[[np.ndarray], np.ndarray], cause: str, rng: np.random.Generator
) -> Measure:
    counts, sample = confusion(rows), rows.sample
    by_class = scores(counts)
    if np.isnan(by_class).any():
        return Measure(None, sample.units, reason=_undefined(rows, np.isnan(by_class), cause))
    share = ResampledShare.of(lambda drawn: float(np.nanmean(scores(drawn))), counts, rng, sample=sample)
    adjusted = multiplicity.adjusted(share.exact_interval)
    return Measure(float(by_class.mean()), sample.units, share.interval(), adjusted=adjusted)


def _undefined(rows: Scored, which: np.ndarray, cause: str) -> str:
    named = ", ".join(name for name, undefined in zip(rows.classes, which, strict=True) if undefined)
    return f"undefined: the class {named} {cause} among {len(rows.labels)} rows"


def roc_auc(rows: Scored, rng: np.random.Generator) -> Measure:
    """Measure the area of the positive class when there are two classes, else the mean of each against the rest."""
    n = rows.sample.units
    if rows.scores is None:
        return Measure(None, n, reason=rows.no_scores)
    sizes = np.bincount(rows.labels, minlength=len(rows.classes))
    if (sizes == 0).any():
        return Measure(None, n, reason=_undefined(rows, sizes == 0, "has no rows"))
    binary = len(rows.classes) == 2
    if binary:
        positive = rows.labels == rows.positive
        area = AucEstimate.from_scores(rows.scores[:, rows.positive], positive, rows.units)
    else:
        area = AucEstimate.mean_over_classes(rows.scores, rows.labels, rows.units)
    over = f"the class {rows.classes[rows.positive]}" if binary else "each class against the rest, averaged"
    adjusted = multiplicity.adjusted(area.interval)
    return Measure(area.value, n, area.interval(), remark=f"It is the area for {over}.", adjusted=adjusted)


def log_loss(rows: Scored, rng: np.random.Generator) -> Measure:
    """Measure the mean of -log of the probability of the right class, in nats."""
    if rows.scores is None:
        return Measure(None, rows.sample.units, reason=rows.no_scores)
    own = rows.scores[np.arange(len(rows.labels)), rows.labels]
    losses = -np.log(np.clip(own, SMALLEST_PROBABILITY, 1.0))
    clipped = int(np.sum(own < SMALLEST_PROBABILITY))
    remark = f"{clipped} probabilities of 0 were counted as {SMALLEST_PROBABILITY:.1e}." if clipped else ""
    interval = intervals.mean_interval(losses, rows.units)
    adjusted = multiplicity.of_mean(losses, rows.units)
    return Measure(float(losses.mean()), rows.sample.units, interval, remark=remark, adjusted=adjusted)


def calibration_error(rows: Scored, rng: np.random.Generator) -> Measure:
    """Measure the calibration error and what a perfectly calibrated model would show, which is above 0 too.

    The latter is simulated by drawing from the model's own confidence whether each row is right (Bröcker and Smith
    2007, Weather Forecast. 22:651); an error above 97.5 % of the simulations is marked.
    """
    if rows.scores is None:
        return Measure(None, rows.sample.units, reason=rows.no_scores)
    confidence, correct, bins = confidences(rows, rows.scores)
    error = expected_calibration_error(confidence, correct, bins)
    simulated = simulated_errors if len(correct) <= MOST_SIMULATED else approximate_errors
    low, high = np.quantile(simulated(confidence, bins, rows.units, rng), [0.025, 0.975])
    remark = (
        f"A perfectly calibrated model would show {low:.3f} to {high:.3f} on these {len(rows.labels)} examples "
        f"({SIMULATIONS} simulations)."
    )
    return Measure(error, rows.sample.units, remark=remark, warn=bool(error > high))


def simulated_errors(
    confidence: np.ndarray, bins: np.ndarray, units: np.ndarray | None, rng: np.random.Generator
) -> np.ndarray:
    """Return calibration errors of perfectly calibrated models: rows are right as often as their confidence says.

    Rows of a unit share one draw, as they may be right or wrong together.
    """
    owners = np.arange(len(confidence)) if units is None else units
    n = int(owners.max()) + 1
    drawn = (rng.random(n)[owners] < confidence for _ in range(SIMULATIONS))
    return np.array([expected_calibration_error(confidence, correct, bins) for correct in drawn])


def approximate_errors(
    confidence: np.ndarray, bins: np.ndarray, units: np.ndarray | None, rng: np.random.Generator
) -> np.ndarray:
    """Return what ``simulated_errors`` would, for so many rows that the sum of each bin is normal.

    The variance of a bin's sum of (right - confidence) is the sum of c (1 - c). Where units share a draw, the
    covariance of the sums is that over units in one draw of all of them.
    """
    k = int(bins.max()) + 1
    if units is None:
        deviations = np.sqrt(np.bincount(bins, weights=confidence * (1 - confidence)))
        sums = rng.standard_normal((SIMULATIONS, k)) * deviations
    else:
        n = int(units.max()) + 1
        right = rng.random(n)[units] < confidence
        by_unit = np.bincount(units * k + bins, weights=right - confidence, minlength=n * k).reshape(n, k)
        sums = rng.multivariate_normal(np.zeros(k), by_unit.T @ by_unit, SIMULATIONS, method="eigh")
    return np.abs(sums).sum(axis=1) / len(confidence)


def confidences(rows: Scored, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return (N,) confidence in the top class, whether it is right, and the bin of each row."""
    confidence = scores.max(axis=1)
    return confidence, scores.argmax(axis=1) == rows.labels, _filled_bins(confidence, rows)


def _filled_bins(confidence: np.ndarray, rows: Scored) -> np.ndarray:
    """Return (N,) bin numbers, of as many bins as are asked for and hold enough rows and units each."""
    units = np.arange(len(confidence)) if rows.units is None else rows.units
    for bins in range(rows.bins, 1, -1):
        numbers = equal_mass_bins(confidence, bins)
        pairs = np.unique(np.stack([numbers, units]), axis=1)[0]
        if np.bincount(pairs).min() >= rows.least_in_bin:
            return numbers
    return np.zeros(len(confidence), dtype=np.int64)


def majority(train: Scored) -> int:
    """Return the index of the most frequent class; the first of several."""
    return int(np.bincount(train.labels).argmax())


def baseline(rows: Scored, majority: int | None) -> Measure:
    """Measure the accuracy of always giving the class ``majority``."""
    if majority is None:
        return Measure(None, rows.sample.units, reason="there are no train rows to take the most frequent class from")
    rate = Rate.of(rows.labels == majority, rows.units)
    remark = f"The most frequent class is {rows.classes[majority]}."
    adjusted = multiplicity.adjusted(rate.exact_interval)
    return Measure(rate.value, rate.sample.units, rate.interval(), remark=remark, adjusted=adjusted)
