"""The brief: what stands in it, that it stays short, and that no name gets out of its place."""

from __future__ import annotations

import re

import pytest

from rft.plugins.privacy.accounting.claim import scope_table
from rft.records import (
    AuditRun,
    Claim,
    Finding,
    FindingDefinition,
    Pillar,
    RuleOutcome,
    Section,
    Table,
    Verdict,
    list_columns,
)
from rft.report.format.css import css_string
from rft.report.render import html
from rft.report.render.brief import render_brief
from rft.report.views.brief import MAX_GROUP_ROWS, MAX_REVIEWED, MAX_RULES, digest_groups, view_brief
from tests.support.example_run import HOSTILE, example_run
from tests.support.hostile_text import HEBREW, HIDDEN, run_with
from tests.support.hostile_text import HOSTILE as HIDDEN_NAME

POLICY = re.compile(r'<meta http-equiv="Content-Security-Policy"[^>]*>')


def by_group(groups: int, attributes: int = 1) -> Section:
    """Return a section with attributes of so many groups, crossed ones, a second class and a control feature."""
    rows: Table = []

    def add_rows(attribute: str | None, group: str | None, value: float | None, n: int, **cells: str) -> None:
        for metric in ("accuracy", "selection_rate", "tpr", "fpr", "fnr"):
            row = {"attribute": attribute, "group": group, "class": None, "control": None, "metric": metric}
            ends = (None, None) if value is None else (value - 0.05, value + 0.05)
            status = "too few" if value is None else "ok"
            rows.append(row | {"value": value, "low": ends[0], "high": ends[1], "n": n, "status": status} | cells)

    add_rows(None, None, 0.8, 1000)
    for number in range(attributes):
        for place in range(groups):
            value = None if place == 1 else 0.4 + 0.4 * ((place * 37) % groups) / groups
            add_rows(f"site_{number}", f"hospital {place}", value, 20)
        add_rows(f"site_{number}", "hospital 0", 0.1, 20, control="ward 1")
    add_rows("site_0 x sex", "hospital 0 x f", 0.2, 11)
    roles = {
        **{"attribute": "attribute", "group": "group", "class": "class", "control": "key", "metric": "metric"},
        **{"value": "estimate", "low": "low", "high": "high", "n": "count", "status": "status"},
    }
    return Section(
        plugin="fairness",
        title="Fairness",
        tables={"by_group": rows},
        columns={"by_group": list_columns(roles, spellings={"metric": {"tpr": "TPR", "fpr": "FPR"}})},
        card_tables={"by_group": "Metrics by group"},
    )


def long_run(groups: int = 84) -> AuditRun:
    """Return a run with more of everything than a brief has room for."""
    sentence = "said in a sentence that is about as long as those of this package are, to which a number belongs"
    review = tuple(
        Finding(
            id=f"fairness.gap.{number}", title=f"Gap number {number}", status="warn", value=0.1, description=sentence
        )
        for number in range(40)
    )
    absent = tuple(
        FindingDefinition(f"fairness.absent.{number}", f"Absent {number}", sentence).state_not_measured(
            f"{sentence} {number // 2}"
        )
        for number in range(60)
    )
    rules = tuple(
        RuleOutcome(
            rule=f"gap {number}",
            finding=f"fairness.gap.{number}",
            outcome="uncertain",
            because="R",
            explanation=sentence,
        )
        for number in range(MAX_RULES)
    )
    passed = RuleOutcome(rule="p", finding="fairness.gap.39", outcome="pass", because="R", explanation=sentence)
    section = by_group(groups).model_copy(update={"findings": (*review, *absent)})
    rest = [
        part.model_copy(update={"tables": part.tables | {"scope": scope_table(None)}, "columns": {}})
        if part.plugin == "privacy"
        else part
        for part in example_run().sections
        if part.plugin != "fairness"
    ]
    claims = tuple(Claim(label=f"What was claimed {number}", state="not_measured") for number in range(6))
    pillars = tuple(Pillar(plugin=name, label=name, summary=sentence, claims=claims) for name in ("a", "b", "c", "d"))
    verdict = Verdict(status="uncertain", rules=(*rules, passed, passed))
    return example_run().model_copy(update={"sections": (*rest, section), "verdict": verdict, "pillars": pillars})


def test_it_says_what_no_rule_judges_and_what_was_not_measured() -> None:
    view = view_brief(example_run())
    assert [finding.title for _, finding in view.review] == ["Examples without a group"], "the others have rules"
    assert [absence.reason for absence in view.absences] == [
        "South Asian has 2 positive examples; at least 5 are needed"
    ]
    assert [heading for heading, _ in view.tables] == ["What is covered", "Groups"]


def test_what_failed_without_a_rule_comes_first() -> None:
    run = example_run()
    silent = run.model_copy(update={"verdict": Verdict(status="no_rules", rules=())})
    assert [finding.state for _, finding in view_brief(silent).review] == ["fail", "warn", "warn"]


