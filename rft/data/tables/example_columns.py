"""The columns of one table that describe examples, checked: what must be there is there, and groups are groups."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from rft.data.remarks import Remark
from rft.data.tables.columnar import Places, read_columns
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
        places: where the rows stand in the file.
        remarks: what was noticed about its columns.
    """

    table: pd.DataFrame
    values: Mapping[str, pd.Categorical]
    places: Places
    remarks: Sequence[Remark]


def read_examples(path: Path, columns: Mapping[str, str], required: Collection[str], *, skipped: bool) -> Examples:
    """Read a table of examples.

    Args:
        path: csv, tsv, jsonl or parquet.
        columns: what a column is for -> its name in the file.
        required: which of these must have a value in every row.
        skipped: rows without an item might be left out, which the error then says.

    Raises:
        DataError: as ``read_columns``, for an empty cell, and for an attribute that names no groups.
    """
    held = read_columns(path, list(columns.values()), [])
    values = {name: held.texts[column] for name, column in columns.items()}
    for name in required:
        if name in values and (empty := values[name].codes < 0).any():
            remedy = 'Remove such rows, or set data.on_error = "skip" to count them.'
            raise DataError(
                f"column {columns[name]!r} is empty in {held.places.name_rows(empty)}",
                where=path.name,
                remedy=remedy if skipped and name == "item" else None,
            )
    for name, column in values.items():
        if name.startswith(GROUP):
            check_levels(name.removeprefix(GROUP), column, path.name)
        elif name == "unit":
            check_units(columns[name], column, path.name)
    table = pd.DataFrame({name: _to_objects(column) for name, column in values.items()})
    return Examples(table, values, held.places, held.remarks)


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
