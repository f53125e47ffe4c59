"""Which shards of a folder were read to the last byte and found whole, so that the next run need not read them again.

A file is known by its size, its inode and the times at which its content and its entry were last changed. Whatever
writes to a file through the system moves these times; a byte that a disk loses does not, and ``rft cache verify``
reads all files for that.
"""

from __future__ import annotations

import json
import os
import secrets
import time
from pathlib import Path

FILE_NAME = "verified.json"
VERSION = 1
# Nanoseconds: times of files go by the ticks of the system's clock, and on some file systems by two seconds. A file
# that was changed as shortly before could be changed again within the same time.
SETTLED_AFTER = 2 * 10**9

Stamp = list[int]  # size, inode, and when content and entry were changed, in nanoseconds


def stamp_file(path: Path) -> Stamp:
    """Return what a file is known by; raises ``FileNotFoundError``."""
    status = path.stat()
    return [status.st_size, status.st_ino, status.st_mtime_ns, status.st_ctime_ns]


def is_settled(stamp: Stamp) -> bool:
    """Tell whether a file that is changed from now on gets another stamp."""
    return max(stamp[2:]) < time.time_ns() - SETTLED_AFTER


def read_verified(folder: Path) -> dict[str, Stamp]:
    """Return name -> stamp of the shards that were found whole; nothing where that is unknown or of another version."""
    try:
        content = json.loads((folder / FILE_NAME).read_bytes())
    except (OSError, ValueError):  # then all are read again
        return {}
    if not isinstance(content, dict) or content.get("version") != VERSION:
        return {}
    shards = content.get("shards")
    return shards if isinstance(shards, dict) else {}


def note_verified(folder: Path, stamps: dict[str, Stamp]) -> None:
    """Note shards that were found whole, beside those that were noted; gone ones are forgotten.

    Two processes at once may forget what the other noted: those shards are read again. Where the folder cannot be
    written, nothing is noted.
    """
    present = {path.name for path in folder.glob("*.safetensors")}
    shards = {name: stamp for name, stamp in (read_verified(folder) | stamps).items() if name in present}
    temporary = folder / f".{secrets.token_hex(8)}.partial"
    try:
        temporary.write_text(json.dumps({"version": VERSION, "shards": shards}), encoding="utf-8")
        os.replace(temporary, folder / FILE_NAME)
    except OSError:  # a full or read-only disk: the next run reads the shards again, as this one did
        temporary.unlink(missing_ok=True)
