"""The finished runs of a folder over time: what each said of a finding, and how its rules came out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from rft.disclosure.withheld import Withheld
from rft.errors import DataError, EvidenceError, RftError, near
from rft.pipeline.comparison.withheld import join_withheld, rests_on_few
from rft.records import AuditRun, Better, Document, Finding, Number, Outcome, Record, RuleOutcome
from rft.report import open_run
from rft.report.run_folder import evidence
from rft.report.run_folder.folder import RUN_FILE
from rft.version import __version__


class HistoryRun(Record):
    """A run, by its number in the order of time from 1 on; ``folder`` is the name of its folder."""

    number: int
    id: str
    created: str
    folder: str
    rft_version: str
    verdict: str


class HistoryValue(Record):
    """What a run says of a finding.

    Attributes:
        run: its number.
        value: None where it was not measured, or is withheld.
        low, high: its interval, where it has one.
        bounds: kind of bound (``min``, ``max``) -> the bound, of all rules of the run about it.
        outcome: the worst of these rules; None without a rule.
    """

    run: int
    value: Number | None
    low: Number | None = None
    high: Number | None = None
    bounds: tuple[dict[str, Number], ...] = ()
    outcome: Outcome | None = None


class FindingHistory(Record):
    """A finding over the runs that state it; ``shown`` where a rule judges it or it is a headline in some run."""

    id: str
    title: str
    unit: str
    better: Better | None
    shown: bool
    values: tuple[HistoryValue, ...]


class NamedHistory(Record):
    """The runs of one name, the oldest first, and their findings."""

    name: str
    runs: tuple[HistoryRun, ...]
    findings: tuple[FindingHistory, ...]


class ExcludedRun(Record):
    """A folder that holds a run which cannot be trusted or read, and why."""

    folder: str
    reason: str


class RunHistory(Document):
    """All runs of a folder by name, and those that were left out."""

    format_version: int = 1
    rft_version: str = __version__
    histories: tuple[NamedHistory, ...]
    excluded: tuple[ExcludedRun, ...] = ()


def read_history(folder: str | Path, *, name: str | None = None) -> RunHistory:
    """Return the history of the runs in the folders of a folder.

    What ``rft report`` made from a run, and a second copy of a run, are passed over.

    Args:
        folder: holds run folders.
        name: of the runs that are wanted; all where it is None.

    Raises:
        DataError: there is no run, or none of this name.
        EvidenceError: there are runs, and none is as it was written.
    """
    places = _find_run_folders(Path(folder))
    runs, excluded = _open_runs(places)
    if not runs and excluded:
        reasons = "; ".join(f"{item.folder}: {item.reason}" for item in excluded)
        raise EvidenceError(f"no run in it can be read ({reasons})", where=str(folder))
    by_name: dict[str, dict[str, AuditRun]] = {}
    for place, run in sorted(runs.items(), key=lambda item: (item[1].run.volatile.created, item[1].run.volatile.id)):
        by_name.setdefault(run.run.name, {})[place] = run
    if name is not None and name not in by_name:
        raise DataError(f"holds no run of the name {name}", where=str(folder), remedy=near(name, list(by_name)))
    histories = [_describe_runs(known, by_name[known]) for known in sorted(by_name) if name in (None, known)]
    return RunHistory(histories=tuple(histories), excluded=tuple(excluded))


def _find_run_folders(folder: Path) -> list[Path]:
    places = []
    if folder.is_dir():
        places = [place for place in sorted(folder.iterdir()) if (place / RUN_FILE).is_file()]
    if not places:
        remedy = "Give the folder that run folders stand in, such as runs."
        raise DataError("holds no run folders", where=str(folder), remedy=remedy)
    return places


def _open_runs(places: Sequence[Path]) -> tuple[dict[str, AuditRun], list[ExcludedRun]]:
    """Return the runs by the name of their folder, and those that are not as they were written."""
    runs: dict[str, AuditRun] = {}
    excluded = []
    for place in places:
        try:
            run, made_from = open_run(place), evidence.read(place).made_from
        except RftError as error:
            excluded.append(ExcludedRun(folder=place.name, reason=error.what))
            continue
        if made_from is None and run.run.volatile.id not in {known.run.volatile.id for known in runs.values()}:
            runs[place.name] = run
    return runs, excluded


def _describe_runs(name: str, runs: Mapping[str, AuditRun]) -> NamedHistory:
    """Return the history of runs by the names of their folders, the oldest first."""
    withheld = join_withheld(list(runs.values()))
    described = tuple(
        HistoryRun(
            number=number,
            id=run.run.volatile.id,
            created=run.run.volatile.created,
            folder=place,
            rft_version=run.rft_version,
            verdict=run.verdict.status,
        )
        for number, (place, run) in enumerate(runs.items(), 1)
    )
    stated: dict[str, dict[int, Finding]] = {}
    for number, run in enumerate(runs.values(), 1):
        for finding in (finding for section in run.sections for finding in section.findings):
            stated.setdefault(finding.id, {})[number] = finding
    rules = {number: run.verdict.rules for number, run in enumerate(runs.values(), 1)}
    findings = (_trace_finding(findings, rules, withheld) for findings in stated.values())
    return NamedHistory(name=name, runs=described, findings=tuple(findings))


def _trace_finding(
    findings: Mapping[int, Finding], rules: Mapping[int, Sequence[RuleOutcome]], withheld: Withheld
) -> FindingHistory:
    last = findings[max(findings)]
    left_out = {name for finding in findings.values() for name in finding.withheld}
    values = []
    for number, finding in findings.items():
        about = [rule for rule in rules[number] if rule.finding == finding.id]
        is_hidden = rests_on_few(finding, withheld) or set(finding.withheld) != left_out
        values.append(_describe_value(number, finding, about, is_hidden=is_hidden))
    shown = any(finding.headline for finding in findings.values()) or any(value.bounds for value in values)
    return FindingHistory(
        id=last.id, title=last.title, unit=last.unit, better=last.better, shown=shown, values=tuple(values)
    )


def _describe_value(number: int, finding: Finding, rules: Sequence[RuleOutcome], *, is_hidden: bool) -> HistoryValue:
    interval = None if is_hidden else finding.interval
    return HistoryValue(
        run=number,
        value=None if is_hidden else finding.value,
        low=interval.low if interval else None,
        high=interval.high if interval else None,
        bounds=tuple(rule.bounds for rule in rules if rule.bounds),
        outcome=next(_rank_outcomes(rules), None),
    )


def _rank_outcomes(rules: Sequence[RuleOutcome]) -> Iterator[Outcome]:
    """Yield the outcomes of rules, the worst first."""
    worst_first: tuple[Outcome, ...] = ("fail", "uncertain", "pass")
    present = {rule.outcome for rule in rules}
    yield from (outcome for outcome in worst_first if outcome in present)
