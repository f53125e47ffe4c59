"""For whom a shortcut decides: flips beyond the control in each group of the examples that were changed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping

import numpy as np

from rft.disclosure.withheld import MISSING, Withheld
from rft.plugins import AuditedModel
from rft.plugins.attribution.interventions import MIN_EXAMPLES_PER_CONDITION, Intervention
from rft.records import Row, Table

GROUPS_CAPTION = (
    "Share of predictions that change beyond those of the control, in each group of the examples that were changed. "
    "The intervals are for paired shares, one group at a time; nobody is accused by them."
)


def rows_by_group(results: Mapping[str, Intervention], audited: AuditedModel) -> Table:
    """Return the table ``shortcuts_by_group``, of results by the name of their shortcut.

    A group with too few examples is shown as too few. Withheld groups, and what complements them in the examples that
    were changed, have no row.
    """
    groups = audited.splits["test"].groups
    return [
        row
        for name, result in results.items()
        for attribute, values in groups.items()
        for row in _rows_of_attribute(name, result, attribute, np.asarray(values, dtype=object), audited.withheld)
    ]


def _rows_of_attribute(
    name: str, result: Intervention, attribute: str, values: np.ndarray, withheld: Withheld
) -> Iterator[Row]:
    members = np.array([MISSING if value is None else str(value) for value in values[result.rows]], dtype=object)
    counts = Counter(members.tolist())
    hidden = withheld.find_small_groups(counts)
    for group in sorted(set(counts) - hidden - {MISSING}):
        yield {"name": name, "attribute": attribute, "group": group} | _excess_cells(
            result.select_examples(members == group)
        )


def _excess_cells(result: Intervention) -> Row:
    if not result.enough:
        status = f"too few: fewer than {MIN_EXAMPLES_PER_CONDITION}"
        return {"excess": None, "low": None, "high": None, "n": result.n, "status": status}
    interval = result.excess_interval()
    return {"excess": result.excess, "low": interval.low, "high": interval.high, "n": result.n, "status": None}
