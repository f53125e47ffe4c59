"""What lies in a folder of images or recordings, on disk or in a zip file, by the names of folders and files.

A zip file is never unpacked: a file is read out of it when it is asked for.
"""

from __future__ import annotations

import os
import stat
import threading
import zipfile
import zlib
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath, PureWindowsPath

from rft.config.item_files import FILE_KINDS, FileKind, is_hidden
from rft.data.file_source import MAX_FILE_BYTES
from rft.errors import DataError

MAX_NAMES = 2_000_000  # in a zip file
MAX_DEPTH = 100  # of folders in each other
KINDS_OF_PACKING = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)
ENCRYPTED = 1  # the bit of a member's flags (APPNOTE.TXT of PKWARE, 4.4.4)


@dataclass(frozen=True)
class Folder:
    """A folder with what lies in it, by name.

    Attributes:
        kind: what its examples are.
        path: where it is; within a zip file as if that were a folder.
        items: files that may be examples.
        others: other files.
        folders: folders in it.
        hidden: how many examples lie in each hidden or system folder in it.
    """

    kind: FileKind
    path: Path
    items: tuple[Path, ...]
    others: tuple[Path, ...]
    folders: tuple[Folder, ...]
    hidden: Mapping[str, int]

    @property
    def name(self) -> str:
        """What it is called."""
        return self.path.name

    def walk_folders(self) -> Iterator[Folder]:
        """Yield this folder and all within it."""
        yield self
        for folder in self.folders:
            yield from folder.walk_folders()

    @property
    def holds_items(self) -> bool:
        """Whether there are examples in it, at any depth."""
        return any(folder.items for folder in self.walk_folders())

    @property
    def holds_folders_of_items(self) -> bool:
        """Whether there are folders in it that hold examples."""
        return any(folder.holds_items for folder in self.folders)

    def require_one_kind(self, source: str) -> None:
        """Raise ``DataError`` where examples of another kind lie in it as well; ``source`` is what it is called."""
        n = sum(len(folder.items) for folder in self.walk_folders())
        names = [file.name for folder in self.walk_folders() for file in folder.others]
        for kind in FILE_KINDS.values():
            if kind is not self.kind and (others := sum(map(kind.is_example, names))):
                raise DataError(
                    f"holds {self.kind.count_words(n)} and {kind.count_words(others)}",
                    where=source,
                    remedy="An example is either: move the ones away, or name those that are meant in a table, with "
                    f"data.{self.kind.modality} or data.{kind.modality} for their column.",
                )


def list_folder(path: Path, kind: FileKind, above: tuple[str, ...] = ()) -> Folder:
    """Return a folder with all within it; links are followed, but not in circles.

    Args:
        path: the folder.
        kind: what its examples are.
        above: real paths of the folders around it.

    Raises:
        DataError: when it cannot be opened.
    """
    try:
        entries = sorted(os.scandir(path), key=lambda entry: entry.name)
    except OSError as error:
        raise DataError(f"cannot be opened: {error.strerror}", where=f"{path.parent.name}/{path.name}") from None
    above = (*above, os.path.realpath(path))
    items, others, folders = [], [], []
    hidden: Counter[str] = Counter()
    for entry in entries:
        place = path / entry.name
        is_folder = entry.is_dir()
        if is_hidden(entry.name):
            hidden[entry.name] += _count_items(place, kind) if is_folder else 0
        elif is_folder:
            folders += [] if os.path.realpath(place) in above else [list_folder(place, kind, above)]
        elif kind.is_example(entry.name) and (entry.is_file() or entry.is_symlink()):
            items.append(place)  # a link to nowhere too: it is missed when it is read
        else:
            others.append(place)
    return Folder(kind, path, tuple(items), tuple(others), tuple(folders), +hidden)


def _count_items(folder: Path, kind: FileKind) -> int:
    names = (Path(name) for _, _, files in os.walk(folder) for name in files if not name.startswith("."))
    return sum(name.suffix.lower() in kind.read for name in names)


