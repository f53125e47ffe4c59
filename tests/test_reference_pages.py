"""docs/config.md and docs/findings.md are what the code says, and say all of it.

Where a change is meant: RFT_RENEW_GOLDEN=1 python -m pytest -n 0 <this file>
"""

from __future__ import annotations

import ast
import json
import os
import re
from types import ModuleType

import pytest

from rft.config.rule_kinds import RULE_KINDS
from rft.plugins.fairness.mitigation.options import MitigationOptions
from rft.stats.scores.classification import METRICS
from tests.support import ROOT, config_reference, finding_reference
from tests.support.definition_sites import Site, evaluate_site

RENEW = "RFT_RENEW_GOLDEN"


@pytest.mark.parametrize("reference", [config_reference, finding_reference], ids=lambda module: module.PAGE.name)
def test_a_page_is_what_the_code_says(reference: ModuleType) -> None:
    written = reference.write_page()
    if os.environ.get(RENEW):
        reference.PAGE.write_text(written, encoding="utf-8")
    assert reference.PAGE.read_text(encoding="utf-8") == written, f"so meant: python -m {reference.__name__}"


def list_rows(heading: str) -> dict[str, str]:
    """Return key -> row of a table of docs/config.md."""
    section = (
        config_reference.PAGE.read_text(encoding="utf-8").partition(f"\n## `{heading}`\n")[2].partition("\n## ")[0]
    )
    return {row.split("`")[1]: row for row in section.splitlines() if row.startswith("| `")}


def test_the_keys_say_what_they_take_and_what_has_no_effect() -> None:
    assert list(list_rows("[[policy]]")) == ["finding", *RULE_KINDS, "because"]
    momentum = list_rows("[train]")["momentum"]
    assert "number, at least 0 and below 1 |" in momentum
    assert 'Refused where it has no effect: *it is that of train.optimizer = "sgd"*' in momentum
    assert set(re.findall(r'`"(\w+)"`', list_rows("[fairness]")["metrics"])) == set(METRICS)
    assert list(list_rows("[fairness.mitigation]")) == list(MitigationOptions.model_fields)
    assert "**required**" in list_rows("[fairness.mitigation]")["metric"]


def list_patterns() -> dict[str, re.Pattern[str]]:
    """Return the ids of docs/findings.md as patterns, of ids with names of a config in them."""
    headings = re.findall(r"^### `(.+)`$", finding_reference.PAGE.read_text(encoding="utf-8"), re.M)
    return {id: re.compile(re.sub(r"<\w+>", ".+", re.sub(r"[.]", r"\\.", id))) for id in headings}


@pytest.mark.parametrize("name", ["demo.json", "faces.json", "compas.json"])
def test_the_findings_of_real_runs_are_there(name: str) -> None:
    numbers = json.loads((ROOT / "tests" / "golden" / name).read_text(encoding="utf-8"))
    found = {number.partition("/")[0] for number in numbers if "/" not in number.partition(".")[0]}
    patterns = list_patterns()
    assert found
    assert [id for id in found if not any(pattern.fullmatch(id) for pattern in patterns.values())] == []


def test_a_finding_says_how_it_is_stated_and_from_which_source() -> None:
    entries = {entry.id: entry for entry in finding_reference.list_entries()}
    auc = entries["privacy.lira_auc"]
    assert (auc.better, auc.statements) == ("lower", {"state_estimate", "state_not_measured"})
    assert any("Carlini" in source for source in auc.references)
    assert entries["backbone.majority_share"].statements == {"state_fact", "state_not_measured"}
    assert entries["fairness.<metric>_gap.<attribute>"].unit == "fraction"
    assert len(entries) > 90


def test_what_nothing_gives_a_value_is_named() -> None:
    """A new definition with a variable of its own needs a stand-in, or the page would show nothing of it."""
    (function,) = ast.parse("def state(count):\n    return Define(f'privacy.{count}')").body
    assert isinstance(function, ast.FunctionDef)
    (call,) = [node for node in ast.walk(function) if isinstance(node, ast.Call)]
    site = Site(finding_reference, function, call)
    with pytest.raises(LookupError, match=r"finding_reference\.state: nothing gives 'count' a value"):
        list(evaluate_site(site, ("id",), {}))
    (evaluation,) = evaluate_site(site, ("id",), {"count": "<count>"})
    assert evaluation.arguments == {"id": "privacy.<count>"}
