"""The values of single groups, such as the true positive rate of one, as they stand in the tables of a run."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from rft.records import AuditRun, Cell, Column, Role, Row, Section, find_column

REQUIRED_ROLES: tuple[Role, ...] = ("attribute", "group", "metric", "estimate")


@dataclass(frozen=True)
class GroupRate:
    """A metric of one group, or of all examples where ``group`` is empty.

    Attributes:
        table: the plugin and the table that it stands in: ``fairness.by_group``.
        attribute, group, metric: what it is of; an intersection joins attributes, and groups, by `` x ``.
        label_class: the class that the metric is of; empty where it is of all.
        further: what else tells the row from others, such as the model and the split: ``model: mitigated``.
        value, low, high: the rate and its interval; None where it was not measured, and ``reason`` says why.
        n: the cases that it rests on; None where these are withheld, or not known.
    """

    table: str
    attribute: str
    group: str
    metric: str
    label_class: str
    further: str
    value: float | None
    low: float | None
    high: float | None
    n: int | None
    reason: str


def list_group_rates(run: AuditRun) -> Iterator[GroupRate]:
    """Yield each row of each table that says which of its columns are attribute, group, metric and estimate."""
    for section in run.sections:
        for name, rows in section.tables.items():
            columns = section.describe_table(name)
            if all(find_column(columns, role) is not None for role in REQUIRED_ROLES):
                yield from (_read_row(section, name, row, columns) for row in rows)


def _read_row(section: Section, table: str, row: Row, columns: dict[str, Column]) -> GroupRate:
    def read_cell(role: Role) -> Cell:
        name = find_column(columns, role)
        return None if name is None else row[name]

    value = _to_number(read_cell("estimate"))
    keys = [name for name, column in columns.items() if column.role in ("key", "name") and row[name] is not None]
    n = read_cell("count")
    return GroupRate(
        table=f"{section.plugin}.{table}",
        attribute=_to_text(read_cell("attribute")),
        group=_to_text(read_cell("group")),
        metric=_to_text(read_cell("metric")),
        label_class=_to_text(read_cell("class")),
        further="; ".join(f"{name}: {row[name]}" for name in keys),
        value=value,
        low=_to_number(read_cell("low")),
        high=_to_number(read_cell("high")),
        n=n if isinstance(n, int) and not isinstance(n, bool) else None,
        reason="" if value is not None else _to_text(read_cell("status")).replace("_", " ") or "not measured",
    )


def _to_text(cell: Cell) -> str:
    return "" if cell is None else str(cell)


def _to_number(cell: Cell) -> float | None:
    return cell if isinstance(cell, int | float) and not isinstance(cell, bool) else None
