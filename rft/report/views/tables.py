"""From a table of a section to the cells that a template shows. Nothing here is HTML.

A table is made readable, never changed: its columns come in the order and with the roles that the section declares, one
that says the same in every row moves into the caption, both ends of an interval become one column, and a very long
table ends with the number of rows that stand in ``audit.json`` only.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from rft import number_format
from rft.records import Cell, Column, Role, Row, Table, find_column

EMPTY = "–"
MAX_SHOWN_ROWS = 200  # in the page; audit.json holds them all
WIDE_TABLE_CHARACTERS = 60  # from which on a table does not fit beside a figure
FOLDED_FROM_ROWS = 12
FOLDED_FROM_EXPLAINED_ROWS = 30  # of a table that explains each row: it is there to be read
FOLDED_IN_PRINT_FROM_ROWS = 48
MAX_STATUS_CHARACTERS = 32  # of a status that stands in the place of a value
_COLUMN_GAP = 2  # characters between two columns

_STATUS_WITHOUT_REASON = ("", "info", "warn", "ok", "measured")  # give no reason for an absence
_STATUS_WORDS = {"info": "measured", "warn": "review", "fail": "failed"}
NAME_ROLES: tuple[Role, ...] = ("name", "attribute", "group", "class", "metric")
_UPPER_ENDS: dict[Role, Role] = {"low": "high", "band_low": "band_high"}  # two columns that are shown as one
_INTERVAL_LABELS: dict[Role, str] = {"low": "interval", "band_low": "range"}


@dataclass(frozen=True)
class ColumnView:
    """The heading of a column and how its cells are set.

    Attributes:
        label: the heading.
        numeric: its cells are numbers.
        is_name: its cells are names, which have a direction of their own; others may be sentences with names in them.
        explains: it says in words what the row means, and needs room.
    """

    label: str
    numeric: bool
    is_name: bool = False
    explains: bool = False


@dataclass(frozen=True)
class TableView:
    """A table as shown. ``constants`` are the columns that say the same in every row, as (label, text)."""

    caption: str
    constants: tuple[tuple[str, str], ...]
    columns: tuple[ColumnView, ...]
    rows: tuple[tuple[str, ...], ...]
    total: int

    @property
    def long(self) -> bool:
        """Whether it is folded away on the screen."""
        explained = any(column.explains for column in self.columns)
        return self.total > (FOLDED_FROM_EXPLAINED_ROWS if explained else FOLDED_FROM_ROWS)

    @property
    def huge(self) -> bool:
        """Whether it stays folded in print."""
        return self.total > FOLDED_IN_PRINT_FROM_ROWS

    @property
    def wide(self) -> bool:
        """Whether it has no room beside a figure."""
        longest = (max(map(len, [*column.label.split(), *cells])) for column, cells in self._iterate_columns())
        return sum(length + _COLUMN_GAP for length in longest) > WIDE_TABLE_CHARACTERS

    def _iterate_columns(self) -> Iterator[tuple[ColumnView, list[str]]]:
        for index, column in enumerate(self.columns):
            yield column, [row[index] for row in self.rows]

    @property
    def omitted(self) -> int:
        """How many rows stand in ``audit.json`` only."""
        return self.total - len(self.rows)


def view_table(
    table: Table,
    columns: Mapping[str, Column],
    *,
    caption: str,
    only: Collection[str] | None = None,
    condense: bool = True,
) -> TableView:
    """Return a table as templates show it.

    Columns that are empty in every row are left out; ``–`` stands where a cell has no value, and the reason as far as
    the row knows it where this is the estimate.

    Args:
        table: the rows.
        columns: its columns by name, in the order in which they are shown (``rft.records.describe_columns``).
        caption: one line that says what it shows.
        only: names of the columns to show; None shows all.
        condense: take out what says the same in every row, and a status that says no more than the estimate.
    """
    shown = {name: column for name, column in columns.items() if only is None or name in only}
    filled = {name: column for name, column in shown.items() if any(row[name] is not None for row in table)}
    if condense:
        filled = _without_needless_status(filled, columns, table)
    constant = {name: column for name, column in filled.items() if condense and _is_constant(table, name)}
    varying = {name: column for name, column in filled.items() if name not in constant}
    written = _write_columns(varying, columns, table)
    return TableView(
        caption=caption,
        constants=tuple((label_column(column), cell_text(table[0][name], column)) for name, column in constant.items()),
        columns=tuple(column for column, _ in written),
        rows=tuple(zip(*(cells[:MAX_SHOWN_ROWS] for _, cells in written), strict=True)),
        total=len(table),
    )


def matching_rows(table: Table, where: Mapping[str, Cell]) -> Table:
    """Return the rows whose columns equal these values."""
    return [row for row in table if all(row.get(name) == value for name, value in where.items())]


def to_number(cell: Cell) -> float | None:
    """Return the cell when it is a number (yes and no are none), else None."""
    return cell if isinstance(cell, int | float) and not isinstance(cell, bool) else None


def cell_texts(cells: Sequence[Cell], column: Column | None = None) -> list[str]:
    """Return cells as one column writes them, with the same number of decimals."""
    decimals = _count_decimals(cells)
    return [_write_cell(cell, column, decimals) for cell in cells]


def cell_text(cell: Cell, column: Column | None = None) -> str:
    """Return one cell of a column by itself: a label in a chart."""
    return cell_texts([cell], column)[0]


def words_of_name(name: str) -> str:
    """Return a name made by a program in words: ``n_members``. How else it is written, the column says."""
    return name.replace("_", " ")


def label_column(column: Column) -> str:
    """Return the heading of a column."""
    return column.label or words_of_name(column.name)


def explain_absence(row: Row, columns: Mapping[str, Column]) -> str:
    """Return why a row has no value, as far as its status says: ``too few``."""
    return explain_status(row, columns) or "not measured"


def explain_status(row: Row, columns: Mapping[str, Column]) -> str:
    """Return what the status of a row says beside that it was measured or not; empty where it says no more."""
    name = find_column(columns, "status")
    status = row.get(name) if name else None
    tells = isinstance(status, str) and status not in _STATUS_WITHOUT_REASON and len(status) <= MAX_STATUS_CHARACTERS
    return words_of_name(str(status)) if tells else ""


def _without_needless_status(
    shown: dict[str, Column], columns: Mapping[str, Column], table: Table
) -> dict[str, Column]:
    """Leave out a status that says in each row that it was measured, or what stands in the place of its value."""
    estimate, status = find_column(shown, "estimate"), find_column(columns, "status")

    def says_nothing_more(row: Row) -> bool:
        cell = row[status] if status else None
        if estimate is None or row[estimate] is not None:
            return cell in ("ok", "measured")
        return explain_absence(row, columns) == words_of_name(str(cell))

    if not all(map(says_nothing_more, table)):
        return shown
    return {name: column for name, column in shown.items() if name != status}


def _is_constant(table: Table, name: str) -> bool:
    cells = [row[name] for row in table]
    return len(cells) > 1 and not _is_numeric(cells) and all(cell == cells[0] for cell in cells)


def _write_columns(
    shown: Mapping[str, Column], columns: Mapping[str, Column], table: Table
) -> list[tuple[ColumnView, list[str]]]:
    """Return the headings and the written cells; both ends of an interval are one column."""
    written = []
    by_role = {column.role: name for name, column in shown.items() if column.role not in ("key", "name", "number")}
    upper = {by_role[high]: by_role[low] for low, high in _UPPER_ENDS.items() if low in by_role and high in by_role}
    for name, column in shown.items():
        if name in upper:
            continue
        cells = [row[name] for row in table]
        if name in upper.values():
            highs = [row[by_role[_UPPER_ENDS[column.role]]] for row in table]
            label = column.label or _INTERVAL_LABELS[column.role]
            written.append((ColumnView(label, True), _write_intervals(cells, highs)))
            continue
        texts = cell_texts(cells, column)
        if column.role == "estimate":
            texts = [
                explain_absence(row, columns) if row[name] is None else text
                for row, text in zip(table, texts, strict=True)
            ]
        written.append((_view_column(column, cells), texts))
    return written


def _view_column(column: Column, cells: Sequence[Cell]) -> ColumnView:
    numeric = _is_numeric(cells)
    is_name = column.role in NAME_ROLES and not numeric
    return ColumnView(label_column(column), numeric, is_name=is_name, explains=column.role == "text")


def _write_intervals(lows: Sequence[Cell], highs: Sequence[Cell]) -> list[str]:
    decimals = _count_decimals([*lows, *highs])
    pairs = [(to_number(low), to_number(high)) for low, high in zip(lows, highs, strict=True)]
    return [
        EMPTY if low is None or high is None else number_format.format_interval(low, high, decimals)
        for low, high in pairs
    ]


def _write_cell(cell: Cell, column: Column | None, decimals: int) -> str:
    role = column.role if column else None
    if cell is None or cell == "":
        return "all" if cell is None and role in ("attribute", "group") else EMPTY
    if isinstance(cell, bool):
        return "yes" if cell else "no"
    if isinstance(cell, int):
        return number_format.format_count(cell)
    if isinstance(cell, float):
        return number_format.format_fixed(cell, decimals)
    if role == "status":
        return _STATUS_WORDS.get(cell, words_of_name(cell))
    if column is None or role not in ("name", "metric"):
        return cell
    return column.spellings.get(cell) or words_of_name(cell)


def _is_numeric(cells: Sequence[Cell]) -> bool:
    return all(to_number(cell) is not None for cell in cells if cell is not None)


def _count_decimals(cells: Sequence[Cell]) -> int:
    """Return the decimals of a column: as many as its smallest number is worth, without zeros that all would end in."""
    held = [cell for cell in cells if isinstance(cell, float) and cell != 0]
    most = max(map(number_format.decimals_of, held), default=0)
    return next(digits for digits in range(most + 1) if all(round(x, digits) == round(x, most) for x in held))
