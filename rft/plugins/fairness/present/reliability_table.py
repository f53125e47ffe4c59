"""How often the favourable class is true among those to whom it is given with a certain probability, by group."""

from __future__ import annotations

import numpy as np

from rft.plugins.fairness.measure.plan import Plan
from rft.predictions.grouped import GroupedPredictions
from rft.records import Row, Table
from rft.stats.rates import Rate

BINS = 10
ROWS_A_BIN = 20  # fewer bins where they would hold fewer rows


def table(plan: Plan) -> Table:
    """Return one row a bin of each group of each attribute; none without scores, nor for groups that fill no two."""
    if plan.rows.scores is None:
        return []
    return [
        row
        for grouping in plan.attributes
        for group in range(len(grouping.names))
        for row in _of_group(GroupedPredictions(plan.rows, grouping), group, plan)
    ]


def _of_group(grouped: GroupedPredictions, group: int, plan: Plan) -> list[Row]:
    rows, positive = grouped.rows_of_group(group), plan.positive
    assert rows.scores is not None  # table looked
    order = np.argsort(rows.scores[:, positive], kind="stable")
    for bins in range(min(len(rows) // ROWS_A_BIN, BINS), 1, -1):
        parts = np.array_split(grouped.row_indices(group)[order], bins)
        if min(_people(grouped, part) for part in parts) >= plan.withheld.below:
            return [{**_row(grouped, group, part, positive), "bin": number} for number, part in enumerate(parts, 1)]
    return []


def _people(grouped: GroupedPredictions, places: np.ndarray) -> int:
    units = grouped.rows.units
    return len(places) if units is None else len(np.unique(units[places]))


def _row(grouped: GroupedPredictions, group: int, places: np.ndarray, positive: int) -> Row:
    """Return the row of a bin; its interval is Wilson's, on the number of units where rows repeat them."""
    rows = grouped.rows.select_rows(places)
    assert rows.scores is not None
    true = rows.labels == positive
    interval = Rate.from_rows(true, rows.units).confidence_interval()
    return {
        "attribute": grouped.grouping.attribute,
        "group": grouped.names[group],
        "predicted": float(rows.scores[:, positive].mean()),
        "observed": float(true.mean()),
        "low": interval.low,
        "high": interval.high,
        "n": rows.n,
    }
