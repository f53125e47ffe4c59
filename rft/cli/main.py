"""The command ``rft``."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from rft.cli.app import app, out
from rft.cli.audit import audit
from rft.cli.backbones import compare_backbones, cut_points
from rft.cli.check import check
from rft.cli.demo import demo
from rft.cli.init import init
from rft.cli.output import add_output_options
from rft.cli.plugins import plugins
from rft.cli.runs.compare import compare
from rft.cli.runs.export import export
from rft.cli.runs.history import history
from rft.cli.runs.predict import predict
from rft.cli.runs.report import report
from rft.cli.runs.sign import sign
from rft.cli.runs.verify import verify
from rft.cli.schema import schema
from rft.version import __version__, list_libraries

__all__ = ["app", "main"]

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


def main() -> None:
    """Run the command line."""
    # Read by OpenMP when torch is first imported. Its threads spin while they wait for each other, so that with any
    # other process on one of the cores, a forward pass took up to 25 times longer; waiting passively costs 15 %.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    app()
