"""Rules over findings -> verdict. Findings state facts; only this module judges them.

A rule is settled by the interval of an estimate, or by an exact value itself. An interval that lies across the
threshold is ``uncertain``, and so is an estimate that has no interval, something not measured, or absent.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal

from rft.config import Rule
from rft.errors import near
from rft.records import Finding, Outcome, RuleOutcome, Section, Verdict


def judge(rules: Sequence[Rule], sections: Iterable[Section], *, source: str = "the config of this run") -> Verdict:
    """Return the verdict of these rules, which stand in ``source``, over the findings of all sections.

    Broken integrity fails whatever the rules say; a plugin that gave no audit makes the verdict uncertain at least.
    """
    sections = tuple(sections)
    findings = {finding.id: finding for section in sections for finding in section.findings}
    outcomes = [_integrity(finding) for finding in findings.values() if finding.status == "fail"]
    outcomes += [_absent(section, findings) for section in sections if f"{section.plugin}.audit" in findings]
    outcomes += [_apply(rule, findings) for rule in rules]
    return Verdict(source=source, status=_overall(outcomes), rules=tuple(outcomes))


def _overall(outcomes: list[RuleOutcome]) -> Literal["pass", "fail", "uncertain", "no_rules"]:
    found = {outcome.outcome for outcome in outcomes}
    if "fail" in found:
        return "fail"
    if "uncertain" in found:
        return "uncertain"
    return "pass" if found else "no_rules"


def _integrity(finding: Finding) -> RuleOutcome:
    return RuleOutcome(
        rule="integrity holds",
        finding=finding.id,
        outcome="fail",
        because="built in: numbers of a run with broken integrity mean nothing",
        explanation=finding.meaning,
    )


def _absent(section: Section, findings: dict[str, Finding]) -> RuleOutcome:
    finding = findings[f"{section.plugin}.audit"]
    return RuleOutcome(
        rule=f"{section.plugin} is audited",
        finding=finding.id,
        outcome="uncertain",
        because="built in: an audit that is missing must not look like one that is clean",
        explanation=finding.reason or finding.meaning,
    )


def _apply(rule: Rule, findings: dict[str, Finding]) -> RuleOutcome:
    outcome, explanation = _judge(rule, findings)
    return RuleOutcome(
        rule=_text(rule), finding=rule.finding, outcome=outcome, because=rule.because, explanation=explanation
    )


def _judge(rule: Rule, findings: dict[str, Finding]) -> tuple[Outcome, str]:
    finding = findings.get(rule.finding)
    if finding is None:
        return "uncertain", f"no such finding in this run. {near(rule.finding, list(findings)) or ''}".strip()
    if finding.value is None:
        return "uncertain", f"not measured: {finding.reason}"
    if finding.interval is not None:
        low, high = finding.interval.low, finding.interval.high
        measured = f"{finding.value:.4g}, interval {low:.4g} to {high:.4g}"
    elif finding.exact:
        low = high = finding.value
        measured = f"{finding.value:.4g}"
    else:
        return "uncertain", f"{finding.value:.4g} is an estimate without an interval, which settles nothing"
    return _compare(rule, low, high, measured)


def _compare(rule: Rule, low: float, high: float, measured: str) -> tuple[Outcome, str]:
    by_itself = "" if low == high else "wholly "
    above = rule.max is not None and low > rule.max
    below = rule.min is not None and high < rule.min
    if above or below:
        return "fail", f"{measured}: {by_itself}{'above' if above else 'below'} the bound"
    inside = (rule.max is None or high <= rule.max) and (rule.min is None or low >= rule.min)
    if inside:
        return "pass", f"{measured}: {by_itself}within the bound"
    return "uncertain", f"{measured}: lies across the bound"


def _text(rule: Rule) -> str:
    bounds = [("at least", rule.min), ("at most", rule.max)]
    return f"{rule.finding} is {' and '.join(f'{words} {bound:g}' for words, bound in bounds if bound is not None)}"
