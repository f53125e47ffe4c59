import pytest

from rft.config.schema import Rule
from rft.records import Adjusted, Finding, FindingDefinition, Interval, Section
from rft.verdict.policy import judge_rules


def finding(value: float, low: float | None = None, high: float | None = None, **changes: object) -> Finding:
    interval = Interval(low=low, high=high, method="test") if low is not None else None
    fields = {"id": "p.x", "title": "x", "status": "info", "description": "m", **changes}
    return Finding(value=value, interval=interval, **fields)


def judge(rule: Rule, *findings: Finding) -> tuple[str, str]:
    verdict = judge_rules([rule], [Section(plugin="p", findings=findings)])
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
    status, explanation = judge(Rule(finding="p.x", max=0.10), finding((low + high) / 2, low, high))
    assert status == expected
    assert f"{high:.4g}" in explanation


@pytest.mark.parametrize(
    ("low", "high", "expected"), [(0.8, 0.9, "pass"), (0.7, 0.9, "uncertain"), (0.6, 0.79, "fail")]
)
def test_a_lower_bound_too(low: float, high: float, expected: str) -> None:
    assert judge(Rule(finding="p.x", min=0.8), finding(0.75, low, high))[0] == expected


def test_both_bounds_together() -> None:
    rule = Rule(finding="p.x", min=0.4, max=0.6)
    assert judge(rule, finding(0.5, 0.45, 0.55))[0] == "pass"
    assert judge(rule, finding(0.5, 0.35, 0.65))[0] == "uncertain"
    assert judge(rule, finding(0.7, 0.65, 0.75))[0] == "fail"


def test_an_exact_value_settles_itself_and_an_estimate_without_interval_nothing() -> None:
    rule = Rule(finding="p.x", max=3)
    assert judge(rule, finding(2.9, deterministic=True))[0] == "pass"
    assert judge(rule, finding(3.1, deterministic=True))[0] == "fail"
    assert judge(rule, finding(0.1)) == ("uncertain", "0.1 is an estimate without an interval, which settles nothing")


def test_a_bound_in_percent_bounds_nothing() -> None:
    status, explanation = judge(Rule(finding="p.x", max=10), finding(0.05, 0.01, 0.09, unit="fraction"))
    assert (status, explanation) == ("uncertain", "no share is above 1, so 10 bounds nothing; 10 % is 0.1")
    assert judge(Rule(finding="p.x", max=10), finding(5, 4, 6, unit="epsilon"))[0] == "pass"


def test_what_was_not_measured_or_is_absent_is_uncertain() -> None:
    rule = Rule(finding="p.x", max=3)
    status, explanation = judge(rule, FindingDefinition("p.x", "x", "m").state_not_measured("no positives"))
    assert (status, explanation) == ("uncertain", "not measured: no positives")
    status, explanation = judge(Rule(finding="p.xx", max=3), finding(1.0, deterministic=True))
    assert status == "uncertain"
    assert "Did you mean 'p.x'?" in explanation


def test_no_rules_is_not_a_pass() -> None:
    assert judge_rules([], [Section(plugin="p", findings=(finding(1.0, deterministic=True),))]).status == "no_rules"


def test_broken_integrity_fails_whatever_the_rules_say() -> None:
    broken = finding(1.0, deterministic=True, status="fail")
    verdict = judge_rules([Rule(finding="p.x", max=3)], [Section(plugin="p", findings=(broken,))])
    assert verdict.status == "fail"
    assert [rule.outcome for rule in verdict.rules] == ["fail", "pass"]


def test_a_plugin_that_gave_no_audit_is_uncertain_and_another_missing_finding_is_not() -> None:
    absent = Section(
        plugin="p",
        findings=(FindingDefinition("p.audit", "x", "m").state_not_measured("it failed"),),
        audit_missing=True,
    )
    assert judge_rules([], [absent]).status == "uncertain"
    partly = Section(plugin="p", findings=(FindingDefinition("p.tpr", "x", "m").state_not_measured("no positives"),))
    assert judge_rules([], [partly]).status == "no_rules"


def test_one_failure_outweighs_one_doubt() -> None:
    findings = (finding(5.0, deterministic=True), finding(1.0, id="p.y"))
    rules = [Rule(finding="p.y", max=3), Rule(finding="p.x", max=3)]
    verdict = judge_rules(rules, [Section(plugin="p", findings=findings)])
    assert verdict.status == "fail"


def adjusted_levels(*ends: tuple[int, float, float]) -> tuple[Adjusted, ...]:
    return tuple(
        Adjusted(rules=rules, interval=Interval(low=low, high=high, method=f"for {rules}")) for rules, low, high in ends
    )


def test_several_estimates_are_judged_by_wider_intervals() -> None:
    levels = adjusted_levels((1, 0.02, 0.09), (2, 0.01, 0.11), (5, 0.0, 0.12))
    findings = [finding(0.05, 0.02, 0.09, adjusted=levels, id=f"p.{name}", n=100) for name in "abc"]
    rules = [Rule(finding=f"p.{name}", max=0.10) for name in "abc"]
    section = [Section(plugin="p", findings=tuple(findings))]
    assert judge_rules(rules[:1], section).status == "pass"
    assert [rule.outcome for rule in judge_rules(rules[:2], section).rules] == ["uncertain"] * 2
    explained = judge_rules(rules, section).rules[0].explanation
    assert "interval 0 to 0.12 at 99 %, since the rules name 3 estimates" in explained
    twice = [Rule(finding="p.a", max=0.10), Rule(finding="p.a", max=0.2)]
    assert [rule.outcome for rule in judge_rules(twice, section).rules] == [
        "pass",
        "pass",
    ]  # one estimate, whatever the rules


