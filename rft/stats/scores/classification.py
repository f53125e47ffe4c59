"""What is compared between groups: each metric's words, what it is a share of, and its value from counts.

The definitions are those of Fairlearn and scikit-learn. Where they put a number for something undefined, here it is NaN
inside arrays, and None with a reason as soon as it leaves them.
"""

from __future__ import annotations

from collections.abc import Sequence
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
    "rms_calibration_error",
    "log_loss",
]


@dataclass(frozen=True)
class Metric:
    """One metric.

    Attributes:
        name, words, explained: its key, what it is called, and what it is of a group's examples; ``{c}`` is the class.
        kind: ``ratio`` (from a confusion matrix: hits of cases, or a mean of such shares over classes), ``mean`` (of a
            number that each row has), ``area`` or ``calibration``.
        of_class: whether it is about one class against the rest; otherwise about all classes at once.
        worst: which end of it is the worse for a group; None where neither is by itself.
        cases: what the cases of a share are called: examples, positives, negatives, selections.
    """

    name: str
    words: str
    explained: str
    kind: Literal["ratio", "mean", "area", "calibration"] = "ratio"
    of_class: bool = True
    worst: Literal["lowest", "highest"] | None = None
    cases: str = "examples"

    @property
    def needs_scores(self) -> bool:
        """Whether decisions alone do not give it."""
        return self.kind != "ratio"

    @property
    def bound(self) -> float | None:
        """Return the largest difference that there can be, or None."""
        return None if self.name == "log_loss" else 1.0


_ALL = (
    Metric("accuracy", "accuracy", "the share that gets the right class", of_class=False, worst="lowest"),
    Metric("selection_rate", "selection rate", "the share that is given {c}"),
    Metric(
        "tpr",
        "true positive rate",
        "the share that is given {c} among those that have it",
        worst="lowest",
        cases="positives",
    ),
    Metric(
        "fpr",
        "false positive rate",
        "the share that is given {c} among those that do not have it",
        worst="highest",
        cases="negatives",
    ),
    Metric(
        "fnr",
        "false negative rate",
        "the share that is denied {c} among those that have it",
        worst="highest",
        cases="positives",
    ),
    Metric(
        "precision",
        "precision",
        "the share that has {c} among those that are given it",
        worst="lowest",
        cases="selections",
    ),
    Metric(
        "balanced_accuracy",
        "balanced accuracy",
        "the mean over classes of the share that gets the right one",
        of_class=False,
        worst="lowest",
    ),
    Metric(
        "roc_auc",
        "area under the ROC curve",
        "how often one that has {c} is scored above one that does not",
        "area",
        worst="lowest",
    ),
    Metric("mean_score", "mean score", "the mean probability that is given to {c}", "mean"),
    Metric(
        "rms_calibration_error",
        "root-mean-square calibration error",
        "how far the probability that is given to {c} lies from how often it is true, by its root mean square",
        "calibration",
        worst="highest",
    ),
    Metric(
        "log_loss",
        "log loss",
        "the mean of minus the logarithm of the probability that is given to the right class",
        "mean",
        of_class=False,
        worst="highest",
    ),
)
METRICS = {metric.name: metric for metric in _ALL}


@dataclass(frozen=True)
class Ratios:
    """A metric of kind ``ratio`` as R shares of cells of a confusion matrix, whose mean it is; R is 1 for one class.

    Attributes:
        hits, cases: (R, K, K) label by prediction: what a row of the cell counts in; hits are cases. Booleans, but in
            F1 scores, where a row counts half as a case of its label and half as one of its prediction.
        names: (R,) what the cases of each share are called.
    """

    hits: np.ndarray
    cases: np.ndarray
    names: tuple[str, ...]

    @classmethod
    def of(cls, metric: Metric, classes: Sequence[str], positive: int | None) -> Ratios:
        """Return a metric of the class with this index; None for a metric of all classes, or the mean over classes."""
        k = len(classes)
        if metric.name == "accuracy":
            return cls(np.eye(k, dtype=bool)[None], np.ones((1, k, k), dtype=bool), ("examples",))
        if metric.name == "balanced_accuracy":
            return cls.of(METRICS["tpr"], classes, None)
        if positive is not None:
            own_hits, own_cases = _of_class(metric.name, k, positive)
            return cls(own_hits[None], own_cases[None], (metric.cases,))
        hits, cases = zip(*(_of_class(metric.name, k, index) for index in range(k)), strict=True)
        names = tuple(f"{metric.cases.replace('positives', 'examples')} of {name}" for name in classes)
        return cls(np.array(hits), np.array(cases), names)

    @property
    def fact(self) -> tuple[bytes, bytes]:
        """Return a key that metrics share whose gaps are one fact: a share and its complement, such as TPR and FNR."""
        complement = self.cases & ~self.hits
        return self.cases.tobytes(), min(self.hits.tobytes(), complement.tobytes())

    @classmethod
    def of_f1(cls, classes: Sequence[str]) -> Ratios:
        """Return the mean over classes of F1, the hits over the mean of labels and predictions of a class."""
        tpr, precision = (cls.of(METRICS[name], classes, None) for name in ("tpr", "precision"))
        names = tuple(f"examples or selections of {name}" for name in classes)
        return cls(tpr.hits, (tpr.cases.astype(np.float64) + precision.cases) / 2, names)

    def counts(self, confusion: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return (..., R) hits and cases for (..., K, K) counts."""
        return tuple(
            np.einsum("...ij,rij->...r", confusion, part.astype(confusion.dtype) if part.dtype == bool else part)
            for part in (self.hits, self.cases)
        )

    def value(self, confusion: np.ndarray) -> np.ndarray:
        """Return the (...) metric of (..., K, K) counts; NaN where one of its shares has no case.

        A mean over fewer classes would be another metric, and a share of nothing is none.
        """
        return self.values(confusion).mean(axis=-1)

    def values(self, confusion: np.ndarray) -> np.ndarray:
        """Return the (..., R) shares of (..., K, K) counts; NaN where one has no case."""
        hits, cases = self.counts(confusion)
        return np.divide(hits, cases, out=np.full(hits.shape, np.nan), where=cases > 0)

    def of_rows(self, labels: np.ndarray, predictions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return (N, R) booleans: whether each row is a hit, and whether it is a case."""
        return self.hits[:, labels, predictions].T, self.cases[:, labels, predictions].T


def _of_class(metric: str, k: int, positive: int) -> tuple[np.ndarray, np.ndarray]:
    """Return (K, K) booleans of hits and cases of one class against the rest."""
    have, given = np.zeros((2, k, k), dtype=bool)
    have[positive], given[:, positive] = True, True
    return {
        "selection_rate": (given, np.ones((k, k), dtype=bool)),
        "tpr": (have & given, have),
        "fpr": (given & ~have, ~have),
        "fnr": (have & ~given, have),
        "precision": (have & given, given),
    }[metric]
