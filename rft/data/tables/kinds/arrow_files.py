"""Tables in the formats of Arrow and Parquet, and the names of classes that the library datasets leaves in them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.parquet

from rft.data.tables.stored_cells import holds_bytes
from rft.data.tables.table_file import ColumnRequest, TableFile

BUFFER = 1 << 20  # bytes that are read of a column at a time
FEATURES = b"huggingface"  # the key under which the library datasets describes columns in a schema


def parquet_names(file: TableFile) -> list[str]:
    """Return the names of the columns."""
    return [str(name) for name in pyarrow.parquet.read_schema(file.path).names]


def parquet_class_names(file: TableFile) -> dict[str, Sequence[str]]:
    """Return column -> names of its whole numbers, from the schema."""
    return read_class_names(pyarrow.parquet.read_schema(file.path))


def parquet_items(file: TableFile) -> list[str]:
    """Return the columns whose cells hold bytes, from the schema."""
    return _columns_of_bytes(pyarrow.parquet.read_schema(file.path))


def read_parquet(file: TableFile, request: ColumnRequest) -> Iterator[pa.Table]:
    """Yield the columns that are asked for, texts as dictionaries."""
    if not request.contents and request.enough_rows is None:  # quicker, and codes take little
        coded = list(request.texts)  # and no column for each folder name=value around it: those are read elsewhere
        yield pyarrow.parquet.read_table(file.path, columns=request.names, read_dictionary=coded, partitioning=None)
        return
    flat = {field.name for field in pyarrow.parquet.read_schema(file.path) if not pa.types.is_nested(field.type)}
    coded = [name for name in request.texts if name in flat and name not in request.contents]
    with pyarrow.parquet.ParquetFile(file.path, read_dictionary=coded, buffer_size=BUFFER) as whole:
        if not whole.metadata.num_rows:
            yield whole.schema_arrow.empty_table().select(request.names)
        for group in range(whole.num_row_groups):  # one at a time: of several, all are read ahead
            batches = whole.iter_batches(request.rows_at_once, columns=request.names, row_groups=[group])
            yield from (pa.Table.from_batches([batch]) for batch in batches)


def arrow_names(file: TableFile) -> list[str]:
    """Return the names of the columns."""
    schema, _ = _open_arrow(file)
    return [str(name) for name in schema.names]


def arrow_class_names(file: TableFile) -> dict[str, Sequence[str]]:
    """Return column -> names of its whole numbers, from the schema."""
    return read_class_names(_open_arrow(file)[0])


def arrow_items(file: TableFile) -> list[str]:
    """Return the columns whose cells hold bytes, from the schema."""
    return _columns_of_bytes(_open_arrow(file)[0])


def read_arrow(file: TableFile, request: ColumnRequest) -> Iterator[pa.Table]:
    """Yield the columns that are asked for, of a file or a stream of Arrow; the file is mapped into memory."""
    schema, batches = _open_arrow(file)
    yield schema.empty_table().select(request.names)
    for batch in batches:
        table = pa.Table.from_batches([batch]).select(request.names)
        for start in range(0, table.num_rows, request.rows_at_once):
            yield table.slice(start, request.rows_at_once)


def _open_arrow(file: TableFile) -> tuple[pa.Schema, Iterator[pa.RecordBatch]]:
    source = pa.memory_map(str(file.path))
    try:
        whole = pa.ipc.open_file(source)
    except pa.ArrowInvalid:  # no footer: a stream, as the library datasets writes it
        source.seek(0)
        stream = pa.ipc.open_stream(source)
        return stream.schema, iter(stream)
    return whole.schema, (whole.get_batch(number) for number in range(whole.num_record_batches))


def _columns_of_bytes(schema: pa.Schema) -> list[str]:
    return [field.name for field in schema if holds_bytes(field.type)]


def read_class_names(schema: pa.Schema) -> dict[str, Sequence[str]]:
    """Return column -> names of its classes by their number, of columns that are a ``ClassLabel`` of datasets.

    What else the library keeps there, and what is no JSON, is left aside: it changes nothing about the values.
    """
    try:
        features = json.loads((schema.metadata or {}).get(FEATURES, b"{}")).get("info", {}).get("features", {})
    except (ValueError, AttributeError):
        return {}
    return {name: names for name, feature in dict(features).items() if (names := _class_names(feature))}


def _class_names(feature: Any) -> Sequence[str] | None:
    if not isinstance(feature, Mapping) or feature.get("_type") != "ClassLabel":
        return None
    names = feature.get("names")
    return names if isinstance(names, list) and all(isinstance(name, str) for name in names) else None
