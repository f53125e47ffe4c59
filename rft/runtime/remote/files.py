"""Files at URLs: read, listed, fetched and put through fsspec, with one line for whatever goes wrong.

An object of a store is written as a whole or not at all, and so is a file here. Credentials and endpoints are those of
the environment, as the library of each protocol reads them.
"""

from __future__ import annotations

import errno
import os
import secrets
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from rft.errors import ConfigError, OutputError, RemoteError, RftError
from rft.runtime.libraries import library_import
from rft.runtime.remote.urls import Url

INSTALL = 'pip install "rft[remote]"'
# The library of each protocol beside fsspec, and the line that brings it.
LIBRARIES = {"s3": ("s3fs", INSTALL), "gs": ("gcsfs", "pip install gcsfs")}
# Seconds and attempts: an endpoint that does not answer is told within a minute.
_SETTINGS: dict[str, dict[str, Any]] = {
    "s3": {"config_kwargs": {"connect_timeout": 10, "read_timeout": 60, "retries": {"max_attempts": 2}}},
    "gs": {},
    "file": {},
}
NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG)
ROOM = "Make room there, or set RFT_CACHE or TMPDIR to another folder."
CREDENTIALS = {
    "s3": "Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or a profile by AWS_PROFILE.",
    "gs": "Set GOOGLE_APPLICATION_CREDENTIALS, or run gcloud auth application-default login.",
    "file": "",
}
ENDPOINTS = {
    "s3": "Check the network, and AWS_ENDPOINT_URL where the store is not that of AWS.",
    "gs": "Check the network.",
    "file": "",
}


@dataclass(frozen=True)
class RemoteFile:
    """A file at a URL. What is read stays with this object, so that what is hashed is what is decoded."""

    url: Url

    @property
    def name(self) -> str:
        """The file and the folder it is in, for messages."""
        return self.url.short_name

    def read_bytes(self) -> bytes:
        """Return the bytes of the file; raises ``FileNotFoundError`` and ``RemoteError``."""
        return self._file_content

    @cached_property
    def _file_content(self) -> bytes:
        return read_file(self.url)


def require_library(url: Url, where: str) -> None:
    """Raise ``ConfigError`` where a library that reads a URL is not installed.

    Args:
        url: what is to be read.
        where: the key of the config that names it.
    """
    for name, install in [("fsspec", INSTALL), *([LIBRARIES[url.protocol]] if url.protocol in LIBRARIES else [])]:
        if find_spec(name) is None:
            raise ConfigError(f"{url.protocol}:// needs {name}, which is not installed", where=where, remedy=install)


def read_file(url: Url, start: int | None = None, end: int | None = None) -> bytes:
    """Return the bytes of a file, or of a part of it; raises ``FileNotFoundError`` and ``RemoteError``."""
    with _explain_errors(url):
        content: bytes = _open_store(url).cat_file(url.path, start=start, end=end)
        return content


def fetch_file(url: Url, path: Path) -> None:
    """Write the file at a URL to a path, which is then whole or absent.

    Raises:
        FileNotFoundError: there is none.
        OutputError: the disk is full, or the folder cannot be written.
        RemoteError: the store cannot be reached, or refuses.
    """
    partial = path.with_name(f".{secrets.token_hex(8)}.partial")
    try:
        partial.touch(mode=0o600)
    except OSError as error:
        raise OutputError(
            f"a copy of {url} cannot be written: {error.strerror}", where=str(path.parent), remedy=ROOM
        ) from None
    try:
        with _explain_errors(url):
            _open_store(url).get_file(url.path, str(partial))
        partial.rename(path)
    finally:
        partial.unlink(missing_ok=True)


def put_file(path: Path, url: Url) -> None:
    """Write a file to a URL, where it is then whole or absent.

    Raises:
        OutputError: of a ``file://`` URL, the disk is full.
        RemoteError: the store cannot be reached, or refuses, or there is no such bucket.
    """
    try:
        with _explain_errors(url):
            if url.is_local:
                _copy_whole(path, Path(url.path))
            else:
                _open_store(url).put_file(str(path), url.path)
    except FileNotFoundError:
        _require_bucket(url)
        raise


