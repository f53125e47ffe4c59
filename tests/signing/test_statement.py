"""How a verdict reads as a result of tests."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from rft.records import RuleOutcome
from rft.signing.statement import describe_run
from tests.support.signing_cases import plain_run, with_verdict, write_run


def describe_results(folder: Path, **verdict: Any) -> dict[str, Any]:
    run = write_run(folder / "run", with_verdict(**verdict))
    return json.loads(describe_run(run).to_payload())["predicate"]


def rule_outcome(finding: str, outcome: str) -> RuleOutcome:
    return RuleOutcome(rule=f"{finding} is at most 1", finding=finding, outcome=outcome, because="", explanation="")


@pytest.mark.parametrize(
    ("status", "result"),
    [("pass", "PASSED"), ("uncertain", "WARNED"), ("no_rules", "WARNED"), ("fail", "FAILED")],
)
def test_only_rules_that_all_hold_are_a_pass(tmp_path: Path, status: str, result: str) -> None:
    rules = () if status == "no_rules" else (rule_outcome("a", status),)
    assert describe_results(tmp_path, status=status, rules=rules)["result"] == result


def test_a_finding_stands_once_by_the_worst_of_its_rules(tmp_path: Path) -> None:
    rules = (
        rule_outcome("a", "pass"),
        rule_outcome("b", "uncertain"),
        rule_outcome("a", "fail"),
        rule_outcome("c", "pass"),
        rule_outcome("b", "pass"),
        rule_outcome("c", "pass"),
    )
    results = describe_results(tmp_path, status="fail", rules=rules)
    assert {name: results[f"{name}Tests"] for name in ("passed", "warned", "failed")} == {
        "passed": ["c"],
        "warned": ["b"],
        "failed": ["a"],
    }


def test_the_config_is_named_by_its_hash_in_the_run(tmp_path: Path) -> None:
    run = plain_run()
    sha256 = hashlib.sha256(json.dumps(run.run.config, sort_keys=True).encode()).hexdigest()
    changed = run.model_copy(update={"run": run.run.model_copy(update={"config_sha256": sha256})})
    statement = json.loads(describe_run(write_run(tmp_path / "run", changed)).to_payload())
    assert statement["predicate"]["configuration"] == [{"name": "smiles", "digest": {"sha256": sha256}}]
    assert "url" not in statement["predicate"]
