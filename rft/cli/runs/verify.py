"""``rft verify``: whether a run is what was written, and what it read and recorded still stands."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rft.cli.app import EXIT, Debug, RunKey, out, report_errors
from rft.cli.output import CommandResult
from rft.errors import EvidenceError
from rft.number_format import format_date

if TYPE_CHECKING:
    from rft.records import AuditRun, JsonObject
    from rft.report.run_folder.evidence import Verification

NOT_FOR_OTHERS = ("predictions.parquet", "assets", "mitigated")  # files and folders of a run with values of people
MOST_NAMES = 5  # of files that are shown
USUAL_OF_RECEIVED = (
    "That is usual of a run that came without the key of its owner: nothing that was checked was changed, and the exit "
    "code 3 says that the rest was not looked at."
)
SHA256_IS_FOR = (
    "It stands for all of it: compare it with what whoever made the run tells you by another way, and write it down "
    "where only you can write, so that you see later whether anything was exchanged."
)


def verify(
    run_or_page: Annotated[Path, typer.Argument(metavar="RUN", help="The folder of a run, or a report.html alone.")],
    ledger: Annotated[
        Path | None, typer.Option("--ledger", metavar="DIR", help="The folder of ledgers; the user's own otherwise.")
    ] = None,
    key: RunKey = None,
    data: Annotated[
        Path | None, typer.Option("--data", metavar="DIR", help="Where the inputs are; as the config said otherwise.")
    ] = None,
    pub: Annotated[
        Path | None, typer.Option("--pub", metavar="FILE", help="Check the signature by this Ed25519 public key, too.")
    ] = None,
    signature: Annotated[
        Path | None,
        typer.Option(
            "--signature", metavar="FILE", help="The file of the signature of the run; RUN.dsse.json otherwise."
        ),
    ] = None,
    debug: Debug = False,
) -> CommandResult:
    """Check a run, what it read and the ledger of its population against its evidence.json, or a report alone."""
    with report_errors(debug):
        is_page = run_or_page.is_file()
        verified = _verify_page(run_or_page) if is_page else _verify_folder(run_or_page, key, data, ledger)
        content, unchecked = verified
        content |= {"whole": not unchecked, "unchecked": unchecked}
        if pub or signature:
            from rft.signing import verify_signature

            fingerprint = verify_signature(run_or_page, pub, signature)
            content["signed_by"] = fingerprint
            out.say(f"The {'page' if is_page else 'run'} is the one that was signed by the key {fingerprint[:16]}.")
        if not unchecked:
            return CommandResult(content)
        return CommandResult(content, EXIT["uncertain"], (f"not checked: {_name_unchecked(unchecked)}",))


def _name_unchecked(unchecked: Sequence[str]) -> str:
    """Return what could not be checked, the first of many by name."""
    named, rest = unchecked[:MOST_NAMES], unchecked[MOST_NAMES:]
    return f"{', '.join(named)}{f', and {len(rest):,} more' if rest else ''}"


def _verify_page(file: Path) -> tuple[dict[str, object], list[str]]:
    """Check a report that came alone; return what was found, and what could not be checked."""
    from rft.report import check_page

    check = check_page(file)
    _say_run(check.run)
    if check.problem:
        raise EvidenceError(check.problem, where=str(file))
    out.say(
        f"The page was not compared with the run that is embedded in it: {check.unchecked}."
        if check.unchecked
        else "The page says what the run that is embedded in it says, to the last byte.",
        "Whether that run is the one that was made, its folder shows, or its signature: "
        "rft verify PAGE --pub FILE --signature FILE.",
        f"sha256 of this page: {(sha256 := hashlib.sha256(file.read_bytes()).hexdigest())}",
        SHA256_IS_FOR,
    )
    unchecked = [f"the page: {check.unchecked}"] if check.unchecked else []
    return _name_run(check.run) | {"kind": "page", "sha256": sha256}, unchecked


def _verify_folder(
    folder: Path, key: Path | None, data: Path | None, ledger: Path | None
) -> tuple[dict[str, object], list[str]]:
    """Check a run folder; return what was found, and what could not be checked."""
    from rft.report import check_folder_page, open_run
    from rft.report import verify as check

    verification = check(folder, key=key, data=data)
    if verification.problems:
        raise EvidenceError("; ".join(verification.problems), where=str(folder))
    run = open_run(folder, key=key)
    _say_run(run)
    page = check_folder_page(folder)
    if page.problem:
        raise EvidenceError(page.problem, where=str(folder))
    out.say(
        *(
            _checked_in_part(verification)
            if verification.unchecked
            else [f"Each of {verification.checked:,} files is the one that was written."]
        )
    )
    if page.unchecked:
        out.say(f"The page was not compared with audit.json: {page.unchecked}.")
    if verification.inputs:
        is_single = verification.inputs == 1
        are_the_files = "input is the file that was" if is_single else "inputs are the files that were"
        out.say(f"{verification.inputs:,} {are_the_files} read.")
    if origin := verification.evidence.made_from:
        out.say(f"Made from the run {origin.run}, whose evidence.json has the sha256 {origin.evidence_sha256}.")
    recorded_checked = {
        name: _show_recorded(name, recorded, ledger) for name, recorded in verification.evidence.plugins.items()
    }
    unchecked = [
        *verification.unchecked,
        *([f"the page: {page.unchecked}"] if page.unchecked else []),
        *(f"what the plugin {name} recorded" for name, is_checked in recorded_checked.items() if not is_checked),
    ]
    out.say(f"sha256 of evidence.json: {verification.evidence_sha256}", SHA256_IS_FOR)
    found: dict[str, object] = {
        "kind": "run",
        "files": verification.checked,
        "inputs": verification.inputs,
        "recorded": recorded_checked,
        "evidence_sha256": verification.evidence_sha256,
    }
    return _name_run(run) | found, unchecked


def _name_run(run: AuditRun) -> dict[str, object]:
    """Return which run it is, and its latest verdict, for programs."""
    return {"run": run.run.volatile.id, "name": run.run.name, "verdict": run.latest_verdict.status}


def _say_run(run: AuditRun) -> None:
    """Say which run this is."""
    volatile, verdicts = run.run.volatile, [str(run.verdict.status)]
    verdicts += [f"later, by the rules of {later.file}: {later.verdict.status}" for later in run.later_verdicts]
    stated = "; ".join(verdicts).replace("no_rules", "no rules")
    out.say(f"Run {volatile.id}, {run.run.name}, {format_date(volatile.created)}: {stated}.")


def _checked_in_part(verification: Verification) -> list[str]:
    """Return what was checked and what was not, and how to have it checked, in lines."""
    lines = [
        f"{verification.checked:,} files of the run are the ones that were written. "
        f"Not checked: {_name_unchecked(verification.unchecked)}."
    ]
    if came_along := _list_came_along(verification.unchecked):
        lines.append(
            f"Warning: {' and '.join(came_along)} came along: perhaps personal data, which the owner keeps. "
            "Who reads or checks the run does not need it: delete it here, and tell whoever sent it."
        )
    if verification.unchecked == verification.in_memory:  # neither the key nor a folder would help
        return lines
    return [
        *lines,
        *([] if verification.has_key else [USUAL_OF_RECEIVED]),
        "Inputs, and files that are not for others, are checked with the key of the run, which stays with the owner of "
        "the data: name it with --key, and the folder of the inputs with --data.",
    ]


def _list_came_along(unchecked: Sequence[str]) -> list[str]:
    """Return what lies in the folder that is not for others, where this is the folder of no owner: it has no key."""
    return [name for name in NOT_FOR_OTHERS if any(file == name or file.startswith(f"{name}/") for file in unchecked)]


def _show_recorded(name: str, recorded: JsonObject, folder: Path | None) -> bool:
    """Say what a plugin finds of what it recorded with the run; return whether that was checked."""
    from rft.plugins import discover_plugins

    registered = discover_plugins().get(name)
    check = registered.plugin.verify_evidence(recorded, folder) if registered else None
    out.say(check.sentence if check else f"What the plugin {name} recorded was not checked: it cannot, or is missing.")
    return check is not None and check.checked
