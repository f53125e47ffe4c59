"""Where the file of an example is: on disk, at a URL, or within another file such as a table or an archive."""

from __future__ import annotations

import hashlib
import io
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from rft.errors import DataError
from rft.runtime.remote.files import RemoteFile

MAX_FILE_BYTES = 1 << 29  # of an example within another file: it is read as a whole


class HoldsBytes(Protocol):
    """What holds the bytes of several files."""

    def read_bytes(self, row: int) -> bytes:
        """Return those of one of them; threads may ask at once."""


@dataclass(frozen=True)
class EmbeddedFile:
    """A file within another one: in a cell of a table, or in an archive.

    Attributes:
        name: where it is, in words.
        holder: the bytes of this and other files.
        row: which of them it is.
    """

    name: str
    holder: HoldsBytes = field(compare=False, repr=False)
    row: int

    def read_bytes(self) -> bytes:
        """Return the bytes of the file."""
        return self.holder.read_bytes(self.row)


FileSource = Path | EmbeddedFile | RemoteFile


def short_path(source: FileSource) -> str:
    """Return the file and the folder it is in, enough to find it and no more than may stand in a report."""
    return f"{source.parent.name}/{source.name}" if isinstance(source, Path) else source.name


def open_source(source: FileSource) -> io.BufferedReader | io.BytesIO:
    """Return a stream of its bytes, which are not read at once where it is a file of its own."""
    return source.open("rb") if isinstance(source, Path) else io.BytesIO(source.read_bytes())


def hash_source(source: FileSource) -> str:
    """Return the sha256 of its bytes, as hex."""
    with closing(open_source(source)) as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def absent_file(source: FileSource, one: str) -> DataError:
    """Return the error for a file that is not there; ``one`` is what it would be, such as ``image``."""
    return DataError(
        f"no such {one}", where=short_path(source), remedy=f"Paths of {one}s are relative to their manifest."
    )
