"""The bootstrap of metrics that depend on counts alone, without touching a row.

Resampling rows with replacement changes nothing but how many fall into each cell of group, label and prediction. So
multinomial draws of the counts are the same bootstrap, at a cost that does not grow with the number of rows.
"""

from __future__ import annotations

import numpy as np

from rft.records import Interval
from rft.stats import intervals
from rft.stats.classification import Ratios

DRAWS = 1000


def resampled(confusion: np.ndarray, rng: np.random.Generator, *, draws: int = DRAWS) -> np.ndarray:
    """Return (B, ..., K, K) counts of resamples with replacement of as many rows.

    Args:
        confusion: (..., K, K) counts, label by prediction, of one group or of several together; expected counts need
            not be whole numbers.
        rng: source of the draws.
        draws: B.
    """
    n = float(confusion.sum())
    drawn = rng.multinomial(round(n), (confusion / n).ravel(), size=draws)
    return drawn.reshape(draws, *confusion.shape)


def mean_interval(ratios: Ratios, confusion: np.ndarray, rng: np.random.Generator) -> Interval:
    """Return the interval of a mean of shares, such as balanced accuracy, in one group of independent rows.

    Resamples give the variance; the interval is Wilson's for the number of cases that leaves a proportion with that
    variance (Korn and Graubard 1998, Survey Methodology 24:193). Two rows, spread evenly over the labels that occur,
    are added before resampling, so that a group without errors is not without variance.

    Args:
        ratios: the metric.
        confusion: (K, K) counts for which it is defined.
        rng: source of the draws.
    """
    seen = np.broadcast_to(confusion.sum(axis=1, keepdims=True) > 0, confusion.shape)
    smoothed = confusion + 2 * seen / seen.sum()
    values = ratios.value(resampled(smoothed, rng))
    centre, value = float(ratios.value(smoothed)), float(ratios.value(confusion))
    cases = centre * (1 - centre) / float(np.nanvar(values, ddof=1))
    interval = intervals.wilson(value * cases, cases)
    return interval.model_copy(update={"method": f"{interval.method}, variance from {DRAWS} resamples of the counts"})
