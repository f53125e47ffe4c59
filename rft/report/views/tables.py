"""From a table of a section to the cells that a template shows. Nothing here is HTML.

A table is made readable, never changed: a column that says the same in every row moves into the caption, ``low`` and
``high`` become one column, and a very long table ends with the number of rows that stand in ``audit.json`` only.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from rft.records import Cell, Row, Table
from rft.report.format import numbers

EMPTY = "–"
MOST_ROWS = 200  # in the page; audit.json holds them all
WIDE = 60  # characters from which on a table does not fit beside a figure
_GAP = 2  # characters between two columns
LONG = 12  # rows from which on a table is folded away
LONG_WORDS = 30  # the same for a table that explains each row: it is there to be read
MOST_STATUS = 32  # characters of a status that stands in the place of a value
HUGE = 48  # rows from which on it stays folded in print

_WORDS = {
    "tpr": "TPR",
    "fpr": "FPR",
    "fnr": "FNR",
    "tnr": "TNR",
    "auc": "AUC",
    "f1": "F1",
    "gradcam": "GradCAM",
    "roc": "ROC",
    "ci": "CI",
    "id": "ID",
    "tpr_at_1pct_fpr": "TPR at 1 % FPR",
    "tpr_at_01pct_fpr": "TPR at 0.1 % FPR",
}
_OVERALL = ("attribute", "group")  # columns in which no value means all examples together
_PRESENT = ("", "info", "warn", "ok", "measured")  # words of a status that give no reason for an absence
# audit.json sorts columns by name; readers want what a row is about first, then the estimate, its interval, the counts
_ABOUT = (
    *(
        *("artefact", "protection", "parameter", "quantity", "check", "expected", "found", "bound", "fault"),
        *("purpose", "started"),
        "split",
        "model",
        "name",
        "attack",
        "method",
        "arm",
        "image",
        "text",
        "tenth",
        "position",
        "token",
        "attribute",
        "group",
        "first",
        "second",
        "class",
        "control",
        "label",
    ),
    *("prediction", "metric", "method", "bin", "epoch", "epsilon", "replicate", "row", "column", "confidence", "fpr"),
)
_ENDS = {"low": "high", "band_low": "band_high"}  # two columns that are shown as one
_LOWS_AND_HIGHS = ("low", "high", "band_low", "band_high")
_SPANS = {"low": "interval", "band_low": "without a difference"}
_ESTIMATES = (
    *("value", "accuracy", "attribution", "auc", "flip_share"),
    *("selection_rate", "scoring_rate", "impact_ratio", "share"),
)
_EXPLAIN = ("description", "why")
_LAST = ("unit", "status", "drawn", "special", "grade", "assumes", *_EXPLAIN)
_STATUS = {"info": "measured", "warn": "worth a look", "fail": "failed"}
_NAMES = ("metric", "attack", "method")  # columns whose cells are names made by a program


@dataclass(frozen=True)
class Column:
    """The heading of a column, whether its cells are numbers, and whether they are names of what a row is about."""

    label: str
    numeric: bool
    named: bool = False

    @property
    def explains(self) -> bool:
        """Whether it says in words what the row means: it needs room."""
        return self.label in _EXPLAIN


@dataclass(frozen=True)
class TableView:
    """A table as shown. ``constants`` are the columns that say the same in every row, as (label, text)."""

    caption: str
    constants: tuple[tuple[str, str], ...]
    columns: tuple[Column, ...]
    rows: tuple[tuple[str, ...], ...]
    total: int

    @property
    def long(self) -> bool:
        explained = any(column.explains for column in self.columns)
        return self.total > (LONG_WORDS if explained else LONG)

    @property
    def huge(self) -> bool:
        return self.total > HUGE

    @property
    def wide(self) -> bool:
        longest = (max(map(len, [*column.label.split(), *cells])) for column, cells in self._by_column())
        return sum(length + _GAP for length in longest) > WIDE

    def _by_column(self) -> Iterator[tuple[Column, list[str]]]:
        for index, column in enumerate(self.columns):
            yield column, [row[index] for row in self.rows]

    @property
    def omitted(self) -> int:
        return self.total - len(self.rows)


def view(table: Table, *, caption: str, only: Collection[str] | None = None, arrange: bool = True) -> TableView:
    """Return a table as templates show it.

    Columns that are empty in every row are left out; ``–`` stands where a cell has no value, and the reason as far as
    the row knows it where this is the ``value``. With ``arrange`` the columns are sorted for a reader, and those that
    say the same in every row are taken out of the table, as is a status that says no more than the value. ``only``
    names the columns to show; None shows all.
    """
    names = [name for name in (table[0] if table else ()) if only is None or name in only]
    cells_of = {name: [row[name] for row in table] for name in names}
    filled = [name for name in names if any(cell is not None for cell in cells_of[name])]
    if arrange and "value" in filled and all(map(_says_nothing_more, table)):
        filled = [name for name in filled if name != "status"]
    order = sorted(filled, key=lambda name: _place(name, cells_of[name])) if arrange else filled
    columns = {name: cells_of[name] for name in order}
    same = [name for name in columns if arrange and _is_constant(columns[name])]
    shown = _columns({name: cells for name, cells in columns.items() if name not in same}, table)
    return TableView(
        caption=caption,
        constants=tuple((words(name), _cells(name, columns[name][:1])[0]) for name in same),
        columns=tuple(column for column, _ in shown),
        rows=tuple(zip(*(cells[:MOST_ROWS] for _, cells in shown), strict=True)),
        total=len(table),
    )


def matching(table: Table, where: Mapping[str, Cell]) -> Table:
    """Return the rows whose columns equal these values."""
    return [row for row in table if all(row.get(name) == value for name, value in where.items())]


def number(cell: Cell) -> float | None:
    """Return the cell when it is a number (yes and no are none), else None."""
    return cell if isinstance(cell, int | float) and not isinstance(cell, bool) else None


def texts(cells: Sequence[Cell]) -> list[str]:
    """Return cells as one column writes them, with the same number of decimals."""
    return _cells("", cells)


def cell_text(cell: Cell, name: str = "") -> str:
    """Return one cell of the column ``name`` by itself: a label in a chart."""
    return _cell(name, cell, _decimals([cell]))


def words(name: str) -> str:
    """Return a name made by a program as a reader would write it: ``tpr_at_1pct_fpr``, ``n_members``."""
    if name in _WORDS:
        return _WORDS[name]
    return " ".join(_WORDS.get(word, word) for word in name.replace("_", " ").split(" "))


def absence(row: Row) -> str:
    """Return why a row has no value, as far as the row knows: ``too few``."""
    status = row.get("status")
    told = isinstance(status, str) and status not in _PRESENT and len(status) <= MOST_STATUS
    return words(str(status)) if told else "not measured"


def _says_nothing_more(row: Row) -> bool:
    """Whether the status of a row is that it was measured, or the reason that stands in the place of its value."""
    if row["value"] is not None:
        return row.get("status") in ("ok", "measured")
    return absence(row) == words(str(row.get("status")))


def _place(name: str, cells: Sequence[Cell]) -> tuple[int, int, str]:
    """Return a key that sorts the columns of a table for a reader."""
    if name in _ABOUT:
        return 0, _ABOUT.index(name), ""
    if name in _LAST:
        return 6, _LAST.index(name), ""
    if name == "n" or name.startswith("n_"):
        return 5, 0, name
    if name in _LOWS_AND_HIGHS:
        return 3, _LOWS_AND_HIGHS.index(name), ""
    if name in _ESTIMATES:
        return 2, _ESTIMATES.index(name), ""
    return (4 if _is_numeric(cells) else 1), 0, name


def _is_constant(cells: Sequence[Cell]) -> bool:
    return len(cells) > 1 and not _is_numeric(cells) and all(cell == cells[0] for cell in cells)


def _columns(columns: Mapping[str, Sequence[Cell]], table: Table) -> list[tuple[Column, list[str]]]:
    shown = []
    for name, cells in columns.items():
        if name in _ENDS.values() and any(_ENDS.get(low) == name for low in columns):
            continue
        if (high := _ENDS.get(name, "")) in columns:
            shown.append((Column(_SPANS[name], True), _intervals(cells, columns[high])))
            continue
        texts = _cells(name, cells)
        if name == "value":
            texts = [absence(row) if row[name] is None else text for row, text in zip(table, texts, strict=True)]
        numeric = _is_numeric(cells)
        shown.append((Column(words(name), numeric, named=name in _ABOUT and not numeric), texts))
    return shown


def _intervals(lows: Sequence[Cell], highs: Sequence[Cell]) -> list[str]:
    decimals = _decimals([*lows, *highs])
    pairs = [(number(low), number(high)) for low, high in zip(lows, highs, strict=True)]
    return [EMPTY if low is None or high is None else numbers.span(low, high, decimals) for low, high in pairs]


def _cells(name: str, cells: Sequence[Cell]) -> list[str]:
    decimals = _decimals(cells)
    return [_cell(name, cell, decimals) for cell in cells]


def _cell(name: str, cell: Cell, decimals: int) -> str:
    if cell is None or cell == "":
        return "all" if cell is None and name in _OVERALL else EMPTY
    if isinstance(cell, bool):
        return "yes" if cell else "no"
    if isinstance(cell, int):
        return numbers.count(cell)
    if isinstance(cell, float):
        return numbers.fixed(cell, decimals)
    if name == "status":
        return _STATUS.get(cell, words(cell))
    return words(cell) if name in _NAMES else cell


def _is_numeric(cells: Sequence[Cell]) -> bool:
    return all(number(cell) is not None for cell in cells if cell is not None)


def _decimals(cells: Sequence[Cell]) -> int:
    """Return the decimals of a column: as many as its smallest number is worth, without zeros that all would end in."""
    held = [cell for cell in cells if isinstance(cell, float) and cell != 0]
    most = max(map(numbers.decimals_of, held), default=0)
    return next(digits for digits in range(most + 1) if all(round(x, digits) == round(x, most) for x in held))
