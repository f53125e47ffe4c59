"""Shards of WebDataset: tar files with the parts of each example under one key (``0001.jpg``, ``0001.cls``).

A shard is a table of one row a key: a column for each suffix and, where there is a ``.json``, for each of its keys.
Nothing is unpacked: items are read where they lie in the archive, when they are asked for.
"""

from __future__ import annotations

import json
import os
import tarfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from pathlib import PurePosixPath
from typing import BinaryIO

import pyarrow as pa

from rft.config.item_files import FILE_KINDS, is_hidden
from rft.data.tables.kinds.json_rows import text_of
from rft.data.tables.stored_cells import PART
from rft.data.tables.table_file import LEFT_OUT, ColumnRequest, TableFile
from rft.errors import DataError

KEY = "__key__"  # the column with the names that parts share, as WebDataset calls it
JSON = "json"
ROWS = 10_000  # that are held at a time
NAMED_ROWS = 1_000  # of which the parts and the keys are the names of the columns
MAX_BYTES = 1 << 20  # of a label or of the facts about an example
PACK_ANEW = "Pack it anew, of plain files with relative names."
FETCH_ANEW = "Fetch or pack it anew."


@dataclass
class _Sample:
    """The parts of one example: suffix -> where its bytes begin in the archive, and how many there are."""

    key: str
    parts: dict[str, tuple[int, int]] = field(default_factory=dict)


def shard_names(file: TableFile) -> list[str]:
    """Return the key, the suffixes, and the keys of JSON of the first examples of a shard; raises ``DataError``."""
    names = [KEY]
    with _open_shard(file) as stream:
        for sample in islice(_read_samples(file, []), NAMED_ROWS):
            names += [suffix for suffix in sample.parts if suffix != JSON]
            names += _read_facts(file, stream, sample)
    return list(dict.fromkeys(names)) if len(names) > 1 else []


def shard_items(file: TableFile) -> list[str]:
    """Return the suffixes of the first examples that are those of images or recordings."""
    suffixes = {suffix for kind in FILE_KINDS.values() for suffix in kind.read}
    return [name for name in shard_names(file) if f".{name.lower()}" in suffixes]


def read_shard(file: TableFile, request: ColumnRequest) -> Iterator[pa.Table]:
    """Yield the columns that are asked for: contents as places in the archive, all others as strings.

    The last table has no rows, and in its metadata the names of files that are no part of an example.
    """
    with _open_shard(file) as stream:
        left_out: list[str] = []
        samples = _read_samples(file, left_out)
        while block := list(islice(samples, ROWS)):
            rows = [(sample, _read_facts(file, stream, sample)) for sample in block]
            columns: dict[str, pa.Array] = {}
            for name in request.names:
                if name in request.contents and any(name in sample.parts for sample in block):
                    columns[name] = pa.array([_find_part(sample, name) for sample in block], PART)
                    continue
                cells = [_read_cell(file, stream, *row, name) for row in rows]
                columns[name] = pa.array(cells, pa.string()) if any(cells) else pa.nulls(len(cells))
            yield pa.table(columns)
    yield pa.table({name: pa.nulls(0) for name in request.names}, metadata={LEFT_OUT: json.dumps(left_out)})


def _find_part(sample: _Sample, name: str) -> dict[str, int] | None:
    place = sample.parts.get(name)
    return place and {"start": place[0], "size": place[1]}


def _read_cell(
    file: TableFile, stream: BinaryIO, sample: _Sample, facts: Mapping[str, object], name: str
) -> str | None:
    if name == KEY:
        return sample.key
    if name in sample.parts:
        return _read_text(file, stream, sample, name).strip() or None
    return text_of(facts.get(name), name, sample.key, file.name)


