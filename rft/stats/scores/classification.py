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
        numerators, denominators: (R, K, K) label by prediction: what a row of the cell adds to each; where the
            numerator counts, the denominator does. Booleans, but in F1 scores, where a row counts half as a case of its
            label and half as one of its prediction.
        names: (R,) what the cases of each share are called.
    """

    numerators: np.ndarray
    denominators: np.ndarray
    names: tuple[str, ...]

    @classmethod
    def from_metric(cls, metric: Metric, classes: Sequence[str], positive: int | None) -> Ratios:
        """Return a metric of the class with this index; None for a metric of all classes, or the mean over classes."""
        k = len(classes)
        if metric.name == "accuracy":
            return cls(np.eye(k, dtype=bool)[None], np.ones((1, k, k), dtype=bool), ("examples",))
        if metric.name == "balanced_accuracy":
            return cls.from_metric(METRICS["tpr"], classes, None)
        if positive is not None:
            numerator, denominator = _cells_of_class(metric.name, k, positive)
            return cls(numerator[None], denominator[None], (metric.cases,))
        numerators, denominators = zip(*(_cells_of_class(metric.name, k, index) for index in range(k)), strict=True)
        names = tuple(f"{metric.cases.replace('positives', 'examples')} of {name}" for name in classes)
        return cls(np.array(numerators), np.array(denominators), names)

    @property
    def fact_key(self) -> tuple[bytes, bytes]:
        """Return a key that metrics share whose gaps are one fact: a share and its complement, such as TPR and FNR."""
        complement = self.denominators & ~self.numerators
        return self.denominators.tobytes(), min(self.numerators.tobytes(), complement.tobytes())

    @classmethod
    def from_macro_f1(cls, classes: Sequence[str]) -> Ratios:
        """Return the mean over classes of F1, the right ones over the mean of labels and predictions of a class."""
        tpr, precision = (cls.from_metric(METRICS[name], classes, None) for name in ("tpr", "precision"))
        names = tuple(f"examples or selections of {name}" for name in classes)
        return cls(tpr.numerators, (tpr.denominators.astype(np.float64) + precision.denominators) / 2, names)

    def count_cells(self, confusion: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return (..., R) numerators and denominators from (..., K, K) counts, label by prediction."""
        return tuple(
            np.einsum("...ij,rij->...r", confusion, part.astype(confusion.dtype) if part.dtype == bool else part)
            for part in (self.numerators, self.denominators)
        )

    def metric_value(self, confusion: np.ndarray) -> np.ndarray:
        """Return the (...) metric of (..., K, K) counts; NaN where one of its shares has no case.

        A mean over fewer classes would be another metric, and a share of nothing is none.
        """
        return self.ratio_values(confusion).mean(axis=-1)

    def ratio_values(self, confusion: np.ndarray) -> np.ndarray:
        """Return the (..., R) shares of (..., K, K) counts; NaN where one has no case."""
        numerators, denominators = self.count_cells(confusion)
        return np.divide(numerators, denominators, out=np.full(numerators.shape, np.nan), where=denominators > 0)

    def mark_rows(self, labels: np.ndarray, predictions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return (N, R) what each row adds to the numerators and to the denominators, from (N,) class indices."""
        return self.numerators[:, labels, predictions].T, self.denominators[:, labels, predictions].T


def _cells_of_class(metric: str, k: int, positive: int) -> tuple[np.ndarray, np.ndarray]:
    """Return (K, K) booleans of numerators and denominators of one class against the rest."""
    has_class, is_given = np.zeros((2, k, k), dtype=bool)
    has_class[positive], is_given[:, positive] = True, True
    return {
        "selection_rate": (is_given, np.ones((k, k), dtype=bool)),
        "tpr": (has_class & is_given, has_class),
        "fpr": (is_given & ~has_class, ~has_class),
        "fnr": (has_class & ~is_given, has_class),
        "precision": (has_class & is_given, is_given),
    }[metric]
