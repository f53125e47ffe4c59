"""What is signed: a statement of in-toto that the files of a run are these, and that its rules came out so.

The formats are Statement v1 and the predicate test-result v0.1 of the in-toto Attestation Framework. All of it follows
from the run folder: it holds no time and nothing random.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from rft.records import AuditRun, Outcome, Verdict, first_problem
from rft.report import open_run
from rft.report.run_folder.evidence import FILE, hash_files_for_others
from rft.report.run_folder.folder import PAGE_FILE

PAYLOAD_TYPE = "application/vnd.in-toto+json"
STATEMENT_TYPE: Final = "https://in-toto.io/Statement/v1"
PREDICATE_TYPE: Final = "https://in-toto.io/attestation/test-result/v0.1"

RunResult = Literal["PASSED", "WARNED", "FAILED"]

RESULTS: Mapping[str, RunResult] = {"pass": "PASSED", "uncertain": "WARNED", "no_rules": "WARNED", "fail": "FAILED"}
FROM_BEST_TO_WORST: tuple[Outcome, ...] = ("pass", "uncertain", "fail")
MOST_NAMES = 5  # of files that are shown


class _Part(BaseModel):
    """Base of the parts of a statement; keys that are not known are passed over, as the framework asks."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class Resource(_Part):
    """A file or a config, by its name and hashes; ``digest`` is algorithm -> hexadecimal digits."""

    name: str
    digest: dict[str, str]


class RunResults(_Part):
    """The verdict of a run in the words of test-result: tests are findings that rules judge."""

    result: RunResult
    configuration: tuple[Resource, ...]
    passed: tuple[str, ...] = Field(alias="passedTests")
    warned: tuple[str, ...] = Field(alias="warnedTests")
    failed: tuple[str, ...] = Field(alias="failedTests")


class Statement(_Part):
    """A statement of in-toto about the files of a run."""

    type: Literal["https://in-toto.io/Statement/v1"] = Field(alias="_type")
    subject: tuple[Resource, ...]
    predicate_type: Literal["https://in-toto.io/attestation/test-result/v0.1"] = Field(alias="predicateType")
    predicate: RunResults

    def to_payload(self) -> bytes:
        """Return the bytes that are signed: JSON with sorted keys, in ASCII."""
        return json.dumps(self.model_dump(mode="json", by_alias=True), sort_keys=True).encode("ascii")

    @classmethod
    def from_payload(cls, payload: bytes) -> Self:
        """Read what was signed; raises ``pydantic.ValidationError`` for anything but such a statement."""
        return cls.model_validate_json(payload)


def describe_run(folder: Path) -> Statement:
    """Return the statement about a run, ``evidence.json`` as its first subject.

    Raises:
        DataError: the folder holds no run.
        EvidenceError: it has no readable ``evidence.json``.
    """
    hashes = hash_files_for_others(folder)
    names = sorted(hashes, key=lambda name: (name != FILE, name))
    return Statement(
        _type=STATEMENT_TYPE,
        subject=tuple(Resource(name=name, digest={"sha256": hashes[name]}) for name in names),
        predicateType=PREDICATE_TYPE,
        predicate=_describe_results(open_run(folder)),
    )


def compare_statement(payload: bytes, folder: Path) -> list[str]:
    """Return in which ways a run is not the one that was signed, one sentence each; none where it is.

    Raises:
        DataError: the folder holds no run.
        EvidenceError: it has no readable ``evidence.json``.
    """
    signed = _read_statement(payload)
    if isinstance(signed, str):
        return [signed]
    present = describe_run(folder)
    return [*_compare_subjects(signed.subject, present.subject), *_compare_results(signed, present)]


def compare_page(payload: bytes, page: Path) -> list[str]:
    """Return why a report that came alone, by whatever name, is not that of the signed run; none where it is."""
    signed = _read_statement(payload)
    if isinstance(signed, str):
        return [signed]
    sha256 = hashlib.sha256(page.read_bytes()).hexdigest()
    if any(resource.name == PAGE_FILE and resource.digest.get("sha256") == sha256 for resource in signed.subject):
        return []
    return [f"{page.name} is not the report of the run that was signed"]


def _read_statement(payload: bytes) -> Statement | str:
    """Return what was signed, or why it is no statement about a run."""
    try:
        return Statement.from_payload(payload)
    except ValidationError as error:
        return f"what was signed is no statement about a run: {first_problem(error)}"


def _describe_results(run: AuditRun) -> RunResults:
    outcomes = _worst_outcomes(run.latest_verdict)
    passed, warned, failed = (
        tuple(name for name, outcome in outcomes.items() if outcome == word) for word in FROM_BEST_TO_WORST
    )
    return RunResults(
        result=RESULTS[run.latest_verdict.status],
        configuration=_list_configs(run),
        passedTests=passed,
        warnedTests=warned,
        failedTests=failed,
    )


def _list_configs(run: AuditRun) -> tuple[Resource, ...]:
    """Return the config of a run and the files of rules that were applied later, by their hashes.

    A version for strangers has no config.
    """
    sha256 = run.run.config_sha256
    config = (Resource(name=run.run.name, digest={"sha256": sha256}),) if sha256 else ()
    return (*config, *(Resource(name=later.file, digest={"sha256": later.sha256}) for later in run.later_verdicts))


def _worst_outcomes(verdict: Verdict) -> dict[str, Outcome]:
    """Return the worst outcome of the rules about each finding: what fails by one rule is in no list of what passed."""
    worst: dict[str, Outcome] = {}
    for rule in verdict.rules:
        worst[rule.finding] = max(worst.get(rule.finding, "pass"), rule.outcome, key=FROM_BEST_TO_WORST.index)
    return worst


def _compare_subjects(signed: Iterable[Resource], present: Iterable[Resource]) -> list[str]:
    """Return what is wrong with the files that were signed, which is asked of their names here, never of the disk."""
    hashes = {resource.name: resource.digest["sha256"] for resource in present}
    signed = tuple(signed)
    problems = [] if any(resource.name == FILE for resource in signed) else [f"{FILE} is not among what was signed"]
    wrong = [
        f"{resource.name} is not the file that was signed" if resource.name in hashes else f"{resource.name} is missing"
        for resource in signed
        if hashes.get(resource.name) != resource.digest.get("sha256")
    ]
    more = [f"{len(wrong) - MOST_NAMES:,} more files are not those that were signed"] if len(wrong) > MOST_NAMES else []
    return [*problems, *wrong[:MOST_NAMES], *more]


def _compare_results(signed: Statement, present: Statement) -> list[str]:
    names = {
        "result": "the result",
        "configuration": "the config",
        "passed": "the list of passed rules",
        "warned": "the list of uncertain rules",
        "failed": "the list of failed rules",
    }
    return [
        f"{words} that was signed is not that of audit.json"
        for name, words in names.items()
        if getattr(signed.predicate, name) != getattr(present.predicate, name)
    ]
