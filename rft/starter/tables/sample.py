"""A bounded look at a table: its columns as far as its first rows show them.

So many rows are read that a table of the usual size is read whole: a file may be sorted by the very column that is
looked for.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
from pandas.api.types import union_categoricals

from rft.data.tables.columnar import column_names, list_bytes_columns, read_columns
from rft.data.tables.separators import find_separator
from rft.data.tables.table_file import ColumnRequest, TableFile
from rft.errors import DataError

ENOUGH_ROWS = 500_000


@dataclass(frozen=True)
class ColumnSample:
    """A column of the rows that were looked at.

    Attributes:
        name: in the file.
        values: (N,) texts as categories and codes; the code of an empty cell is -1.
    """

    name: str
    values: pd.Categorical

    @property
    def n(self) -> int:
        """How many cells hold something."""
        return int((self.values.codes >= 0).sum())

    @property
    def missing(self) -> int:
        """How many cells are empty."""
        return len(self.values) - self.n

    @cached_property
    def counts(self) -> dict[str, int]:
        """Value -> how many cells hold it, in the order of the values."""
        counts = np.bincount(self.values.codes[self.values.codes >= 0], minlength=len(self.values.categories))
        named = zip(map(str, self.values.categories), counts.tolist(), strict=True)
        return dict(sorted((value, count) for value, count in named if count))

    @property
    def distinct(self) -> int:
        """How many different values there are."""
        return len(self.counts)

    @property
    def repeats(self) -> bool:
        """Whether any value stands in more than one row."""
        return self.distinct < self.n

    @cached_property
    def numbers(self) -> np.ndarray | None:
        """(N,) the cells as float64, NaN where one is empty; None where any is no number."""
        parsed = pd.to_numeric(pd.Series(list(self.values.categories), dtype=object), errors="coerce")
        if not self.distinct or parsed.isna().any():
            return None
        cells: np.ndarray = np.append(parsed.to_numpy(np.float64), np.nan)[self.values.codes]
        return cells

    @cached_property
    def mean_words(self) -> float:
        """How many words a value has on average; 0 where there is no value."""
        return float(np.mean([len(value.split()) for value in self.counts])) if self.counts else 0.0


@dataclass(frozen=True)
class TableSample:
    """What was looked at of a table, or of several with the same columns.

    Attributes:
        columns: name -> its cells, all of the same N rows.
        bytes_columns: those that hold the bytes of images or recordings.
        whole: whether these are all rows.
    """

    columns: dict[str, ColumnSample]
    bytes_columns: tuple[str, ...] = ()
    whole: bool = True

    @property
    def n(self) -> int:
        """How many rows were looked at."""
        return max((len(column.values) for column in self.columns.values()), default=0)


def sample_table(file: TableFile, *, enough_rows: int | None = None) -> TableSample:
    """Read the first rows of a table; raises ``DataError`` for one that cannot be read.

    Args:
        file: the table.
        enough_rows: after which it is not read on; None for ``ENOUGH_ROWS``.
    """
    file = find_separator(file, column_names)
    names = column_names(file)
    unique = [name for name in names if names.count(name) == 1]
    bytes_columns = tuple(name for name in list_bytes_columns(file) if name in unique)
    columns, whole = _read_readable(
        file, [name for name in unique if name not in bytes_columns], enough_rows or ENOUGH_ROWS
    )
    return TableSample(columns, bytes_columns, whole)


def join_samples(samples: Sequence[TableSample]) -> TableSample:
    """Return the rows of several tables, as far as all have the columns."""
    shared = [name for name in samples[0].columns if all(name in sample.columns for sample in samples)]
    columns = {
        name: ColumnSample(name, union_categoricals([sample.columns[name].values for sample in samples]))
        for name in shared
    }
    return TableSample(columns, whole=all(sample.whole for sample in samples))


def _read_readable(file: TableFile, names: Sequence[str], enough_rows: int) -> tuple[dict[str, ColumnSample], bool]:
    """Return the columns that hold texts or numbers, and whether all rows were read.

    Raises:
        DataError: that of the first column, where none can be read.
    """
    readings = []
    try:
        readings = [read_columns([file], ColumnRequest(names, enough_rows=enough_rows))]
    except DataError as error:  # one column of lists, or a file that cannot be read at all
        for name in names:
            with suppress(DataError):
                readings.append(read_columns([file], ColumnRequest([name], enough_rows=enough_rows)))
        if not readings:
            raise error from None
    held = {name: values for reading in readings for name, values in reading.texts.items()}
    columns = {name: ColumnSample(name, values.remove_unused_categories()) for name, values in held.items()}
    return columns, all(reading.whole for reading in readings)
