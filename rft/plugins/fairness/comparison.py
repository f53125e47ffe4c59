"""Two models on the same people: how the gap of each pair of groups differs between them, and who changed sides.

The two are paired: what one model gives a person is set against what the other gives the same person, so that what
both find hard about a person cancels out. Pairs of groups are fixed by their names, not chosen for being the largest
gap of either model: the difference of two largest gaps is covered by its interval in 53 to 82 % of samples only.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from rft.plugins.fairness.gaps import DRAWS
from rft.plugins.fairness.group_metrics import TOO_FEW, UNSETTLED, Limits
from rft.predictions.grouped import GroupedRows, Target
from rft.predictions.table import Grouping, Rows
from rft.records import Row
from rft.stats.classification import METRICS, Ratios
from rft.stats.max_t import largest_gap
from rft.stats.resampling import Sums, ratios, sums_of_rows

PAIRED = ("accuracy", "selection_rate", "tpr", "fpr", "fnr")  # their cases are the same rows for both models


@dataclass(frozen=True)
class Pair:
    """The predictions of two models for the same rows.

    Attributes:
        before, after: rows with the same labels and units.
    """

    before: Rows
    after: Rows

    def __post_init__(self) -> None:
        """Refuse rows that are not the same examples."""
        if not np.array_equal(self.before.labels, self.after.labels):
            raise ValueError("expected two models of the same rows, got rows with different labels")


@dataclass(frozen=True)
class Change:
    """How the gap between two groups differs between two models.

    Attributes:
        first, other: the groups; a gap is the metric of ``first`` minus that of ``other``.
        before, after: that gap for each model.
        low, high: interval of ``after - before`` at 95 %, for all pairs of groups of the attribute at once.
        p_value: of no change, adjusted for all those pairs.
        n: independent cases of both groups.
    """

    first: str
    other: str
    before: float
    after: float
    low: float
    high: float
    p_value: float
    n: int

    @property
    def value(self) -> float:
        """Return the change of the gap."""
        return self.after - self.before


@dataclass(frozen=True)
class NoChange:
    """Why nothing can be said of an attribute in a metric."""

    reason: str


def changes(
    pair: Pair, grouping: Grouping, metric: str, target: Target, *, limits: Limits, seed: int
) -> list[Change] | NoChange:
    """Return the change of every pair of groups that can be compared.

    Args:
        pair: the two models.
        grouping: of their rows.
        metric: one of ``PAIRED``.
        target: the class that it is about, or none for accuracy.
        limits: how many cases are too few.
        seed: of resampling.
    """
    sums = _sums(pair, grouping, metric, target)
    chosen = [
        index
        for index, own in enumerate(sums)
        if _status(GroupedRows(pair.before, grouping), index, own, limits) is None
    ]
    if len(chosen) < 2:
        return NoChange(f"fewer than two groups have {limits.compared} independent examples and {limits.shown} cases")
    resampled = ratios([sums[index] for index in chosen], np.random.default_rng(seed), draws=DRAWS)
    values = [_values(rows, grouping, metric, target) for rows in (pair.before, pair.after)]
    found = []
    for own in largest_gap(resampled).pairs():
        first, other = sorted((chosen[own.first], chosen[own.other]), key=lambda index: grouping.names[index])
        sign = 1 if first == chosen[own.first] else -1
        ends = sorted(2 * sign * end for end in (own.interval.low, own.interval.high))  # of halves, see _sums
        before, after = (float(each[first] - each[other]) for each in values)
        units = round(float(sums[first].units.sum() + sums[other].units.sum()))
        low, high = min(ends[0], after - before), max(ends[1], after - before)
        found.append(Change(grouping.names[first], grouping.names[other], before, after, low, high, own.p_value, units))
    return found


def _sums(pair: Pair, grouping: Grouping, metric: str, target: Target) -> list[Sums]:
    """Return for each group the sums of a half for no change, one for a row that becomes a hit, none for one no longer.

    Halves keep the statistic between 0 and 1, where one success and one failure can be added to it.
    """
    of = Ratios.of(METRICS[metric], pair.before.classes, target.positive)
    (before, cases), (after, _) = (of.of_rows(rows.labels, rows.predictions) for rows in (pair.before, pair.after))
    half = np.where(cases, (after.astype(np.float64) - before + 1) / 2, 0.0)
    return sums_of_rows(half, cases, grouping.codes, pair.before.units, n_groups=len(grouping.names))


def _values(rows: Rows, grouping: Grouping, metric: str, target: Target) -> np.ndarray:
    of = Ratios.of(METRICS[metric], rows.classes, target.positive)
    return of.value(GroupedRows(rows, grouping).confusion)


def _status(grouped: GroupedRows, group: int, sums: Sums, limits: Limits) -> str | None:
    """Return why a group cannot be compared, or None."""
    if grouped.units[group] < limits.compared:
        return UNSETTLED
    return TOO_FEW if sums.units.sum() < limits.shown else None


def rows_of_changes(attribute: str, metric: str, target: Target, found: Sequence[Change]) -> list[Row]:
    """Return the rows of the table ``changes``."""
    return [
        {
            "attribute": attribute,
            "metric": metric,
            "class": target.name,
            "groups": f"{each.first} minus {each.other}",
            "before": each.before,
            "after": each.after,
            "change": each.value,
            "low": each.low,
            "high": each.high,
            "p": each.p_value,
            "n": each.n,
        }
        for each in found
    ]


def sides(pair: Pair, grouping: Grouping, positive: int) -> Iterator[Row]:
    """Yield for each group how many rows the second model treats unlike the first, and in which direction."""
    given = [rows.predictions == positive for rows in (pair.before, pair.after)]
    right = [rows.predictions == rows.labels for rows in (pair.before, pair.after)]
    for index, name in enumerate(grouping.names):
        own = grouping.codes == index
        yield {
            "attribute": grouping.attribute,
            "group": name,
            "n": int(own.sum()),
            "newly_given": int((own & ~given[0] & given[1]).sum()),
            "no_longer_given": int((own & given[0] & ~given[1]).sum()),
            "newly_right": int((own & ~right[0] & right[1]).sum()),
            "newly_wrong": int((own & right[0] & ~right[1]).sum()),
        }
