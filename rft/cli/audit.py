"""``rft audit``: fine-tune, audit, write the report."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

import rft
from rft.cli.app import EXIT, Debug, Device, Force, Offline, Overrides, err, out, report_errors
from rft.cli.output import CommandResult
from rft.cli.show import show_run, summarize_run
from rft.number_format import format_duration
from rft.records import AuditRun
from rft.runtime.progress import Stage, listen_to_stages


def audit(
    config: Annotated[Path, typer.Argument(metavar="CONFIG", help="The audit.toml to run.")],
    folder: Annotated[Path | None, typer.Option("--out", help="Run folder; runs/<name>-<utc time> otherwise.")] = None,
    overrides: Overrides = None,
    device: Device = None,
    offline: Offline = False,
    force: Force = False,
    debug: Debug = False,
) -> CommandResult:
    """Fine-tune, audit, and write the report."""
    with report_errors(debug):
        from rft.report import check_storable, place_of

        check_storable()
        with say_stages():
            run = rft.audit(config, folder, overrides=overrides or [], device=device, offline=offline, force=force)
            saved = folder or run.save(default_folder(run), force=force)
        show_run(run)
        key = place_of(run.run.volatile.id)
        out.say(f"Report: {saved / 'report.html'}", f"Key, to keep: {key}")
        content = summarize_run(run) | {"folder": str(saved), "report": str(saved / "report.html"), "key": str(key)}
        return CommandResult(content, EXIT[run.verdict.status])


@contextmanager
def say_stages() -> Iterator[None]:
    """Write a line on stderr for each stage that is over, unless that is a terminal, which shows bars."""
    if err.is_terminal or err.without_notes:
        yield
        return

    def say_stage(stage: Stage, seconds: float) -> None:
        detail = f", {stage.detail}" if stage.detail else ""
        err.say(f"rft: {stage.name}{detail}: {format_duration(seconds)}")

    with listen_to_stages(say_stage):
        yield


def default_folder(run: AuditRun) -> Path:
    """Return ``runs/<name>-<utc time>``."""
    created = datetime.fromisoformat(run.run.volatile.created).astimezone(UTC)
    return Path("runs") / f"{run.run.name}-{created:%Y%m%dT%H%M%SZ}"
