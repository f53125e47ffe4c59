"""Files that are replaced whole or not at all, and flushed before they count; errors that say what to do."""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

from rft.errors import OutputError

OWNER_ONLY = 0o700  # predictions, images and keys are personal data
GROUP_TOO = 0o750  # whoever is in the group of the folder may read what is shared in it, and nobody else


def replace_file(file: Path, text: str) -> None:
    """Write a text as UTF-8 in the place of a file (see ``replace_bytes``)."""
    replace_bytes(file, text.encode("utf-8"))


def replace_bytes(file: Path, content: bytes) -> None:
    """Write beside, flush to the disk, rename; only the owner may read what is new."""
    handle, name = tempfile.mkstemp(prefix=f".{file.name}.", dir=file.parent)  # mode 0600
    beside = Path(name)
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        beside.replace(file)
    finally:
        beside.unlink(missing_ok=True)
    sync_folder(file.parent)


def sync_tree(folder: Path, shared: Collection[str] = ()) -> None:
    """Flush every file to the disk, and close files and folders to other users, whatever the umask is.

    Args:
        folder: what to flush.
        shared: names of the files in it that its group may read.
    """
    for place, _, names in os.walk(folder):
        for name in names:
            file = Path(place, name)
            file.chmod(0o640 if name in shared and file.parent == folder else 0o600)
            with file.open("r+b") as stream:
                os.fsync(stream.fileno())
        Path(place).chmod(GROUP_TOO if shared and Path(place) == folder else OWNER_ONLY)
        sync_folder(Path(place))


def make_parents(folder: Path, *, shared: bool) -> None:
    """Make the folders above ``folder`` that are not there; those that lead to what is shared let its group pass."""
    missing = [parent for parent in folder.parents if not parent.exists()]
    folder.parent.mkdir(parents=True, exist_ok=True)
    if shared:
        for parent in missing:
            parent.chmod(GROUP_TOO)


def sync_folder(folder: Path) -> None:
    """Flush a folder's entries to the disk, where the system has this notion."""
    if os.name != "posix":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def clear_errors(place: Path, option: str = "--out") -> Iterator[None]:
    """Turn an error of the system into an ``OutputError``; ``option`` is what names another folder than ``place``."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            remedy = f"Free some space, or choose a folder on another disk with {option}."
            raise OutputError("the disk is full", where=str(place), remedy=remedy) from error
        problem = f"cannot be written ({error.strerror or error})"
        raise OutputError(problem, where=str(place), remedy=f"Choose another folder with {option}.") from error
