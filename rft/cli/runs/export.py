"""``rft export``: a finished run in a format of another tool."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from rft.cli.app import Debug, RunFolder, out, report_errors
from rft.cli.output import CommandResult
from rft.cli.runs.files import write_file
from rft.errors import RftError, near
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
) -> CommandResult:
    """Write a finished run as JUnit, SARIF, CycloneDX, CSV or JSON; says no more than its audit.json does."""
    with report_errors(debug):
        from rft.export.source import ExportSource
        from rft.report import open_run

        chosen = _find_format(format_name)
        text = chosen.write(ExportSource(open_run(folder), policy_file))
        if file != STANDARD_OUTPUT:
            place = file or Path(chosen.file_name)
            write_file(place, text, force=force, made_from=("export", chosen.name, folder))
            out.say(f"Written: {place}")
            return CommandResult({"format": chosen.name, "file": str(place)})
        return CommandResult({"format": chosen.name, "text": text}, payload=text)


def _find_format(name: str) -> ExportFormat:
    if name not in FORMATS:
        remedy = near(name, list(FORMATS)) or f"Known here: {', '.join(FORMATS)}."
        raise RftError(f"no such format: {name}", where="--format", remedy=remedy)
    return FORMATS[name]
