"""Estimates of rows of predictions with their intervals: one implementation of each statistic, for all plugins."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from rft.predictions.row_values import row_values
from rft.predictions.table import PredictionArrays
from rft.records import Interval
from rft.stats import intervals
from rft.stats.intervals import CONFIDENCE_LEVEL
from rft.stats.rates import Rate
from rft.stats.resampling import RatioTotals, ratio_totals_by_group
from rft.stats.scores.auc import AucEstimate
from rft.stats.scores.classification import METRICS, Ratios


def estimate_rate(rows: PredictionArrays, ratios: Ratios) -> Rate:
    """Return a metric that is a share, or an average of shares, each of which has a case among the rows."""
    return Rate.from_totals(total_ratios(rows, ratios))


def total_ratios(rows: PredictionArrays, ratios: Ratios) -> RatioTotals:
    """Return what the units of the rows contribute to each share of a metric."""
    if rows.units is None:
        return RatioTotals.from_counts(rows.confusion, ratios.numerators, ratios.denominators)
    numerators, denominators = ratios.mark_rows(rows.labels, rows.predictions)
    return ratio_totals_by_group(numerators, denominators, np.zeros(len(rows), dtype=np.int64), rows.units, n_groups=1)[
        0
    ]


def estimate_auc(rows: PredictionArrays, positive: int | None) -> AucEstimate:
    """Return the area of one class against the rest, or the mean over classes where ``positive`` is None.

    The rows have scores, and rows of each of the classes that are set against each other.
    """
    assert rows.scores is not None
    if positive is None:
        return AucEstimate.mean_over_classes(rows.scores, rows.labels, rows.units)
    return AucEstimate.from_scores(rows.scores[:, positive], rows.labels == positive, rows.units)


@dataclass(frozen=True)
class MeanEstimate:
    """The mean of a number that each row has: mean score, log loss."""

    value: float
    metric: str
    _values: np.ndarray
    _units: np.ndarray | None

    def confidence_interval(self, level: float = CONFIDENCE_LEVEL) -> Interval | None:
        """Return Student's t interval over units, within the metric's bounds.

        None for a single unit, and where all rows have one value, which tells nothing of how far others would stray.
        """
        interval = intervals.mean_interval(self._values, self._units, level=level)
        if interval is None or math.isclose(interval.low, interval.high, rel_tol=1e-9, abs_tol=1e-9):
            return None
        low, high = max(interval.low, 0.0), interval.high
        bound = METRICS[self.metric].bound
        return interval.model_copy(update={"low": low, "high": high if bound is None else min(high, bound)})


def estimate_mean(metric: str, rows: PredictionArrays, positive: int | None) -> MeanEstimate:
    """Return a metric that is a mean over rows with scores; arguments as for ``row_values``."""
    values = row_values(metric, rows, positive)
    return MeanEstimate(float(values.mean()), metric, values, rows.units)
