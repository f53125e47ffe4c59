"""The kinds of files that tables come in; a new one is a ``TableFormat`` in ``FORMATS``."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import count

import pyarrow as pa

from rft.data.tables.in_memory import held_names, read_held
from rft.data.tables.kinds.arrow_files import (
    arrow_class_names,
    arrow_items,
    arrow_names,
    parquet_class_names,
    parquet_items,
    parquet_names,
    read_arrow,
    read_parquet,
)
from rft.data.tables.kinds.delimited import delimited_lines, delimited_names, read_delimited
from rft.data.tables.kinds.excel import excel_names, excel_rows, read_excel
from rft.data.tables.kinds.json_rows import json_names, json_places, read_json
from rft.data.tables.kinds.tar_shards import read_shard, shard_items, shard_names
from rft.data.tables.table_file import COMPRESSIONS, ColumnRequest, TableFile
from rft.errors import DataError
from rft.records import IN_MEMORY

Numbered = tuple[str, Iterator[int]]  # ``line`` or ``row``, and the number of each row


@dataclass(frozen=True)
class TableFormat:
    """A kind of file that holds rows.

    Attributes:
        suffixes: by which it is known.
        list_names: gives the names of its columns, doubled ones too.
        read_blocks: gives the columns that are asked for, some rows at a time.
        number_rows: says where each row stands.
        list_class_names: gives column -> names of its whole numbers, where the file brings such names along.
        list_items: gives the columns whose cells hold bytes, as those of images and recordings do.
        is_text: whether it may be compressed as a whole and has an encoding.
        is_delimited: whether it has a separator.
    """

    suffixes: tuple[str, ...]
    list_names: Callable[[TableFile], list[str]]
    read_blocks: Callable[[TableFile, ColumnRequest], Iterator[pa.Table]]
    number_rows: Callable[[TableFile], Numbered] = lambda file: ("row", count(1))
    list_class_names: Callable[[TableFile], Mapping[str, Sequence[str]]] = lambda file: {}
    list_items: Callable[[TableFile], Sequence[str]] = lambda file: ()
    is_text: bool = False
    is_delimited: bool = False


_ALL = (
    TableFormat(
        (".csv", ".tsv"),
        delimited_names,
        read_delimited,
        lambda file: ("line", delimited_lines(file)),
        is_text=True,
        is_delimited=True,
    ),
    TableFormat((".jsonl", ".ndjson", ".json"), json_names, read_json, json_places, is_text=True),
    TableFormat(
        (".parquet",), parquet_names, read_parquet, list_class_names=parquet_class_names, list_items=parquet_items
    ),
    TableFormat(
        (".arrow", ".feather"), arrow_names, read_arrow, list_class_names=arrow_class_names, list_items=arrow_items
    ),
    TableFormat((".xlsx",), excel_names, read_excel, lambda file: ("row", excel_rows(file))),
    TableFormat((IN_MEMORY,), held_names, read_held),
    TableFormat((".tar",), shard_names, read_shard, list_items=shard_items),
)
FORMATS = {suffix: kind for kind in _ALL for suffix in kind.suffixes}
KINDS = "csv, tsv, jsonl, ndjson, json (each also as .gz, .bz2 or .zst), parquet, arrow, feather, xlsx or tar"
# Kinds of files that people hold tables in and that are not read, and what to do.
_REMEDIES = {
    ".xls": "Save it as .xlsx or .csv.",
    ".ods": "Save it as .xlsx or .csv.",
    ".txt": "If it is a table, name it .csv or .tsv; data.separator says what parts its cells.",
    ".zip": "Unpack a table first; a zip file of images or recordings in class folders is named with data.folder.",
    ".tgz": "A compressed archive cannot be read in parts: uncompress it to .tar.",
    ".pkl": "Pickled files can run code and are never read: write the table as parquet.",
    ".pickle": "Pickled files can run code and are never read: write the table as parquet.",
}


def format_of(file: TableFile) -> TableFormat:
    """Return the kind of a file by its suffix; raises ``DataError`` for one that is not known, and for a folder."""
    if file.is_folder:
        raise DataError(
            "is a folder, where a table is expected",
            where=file.name,
            remedy="Name the table in it, a pattern such as part-*.parquet, or with data.folder a folder of images or "
            "recordings.",
        )
    kind = FORMATS.get(file.suffix)
    if kind is None:
        raise DataError(
            f"unknown kind of table {file.suffix!r}; expected {KINDS}",
            where=file.name,
            remedy=_REMEDIES.get(file.suffix),
        )
    if file.compression and not kind.is_text:
        raise DataError(
            f"is a {file.suffix} file that is compressed as a whole, which is read of texts alone",
            where=file.name,
            remedy=f"Uncompress it: {', '.join(COMPRESSIONS)} are read of csv, tsv and json.",
        )
    _refuse_idle_keys(file, kind)
    return kind


def _refuse_idle_keys(file: TableFile, kind: TableFormat) -> None:
    """Raise ``DataError`` where the config says of a file what it does not have."""
    idle = {
        "separator": file.layout.separator is not None and not kind.is_delimited,
        "encoding": file.layout.encoding is not None and not kind.is_text,
    }
    for key in (key for key, has_no_effect in idle.items() if has_no_effect):
        raise DataError(
            f"has no effect: {file.name} has no {key} of its own", where=f"data.{key}", remedy=f"Remove data.{key}."
        )
