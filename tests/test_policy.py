import pytest

from rft.config import Rule
from rft.policy import judge
from rft.records import Finding, Interval, Section, not_measured


def finding(value: float, low: float | None = None, high: float | None = None, **changes: object) -> Finding:
    interval = Interval(low=low, high=high, method="test") if low is not None else None
    fields = {"id": "p.x", "title": "x", "status": "info", "meaning": "m", **changes}
    return Finding(value=value, interval=interval, **fields)


def outcome(rule: Rule, *findings: Finding) -> tuple[str, str]:
    verdict = judge([rule], [Section(plugin="p", findings=findings)])
    return verdict.status, verdict.rules[-1].explanation


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0.01, 0.09, "pass"),
        (0.05, 0.10, "pass"),
        (0.05, 0.15, "uncertain"),
        (0.11, 0.20, "fail"),
        (0.1, 0.2, "uncertain"),
    ],
)
def test_an_interval_settles_an_upper_bound_or_not(low: float, high: float, expected: str) -> None:
    status, explanation = outcome(Rule(finding="p.x", max=0.10), finding((low + high) / 2, low, high))
    assert status == expected
    assert f"{high:.4g}" in explanation


@pytest.mark.parametrize(
    ("low", "high", "expected"), [(0.8, 0.9, "pass"), (0.7, 0.9, "uncertain"), (0.6, 0.79, "fail")]
)
def test_a_lower_bound_too(low: float, high: float, expected: str) -> None:
    assert outcome(Rule(finding="p.x", min=0.8), finding(0.75, low, high))[0] == expected


def test_both_bounds_together() -> None:
    rule = Rule(finding="p.x", min=0.4, max=0.6)
    assert outcome(rule, finding(0.5, 0.45, 0.55))[0] == "pass"
    assert outcome(rule, finding(0.5, 0.35, 0.65))[0] == "uncertain"
    assert outcome(rule, finding(0.7, 0.65, 0.75))[0] == "fail"


def test_an_exact_value_settles_itself_and_an_estimate_without_interval_nothing() -> None:
    rule = Rule(finding="p.x", max=3)
    assert outcome(rule, finding(2.9, exact=True))[0] == "pass"
    assert outcome(rule, finding(3.1, exact=True))[0] == "fail"
    assert outcome(rule, finding(0.1)) == ("uncertain", "0.1 is an estimate without an interval, which settles nothing")


def test_what_was_not_measured_or_is_absent_is_uncertain() -> None:
    rule = Rule(finding="p.x", max=3)
    status, explanation = outcome(rule, not_measured("p.x", "x", "no positives", "m"))
    assert (status, explanation) == ("uncertain", "not measured: no positives")
    status, explanation = outcome(Rule(finding="p.xx", max=3), finding(1.0, exact=True))
    assert status == "uncertain"
    assert "Did you mean 'p.x'?" in explanation


def test_no_rules_is_not_a_pass() -> None:
    assert judge([], [Section(plugin="p", findings=(finding(1.0, exact=True),))]).status == "no_rules"


def test_broken_integrity_fails_whatever_the_rules_say() -> None:
    broken = finding(1.0, exact=True, status="fail")
    verdict = judge([Rule(finding="p.x", max=3)], [Section(plugin="p", findings=(broken,))])
    assert verdict.status == "fail"
    assert [rule.outcome for rule in verdict.rules] == ["fail", "pass"]


def test_a_plugin_that_gave_no_audit_is_uncertain_and_another_missing_finding_is_not() -> None:
    absent = Section(plugin="p", findings=(not_measured("p.audit", "x", "it failed", "m"),))
    assert judge([], [absent]).status == "uncertain"
    other = Section(plugin="p", findings=(not_measured("p.tpr", "x", "no positives", "m"),))
    assert judge([], [other]).status == "no_rules"


def test_one_failure_outweighs_one_doubt() -> None:
    findings = (finding(5.0, exact=True), finding(1.0, id="p.y"))
    rules = [Rule(finding="p.y", max=3), Rule(finding="p.x", max=3)]
    verdict = judge(rules, [Section(plugin="p", findings=findings)])
    assert verdict.status == "fail"
