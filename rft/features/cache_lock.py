"""Who uses a folder of the cache: locks of the system, which end with the process that holds them, kill -9 included.

Whoever reads or adds shards holds a shared lock; whoever removes them an exclusive one. The file of a lock is never
removed: a process that waits for it would else hold the lock of a file that nobody finds any more. When it was last
written says when the folder was last used.
"""

from __future__ import annotations

import errno
import os
import weakref
from pathlib import Path

from rft.errors import OutputError

NOT_WRITABLE = (errno.EACCES, errno.EPERM, errno.EROFS)


class FolderLock:
    """A lock that is held until ``release``, or until nothing refers to it any more."""

    def __init__(self, descriptor: int) -> None:
        self.release = weakref.finalize(self, os.close, descriptor)


def lock_file(root: Path, key: str) -> Path:
    """Return the file whose lock stands for the features of a key in the cache ``root``."""
    return root / "locks" / f"{key}.lock"


def hold_shared(root: Path, key: str) -> FolderLock | None:
    """Hold the features of a key in use, together with others; wait while they are being removed.

    Returns:
        The lock; None where the cache can only be read, or the system has no such locks: nobody removes from it then.

    Raises:
        OutputError: when the disk is full.
    """
    try:
        import fcntl
    except ImportError:
        return None
    try:
        descriptor = _open_lock(root, key)
    except OSError as error:
        if error.errno in NOT_WRITABLE:
            return None
        raise OutputError(
            f"cannot be locked: {error.strerror}", where=str(root), remedy="Make room there, or set RFT_CACHE."
        ) from None
    lock = FolderLock(descriptor)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH)
    except OSError:  # some file systems of networks have none, and ``hold_exclusive`` fails there as well
        return None
    os.utime(descriptor)
    return lock


def hold_exclusive(root: Path, key: str) -> FolderLock | None:
    """Hold the features of a key alone; None where another process uses them.

    Raises:
        OutputError: there are no locks here, so that nobody can tell.
    """
    try:
        import fcntl
    except ImportError:
        raise OutputError(
            "this system has no locks that end with a process, so that what an audit uses cannot be told",
            where=str(root),
            remedy="Remove the folder by hand while no audit runs.",
        ) from None
    try:
        descriptor = _open_lock(root, key)
        lock = FolderLock(descriptor)
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return None
    except OSError as error:
        raise OutputError(
            f"cannot be locked, so that what an audit uses cannot be told: {error.strerror}",
            where=str(root),
            remedy="Remove the folder by hand while no audit runs.",
        ) from None
    return lock


def _open_lock(root: Path, key: str) -> int:
    path = lock_file(root, key)
    for folder in (root, path.parent):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
