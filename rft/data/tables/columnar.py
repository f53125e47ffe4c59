"""Columns of a table of any size: texts as codes, numbers as float64, and no Python object a cell.

Texts are read as they stand; only an empty cell is missing. Lines of JSON are the exception to what is said of
objects: they are parsed one by one, a block at a time.
"""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from pandas.api.types import union_categoricals

from rft.data.remarks import Remark, join_names
from rft.data.tables.column_remarks import alike_columns, describe_left_out_parts
from rft.data.tables.formats import format_of
from rft.data.tables.kinds.json_rows import text_of
from rft.data.tables.places import Places
from rft.data.tables.separators import layout_remarks, settle_separator, suggest_separator
from rft.data.tables.stored_cells import CellWriter, StoredCells
from rft.data.tables.table_file import LEFT_OUT, ColumnRequest, TableFile
from rft.errors import DataError, near

SHOWN_BYTES = 1000  # of a file, by which its encoding is guessed for a message
NO_CLASS = "-1"  # what the library datasets writes where an example has no class
DECIMAL_COMMA = r"\s*[-+]?\d*,\d+([eE][-+]?\d+)?\s*"


@dataclass(frozen=True)
class Columns:
    """Columns of a table, (N,) each.

    Attributes:
        texts: column -> categories and codes; the code of an empty cell is -1.
        numbers: column -> float64; NaN where the cell is empty or holds one.
        contents: column -> its cells, which stay on disk.
        places: where the rows stand in the files.
        remarks: what was noticed about the names of the columns, and what was assumed of the files.
        whole: whether these are all rows; otherwise the first ones.
    """

    texts: Mapping[str, pd.Categorical]
    numbers: Mapping[str, np.ndarray]
    contents: Mapping[str, StoredCells]
    places: Places
    remarks: Sequence[Remark] = ()
    whole: bool = True

    def select_rows(self, mask: np.ndarray) -> Columns:
        """Return texts and numbers of the rows of a (N,) mask."""
        texts = {name: column[mask].remove_unused_categories() for name, column in self.texts.items()}
        numbers = {name: column[mask] for name, column in self.numbers.items()}
        return Columns(texts, numbers, {}, self.places.select_rows(mask), self.remarks)


def column_names(file: TableFile) -> list[str]:
    """Return the names of the columns of a file, with those that the folders around it are; raises ``DataError``."""
    with errors_named(file):
        stored = format_of(file).list_names(file)
    if twice := [name for name in file.partitions if name in stored]:
        raise DataError(
            f"has a column {twice[0]!r}, and lies in a folder {twice[0]}=... that says it, too",
            where=file.name,
            remedy="Rename or remove one of them: which is right, nothing shows.",
        )
    return [*stored, *file.partitions] if stored else []


def list_bytes_columns(file: TableFile) -> list[str]:
    """Return the columns of a file whose cells hold bytes, as those of images or sounds do; raises ``DataError``."""
    with errors_named(file):
        return list(format_of(file).list_items(file))


def read_columns(files: Sequence[TableFile], request: ColumnRequest) -> Columns:
    """Read the columns that are asked for, one file after the other.

    Raises:
        DataError: no such file or column, a kind of file that is not known, no rows, a row with more or fewer cells
            than names, a column whose name stands twice, bytes or lists in cells, a text where a number is expected, or
            a file with other columns than the first.
    """
    settled = [settle_separator(file, request.names, column_names) for file in files]
    known = [column_names(file) for file in settled]
    for file, names in zip(settled, known, strict=True):
        _check_names(file, request.names, names)
        _check_alike(file, names, settled[0], known[0])
    writers = {name: CellWriter(name) for name in request.contents}
    parts = [_read_file(file, request, writers) for file in settled]
    tables = [part.table for part in parts]
    if request.contents:
        pa.default_memory_pool().release_unused()  # what the blocks took
    ends = np.cumsum([table.num_rows for table in tables])
    places = Places(tuple(settled), ends)
    if not ends[-1]:
        raise DataError("holds no rows", where=places.source)
    _check_kinds(settled, tables)
    _check_sentences(settled, tables, request.sentences)
    starts = [int(end) - table.num_rows for end, table in zip(ends, tables, strict=True)]
    class_names = [format_of(file).list_class_names(file) for file in settled]
    texts = {
        name: [
            _read_labels(table[name], name, file, names.get(name), keep_empty=name in request.sentences)
            for table, file, names in zip(tables, settled, class_names, strict=True)
        ]
        for name in request.texts
    }
    numbers = {
        name: [_read_floats(table[name], name, places, start) for table, start in zip(tables, starts, strict=True)]
        for name in request.numbers
    }
    left_out = describe_left_out_parts(settled, [part.left_out for part in parts])
    return Columns(
        {name: join_categoricals(parts) for name, parts in texts.items()},
        {name: np.concatenate(parts) for name, parts in numbers.items()},
        {name: writer.finish() for name, writer in writers.items()},
        places,
        [*layout_remarks(settled), *alike_columns(request.names, known[0]), *left_out],
        all(part.end_reached for part in parts),
    )