def test_findings_that_share_a_reason_share_a_line() -> None:
    absences = view_brief(long_run()).absences
    assert absences[0].titles == "True-positive-rate gap between ethnicities" or "and" in absences[0].titles
    assert sum(absence.titles.startswith("Absent") and " and " in absence.titles for absence in absences) >= 10


def test_long_lists_end_with_their_number() -> None:
    view, page = view_brief(long_run()), render_brief(long_run())
    assert len(view.page.verdict.rules) == MAX_RULES
    assert len(view.review) == MAX_REVIEWED
    assert f"{view.rules_omitted} more rules stand in the report" in page
    assert f"{view.review_omitted} more findings to review stand in the report" in page
    assert f"for {view.reasons_omitted} more reasons" in page


def test_groups_are_those_of_single_attributes_by_the_first_metrics() -> None:
    digest = digest_groups(by_group(3), "by_group")
    assert digest.metrics == ("accuracy", "selection rate", "TPR", "FPR")
    assert [block.title for block in digest.blocks] == ["All examples", "Site 0"]
    assert [row.group for row in digest.blocks[1].rows] == ["hospital 0", "hospital 1", "hospital 2"]
    assert digest.blocks[1].rows[0].cells[0].value == "0.40", "not that of a control feature"
    assert digest.blocks[1].rows[1].cells[0].absence == "too few"
    assert not digest.note


def test_of_many_groups_the_worst_and_the_best_are_shown() -> None:
    digest = digest_groups(by_group(84), "by_group")
    shown = {row.group: float(row.cells[0].value) for row in digest.blocks[1].rows}
    values = sorted(0.4 + 0.4 * ((place * 37) % 84) / 84 for place in range(84) if place != 1)
    half = MAX_GROUP_ROWS // 2
    assert sorted(shown.values()) == pytest.approx([*values[:half], *values[-half:]], abs=0.006)
    assert digest.note == (
        "Of the 84 groups by site 0, the 12 with the lowest and the 12 with the highest accuracy are shown; the report "
        "has all."
    )


def test_groups_with_a_value_come_before_those_without() -> None:
    section = by_group(84)
    rows = [
        row
        if row["group"] in (None, "hospital 80")
        else row | {"value": None, "low": None, "high": None, "status": "few"}
        for row in section.tables["by_group"]
    ]
    digest = digest_groups(section.model_copy(update={"tables": {"by_group": rows}}), "by_group")
    assert len(digest.blocks[1].rows) == MAX_GROUP_ROWS
    assert "hospital 80" in [row.group for row in digest.blocks[1].rows]
    assert digest.note == "Of the 84 groups by site 0, 24 are shown, those with a value first; the report has all."


def test_of_many_attributes_the_first_are_shown() -> None:
    digest = digest_groups(by_group(3, attributes=11), "by_group")
    assert len(digest.blocks) == 1 + 8
    assert digest.note == "3 more attributes stand in the report."


def test_it_is_one_page_without_script_under_the_policy_of_the_report() -> None:
    page = render_brief(example_run(with_hostile=True))
    assert "<script" not in page
    assert HOSTILE not in page
    assert not re.findall(r"(?:src|href)=\"(?!#|data:)", page)
    assert "url(" not in page
    assert "display: grid" not in page
    assert "flex" not in page
    assert POLICY.findall(page) == POLICY.findall(html.render(example_run()))


def test_a_run_loaded_from_its_json_has_the_same_brief() -> None:
    run = example_run()
    assert render_brief(AuditRun.from_json(run.to_json())) == render_brief(run)


@pytest.mark.parametrize(
    "name", [HOSTILE, HIDDEN_NAME, HEBREW, '"; } body { display: none } "', "\\", "a\nb", "</style>", "😀" * 99]
)
def test_no_name_gets_out_of_the_foot_of_pages(name: str) -> None:
    written = css_string(name)
    assert written.isascii()
    assert re.fullmatch(r'"(?:[A-Za-z0-9 .,_-]|\\[0-9a-f]{6} )*"', written)


def test_the_foot_says_a_name_as_it_is() -> None:
    def read(written: str) -> str:
        return re.sub(r"\\([0-9a-f]{6}) ", lambda match: chr(int(match[1], 16)), written[1:-1])

    assert read(css_string('a "b" </style> \\')) == 'a "b" </style> \\'
    assert read(css_string(f"{HEBREW} 12")) == f"\u2068{HEBREW}\u2069 12"
    assert read(css_string("a\u202eb")) == "a<U+202E>b"
    assert read(css_string("x" * 99)) == "x" * 59 + "…"


def test_hidden_characters_are_shown_by_their_codes() -> None:
    page = render_brief(run_with(lambda text: text + HIDDEN_NAME))
    assert not HIDDEN.search(page)


def test_the_run_stands_in_the_foot_whatever_its_name() -> None:
    run = example_run()
    renamed = run.model_copy(update={"run": run.run.model_copy(update={"name": "</style>" * 40})})
    assert f'run " "{run.run.volatile.id}";' in render_brief(renamed)
    assert f'run " "{run.run.volatile.id}";' in html.render(renamed)