def _read_facts(file: TableFile, stream: BinaryIO, sample: _Sample) -> dict[str, object]:
    """Return what the JSON of an example holds; raises ``DataError`` where it is no object."""
    if JSON not in sample.parts:
        return {}
    try:
        facts = json.loads(_read_text(file, stream, sample, JSON))
    except (ValueError, RecursionError):
        facts = None
    if not isinstance(facts, dict):
        raise DataError("holds no object of JSON", where=f"{file.name}, {sample.key}.{JSON}")
    if twice := sorted(facts.keys() & {KEY, *sample.parts}):
        raise DataError(
            f"has the key {twice[0]!r}, which is a suffix too",
            where=f"{file.name}, {sample.key}.{JSON}",
            remedy="Rename it: both would be one column.",
        )
    return facts


def _read_text(file: TableFile, stream: BinaryIO, sample: _Sample, suffix: str) -> str:
    start, size = sample.parts[suffix]
    place = f"{file.name}, {sample.key}.{suffix}"
    if size > MAX_BYTES:
        raise DataError(f"has {size:,} bytes, which is no label", where=place)
    stream.seek(start)
    try:
        return stream.read(size).decode()
    except UnicodeDecodeError:
        raise DataError("is no text in UTF-8", where=place) from None


def _open_shard(file: TableFile) -> BinaryIO:
    return file.path.open("rb")


def _read_samples(file: TableFile, left_out: list[str]) -> Iterator[_Sample]:
    """Yield the examples of an archive, whose parts follow each other; raises ``DataError``."""
    sample: _Sample | None = None
    seen: set[str] = set()
    for member in _read_members(file, left_out):
        path = PurePosixPath(member.name)
        stem, _, suffix = path.name.partition(".")
        key = (path.parent / stem).as_posix()
        if sample is None or key != sample.key:
            if sample is not None:
                yield sample
            if key in seen:
                raise DataError(
                    f"the parts of {key!r} do not follow each other",
                    where=file.name,
                    remedy="Sort the archive by name.",
                )
            seen.add(key)
            sample = _Sample(key)
        if suffix.lower() in sample.parts:
            raise DataError(f"holds {member.name!r} twice", where=file.name)
        sample.parts[suffix.lower()] = (member.offset_data, member.size)
    if sample is not None:
        yield sample


def _read_members(file: TableFile, left_out: list[str]) -> Iterator[tarfile.TarInfo]:
    """Yield the files of an archive that have a suffix; names of others, and of hidden ones, go to ``left_out``.

    Raises:
        DataError: a link, a name that leads out of it, or what is no archive, damaged, or was cut short.
    """
    n_read = 0
    try:
        with tarfile.open(file.path, "r:") as archive:
            while (member := archive.next()) is not None:
                archive.members = []  # type: ignore[attr-defined]  # which would hold all of them otherwise
                n_read += 1
                path = PurePosixPath(member.name)
                if path.is_absolute() or ".." in path.parts:
                    raise DataError(f"{member.name!r} leads out of it", where=file.name, remedy=PACK_ANEW)
                if member.isdir():
                    continue
                if not member.isreg() or member.issparse():
                    raise DataError(f"{member.name!r} is no plain file", where=file.name, remedy=PACK_ANEW)
                if any(map(is_hidden, path.parts)) or "." not in path.name:
                    left_out.append(member.name)
                    continue
                yield member
            end = archive.offset
    except tarfile.TarError as error:
        if n_read:
            raise DataError(f"is damaged or was cut short: {error}", where=file.name, remedy=FETCH_ANEW) from None
        raise DataError(f"is no archive of tar: {error}", where=file.name) from None
    _check_end(file, end)


def _check_end(file: TableFile, end: int) -> None:
    """Raise ``DataError`` where the files of an archive are followed by anything but the zeros that end one.

    tarfile takes a damaged header, and the end of the file, for the end of the archive.
    """
    with file.path.open("rb") as stream:
        size = stream.seek(0, os.SEEK_END)
        if size - end < tarfile.BLOCKSIZE:
            raise DataError("was cut short: what ends an archive is missing", where=file.name, remedy=FETCH_ANEW)
        stream.seek(end)
        while block := stream.read(MAX_BYTES):
            if block.count(0) < len(block):
                raise DataError(
                    f"is damaged after byte {end:,}, or another archive follows there",
                    where=file.name,
                    remedy="Fetch or pack it anew; of archives, each needs a file of its own.",
                )
