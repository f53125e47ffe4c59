"""Tables of sections as a model card has room for: groups in one table, long lists joined."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import accumulate

from rft.records import Section, find_column
from rft.records.columns import KEY_ROLES
from rft.report.views import group_table, tables

MAX_GROUP_ROWS = 8  # of a card, which is one page
NOTE_ROLES = ("note", "text")  # what explains a row stands in the report


@dataclass(frozen=True)
class CardTable:
    """A table of texts under a heading; ``omitted`` rows stand in the report only."""

    heading: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    omitted: int = 0


def list_card_tables(section: Section, *, of_groups: bool) -> Iterator[CardTable]:
    """Yield the tables that a section wants in the card.

    Args:
        section: which names them in ``card_tables``.
        of_groups: those of metrics by group, or all others.
    """
    for name, heading in section.card_tables.items():
        if section.tables.get(name) and _is_of_groups(section, name) == of_groups:
            yield _tabulate_groups(section, name, heading) if of_groups else _join_rows(section, name, heading)


def _is_of_groups(section: Section, name: str) -> bool:
    columns = section.describe_table(name)
    return all(find_column(columns, role) is not None for role in group_table.REQUIRED_ROLES)


def _tabulate_groups(section: Section, name: str, heading: str) -> CardTable:
    """Return a row for each group with a column for each metric.

    Attributes are shown with all of their groups or not at all: a part of them may lack the extremes.
    """
    turned = group_table.list_group_tables(section, name)
    sizes = accumulate(len(table.rows) for table in turned)
    shown = [table for table, size in zip(turned, sizes, strict=True) if size <= MAX_GROUP_ROWS]
    metrics = tuple(dict.fromkeys(metric for table in shown for metric in table.metrics))
    rows = tuple(row for table in shown for row in _write_groups(table, metrics))
    omitted = sum(len(table.rows) for table in turned) - len(rows)
    counted = turned[0].counted if turned else "n"
    return CardTable(heading, ("groups by", "group", counted, *metrics), rows, omitted)


def _write_groups(table: group_table.GroupTable, metrics: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    for row in table.rows:
        cells = dict(zip(table.metrics, row.cells, strict=True))
        yield (table.title, row.group, row.n, *(_write_cell(cells.get(metric)) for metric in metrics))


def _write_cell(cell: group_table.GroupCell | None) -> str:
    if cell is None:
        return tables.EMPTY
    return cell.absence or ", ".join(filter(None, [f"{cell.value} {cell.interval}".rstrip(), cell.remark]))


def _join_rows(section: Section, name: str, heading: str) -> CardTable:
    """Return a table without notes; rows that differ only in what they are about, their first key, are one."""
    columns = {key: column for key, column in section.describe_table(name).items() if column.role not in NOTE_ROLES}
    view = tables.view_table(section.tables[name], columns, caption="", condense=False)
    labels = tuple(column.label for column in view.columns)
    if sum(column.role in KEY_ROLES for column in columns.values()) < 2:
        return CardTable(heading, labels, view.rows)
    joined: dict[tuple[str, ...], list[str]] = {}
    for first, *rest in view.rows:
        joined.setdefault(tuple(rest), []).append(first)
    rows = tuple((*rest, "; ".join(names)) for rest, names in joined.items())
    return CardTable(heading, (*labels[1:], labels[0]), rows)
