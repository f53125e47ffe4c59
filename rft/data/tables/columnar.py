"""Columns of a table of any size: texts as codes, numbers as float64, and no Python object a cell.

Texts are read as they stand; only an empty cell is missing. Lines of JSON are the exception to what is said of
objects: they are parsed one by one, a block at a time.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet

from rft.data.remarks import Remark
from rft.data.tables.delimited import delimited_lines, delimited_names, read_delimited, separator_of
from rft.data.tables.json_rows import is_array, json_lines, json_names, read_json, text_of
from rft.data.tables.spelling import normal_form, quote_name
from rft.errors import DataError, near

NAMED_ROWS = 5


@dataclass(frozen=True)
class Places:
    """Where the rows of a table stand in its file: the lines of a text, the rows of anything else, from 1 on.

    Attributes:
        path: the file.
        rows: (N,) the rows of the file that are meant; None: all of them.
    """

    path: Path
    rows: np.ndarray | None = None

    @property
    def source(self) -> str:
        """The name of the file."""
        return self.path.name

    def select_rows(self, mask: np.ndarray) -> Places:
        """Return the places of the rows of a (N,) mask."""
        kept = np.flatnonzero(mask)
        return replace(self, rows=kept if self.rows is None else self.rows[kept])

    def name_row(self, row: int) -> str:
        """Return where one row stands: ``line 7``."""
        return self._name_numbers([row], 1)

    def name_rows(self, mask: np.ndarray) -> str:
        """Return where the rows of a (N,) mask stand: ``line 7``, or ``3 lines (2, 5, 9)`` with the first of them."""
        rows = np.flatnonzero(mask)
        return self._name_numbers(rows[:NAMED_ROWS].tolist(), len(rows))

    def _name_numbers(self, rows: Sequence[int], count: int) -> str:
        row_numbers = rows if self.rows is None else self.rows[rows].tolist()
        few = ", ".join(str(number) for number in self._line_numbers(row_numbers))
        return (
            f"{self._word} {few}" if count == 1 else f"{count:,} {self._word}s ({few}{', ...' * (count > len(rows))})"
        )

    @cached_property
    def _lines(self) -> Callable[[Path], Iterator[int]] | None:
        suffix = self.path.suffix.lower()
        if suffix == ".jsonl" and not is_array(self.path):
            return json_lines
        return delimited_lines if suffix in (".csv", ".tsv") else None

    @property
    def _word(self) -> str:
        return "row" if self._lines is None else "line"

    def _line_numbers(self, rows: Sequence[int]) -> list[int]:
        if self._lines is None:
            return [row + 1 for row in rows]
        lines = list(islice(self._lines(self.path), max(rows) + 1))  # looked for when they are asked for, in errors
        return [lines[row] for row in rows]


@dataclass(frozen=True)
class Columns:
    """Columns of one file, (N,) each.

    Attributes:
        texts: column -> categories and codes; the code of an empty cell is -1.
        numbers: column -> float64; NaN where the cell is empty or holds one.
        places: where the rows stand in the file.
        remarks: what was noticed about the names of the columns.
    """

    texts: Mapping[str, pd.Categorical]
    numbers: Mapping[str, np.ndarray]
    places: Places
    remarks: Sequence[Remark] = ()

    def select_rows(self, mask: np.ndarray) -> Columns:
        """Return the rows of a (N,) mask."""
        texts = {name: column[mask].remove_unused_categories() for name, column in self.texts.items()}
        numbers = {name: column[mask] for name, column in self.numbers.items()}
        return Columns(texts, numbers, self.places.select_rows(mask), self.remarks)


def column_names(path: Path) -> list[str]:
    """Return the names of the columns of a csv, tsv, jsonl or parquet file; raises ``DataError``."""
    with _errors_named(path):
        return _NAMES[path.suffix.lower()](path)


def read_columns(path: Path, texts: Sequence[str], numbers: Sequence[str]) -> Columns:
    """Read the named columns of a table.

    Raises:
        DataError: no such file or column, a kind of file that is not known, no rows, a row with more or fewer cells
            than names, a column whose name stands twice, bytes or lists in cells, or a text where a number is expected.
    """
    wanted = list(dict.fromkeys([*texts, *numbers]))
    known = column_names(path)
    if not known:
        raise DataError("holds no rows", where=path.name)
    _check_names(path, wanted, known)
    with _errors_named(path):
        table = _READERS[path.suffix.lower()](path, list(dict.fromkeys(texts)), list(dict.fromkeys(numbers)))
    if not table.num_rows:
        raise DataError("holds no rows", where=path.name)
    places = Places(path)
    return Columns(
        {name: _read_categorical(table[name], name, path.name) for name in dict.fromkeys(texts)},
        {name: _read_floats(table[name], name, places) for name in dict.fromkeys(numbers)},
        places,
        _alike_columns(wanted, known),
    )


def from_codes(codes: np.ndarray, names: Any) -> pd.Categorical:
    """Return (N,) codes of distinct names as a categorical."""
    return pd.Categorical.from_codes(codes, categories=pd.Index(names))


def _check_names(path: Path, wanted: Sequence[str], known: Sequence[str]) -> None:
    for column in wanted:
        if column not in known:
            raise DataError(f"has no column {column!r}", where=path.name, remedy=_suggest_column(path, column, known))
        if known.count(column) > 1:
            raise DataError(
                f"has {known.count(column)} columns {column!r}", where=path.name, remedy="Rename all but one."
            )


def _suggest_column(path: Path, column: str, known: Sequence[str]) -> str:
    if len(known) == 1 and path.suffix.lower() in (".csv", ".tsv"):
        for mark, word in ((";", "semicolons"), ("\t", "tabs"), (",", "commas"), ("|", "bars")):
            if mark in known[0] and mark != separator_of(path):
                said = "commas" if separator_of(path) == "," else "tabs"
                return f"It seems to be separated by {word}; a {path.suffix.lower()} file is separated by {said}."
    return near(column, list(known)) or f"Its columns are {', '.join(known[:20])}."


def _alike_columns(wanted: Sequence[str], known: Sequence[str]) -> list[Remark]:
    """Return the remark that names columns called almost like one that is read; empty where there are none."""
    others = [name for name in known if name not in wanted]
    pairs = [
        (name, other_name) for name in wanted for other_name in others if normal_form(name) == normal_form(other_name)
    ]
    if not pairs:
        return []
    named = "; ".join(f"{quote_name(name)}, and not {quote_name(other_name)}" for name, other_name in pairs)
    return [
        Remark(
            id="alike_columns",
            title="Columns that differ only in spelling",
            value=len(pairs),
            unit="columns",
            n=len(known),
            description=f"Columns have almost the same name. These were read: {named}.",
        )
    ]


class _errors_named:
    """Turn what readers raise for a bad file into an error that names the file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __enter__(self) -> None:
        if os.path.isdir(self.path):  # of a name that no file can have it is false, too
            remedy = "Images in folders of classes are read with folder = ... in the place of manifest."
            raise DataError("is a folder; expected a table", where=self.path.name, remedy=remedy)
        if self.path.suffix.lower() not in _READERS:
            kinds = "csv, tsv, jsonl or parquet"
            raise DataError(f"unknown kind of table {self.path.suffix!r}; expected {kinds}", where=self.path.name)

    def __exit__(self, kind: type | None, error: BaseException | None, trace: object) -> None:
        if isinstance(error, FileNotFoundError):
            remedy = "Its path is relative to the config."
            raise DataError("no such file", where=self.path.name, remedy=remedy) from None
        if isinstance(error, UnicodeDecodeError):
            problem = f"line {_first_line_of_another_encoding(self.path)} is no UTF-8"
            raise DataError(problem, where=self.path.name, remedy="Save it as UTF-8.") from None
        if isinstance(error, (pa.ArrowException, ValueError, OSError, RecursionError)):
            said = getattr(error, "strerror", None) or (str(error).splitlines() or [type(error).__name__])[0]
            raise DataError(f"cannot be read: {said}", where=self.path.name) from None