@dataclass(frozen=True)
class ZippedFiles:
    """The files of a zip file, read one at a time.

    Attributes:
        archive: the open file.
        members: its files.
    """

    archive: zipfile.ZipFile
    members: Sequence[zipfile.ZipInfo]
    lock: threading.Lock = field(default_factory=threading.Lock)

    def read_bytes(self, row: int) -> bytes:
        """Return the bytes of a file; raises ``DataError`` where they are damaged."""
        member = self.members[row]
        try:
            with self.lock:
                return self.archive.read(member)
        except (zipfile.BadZipFile, zlib.error, EOFError, OSError, NotImplementedError) as error:
            raise DataError(
                f"cannot be unpacked: {error}", where=f"{Path(self.archive.filename or '').name}/{member.filename}"
            ) from None


def open_zip(path: Path) -> ZippedFiles:
    """Return the files of a zip file.

    Raises:
        DataError: no zip file; too many names or too large an example; a name that leads out of it, or stands twice; a
            link; encryption.
    """
    try:
        archive = zipfile.ZipFile(path)
    except (zipfile.BadZipFile, OSError) as error:
        raise DataError(f"is no zip file: {error}", where=path.name) from None
    members = [member for member in archive.infolist() if not member.is_dir()]
    if len(members) > MAX_NAMES:
        raise DataError(f"holds {len(members):,} files; at most {MAX_NAMES:,} are read", where=path.name)
    names: set[str] = set()
    for member in members:
        problem = _describe_danger(member) or ("stands twice" if member.filename in names else "")
        if problem:
            raise DataError(f"{member.filename!r} {problem}", where=path.name, remedy="Unpack it, or pack it anew.")
        names.add(member.filename)
    return ZippedFiles(archive, members)


def _describe_danger(member: zipfile.ZipInfo) -> str:
    """Return in words why a file of a zip file is not read; empty where it is."""
    path = PurePosixPath(member.filename)
    is_of_windows = "\\" in member.orig_filename or PureWindowsPath(member.filename).drive
    if path.is_absolute() or ".." in path.parts or is_of_windows or not path.parts:
        return "leads out of it"
    if len(path.parts) > MAX_DEPTH:
        return "lies too deep"
    if member.flag_bits & ENCRYPTED:
        return "is encrypted"
    if stat.S_ISLNK(member.external_attr >> 16):
        return "is a link"
    if member.compress_type not in KINDS_OF_PACKING:
        return "is packed in a way that is not read"
    if member.file_size > MAX_FILE_BYTES and any(kind.is_example(path.name) for kind in FILE_KINDS.values()):
        return f"has {member.file_size:,} bytes; at most {MAX_FILE_BYTES:,} are read"
    return ""


def list_zip(path: Path, names: Sequence[str], kind: FileKind) -> Folder:
    """Return what a zip file holds as a folder of its path.

    Args:
        path: of the zip file.
        names: of the files in it.
        kind: what its examples are.
    """
    files: dict[Path, list[Path]] = defaultdict(list)
    folders: dict[Path, set[Path]] = defaultdict(set)
    hidden: dict[Path, Counter[str]] = defaultdict(Counter)
    for name in names:
        parts = PurePosixPath(name).parts
        around = next((depth for depth, part in enumerate(parts) if is_hidden(part)), len(parts))
        if around < len(parts):
            is_example = around < len(parts) - 1 and kind.is_example(parts[-1])
            hidden[path.joinpath(*parts[:around])][parts[around]] += is_example
            continue
        files[path.joinpath(*parts[:-1])].append(path.joinpath(*parts))
        for depth in range(len(parts) - 1):
            folders[path.joinpath(*parts[:depth])].add(path.joinpath(*parts[: depth + 1]))

    def build(place: Path) -> Folder:
        inside = sorted(files[place])
        return Folder(
            kind,
            place,
            tuple(file for file in inside if kind.is_example(file.name)),
            tuple(file for file in inside if not kind.is_example(file.name)),
            tuple(map(build, sorted(folders[place]))),
            +hidden[place],
        )

    return build(path)
