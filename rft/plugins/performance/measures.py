"""What is measured on the predictions of one split. How it is told stands in ``audit``.

A measure that is not defined for the rows at hand is None with the reason, never a number.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rft.number_format import format_fixed
from rft.predictions.estimates import estimate_auc, estimate_mean, estimate_rate
from rft.predictions.table import PredictionArrays
from rft.records import Adjusted, Interval
from rft.stats import multiplicity
from rft.stats.design_effect import MIN_CASES_PER_CLASS
from rft.stats.rates import Rate
from rft.stats.scores.calibration import SMALL_CALIBRATION_ERROR, equal_mass_bins, expected_calibration_error
from rft.stats.scores.classification import METRICS, SMALLEST_PROBABILITY, Ratios

MIN_ROWS_PER_BIN = 10  # the calibration error uses fewer bins when its bins would hold fewer rows on average
SIMULATIONS = 1000
NO_INTERVAL = (
    f"It has no interval: the classes have fewer than {MIN_CASES_PER_CLASS} independent cases each, on average."
)
MAX_SIMULATED_ROWS = 100_000  # rows that are drawn one by one


@dataclass(frozen=True)
class Split:
    """The predictions of one split.

    Attributes:
        rows: N of them, N above 0.
        positive: index of the class whose ROC curve is meant when there are two classes.
        bins: largest number of bins of the calibration error.
        least_in_bin: rows and units that each bin must hold, where fewer bins can.
    """

    rows: PredictionArrays
    positive: int
    bins: int
    least_in_bin: int = 0


@dataclass(frozen=True)
class Measure:
    """A measured value, or None with the reason; ``remark`` is added to what its finding says, ``warn`` marks it.

    ``adjust_interval`` are the intervals for verdicts in which several estimates are judged.
    """

    value: float | None
    n: int
    interval: Interval | None = None
    reason: str | None = None
    remark: str = ""
    warn: bool = False
    adjusted: tuple[Adjusted, ...] = ()


def measure_accuracy(split: Split, rng: np.random.Generator) -> Measure:
    """Measure the share of rows whose class is right."""
    rows = split.rows
    rate = estimate_rate(rows, Ratios.from_metric(METRICS["accuracy"], rows.classes, None))
    adjusted = multiplicity.adjust_interval(rate.exact_interval)
    return Measure(rate.value, rows.n, rate.confidence_interval(), adjusted=adjusted)


def measure_balanced_accuracy(split: Split, rng: np.random.Generator) -> Measure:
    """Measure the mean of the recalls of all classes."""
    return _mean_over_classes(
        split.rows, Ratios.from_metric(METRICS["balanced_accuracy"], split.rows.classes, None), "has no rows"
    )


def measure_macro_f1(split: Split, rng: np.random.Generator) -> Measure:
    """Measure the mean of the F1 scores of all classes."""
    return _mean_over_classes(
        split.rows, Ratios.from_macro_f1(split.rows.classes), "has no rows and is never predicted"
    )


def _mean_over_classes(rows: PredictionArrays, ratios: Ratios, cause: str) -> Measure:
    absent = ratios.count_cells(rows.confusion)[1] == 0
    if absent.any():
        return Measure(None, rows.n, reason=_name_undefined(rows, absent, cause))
    rate = estimate_rate(rows, ratios)
    if not rate.holds:
        return Measure(rate.value, rows.n, remark=NO_INTERVAL)
    return Measure(
        rate.value, rows.n, rate.confidence_interval(), adjusted=multiplicity.adjust_interval(rate.exact_interval)
    )


def _name_undefined(rows: PredictionArrays, which: np.ndarray, cause: str) -> str:
    named = ", ".join(name for name, undefined in zip(rows.classes, which, strict=True) if undefined)
    return f"undefined: the class {named} {cause} among {len(rows)} rows"


def measure_roc_auc(split: Split, rng: np.random.Generator) -> Measure:
    """Measure the area of the positive class when there are two classes, else the mean of each against the rest."""
    rows = split.rows
    if rows.scores is None:
        return Measure(None, rows.n, reason=rows.no_scores)
    absent = rows.confusion.sum(axis=1) == 0
    if absent.any():
        return Measure(None, rows.n, reason=_name_undefined(rows, absent, "has no rows"))
    positive = split.positive if len(rows.classes) == 2 else None
    area = estimate_auc(rows, positive)
    over = "each class against the rest, averaged" if positive is None else f"the class {rows.classes[positive]}"
    adjusted = multiplicity.adjust_interval(area.confidence_interval)
    return Measure(
        area.value, rows.n, area.confidence_interval(), remark=f"It is the area for {over}.", adjusted=adjusted
    )


def measure_log_loss(split: Split, rng: np.random.Generator) -> Measure:
    """Measure the mean of -log of the probability of the right class, in nats."""
    rows = split.rows
    if rows.scores is None:
        return Measure(None, rows.n, reason=rows.no_scores)
    mean = estimate_mean("log_loss", rows, None)
    clipped = int(np.count_nonzero(rows.scores[np.arange(len(rows)), rows.labels] < SMALLEST_PROBABILITY))
    remark = f"{clipped} probabilities of 0 were counted as {SMALLEST_PROBABILITY:.1e}." if clipped else ""
    adjusted = multiplicity.adjust_where_defined(mean.confidence_interval)
    return Measure(mean.value, rows.n, mean.confidence_interval(), remark=remark, adjusted=adjusted)


def measure_ece(split: Split, rng: np.random.Generator) -> Measure:
    """Measure the expected calibration error and what a perfectly calibrated model would show, which is above 0 too.

    The latter is simulated by drawing from the model's own confidence whether each row is right (Bröcker and Smith
    2007, Weather Forecast. 22:651); an error above 97.5 % of the simulations is marked where it is not small, too.
    """
    rows = split.rows
    if rows.scores is None:
        return Measure(None, rows.n, reason=rows.no_scores)
    confidence, correct, bins = confidence_bins(split, rows.scores)
    error = expected_calibration_error(confidence, correct, bins)
    simulated = simulated_errors if len(correct) <= MAX_SIMULATED_ROWS else approximate_errors
    low, high = np.quantile(simulated(confidence, bins, rows.units, rng), [0.025, 0.975])
    remark = (
        f"A perfectly calibrated model would show {format_fixed(low, 3)} to {format_fixed(high, 3)} on these "
        f"{len(rows)} examples ({SIMULATIONS} simulations)."
    )
    exceeds_chance, is_small = bool(error > high), error < SMALL_CALIBRATION_ERROR
    if exceeds_chance and is_small:
        remark += (
            f" More than chance explains, and small: below {SMALL_CALIBRATION_ERROR:g} it is no more than calibrating "
            "usually leaves."
        )
    return Measure(error, rows.n, remark=remark, warn=exceeds_chance and not is_small)


def simulated_errors(
    confidence: np.ndarray, bins: np.ndarray, units: np.ndarray | None, rng: np.random.Generator
) -> np.ndarray:
    """Return calibration errors of perfectly calibrated models: rows are right as often as their confidence says.

    Rows of a unit share one draw, as they may be right or wrong together.
    """
    unit_index = np.arange(len(confidence)) if units is None else units
    n = int(unit_index.max()) + 1
    drawn = (rng.random(n)[unit_index] < confidence for _ in range(SIMULATIONS))
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
    values: np.ndarray = np.abs(sums).sum(axis=1) / len(confidence)
    return values


def confidence_bins(split: Split, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return (N,) confidence in the top class, whether it is right, and the bin of each row."""
    confidence = scores.max(axis=1)
    return confidence, scores.argmax(axis=1) == split.rows.labels, _filled_bins(confidence, split)