def _first_line_of_another_encoding(path: Path) -> int:
    content = path.read_bytes()
    try:
        content.decode()
    except UnicodeDecodeError as error:
        return content.count(b"\n", 0, error.start) + 1
    return 1


def _parquet_names(path: Path) -> list[str]:
    return [str(name) for name in pyarrow.parquet.read_schema(path).names]


def _read_parquet(path: Path, texts: list[str], numbers: list[str]) -> pa.Table:
    return pyarrow.parquet.read_table(path, columns=[*texts, *numbers], read_dictionary=texts)


_NAMES: dict[str, Callable[[Path], list[str]]] = {
    **{".csv": delimited_names, ".tsv": delimited_names},
    **{".jsonl": json_names, ".parquet": _parquet_names},
}
_READERS = {".csv": read_delimited, ".tsv": read_delimited, ".jsonl": read_json, ".parquet": _read_parquet}


def _read_categorical(column: pa.ChunkedArray, name: str, source: str) -> pd.Categorical:
    """Return a column as codes of its distinct values, each read as it stands."""
    encoded = column if pa.types.is_dictionary(column.type) else _encode_values(column, name, source)
    whole = encoded.unify_dictionaries().combine_chunks()
    whole = whole.chunk(0) if isinstance(whole, pa.ChunkedArray) else whole
    values = _read_as_texts(whole.dictionary, name, source)
    codes = whole.indices.fill_null(-1).to_numpy(zero_copy_only=False)
    if len(kept := values.dropna().unique()) == len(values):
        return from_codes(codes, kept)
    renumbered = np.append(pd.Index(kept).get_indexer(values), -1)  # an empty cell is missing; the last one is code -1
    return from_codes(renumbered[codes], kept)


