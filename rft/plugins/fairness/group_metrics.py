"""Every metric of every group: its value with an interval, or why it has none.

The values are those of Fairlearn's MetricFrame wherever the metric is defined. Fairlearn gives a group without
positives a true positive rate of 0.0; here it has no value, and its status says why. So it is for a group with too few
rows.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from rft.predictions.grouped import GroupedRows, Target
from rft.predictions.row_values import row_values
from rft.predictions.table import Rows
from rft.records import Interval
from rft.stats import bootstrap, intervals
from rft.stats.auc import AucEstimate
from rft.stats.calibration import LEAST_IN_BIN, calibration_error
from rft.stats.classification import METRICS, Metric, Ratios
from rft.stats.design_effect import interval_of_average, sample_of_rate
from rft.stats.intervals import Sample
from rft.stats.resampling import Sums, sums_of_rows

OK = "ok"
UNSETTLED = "too few to tell"
TOO_FEW = "too few"


@dataclass(frozen=True)
class Limits:
    """From how many independent cases on a group is compared, and from how many on its numbers are shown at all."""

    compared: int = 30
    shown: int = 10


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
        n, n_positive, n_negative: rows of the group, and how many have the class and how many do not.
        units: number of independent cases among the rows of the group.
        cases: rows that the metric rests on (of a true positive rate: the positives).
        worth: how many independent cases those are worth to an interval.
        status: ``ok``, ``too few to tell`` (shown, not compared), ``too few``, or ``undefined: ...``.
    """

    group: str | None
    metric: str
    target: Target
    control: str | None
    value: float | None
    interval: Interval | None
    n: int
    n_positive: int
    n_negative: int
    units: int
    cases: int
    worth: float
    status: str


def measure(
    grouped: GroupedRows, metric: str, target: Target, *, limits: Limits, positive: int, seed: int
) -> list[GroupMetric]:
    """Return one metric of all groups, in order of their names.

    Args:
        grouped: the rows.
        metric: its key.
        target: one class, or None for the metrics of all classes and for the mean over classes (macro).
        limits: how many cases are too few.
        positive: index of the favourable class, whose rows ``n_positive`` counts where the target is no class.
        seed: of resampling.
    """
    asked = _Asked(grouped, METRICS[metric], target, limits, seed)
    counted = positive if target.positive is None else target.positive
    return [_measured(asked, group, counted) for group in range(len(grouped.names))]


@dataclass(frozen=True)
class _Asked:
    """What is measured, the same for all groups."""

    grouped: GroupedRows
    metric: Metric
    target: Target
    limits: Limits
    seed: int

    @property
    def ratios(self) -> Ratios:
        return Ratios.of(self.metric, self.grouped.rows.classes, self.target.positive)


def _measured(asked: _Asked, group: int, counted: int) -> GroupMetric:
    grouped = asked.grouped
    confusion = grouped.confusion[group]
    n, n_positive = int(confusion.sum()), int(confusion[counted].sum())
    status, cases = _status(asked, group)
    blank = GroupMetric(
        group=grouped.names[group],
        metric=asked.metric.name,
        target=asked.target,
        control=grouped.control,
        value=None,
        interval=None,
        n=n,
        n_positive=n_positive,
        n_negative=n - n_positive,
        units=int(grouped.units[group]),
        cases=cases,
        worth=0.0,
        status=status,
    )
    if status not in (OK, UNSETTLED):
        return blank
    value, interval, worth = _KINDS[asked.metric.kind](asked, group)
    return replace(blank, value=value, interval=interval, worth=worth)


def _status(asked: _Asked, group: int) -> tuple[str, int]:
    """Return the status of a metric in a group, and how many rows it rests on."""
    grouped, limits, units = asked.grouped, asked.limits, int(asked.grouped.units[group])
    name, fewest = min(_cases(asked, group), key=lambda part: part[1])
    if asked.metric.needs_scores and grouped.rows.scores is None:
        return "undefined: no scores", fewest
    if units < limits.shown:
        return TOO_FEW, fewest
    if fewest == 0:
        return f"undefined: no {name}", fewest
    least = max(limits.shown, 2 * LEAST_IN_BIN) if asked.metric.kind == "calibration" else limits.shown
    if fewest < least:
        return TOO_FEW, fewest
    return (OK if units >= limits.compared else UNSETTLED), fewest