def _filled_bins(confidence: np.ndarray, split: Split) -> np.ndarray:
    """Return (N,) bin numbers, of as many bins as are asked for and hold enough rows and units each."""
    units = np.arange(len(confidence)) if split.rows.units is None else split.rows.units
    for bins in range(split.bins, 1, -1):
        numbers = equal_mass_bins(confidence, bins, min_rows=MIN_ROWS_PER_BIN)
        pairs = np.unique(np.stack([numbers, units]), axis=1)[0]
        if np.bincount(pairs).min() >= split.least_in_bin:
            return numbers
    return np.zeros(len(confidence), dtype=np.int64)


def majority_class(labels: np.ndarray) -> int:
    """Return the most frequent of (N,) indices of classes; the first of several."""
    return int(np.bincount(labels).argmax())


def measure_baseline(rows: PredictionArrays, majority: int | None) -> Measure:
    """Measure the accuracy of always giving the class ``majority_class``."""
    if majority is None:
        return Measure(None, rows.n, reason="there are no train rows to take the most frequent class from")
    rate = Rate.from_rows(rows.labels == majority, rows.units)
    remark = f"The most frequent class is {rows.classes[majority]}."
    adjusted = multiplicity.adjust_interval(rate.exact_interval)
    return Measure(rate.value, rows.n, rate.confidence_interval(), remark=remark, adjusted=adjusted)
