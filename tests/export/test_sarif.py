"""SARIF: the official schema, levels, and the line of each rule."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from rft.config.loader import load_policy
from rft.errors import ConfigError
from rft.export.rule_lines import find_rule_lines
from rft.export.sarif import write_sarif
from rft.export.source import ExportSource
from rft.records import AuditRun, LaterVerdict
from rft.verdict.policy import write_rule
from tests.support import ROOT
from tests.support.exported import (
    CHECKS,
    export_text,
    golden_run,
    sarif_schema,
    with_finding,
    with_rules,
    without_failures,
)

RULES = """\
name = "smiles"  # [[policy]] in a comment

  [[policy]]
finding = "performance.accuracy"
min = 0.80
because = "release criterion R-2"
[[ "policy" ]] # quoted
max = 0.3
finding = "fairness.accuracy_gap.gender"

[[policy]]
finding = "fairness.tpr_gap.ethnicity"
max = 0.1
"""
EXAMPLES = sorted((ROOT / "examples").glob("*/audit.toml"))


def log_of(run: AuditRun, policy_file: Path | None = None) -> Any:
    text = write_sarif(ExportSource(run, policy_file))
    CHECKS["sarif"](text)
    return json.loads(text)["runs"][0]


def places_of(log: Any) -> list[tuple[str, int | None]]:
    places = [result["locations"][0]["physicalLocation"] for result in log["results"]]
    return [(place["artifactLocation"]["uri"], place.get("region", {}).get("startLine")) for place in places]


def test_the_schema_is_that_of_the_standard() -> None:
    assert sarif_schema()["id"] == json.loads(export_text(golden_run(), "sarif"))["$schema"]


def test_what_does_not_hold_is_a_result_and_what_holds_is_none() -> None:
    log = log_of(golden_run())
    assert [(result["ruleId"], result["level"]) for result in log["results"]] == [
        ("privacy.self_test.clipping", "error"),
        ("performance.accuracy", "warning"),
        ("fairness.tpr_gap.ethnicity", "warning"),
    ]
    assert "fairness.accuracy_gap.gender" in [rule["id"] for rule in log["tool"]["driver"]["rules"]]
    assert log["properties"]["verdict"] == "fail"


def test_a_result_says_what_was_asked_and_why_it_does_not_hold() -> None:
    result = log_of(golden_run())["results"][1]
    assert result["message"]["text"] == (
        "uncertain: performance.accuracy is at least 0.8 (release criterion R-2). "
        "0.8333, interval 0.694 to 0.917: the range reaches across the bound"
    )
    assert result["properties"]["interval"] == {"low": 0.694, "high": 0.917, "method": "Wilson, 95 %"}


def test_results_stand_at_the_lines_of_their_rules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert places_of(log_of(golden_run())) == [("audit.toml", None)] * 3
    (tmp_path / "audit.toml").write_text(RULES, encoding="utf-8")
    assert places_of(log_of(golden_run())) == [("audit.toml", None), ("audit.toml", 3), ("audit.toml", 11)]
    (tmp_path / "conf").mkdir()
    (tmp_path / "audit.toml").rename(tmp_path / "conf" / "my rules.toml")
    places = places_of(log_of(golden_run(), tmp_path / "conf" / "my rules.toml"))
    assert places == [("conf/my%20rules.toml", None), ("conf/my%20rules.toml", 3), ("conf/my%20rules.toml", 11)]


def test_a_file_elsewhere_is_named_without_the_folders_of_this_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    (tmp_path / "rules.toml").write_text(RULES, encoding="utf-8")
    assert places_of(log_of(golden_run(), tmp_path / "rules.toml"))[1] == ("rules.toml", 3)


def test_other_rules_have_no_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "audit.toml").write_text(RULES.replace("0.80", "0.85"), encoding="utf-8")
    assert places_of(log_of(golden_run()))[1] == ("audit.toml", None)


def test_rules_that_were_applied_later_stand_in_their_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "strict.toml").write_text(RULES, encoding="utf-8")
    run = golden_run()
    source = "strict.toml (sha256 ab), applied on 2025-03-01 12:30 UTC"
    verdict = run.verdict.model_copy(update={"source": source})
    later = LaterVerdict(file="strict.toml", sha256="ab", applied="2025-03-01T12:30:05+00:00", verdict=verdict)
    run = run.model_copy(update={"later_verdicts": (later,)})
    assert places_of(log_of(run))[1] == ("strict.toml", 3)


def test_a_file_that_is_named_must_hold_rules(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such file"):
        write_sarif(ExportSource(golden_run(), tmp_path / "none.toml"))


@pytest.mark.parametrize(
    "text",
    [
        'policy = [{finding = "performance.accuracy", min = 0.8}]\n',
        'name = """\n[[policy]]\n"""\n[[policy]]\nfinding = "performance.accuracy"\nmin = 0.8\n',
    ],
    ids=["inline", "in a text"],
)
def test_lines_that_are_not_sure_are_not_told(tmp_path: Path, text: str) -> None:
    (tmp_path / "audit.toml").write_text(text, encoding="utf-8")
    assert find_rule_lines(tmp_path / "audit.toml") == {}


@pytest.mark.parametrize("path", [path for path in EXAMPLES if "[[policy]]" in path.read_text()], ids=str)
def test_the_rules_of_the_examples_are_on_their_lines(path: Path) -> None:
    lines = path.read_text(encoding="utf-8").splitlines()
    places = find_rule_lines(path)
    for rule in load_policy(path):
        number = places[write_rule(rule)]
        assert lines[number - 1] == "[[policy]]"
        assert rule.finding in lines[number]


def test_without_rules_a_note_says_so() -> None:
    (result,) = log_of(with_rules(without_failures(golden_run())))["results"]
    assert (result["ruleId"], result["level"]) == ("rft.no_rules", "note")
    assert "nothing is passed" in result["message"]["text"]


def test_names_are_neither_links_nor_places_for_arguments() -> None:
    run = with_finding(golden_run(), "performance.accuracy", title="of {0} [click](https://example.org) [a]")
    titles = [rule["shortDescription"]["text"] for rule in log_of(run)["tool"]["driver"]["rules"]]
    assert r"of {{0}} \[click](https://example.org) [a]" in titles


def test_two_rules_on_one_finding_are_two_results_of_one_rule() -> None:
    run = golden_run()
    rules = [
        run.verdict.rules[1],
        run.verdict.rules[1].model_copy(update={"rule": "performance.accuracy is at most 1"}),
    ]
    log = log_of(with_rules(without_failures(run), *rules, status="uncertain"))
    assert [result["ruleIndex"] for result in log["results"]] == [0, 0]
    assert len({json.dumps(result["partialFingerprints"]) for result in log["results"]}) == 2