@dataclass(frozen=True)
class _FileRows:
    """The rows of one file.

    Attributes:
        table: the columns that memory holds.
        end_reached: whether these are all rows.
        left_out: names of what the file holds and is no part of a row.
    """

    table: pa.Table
    end_reached: bool
    left_out: Sequence[str]


def _read_file(file: TableFile, request: ColumnRequest, writers: Mapping[str, CellWriter]) -> _FileRows:
    """Return the rows of a file; writers get the contents."""
    held = list(dict.fromkeys([*request.texts, *request.numbers]))
    blocks, n_rows, end_reached = [], 0, True
    left_out: list[str] = []
    with errors_named(file):
        for stored in format_of(file).read_blocks(file, request.without(file.partitions)):
            block = _add_partitions(stored, file, request.names)
            if request.enough_rows is not None and n_rows >= request.enough_rows:
                end_reached = False
                break
            for name, writer in writers.items():
                writer.append(block[name], file)
            n_rows += block.num_rows
            left_out += json.loads((block.schema.metadata or {}).get(LEFT_OUT, b"[]"))
            blocks.append(_encode_texts(block.select(held), request.texts, file))
    if not blocks:
        blocks.append(pa.table({name: pa.array([], pa.string()) for name in held}))
    return _FileRows(pa.concat_tables(blocks, promote_options="default"), end_reached, left_out)


def _add_partitions(block: pa.Table, file: TableFile, wanted: Sequence[str]) -> pa.Table:
    """Return some rows of a file with the columns that the folders around it are."""
    codes = np.zeros(block.num_rows, np.int32)
    for name in (name for name in wanted if name in file.partitions):
        values = pa.array([file.partitions[name]], pa.string())
        block = block.append_column(name, pa.DictionaryArray.from_arrays(pa.array(codes), values))
    return block


def _encode_texts(block: pa.Table, texts: Sequence[str], file: TableFile) -> pa.Table:
    """Return some rows with their texts as codes, so that those of a large file take little."""
    for name in texts:
        if not pa.types.is_dictionary(block[name].type):
            block = block.set_column(block.column_names.index(name), name, _encode_values(block[name], name, file.name))
    return block


def join_categoricals(parts: Sequence[pd.Categorical]) -> pd.Categorical:
    """Return the values of several files, one after the other."""
    if len(parts) == 1:
        return parts[0]
    return union_categoricals([part.set_categories(part.categories.astype(object)) for part in parts])


def from_codes(codes: np.ndarray, names: Any) -> pd.Categorical:
    """Return (N,) codes of distinct names as a categorical."""
    return pd.Categorical.from_codes(codes, categories=pd.Index(names))


def _check_names(file: TableFile, wanted: Sequence[str], known: Sequence[str]) -> None:
    if not known:
        raise DataError("holds no rows", where=file.name)
    for column in wanted:
        if column not in known:
            remedy = suggest_separator(file, known) or near(column, list(known))
            raise DataError(
                f"has no column {column!r}",
                where=file.name,
                remedy=remedy or f"Its columns are {', '.join(known[:20])}.",
            )
        if known.count(column) > 1:
            raise DataError(
                f"has {known.count(column)} columns {column!r}", where=file.name, remedy="Rename all but one."
            )


