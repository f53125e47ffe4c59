"""The command ``rft``."""

from __future__ import annotations

from typing import Annotated

import typer

from rft.cli.app import app, out
from rft.cli.audit import audit
from rft.cli.cache import cache
from rft.cli.demo import demo
from rft.cli.output import add_output_options
from rft.cli.plugins import plugins
from rft.cli.prepare.backbones import compare_backbones, cut_points
from rft.cli.prepare.check import check
from rft.cli.prepare.init import init
from rft.cli.prepare.schema import schema
from rft.cli.runs.compare import compare
from rft.cli.runs.export import export
from rft.cli.runs.history import history
from rft.cli.runs.predict import predict
from rft.cli.runs.report import report
from rft.cli.runs.sign import sign
from rft.cli.runs.verify import verify
from rft.version import __version__, list_libraries

__all__ = ["app"]

COMMANDS = (
    init,
    audit,
    check,
    demo,
    predict,
    report,
    export,
    verify,
    sign,
    compare,
    history,
    compare_backbones,
    cut_points,
    cache,
    plugins,
    schema,
)  # as --help lists them

for command in COMMANDS:
    app.command()(add_output_options(command))


@app.callback(invoke_without_command=True)
def show_version(
    ctx: typer.Context, show: Annotated[bool, typer.Option("--version", help="Show the version and stop.")] = False
) -> None:
    """Responsible fine-tuning: fine-tune a pretrained model and audit it in the same run."""
    if show:
        out.say(f"rft {__version__}", *list_libraries())
        raise typer.Exit
