"""How commands write single files: whole or not at all, and over another one only where that loses nobody's work.

What a command makes of something else, such as a page of two runs, is made again without being asked: the file is
replaced where the same command wrote it of the same things and nobody changed it since. The state folder of the user
keeps the hashes by which that is seen. Any other file is replaced with ``--force`` alone.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Sequence
from pathlib import Path

from rft.errors import OutputError
from rft.runtime.state_folder import state_folder

log = logging.getLogger("rft")

WRITTEN = "written"  # in the state folder: digest of a path -> digests of what was written there
Origin = Sequence[str | Path]  # what a file is made of: the name of the command, then names, and files or folders
NOTHING: Origin = ()
OF_SOMETHING_ELSE = "this command did not make it of the same things, or somebody changed it since"


def check_absent(*files: Path | None, force: bool, made_from: Origin = NOTHING) -> None:
    """Raise ``OutputError`` where a file exists that may not be replaced; to be asked before the work begins.

    Args:
        files: what is going to be written; None for what is not.
        force: replace whatever is there.
        made_from: what the files are made of; by default they are replaced with ``force`` alone.
    """
    for file in files:
        if file is not None and file.exists() and not force and not was_written(file, made_from):
            changed = f", and {OF_SOMETHING_ELSE}" if made_from else ""
            remedy = "Replace it with --force, or choose another file with --out."
            raise OutputError(f"exists already{changed}", where=str(file), remedy=remedy)


def write_file(file: Path, text: str, *, force: bool, made_from: Origin = NOTHING) -> None:
    """Write the file whole or not at all; raises ``OutputError`` where ``check_absent`` does."""
    from rft.report.run_folder.atomic_io import clear_errors, replace_file

    with clear_errors(file):
        check_absent(file, force=force, made_from=made_from)
        replace_file(file, text)
    remember_written(file, made_from)


def was_written(file: Path, made_from: Origin) -> bool:
    """Return whether a file is what was made of the same before, to the last byte."""
    try:
        return bool(made_from) and _place_of(file).read_text(encoding="ascii") == _describe(file, made_from)
    except OSError:  # nothing is remembered of it, or it cannot be read: it is somebody else's
        return False


def remember_written(file: Path, made_from: Origin) -> None:
    """Note what was made, so that it can be made again; nothing where a file is replaced with ``--force`` alone."""
    from rft.report.run_folder.atomic_io import OWNER_ONLY, replace_file

    if not made_from:
        return
    place = _place_of(file)
    try:
        place.parent.mkdir(mode=OWNER_ONLY, parents=True, exist_ok=True)
        replace_file(place, _describe(file, made_from))
    except OSError as error:  # the file stands: all that is lost is that the next one asks for --force
        log.info("%s: not remembered, so that replacing it takes --force (%s)", file, error.strerror)


def _place_of(file: Path) -> Path:
    return state_folder() / WRITTEN / hashlib.sha256(str(file.resolve()).encode()).hexdigest()


def _describe(file: Path, made_from: Origin) -> str:
    """Return the digest of what a file is made of, and of its content, in two lines."""
    parts = [str(part.resolve()) if isinstance(part, Path) else part for part in made_from]
    digests = (hashlib.sha256(content).hexdigest() for content in (json.dumps(parts).encode(), file.read_bytes()))
    return "".join(f"{digest}\n" for digest in digests)
