"""``rft export``: a finished run in a format of another tool."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from rft.cli.app import Debug, RunFolder, out, report_errors
from rft.errors import OutputError, RftError, near
from rft.export.formats import FORMATS, ExportFormat

STANDARD_OUTPUT = Path("-")
LISTED = "; ".join(f"{format.name}: {format.purpose}" for format in FORMATS.values())


def export(
    folder: RunFolder,
    format_name: Annotated[str, typer.Option("--format", metavar="|".join(FORMATS), help=f"{LISTED}.")],
    file: Annotated[
        Path | None,
        typer.Option("--out", metavar="FILE", help="The file to write, - for standard output; named by the format."),
    ] = None,
    policy_file: Annotated[
        Path | None,
        typer.Option(
            "--config", metavar="FILE", help="Where the rules stand, for the lines in SARIF; audit.toml here."
        ),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace the file where it exists.")] = False,
    debug: Debug = False,
) -> None:
    """Write a finished run as JUnit, SARIF, CycloneDX, CSV or JSON; says no more than its audit.json does."""
    with report_errors(debug):
        from rft.export.source import ExportSource
        from rft.report import open_run

        chosen = _find_format(format_name)
        text = chosen.write(ExportSource(open_run(folder), policy_file))
        if file != STANDARD_OUTPUT:
            place = file or Path(chosen.file_name)
            _write_file(place, text, force=force)
            out.say(f"Written: {place}")
            return
    typer.echo(text.encode(), nl=False)  # out here: a reader that stops early is no bug


def _find_format(name: str) -> ExportFormat:
    if name not in FORMATS:
        remedy = near(name, list(FORMATS)) or f"Known here: {', '.join(FORMATS)}."
        raise RftError(f"no such format: {name}", where="--format", remedy=remedy)
    return FORMATS[name]


def _write_file(file: Path, text: str, *, force: bool) -> None:
    """Write the file whole or not at all; raises ``OutputError`` where it exists and ``force`` is not given."""
    from rft.report.run_folder.atomic_io import clear_errors, replace

    with clear_errors(file):
        if file.exists() and not force:
            remedy = "Replace it with --force, or choose another file with --out."
            raise OutputError("exists already", where=str(file), remedy=remedy)
        replace(file, text)