def _check_alike(file: TableFile, names: Sequence[str], first: TableFile, expected: Sequence[str]) -> None:
    """Raise ``DataError`` for a file whose columns are not those of the first one of its table."""
    lacking, more = (
        [name for name in one if name not in other] for one, other in ((expected, names), (names, expected))
    )
    if lacking or more:
        said = [f"lacks {quote_names(lacking)}"] * bool(lacking) + [f"has {quote_names(more)} besides"] * bool(more)
        raise DataError(
            f"{' and '.join(said)}: its columns are not those of {first.name}",
            where=file.name,
            remedy="All files of a table need the same columns.",
        )


def quote_names(names: Sequence[str]) -> str:
    """Return some names of columns in words."""
    return join_names([repr(name) for name in names], 5)


def _check_kinds(files: Sequence[TableFile], tables: Sequence[pa.Table]) -> None:
    """Raise ``DataError`` where a column has other kinds of values in one file than in another: 1 is not 1.0."""
    for name in tables[0].column_names:
        first: tuple[str, TableFile] | None = None
        for file, table in zip(files, tables, strict=True):
            kind = _name_kind(table[name].type)
            if kind is None or table[name].null_count == len(table):
                continue
            first = first or (kind, file)
            if kind != first[0]:
                raise DataError(
                    f"column {name!r} holds {kind}, and {first[0]} in {first[1].name}",
                    where=file.name,
                    remedy="Write it the same way in all files of the table.",
                )


def _check_sentences(files: Sequence[TableFile], tables: Sequence[pa.Table], names: Sequence[str]) -> None:
    """Raise ``DataError`` where a column of sentences holds something else."""
    for file, table in zip(files, tables, strict=True):
        for name in names:
            kind = _name_kind(table[name].type)
            if kind not in (None, TEXTS) and table[name].null_count < len(table):
                raise DataError(f"column {name!r} holds {kind}; expected a text in each cell", where=file.name)


def _name_kind(kind: pa.DataType) -> str | None:
    """Return what a column holds, in words; None for nothing at all."""
    value = kind.value_type if pa.types.is_dictionary(kind) else kind
    for is_kind, word in _KINDS.items():
        if is_kind(value):
            return word
    return None if pa.types.is_null(value) else str(value)


TEXTS = "texts"
_KINDS: dict[Callable[[pa.DataType], bool], str] = {
    pa.types.is_integer: "whole numbers",
    pa.types.is_floating: "decimal numbers",
    pa.types.is_string: TEXTS,
    pa.types.is_large_string: TEXTS,
}


class errors_named:
    """Turn what readers raise for a bad file into an error that names the file."""

    def __init__(self, file: TableFile) -> None:
        self.file = file

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type | None, error: BaseException | None, trace: object) -> None:
        name = self.file.name
        if isinstance(error, FileNotFoundError):
            remedy = "Its path is relative to the config."
            raise DataError("no such file", where=name, remedy=remedy) from None
        if isinstance(error, UnicodeError):
            raise _describe_encoding(self.file) from None
        if isinstance(error, (pa.ArrowException, ValueError, OSError, EOFError, RecursionError)):
            said = getattr(error, "strerror", None) or (str(error).splitlines() or [type(error).__name__])[0]
            raise DataError(f"cannot be read: {said}", where=name) from None


