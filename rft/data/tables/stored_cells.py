"""Cells that may be larger than memory, texts or files: kept on disk, and read one by one.

Those of a table are written to a temporary file that has no name, so that it ends with the process, however that ends;
those of an archive stay where they are. Memory holds where each cell begins and ends: 20 bytes a row.
"""

from __future__ import annotations

import os
import tempfile
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from rft.data.file_source import MAX_FILE_BYTES
from rft.data.tables.table_file import TableFile
from rft.errors import DataError, OutputError

PART = pa.struct([("start", pa.int64()), ("size", pa.int64())])  # of a file: a cell that is left where it is
EMPTY = -1  # the size of an empty cell


class HoldsParts(Protocol):
    """A file of which parts are read."""

    def read_part(self, start: int, size: int) -> bytes:
        """Return the bytes from a place on; threads may ask at once."""


@dataclass(frozen=True)
class NamedFile:
    """A file that is opened anew for each part, so that thousands of shards need no thousand open files."""

    path: Path

    def read_part(self, start: int, size: int) -> bytes:
        """Return the bytes from a place on; raises ``DataError`` where the file has become shorter."""
        with self.path.open("rb") as stream:
            stream.seek(start)
            content = stream.read(size)
        if len(content) < size:
            raise DataError("was written to, or cut short, while it was read", where=self.path.name)
        return content


@dataclass(frozen=True)
class TemporaryFile:
    """A file without a name; gone when nothing refers to it, and with the process."""

    stream: BinaryIO
    lock: threading.Lock = field(default_factory=threading.Lock)

    @classmethod
    def create(cls) -> TemporaryFile:
        """Return an empty one: in ``$TMPDIR``, else in /var/tmp, which is a disk where /tmp may be memory."""
        large = "/var/tmp" if "TMPDIR" not in os.environ and os.access("/var/tmp", os.W_OK) else None
        return cls(tempfile.TemporaryFile(dir=large, prefix="rft-"))

    def read_part(self, start: int, size: int) -> bytes:
        """Return the bytes from a place on."""
        with self.lock:
            self.stream.seek(start)
            return self.stream.read(size)


@dataclass(frozen=True)
class StoredCells:
    """The cells of one column.

    Attributes:
        files: that hold them.
        owners: (N,) which of the files holds a cell, int32.
        starts, sizes: (N,) where it begins and how many bytes it has, int64; -1 bytes where it is empty.
        paths: (N,) a path that stands beside the bytes, in the place of them where these are missing; None where
            there are no such.
        are_bytes: whether the cells are bytes, and not texts.
    """

    files: Sequence[HoldsParts]
    owners: np.ndarray
    starts: np.ndarray
    sizes: np.ndarray
    paths: Sequence[str | None] | None
    are_bytes: bool

    def __len__(self) -> int:
        return len(self.sizes)

    @property
    def in_archive(self) -> bool:
        """Whether the cells lie in archives, where the bytes of a text are a file of their own."""
        return all(isinstance(file, NamedFile) for file in self.files)

    @property
    def empty(self) -> np.ndarray:
        """(N,) whether there is nothing in a cell, neither content nor a path."""
        lacks: np.ndarray = self.sizes == EMPTY
        if self.paths is not None:
            lacks &= np.array([not path for path in self.paths], dtype=bool)
        return lacks

    def read_bytes(self, row: int) -> bytes:
        """Return what a cell holds, nothing of an empty one; raises ``DataError`` where it is too large."""
        if self.sizes[row] <= 0:
            return b""
        if self.sizes[row] > MAX_FILE_BYTES:
            raise DataError(f"has {self.sizes[row]:,} bytes; at most {MAX_FILE_BYTES:,} are read")
        file: HoldsParts = self.files[self.owners[row]]
        return file.read_part(int(self.starts[row]), int(self.sizes[row]))


