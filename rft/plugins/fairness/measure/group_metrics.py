"""Every metric of every group: its value with an interval, or why it has none.

The values are those of Fairlearn's MetricFrame wherever the metric is defined. Fairlearn gives a group without
positives a true positive rate of 0.0; here it has no value, and its status says why. So it is for a group with too few
rows.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from rft.predictions.estimates import estimate_auc, estimate_mean, estimate_rate
from rft.predictions.grouped import ClassTarget, GroupedPredictions
from rft.records import Interval
from rft.stats.scores.calibration import MIN_ROWS_PER_BIN, rms_calibration_error
from rft.stats.scores.classification import METRICS, Metric, Ratios

OK = "ok"
INCONCLUSIVE = "inconclusive (small sample)"
TOO_FEW = "too few"
MIN_UNITS_RESAMPLED = 20  # units of the rarest kind from which on resampling finds no more gaps than it promises


def detail_status(status: str, details: str) -> str:
    """Return a status with what it rests on, such as the number of units, in brackets.

    >>> detail_status("too few", "n = 9"), detail_status(INCONCLUSIVE, "n = 29")
    ('too few (n = 9)', 'inconclusive (small sample, n = 29)')
    """
    return f"{status[:-1]}, {details})" if status == INCONCLUSIVE else f"{status} ({details})"


@dataclass(frozen=True)
class SampleSizeRules:
    """From how many independent cases of a metric on a group is compared, and from how many on it is shown at all."""

    min_group_size: int = 30
    min_reported_size: int = 10


DEFAULT_SIZE_RULES = SampleSizeRules()


@dataclass(frozen=True)
class GroupMetric:
    """One metric of one group.

    Attributes:
        group: its name; None for all rows together.
        metric: key of the metric.
        target: the class that is set against the rest, or all of them.
        control: value of the control column; None where there is none.
        value: None where ``status`` says that there is none.
        interval: at 95 %; None where no method gives one.
        n: number of units of the group: of persons, or of rows where every row stands for itself.
        n_positive, n_negative: units that have a row of the class, and that have one of another.
        rows: number of rows of the group.
        n_denominator: units that have a case of the metric (of a true positive rate: a positive), of the rarest kind of
            case where it needs several.
        effective_n: how many independent cases its cases are worth to an interval.
        status: ``ok``, ``inconclusive (small sample)`` (shown, not compared), ``too few`` (not shown), or
            ``undefined: ...``.
        shown_from, compared_from: how many cases it takes for the group to be shown, and to be compared.
    """

    group: str | None
    metric: str
    target: ClassTarget
    control: str | None
    value: float | None
    interval: Interval | None
    n: int
    n_positive: int
    n_negative: int
    rows: int
    n_denominator: int
    effective_n: float
    status: str
    shown_from: int = 0
    compared_from: int = 0


def measure_groups(
    grouped: GroupedPredictions, metric: str, target: ClassTarget, *, size_rules: SampleSizeRules, positive: int
) -> list[GroupMetric]:
    """Return one metric of all groups, in order of their names.

    Args:
        grouped: the rows.
        metric: its key.
        target: one class, or None for the metrics of all classes and for the mean over classes (macro).
        size_rules: how many cases are too few.
        positive: index of the favourable class, whose units ``n_positive`` counts where the target is no class.
    """
    measurement = _Measurement(
        grouped, METRICS[metric], target, size_rules, positive if target.positive is None else target.positive
    )
    return [_measure_group(measurement, group) for group in range(len(grouped.names))]


@dataclass(frozen=True)
class _Measurement:
    """What is measured, the same for all groups; ``counted`` is the class whose units are counted."""

    grouped: GroupedPredictions
    metric: Metric
    target: ClassTarget
    size_rules: SampleSizeRules
    counted: int

    @cached_property
    def ratios(self) -> Ratios:
        return Ratios.from_metric(self.metric, self.grouped.rows.classes, self.target.positive)

    @property
    def is_share(self) -> bool:
        return self.metric.kind == "ratio" and len(self.ratios.names) == 1

    @property
    def shown_from(self) -> int:
        least = 2 * MIN_ROWS_PER_BIN if self.metric.kind == "calibration" else 0
        return max(self.size_rules.min_reported_size, least)

    @property
    def compared_from(self) -> int:
        return max(self.size_rules.min_group_size, 0 if self.is_share else MIN_UNITS_RESAMPLED)

    @cached_property
    def n_positive(self) -> np.ndarray:
        return self.grouped.count_units_with(self._label_is(self.counted))

    @cached_property
    def n_negative(self) -> np.ndarray:
        return self.grouped.count_units_with(~self._label_is(self.counted))

    @cached_property
    def units_by_case(self) -> list[tuple[str, np.ndarray]]:
        """Return what the metric cannot do without: its name, and the (G,) number of units that have it."""
        return [(name, self.grouped.count_units_with(cells)) for name, cells in self._cells_by_case()]

    def _cells_by_case(self) -> list[tuple[str, np.ndarray]]:
        classes = self.grouped.rows.classes
        if self.metric.kind == "ratio":
            return list(zip(self.ratios.names, self.ratios.denominators, strict=True))
        if self.metric.kind != "auc":
            return [("examples", np.ones((len(classes), len(classes)), dtype=bool))]
        if self.target.positive is not None:
            has_class = self._label_is(self.target.positive)
            return [("positives", has_class), ("negatives", ~has_class)]
        of_classes = [(f"examples of {name}", self._label_is(index)) for index, name in enumerate(classes)]
        return of_classes + [(f"examples but those of {name}", ~self._label_is(i)) for i, name in enumerate(classes)]

    def _label_is(self, index: int) -> np.ndarray:
        """Return (K, K) booleans: the cells of rows whose label is the class."""
        k = len(self.grouped.rows.classes)
        return np.broadcast_to((np.arange(k) == index)[:, None], (k, k))


def _measure_group(measurement: _Measurement, group: int) -> GroupMetric:
    grouped = measurement.grouped
    status, n_denominator = _assess_status(measurement, group)
    blank = GroupMetric(
        group=grouped.names[group],
        metric=measurement.metric.name,
        target=measurement.target,
        control=grouped.control,
        value=None,
        interval=None,
        n=int(grouped.units[group]),
        n_positive=int(measurement.n_positive[group]),
        n_negative=int(measurement.n_negative[group]),
        rows=int(grouped.sizes[group]),
        n_denominator=n_denominator,
        effective_n=0.0,
        status=status,
        shown_from=measurement.shown_from,
        compared_from=measurement.compared_from,
    )
    if status not in (OK, INCONCLUSIVE):
        return blank
    value, interval, effective_n = _ESTIMATORS[measurement.metric.kind](measurement, group)
    if measurement.metric.kind == "ratio" and interval is None:
        status = INCONCLUSIVE
    return replace(blank, status=status, value=value, interval=interval, effective_n=effective_n)


def _assess_status(measurement: _Measurement, group: int) -> tuple[str, int]:
    """Return the status of a metric in a group, and how many units have a case of the rarest kind."""
    size_rules = measurement.size_rules
    name, n_denominator = min(
        ((name, int(units[group])) for name, units in measurement.units_by_case), key=lambda part: part[1]
    )
    if measurement.metric.needs_scores and measurement.grouped.rows.scores is None:
        return "undefined: no scores", n_denominator
    if measurement.grouped.units[group] < size_rules.min_reported_size:
        return TOO_FEW, n_denominator
    if n_denominator == 0:
        return f"undefined: no {name}", n_denominator
    if n_denominator < size_rules.min_reported_size or (
        measurement.metric.kind == "calibration" and measurement.grouped.sizes[group] < 2 * MIN_ROWS_PER_BIN
    ):
        return TOO_FEW, n_denominator
    return (OK if n_denominator >= measurement.compared_from else INCONCLUSIVE), n_denominator


Estimate = tuple[float, Interval | None, float]  # value, interval, effective n


def _estimate_ratio(measurement: _Measurement, group: int) -> Estimate:
    rate = estimate_rate(measurement.grouped.rows_of_group(group), measurement.ratios)
    return rate.value, rate.confidence_interval() if rate.holds else None, rate.sample.effective_n


def _estimate_mean(measurement: _Measurement, group: int) -> Estimate:
    mean = estimate_mean(measurement.metric.name, measurement.grouped.rows_of_group(group), measurement.target.positive)
    return mean.value, mean.confidence_interval(), float(measurement.grouped.units[group])


def _estimate_auc(measurement: _Measurement, group: int) -> Estimate:
    auc = estimate_auc(measurement.grouped.rows_of_group(group), measurement.target.positive)
    return auc.value, auc.confidence_interval(), auc.effective_n


def _estimate_calibration(measurement: _Measurement, group: int) -> Estimate:
    rows, positive = measurement.grouped.rows_of_group(group), measurement.target.positive
    assert rows.scores is not None
    error = rms_calibration_error(rows.scores[:, positive], rows.labels == positive)
    assert error is not None  # the status of groups with fewer rows says so
    return error.value, None, float(measurement.grouped.units[group])


_ESTIMATORS: dict[str, Callable[[_Measurement, int], Estimate]] = {
    "ratio": _estimate_ratio,
    "mean": _estimate_mean,
    "auc": _estimate_auc,
    "calibration": _estimate_calibration,
}
