"""``rft verify``: whether a run is what was written, and what it read and recorded still stands."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rft.cli.app import EXIT, Debug, RunFolder, out, report_errors
from rft.errors import EvidenceError

if TYPE_CHECKING:
    from rft.records import JsonObject
    from rft.report.run_folder.evidence import Verification

MOST_NAMES = 5  # of files that are shown


def verify(
    folder: RunFolder,
    ledger: Annotated[
        Path | None, typer.Option("--ledger", metavar="DIR", help="The folder of ledgers; the user's own otherwise.")
    ] = None,
    key: Annotated[
        Path | None,
        typer.Option("--key", metavar="FILE", help="The key of the run; in the user's own folder otherwise."),
    ] = None,
    data: Annotated[
        Path | None, typer.Option("--data", metavar="DIR", help="Where the inputs are; as the config said otherwise.")
    ] = None,
    debug: Debug = False,
) -> None:
    """Check every file of a run, what it read, and the ledger of its population, against its evidence.json."""
    with report_errors(debug):
        from rft.report import recorded_by_plugins
        from rft.report import verify as check

        verification = check(folder, key=key, data=data)
        if verification.problems:
            raise EvidenceError("; ".join(verification.problems), where=str(folder))
        whole = not verification.unchecked
        out.say(*(["Every file is the one that was written."] if whole else _checked_in_part(verification)))
        if verification.inputs:
            is_single = verification.inputs == 1
            are_the_files = "input is the file that was" if is_single else "inputs are the files that were"
            out.say(f"{verification.inputs:,} {are_the_files} read.")
        for name, recorded in recorded_by_plugins(folder).items():
            whole = _show_recorded(name, recorded, ledger) and whole
        raise typer.Exit(0 if whole else EXIT["uncertain"])


def _checked_in_part(verification: Verification) -> list[str]:
    """Return what was checked and what was not, and how to have it checked, in lines."""
    named, rest = verification.unchecked[:MOST_NAMES], verification.unchecked[MOST_NAMES:]
    more = f", and {len(rest):,} more" if rest else ""
    return [
        f"{verification.checked:,} files of the run are the ones that were written. "
        f"Not checked: {', '.join(named)}{more}.",
        "Inputs, and files that are not for others, are checked with the key of the run, which stays with the owner of "
        "the data: name it with --key, and the folder of the inputs with --data.",
    ]


def _show_recorded(name: str, recorded: JsonObject, folder: Path | None) -> bool:
    """Say what a plugin finds of what it recorded with the run; return whether that was checked."""
    from rft.plugins import discover_plugins

    registered = discover_plugins().get(name)
    check = registered.plugin.verify_evidence(recorded, folder) if registered else None
    out.say(check.sentence if check else f"What the plugin {name} recorded was not checked: it cannot, or is missing.")
    return check is not None and check.checked
