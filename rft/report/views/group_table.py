"""A table of metrics by group turned for reading: a row for each group, a column for each metric.

It can be turned where its section says which of its columns are the attribute, the group, the metric and the estimate.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from rft import number_format
from rft.records import Cell, Column, Role, Row, Section, Table, find_column
from rft.report.views import tables

REQUIRED_ROLES: tuple[Role, ...] = ("attribute", "group", "metric", "estimate")
_BLOCK_ROLES: tuple[Role, ...] = ("key", "name", "attribute", "class")  # a table for each combination of their values


@dataclass(frozen=True)
class GroupCell:
    """A metric of a group: its value and interval, or why it has none. ``remark``: that it is too small to compare."""

    value: str
    interval: str
    absence: str
    remark: str = ""


@dataclass(frozen=True)
class GroupRow:
    """A group with its metrics, in the order of the table's ``metrics``."""

    group: str
    n: str
    cells: tuple[GroupCell, ...]


@dataclass(frozen=True)
class GroupTable:
    """All groups of an attribute. What varies beside it stands in ``title``, what does not in ``constants``.

    ``counted`` is the heading of the numbers of cases.
    ``folded``: it is there to be looked up, and so is all but what is of all examples: groups are drawn.
    """

    title: str
    constants: tuple[tuple[str, str], ...]
    metrics: tuple[str, ...]
    rows: tuple[GroupRow, ...]
    counted: str
    folded: bool = False


@dataclass(frozen=True)
class GroupTables:
    """All that one table says, turned: a table for each attribute, and for what varies beside it."""

    caption: str
    tables: tuple[GroupTable, ...]


def can_be_turned(section: Section, name: str) -> bool:
    """Return whether a table says which of its columns are attribute, group, metric and estimate."""
    columns = section.describe_table(name)
    return bool(section.tables[name]) and all(find_column(columns, role) is not None for role in REQUIRED_ROLES)


def view_group_tables(section: Section, name: str) -> GroupTables:
    """Return a table that can be turned as it is shown."""
    return GroupTables(section.captions.get(name, ""), tuple(list_group_tables(section, name)))


def list_group_tables(section: Section, name: str) -> list[GroupTable]:
    """Return one table for each combination of what its rows are about beside group and metric.

    A column in which one value alone occurs (beside none, where it does not apply) makes no tables of its own.

    Args:
        section: which holds the table; nothing is returned where it holds none of this name.
        name: of the table.

    Raises:
        ValueError: the section does not say which columns have the ``REQUIRED_ROLES``.
    """
    table = section.tables.get(name)
    if not table:
        return []
    columns = section.describe_table(name)
    missing = [role for role in REQUIRED_ROLES if find_column(columns, role) is None]
    if missing:
        raise ValueError(f"table {name} cannot be turned: no column is its {' or '.join(missing)}")
    return _TurnedTable(columns).divide(table)


class _TurnedTable:
    """Which columns of a table are what."""

    def __init__(self, columns: Mapping[str, Column]) -> None:
        self.columns = columns
        self.attribute, self.group, self.metric, self.estimate = (
            str(find_column(columns, role)) for role in REQUIRED_ROLES
        )
        self.label_class = find_column(columns, "class")
        count = find_column(columns, "count")
        self.counted = tables.label_column(columns[count]) if count else "n"
        self.keys = [name for name, column in columns.items() if column.role in _BLOCK_ROLES]

    def divide(self, table: Table) -> list[GroupTable]:
        """Return the tables, in the order in which their rows come."""
        values = {name: {row[name] for row in table if row[name] is not None} for name in self.keys}
        varying = [name for name in self.keys if name == self.attribute or len(values[name]) > 1]
        constants = tuple(
            self._write_key(name, *values[name]) for name in self.keys if name not in varying and values[name]
        )
        blocks: dict[tuple[Cell, ...], Table] = {}
        for row in table:
            blocks.setdefault(tuple(row[name] for name in varying), []).append(row)
        first_class = next((name for row in table if (name := self._class_of(row)) is not None), None)
        return [
            self._turn_block(self._write_title(varying, key), constants, rows, first_class)
            for key, rows in blocks.items()
        ]

    def _class_of(self, row: Row) -> Cell:
        return row[self.label_class] if self.label_class else None

    def _write_title(self, names: list[str], key: tuple[Cell, ...]) -> str:
        known = [(name, value) for name, value in zip(names, key, strict=True) if value is not None]
        parts = [
            tables.words_of_name(str(value)) if name == self.attribute else " ".join(self._write_key(name, value))
            for name, value in known
        ]
        return ", ".join(parts) or "all examples"

    def _write_key(self, name: str, value: Cell) -> tuple[str, str]:
        return tables.label_column(self.columns[name]), tables.cell_text(value, self.columns[name])

    def _turn_block(
        self, title: str, constants: tuple[tuple[str, str], ...], rows: Table, first_class: Cell
    ) -> GroupTable:
        metrics = list(dict.fromkeys(str(row[self.metric]) for row in rows))
        groups: dict[Cell, dict[str, Row]] = {}
        for row in rows:
            groups.setdefault(row[self.group], {})[str(row[self.metric])] = row
        of_other_class = any(self._class_of(row) not in (None, first_class) for row in rows)
        return GroupTable(
            folded=rows[0][self.attribute] is not None or of_other_class,
            counted=self.counted,
            title=title[:1].upper() + title[1:],
            constants=constants,
            metrics=tuple(tables.cell_text(metric, self.columns[self.metric]) for metric in metrics),
            rows=tuple(self._turn_row(group, cells, metrics) for group, cells in groups.items()),
        )

    def _turn_row(self, group: Cell, cells: dict[str, Row], metrics: list[str]) -> GroupRow:
        name = find_column(self.columns, "count")
        counts = [count for row in cells.values() if name and isinstance(count := row[name], int)]
        return GroupRow(
            group="all" if group is None else str(group),
            n=number_format.format_count(max(counts)) if counts else tables.EMPTY,
            cells=tuple(self._turn_cell(cells.get(metric)) for metric in metrics),
        )

    def _turn_cell(self, row: Row | None) -> GroupCell:
        value = tables.to_number(row[self.estimate]) if row else None
        if row is None or value is None:
            return GroupCell("", "", tables.explain_absence(row, self.columns) if row else tables.EMPTY)
        low, high = (self._number_of(row, role) for role in ("low", "high"))
        remark = tables.explain_status(row, self.columns)
        if low is None or high is None:
            return GroupCell(number_format.format_quantity(value, "fraction"), "", "", remark)
        written = number_format.format_quantity(value, "fraction", (low, high))
        return GroupCell(written, number_format.format_interval(low, high), "", remark)

    def _number_of(self, row: Row, role: Role) -> float | None:
        name = find_column(self.columns, role)
        return tables.to_number(row[name]) if name else None