def test_facts_of_the_run_do_not_widen_the_intervals_of_estimates() -> None:
    estimate = finding(0.05, 0.02, 0.09, adjusted=adjusted_levels((1, 0.02, 0.09), (2, 0.01, 0.11)))
    section = [Section(plugin="p", findings=(estimate, finding(3, deterministic=True, id="p.e")))]
    rules = [Rule(finding="p.x", max=0.10), Rule(finding="p.e", max=3)]
    assert judge_rules(rules, section).status == "pass"


def test_an_estimate_that_was_not_measured_counts_as_one_that_was() -> None:
    """What can be measured may depend on results: the level must not."""
    levels = adjusted_levels((1, 0.02, 0.09), (2, 0.01, 0.11))
    estimate = finding(0.05, 0.02, 0.09, adjusted=levels)
    absent = FindingDefinition("p.y", "y", "y").state_not_measured("no positives")
    rules = [Rule(finding="p.x", max=0.10), Rule(finding="p.y", max=0.1), Rule(finding="p.gone", max=0.1)]
    section = [Section(plugin="p", findings=(estimate, absent))]
    assert judge_rules(rules[:1], section).rules[0].outcome == "pass"
    for named in (rules[:2], [rules[0], rules[2]]):
        judged = judge_rules(named, section).rules[0]
        assert (judged.outcome, judged.level) == ("uncertain", 0.975)


def test_an_estimate_that_cannot_be_judged_beside_others_is_uncertain() -> None:
    section = [Section(plugin="p", findings=(finding(0.05, 0.02, 0.09), finding(0.05, 0.02, 0.09, id="p.y")))]
    rules = [Rule(finding="p.x", max=0.10), Rule(finding="p.y", max=0.01)]
    assert [judge_rules([rule], section).rules[0].outcome for rule in rules] == ["pass", "fail"]
    together = judge_rules(rules, section).rules
    assert [rule.outcome for rule in together] == ["uncertain", "uncertain"]
    assert "has an interval for a rule about it alone, and the rules name 2 estimates" in together[0].explanation


def test_the_101st_rule_does_not_make_verdicts_looser() -> None:
    wider = adjusted_levels(*((number, 0.02, 0.09 + number / 1e4) for number in (1, 10, 100)))
    findings = [finding(0.05, 0.02, 0.09, adjusted=wider, id=f"p.{number}") for number in range(101)]
    section = [Section(plugin="p", findings=tuple(findings))]
    rules = [Rule(finding=shown_finding.id, max=0.095) for shown_finding in findings]
    for judged, outcome in ((1, "pass"), (10, "pass"), (11, "uncertain"), (100, "uncertain"), (101, "uncertain")):
        assert {rule.outcome for rule in judge_rules(rules[:judged], section).rules} == {outcome}
    loose = [Rule(finding=shown_finding.id, max=0.5) for shown_finding in findings]
    assert {rule.outcome for rule in judge_rules(loose[:100], section).rules} == {"pass"}
    assert {rule.outcome for rule in judge_rules(loose, section).rules} == {"uncertain"}
    assert "at most 100 estimates" in judge_rules(loose, section).rules[0].explanation


@pytest.mark.parametrize(
    ("rule", "value", "ends", "cases"),
    [
        (
            Rule(finding="p.x", max=0.10),
            0.05,
            (0.0, 0.15),
            "about 400 independent cases in place of 100 would settle it",
        ),
        (
            Rule(finding="p.x", max=0.10),
            0.15,
            (0.05, 0.25),
            "about 400 independent cases in place of 100 would settle it",
        ),
        (Rule(finding="p.x", min=0.8), 0.75, (0.6, 0.9), "about 900 independent cases in place of 100 would settle it"),
        (
            Rule(finding="p.x", min=0.4, max=0.6),
            0.5,
            (0.35, 0.65),
            "about 230 independent cases in place of 100 would settle it",
        ),
        (Rule(finding="p.x", max=0.10), 0.10, (0.0, 0.2), "no number of cases"),
        (Rule(finding="p.x", max=0.10), 0.09, (0.0, 0.19), "about 10\u202f000 independent cases in place of 100"),
        (
            Rule(finding="p.x", max=0.10),
            0.09,
            (0.0, 0.191),
            "about 11\u202f000 independent cases in place of 100 would settle it",
        ),
    ],
)
def test_an_uncertain_rule_says_how_many_cases_would_settle_it(
    rule: Rule, value: float, ends: tuple[float, float], cases: str
) -> None:
    """By hand: the end beyond the bound must come as near as the bound, and comes by the root of n."""
    status, explanation = judge(rule, finding(value, *ends, n=100))
    assert status == "uncertain"
    assert cases in explanation


@pytest.mark.parametrize(
    ("value", "ends", "remedy"),
    [
        (0.05, (0.0, 0.15), "test on about 400 independent cases in place of 100, and audit again"),
        (0.10, (0.0, 0.2), "improve the model, or ask whoever set the bound whether another is justified"),
        (
            0.09,
            (0.0, 0.191),
            "too close to the bound to settle (about 11\u202f000 cases would be needed): improve the model, or ask "
            "whoever set the bound whether another is justified",
        ),
        (0.05, (0.0, 0.09), ""),
        (0.15, (0.11, 0.2), ""),
    ],
)
def test_an_unsettled_rule_says_what_to_do_and_a_settled_one_nothing(
    value: float, ends: tuple[float, float], remedy: str
) -> None:
    section = Section(plugin="p", findings=(finding(value, *ends, n=100),))
    (rule,) = judge_rules([Rule(finding="p.x", max=0.10)], [section]).rules
    assert rule.remedy == remedy
