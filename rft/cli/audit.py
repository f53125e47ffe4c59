"""``rft audit``: fine-tune, audit, write the report."""

from __future__ import annotations

from contextlib import nullcontext
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

import rft
from rft.cli.app import EXIT, Debug, Device, Force, Offline, Overrides, Share, err, out, report_errors
from rft.cli.output import CommandResult
from rft.cli.several_processes import help_audit, join_audit
from rft.cli.show import show_run, summarize_run, write_decisive
from rft.cli.stage_lines import say_stages
from rft.runtime.patience import allow_waiting
from rft.runtime.ranks.group import choose_rank_device

MAX_WAIT = 7 * 24 * 3600  # seconds

if TYPE_CHECKING:
    from rft.records import AuditRun


def audit(
    config: Annotated[Path, typer.Argument(metavar="CONFIG", help="The audit.toml to run.")],
    folder: Annotated[Path | None, typer.Option("--out", help="Run folder; runs/<name>-<utc time> otherwise.")] = None,
    overrides: Overrides = None,
    device: Device = None,
    offline: Offline = False,
    force: Force = False,
    share: Share = False,
    wait: Annotated[
        float,
        typer.Option(
            "--wait", metavar="SECONDS", min=0, max=MAX_WAIT, help="Wait while another audit uses the privacy ledger."
        ),
    ] = 0,
    debug: Debug = False,
) -> CommandResult:
    """Fine-tune, audit, and write the report; started by torchrun, several processes share extraction and training."""
    with report_errors(debug):
        from rft.report import check_storable, place_of

        check_storable()
        with join_audit() as place, allow_waiting(wait):
            if place is not None:
                device = choose_rank_device(place, device)
            if place is not None and not place.leads:
                help_audit(config, overrides or [], device=device, offline=offline)
                return CommandResult({})
            with nullcontext() if err.is_terminal or err.without_notes else say_stages(err.say):
                run = rft.audit(
                    config,
                    overrides=overrides or [],
                    device=device,
                    offline=offline,
                    out=folder,
                    force=force,
                    share=share,
                )
                saved = folder or run.save(default_folder(run), force=force, share=share)
        show_run(run)
        key = place_of(run.run.volatile.id)
        out.say(
            f"Report: {saved / 'report.html'}",
            f"Key of the run, by which its owner checks inputs and predictions: {key}",
            f"Whoever may not see single people gets what this writes: rft report {saved} --public",
        )
        content = summarize_run(run) | {"folder": str(saved), "report": str(saved / "report.html"), "key": str(key)}
        return CommandResult(content, EXIT[run.verdict.status], write_decisive(run.verdict))


def default_folder(run: AuditRun) -> Path:
    """Return ``runs/<name>-<utc time>``."""
    created = datetime.fromisoformat(run.run.volatile.created).astimezone(UTC)
    return Path("runs") / f"{run.run.name}-{created:%Y%m%dT%H%M%SZ}"
