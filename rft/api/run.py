"""From a plan to a finished run, written where the caller says: the end of every audit that is started in Python."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from rft.pipeline.plan import AuditPlan
from rft.runtime.collection import collect_seldom

if TYPE_CHECKING:
    from rft.run import FinishedRun


def run_plan(
    plan: AuditPlan,
    out: str | Path | None,
    *,
    device: str | None = None,
    offline: bool = False,
    force: bool = False,
    share: bool = False,
) -> FinishedRun:
    """Run what is planned, and write the run folder.

    Args:
        plan: what to do.
        out: the run folder; None writes nothing.
        device: torch device name; chosen by itself when None.
        offline: forbid downloads.
        force: replace a run that ``out`` holds.
        share: let the group of ``out`` read the report; predictions and the model stay private.

    Raises:
        RftError: for anything that the user can mend; what is wrong with ``out`` before anything is computed.
    """
    with collect_seldom():
        from rft.pipeline.stages import run_audit

    check_out(out, force=force)
    run = run_audit(plan, device=device, offline=offline)
    if out is not None:
        run.save(out, force=force, share=share)
    return run


def check_out(out: str | Path | None, *, force: bool) -> None:
    """Raise ``OutputError`` where the run folder could not be written."""
    from rft.report import check_storable, check_writable

    if out is not None:
        check_storable()
        check_writable(Path(out), force=force)
