"""What simple classifiers reach on fixed features, out of fold: every example is judged by one that did not see it.

Folds are drawn once for given labels and units, so that all features of the same examples are judged on the same ones
and can be compared example by example. What is not defined is ``Undefined`` with the reason, never a number.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.linear_model import RidgeClassifierCV
from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold
from sklearn.neighbors import KNeighborsClassifier
from threadpoolctl import threadpool_limits  # scikit-learn itself depends on it

from rft import intervals
from rft.intervals import Rate, Sample
from rft.records import Interval

FOLDS = 5
NEIGHBOURS = 5
PENALTIES = np.logspace(-4, 3, 8)  # of features whose rows have length 1 on average


@dataclass(frozen=True)
class Undefined:
    """Something that could not be measured, with the reason."""

    reason: str


@dataclass(frozen=True)
class Folds:
    """Labelled examples and the parts they are split into.

    Attributes:
        labels: (n,) indices 0 to K - 1, each of which occurs.
        units: (n,) whose each example is; all examples of a unit lie in one part.
        parts: (n,) number of the part that each example is held out in.
    """

    labels: np.ndarray
    units: np.ndarray
    parts: np.ndarray

    @classmethod
    def draw(cls, labels: np.ndarray, units: np.ndarray | None, seed: int) -> Folds | Undefined:
        """Return up to ``FOLDS`` parts, fewer where a class is rare.

        Without each of the remaining parts every class must still occur, or it could not be learnt.

        Args:
            labels: (n,) indices of classes.
            units: (n,) whose each example is, or None when every example stands for itself.
            seed: of the shuffling.
        """
        units = np.arange(len(labels)) if units is None else np.asarray(units)
        classes, known = np.unique(labels, return_inverse=True)
        if len(classes) < 2:
            return Undefined(f"fewer than two classes occur among {len(labels)} training examples")
        fewest = min(len(np.unique(units[known == label])) for label in range(len(classes)))
        for count in range(min(FOLDS, fewest), 1, -1):
            parts = _parts(known, units, count, seed)
            if all(len(np.unique(known[parts != part])) == len(classes) for part in range(count)):
                return cls(known, units, parts)
        return Undefined(_why_not(fewest, repeats=len(np.unique(units)) < len(units)))

    @property
    def count(self) -> int:
        """Return the number of parts."""
        return int(self.parts.max()) + 1

    def __iter__(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield masks of the examples to learn from and of those held out, for each part."""
        for part in range(self.count):
            yield self.parts != part, self.parts == part


def _why_not(fewest: int, *, repeats: bool) -> str:
    if fewest > 1:
        return "no split by unit leaves every class among the examples to learn from"
    return f"a class has a single {'unit' if repeats else 'example'}, which cannot be learnt from and held out at once"


def _parts(labels: np.ndarray, units: np.ndarray, count: int, seed: int) -> np.ndarray:
    parts, unused = np.empty(len(labels), dtype=np.int64), np.zeros(len(labels))
    if len(np.unique(units)) < len(units):
        splits = StratifiedGroupKFold(count, shuffle=True, random_state=seed).split(unused, labels, units)
    else:
        splits = StratifiedKFold(count, shuffle=True, random_state=seed).split(unused, labels)
    for part, (_, held_out) in enumerate(splits):
        parts[held_out] = part
    return parts


@dataclass(frozen=True)
class OutOfFold:
    """Predictions of examples that the classifier did not see.

    Attributes:
        labels, predictions: (n,) indices of classes.
        units: (n,) whose each example is.
    """

    labels: np.ndarray
    predictions: np.ndarray
    units: np.ndarray

    @property
    def hits(self) -> np.ndarray:
        """Return (n,) whether each prediction is right."""
        return self.labels == self.predictions

    @cached_property
    def accuracy(self) -> Rate:
        """Return the share of examples that got the right class."""
        return Rate.of(self.hits, self.units)

    @cached_property
    def _counts(self) -> np.ndarray:
        k = int(self.labels.max()) + 1
        return np.bincount(self.labels * k + self.predictions, minlength=k * k).reshape(k, k)

    @property
    def balanced_accuracy(self) -> float:
        """Return the mean over classes of the share that got the right class."""
        return _mean_recall(self._counts)

    def balanced_interval(self, seed: int) -> Interval:
        """Return the interval of the balanced accuracy, from resamples drawn with this seed."""
        rng = np.random.default_rng(seed)
        return intervals.resampled_interval(_mean_recall, self._counts, rng, sample=Sample.of(self.units))


def _mean_recall(counts: np.ndarray) -> float:
    """Return the mean recall of a (K, K) confusion matrix over the classes that occur in it."""
    sizes = counts.sum(axis=1)
    return float(np.mean(np.diag(counts)[sizes > 0] / sizes[sizes > 0]))


def linear_probe(features: np.ndarray, folds: Folds | Undefined) -> OutOfFold | Undefined:
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
    return _out_of_fold(RidgeClassifierCV(alphas=PENALTIES), scaled, folds)


def nearest_neighbours(features: np.ndarray, folds: Folds | Undefined) -> OutOfFold | Undefined:
    """Return the majority vote of the ``NEIGHBOURS`` nearest examples by cosine; of equal votes the first class wins.

    Arguments as for ``linear_probe``. It trains nothing, so it shows whether classes lie apart without a head.
    """
    if isinstance(folds, Undefined):
        return folds
    smallest = min(int(seen.sum()) for seen, _ in folds)
    voters = KNeighborsClassifier(min(NEIGHBOURS, smallest), metric="cosine", algorithm="brute")
    return _out_of_fold(voters, features, folds)


def _out_of_fold(classifier: BaseEstimator, features: np.ndarray, folds: Folds | Undefined) -> OutOfFold | Undefined:
    if isinstance(folds, Undefined):
        return folds
    if problem := not_finite(features):
        return problem
    wide = features.astype(np.float64)  # in float32 the result would depend on the machine's summation order
    predictions = np.empty_like(folds.labels)
    with one_thread():
        for seen, held_out in folds:
            classifier.fit(wide[seen], folds.labels[seen])
            predictions[held_out] = classifier.predict(wide[held_out])
    return OutOfFold(folds.labels, predictions, folds.units)


def one_thread() -> AbstractContextManager[object]:
    """Return a context with one thread of linear algebra: at this size more were ten times slower on a busy machine."""
    return threadpool_limits(1)


def not_finite(features: np.ndarray) -> Undefined | None:
    """Return the problem when features are not numbers; None when all are."""
    broken = int(np.sum(~np.isfinite(features).all(axis=1)))
    return Undefined(f"{broken} of {len(features)} examples have features that are not finite") if broken else None


def majority_share(labels: np.ndarray) -> float:
    """Return the share of the most frequent class among (n,) labels, n above 0."""
    return float(np.bincount(labels).max() / len(labels))
