"""The number that each row has in a metric that is a mean over rows: mean score and log loss."""

from __future__ import annotations

import numpy as np

from rft.predictions.table import PredictionArrays

SMALLEST_PROBABILITY = float(np.finfo(np.float64).eps)  # as in scikit-learn's log_loss


def row_values(metric: str, rows: PredictionArrays, positive: int | None) -> np.ndarray:
    """Return (N,) float64 values whose mean is the metric.

    Args:
        metric: ``mean_score`` or ``log_loss``.
        rows: N rows with scores.
        positive: the class whose score is meant; log loss is of all classes.
    """
    assert rows.scores is not None  # the status of the metric says so otherwise
    if metric == "mean_score":
        return rows.scores[:, positive]
    clipped = np.clip(rows.scores, SMALLEST_PROBABILITY, 1 - SMALLEST_PROBABILITY)
    label_scores = np.take_along_axis(clipped, rows.labels[:, None].astype(np.int64), axis=1)[:, 0]
    return -np.log(label_scores)
