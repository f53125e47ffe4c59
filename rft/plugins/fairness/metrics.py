"""What is compared between groups: each metric's words, what it is a share of, and its value from counts.

The definitions are those of Fairlearn and scikit-learn. Where they put a number for something undefined, here it is NaN
inside arrays, and None with a reason as soon as it leaves them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np

MetricName = Literal[
    "accuracy",
    "selection_rate",
    "tpr",
    "fpr",
    "fnr",
    "precision",
    "balanced_accuracy",
    "roc_auc",
    "mean_score",
    "calibration_error",
    "log_loss",
]
Parts = tuple[np.ndarray, np.ndarray]  # (..., G) hits and cases


@dataclass(frozen=True)
class Metric:
    """One metric.

    Attributes:
        name, words, explained: its key, what it is called, and what it is of a group's examples.
        kind: ``share`` (hits of cases), ``counts`` (from a confusion matrix, but no share), ``mean`` (of a number
            that each row has), ``area`` or ``calibration``.
        of_class: whether it is about one class against the rest; otherwise about all classes at once.
        worst: which end of it is the worse for a group; None where neither is by itself.
        cases: what the cases of a share are called: examples, positives, negatives, selected.
    """

    name: str
    words: str
    explained: str
    kind: Literal["share", "counts", "mean", "area", "calibration"]
    of_class: bool = True
    worst: Literal["lowest", "highest"] | None = None
    cases: str = "examples"

    @property
    def needs_scores(self) -> bool:
        """Whether decisions alone do not give it."""
        return self.kind in ("mean", "area", "calibration")

    @property
    def bounded(self) -> bool:
        """Whether it lies between 0 and 1."""
        return self.name != "log_loss"


_ALL = (
    Metric("accuracy", "accuracy", "the share that gets the right class", "share", False, "lowest"),
    Metric("selection_rate", "selection rate", "the share that is given {c}", "share"),
    Metric(
        "tpr",
        "true positive rate",
        "the share given {c} among those that have it",
        "share",
        True,
        "lowest",
        "positives",
    ),
    Metric(
        "fpr",
        "false positive rate",
        "the share given {c} among those that do not have it",
        "share",
        True,
        "highest",
        "negatives",
    ),
    Metric(
        "fnr",
        "false negative rate",
        "the share denied {c} among those that have it",
        "share",
        True,
        "highest",
        "positives",
    ),
    Metric(
        "precision", "precision", "the share that has {c} among those given it", "share", True, "lowest", "selected"
    ),
    Metric(
        "balanced_accuracy",
        "balanced accuracy",
        "the mean over classes of the share that gets the right one",
        "counts",
        False,
        "lowest",
    ),
    Metric(
        "roc_auc",
        "area under the ROC curve",
        "how often one that has {c} is scored above one that does not",
        "area",
        True,
        "lowest",
    ),
    Metric("mean_score", "mean score", "the mean probability given to {c}", "mean"),
    Metric(
        "calibration_error",
        "calibration error",
        "how far the probability given to {c} lies from how often it is true, typically",
        "calibration",
        True,
        "highest",
    ),
    Metric(
        "log_loss",
        "log loss",
        "the mean of minus the logarithm of the probability given to the right class",
        "mean",
        False,
        "highest",
    ),
)
METRICS = {metric.name: metric for metric in _ALL}


def share_parts(metric: str, confusion: np.ndarray, positive: int | None) -> Parts:
    """Return the hits and the cases of a share.

    Args:
        metric: the name of one whose kind is ``share``.
        confusion: (..., K, K) counts, label by prediction.
        positive: index of the class that is set against the rest; None for accuracy.
    """
    total = confusion.sum(axis=(-2, -1))
    if positive is None:
        return np.trace(confusion, axis1=-2, axis2=-1), total
    right = confusion[..., positive, positive]
    have, given = confusion[..., positive, :].sum(axis=-1), confusion[..., :, positive].sum(axis=-1)
    return {
        "selection_rate": (given, total),
        "tpr": (right, have),
        "fpr": (given - right, total - have),
        "fnr": (have - right, have),
        "precision": (right, given),
    }[metric]


def row_parts(metric: str, labels: np.ndarray, predictions: np.ndarray, positive: int | None) -> Parts:
    """Return (N,) booleans for a share: whether each row is a hit, and whether it is a case at all."""
    everything = np.ones(len(labels), dtype=bool)
    if positive is None:
        return labels == predictions, everything
    have, given = labels == positive, predictions == positive
    return {
        "selection_rate": (given, everything),
        "tpr": (have & given, have),
        "fpr": (given & ~have, ~have),
        "fnr": (have & ~given, have),
        "precision": (have & given, given),
    }[metric]


def ratio(hits: np.ndarray, cases: np.ndarray) -> np.ndarray:
    """Return hits / cases; NaN where there is no case."""
    return np.divide(hits, cases, out=np.full(np.shape(hits), np.nan), where=np.asarray(cases) > 0)


def from_counts(metric: str, confusion: np.ndarray, positive: int | None) -> np.ndarray:
    """Return (...) values of a metric of kind ``share`` or ``counts``; NaN where it is undefined.

    ``positive`` None asks a metric of one class for its mean over all classes (macro).
    """
    if metric == "balanced_accuracy":
        return _macro("tpr", confusion)
    if METRICS[metric].of_class and positive is None:
        return _macro(metric, confusion)
    return ratio(*share_parts(metric, confusion, positive))


def _macro(metric: str, confusion: np.ndarray) -> np.ndarray:
    each = [ratio(*share_parts(metric, confusion, index)) for index in range(confusion.shape[-1])]
    return np.mean(each, axis=0)  # NaN as soon as one class has no case: a mean over fewer classes is another metric


def statistic(metric: str, positive: int | None) -> Callable[[np.ndarray], np.ndarray]:
    """Return the function of (..., K, K) counts that gives a metric of kind ``share`` or ``counts``."""
    return lambda confusion: from_counts(metric, confusion, positive)
