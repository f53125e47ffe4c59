"""Copies of files at URLs on this machine's disk, for readers that need a file: tables, and archives read in parts.

They lie in a folder that this user alone may read and that goes when the process ends. Each call fetches anew, so that
a process that audits twice reads what is there the second time.
"""

from __future__ import annotations

import os
import tempfile
from functools import cache
from pathlib import Path

from rft.errors import DataError
from rft.runtime.remote.files import fetch_file
from rft.runtime.remote.urls import Url


def copy_to_disk(url: Url) -> Path:
    """Return a copy of the file at a URL, under its own name.

    Raises:
        DataError: there is no such file.
        RemoteError: the store cannot be reached, or refuses.
        OutputError: the disk is full.
    """
    path = Path(tempfile.mkdtemp(dir=_open_folder().name)) / url.name
    try:
        fetch_file(url, path)
    except FileNotFoundError:
        raise DataError("no such file", where=str(url)) from None
    return path


@cache
def _open_folder() -> tempfile.TemporaryDirectory[str]:
    """Return the folder of this process: in ``$TMPDIR``, else in /var/tmp, a disk where /tmp may be memory."""
    large = "/var/tmp" if "TMPDIR" not in os.environ and os.access("/var/tmp", os.W_OK) else None
    return tempfile.TemporaryDirectory(prefix="rft-", dir=large, ignore_cleanup_errors=True)
