"""CSV and JSON: every finding once, with what the rules say of it."""

from __future__ import annotations

import csv
import io
import json
from typing import Any

import pandas as pd
import pytest

from rft.export.findings_csv import COLUMNS
from rft.records import AuditRun
from tests.support.exported import export_text, golden_run, with_finding, with_rules

ACCURACY = "performance.accuracy"


def rows_of(run: AuditRun) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(export_text(run, "csv"), newline=""), strict=True))


def row_of(run: AuditRun, id: str) -> dict[str, str]:
    (row,) = [row for row in rows_of(run) if row["id"] == id]
    return row


def content_of(run: AuditRun) -> Any:
    return json.loads(export_text(run, "json"))


def test_a_row_a_finding() -> None:
    run = golden_run()
    findings = [finding for section in run.sections for finding in section.findings]
    rows = [row for row in rows_of(run) if row["kind"] == "finding"]
    assert [row["id"] for row in rows] == [finding.id for finding in findings]
    for row, finding in zip(rows, findings, strict=True):
        assert tuple(row) == COLUMNS
        assert row["value"] == ("" if finding.value is None else repr(finding.value))
        assert row["n"] == ("" if finding.n is None else str(finding.n))
        assert row["reason"] == (finding.reason or "")


def test_a_row_a_metric_of_a_group() -> None:
    """Behind the findings stands what the table of groups says, the empty group being all examples."""
    run = golden_run()
    table = run.section("fairness").tables["by_group"]
    rows = [row for row in rows_of(run) if row["kind"] == "group rate" and row["id"] == "fairness.by_group"]
    assert len(rows) == len(table) > 4
    for row, held in zip(rows, table, strict=True):
        for column in ("attribute", "group", "metric", "class"):
            assert row[column] == (held[column] or "")
        for column in ("value", "low", "high"):
            assert row[column] == ("" if held[column] is None else repr(held[column]))
        assert row["status"] == ("not_measured" if held["value"] is None else "info")
        assert row["reason"] == ("" if held["value"] is not None else str(held["status"]).replace("_", " "))
        assert f"model: {held['model']}" in row["further"]
    rates = content_of(run)["group_rates"]
    named = [rate for rate in rates if rate["table"] == "fairness.by_group"]
    assert [(rate["group"], rate["value"]) for rate in named] == [(row["group"] or "", row["value"]) for row in table]


def test_the_rules_of_the_json_have_numbers() -> None:
    run = golden_run()
    (rule,) = (rule for rule in content_of(run)["rules"] if rule["finding"] == ACCURACY)
    assert (rule["bounds"], rule["outcome"]) == ({"min": 0.8}, "uncertain")
    assert rule["value"] == run.finding(ACCURACY).value
    assert rule["interval"]["low"] < rule["value"] < rule["interval"]["high"]


def test_a_row_says_what_its_rule_says() -> None:
    row = row_of(golden_run(), ACCURACY)
    assert {name: row[name] for name in ("outcome", "bound", "because", "low", "high", "method")} == {
        "outcome": "uncertain",
        "bound": "at least 0.8",
        "because": "release criterion R-2",
        "low": "0.694",
        "high": "0.917",
        "method": "Wilson, 95 %",
    }


def test_of_several_rules_the_worst_counts() -> None:
    run = golden_run()
    rules = [
        run.verdict.rules[1].model_copy(update={"rule": f"{ACCURACY} is {bound}", "outcome": outcome, "because": ""})
        for bound, outcome in (("at least 0.5", "pass"), ("at least 0.9", "fail"), ("at least 0.8", "uncertain"))
    ]
    row = row_of(with_rules(run, *rules, status="fail"), ACCURACY)
    assert (row["outcome"], row["bound"]) == ("fail", "at least 0.5; at least 0.9; at least 0.8")


def test_a_built_in_rule_is_a_row_of_its_own() -> None:
    """It shares neither id nor title with a rule of the user."""
    run = golden_run()
    section = run.sections[0].model_copy(update={"plugin": "fairness", "unanswered": run.sections[0].findings[0].id})
    row = row_of(with_rules(run.model_copy(update={"sections": (section,)})), "fairness.audit")
    assert (row["title"], row["status"], row["outcome"]) == ("fairness is audited", "absent", "uncertain")


def test_what_rules_name_and_the_run_does_not_have_comes_last() -> None:
    run = golden_run()
    rule = run.verdict.rules[1].model_copy(update={"finding": "gone.away", "rule": "gone.away is at most 1"})
    run = with_rules(run, rule, *run.verdict.rules, status="uncertain")
    last = [row for row in rows_of(run) if row["kind"] == "finding"][-1]
    assert (last["id"], last["status"], last["outcome"], last["bound"]) == (
        "gone.away",
        "absent",
        "uncertain",
        "at most 1",
    )
    assert content_of(run)["findings"][-1]["status"] == "absent"


@pytest.mark.parametrize("formula", ["=1+1", "+1", "-1+1", "@SUM(A1)", "\t=1", "\r=1", '=HYPERLINK("x")'])
def test_formulas_are_texts_and_numbers_stay_numbers(formula: str) -> None:
    run = with_finding(golden_run(), ACCURACY, title=formula, value=-0.25)
    row = row_of(run, ACCURACY)
    assert row["title"][0] == "'"
    assert row["value"] == "-0.25"


def test_pandas_reads_numbers_and_names() -> None:
    run = with_finding(golden_run(), ACCURACY, title='Größe, "quoted"')
    table = pd.read_csv(io.StringIO(export_text(run, "csv"))).set_index("id")
    assert table.loc[ACCURACY, "title"] == 'Größe, "quoted"'
    assert table.loc[ACCURACY, "value"] == run.finding(ACCURACY).value
    assert table["low"].dtype == float


def test_a_gate_reads_verdict_and_rules() -> None:
    content = content_of(golden_run())
    assert content["verdict"]["status"] == "fail"
    assert [rule["finding"] for rule in content["rules"] if rule["outcome"] == "fail"] == ["privacy.self_test.clipping"]


def test_a_finding_is_flat_and_whole() -> None:
    (finding,) = [finding for finding in content_of(golden_run())["findings"] if finding["id"] == ACCURACY]
    rule = {
        "rule": "performance.accuracy is at least 0.8",
        "outcome": "uncertain",
        "bound": "at least 0.8",
        "bounds": {"min": 0.8},
        "value": 0.8333333333333334,
        "interval": {"low": 0.694, "high": 0.917, "method": "Wilson, 95 %"},
        "because": "release criterion R-2",
        "explanation": "0.8333, interval 0.694 to 0.917: the range reaches across the bound",
        "remedy": "",
    }
    assert finding == {
        "id": ACCURACY,
        "status": "info",
        "title": "Accuracy",
        "value": 0.8333333333333334,
        "unit": "fraction",
        "interval": {"low": 0.694, "high": 0.917, "method": "Wilson, 95 %"},
        "n": 42,
        "attributes": [],
        "group": None,
        "metric": None,
        "reason": None,
        "outcome": "uncertain",
        "rules": [rule],
    }
