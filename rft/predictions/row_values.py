"""The number that each row has in a metric that is a mean over rows: mean score and log loss."""

from __future__ import annotations

import numpy as np

from rft.predictions.table import PredictionArrays
from rft.stats.scores.classification import METRICS


def row_values(metric: str, rows: PredictionArrays, positive: int | None) -> np.ndarray:
    """Return (N,) float64 values whose mean is the metric.

    Args:
        metric: of kind ``mean``: ``mean_score`` or ``log_loss``.
        rows: N rows with scores.
        positive: the class whose score is meant; None for a metric of all classes, such as log loss.
    """
    rule = METRICS[metric].row_value
    assert rule is not None, "of kind mean"
    assert rows.scores is not None, "the status of the metric says so otherwise"
    return rule(rows.scores, rows.labels, 0 if positive is None else positive)
