"""What simple classifiers reach on fixed features, out of fold: every example is judged by one that did not see it."""

from __future__ import annotations

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.neighbors import KNeighborsClassifier

from rft.records import NotMeasured
from rft.stats.cross_validation import Folds, OutOfFold, find_non_finite, limit_to_one_thread
from rft.stats.linear_probe import measure_scale, new_linear_probe

NEIGHBOUR_COUNT = 5


def linear_probe(features: np.ndarray, folds: Folds | NotMeasured) -> OutOfFold | NotMeasured:
    """Return the predictions of a linear probe (``rft.stats.linear_probe``), its penalty chosen in each fold.

    Args:
        features: (n, D) float32.
        folds: of the same n examples.
    """
    return _predict_out_of_fold(new_linear_probe(), features / measure_scale(features), folds)


def vote_of_neighbours(features: np.ndarray, folds: Folds | NotMeasured) -> OutOfFold | NotMeasured:
    """Return the majority vote of the nearest examples by cosine; of equal votes the first class wins.

    Arguments as for ``linear_probe``. It trains nothing, so it shows whether classes lie apart without a head.
    """
    if isinstance(folds, NotMeasured):
        return folds
    smallest = min(int(seen.sum()) for seen, _ in folds)
    voters = KNeighborsClassifier(min(NEIGHBOUR_COUNT, smallest), metric="cosine", algorithm="brute")
    return _predict_out_of_fold(voters, features, folds)


def _predict_out_of_fold(
    classifier: BaseEstimator, features: np.ndarray, folds: Folds | NotMeasured
) -> OutOfFold | NotMeasured:
    if isinstance(folds, NotMeasured):
        return folds
    if problem := find_non_finite(features):
        return problem
    wide = features.astype(np.float64)  # in float32 the result would depend on the machine's summation order
    predictions = np.empty_like(folds.labels)
    with limit_to_one_thread():
        for seen, held_out in folds:
            classifier.fit(wide[seen], folds.labels[seen])
            predictions[held_out] = classifier.predict(wide[held_out])
    return OutOfFold(folds.labels, predictions, folds.units)


def majority_share(labels: np.ndarray) -> float:
    """Return the share of the most frequent class among (n,) labels, n above 0."""
    return float(np.bincount(labels).max() / len(labels))
