"""The calibration error of one group, with what the noise of its bins adds to it taken off."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

KUMAR = "Kumar, Liang and Ma 2019, NeurIPS: Verified uncertainty calibration"
BINS = 15
LEAST_IN_BIN = 10


@dataclass(frozen=True)
class CalibrationError:
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


def calibration_error(scores: np.ndarray, hits: np.ndarray, *, bins: int = BINS) -> CalibrationError | None:
    """Return the calibration error of N rows that stand for themselves, or None with fewer than 20.

    Rows are sorted by score into bins of equal numbers, at least 10 rows each; equal scores stay together, so the error
    does not depend on the order of the rows. In a bin of n rows with rate y the squared difference of y and the mean
    score holds y (1 - y) / (n - 1) of noise, which is taken off.

    Args:
        scores: (N,) probabilities of the class.
        hits: (N,) booleans, whether the row is of the class.
        bins: the most bins.

    Raises:
        ValueError: a score lies outside 0 to 1.

    Source: Kumar, Liang and Ma 2019, NeurIPS ("Verified uncertainty calibration"), section 4.1.
    """
    scores, hits = np.asarray(scores, dtype=np.float64), np.asarray(hits, dtype=np.float64)
    if not ((scores >= 0) & (scores <= 1)).all():
        raise ValueError("expected scores between 0 and 1")
    bins = min(bins, len(scores) // LEAST_IN_BIN)
    if bins < 2:
        return None
    order = np.argsort(scores, kind="stable")
    starts = _starts(scores[order], bins)
    n = np.diff([*starts, len(scores)])
    rates, means = (np.add.reduceat(values[order], starts) / n for values in (hits, scores))
    apart, shares = (rates - means) ** 2, n / len(scores)
    noise = rates * (1 - rates) / (n - 1)
    return CalibrationError(float(shares @ (apart - noise)), float(np.sqrt(shares @ apart)), len(starts))


def _starts(ascending: np.ndarray, bins: int) -> np.ndarray:
    """Return where bins of equal numbers begin, each at the first row of its score and with 10 rows or more."""
    wanted = ascending[np.linspace(0, len(ascending), bins, endpoint=False).astype(int)]
    starts = np.unique(np.searchsorted(ascending, wanted, "left"))
    kept = [0]
    for start in starts[1:]:
        if start - kept[-1] >= LEAST_IN_BIN and len(ascending) - start >= LEAST_IN_BIN:
            kept.append(int(start))
    return np.array(kept)
