"""``rft demo``: a model with planted problems, and whether the audit finds them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from rft.cli.app import Debug, Device, Force, out, report_errors
from rft.cli.output import CommandResult


def demo(
    folder: Annotated[Path, typer.Option("--out", help="Where the demo puts its data, config and run.")] = Path(
        "rft-demo"
    ),
    private: Annotated[bool, typer.Option("--private", help="Train with differential privacy.")] = False,
    device: Device = None,
    force: Force = False,
    debug: Debug = False,
) -> CommandResult:
    """Audit a model with planted problems and check that the audit finds them."""
    with report_errors(debug):
        from rft.demo import run_demo
        from rft.report import check_storable

        check_storable()
        result = run_demo(folder, private=private, device=device, force=force)
        out.say(*result.describe_expectations())
        out.say(f"Report: {result.report}", f"Config: {result.config}")
        content = {"report": str(result.report), "config": str(result.config), "as_expected": result.as_expected}
        unexpected = tuple(result.describe_expectations()) if not result.as_expected else ()
        return CommandResult(content, 0 if result.as_expected else 1, unexpected)