class CellWriter:
    """Takes a column in, some rows at a time.

    Args:
        name: of the column.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self._spool: TemporaryFile | None = None
        self._files: list[HoldsParts] = []
        self._owners: list[np.ndarray] = []
        self._starts: list[np.ndarray] = []
        self._sizes: list[np.ndarray] = []
        self._paths: list[str | None] = []
        self._kind: tuple[str, str] | None = None  # of cells, and the file that they were first seen in

    def append(self, column: pa.ChunkedArray, file: TableFile) -> None:
        """Add the cells of a (N,) column of a file.

        Raises:
            DataError: other things than texts, numbers or bytes in the cells, or another kind than in a file before.
            OutputError: when the disk is full.
        """
        for chunk in (chunk for chunk in column.chunks if len(chunk)):
            self._check_kind(chunk.type, file)
            if chunk.type == PART:
                self._refer_to(chunk, file)
            else:
                self._store_contents(chunk)

    def finish(self) -> StoredCells:
        """Return what was added."""
        if self._spool is not None:
            self._spool.stream.flush()
        return StoredCells(
            self._files,
            np.concatenate([np.empty(0, np.int32), *self._owners]),
            np.concatenate([np.empty(0, np.int64), *self._starts]),
            np.concatenate([np.empty(0, np.int64), *self._sizes]),
            self._paths if any(self._paths) else None,
            are_bytes=self._kind is not None and self._kind[0] == "bytes",
        )

    def _check_kind(self, kind: pa.DataType, file: TableFile) -> None:
        named = _name_kind(kind)
        if named is None:
            expected = "a text, or the bytes of an image or a recording, in each cell"
            problem = f"column {self.name!r} holds {kind}; expected {expected}"
            raise DataError(problem, where=file.name)
        if named == "nothing":
            return
        before = self._kind or (named, file.name)
        if named != before[0]:
            raise DataError(f"column {self.name!r} holds {named}, and {before[0]} in {before[1]}", where=file.name)
        self._kind = before

    def _refer_to(self, chunk: pa.Array, file: TableFile) -> None:
        """Note where cells are in a file that they stay in."""
        holder = NamedFile(file.path)
        if not self._files or self._files[-1] != holder:
            self._files.append(holder)
        sizes = pc.fill_null(pc.struct_field(chunk, "size"), EMPTY)
        starts = pc.fill_null(pc.struct_field(chunk, "start"), 0)
        self._note_places(
            starts.to_numpy(zero_copy_only=False), sizes.to_numpy(zero_copy_only=False), [None] * len(chunk)
        )

    def _store_contents(self, chunk: pa.Array) -> None:
        """Write cells to the temporary file."""
        content, paths = _split_cells(chunk)
        lengths = pc.fill_null(pc.binary_length(content), EMPTY).to_numpy(zero_copy_only=False).astype(np.int64)
        if self._spool is None:
            self._spool = TemporaryFile.create()
            self._files.append(self._spool)
        begin = self._spool.stream.seek(0, os.SEEK_END)
        present = content.drop_null()
        try:
            self._spool.stream.write(b"".join(present.to_pylist()))
        except OSError as error:
            raise OutputError(
                f"the contents of column {self.name!r} cannot be kept on disk: {error.strerror}",
                remedy="Set TMPDIR to a folder with as much room as they take.",
            ) from None
        taken = np.maximum(lengths, 0)
        self._note_places(begin + np.cumsum(taken) - taken, lengths, paths)

    def _note_places(self, starts: np.ndarray, sizes: np.ndarray, paths: Sequence[str | None]) -> None:
        """Add (M,) places in the last file."""
        self._starts.append(starts.astype(np.int64))
        self._sizes.append(sizes.astype(np.int64))
        self._owners.append(np.full(len(sizes), len(self._files) - 1, np.int32))
        self._paths += paths


def _name_kind(kind: pa.DataType) -> str | None:
    """Return what cells of a kind hold, in words; None for what is no item."""
    if holds_bytes(kind):
        return "bytes"
    if pa.types.is_null(kind):
        return "nothing"
    return None if pa.types.is_nested(kind) else "texts"


def holds_bytes(kind: pa.DataType) -> bool:
    """Tell whether cells of a kind are bytes, or places of bytes in an archive, as images and recordings are."""
    return kind == PART or _is_binary(kind) or _holds_bytes(kind)


def _is_binary(kind: pa.DataType) -> bool:
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind))


def _holds_bytes(kind: pa.DataType) -> bool:
    """Tell whether cells are ``{bytes, path}``, as the library datasets writes images and recordings."""
    if not pa.types.is_struct(kind):
        return False
    place = kind.get_field_index("bytes")
    return place >= 0 and _is_binary(kind.field(place).type)


def _split_cells(chunk: pa.Array) -> tuple[pa.Array, Sequence[str | None]]:
    """Return the bytes of (N,) cells, and the path beside each."""
    if not pa.types.is_struct(chunk.type):
        texts = chunk if _is_binary(chunk.type) else _cast_to_texts(chunk)
        return texts.cast(pa.large_binary()), [None] * len(chunk)
    has_paths = chunk.type.get_field_index("path") >= 0
    paths = pc.struct_field(chunk, "path").to_pylist() if has_paths else [None] * len(chunk)
    content = pc.struct_field(chunk, "bytes").cast(pa.large_binary())
    # The path is needed where there are no bytes; elsewhere it is what the file was called once.
    present = content.is_valid().to_pylist()
    return content, [None if has_bytes else path for path, has_bytes in zip(paths, present, strict=True)]


def _cast_to_texts(chunk: pa.Array) -> pa.Array:
    """Return cells as texts, null for an empty one."""
    kind = chunk.type
    plain = chunk.dictionary_decode() if pa.types.is_dictionary(kind) else chunk
    if not (pa.types.is_string(plain.type) or pa.types.is_large_string(plain.type)):
        values = plain.cast(pa.string()) if pa.types.is_integer(plain.type) else None
        plain = (
            values
            if values is not None
            else pa.array([_write_as_text(value) for value in plain.to_pylist()], pa.string())
        )
    return pc.if_else(pc.equal(plain, ""), None, plain)


def _write_as_text(value: object) -> str | None:
    return None if value is None or value != value else str(value)
