"""Tables of JSON: an object a line, or one array of objects."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa

from rft.errors import DataError

BLOCK = 50_000  # objects that are held at a time
HALF, NO_CHARACTER = re.compile("[\ud800-\udfff]"), "\uffff"  # which is refused in texts as well

Object = tuple[str, dict[str, object]]  # where it is, and what it holds


def json_names(path: Path) -> list[str]:
    """Return the keys of the first objects of a file, in their order; raises ``DataError``."""
    return list(dict.fromkeys(str(key) for _, row in islice(json_objects(path), BLOCK) for key in row))


def read_json(path: Path, texts: Sequence[str], numbers: Sequence[str]) -> pa.Table:
    """Return the named keys as columns of strings; null where there is nothing; raises ``DataError``."""
    names, blocks, rows = [*texts, *numbers], [], json_objects(path)
    while block := list(islice(rows, BLOCK)):
        held = {name: [text_of(row.get(name), name, place, path.name) for place, row in block] for name in names}
        blocks.append(pa.table({name: _to_strings(column) for name, column in held.items()}))
    return pa.concat_tables(blocks) if blocks else pa.table({name: [] for name in names})


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


def is_array(path: Path) -> bool:
    """Tell whether a file of JSON holds one array, by its first character."""
    with path.open(encoding="utf-8-sig") as stream:
        return next((line.lstrip()[0] for line in stream if line.strip()), "") == "["


def json_objects(path: Path) -> Iterator[Object]:
    """Yield the objects of a file, each with its place: ``line 7``, or ``row 7`` of an array.

    Lines end at newlines alone: a text may hold other characters that end a line, such as U+2028.

    Raises:
        DataError: no JSON, no object, or a key that stands twice; with the line.
    """
    for place, content in _read_elements(path):
        if not isinstance(content, dict):
            raise DataError(
                f"holds {type(content).__name__}; expected an object with a key a column",
                where=f"{path.name}, {place}",
            )
        yield place, content


def json_lines(path: Path) -> Iterator[int]:
    """Yield the line of each object, from 1 on, of a file with an object a line."""
    with path.open(encoding="utf-8-sig", newline="\n") as stream:
        yield from (number for number, line in enumerate(stream, 1) if line.strip())


def _read_elements(path: Path) -> Iterator[tuple[str, Any]]:
    if is_array(path):
        whole = _parse_json(path.read_text(encoding="utf-8-sig"), path.name, 1)
        yield from ((f"row {number}", content) for number, content in enumerate(whole, 1))
        return
    with path.open(encoding="utf-8-sig", newline="\n") as stream:
        for number, line in enumerate(stream, 1):
            if line.strip():
                yield f"line {number}", _parse_json(line.rstrip("\r\n"), path.name, number)


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
