"""The map of standards: its one file, the page of the docs that is written from it, and the appendix of the report."""

from __future__ import annotations

import ast
import datetime
import json
import re
from collections.abc import Iterator
from fnmatch import fnmatchcase
from functools import cache
from typing import get_args

import pytest

from rft.config.schema import CardConfig
from rft.records import AuditRun, Finding, FindingDefinition, Section
from rft.report import render
from rft.report.standards import CardKey, PagePart, Standard, StandardItem, read_standards
from rft.report.views.standards import PAGE_PARTS, ItemView, view_standards
from tests.report.test_render import Page
from tests.support import ROOT
from tests.support.example_run import example_run
from tests.support.write_standards import PAGE, write_page

FORBIDDEN = re.compile(r"compli(es|ed|ant|ance|y)\b|conform(s|ed|ant)?\b", re.IGNORECASE)
REAL_RUNS = ("demo", "compas", "faces")


@cache
def stated_ids() -> frozenset[str]:
    """Return ids of findings that real runs stated, and those in the source of the built-in plugins.

    In the latter, ``any`` stands for what an id gets from the data.
    """
    golden = [json.loads((ROOT / "tests" / "golden" / f"{name}.json").read_text()) for name in REAL_RUNS]
    real = {id for numbers in golden for id in numbers if "/" not in id}
    return frozenset(real | set(written_ids()))


def written_ids() -> Iterator[str]:
    plugins = ROOT / "rft" / "plugins"
    names = "|".join(path.name for path in plugins.iterdir() if path.is_dir())
    for path in plugins.rglob("*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        keys = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.keyword) and node.arg == "where"}
        for node in ast.walk(tree):
            if id(node) in keys:  # a key of the config in an error, no finding
                continue
            parts = node.values if isinstance(node, ast.JoinedStr) else [node]
            text = "".join(
                str(part.value) if isinstance(part, ast.Constant) else "any"
                for part in parts
                if isinstance(part, ast.Constant | ast.FormattedValue)
            )
            if re.fullmatch(rf"({names})(\.[a-z0-9_]+)+", text):
                yield text


def test_every_pattern_matches_a_finding_that_can_be_stated() -> None:
    patterns = {pattern for standard in read_standards() for item in standard.items for pattern in item.findings}
    assert len(patterns) > 30
    unmatched = {pattern for pattern in patterns if not any(fnmatchcase(id, pattern) for id in stated_ids())}
    assert unmatched == set()
    assert "privacy.budget" not in stated_ids(), "a key of the config is no finding"


@pytest.mark.parametrize("standard", read_standards(), ids=lambda standard: standard.key)
def test_every_source_has_a_date_and_says_what_was_read(standard: Standard) -> None:
    assert datetime.date(2018, 1, 1) < standard.dated <= datetime.date.today()
    assert standard.source
    assert standard.version
    assert "read" in standard.read or "only" in standard.read
    places = [item.place for item in standard.items]
    assert len(set(places)) == len(places)


def test_an_item_without_evidence_is_open() -> None:
    for standard in read_standards():
        for item in standard.items:
            assert item.open or item.findings or item.page or item.card, item.place


def test_the_article_that_replaced_the_old_one_is_cited() -> None:
    text = (ROOT / "rft" / "report" / "standards" / "sources.toml").read_text(encoding="utf-8")
    assert 'place = "4a"' in text
    assert 'place = "10(5)' not in text
    assert "2026/1744" in text


def test_keys_of_the_card_and_parts_of_the_page_are_those_that_there_are() -> None:
    assert set(get_args(CardKey)) <= set(CardConfig.model_fields)
    assert set(get_args(PagePart)) == set(PAGE_PARTS)


def test_the_page_of_the_docs_is_written_from_the_same_file() -> None:
    assert PAGE.read_text(encoding="utf-8") == write_page(), "make standards"


def test_nobody_is_told_that_a_standard_is_met() -> None:
    page = render(example_run())
    appendix = page[page.index('id="standards"') : page.index("<footer>")]
    for text in (appendix, PAGE.read_text(encoding="utf-8")):
        assert FORBIDDEN.findall(text) == []
    assert "Not answered by this report" in appendix


def with_findings(*findings: Finding, card: dict[str, str] | None = None) -> AuditRun:
    run = example_run()
    config = run.run.config | {"card": card or {}}
    section = Section(plugin="performance", findings=findings)
    return run.model_copy(
        update={"sections": (section,), "run": run.run.model_copy(update={"config": config})},
    )


def view_item(run: AuditRun, key: str, place: str) -> ItemView:
    (standard,) = (standard for standard in view_standards(run) if standard.anchor == f"standard-{key}")
    (item,) = (item for item in standard.items if item.place == place)
    return item


def measured(name: str, status: str = "info") -> Finding:
    return Finding(id=f"performance.{name}", title=name, status=status, value=0.5, description="A share.")


METRICS = ("accuracy", "balanced_accuracy", "roc_auc", "log_loss")


def test_an_item_is_answered_where_all_that_is_asked_was_measured() -> None:
    run = with_findings(*map(measured, METRICS))
    item = view_item(run, "eu_ai_act_articles", "13(3)(b)(ii), 15(3)")
    assert item.word == "Evidence for"
    assert [link.title for link in item.links] == list(METRICS)
    assert item.missing == item.absent == ()


def test_what_was_not_measured_stands_with_its_reason() -> None:
    lost = FindingDefinition("performance.roc_auc", "ROC AUC", "A share.").state_not_measured(
        "no scores: decisions alone"
    )
    run = with_findings(*(lost if name == "roc_auc" else measured(name) for name in METRICS))
    item = view_item(run, "eu_ai_act_articles", "13(3)(b)(ii), 15(3)")
    assert item.word == "Partly"
    assert [(gap.titles, gap.reason) for gap in item.missing] == [(("ROC AUC",), "no scores")]


def test_what_was_not_asked_for_is_named() -> None:
    item = view_item(with_findings(measured("accuracy")), "eu_ai_act_articles", "13(3)(b)(v)")
    assert item.word == "Not answered by this report"
    assert item.absent == ("[fairness]", "[privacy]")
    item = view_item(with_findings(measured("accuracy")), "nist_sp_800_226", "Utility and bias")
    assert item.word == "Partly"
    assert item.absent == ("[privacy]",)


def test_the_card_answers_what_only_the_organisation_knows() -> None:
    place = ("model_cards", "Intended use")
    assert view_item(with_findings(measured("accuracy")), *place).absent == ("card.intended_use", "card.out_of_scope")
    card = {"intended_use": "Sorting photos.", "out_of_scope": "Decisions about people."}
    item = view_item(with_findings(measured("accuracy"), card=card), *place)
    assert item.word == "Evidence for"
    assert item.parts == ("intended use", "out of scope")


def test_evidence_is_linked_by_title_and_broken_integrity_said() -> None:
    page = Page(render(example_run()))
    targets = {attributes["id"] for _, attributes in page.elements if "id" in attributes}
    links = {attributes["href"][1:] for tag, attributes in page.elements if tag == "a" and "href" in attributes}
    assert links <= targets
    text = render(example_run())
    appendix = text[text.index('<section id="standards"') :]
    shown = re.sub(r"<[^>]*>", "", appendix[: appendix.index("<footer>")])
    assert "performance.accuracy" not in shown
    failed = with_findings(measured("accuracy", status="fail"))
    assert view_item(failed, "nist_ai_rmf_measure", "MEASURE 2.1").links[0].failed


def test_an_item_without_a_sentence_is_refused() -> None:
    with pytest.raises(ValueError, match="asks"):
        StandardItem(place="1", asks="no full stop")
