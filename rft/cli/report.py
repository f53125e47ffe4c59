"""``rft report``: render a finished run again, or judge it by another policy."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from rft.cli.app import EXIT, Debug, RunFolder, out, report_errors
from rft.cli.show import show_run


def report(
    folder: RunFolder,
    policy_file: Annotated[
        Path | None, typer.Option("--policy", metavar="FILE", help="Judge the findings by the rules of this TOML file.")
    ] = None,
    debug: Debug = False,
) -> None:
    """Render a finished run again; with --policy, replace its verdict. Needs neither the model nor the data."""
    with report_errors(debug):
        from rft.config.loader import load_policy
        from rft.report import load, rerender
        from rft.verdict import policy

        run = load(folder)
        if policy_file is not None:
            sha256 = hashlib.sha256(policy_file.read_bytes()).hexdigest() if policy_file.is_file() else ""
            source = f"{policy_file.name} (sha256 {sha256}), applied on {datetime.now(UTC):%Y-%m-%d %H:%M} UTC"
            verdict = policy.judge_rules(load_policy(policy_file), run.sections, source=source)
            run = run.model_copy(update={"verdict": verdict})
        rerender(folder, run)
        show_run(run)
        out.say(f"Report: {folder / 'report.html'}")
        raise typer.Exit(EXIT[run.verdict.status])
