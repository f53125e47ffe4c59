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
UNSETTLED = "too few to tell"
TOO_FEW = "too few"
FEWEST_RESAMPLED = 20  # units of the rarest kind from which on resampling finds no more gaps than it promises


@dataclass(frozen=True)
class Limits:
    """From how many independent cases of a metric on a group is compared, and from how many on it is shown at all."""

    compared: int = 30
    shown: int = 10


USUAL_LIMITS = Limits()


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
        cases: units that have a case of the metric (of a true positive rate: a positive), of the rarest kind of case
            where it needs several.
        worth: how many independent cases its cases are worth to an interval.
        status: ``ok``, ``too few to tell`` (shown, not compared), ``too few``, or ``undefined: ...``.
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
    cases: int
    worth: float
    status: str


def measure(
    grouped: GroupedPredictions, metric: str, target: ClassTarget, *, limits: Limits, positive: int
) -> list[GroupMetric]:
    """Return one metric of all groups, in order of their names.

    Args:
        grouped: the rows.
        metric: its key.
        target: one class, or None for the metrics of all classes and for the mean over classes (macro).
        limits: how many cases are too few.
        positive: index of the favourable class, whose units ``n_positive`` counts where the target is no class.
    """
    asked = _Asked(grouped, METRICS[metric], target, limits, positive if target.positive is None else target.positive)
    return [_measured(asked, group) for group in range(len(grouped.names))]


@dataclass(frozen=True)
class _Asked:
    """What is measured, the same for all groups; ``counted`` is the class whose units are counted."""

    grouped: GroupedPredictions
    metric: Metric
    target: ClassTarget
    limits: Limits
    counted: int

    @cached_property
    def ratios(self) -> Ratios:
        return Ratios.from_metric(self.metric, self.grouped.rows.classes, self.target.positive)

    @property
    def is_share(self) -> bool:
        return self.metric.kind == "ratio" and len(self.ratios.names) == 1

    @cached_property
    def n_positive(self) -> np.ndarray:
        return self.grouped.count_units_with(self._of_class(self.counted))

    @cached_property
    def n_negative(self) -> np.ndarray:
        return self.grouped.count_units_with(~self._of_class(self.counted))

    @cached_property
    def cases(self) -> list[tuple[str, np.ndarray]]:
        """Return what the metric cannot do without: its name, and the (G,) number of units that have it."""
        return [(name, self.grouped.count_units_with(cells)) for name, cells in self._kinds_of_cases()]

    def _kinds_of_cases(self) -> list[tuple[str, np.ndarray]]:
        classes = self.grouped.rows.classes
        if self.metric.kind == "ratio":
            return list(zip(self.ratios.names, self.ratios.denominators, strict=True))
        if self.metric.kind != "area":
            return [("examples", np.ones((len(classes), len(classes)), dtype=bool))]
        if self.target.positive is not None:
            have = self._of_class(self.target.positive)
            return [("positives", have), ("negatives", ~have)]
        own = [(f"examples of {name}", self._of_class(index)) for index, name in enumerate(classes)]
        return own + [(f"examples but those of {name}", ~self._of_class(i)) for i, name in enumerate(classes)]

    def _of_class(self, index: int) -> np.ndarray:
        """Return (K, K) booleans: the cells of rows whose label is the class."""
        k = len(self.grouped.rows.classes)
        return np.broadcast_to((np.arange(k) == index)[:, None], (k, k))


def _measured(asked: _Asked, group: int) -> GroupMetric:
    grouped = asked.grouped
    status, cases = _status(asked, group)
    blank = GroupMetric(
        group=grouped.names[group],
        metric=asked.metric.name,
        target=asked.target,
        control=grouped.control,
        value=None,
        interval=None,
        n=int(grouped.units[group]),
        n_positive=int(asked.n_positive[group]),
        n_negative=int(asked.n_negative[group]),
        rows=int(grouped.sizes[group]),
        cases=cases,
        worth=0.0,
        status=status,
    )
    if status not in (OK, UNSETTLED):
        return blank
    value, interval, worth = _KINDS[asked.metric.kind](asked, group)
    if asked.metric.kind == "ratio" and interval is None:
        status = UNSETTLED
    return replace(blank, status=status, value=value, interval=interval, worth=worth)


def _status(asked: _Asked, group: int) -> tuple[str, int]:
    """Return the status of a metric in a group, and how many units have a case of the rarest kind."""
    limits = asked.limits
    name, fewest = min(((name, int(units[group])) for name, units in asked.cases), key=lambda part: part[1])
    if asked.metric.needs_scores and asked.grouped.rows.scores is None:
        return "undefined: no scores", fewest
    if asked.grouped.units[group] < limits.shown:
        return TOO_FEW, fewest
    if fewest == 0:
        return f"undefined: no {name}", fewest
    if fewest < limits.shown or (
        asked.metric.kind == "calibration" and asked.grouped.sizes[group] < 2 * MIN_ROWS_PER_BIN
    ):
        return TOO_FEW, fewest
    compared = limits.compared if asked.is_share else max(limits.compared, FEWEST_RESAMPLED)
    return (OK if fewest >= compared else UNSETTLED), fewest


Found = tuple[float, Interval | None, float]  # value, interval, worth


def _ratio(asked: _Asked, group: int) -> Found:
    rate = estimate_rate(asked.grouped.rows_of_group(group), asked.ratios)
    return rate.value, rate.confidence_interval() if rate.holds else None, rate.sample.effective_n


def _mean(asked: _Asked, group: int) -> Found:
    mean = estimate_mean(asked.metric.name, asked.grouped.rows_of_group(group), asked.target.positive)
    return mean.value, mean.confidence_interval(), float(asked.grouped.units[group])


def _area(asked: _Asked, group: int) -> Found:
    area = estimate_auc(asked.grouped.rows_of_group(group), asked.target.positive)
    return area.value, area.confidence_interval(), area.effective_n


def _calibration(asked: _Asked, group: int) -> Found:
    rows, positive = asked.grouped.rows_of_group(group), asked.target.positive
    assert rows.scores is not None
    found = rms_calibration_error(rows.scores[:, positive], rows.labels == positive)
    assert found is not None  # the status of groups with fewer rows says so
    return found.value, None, float(asked.grouped.units[group])


_KINDS: dict[str, Callable[[_Asked, int], Found]] = {
    "ratio": _ratio,
    "mean": _mean,
    "area": _area,
    "calibration": _calibration,
}
