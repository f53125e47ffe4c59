"""What is compared between groups: one record for each metric, and its value from counts.

The definitions are those of Fairlearn and scikit-learn. Where they put a number for something undefined, here it is NaN
inside arrays, and None with a reason as soon as it leaves them. A new metric is one entry of ``_ALL``: everything else,
from the options to the report, and the test against its peer, reads the record.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

import numpy as np

SMALLEST_PROBABILITY = float(np.finfo(np.float64).eps)  # as in scikit-learn's log_loss

# Of (K, 1) labels, (1, K) predictions and the index of a class: which cells of a confusion matrix count, (K, K).
CellRule = Callable[[np.ndarray, np.ndarray, int], np.ndarray]
# Of (N, K) scores, (N,) labels and the index of a class: the (N,) numbers whose mean a metric is.
RowValueRule = Callable[[np.ndarray, np.ndarray, int], np.ndarray]


@dataclass(frozen=True)
class Peer:
    """An independent implementation that a test holds a metric against, called with the truth and what was predicted.

    Attributes:
        function: dotted name of a function of a library; or the paper whose definition the tests write out as a loop.
        arguments: by keyword.
    """

    function: str
    arguments: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Share:
    """A share of rows, by what their cells of a confusion matrix count in.

    Attributes:
        numerator, denominator: which cells count; those of the numerator count in the denominator too.
        denominator_label: what the rows of the denominator are called: examples, positives, negatives, selections.
    """

    numerator: CellRule
    denominator: CellRule
    denominator_label: str = "examples"


@dataclass(frozen=True)
class Metric:
    """One metric.

    Attributes:
        name: its key in options, tables and ids of findings.
        label: what it is called.
        abbreviation: what heads its column or chart, where that is not its name in words.
        definition: what it is of a group's examples; ``{c}`` is the class.
        peer: what a test compares it with.
        kind: ``ratio`` (of counts), ``mean`` (of a number that each row has), ``auc`` or ``calibration``.
        direction: whether higher is better, or lower; None where neither is by itself.
        of_class: whether it is about one class against the rest; otherwise about all classes at once.
        has_macro: of a class: whether its mean over classes is in use.
        share: of kind ``ratio``: what it is a share of.
        average_of: of kind ``ratio``, about all classes: the metric whose mean over classes it is.
        row_value: of kind ``mean``: the number that each row has.
        bound: the largest difference between two groups that there can be; None without a bound.
    """

    name: str
    label: str
    definition: str
    peer: Peer
    abbreviation: str = ""
    kind: Literal["ratio", "mean", "auc", "calibration"] = "ratio"
    direction: Literal["higher", "lower"] | None = None
    of_class: bool = True
    has_macro: bool = False
    share: Share | None = None
    average_of: str | None = None
    row_value: RowValueRule | None = None
    bound: float | None = 1.0

    @property
    def needs_scores(self) -> bool:
        """Whether decisions alone do not give it."""
        return self.kind != "ratio"

    @property
    def worst(self) -> Literal["lowest", "highest"] | None:
        """Which end of it is the worse for a group; None where neither is by itself."""
        return None if self.direction is None else "lowest" if self.direction == "higher" else "highest"

    @property
    def denominator_label(self) -> str:
        """What the cases that it is a share of are called."""
        return self.share.denominator_label if self.share else "examples"

    @property
    def is_of_all_rows(self) -> bool:
        """Whether every row of a group counts, so that it says nothing of the rows of a single class."""
        return self.kind == "mean" or (self.share is not None and bool(self._denominator_of_two_classes.all()))

    def list_single_classes(self, classes: Sequence[str], positive: int | None) -> tuple[str, ...] | Literal["all"]:
        """Return the classes whose rows by themselves the value rests on; ``all`` where it is made of each class.

        Args:
            classes: of the model.
            positive: index of the class that is set against the rest; None for a value over all classes.
        """
        if self.is_of_all_rows:
            return ()
        if positive is None:
            return "all"
        of_class, of_rest = (bool(cells.any()) for cells in self._denominator_of_two_classes)
        rest = [index for index in range(len(classes)) if index != positive]
        single = [positive] * of_class + rest * (of_rest and len(rest) == 1)
        return tuple(classes[index] for index in single)

    @property
    def depends_on_selection(self) -> bool:
        """Whether predictions decide which rows count, as those that are given a class do for its precision."""
        cells = self._denominator_of_two_classes
        return self.share is not None and not np.array_equal(cells[:, :1], cells[:, 1:])

    @property
    def _denominator_of_two_classes(self) -> np.ndarray:
        return np.ones((2, 2), dtype=bool) if self.share is None else mark_cells(self.share.denominator, 2, 0)


def mark_cells(rule: CellRule, n_classes: int, positive: int) -> np.ndarray:
    """Return (K, K) booleans, label by prediction: which cells count by a rule, for one class."""
    indices = np.arange(n_classes)
    return np.array(np.broadcast_to(rule(indices[:, None], indices[None], positive), (n_classes, n_classes)), bool)


def _every_row(label: np.ndarray, prediction: np.ndarray, positive: int) -> np.ndarray:
    return np.ones((label.size, prediction.size), dtype=bool)


def _has_class(label: np.ndarray, prediction: np.ndarray, positive: int) -> np.ndarray:
    return np.asarray(np.equal(label, positive))


def _lacks_class(label: np.ndarray, prediction: np.ndarray, positive: int) -> np.ndarray:
    return np.asarray(np.not_equal(label, positive))


def _is_given(label: np.ndarray, prediction: np.ndarray, positive: int) -> np.ndarray:
    return np.asarray(np.equal(prediction, positive))


def _scores_of_class(scores: np.ndarray, labels: np.ndarray, positive: int) -> np.ndarray:
    return np.asarray(scores[:, positive])


def _log_losses(scores: np.ndarray, labels: np.ndarray, positive: int) -> np.ndarray:
    clipped = np.clip(scores, SMALLEST_PROBABILITY, 1 - SMALLEST_PROBABILITY)
    return np.asarray(-np.log(np.take_along_axis(clipped, labels[:, None].astype(np.int64), axis=1)[:, 0]))


_ALL = (
    Metric(
        "accuracy",
        "accuracy",
        "the share that gets the right class",
        Peer("sklearn.metrics.accuracy_score"),
        direction="higher",
        of_class=False,
        share=Share(lambda label, prediction, _: np.equal(label, prediction), _every_row),
    ),
    Metric(
        "selection_rate",
        "selection rate",
        "the share that is given {c}",
        Peer("fairlearn.metrics.selection_rate"),
        share=Share(_is_given, _every_row),
    ),
    Metric(
        "tpr",
        "true positive rate",
        "the share that is given {c} among those that have it",
        Peer("fairlearn.metrics.true_positive_rate"),
        abbreviation="TPR",
        direction="higher",
        has_macro=True,
        share=Share(lambda label, prediction, c: (label == c) & (prediction == c), _has_class, "positives"),
    ),
    Metric(
        "fpr",
        "false positive rate",
        "the share that is given {c} among those that do not have it",
        Peer("fairlearn.metrics.false_positive_rate"),
        abbreviation="FPR",
        direction="lower",
        has_macro=True,
        share=Share(lambda label, prediction, c: (label != c) & (prediction == c), _lacks_class, "negatives"),
    ),
    Metric(
        "fnr",
        "false negative rate",
        "the share that is denied {c} among those that have it",
        Peer("fairlearn.metrics.false_negative_rate"),
        abbreviation="FNR",
        direction="lower",
        has_macro=True,
        share=Share(lambda label, prediction, c: (label == c) & (prediction != c), _has_class, "positives"),
    ),
    Metric(
        "precision",
        "precision",
        "the share that has {c} among those that are given it",
        Peer("sklearn.metrics.precision_score"),
        direction="higher",
        has_macro=True,
        share=Share(lambda label, prediction, c: (label == c) & (prediction == c), _is_given, "selections"),
    ),
    Metric(
        "balanced_accuracy",
        "balanced accuracy",
        "the mean over classes of the share that gets the right one",
        Peer("sklearn.metrics.balanced_accuracy_score"),
        direction="higher",
        of_class=False,
        average_of="tpr",
    ),
    Metric(
        "roc_auc",
        "area under the ROC curve",
        "how often one that has {c} is scored above one that does not",
        Peer("sklearn.metrics.roc_auc_score"),
        abbreviation="ROC AUC",
        kind="auc",
        direction="higher",
        has_macro=True,
    ),
    Metric(
        "mean_score",
        "mean score",
        "the mean probability that is given to {c}",
        Peer("fairlearn.metrics.mean_prediction"),
        kind="mean",
        row_value=_scores_of_class,
    ),
    Metric(
        "rms_calibration_error",
        "root-mean-square calibration error",
        "how far the probability that is given to {c} lies from how often it is true, by its root mean square",
        Peer("Kumar, Liang and Ma 2019, section 4.1"),
        abbreviation="RMS calibration error",
        kind="calibration",
        direction="lower",
    ),
    Metric(
        "log_loss",
        "log loss",
        "the mean of minus the logarithm of the probability that is given to the right class",
        Peer("sklearn.metrics.log_loss"),
        kind="mean",
        direction="lower",
        of_class=False,
        row_value=_log_losses,
        bound=None,
    ),
)
METRICS = {metric.name: metric for metric in _ALL}
# Name -> how columns of metrics write it, where that is not the name in words.
ABBREVIATIONS = {metric.name: metric.abbreviation for metric in _ALL if metric.abbreviation}
# Metrics whose cases are the same rows whatever is decided, and which one share gives.
METRICS_OF_FIXED_CASES = tuple(
    metric.name for metric in _ALL if metric.share is not None and not metric.depends_on_selection
)
if TYPE_CHECKING:
    MetricName = str
    FixedCaseMetricName = str
else:  # literals, so that a config that names another one is told which there are
    MetricName = Literal[tuple(METRICS)]
    FixedCaseMetricName = Literal[METRICS_OF_FIXED_CASES]


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
        if metric.average_of is not None:
            return cls.from_metric(METRICS[metric.average_of], classes, None)
        assert metric.share is not None, "of kind ratio"
        share, k = metric.share, len(classes)
        averaged = metric.of_class and positive is None
        indices = range(k) if averaged else (positive or 0,)
        label = share.denominator_label.replace("positives", "examples")
        return cls(
            np.array([mark_cells(share.numerator, k, index) for index in indices]),
            np.array([mark_cells(share.denominator, k, index) for index in indices]),
            tuple(f"{label} of {name}" for name in classes) if averaged else (share.denominator_label,),
        )

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
        numerators, denominators = (
            np.einsum("...ij,rij->...r", confusion, part.astype(confusion.dtype) if part.dtype == bool else part)
            for part in (self.numerators, self.denominators)
        )
        return numerators, denominators

    def metric_value(self, confusion: np.ndarray) -> np.ndarray:
        """Return the (...) metric of (..., K, K) counts; NaN where one of its shares has no case.

        A mean over fewer classes would be another metric, and a share of nothing is none.
        """
        return np.asarray(self.ratio_values(confusion).mean(axis=-1))

    def ratio_values(self, confusion: np.ndarray) -> np.ndarray:
        """Return the (..., R) shares of (..., K, K) counts; NaN where one has no case."""
        numerators, denominators = self.count_cells(confusion)
        return np.asarray(
            np.divide(numerators, denominators, out=np.full(numerators.shape, np.nan), where=denominators > 0)
        )

    def mark_rows(self, labels: np.ndarray, predictions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return (N, R) what each row adds to the numerators and to the denominators, from (N,) class indices."""
        return self.numerators[:, labels, predictions].T, self.denominators[:, labels, predictions].T
