"""The fairness table ``by_group`` turned for reading: a row for each group, a column for each metric."""

from __future__ import annotations

from dataclasses import dataclass

from rft.records import Cell, Row, Table
from rft.report.format import numbers
from rft.report.views import tables

_BLOCK = ("model", "split", "attribute", "class", "control")


@dataclass(frozen=True)
class GroupCell:
    """A metric of a group: its value and interval, or why it has none."""

    value: str
    interval: str
    absence: str


@dataclass(frozen=True)
class GroupRow:
    """A group with its metrics, in the order of the table's ``metrics``."""

    group: str
    n: str
    cells: tuple[GroupCell, ...]


@dataclass(frozen=True)
class GroupTable:
    """All groups of an attribute. Model, split, class, control: in ``title`` where they vary, else in ``constants``.

    ``folded``: it is there to be looked up, and so is all but what is of all examples: groups are drawn.
    """

    title: str
    constants: tuple[tuple[str, str], ...]
    metrics: tuple[str, ...]
    rows: tuple[GroupRow, ...]
    folded: bool = False


def by_group(table: Table) -> list[GroupTable]:
    """Return one table for each combination of model, split, attribute, class and control that occurs.

    A column in which one value alone occurs (beside none, where it does not apply) makes no tables of its own.
    """
    values = {name: {row[name] for row in table if row.get(name) is not None} for name in _BLOCK}
    varying = [name for name in _BLOCK if name == "attribute" or len(values[name]) > 1]
    constants = tuple((name, str(*values[name])) for name in _BLOCK if name not in varying and values[name])
    blocks: dict[tuple[Cell, ...], Table] = {}
    for row in table:
        blocks.setdefault(tuple(row.get(name) for name in varying), []).append(row)
    first = next((row["class"] for row in table if row.get("class") is not None), None)
    return [_block(_title(varying, key), constants, rows, first) for key, rows in blocks.items()]


def _title(names: list[str], key: tuple[Cell, ...]) -> str:
    known = [(name, str(value)) for name, value in zip(names, key, strict=True) if value is not None]
    parts = [tables.words(value) if name == "attribute" else f"{name} {value}" for name, value in known]
    return ", ".join(parts) or "all examples"


def _block(title: str, constants: tuple[tuple[str, str], ...], rows: Table, first: Cell) -> GroupTable:
    metrics = list(dict.fromkeys(str(row["metric"]) for row in rows))
    groups: dict[Cell, dict[str, Row]] = {}
    for row in rows:
        groups.setdefault(row["group"], {})[str(row["metric"])] = row
    return GroupTable(
        folded=rows[0]["attribute"] is not None or any(row.get("class") not in (None, first) for row in rows),
        title=title[:1].upper() + title[1:],
        constants=constants,
        metrics=tuple(map(tables.words, metrics)),
        rows=tuple(_row(group, cells, metrics) for group, cells in groups.items()),
    )


def _row(group: Cell, cells: dict[str, Row], metrics: list[str]) -> GroupRow:
    counts = [row["n"] for row in cells.values() if isinstance(row["n"], int)]
    return GroupRow(
        group="all" if group is None else str(group),
        n=numbers.count(max(counts)) if counts else tables.EMPTY,
        cells=tuple(_cell(cells.get(metric)) for metric in metrics),
    )


def _cell(row: Row | None) -> GroupCell:
    value = tables.number(row["value"]) if row else None
    if row is None or value is None:
        return GroupCell("", "", tables.absence(row) if row else tables.EMPTY)
    low, high = tables.number(row.get("low")), tables.number(row.get("high"))
    if low is None or high is None:
        return GroupCell(numbers.quantity(value, "fraction"), "", "")
    return GroupCell(numbers.quantity(value, "fraction", (low, high)), numbers.span(low, high), "")
