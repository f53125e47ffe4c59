"""The files of a table: what messages call them, and how the bytes of a text become UTF-8."""

from __future__ import annotations

import codecs
import io
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TextIO

import pyarrow as pa

from rft.errors import ConfigError
from rft.runtime.remote.files import RemoteFile
from rft.runtime.remote.urls import Url, parse_url

COMPRESSIONS = {".gz": "gzip", ".bz2": "bz2", ".zst": "zstd"}
LEFT_OUT = b"rft.left_out"  # in the metadata of what is read: names, as JSON, of what a file holds and is no row of it
SEPARATORS = {".csv": ",", ".tsv": "\t"}  # unless a file says otherwise
# Marks that a file may begin with, and the encoding that each stands for; that of UTF-32 begins like that of UTF-16.
_MARKS = {
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}


@dataclass(frozen=True)
class TextLayout:
    """How tables of text are written, as far as the config says it.

    Attributes:
        separator: what parts cells; None: what the suffix says, or what the file shows.
        encoding: None: what a mark at the beginning says, otherwise UTF-8.
        assumed: whether the separator was found in the file, and not said by the config.
    """

    separator: str | None = None
    encoding: str | None = None
    assumed: bool = False


@dataclass(frozen=True)
class TableFile:
    """One file of a table.

    Attributes:
        path: where it is.
        name: what messages call it.
        split: the split that its rows are in, where the config or a folder says it.
        layout: how it is written.
        origin: the URL that ``path`` is a copy of; None where it is the file itself.
        root: what paths in its cells are relative to; None: the folder that it is in.
        partitions: column -> the value of all of its rows, which the folders around it say; None for no value.
    """

    path: Path
    name: str
    split: str | None = None
    layout: TextLayout = field(default=TextLayout(), compare=False)
    origin: Url | None = None
    root: Path | Url | None = field(default=None, compare=False)
    partitions: Mapping[str, str | None] = field(default_factory=dict, compare=False)

    @classmethod
    def from_path(cls, path: Path) -> TableFile:
        """Return a file that is called by its name alone."""
        return cls(path, path.name)

    @property
    def place(self) -> Path | Url:
        """Where the file is, by which it can be told from others."""
        return self.path.resolve() if self.origin is None else self.origin

    def locate_item(self, name: str) -> Path | RemoteFile:
        """Return the file that a cell names.

        Raises:
            ConfigError: a cell names a URL, or a path, that is not on the store that the config names. A table is data,
                and data must not decide what is read from this machine or asked of a network.
        """
        root = self.root or (self.path.parent if self.origin is None else self.origin.parent)
        try:
            if isinstance(root, Url):
                return RemoteFile(root.locate(name))
            if parse_url(name) is not None:
                raise ValueError("names a URL, and the config names no store for such files")
        except ValueError as error:
            raise ConfigError(
                f"a cell that names a file: {error}",
                where=self.name,
                remedy="Name the folder of the files with data.root, such as s3://bucket/photos.",
            ) from None
        return root / name

    @property
    def is_folder(self) -> bool:
        """Whether a folder lies where the file should be."""
        return self.path.is_dir()

    @property
    def suffix(self) -> str:
        """The suffix that says the kind of table, in lower case: ``.csv`` of ``d.CSV.gz``."""
        suffixes = [suffix.lower() for suffix in self.path.suffixes] or [""]
        return suffixes[-2] if len(suffixes) > 1 and self.compression else suffixes[-1]

    @property
    def compression(self) -> str | None:
        """How the whole file is compressed, by its last suffix."""
        return COMPRESSIONS.get(self.path.suffix.lower())

    @property
    def separator(self) -> str:
        """What parts the cells of a line."""
        return self.layout.separator or SEPARATORS.get(self.suffix, ",")

    @cached_property
    def encoding(self) -> str:
        """What the bytes of a text are: as the config says, as a mark at the beginning says, otherwise UTF-8."""
        return self.layout.encoding or self.marked_encoding or "utf-8"

    @cached_property
    def marked_encoding(self) -> str | None:
        """The encoding that a mark at the beginning stands for, where that is not UTF-8."""
        with self._open_plain() as stream:
            begin = stream.read(4)
        return next((encoding for mark, encoding in _MARKS.items() if begin.startswith(mark)), None)

    def open_bytes(self) -> pa.NativeFile:
        """Return the text as a stream of UTF-8 bytes, uncompressed; raises ``OSError``."""
        stream, encoding = self._open_plain(), codecs.lookup(self.encoding).name
        if encoding in ("utf-8", "utf-8-sig"):  # a mark of UTF-8 is left to those who read
            return stream
        return pa.transcoding_input_stream(stream, encoding, "utf-8")

    def open_text(self, newline: str | None) -> TextIO:
        """Return the text; ``newline`` as in ``open``; raises ``OSError``, and ``UnicodeDecodeError`` when read."""
        return io.TextIOWrapper(self.open_bytes(), encoding="utf-8-sig", newline=newline)

    def _open_plain(self) -> pa.NativeFile:
        return pa.input_stream(str(self.path), compression=self.compression)


@dataclass(frozen=True)
class ColumnRequest:
    """Columns by name, each once.

    Attributes:
        texts: of few distinct values: labels, groups, units.
        numbers: of numbers; readers of text give them as they stand, so that what is no number can be told by its row.
        sentences: of ``texts``, those in which each cell is a text: a number is refused, and where the file tells an
            empty text from no cell, it is one.
        contents: of the items themselves, which may be larger than memory: given as they are, some rows at a time.
        enough_rows: of each file, after which it is not read on; None: all are read.
    """

    texts: Sequence[str]
    numbers: Sequence[str] = ()
    sentences: Sequence[str] = ()
    contents: Sequence[str] = ()
    enough_rows: int | None = None

    @property
    def rows_at_once(self) -> int:
        """How many rows are held at a time: few where they hold contents, each of which may be an image."""
        return 256 if self.contents else 50_000

    @property
    def names(self) -> list[str]:
        """All columns, each once."""
        return list(dict.fromkeys([*self.texts, *self.numbers, *self.contents]))

    def without(self, names: Collection[str]) -> ColumnRequest:
        """Return the request for all columns but some."""
        if not names:
            return self

        def keep(columns: Sequence[str]) -> list[str]:
            return [name for name in columns if name not in names]

        return replace(
            self,
            texts=keep(self.texts),
            numbers=keep(self.numbers),
            sentences=keep(self.sentences),
            contents=keep(self.contents),
        )


def name_source(files: Sequence[TableFile]) -> str:
    """Return what messages call a table: its file, or the first and the number of the others."""
    if len(files) == 1:
        return files[0].name
    return f"{files[0].name} and {len(files) - 1} other{'s' * (len(files) > 2)}"