def _encode_values(column: pa.ChunkedArray, name: str, source: str) -> pa.ChunkedArray:
    kind = column.type
    if pa.types.is_nested(kind) or pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
        problem = f"column {name!r} holds {kind}; expected a text or a number in each cell"
        raise DataError(problem, where=source)
    if pa.types.is_null(kind):
        column = column.cast(pa.string())
    return pc.dictionary_encode(column)


def _read_as_texts(values: pa.Array, name: str, source: str) -> pd.Series:
    """Return (D,) distinct values as texts, None for an empty one."""
    if pa.types.is_integer(values.type):
        values = values.cast(pa.string())
    texts = pd.Series(values.to_pandas(), name=name)
    if not (pa.types.is_string(values.type) or pa.types.is_large_string(values.type)):
        return pd.Series([text_of(value, name, "", source) for value in texts.astype(object)], dtype=object)
    return texts.where(texts != "") if (texts == "").any() else texts


def _read_floats(column: pa.ChunkedArray, name: str, places: Places) -> np.ndarray:
    """Return a column as float64."""
    kind = column.type
    if pa.types.is_dictionary(kind):
        column, kind = column.cast(kind.value_type), kind.value_type
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return _parse_numbers(column, name, places)
    if not (
        pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind) or pa.types.is_null(kind)
    ):
        raise DataError(f"column {name!r} holds {kind}; expected numbers", where=places.source)
    values: np.ndarray = column.cast(pa.float64()).to_numpy()
    return values


def _parse_numbers(column: pa.ChunkedArray, name: str, places: Places) -> np.ndarray:
    """Return (N,) texts as numbers; one that is none stops the run, an empty one is NaN."""
    try:
        parsed: np.ndarray = pc.if_else(pc.equal(column, ""), None, column).cast(pa.float64()).to_numpy()
        return parsed
    except pa.ArrowInvalid:
        texts = column.to_pandas()
        numbers = pd.to_numeric(texts, errors="coerce")
        bad = (numbers.isna() & texts.notna() & (texts != "")).to_numpy(bool)
        if not bad.any():
            values: np.ndarray = numbers.to_numpy(np.float64)  # with blanks around them
            return values
        problem = f"column {name!r} holds {texts[int(bad.argmax())]!r} in {places.name_rows(bad)}; expected a number"
        raise DataError(problem, where=places.source) from None
