"""Columns of a table of millions of rows: texts as codes, numbers as float64, and no Python object a cell.

Texts are read as they stand, as in a manifest; only an empty cell is missing. Lines of JSON are the exception to what
is said of objects: they are parsed one by one, a block at a time.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet

from rft.data.manifest import cells
from rft.errors import DataError, near

BLOCK = 50_000  # lines of JSON that are parsed at a time
NAMED_ROWS = 5


@dataclass(frozen=True)
class Columns:
    """Columns of one file, (N,) each.

    Attributes:
        texts: column -> categories and codes; the code of an empty cell is -1.
        numbers: column -> float64; NaN where the cell is empty or holds one.
    """

    texts: Mapping[str, pd.Categorical]
    numbers: Mapping[str, np.ndarray]

    def where(self, mask: np.ndarray) -> Columns:
        """Return the rows of a (N,) mask."""
        texts = {name: column[mask].remove_unused_categories() for name, column in self.texts.items()}
        return Columns(texts, {name: column[mask] for name, column in self.numbers.items()})


def column_names(path: Path) -> list[str]:
    """Return the names of the columns of a csv, tsv, jsonl or parquet file; raises ``DataError``."""
    with _naming(path):
        if path.suffix.lower() == ".parquet":
            return [str(name) for name in pyarrow.parquet.read_schema(path).names]
        if path.suffix.lower() == ".jsonl":
            first = next(_blocks(path), [])
            return list(dict.fromkeys(str(key) for row in first for key in row))
        with pyarrow.csv.open_csv(path, parse_options=_separated(path)) as reader:
            return [str(name) for name in reader.schema.names]


def read_columns(path: Path, texts: Sequence[str], numbers: Sequence[str]) -> Columns:
    """Read the named columns of a table.

    Raises:
        DataError: no such file or column, a kind of file that is not known, no rows, a column whose name stands twice,
            bytes or lists in cells, or a text where a number is expected.
    """
    wanted = list(dict.fromkeys([*texts, *numbers]))
    _check_names(path, wanted)
    with _naming(path):
        table = _READERS[path.suffix.lower()](path, list(dict.fromkeys(texts)), list(dict.fromkeys(numbers)))
    if not table.num_rows:
        raise DataError("holds no rows", where=path.name)
    return Columns(
        {name: _categorical(table[name], name, path.name) for name in dict.fromkeys(texts)},
        {name: _floats(table[name], name, path.name) for name in dict.fromkeys(numbers)},
    )


def named_rows(mask: np.ndarray) -> str:
    """Return the rows of a (N,) mask in words, from 1 on: ``row 7``, or ``3 rows (2, 5, 9)`` with the first of them."""
    rows = np.flatnonzero(mask)
    few = ", ".join(str(row + 1) for row in rows[:NAMED_ROWS])
    return f"row {few}" if len(rows) == 1 else f"{len(rows):,} rows ({few}{', ...' * (len(rows) > NAMED_ROWS)})"


def coded(codes: np.ndarray, names: Any) -> pd.Categorical:
    """Return (N,) codes of distinct names as a categorical."""
    return pd.Categorical.from_codes(codes, categories=pd.Index(names))


def _check_names(path: Path, wanted: Sequence[str]) -> None:
    known = column_names(path)
    for column in wanted:
        if column not in known:
            remedy = near(column, known) or f"Its columns are {', '.join(known[:20])}."
            raise DataError(f"has no column {column!r}", where=path.name, remedy=remedy)
        if known.count(column) > 1:
            raise DataError(
                f"has {known.count(column)} columns {column!r}", where=path.name, remedy="Rename all but one."
            )


class _naming:
    """Turn what readers raise for a bad file into an error that names the file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __enter__(self) -> None:
        if self.path.suffix.lower() not in _READERS:
            kinds = "csv, tsv, jsonl or parquet"
            raise DataError(f"unknown kind of table {self.path.suffix!r}; expected {kinds}", where=self.path.name)

    def __exit__(self, kind: type | None, error: BaseException | None, trace: object) -> None:
        if isinstance(error, FileNotFoundError):
            remedy = "Its path is relative to the config."
            raise DataError("no such file", where=self.path.name, remedy=remedy) from None
        if isinstance(error, pa.ArrowInvalid) and str(error).startswith("Empty CSV file"):
            raise DataError("is empty", where=self.path.name) from None
        if isinstance(error, (pa.ArrowException, ValueError, OSError, RecursionError)):
            said = (str(error).splitlines() or [type(error).__name__])[0]
            encoding = "UTF8" in said or isinstance(error, UnicodeDecodeError)
            remedied = "Save it as UTF-8." if encoding else None
            raise DataError(f"cannot be read: {said}", where=self.path.name, remedy=remedied) from None


def _read_parquet(path: Path, texts: list[str], numbers: list[str]) -> pa.Table:
    return pyarrow.parquet.read_table(path, columns=[*texts, *numbers], read_dictionary=texts)


