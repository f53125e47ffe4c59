"""Counting: rows -> a confusion matrix for each group, in one pass over the rows."""

from __future__ import annotations

import numpy as np

from rft.predictions.table import Grouping, PredictionArrays


def count_confusion(rows: PredictionArrays, grouping: Grouping) -> np.ndarray:
    """Return (G, K, K) counts of each group, label by prediction; rows without a group are not counted."""
    k, groups = len(rows.classes), len(grouping.names)
    places = grouping.codes.astype(np.int64)
    places += 1  # rows without a group come first, and are cut off
    for codes in (rows.labels, rows.predictions):
        places *= k
        places += codes
    counts = np.bincount(places, minlength=(groups + 1) * k * k)
    return counts.reshape(groups + 1, k, k)[1:]
