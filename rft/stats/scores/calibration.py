"""Two calibration errors, and the bins of equal numbers of rows that both rest on.

``ece``, the expected calibration error, is the mean distance of the confidence in the predicted class from how often it
is right. ``rms_calibration_error`` is the root mean square distance of the probability of one class from how often it
is true, with what the noise of the bins adds taken off. They are two quantities, and equal only by accident.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

MAX_BINS = 15
MIN_ROWS_PER_BIN = 10
# An expected calibration error below it is what the usual remedy leaves: temperature scaling brought the networks of
# Guo et al. 2017 (ICML, table 1) to between 0.002 and 0.024 mostly. A large sample tells even 0.001 from chance.
SMALL_CALIBRATION_ERROR = 0.02


@dataclass(frozen=True)
class RmsCalibrationError:
    """How far scores are from the rates they stand for, as a root mean square over bins of equal numbers of rows.

    There is no interval and no verdict: near 0, where most groups are, the estimate is not normal, and the bootstrap of
    a difference between two calibrated groups excludes 0 in 79 to 100 % of samples.

    Attributes:
        squared: the debiased squared error; below 0 in some samples of a calibrated group.
        plugin: the error that is not debiased, which is above 0 for a calibrated group too.
        bins: number of bins.
    """

    squared: float
    plugin: float
    bins: int

    @property
    def value(self) -> float:
        """Return the debiased error, 0 where ``squared`` is below 0."""
        return float(np.sqrt(max(self.squared, 0.0)))


def rms_calibration_error(
    scores: np.ndarray, outcomes: np.ndarray, *, bins: int = MAX_BINS
) -> RmsCalibrationError | None:
    """Return the root-mean-square calibration error of N rows that stand for themselves, or None with fewer than 20.

    Rows are sorted by score into bins of equal numbers, at least 10 rows each; equal scores stay together, so the error
    does not depend on the order of the rows. In a bin of n rows with rate y the squared difference of y and the mean
    score holds y (1 - y) / (n - 1) of noise, which is taken off.

    Args:
        scores: (N,) probabilities of the class.
        outcomes: (N,) booleans, whether the row is of the class.
        bins: the most bins.

    Raises:
        ValueError: a score lies outside 0 to 1.

    Source: Kumar, Liang and Ma 2019, NeurIPS ("Verified uncertainty calibration"), section 4.1.
    """
    scores, outcomes = np.asarray(scores, dtype=np.float64), np.asarray(outcomes, dtype=np.float64)
    if not ((scores >= 0) & (scores <= 1)).all():
        raise ValueError("expected scores between 0 and 1")
    bins = min(bins, len(scores) // MIN_ROWS_PER_BIN)
    if bins < 2:
        return None
    order = np.argsort(scores, kind="stable")
    starts = _bin_starts(scores[order], bins)
    n = np.diff([*starts, len(scores)])
    rates, means = (np.add.reduceat(values[order], starts) / n for values in (outcomes, scores))
    apart, shares = (rates - means) ** 2, n / len(scores)
    noise = rates * (1 - rates) / (n - 1)
    return RmsCalibrationError(float(shares @ (apart - noise)), float(np.sqrt(shares @ apart)), len(starts))


def expected_calibration_error(confidence: np.ndarray, correct: np.ndarray, bins: np.ndarray) -> float:
    """Return the mean over rows of |share that is right - mean confidence| of their bin.

    Args:
        confidence: (N,) probabilities of the predicted class.
        correct: (N,) booleans, whether the prediction is right.
        bins: (N,) bin numbers from 0 on, as ``equal_mass_bins`` gives them.

    Source: Guo et al. 2017, ICML, section 2, with the bins of equal mass of Nguyen and O'Connor 2015, EMNLP.
    """
    return float(np.abs(np.bincount(bins, weights=correct - confidence)).sum() / len(confidence))


def equal_mass_bins(values: np.ndarray, bins: int, *, min_rows: int) -> np.ndarray:
    """Return (N,) bin numbers from 0 on without gaps; equal values share a bin, whatever the order of the rows.

    Args:
        values: (N,) confidences or scores.
        bins: the most bins.
        min_rows: fewer bins where they would hold fewer rows than this on average.
    """
    bins = max(min(bins, len(values) // min_rows), 1)
    edges = np.quantile(values, np.linspace(0, 1, bins + 1)[1:-1])
    return np.unique(np.searchsorted(edges, values), return_inverse=True)[1]


def _bin_starts(ascending: np.ndarray, bins: int) -> np.ndarray:
    """Return where bins of (N,) ascending scores begin, each at the first row of its score, with 10 rows or more."""
    wanted = ascending[np.linspace(0, len(ascending), bins, endpoint=False).astype(int)]
    starts = np.unique(np.searchsorted(ascending, wanted, "left"))
    kept = [0]
    for start in starts[1:]:
        if start - kept[-1] >= MIN_ROWS_PER_BIN and len(ascending) - start >= MIN_ROWS_PER_BIN:
            kept.append(int(start))
    return np.array(kept)
