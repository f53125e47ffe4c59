"""How commands write single files: whole or not at all, and over another one only when asked to."""

from __future__ import annotations

from pathlib import Path

from rft.errors import OutputError


def check_absent(*files: Path | None, force: bool) -> None:
    """Raise ``OutputError`` where a file exists and ``force`` is not given; to be asked before the work begins."""
    for file in files:
        if file is not None and file.exists() and not force:
            remedy = "Replace it with --force, or choose another file with --out."
            raise OutputError("exists already", where=str(file), remedy=remedy)


def write_file(file: Path, text: str, *, force: bool) -> None:
    """Write the file whole or not at all; raises ``OutputError`` where it exists and ``force`` is not given."""
    from rft.report.run_folder.atomic_io import clear_errors, replace_file

    with clear_errors(file):
        check_absent(file, force=force)
        replace_file(file, text)
