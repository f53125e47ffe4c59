"""A table that the caller holds in memory (a dataframe, arrays) in the place of a file: the same reader takes both."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa

from rft.data.tables.table_file import ColumnRequest, TableFile
from rft.errors import DataError
from rft.records import IN_MEMORY

EXPECTED = "a DataFrame of pandas or polars, an Arrow table, or a dict of arrays"


@dataclass(frozen=True)
class TableInMemory(TableFile):
    """A table of N rows that is in no file.

    Attributes:
        columns: those that may be read, (N,) each.
        names: of all its columns, in order, with those that stand twice.
    """

    columns: pa.Table = field(default_factory=lambda: pa.table({}), compare=False)
    names: tuple[str, ...] = ()

    @classmethod
    def from_columns(cls, name: str, columns: pa.Table, names: Sequence[str]) -> TableInMemory:
        """Return a table; ``name`` is what messages call it."""
        return cls(Path(name), name, columns=columns, names=tuple(names))

    @property
    def is_folder(self) -> bool:
        """False, whatever lies in the current folder under its name."""
        return False

    @property
    def suffix(self) -> str:
        """What stands in the place of a file's suffix, which never has this form."""
        return IN_MEMORY

    @property
    def compression(self) -> None:
        """None: it is in no file."""
        return

    @property
    def address(self) -> str:
        """What stands in a config in the place of a path."""
        return f"{IN_MEMORY}{self.name}"


def hold_table(frame: object, wanted: Sequence[str], name: str) -> TableInMemory:
    """Return a table with the wanted columns of a frame, which are converted as pandas and polars write parquet.

    Args:
        frame: a ``DataFrame`` of pandas or polars, an Arrow table or anything else with ``__arrow_c_stream__``, or a
            mapping of column -> (N,) values (lists, arrays, tensors, series).
        wanted: names of columns. Those that are not there are left to the reader, which says so.
        name: what messages call it.

    Raises:
        DataError: the frame is none of these, or a wanted column is not (N,) values of one type.
    """
    columns = list_columns(frame, name)
    arrays = {column: to_arrow(values, column, name) for column, values in columns if column in set(wanted)}
    _check_lengths(arrays, name)
    return TableInMemory.from_columns(name, pa.table(arrays), [column for column, _ in columns])


def held_names(table: TableFile) -> list[str]:
    """Return the names of the columns."""
    assert isinstance(table, TableInMemory)
    return list(table.names)


def read_held(table: TableFile, request: ColumnRequest) -> Iterator[pa.Table]:
    """Yield the columns that are asked for, all rows at once."""
    assert isinstance(table, TableInMemory)
    yield table.columns.select(request.names)


def to_arrow(values: Any, column: str, name: str) -> pa.ChunkedArray:
    """Return (N,) values as Arrow has them; None, NaN, NaT and ``pandas.NA`` are missing.

    Args:
        values: a list, array, tensor, series, or column of Arrow.
        column, name: of the column and its table, for errors.

    Raises:
        DataError: they are not (N,), or not of one type.
    """
    if hasattr(values, "detach"):  # a tensor, which may be on another device
        values = values.detach().cpu().numpy()
    shape = getattr(values, "shape", None)
    if isinstance(shape, tuple) and len(shape) != 1:
        raise DataError(f"column {column!r} has the shape {shape}; expected one value a row", where=name)
    try:
        converted = values if isinstance(values, (pa.Array, pa.ChunkedArray)) else pa.array(values, from_pandas=True)
    except (pa.ArrowException, TypeError, ValueError, OverflowError) as error:
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise DataError(f"column {column!r} does not hold values of one type: {reason}", where=name) from None
    array = converted if isinstance(converted, pa.ChunkedArray) else pa.chunked_array([converted])
    return array.cast(_plain_type(array.type))


def _plain_type(kind: pa.DataType) -> pa.DataType:
    """Return a type without views of texts, which come from polars and which nothing here computes with."""
    if pa.types.is_dictionary(kind):
        return pa.dictionary(kind.index_type, _plain_type(kind.value_type), ordered=kind.ordered)
    return pa.string() if pa.types.is_string_view(kind) else kind


def list_columns(frame: Any, name: str) -> list[tuple[str, Any]]:
    """Return the names and the values of all columns, in order; a name may stand twice."""
    if isinstance(frame, pd.DataFrame):
        return [(str(column), frame.iloc[:, number]) for number, column in enumerate(frame.columns)]
    if isinstance(frame, Mapping):
        return [(str(column), values) for column, values in frame.items()]
    if hasattr(frame, "to_frame") and not hasattr(frame, "columns"):  # a series of pandas or polars: one column
        if not frame.name:
            raise DataError("is a series without a name; expected that of its column", where=name)
        return [(str(frame.name), frame)]
    if hasattr(frame, "__arrow_c_stream__"):
        table = pa.table(frame)
        return list(zip(table.column_names, table.columns, strict=True))
    remedy = "Call its collect() first." if hasattr(frame, "collect") else None
    raise DataError(f"is {type(frame).__name__}; expected {EXPECTED}", where=name, remedy=remedy)


def _check_lengths(arrays: Mapping[str, pa.ChunkedArray], name: str) -> None:
    lengths = {column: len(array) for column, array in arrays.items()}
    first = next(iter(lengths.items()), ("", 0))
    for column, n in lengths.items():
        if n != first[1]:
            raise DataError(f"column {first[0]!r} has {first[1]:,} values, and column {column!r} {n:,}", where=name)
