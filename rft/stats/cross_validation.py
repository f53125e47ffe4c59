"""Judging examples out of fold: each by a classifier that did not see it, nor any other example of its unit.

Folds are drawn once for given labels and units, so that all features of the same examples are judged on the same ones
and can be compared example by example. What is not defined is ``NotMeasured`` with the reason, never a number.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold
from threadpoolctl import threadpool_limits  # scikit-learn itself depends on it

from rft.records import NotMeasured
from rft.stats.rates import Rate
from rft.stats.resampling import ratio_totals_by_group

MAX_FOLDS = 5


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
    def draw_stratified(cls, labels: np.ndarray, units: np.ndarray | None, seed: int) -> Folds | NotMeasured:
        """Return up to ``MAX_FOLDS`` parts, fewer where a class is rare.

        Without each of the remaining parts every class must still occur, or it could not be learnt.

        Args:
            labels: (n,) indices of classes.
            units: (n,) whose each example is, or None when every example stands for itself.
            seed: of the shuffling.
        """
        units = np.arange(len(labels)) if units is None else np.asarray(units)
        classes, known = np.unique(labels, return_inverse=True)
        if len(classes) < 2:
            return NotMeasured(f"fewer than two classes occur among {len(labels)} training examples")
        fewest = min(len(np.unique(units[known == label])) for label in range(len(classes)))
        for count in range(min(MAX_FOLDS, fewest), 1, -1):
            parts = _assign_parts(known, units, count, seed)
            if all(len(np.unique(known[parts != part])) == len(classes) for part in range(count)):
                return cls(known, units, parts)
        return NotMeasured(_explain_no_split(fewest, repeats=len(np.unique(units)) < len(units)))

    @property
    def count(self) -> int:
        """Return the number of parts."""
        return int(self.parts.max()) + 1

    def __iter__(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield (n,) masks of the examples to learn from and of those held out, for each part."""
        for part in range(self.count):
            yield self.parts != part, self.parts == part


def _explain_no_split(fewest: int, *, repeats: bool) -> str:
    if fewest > 1:
        return "no split by unit leaves every class among the examples to learn from"
    return f"a class has a single {'unit' if repeats else 'example'}, which cannot be learnt from and held out at once"


def _assign_parts(labels: np.ndarray, units: np.ndarray, count: int, seed: int) -> np.ndarray:
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
    def is_correct(self) -> np.ndarray:
        """Return (n,) whether each prediction is right."""
        return np.asarray(self.labels == self.predictions)

    @cached_property
    def accuracy(self) -> Rate:
        """Return the share of examples that got the right class."""
        return Rate.from_rows(self.is_correct, self.units)

    @cached_property
    def balanced_accuracy(self) -> Rate:
        """Return the mean over classes of the share that got the right class."""
        classes = int(self.labels.max()) + 1
        is_of_class = self.labels[:, None] == np.arange(classes)
        codes = np.unique(self.units, return_inverse=True)[1]
        groups = np.zeros(len(codes), dtype=np.int64)
        return Rate.from_totals(
            ratio_totals_by_group(is_of_class & self.is_correct[:, None], is_of_class, groups, codes, n_groups=1)[0]
        )


def limit_to_one_thread() -> AbstractContextManager[object]:
    """Return a context with one thread of linear algebra: at this size more were ten times slower on a busy machine."""
    limits: AbstractContextManager[object] = threadpool_limits(1)
    return limits


def find_non_finite(features: np.ndarray) -> NotMeasured | None:
    """Return the problem when (N, D) features are not all finite numbers; None when they are."""
    return describe_non_finite(count_non_finite(features), len(features))


def count_non_finite(features: np.ndarray) -> int:
    """Return how many rows of (N, D) features hold what is no finite number."""
    return int(np.sum(~np.isfinite(features).all(axis=1)))


def describe_non_finite(n_broken: int, n: int) -> NotMeasured | None:
    """Return the problem when ``n_broken`` of ``n`` examples have features that are not finite; None for none."""
    return NotMeasured(f"{n_broken} of {n} examples have features that are not finite") if n_broken else None