def _cases(asked: _Asked, group: int) -> list[tuple[str, int]]:
    """Return what a metric cannot do without: its name, and how many rows of it there are."""
    confusion, classes = asked.grouped.confusion[group], asked.grouped.rows.classes
    n = int(confusion.sum())
    if asked.metric.kind == "ratio":
        return list(zip(asked.ratios.names, asked.ratios.counts(confusion)[1].tolist(), strict=True))
    if asked.metric.kind != "area":
        return [("examples", n)]
    if asked.target.positive is not None:
        n_positive = int(confusion[asked.target.positive].sum())
        return [("positives", n_positive), ("negatives", n - n_positive)]
    have = confusion.sum(axis=1).tolist()
    own = [(f"examples of {name}", count) for name, count in zip(classes, have, strict=True)]
    return own + [(f"examples but those of {name}", n - count) for name, count in zip(classes, have, strict=True)]


Found = tuple[float, Interval | None, float]  # value, interval, worth


def _ratio(asked: _Asked, group: int) -> Found:
    confusion, ratios = asked.grouped.confusion[group], asked.ratios
    value, rows = float(ratios.value(confusion)), float(confusion.sum())
    averaged = len(ratios.names) > 1
    if asked.grouped.rows.units is not None:
        interval, worth = (_averaged_over_units if averaged else _share_of_units)(asked, group)
        return value, interval, worth
    if averaged:
        return value, bootstrap.mean_interval(ratios, confusion, np.random.default_rng([asked.seed, group])), rows
    cases = float(ratios.counts(confusion)[1][0])
    return value, intervals.wilson(value * cases, cases), cases


def _averaged_over_units(asked: _Asked, group: int) -> tuple[Interval | None, float]:
    units = asked.grouped.of(group).units
    assert units is not None
    return interval_of_average(_sums(asked, group)), Sample.of(units).effective_n


def _share_of_units(asked: _Asked, group: int) -> tuple[Interval, float]:
    sums = _sums(asked, group)
    found = sample_of_rate(sums)
    interval = intervals.wilson(sums.value * found.effective_n, found.effective_n)
    noted = f"{interval.method}, {found.units} units, their rows worth {found.effective_n:.1f} independent ones"
    return interval.model_copy(update={"method": noted}), found.effective_n


def _sums(asked: _Asked, group: int) -> Sums:
    rows = asked.grouped.of(group)
    hits, cases = asked.ratios.of_rows(rows.labels, rows.predictions)
    return sums_of_rows(hits, cases, np.zeros(len(rows), dtype=np.int64), rows.units, n_groups=1)[0]


def _mean(asked: _Asked, group: int) -> Found:
    rows = asked.grouped.of(group)
    values = row_values(asked.metric.name, rows, asked.target.positive)
    interval = intervals.mean_interval(values, rows.units)
    if interval is not None and math.isclose(interval.low, interval.high, rel_tol=1e-9, abs_tol=1e-9):
        interval = None  # all rows have one value, which tells nothing of how far others would stray
    if interval is not None and asked.metric.bound is not None:
        interval = interval.model_copy(update={"low": max(interval.low, 0.0), "high": min(interval.high, 1.0)})
    return float(values.mean()), interval, float(asked.grouped.units[group])


def _area(asked: _Asked, group: int) -> Found:
    estimate = auc_of(asked.grouped.of(group), asked.target)
    return estimate.value, estimate.interval(), float(asked.grouped.units[group])


def auc_of(rows: Rows, target: Target) -> AucEstimate:
    """Return the area of one class against the rest, or the mean over classes, of rows with scores and all classes."""
    assert rows.scores is not None  # else the status says so
    if target.positive is None:
        return AucEstimate.mean_over_classes(rows.scores, rows.labels, rows.units)
    return AucEstimate.from_scores(rows.scores[:, target.positive], rows.labels == target.positive, rows.units)


def _calibration(asked: _Asked, group: int) -> Found:
    rows, positive = asked.grouped.of(group), asked.target.positive
    assert rows.scores is not None
    found = calibration_error(rows.scores[:, positive], rows.labels == positive)
    assert found is not None  # the status of groups with fewer rows says so
    return found.value, None, float(asked.grouped.units[group])


_KINDS = {"ratio": _ratio, "mean": _mean, "area": _area, "calibration": _calibration}
