"""Tables of JSON: an object a line, or one array of objects."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from itertools import count, islice
from typing import Any, TextIO

import pandas as pd
import pyarrow as pa

from rft.data.tables.table_file import ColumnRequest, TableFile
from rft.errors import DataError

NAMED_ROWS = 50_000  # of which the keys are the names of the columns
HALF, NO_CHARACTER = re.compile("[\ud800-\udfff]"), "\uffff"  # which is refused in texts as well

Object = tuple[str, dict[str, object]]  # where it is, and what it holds


def json_names(file: TableFile) -> list[str]:
    """Return the keys of the first objects of a file, in their order; raises ``DataError``."""
    return list(dict.fromkeys(str(key) for _, row in islice(json_objects(file), NAMED_ROWS) for key in row))


def read_json(file: TableFile, request: ColumnRequest) -> Iterator[pa.Table]:
    """Yield the keys that are asked for as columns of strings; null where there is nothing; raises ``DataError``."""
    names, rows = request.names, json_objects(file)
    while block := list(islice(rows, request.rows_at_once)):
        held = {
            name: [_read_cell(row.get(name), name, place, file.name, name in request.sentences) for place, row in block]
            for name in names
        }
        yield pa.table({name: _to_strings(column) for name, column in held.items()})


def _read_cell(value: Any, name: str, place: str, source: str, is_sentence: bool) -> str | None:
    """Return a cell as ``text_of`` does; of a sentence, which may be empty, anything but a text is refused."""
    if is_sentence and isinstance(value, str):
        return value
    if is_sentence and isinstance(value, int | float) and not pd.isna(value):
        problem = f"column {name!r} holds {type(value).__name__}; expected a text in each cell"
        raise DataError(problem, where=f"{source}, {place}")
    return text_of(value, name, place, source)


def _to_strings(cells: list[str | None]) -> pa.Array:
    try:
        return pa.array(cells, pa.string())
    except UnicodeEncodeError:  # JSON can escape half of a pair, which is no character
        return pa.array([cell and HALF.sub(NO_CHARACTER, cell) for cell in cells], pa.string())


def text_of(value: Any, name: str, place: str, source: str) -> str | None:
    """Return a cell as a string, or None where it is empty; raises ``DataError`` for bytes and what has parts."""
    if not pd.api.types.is_scalar(value) or isinstance(value, bytes):
        raise DataError(
            f"column {name!r} holds {type(value).__name__}; expected a text or a number in each cell",
            where=f"{source}, {place}" if place else source,
        )
    return None if pd.isna(value) or value == "" else str(value)


def is_array(file: TableFile) -> bool:
    """Tell whether a file of JSON holds one array, by its first character."""
    with file.open_text(None) as stream:
        return next((line.lstrip()[0] for line in stream if line.strip()), "") == "["


def json_objects(file: TableFile) -> Iterator[Object]:
    """Yield the objects of a file, each with its place: ``line 7``, or ``row 7`` of an array.

    Lines end at newlines alone: a text may hold other characters that end a line, such as U+2028.

    Raises:
        DataError: no JSON, no object, or a key that stands twice; with the line.
    """
    for place, content in _read_elements(file):
        if not isinstance(content, dict):
            raise DataError(
                f"holds {type(content).__name__}; expected an object with a key a column",
                where=f"{file.name}, {place}",
            )
        yield place, content


def json_places(file: TableFile) -> tuple[str, Iterator[int]]:
    """Return what rows are counted in, and the number of each: its line, or which element of an array it is."""
    return ("row", count(1)) if is_array(file) else ("line", _json_lines(file))


def _json_lines(file: TableFile) -> Iterator[int]:
    with file.open_text("\n") as stream:
        yield from (number for number, line in enumerate(stream, 1) if line.strip())


def _read_elements(file: TableFile) -> Iterator[tuple[str, Any]]:
    if is_array(file):
        with file.open_text(None) as stream:
            whole = _parse_json(stream.read(), file.name, 1)
        yield from ((f"row {number}", content) for number, content in enumerate(whole, 1))
        return
    with file.open_text("\n") as stream:
        numbered = ((number, line) for number, line in enumerate(stream, 1) if line.strip())
        for row, (number, line) in enumerate(numbered):
            if row == 0:
                _refuse_one_object(line, stream, file)
            yield f"line {number}", _parse_json(line.rstrip("\r\n"), file.name, number)


def _refuse_one_object(first: str, rest: TextIO, file: TableFile) -> None:
    """Raise ``DataError`` for a file that holds one object with all rows in it, from the first line on."""
    try:
        content, whole = json.loads(first), False
    except (ValueError, RecursionError):
        if first.strip() not in ("{", '{"'):
            return
        content, whole = _parse_json(first + rest.read(), file.name, 1), True
    if not isinstance(content, dict):
        return
    layout = _name_layout(content)
    if layout or whole:
        raise DataError(
            f"holds one object{layout and f', {layout}'}; expected a list of objects, or an object a line",
            where=file.name,
            remedy='With pandas, write it with to_json(..., orient="records").',
        )


def _name_layout(content: dict[str, Any]) -> str:
    """Return in words how one object holds a table; empty where it does not."""
    if {"columns", "data"} <= content.keys():
        return 'as pandas writes a table with orient="split"'
    if {"schema", "data"} <= content.keys():
        return 'as pandas writes a table with orient="table"'
    if len(content) > 1 and all(isinstance(column, dict) for column in content.values()):
        return "with an object for each column or row, as pandas writes a table by itself"
    lists = [key for key, rows in content.items() if isinstance(rows, list) and rows and isinstance(rows[0], dict)]
    return f"with the rows within its key {lists[0]!r}" if lists else ""


def _parse_json(text: str, source: str, first: int) -> Any:
    """Return what a text of JSON holds that begins in a line of a file; raises ``DataError`` with the line."""
    try:
        return json.loads(text, object_pairs_hook=_without_doubles)
    except json.JSONDecodeError as error:
        line = first + error.lineno - 1
        raise DataError(f"line {line} is no JSON: {error.msg}", where=source) from None
    except (ValueError, RecursionError) as error:
        raise DataError(f"line {first} cannot be read: {error}", where=source) from None


def _without_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content = dict(pairs)
    if len(content) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the key {twice!r} stands twice in one object")
    return content
