"""The columns of one table that describe examples, checked: what must be there is there, and groups are groups."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from rft.data.remarks import Remark
from rft.data.tables.columnar import read_columns
from rft.data.tables.places import Places
from rft.data.tables.stored_cells import StoredCells
from rft.data.tables.table_file import ColumnRequest, TableFile
from rft.errors import DataError

MOST_GROUPS = 200  # of an attribute
FEWEST_ROWS = 20  # from which one value everywhere, or another in each row, is no accident of small data
GROUP = "group_"  # begins the name of a group's column


@dataclass(frozen=True)
class Examples:
    """The rows of a table.

    Attributes:
        table: what each column is for -> (N,) strings, None where a cell is empty: ``label``, ``unit``,
            ``declared_split``, ``group_<attribute>``, ...
        values: the same as categories and codes.
        cells: the items.
        places: where the rows stand in the files.
        remarks: what was noticed about its columns.
    """

    table: pd.DataFrame
    values: Mapping[str, pd.Categorical]
    cells: StoredCells | None
    places: Places
    remarks: Sequence[Remark]


def read_examples(
    files: Sequence[TableFile],
    columns: Mapping[str, str],
    required: Collection[str],
    *,
    item: str | None = None,
    skipped: bool = False,
    sentences: Sequence[str] = (),
) -> Examples:
    """Read a table of examples.

    Args:
        files: those of the table.
        columns: what a column is for -> its name in the files.
        required: which of these, and of ``item``, must have a value in every row.
        item: the column of items, which stay on disk; None where there is none.
        skipped: rows without an item might be left out, which the error then says.
        sentences: names of columns in which each cell is a text: see ``ColumnRequest``.

    Raises:
        DataError: as ``read_columns``, for an empty cell, and for an attribute that names no groups.
    """
    contents = [item] if item is not None else []
    held = read_columns(
        files, ColumnRequest(list(dict.fromkeys(columns.values())), contents=contents, sentences=sentences)
    )
    values = {name: held.texts[column] for name, column in columns.items()}
    lacking = [(columns[name], values[name].codes < 0) for name in required if name in values]
    if item is not None and "item" in required:
        lacking.append((item, held.contents[item].empty))
    for column_name, empty in lacking:
        if empty.any():
            remedy = 'Remove such rows, or set data.on_error = "skip" to count them.'
            raise DataError(
                f"column {column_name!r} is empty in {held.places.name_rows(empty)}",
                where=held.places.source,
                remedy=remedy if skipped and column_name == item else None,
            )
    for name, column in values.items():
        if name.startswith(GROUP):
            check_levels(name.removeprefix(GROUP), column, held.places.source)
        elif name == "unit":
            check_units(columns[name], column, held.places.source)
    table = pd.DataFrame({name: _to_objects(column) for name, column in values.items()})
    return Examples(table, values, held.contents.get(item or ""), held.places, held.remarks)


def check_levels(attribute: str, values: pd.Categorical, source: str) -> None:
    """Raise ``DataError`` for an attribute with so many values that it names no groups: a number, a date, an id."""
    n = len(values.categories)
    if n > MOST_GROUPS or n == len(values) >= FEWEST_ROWS:
        alone = n == len(values)
        problem = "each row is a group of its own" if alone else f"at most {MOST_GROUPS} groups are compared"
        raise DataError(
            f"the group column {attribute!r} has {n:,} values in {len(values):,} rows; {problem}",
            where=source,
            remedy="Bin it (ages into bands, postcodes into regions), or leave it out of data.groups.",
        )


def check_units(column: str, values: pd.Categorical, source: str) -> None:
    """Raise ``DataError`` for a column of units that gives all rows to one: none could be told from another."""
    if len(values.categories) == 1 and len(values) >= FEWEST_ROWS:
        raise DataError(
            f"the unit column {column!r} has one value, {values.categories[0]!r}, in all {len(values):,} rows",
            where=source,
            remedy="Name the column that says whose each example is, or remove data.unit: each row is then its own.",
        )


def _to_objects(values: pd.Categorical) -> pd.Series:
    names = np.empty(len(values.categories) + 1, object)  # the last one, None, is that of code -1
    names[:-1] = values.categories
    return pd.Series(names[values.codes], dtype="object")
