"""What simple classifiers reach on fixed features, out of fold: every example is judged by one that did not see it."""

from __future__ import annotations

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.linear_model import RidgeClassifierCV
from sklearn.neighbors import KNeighborsClassifier

from rft.records import NotMeasured
from rft.stats.cross_validation import Folds, OutOfFold, find_non_finite, limit_to_one_thread

NEIGHBOUR_COUNT = 5
PENALTIES = np.logspace(-4, 3, 8)  # of features whose rows have length 1 on average


def linear_probe(features: np.ndarray, folds: Folds | NotMeasured) -> OutOfFold | NotMeasured:
    """Return the predictions of a linear classifier: ridge regression on the classes, its penalty chosen in each fold.

    The penalty is the one with the smallest leave-one-out error on the examples the fold may see, which has a closed
    form. A fixed one would favour some networks: features of random weights want less of it than pretrained ones. All
    columns are divided by one number and not each by its own spread, which would blow up the features of a network
    that are almost always zero.

    Args:
        features: (n, D) float32.
        folds: of the same n examples.

    Source: Alain and Bengio 2016, arXiv:1610.01644; Kornblith et al. 2019, CVPR; Golub, Heath and Wahba 1979,
    Technometrics, on the choice of the penalty.
    """
    spread = float(features.std(dtype=np.float64)) * features.shape[1] ** 0.5
    scaled = features / spread if spread > 0 else features
    return _predict_out_of_fold(RidgeClassifierCV(alphas=PENALTIES), scaled, folds)


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
