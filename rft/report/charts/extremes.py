"""Charts with many groups show those at both ends: of 84 lines nobody sees more, and a table has all of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from rft.records import FIGURE_KINDS, Cell, Figure, Row, Table
from rft.report.views.tables import to_number

SHOWN_AT_EACH_END = 6
_MOST_GROUPS = 2 * SHOWN_AT_EACH_END


@dataclass(frozen=True)
class ChartRows:
    """The rows that a chart draws; ``note`` says which groups are left out, and is empty where none is."""

    rows: Table
    note: str = ""


def select_extremes(figure: Figure, rows: Table) -> ChartRows:
    """Return the rows of the groups with the lowest and the highest values, where a chart has more than twelve groups.

    Groups are ordered by the mean of their values, in each panel of dots by itself; those without a value are left out
    first. Numbers along an axis, such as the bins of a histogram, are no groups.

    Args:
        figure: what is drawn; of a kind that is no chart all rows are returned.
        rows: (N,) those that it shows.
    """
    channels = FIGURE_KINDS.get(figure.kind)
    if channels is None:
        return ChartRows(rows)
    value, note = figure.encode.get(channels.value, ""), ""
    for channel in channels.groups:
        column = figure.encode.get(channel, "")
        panels = [_Panel(panel, column, value) for panel in _split_rows(rows, figure.encode.get(channels.panel, ""))]
        most = max((len(panel.groups) for panel in panels), default=0)
        if most > _MOST_GROUPS:
            ends = f"the {SHOWN_AT_EACH_END} lowest and the {SHOWN_AT_EACH_END} highest of {most}"
            note = f"Shown: {ends}; {most - _MOST_GROUPS} more in the table."
            rows = [row for panel in panels for row in panel.select_rows()]
    return ChartRows(rows, note)


def _split_rows(rows: Sequence[Row], column: str) -> list[Table]:
    parts: dict[Cell, Table] = {}
    for row in rows:
        parts.setdefault(row.get(column), []).append(row)
    return list(parts.values())


class _Panel:
    """The rows of a panel by group."""

    def __init__(self, rows: Table, column: str, value: str) -> None:
        self.rows = rows
        self.groups: dict[Cell, Table] = {}
        for row in rows:
            self.groups.setdefault(row.get(column), []).append(row)
        if any(to_number(group) is not None for group in self.groups):
            self.groups = {}
        self.value = value

    def select_rows(self) -> Table:
        """Return the rows of the groups at both ends, from the lowest to the highest; all rows of a few groups."""
        if len(self.groups) <= _MOST_GROUPS:
            return self.rows
        means = {group: mean for group, rows in self.groups.items() if (mean := self._average(rows)) is not None}
        ordered = sorted(means, key=lambda group: means[group])
        if len(ordered) >= _MOST_GROUPS:
            shown = [*ordered[:SHOWN_AT_EACH_END], *ordered[-SHOWN_AT_EACH_END:]]
        else:
            shown = [*ordered, *(group for group in self.groups if group not in means)][:_MOST_GROUPS]
        return [row for group in shown for row in self.groups[group]]

    def _average(self, rows: Table) -> float | None:
        numbers = [number for row in rows if (number := to_number(row.get(self.value))) is not None]
        return fmean(numbers) if numbers else None