def remove_file(url: Url) -> None:
    """Remove the file at a URL; one that is gone is no error; raises ``RemoteError``."""
    try:
        with _explain_errors(url):
            _open_store(url).rm_file(url.path)
    except FileNotFoundError:
        return


def list_names(folder: Url) -> list[str]:
    """Return the names of the files in a folder, sorted; none where there is no such folder.

    Raises:
        RemoteError: the store cannot be reached, refuses, or there is no such bucket.
    """
    try:
        with _explain_errors(folder):
            entries = _open_store(folder).ls(folder.path, detail=True)
    except FileNotFoundError:
        _require_bucket(folder)
        return []
    return sorted(str(entry["name"]).rpartition("/")[2] for entry in entries if entry["type"] == "file")


def list_matching(pattern: Url) -> list[Url]:
    """Return the files that a URL with a pattern such as ``part-*.parquet`` stands for, sorted; itself without one."""
    if not any(sign in pattern.path for sign in "*["):
        return [pattern]
    with _explain_errors(pattern):
        places: Sequence[str] = _open_store(pattern).glob(pattern.path)
    return [Url(pattern.protocol, place) for place in sorted(places)]


def _require_bucket(folder: Url) -> None:
    """Raise ``RemoteError`` where what is missing is the bucket; a folder comes with the first file in it."""
    if folder.is_local:
        return
    with _explain_errors(folder):
        if not _open_store(folder).exists(folder.bucket):
            raise RemoteError(f"there is no bucket {folder.bucket!r}", where=str(folder))


def _open_store(url: Url) -> Any:
    """Return what fsspec opens for a protocol; each keeps its connections."""
    library, install = LIBRARIES.get(url.protocol, ("fsspec", INSTALL))
    with library_import(library, error=ConfigError, where=str(url), install=install):
        import fsspec
    return fsspec.filesystem(url.protocol, use_listings_cache=False, **_SETTINGS[url.protocol])


def _copy_whole(path: Path, target: Path) -> None:
    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    partial = target.with_name(f".{secrets.token_hex(8)}.partial")
    try:
        with path.open("rb") as source, partial.open("xb") as copy:
            shutil.copyfileobj(source, copy)
            copy.flush()
            os.fsync(copy.fileno())
        partial.rename(target)
    finally:
        partial.unlink(missing_ok=True)


@contextmanager
def _explain_errors(url: Url) -> Iterator[None]:
    """Turn what a library raises for a URL into one line; ``FileNotFoundError`` is left to the caller."""
    try:
        yield
    except (FileNotFoundError, RftError):
        raise
    except Exception as error:  # of botocore, aiohttp, google: each has a tree of its own
        if isinstance(error, OSError) and error.errno in NO_ROOM:
            raise OutputError(f"cannot be copied: {error.strerror}", where=str(url), remedy=ROOM) from None
        what, remedy = _describe_error(error, url)
        raise RemoteError(what, where=str(url), remedy=remedy) from error


def _describe_error(error: Exception, url: Url) -> tuple[str, str]:
    """Return what went wrong in a sentence, and what helps."""
    kind = type(error).__name__
    said = next(iter(str(error).splitlines()), "") or kind
    if "Credentials" in kind or "credentials" in said:
        return "there are no credentials for it", CREDENTIALS[url.protocol]
    if isinstance(error, PermissionError):
        return f"access is denied: {said}", CREDENTIALS[url.protocol]
    is_network = isinstance(error, (ConnectionError, TimeoutError)) or "Connect" in kind or "Timeout" in kind
    if is_network:
        return f"the store cannot be reached: {said}", ENDPOINTS[url.protocol]
    return f"cannot be used: {said}", ENDPOINTS[url.protocol]
