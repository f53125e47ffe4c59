"""Threshold on the loss (Yeom et al. 2018, CSF): what an attacker sees who has the predictions alone."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from rft.records import LOSS


def score_loss(predictions: pd.DataFrame, classes: Sequence[str]) -> np.ndarray:
    """Return (N,) logs of the probability that the model gives to the true label, that is, minus the loss.

    A probability of 0 counts as the smallest positive float64; NaN where the label has no probability. Of a recogniser
    it is that of the transcript; minus infinity where that cannot be written.

    Args:
        predictions: N rows with ``label`` and ``score_<class>``, or of a recogniser ``loss``.
        classes: of the model; empty of a recogniser.
    """
    if LOSS in predictions:
        return -predictions[LOSS].to_numpy(np.float64)
    scores = predictions.reindex(columns=[f"score_{name}" for name in classes]).to_numpy(np.float64)
    label = pd.Index(classes).get_indexer(pd.Index(predictions["label"]))
    probability = np.where(label >= 0, scores[np.arange(len(predictions)), label], np.nan)
    return np.log(np.maximum(probability, np.finfo(np.float64).tiny))