def _describe_encoding(file: TableFile) -> DataError:
    """Return the error that says from which line on a text is not in its encoding."""
    if file.encoding != "utf-8":
        given = "data.encoding" if file.layout.encoding else "the mark at its beginning"
        return DataError(f"is no {file.encoding}, as {given} says", where=file.name, remedy="Save it as UTF-8.")
    with file.open_bytes() as stream:
        begin = stream.read(SHOWN_BYTES)
    if b"\0" in begin:  # of two bytes a character, those of Latin letters are 0 in the first or in the second
        order = "le" if begin.index(b"\0") % 2 else "be"
        return DataError(
            "is no UTF-8: it looks like UTF-16",
            where=file.name,
            remedy=f'Save it as UTF-8, or set data.encoding = "utf-16-{order}".',
        )
    with file.open_bytes() as stream:
        line = next((number for number, line in enumerate(io.BufferedReader(stream), 1) if not _is_utf8(line)), 1)
    return DataError(
        f"line {line} is no UTF-8",
        where=file.name,
        remedy='Save it as UTF-8, or say what it is: data.encoding = "cp1252" if it comes from Windows in Western '
        "Europe or the Americas.",
    )


def _is_utf8(line: bytes) -> bool:
    try:
        line.decode()
    except UnicodeDecodeError:
        return False
    return True


def _read_labels(
    column: pa.ChunkedArray, name: str, file: TableFile, names: Sequence[str] | None, *, keep_empty: bool
) -> pd.Categorical:
    """Return a column as codes of its distinct values; of numbers that the file gives names, these names."""
    values = _read_categorical(column, name, file.name, keep_empty=keep_empty)
    if names is None:
        return values
    known = {str(number): class_name for number, class_name in enumerate(names)}
    unknown = [value for value in values.categories if value not in known and value != NO_CLASS]
    if unknown:
        raise DataError(
            f"column {name!r} holds {unknown[0]!r}, and the file names {len(names)} classes, from 0 on", where=file.name
        )
    renamed = [known.get(value) for value in values.categories]
    codes = np.append(pd.Index(names).get_indexer(pd.Index(renamed)), -1)
    return from_codes(codes[values.codes], names).remove_unused_categories()


def _read_categorical(column: pa.ChunkedArray, name: str, source: str, *, keep_empty: bool) -> pd.Categorical:
    """Return a column as codes of its distinct values, each read as it stands; an empty one is missing unless kept."""
    encoded = column if pa.types.is_dictionary(column.type) else _encode_values(column, name, source)
    whole = encoded.unify_dictionaries().combine_chunks()
    whole = whole.chunk(0) if isinstance(whole, pa.ChunkedArray) else whole
    values = _read_as_texts(whole.dictionary, name, source, keep_empty=keep_empty)
    codes = whole.indices.cast(pa.int32()).fill_null(-1).to_numpy(zero_copy_only=False)
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


def _read_as_texts(values: pa.Array, name: str, source: str, *, keep_empty: bool) -> pd.Series:
    """Return (D,) distinct values as texts, None for an empty one that is not kept."""
    if pa.types.is_integer(values.type):
        values = values.cast(pa.string())
    texts = pd.Series(values.to_pandas(), name=name)
    if not (pa.types.is_string(values.type) or pa.types.is_large_string(values.type)):
        return pd.Series([text_of(value, name, "", source) for value in texts.astype(object)], dtype=object)
    return texts.where(texts != "") if not keep_empty and (texts == "").any() else texts


def _read_floats(column: pa.ChunkedArray, name: str, places: Places, start: int) -> np.ndarray:
    """Return (N,) a column of one file as float64; its rows begin at ``start`` of the table."""
    kind = column.type
    if pa.types.is_dictionary(kind):
        column, kind = column.cast(kind.value_type), kind.value_type
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return _parse_numbers(column, name, places, start)
    if not (
        pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind) or pa.types.is_null(kind)
    ):
        raise DataError(f"column {name!r} holds {kind}; expected numbers", where=places.source)
    values: np.ndarray = column.cast(pa.float64()).to_numpy()
    return values


def _parse_numbers(column: pa.ChunkedArray, name: str, places: Places, start: int) -> np.ndarray:
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
        first = texts[int(bad.argmax())]
        rows = places.name_rows(np.append(np.zeros(start, bool), bad))
        raise DataError(
            f"column {name!r} holds {first!r} in {rows}; expected a number",
            where=places.source,
            remedy="Write numbers with a point: 0.5, not 0,5." if re.fullmatch(DECIMAL_COMMA, first) else None,
        ) from None
