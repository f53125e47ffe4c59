"""Recordings that were decoded and found whole before: a file with the same bytes need not be decoded again to tell.

Only what was found whole is kept, by the sha256 of its bytes, in the folder that features are kept in, readable by its
owner alone. A file that is damaged, or longer than is read, is decoded at every run and refused in the same words.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import astuple, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from rft.data.audio.decoding import import_soundfile
from rft.runtime.cache_folder import cache_folder

CHECK_VERSION = 1  # raise when the same file would be found to be something else than before
FOLDER = "recordings"


@dataclass(frozen=True)
class MeasuredRecording:
    """What was measured of one recording: see ``rft.records.Recordings``."""

    frames: int
    rate: int
    silent: bool


KnownRecordings = dict[str, MeasuredRecording]  # by the sha256 of the bytes of their files, as hex


@contextmanager
def remember_recordings(max_seconds: float) -> Iterator[KnownRecordings]:
    """Yield the recordings that were found whole before; those that are added are kept for the next run.

    Args:
        max_seconds: longer ones are refused; with another bound others are known.
    """
    path = cache_folder() / FOLDER / f"{_name_checks(max_seconds)}.json"
    known = _read_known(path)
    before = len(known)
    try:
        yield known
    finally:
        if len(known) > before:
            _write_known(path, known)


def _name_checks(max_seconds: float) -> str:
    """Return a hash of all that decides what is found of a file, beside its bytes."""
    library = import_soundfile()
    try:
        av = version("av")
    except PackageNotFoundError:
        av = None
    parts = [CHECK_VERSION, library.__version__, library.__libsndfile_version__, av, max_seconds]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def _read_known(path: Path) -> KnownRecordings:
    """Return what a file holds; nothing where it is absent or damaged, as its own hash tells."""
    try:
        stored, content = path.read_bytes().split(b"\n", 1)
        rows = json.loads(content)
    except (OSError, ValueError):  # then all are decoded
        return {}
    if hashlib.sha256(content).hexdigest().encode() != stored:
        return {}
    return {digest: MeasuredRecording(*measured) for digest, measured in rows.items()}


def _write_known(path: Path, known: KnownRecordings) -> None:
    """Keep what is known beside what another run has written since; a full or read-only disk keeps nothing."""
    rows = {digest: astuple(measured) for digest, measured in (_read_known(path) | known).items()}
    content = json.dumps(rows).encode()
    temporary = path.parent / f".{secrets.token_hex(8)}.partial"
    try:
        for place in (path.parent.parent, path.parent):
            place.mkdir(mode=0o700, parents=True, exist_ok=True)
        temporary.touch(mode=0o600, exist_ok=False)
        temporary.write_bytes(hashlib.sha256(content).hexdigest().encode() + b"\n" + content)
        os.replace(temporary, path)
    except OSError:  # the next run decodes them again, as this one did
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
