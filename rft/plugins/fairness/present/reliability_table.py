"""How often the favourable class is true among those to whom it is given with a certain probability, by group."""

from __future__ import annotations

import numpy as np

from rft.plugins.fairness.measure.plan import ComparisonPlan
from rft.predictions.grouped import GroupedPredictions
from rft.records import Row, Table
from rft.stats.rates import Rate

MAX_BINS = 10
ROWS_PER_BIN = 20  # fewer bins where they would hold fewer rows


def tabulate_reliability(plan: ComparisonPlan) -> Table:
    """Return one row a bin of each group of each attribute; none without scores, nor for groups that fill no two."""
    if plan.rows.scores is None:
        return []
    return [
        row
        for grouping in plan.attributes
        for group in range(len(grouping.names))
        for row in _bins_of_group(GroupedPredictions(plan.rows, grouping), group, plan)
    ]


def _bins_of_group(grouped: GroupedPredictions, group: int, plan: ComparisonPlan) -> list[Row]:
    rows, positive = grouped.rows_of_group(group), plan.positive
    assert rows.scores is not None  # table looked
    order = np.argsort(rows.scores[:, positive], kind="stable")
    for bins in range(min(len(rows) // ROWS_PER_BIN, MAX_BINS), 1, -1):
        parts = np.array_split(grouped.row_indices(group)[order], bins)
        if min(_count_units(grouped, part) for part in parts) >= plan.withheld.below:
            return [
                {**_tabulate_bin(grouped, group, part, positive), "bin": number} for number, part in enumerate(parts, 1)
            ]
    return []


def _count_units(grouped: GroupedPredictions, places: np.ndarray) -> int:
    units = grouped.rows.units
    return len(places) if units is None else len(np.unique(units[places]))


def _tabulate_bin(grouped: GroupedPredictions, group: int, places: np.ndarray, positive: int) -> Row:
    """Return the row of a bin; its interval is Wilson's, on the number of units where rows repeat them."""
    rows = grouped.rows.select_rows(places)
    assert rows.scores is not None
    is_positive = rows.labels == positive
    interval = Rate.from_rows(is_positive, rows.units).confidence_interval()
    return {
        "attribute": grouped.grouping.attribute,
        "group": grouped.names[group],
        "predicted": float(rows.scores[:, positive].mean()),
        "observed": float(is_positive.mean()),
        "low": interval.low,
        "high": interval.high,
        "n": rows.n,
    }
