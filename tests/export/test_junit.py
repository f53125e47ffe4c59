"""JUnit: nothing that is not a pass may look like one."""

from __future__ import annotations

from xml.etree import ElementTree as ET

from rft.records import AuditRun, FindingDefinition, Interval, Section
from tests.support.exported import export_text, golden_run, with_finding, with_rules, without_failures

ACCURACY = "performance.accuracy is at least 0.8"


def suite_of(run: AuditRun) -> ET.Element:
    return ET.fromstring(export_text(run, "junit").encode())[0]


def case_of(run: AuditRun, name: str) -> ET.Element:
    (case,) = [case for case in suite_of(run) if case.get("name") == name]
    return case


def test_each_outcome_is_what_ci_servers_show_it_as() -> None:
    tags = {case.get("name"): [child.tag for child in case] for case in suite_of(golden_run()).findall("testcase")}
    assert tags == {
        "integrity holds": ["failure"],
        ACCURACY: ["error"],
        "fairness.accuracy_gap.gender is at most 0.3": ["system-out"],
        "fairness.tpr_gap.ethnicity is at most 0.1": ["error"],
    }


def test_a_case_says_value_interval_bound_and_reason() -> None:
    error = case_of(golden_run(), ACCURACY).find("error")
    assert error is not None
    assert error.attrib == {
        "message": "0.8333, interval 0.694 to 0.917: the range reaches across the bound",
        "type": "uncertain",
    }
    assert (error.text or "").splitlines() == [
        "uncertain: 0.8333, interval 0.694 to 0.917: the range reaches across the bound",
        "bound: at least 0.8",
        "because: release criterion R-2",
        "finding: Accuracy",
        "value: 0.8333333333333334 fraction",
        "interval: 0.694 to 0.917 (Wilson, 95 %)",
        "n: 42",
    ]


def test_a_test_shows_the_interval_that_was_judged_and_no_other() -> None:
    run = golden_run()
    wider = Interval(low=0.66, high=0.93, method="Clopper-Pearson 97.5 %")
    rule = run.verdict.rules[1].model_copy(update={"interval": wider})
    error = case_of(with_rules(run, rule, status="uncertain"), ACCURACY).find("error")
    assert error is not None
    lines = [line for line in (error.text or "").splitlines() if line.startswith("interval")]
    assert lines == ["interval: 0.66 to 0.93 (Clopper-Pearson 97.5 %)"]


def test_a_broken_rule_and_broken_integrity_are_told_apart() -> None:
    run = golden_run()
    rules = [rule.model_copy(update={"outcome": "fail"}) for rule in run.verdict.rules]
    run = with_rules(run, *rules, status="fail")
    kinds = [failure.get("type") for failure in suite_of(run).iter("failure")]
    assert kinds == ["broken integrity", "broken rule", "broken rule", "broken rule"]


def test_broken_integrity_is_a_failure_where_the_verdict_does_not_name_it() -> None:
    suite = suite_of(with_rules(golden_run()))
    assert [case.get("classname") for case in suite.findall("testcase/failure/..")] == ["privacy.self_test.clipping"]
    assert (suite.get("tests"), suite.get("failures"), suite.get("skipped")) == ("1", "1", "0")


def test_a_missing_audit_is_an_error_where_the_verdict_does_not_name_it() -> None:
    run = without_failures(golden_run())
    missing = FindingDefinition("privacy.audit", "Audit of privacy", "The audit could not be made.").state_not_measured(
        "no weights"
    )
    section = Section(plugin="privacy", findings=(missing,), audit_missing=True)
    run = with_rules(run.model_copy(update={"sections": (section,)}))
    error = case_of(run, "privacy is audited").find("error")
    assert error is not None
    assert error.get("message") == "no weights"


def test_without_rules_nothing_is_passed() -> None:
    suite = suite_of(with_rules(without_failures(golden_run())))
    (case,) = suite.findall("testcase")
    assert [child.tag for child in case] == ["skipped"]
    assert "no rules" in case[0].attrib["message"]
    assert (suite.get("tests"), suite.get("skipped")) == ("1", "1")


def test_a_rule_about_nothing_is_an_error() -> None:
    run = golden_run()
    finding = "performance.acuracy"
    words = f"{finding} is at least 0.8"
    rule = run.verdict.rules[1].model_copy(update={"finding": finding, "rule": words})
    error = case_of(with_rules(run, rule, status="uncertain"), words).find("error")
    assert error is not None
    assert "finding: not in this run" in (error.text or "")


def test_what_was_not_measured_has_its_reason() -> None:
    run = with_finding(golden_run(), "performance.accuracy", status="not_measured", value=None, reason="no test split")
    error = case_of(run, ACCURACY).find("error")
    assert error is not None
    assert "not measured: no test split" in (error.text or "").splitlines()
