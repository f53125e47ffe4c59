"""Files that survive a kill at any instant: flushed before they count, replaced whole, locked by the system."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from rft.errors import BusyError, OutputError

OWNER_ONLY_FILE, OWNER_ONLY_FOLDER = 0o600, 0o700


def make_folder(folder: Path) -> None:
    """Make a folder, and those above it, where there is none; only its owner may read it."""
    with clear_errors(folder):
        if not folder.is_dir():
            folder.mkdir(mode=OWNER_ONLY_FOLDER, parents=True, exist_ok=True)
            sync_folder(folder.parent)


def sync_folder(folder: Path) -> None:
    """Flush the entries of a folder to the disk, where the system has this notion: new files, and renamed ones."""
    if os.name != "posix":
        return
    with clear_errors(folder):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def replace_file(path: Path, content: bytes) -> None:
    """Put a whole file in the place of another one. Until its folder is flushed, a power cut may bring back the old.

    One process at a time may do so in a folder.
    """
    beside = path.with_name(".new")
    with clear_errors(path):
        with open(beside, "wb", opener=_owner_only) as file:
            _write_flushed(file, content)
        beside.replace(path)


def write_from(path: Path, position: int, content: bytes) -> None:
    """Let a file end with ``content``, which begins at ``position``; it stands on the disk when this returns.

    What stood behind the position is dropped. A file that is new may be lost until its folder is flushed.
    """
    with clear_errors(path), open(path, "r+b", opener=_owner_only) as file:
        file.truncate(position)
        file.seek(position)
        _write_flushed(file, content)


def overwrite_in_place(path: Path, content: bytes) -> None:
    """Put ``content`` in the place of another of the same length; no kill leaves half of it if it is a short one.

    It is written to the disk in the system's own time: until then a power cut brings back the former one.
    """
    with clear_errors(path), open(path, "r+b", buffering=0, opener=_owner_only) as file:
        file.write(content)


@contextmanager
def hold_lock(path: Path, *, patience: float = 0.0) -> Iterator[None]:
    """Hold the lock of a file, which is made where it is not there; the system frees it when the process ends.

    Args:
        path: the file.
        patience: seconds to wait for another process.

    Raises:
        BusyError: another process holds the lock.
        OutputError: the file cannot be locked.
    """
    with clear_errors(path):
        file = open(path, "r+b", opener=_owner_only)  # noqa: SIM115 (errors of the caller's block are not about this file)
    with file:
        _acquire_lock(file, path, patience)
        yield


@contextmanager
def clear_errors(path: Path) -> Iterator[None]:
    """Turn an error of the system into one that says which file it is about and what to do."""
    try:
        yield
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        problem = "the disk is full" if full else f"cannot be used ({error.strerror or error})"
        remedy = "Make room there, or name" if full else "Name"
        remedy += " a folder that can be written with privacy.ledger, or RFT_STATE."
        raise OutputError(problem, where=str(path), remedy=remedy) from error


def _acquire_lock(file: IO[bytes], path: Path, patience: float) -> None:
    try:
        import fcntl
    except ImportError as error:
        remedy = "Run on Linux or macOS, or leave data.population out: spending is then not recorded."
        raise OutputError("this system has no locks that end with a process", where=str(path), remedy=remedy) from error
    deadline = time.monotonic() + patience
    while True:
        try:
            with clear_errors(path):
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except OutputError as error:
            if not isinstance(error.__cause__, BlockingIOError):
                raise
            if time.monotonic() >= deadline:
                remedy = "Wait until it has finished (--wait SECONDS): two at a time could spend the same budget twice."
                problem = "the ledger is in use by another training"
                raise BusyError(problem, where=str(path.parent), remedy=remedy) from None
        time.sleep(0.05)


def _write_flushed(file: IO[bytes], content: bytes) -> None:
    file.write(content)
    file.flush()
    os.fsync(file.fileno())


def _owner_only(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_CREAT, OWNER_ONLY_FILE)
