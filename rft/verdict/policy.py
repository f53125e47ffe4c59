"""Rules over findings -> verdict. Findings state facts; only this module judges them.

A rule is settled by the interval of an estimate, or by an exact value itself. An interval that lies across the
threshold is ``uncertain``, and so is an estimate that has no interval, something not measured, or absent. Where rules
name several estimates, their intervals are the wider ones of Bonferroni's correction, so that the chance that any of
them misses its true value stays below 5 %; one that was not measured counts, too. A finding that has no interval for so
many is ``uncertain``: a rule more never makes a verdict looser.
Groups that are too small to be compared enter by their exact intervals: a rule is never met by leaving somebody out.
Groups that are withheld (``report.suppress_below``) are not judged at all: a rule can fail by the others, never pass.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from rft import number_format
from rft.config.rule_kinds import RULE_KINDS
from rft.config.schema import Rule
from rft.errors import near
from rft.records import Finding, Interval, Outcome, RuleOutcome, Section, Verdict
from rft.stats.intervals import CONFIDENCE_LEVEL
from rft.stats.settling import cases_to_settle

MAX_REALISTIC_GROWTH = 100  # of the number of cases
CHANGE_MODEL = "improve the model, or ask whoever set the bound whether another is justified"
UNITS_OF_SHARES = ("fraction", "probability")  # units of findings that lie between 0 and 1


def judge_rules(
    rules: Sequence[Rule], sections: Iterable[Section], *, source: str = "the config of this run"
) -> Verdict:
    """Return the verdict of these rules, which stand in ``source``, over the findings of all sections.

    Broken integrity fails whatever the rules say; a plugin that gave no audit, or one that answers
    nothing, makes the verdict uncertain at least.
    """
    sections = tuple(sections)
    findings = {finding.id: finding for section in sections for finding in section.findings}
    judged = _count_estimates(rules, findings)
    outcomes = judge_without_rules(sections) + [_apply_rule(rule, findings, judged) for rule in rules]
    return Verdict(source=source, status=combine_outcomes(outcomes), rules=tuple(outcomes))


def judge_without_rules(sections: Iterable[Section]) -> list[RuleOutcome]:
    """Return what no rule needs to ask for: the outcome of each broken integrity, then of each missing audit."""
    sections = tuple(sections)
    broken = [finding for section in sections for finding in section.findings if finding.status == "fail"]
    outcomes = [_judge_integrity(finding) for finding in broken]
    missing = [section for section in sections if section.audit_missing or section.unanswered]
    return outcomes + [_judge_missing_audit(section) for section in missing]


def write_rule(rule: Rule) -> str:
    """Return a rule in words, as it stands in a verdict: ``performance.accuracy is at least 0.8``."""
    return f"{rule.finding} is {_write_bounds(rule)}"


def combine_outcomes(outcomes: Sequence[RuleOutcome]) -> Literal["pass", "fail", "uncertain", "no_rules"]:
    """Return the status of several rules: the worst of their outcomes."""
    words = {outcome.outcome for outcome in outcomes}
    if "fail" in words:
        return "fail"
    if "uncertain" in words:
        return "uncertain"
    return "pass" if words else "no_rules"


def _judge_integrity(finding: Finding) -> RuleOutcome:
    return RuleOutcome(
        rule="integrity holds",
        finding=finding.id,
        outcome="fail",
        because="built in: numbers of a run with broken integrity mean nothing",
        explanation=finding.description,
        value=finding.value,
    )


def _judge_missing_audit(section: Section) -> RuleOutcome:
    """Return the outcome of a rule about the audit itself: its id is that of no finding which a rule may name."""
    finding = next((finding for finding in section.findings if finding.id == section.unanswered), section.findings[0])
    return RuleOutcome(
        rule=f"{section.plugin} is audited",
        finding=f"{section.plugin}.audit",
        outcome="uncertain",
        because="built in: an audit that is missing must not look like one that is clean",
        explanation=finding.reason or finding.description,
        remedy=finding.remedy,
    )


def _count_estimates(rules: Sequence[Rule], findings: dict[str, Finding]) -> int:
    """Return how many estimates the rules judge together.

    All that the rules name count, measured or not, since what can be measured may depend on results; facts of the run
    are no matter of chance.
    """
    named = {rule.finding for rule in rules}
    return sum(name not in findings or not findings[name].deterministic for name in named)


@dataclass(frozen=True)
class _Judgement:
    """What a rule says: the outcome, why, what was measured in words, what settled it at its level, what would."""

    outcome: Outcome
    reason: str
    measured: str = ""
    interval: Interval | None = None
    level: float | None = None
    remedy: str = ""


def _apply_rule(rule: Rule, findings: dict[str, Finding], judged: int) -> RuleOutcome:
    judgement = _judge_finding(rule, findings, judged)
    finding = findings.get(rule.finding)
    if finding is not None and finding.withheld and finding.value is not None and judgement.outcome != "fail":
        reason = f"{judgement.reason}, of the groups that are shown; {_name_withheld(finding)}"
        judgement = replace(judgement, outcome="uncertain", reason=reason)
    return RuleOutcome(
        rule=write_rule(rule),
        finding=rule.finding,
        outcome=judgement.outcome,
        because=rule.because,
        explanation=": ".join(filter(None, [judgement.measured, judgement.reason])),
        reason=judgement.reason,
        remedy=judgement.remedy,
        asked=_write_bounds(rule),
        bounds=rule.bounds,
        value=finding.value if finding else None,
        interval=judgement.interval,
        level=judgement.level,
        small_groups=finding.small_groups if finding else (),
    )


def _name_withheld(finding: Finding) -> str:
    """Say who is not judged: a rule that passes, or fails by them, would be a statement about them."""
    return f"{', '.join(finding.withheld)}: withheld (report.suppress_below), and not judged"


def _judge_finding(rule: Rule, findings: dict[str, Finding], judged: int) -> _Judgement:
    finding = findings.get(rule.finding)
    if finding is None:
        return _Judgement(
            "uncertain", f"no such finding in this run. {near(rule.finding, list(findings)) or ''}".strip()
        )
    if finding.value is None:
        return _judge_unmeasured(rule, finding, judged)
    if finding.unit in UNITS_OF_SHARES and 1 < (highest := rule.allowed_range[1]) < math.inf:
        return _Judgement("uncertain", f"no share is above 1, so {highest:g} bounds nothing; 10 % is 0.1")
    if finding.deterministic:
        return _Judgement(*_compare_with_bounds(rule, finding.value, finding.value), f"{finding.value:.4g}")
    judging = _find_interval(finding, judged)
    if judging is None:
        return _Judgement("uncertain", _explain_missing_interval(finding, judged))
    interval, level = judging
    outcome, reason = _compare_with_bounds(rule, interval.low, interval.high)
    remedy = ""
    if outcome == "uncertain":
        settling, remedy = _explain_settling(rule, finding, interval)
        reason = f"{reason}; {settling}"
    return _Judgement(outcome, reason, _write_estimate(finding, interval, level, judged), interval, level, remedy)


def _judge_unmeasured(rule: Rule, finding: Finding, judged: int) -> _Judgement:
    """Return ``uncertain``, or ``fail`` where the groups that are too small to be compared break the rule already."""
    uncertain = _Judgement("uncertain", f"not measured: {finding.reason}", remedy=finding.remedy)
    if not finding.small_groups or (judging := _find_interval(finding, judged)) is None:
        return uncertain
    interval, level = judging
    outcome, reason = _compare_with_bounds(rule, interval.low, interval.high)
    ends = _write_ends(interval, level, judged)
    measured = f"{_with_small_groups(finding)} the interval is {ends}"
    return _Judgement(outcome, reason, measured, interval, level) if outcome == "fail" else uncertain


def _write_estimate(finding: Finding, interval: Interval, level: float, judged: int) -> str:
    ends = _write_ends(interval, level, judged)
    if not finding.small_groups:
        return f"{finding.value:.4g}, interval {ends}"
    return f"{finding.value:.4g} among the compared groups; {_with_small_groups(finding)} the interval is {ends}"


def _write_ends(interval: Interval, level: float, judged: int) -> str:
    """Return an interval in words, with a note on its level where several estimates share it."""
    note = f" at {100 * level:.4g} %, since the rules name {judged} estimates" * (judged > 1)
    return f"{interval.low:.4g} to {interval.high:.4g}{note}"


def _with_small_groups(finding: Finding) -> str:
    return f"with {', '.join(finding.small_groups)}, too small to be compared,"


def _find_interval(finding: Finding, judged: int) -> tuple[Interval, float] | None:
    """Return the interval that settles a rule when so many estimates are judged, and its level."""
    for adjusted in finding.adjusted:
        if adjusted.rules >= judged:
            return adjusted.interval, 1 - (1 - CONFIDENCE_LEVEL) / adjusted.rules
    if finding.interval is None or finding.small_groups or judged > 1:  # small groups have no part in it
        return None
    return finding.interval, CONFIDENCE_LEVEL


def _explain_missing_interval(finding: Finding, judged: int) -> str:
    """Return why no interval settles a rule about an estimate."""
    if finding.small_groups and not finding.adjusted:
        return (
            f"{finding.value:.4g} among the compared groups; {', '.join(finding.small_groups)}, too small to be "
            "compared, may lie anywhere"
        )
    if finding.interval is None and not finding.adjusted:
        return f"{finding.value:.4g} is an estimate without an interval, which settles nothing"
    most = max((adjusted.rules for adjusted in finding.adjusted), default=1)
    if most == 1:
        return f"{finding.value:.4g} has an interval for a rule about it alone, and the rules name {judged} estimates"
    return (
        f"{finding.value:.4g} has intervals for rules that name at most {most} estimates, and these name {judged}; "
        "fewer rules would settle it"
    )


def _explain_settling(rule: Rule, finding: Finding, interval: Interval) -> tuple[str, str]:
    """Return how many cases would settle the rule if the value stayed, and what to do.

    The interval must withdraw from each bound inside it to the side on which the value lies.
    """
    if finding.small_groups:
        small = ", ".join(finding.small_groups)
        return f"more cases of {small} are needed first", finding.remedy or f"Test on more cases of {small}."
    value, n = finding.value, finding.n
    assert value is not None
    crossed = [bound for bound in rule.allowed_range if interval.low <= bound <= interval.high]
    if not n or not crossed:
        return "more cases would settle it", "test on more cases, and audit again"
    share = finding.unit in UNITS_OF_SHARES and finding.better == "higher"
    ends = [interval.high if value < bound else interval.low for bound in crossed]
    enough = max(cases_to_settle(n, value, end, bound, share=share) for end, bound in zip(ends, crossed, strict=True))
    if math.isinf(enough):
        return "no number of cases would settle a value on the bound", CHANGE_MODEL
    needed, there = (number_format.format_count(count) for count in (round_up(enough), n))
    cases = f"about {needed} independent cases in place of {there}"
    remedy = f"test on {cases}, and audit again"
    if enough > MAX_REALISTIC_GROWTH * n:
        remedy = f"too close to the bound to settle (about {needed} cases would be needed): {CHANGE_MODEL}"
    return f"{cases} would settle it, if the value stays", remedy


def round_up(number: float) -> int:
    """Return a whole number with two digits that count, not below ``number``."""
    unit: int = 10 ** max(math.floor(math.log10(number)) - 1, 0)
    return math.ceil(round(number / unit, 6)) * unit  # rounded, lest 40.0000001 becomes 41


def _compare_with_bounds(rule: Rule, low: float, high: float) -> tuple[Outcome, str]:
    allowing = "" if low == high else ", even allowing for chance"
    lowest, highest = rule.allowed_range
    if low > highest or high < lowest:
        return "fail", f"{'above' if low > highest else 'below'} the bound{allowing}"
    if lowest <= low and high <= highest:
        return "pass", f"within the bound{allowing}"
    return "uncertain", "the range reaches across the bound"


def _write_bounds(rule: Rule) -> str:
    bounds = sorted((bound, RULE_KINDS[key].words) for key, bound in rule.bounds.items())
    return " and ".join(f"{words} {bound:g}" for bound, words in bounds)
