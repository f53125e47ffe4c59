"""``rft schema``: the JSON Schema of audit.toml, for editors."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from rft.cli.app import Debug, ForceFiles, out, report_errors
from rft.cli.output import CommandResult
from rft.cli.runs.files import write_file


def schema(
    file: Annotated[
        Path | None, typer.Option("--out", metavar="FILE", help="The file to write; standard output otherwise.")
    ] = None,
    force: ForceFiles = False,
    debug: Debug = False,
) -> CommandResult:
    """Print the JSON Schema of audit.toml, with the tables of all installed plugins, by which editors complete it."""
    with report_errors(debug):
        text = write_schema()
        if file is None:
            return CommandResult({"schema": json.loads(text)}, payload=text)
        write_file(file, text, force=force, made_from=("schema",))
        out.say(f"Written: {file}", f"First line of audit.toml: #:schema ./{file.name}  (where both lie together)")
        return CommandResult({"file": str(file)})


def write_schema() -> str:
    """Return the text of the schema, with the tables of plugins that are installed."""
    from rft.config.json_schema import build_config_schema
    from rft.plugins import discover_plugins

    installed = discover_plugins().items()
    others = {name: registered.plugin.options for name, registered in installed if registered.distribution != "rft"}
    return json.dumps(build_config_schema(others), indent=1, ensure_ascii=False) + "\n"
