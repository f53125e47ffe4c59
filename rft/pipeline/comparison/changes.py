"""The findings of two runs side by side: what each says, the difference, and what only one of them measured."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from rft.disclosure.withheld import Withheld
from rft.number_format import CONTINUOUS_UNITS, format_interval
from rft.pipeline.comparison.withheld import rests_on_few
from rft.records import (
    CHANGE,
    Adjusted,
    AuditRun,
    Cell,
    Chapter,
    Finding,
    FindingDefinition,
    Interval,
    Row,
    Section,
    list_columns,
)
from rft.stats.intervals import CONFIDENCE_LEVEL
from rft.stats.multiplicity import JUDGED_ESTIMATE_COUNTS

PLUGIN = "change"
SHARED, UNSHARED = "shared", "not_shared"
CAPTIONS = {
    SHARED: "Each finding of both runs. Cases: how many independent ones its value in that run rests on. Compared: on "
    "the same test examples (paired), by the intervals of both runs (not paired), or as a fact of the runs",
    UNSHARED: "Findings that are not compared, and why",
}
COLUMNS = {
    SHARED: list_columns(
        {
            "finding": "key",
            "before": "number",
            "before_interval": "note",
            "before_n": "count",
            "after": "number",
            "after_interval": "note",
            "after_n": "count",
            "difference": "estimate",
            "low": "low",
            "high": "high",
            "compared": "note",
            "better": "note",
        },
        labels={
            "before_interval": "interval before",
            "before_n": "cases before",
            "after_interval": "interval after",
            "after_n": "cases after",
        },
    ),
    UNSHARED: list_columns({"finding": "key", "reason": "text"}),
}
NOT_PAIRED = "not paired"


@dataclass(frozen=True)
class _SharedFinding:
    """A finding as both runs state it, and its change; how many cases each rests on, None where that is withheld."""

    before: Finding
    after: Finding
    cases: tuple[int | None, int | None]
    change: Finding
    compared: str


def compare_findings(
    runs: Sequence[AuditRun], names: tuple[str, str], paired: Sequence[Section], withheld: Withheld
) -> Section:
    """Return the section of the changes of all findings that both runs measured.

    Args:
        runs: two of them.
        names: what they are called.
        paired: sections of plugins; a change that one states on the same examples is taken from there.
        withheld: what either run withholds: such findings of the other have no difference either.
    """
    stated = {finding.id: finding for section in paired for finding in section.findings}
    first, second = (_list_findings(run) for run in runs)
    reasons: dict[str, str] = {}
    shared = []
    for id in dict.fromkeys([*first, *second]):
        before, after = first.get(id), second.get(id)
        if before is None or after is None or (reason := _explain_not_compared(before, after, names, withheld)):
            reasons[id] = f"only in {names[before is None]}" if before is None or after is None else reason
            continue
        shared.append(_compare_finding(before, after, stated.get(before.change_id), names, withheld))
    changes = tuple(item.change for item in shared if item.change.id not in stated)
    return Section(
        plugin=PLUGIN,
        title="Findings of both runs",
        findings=changes,
        tables={
            SHARED: list(_tabulate_shared(shared)),
            UNSHARED: [{"finding": id, "reason": reason} for id, reason in reasons.items()],
        },
        columns=COLUMNS,
        captions=CAPTIONS,
        chapters=(
            Chapter(
                title="Changes that are not paired", folded=True, findings=tuple(finding.id for finding in changes)
            ),
            Chapter(title="Not compared", folded=True, tables=(UNSHARED,)),
        ),
    )


def _list_findings(run: AuditRun) -> dict[str, Finding]:
    return {finding.id: finding for section in run.sections for finding in section.findings}


def _explain_not_compared(before: Finding, after: Finding, names: tuple[str, str], withheld: Withheld) -> str:
    """Return why two findings have no difference; empty where they have one."""
    for finding, name in zip((before, after), names, strict=True):
        if finding.value is None:
            return f"not measured in {name}: {finding.reason}"
    if rests_on_few(before, withheld) or rests_on_few(after, withheld):
        return withheld.reason
    if set(before.withheld) != set(after.withheld):
        return f"{withheld.reason}: the runs leave out different groups"
    if before.unit != after.unit:
        return f"in {before.unit or 'no unit'} in {names[0]}, in {after.unit or 'no unit'} in {names[1]}"
    return ""


def _compare_finding(
    before: Finding, after: Finding, stated: Finding | None, names: tuple[str, str], withheld: Withheld
) -> _SharedFinding:
    cases = withheld.mask_count(before.n), withheld.mask_count(after.n)
    if stated is not None and stated.value is not None:
        return _SharedFinding(before, after, cases, stated, "paired")
    exact = before.deterministic and after.deterministic
    change = _state_change(before, after, names, min((n for n in cases if n is not None), default=0))
    return _SharedFinding(before, after, cases, change, "fact" if exact else NOT_PAIRED)


def _state_change(before: Finding, after: Finding, names: tuple[str, str], n: int) -> Finding:
    """Return the change of a finding by what either run says of it; ``n`` cases are in the smaller of both."""
    assert before.value is not None
    assert after.value is not None
    definition = FindingDefinition(
        after.change_id,
        f"{after.title}: change",
        f"{after.title}: that of {names[1]} minus that of {names[0]}.",
        unit=after.unit,
        about=after.about,
        better=after.better,
        cases="none",
    )
    difference = after.value - before.value
    if before.deterministic and after.deterministic:
        return definition.state_fact(difference)
    adjusted = tuple(_adjust_difference(before, after))
    return replace(
        definition, caveats="The runs are not paired: the interval is that of both, and wide."
    ).state_estimate(
        difference,
        interval=adjusted[0].interval if adjusted else None,
        adjusted=adjusted,
        n=n,
        small_groups=tuple(dict.fromkeys((*before.small_groups, *after.small_groups))),
    )


def _adjust_difference(before: Finding, after: Finding) -> Iterator[Adjusted]:
    """Yield intervals of the difference that hold whatever the two have in common.

    Where each interval misses its value in at most half of the cases that the level leaves, the difference lies between
    the ends that are farthest apart (Bonferroni).
    """
    for rules in JUDGED_ESTIMATE_COUNTS:
        ends = [_find_ends(finding, 2 * rules) for finding in (before, after)]
        if ends[0] is None or ends[1] is None:
            return
        level = 1 - (1 - CONFIDENCE_LEVEL) / (2 * rules)
        method = f"not paired: both intervals at {100 * level:.4g} %"
        interval = Interval(low=ends[1][0] - ends[0][1], high=ends[1][1] - ends[0][0], method=method)
        yield Adjusted(rules=rules, interval=interval)


def _find_ends(finding: Finding, rules: int) -> tuple[float, float] | None:
    """Return the ends of the interval of a finding for so many judged estimates; None where it has none."""
    if finding.deterministic:
        return (finding.value, finding.value) if finding.value is not None else None
    for adjusted in finding.adjusted:
        if adjusted.rules >= rules:
            return adjusted.interval.low, adjusted.interval.high
    return None


def _tabulate_shared(shared: Sequence[_SharedFinding]) -> Iterator[Row]:
    for item in shared:
        interval = item.change.interval
        yield {
            "finding": item.before.id,
            "before": _as_cell(item.before, item.before.value),
            "before_interval": _write_interval(item.before),
            "before_n": item.cases[0],
            "after": _as_cell(item.after, item.after.value),
            "after_interval": _write_interval(item.after),
            "after_n": item.cases[1],
            "difference": _as_cell(item.before, item.change.value),
            "low": interval.low if interval else None,
            "high": interval.high if interval else None,
            "compared": item.compared,
            "better": item.after.better or "neither",
        }


def _as_cell(finding: Finding, value: float | None) -> Cell:
    """Return a value as it stands in a table: whole where it counts something."""
    counted = finding.deterministic and finding.unit not in CONTINUOUS_UNITS
    return int(value) if counted and value is not None and value.is_integer() else value


def _write_interval(finding: Finding) -> str | None:
    return format_interval(finding.interval.low, finding.interval.high) if finding.interval else None


def list_changes(sections: Sequence[Section]) -> Mapping[str, Finding]:
    """Return the changes that can be judged, by the name of what changed: the finding of the runs, or the change."""
    findings = [finding for section in sections for finding in section.findings]
    return {finding.id.removeprefix(CHANGE): finding for finding in findings if finding.value is not None}