def _separated(path: Path) -> pyarrow.csv.ParseOptions:
    return pyarrow.csv.ParseOptions(delimiter="\t" if path.suffix.lower() == ".tsv" else ",", newlines_in_values=True)


def _read_csv(path: Path, texts: list[str], numbers: list[str]) -> pa.Table:
    kinds = {name: pa.dictionary(pa.int32(), pa.string()) for name in texts}
    kinds |= {name: pa.string() for name in numbers}  # so that what is no number can be told by its row
    conversion = pyarrow.csv.ConvertOptions(
        column_types=kinds, include_columns=list(kinds), null_values=[""], strings_can_be_null=True
    )
    return pyarrow.csv.read_csv(path, parse_options=_separated(path), convert_options=conversion)


def _read_jsonl(path: Path, texts: list[str], numbers: list[str]) -> pa.Table:
    blocks = []
    for rows in _blocks(path):
        held = {
            name: cells(pd.Series([row.get(name) for row in rows], dtype=object, name=name), path.name)
            for name in [*texts, *numbers]
        }
        blocks.append(pa.table({name: pa.array(column, pa.string()) for name, column in held.items()}))
    return pa.concat_tables(blocks) if blocks else pa.table({name: [] for name in [*texts, *numbers]})


def _blocks(path: Path) -> Iterator[list[dict[str, Any]]]:
    """Yield the objects of a file of JSON lines, a block at a time. Lines end at newlines alone, as in a manifest."""
    with path.open(encoding="utf-8-sig", newline="\n") as stream:
        lines = (line for line in stream if line.strip())
        while block := [json.loads(line) for line in islice(lines, BLOCK)]:
            if strange := next((row for row in block if not isinstance(row, dict)), None):
                raise ValueError(f"a line holds {type(strange).__name__}; expected an object with a key a column")
            yield block


_READERS = {".csv": _read_csv, ".tsv": _read_csv, ".jsonl": _read_jsonl, ".parquet": _read_parquet}


def _categorical(column: pa.ChunkedArray, name: str, source: str) -> pd.Categorical:
    """Return a column as codes of its distinct values, each read as it stands."""
    encoded = column if pa.types.is_dictionary(column.type) else _encoded(column, name, source)
    whole = encoded.unify_dictionaries().combine_chunks()
    whole = whole.chunk(0) if isinstance(whole, pa.ChunkedArray) else whole
    values = _as_they_stand(whole.dictionary, name, source)
    codes = whole.indices.fill_null(-1).to_numpy(zero_copy_only=False)
    if len(kept := values.dropna().unique()) == len(values):
        return coded(codes, kept)
    renumbered = np.append(pd.Index(kept).get_indexer(values), -1)  # an empty cell is missing; the last one is code -1
    return coded(renumbered[codes], kept)


def _encoded(column: pa.ChunkedArray, name: str, source: str) -> pa.ChunkedArray:
    kind = column.type
    if pa.types.is_nested(kind) or pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
        what = f"column {name!r} holds {kind}; expected a text or a number in each cell"
        raise DataError(what, where=source)
    if pa.types.is_null(kind):
        column = column.cast(pa.string())
    return pc.dictionary_encode(column)


def _as_they_stand(values: pa.Array, name: str, source: str) -> pd.Series:
    """Return distinct values as texts, None for an empty one."""
    if pa.types.is_integer(values.type):
        values = values.cast(pa.string())
    texts = pd.Series(values.to_pandas(), name=name)
    if not (pa.types.is_string(values.type) or pa.types.is_large_string(values.type)):
        return cells(texts, source)
    return texts.where(texts != "") if (texts == "").any() else texts


def _floats(column: pa.ChunkedArray, name: str, source: str) -> np.ndarray:
    """Return a column as float64."""
    kind = column.type
    if pa.types.is_dictionary(kind):
        column, kind = column.cast(kind.value_type), kind.value_type
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return _parsed(column, name, source)
    if not (
        pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind) or pa.types.is_null(kind)
    ):
        raise DataError(f"column {name!r} holds {kind}; expected numbers", where=source)
    return column.cast(pa.float64()).to_numpy()


def _parsed(column: pa.ChunkedArray, name: str, source: str) -> np.ndarray:
    """Return texts as numbers; one that is none stops the run, an empty one is NaN."""
    try:
        return pc.if_else(pc.equal(column, ""), None, column).cast(pa.float64()).to_numpy()
    except pa.ArrowInvalid:
        texts = column.to_pandas()
        numbers = pd.to_numeric(texts, errors="coerce")
        bad = (numbers.isna() & texts.notna() & (texts != "")).to_numpy(bool)
        if not bad.any():
            return numbers.to_numpy(np.float64)  # with blanks around them
        what = f"column {name!r} holds {texts[int(bad.argmax())]!r} in {named_rows(bad)}; expected a number"
        raise DataError(what, where=source) from None
