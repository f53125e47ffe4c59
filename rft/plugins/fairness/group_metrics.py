"""The rates of each group, by Fairlearn, with what Fairlearn leaves out: counts, intervals and the undefined.

Fairlearn gives 0.0 for the true positive rate of a group without positives. Here such a rate is None, and its status
says why; so is every rate of a group with too few rows.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from rft.intervals import Rate, Sample

OK = "ok"
TOO_FEW = "too few"
BASES = {"tpr": "positives", "fnr": "positives", "fpr": "negatives"}  # the rows a rate is a share of; else all rows


@dataclass(frozen=True)
class Rows:
    """Rows to be compared: (N,) class names as labels and predictions, and (N,) units."""

    labels: np.ndarray
    predictions: np.ndarray
    units: np.ndarray

    def where(self, mask: np.ndarray) -> Rows:
        """Return the rows of a (N,) boolean mask."""
        return Rows(self.labels[mask], self.predictions[mask], self.units[mask])


@dataclass(frozen=True)
class GroupRate:
    """One metric of one group.

    Attributes:
        rate: None unless ``status`` is ``ok``.
        n, n_positive, n_negative: rows of the group, and how many of them have the favourable label or another.
        status: ``ok``, ``too few``, ``undefined: no positives`` or ``undefined: no negatives``.
    """

    group: str
    metric: str
    rate: Rate | None
    n: int
    n_positive: int
    n_negative: int
    status: str


def rates(rows: Rows, groups: np.ndarray, *, metrics: Sequence[str], positive: str, min_group: int) -> list[GroupRate]:
    """Return every metric of every group, groups in order of their names.

    Args:
        rows: N rows, N may be 0.
        groups: (N,) names of groups, none missing.
        metrics: ``accuracy`` (over all classes), or ``selection_rate``, ``tpr``, ``fpr``, ``fnr`` of the favourable
            class against the rest.
        positive: the favourable class.
        min_group: groups with fewer rows are not scored.
    """
    if not len(groups):
        return []
    values = _by_fairlearn(rows, groups, metrics, positive)
    found = []
    for group in np.unique(groups):
        own = rows.where(groups == group)
        for metric in metrics:
            found.append(_rate(own, str(group), metric, float(values.loc[group, metric]), positive, min_group))
    return found


def _by_fairlearn(rows: Rows, groups: np.ndarray, metrics: Sequence[str], positive: str) -> pd.DataFrame:
    """Return groups by metrics, with Fairlearn's numbers for what is undefined still in it."""
    from fairlearn.metrics import MetricFrame

    functions = _functions(positive)
    frame = MetricFrame(
        metrics={metric: functions[metric] for metric in metrics},
        y_true=rows.labels,
        y_pred=rows.predictions,
        sensitive_features=pd.Series(groups, name="group"),
    )
    return frame.by_group


def _functions(positive: str) -> dict[str, Callable[..., float]]:
    from fairlearn import metrics as fairlearn
    from sklearn.metrics import accuracy_score

    def against_rest(function: Callable[..., float]) -> Callable[..., float]:
        def rate(y_true: Any, y_pred: Any) -> float:
            binary = [(np.asarray(names) == positive).astype(int) for names in (y_true, y_pred)]
            return function(*binary, pos_label=1)

        return rate

    return {
        "accuracy": accuracy_score,
        "selection_rate": against_rest(fairlearn.selection_rate),
        "tpr": against_rest(fairlearn.true_positive_rate),
        "fpr": against_rest(fairlearn.false_positive_rate),
        "fnr": against_rest(fairlearn.false_negative_rate),
    }


def _rate(own: Rows, group: str, metric: str, value: float, positive: str, min_group: int) -> GroupRate:
    is_positive = own.labels == positive
    base = {"positives": is_positive, "negatives": ~is_positive}.get(BASES.get(metric, ""))
    units = own.units if base is None else own.units[base]
    status = OK if len(units) else f"undefined: no {BASES[metric]}"
    status = TOO_FEW if len(own.labels) < min_group else status
    n_positive = int(is_positive.sum())
    return GroupRate(
        group=group,
        metric=metric,
        rate=Rate(value, Sample.of(units)) if status == OK else None,
        n=len(own.labels),
        n_positive=n_positive,
        n_negative=len(own.labels) - n_positive,
        status=status,
    )
