"""What the page says before it is HTML: the verdict names the worst rule, and a section shows everything once."""

from __future__ import annotations

import re
from typing import Any

import pytest

from rft.records import (
    AuditRun,
    Chapter,
    Claim,
    ClaimState,
    Contrast,
    Figure,
    Finding,
    FindingDefinition,
    GroupRate,
    Interval,
    Pillar,
    RuleOutcome,
    Section,
    Verdict,
)
from rft.report import render
from rft.report.views.figures import FigureView
from rft.report.views.findings import view_finding
from rft.report.views.overview import view_overview
from rft.report.views.section_layout import SectionLayout, lay_out_section
from rft.report.views.tables import TableView
from rft.report.views.verdict import view_verdict
from tests.support.small_run import ACCURACY, RULE, small_run


def rule(outcome: str, **changes: Any) -> RuleOutcome:
    return RULE.model_copy(update={"outcome": outcome, **changes})


FAILED = rule("fail", asked="at least 0.8", reason="below the bound, even allowing for chance")
UNSETTLED = rule(
    "uncertain",
    asked="at least 0.7",
    bounds={"min": 0.7},
    reason="the range reaches across the bound; about 20,000 cases would settle it",
    remedy="test on about 20,000 cases, and audit again",
)
ABSENT = rule(
    "uncertain",
    finding="performance.acuracy",
    asked="at least 0.7",
    reason="no such finding in this run.",
    interval=None,
)
BUILT_IN = rule("uncertain", asked="", reason="no test split", interval=None)
WITHHELD = rule(
    "uncertain",
    reason="within the bound, even allowing for chance, of the groups that are shown; b: withheld, and not judged",
)


def run_with(status: str, *rules: RuleOutcome) -> AuditRun:
    return small_run().model_copy(update={"verdict": Verdict(status=status, rules=rules)})


def test_a_rule_that_always_guessing_meets_says_so() -> None:
    baseline = ACCURACY.model_copy(update={"id": "performance.baseline_accuracy", "value": 0.65, "interval": None})
    section = small_run().sections[0]
    with_baseline = section.model_copy(update={"findings": (*section.findings, baseline)})
    for least, said in ((0.6, True), (0.65, True), (0.66, False)):
        run = run_with("pass", rule("pass", bounds={"min": least})).model_copy(update={"sections": (with_baseline,)})
        (row,) = view_verdict(run).rules
        assert row.reason.endswith("; always guessing the commonest class reaches 0.650, too") == said
    (row,) = view_verdict(run_with("pass", rule("pass", bounds={"min": 0.6}))).rules
    assert "guessing" not in row.reason, "what it reaches was not measured"


@pytest.mark.parametrize(
    ("run", "word", "sentence"),
    [
        (run_with("pass", RULE), "Pass", "The one rule is met."),
        (run_with("pass", RULE, RULE), "Pass", "All 2 rules are met."),
        (
            run_with("fail", FAILED),
            "Fail",
            "Accuracy is 0.69; at least 0.8 was asked. The one rule is broken.",
        ),
        (
            run_with("fail", RULE, UNSETTLED, FAILED),
            "Fail",
            "Accuracy is 0.69; at least 0.8 was asked. Of 3 rules: 1 broken, 1 undecided, 1 met.",
        ),
        (
            run_with("fail", RULE, FAILED, FAILED),
            "Fail",
            "Accuracy is 0.69; at least 0.8 was asked. Of 3 rules: 2 broken, 1 met.",
        ),
        (
            run_with("uncertain", RULE, UNSETTLED),
            "Uncertain",
            "Accuracy is 0.69; at least 0.7 was asked; its range [0.64, 0.74] lies on both sides of that bound. Of 2 "
            "rules: 1 undecided, 1 met.",
        ),
        (
            run_with("no_rules"),
            "No rules",
            "This run has no rules, so nothing was judged: this is neither a pass nor a fail.",
        ),
    ],
)
def test_the_verdict_names_the_worst_rule_in_words(run: AuditRun, word: str, sentence: str) -> None:
    view = view_verdict(run)
    assert (view.word, view.sentence) == (word, sentence)


@pytest.mark.parametrize("unmeasured", [ABSENT, BUILT_IN, WITHHELD])
def test_what_was_not_measured_is_no_matter_of_chance(unmeasured: RuleOutcome) -> None:
    view = view_verdict(run_with("uncertain", unmeasured))
    sentence = view.sentence
    assert view.rules[0].reason == unmeasured.reason
    assert sentence.endswith(" The one rule cannot be settled by what was measured.")
    assert "chance" not in sentence
    assert ".." not in sentence


def test_rules_stand_worst_first_and_lead_to_their_findings() -> None:
    view = view_verdict(run_with("fail", RULE, ABSENT, FAILED, UNSETTLED))
    assert [shown.outcome for shown in view.rules] == ["fail", "uncertain", "uncertain", "pass"]
    assert [shown.anchor for shown in view.rules] == ["performance.accuracy", "", *["performance.accuracy"] * 2]
    first = view.rules[0]
    assert (first.title, first.value, first.interval, first.bound) == (
        "Accuracy",
        "0.69",
        "[0.64, 0.74]",
        "at least 0.8",
    )


def test_wider_intervals_and_small_groups_are_explained() -> None:
    wide = rule("pass", level=0.975, small_groups=("tiny",))
    note = view_verdict(run_with("pass", wide, wide)).note
    assert note.startswith(
        "In brackets: the range of values that the sample allows, in these rules at 97.5 %, so that at 95 % all of"
    )
    assert "(each estimate that a rule names counts, measured or not); elsewhere at 95 %. Too small" in note
    assert note.endswith("enter the rules by their exact ranges alone: tiny.")
    assert (
        view_verdict(run_with("pass", RULE)).note == "In brackets: the range of values that the sample allows, at 95 %."
    )
    exact = Interval(low=0.6, high=0.77, method="Clopper-Pearson, 95 %")
    note = view_verdict(run_with("pass", rule("pass", interval=exact))).note
    assert note.endswith("Rules take exact limits (Clopper-Pearson), findings the usual, narrower ones (Wilson).")


def test_a_group_that_entered_no_rule_is_not_said_to_have() -> None:
    unmeasured = rule("uncertain", interval=None, level=None, small_groups=("tiny",))
    assert "tiny" not in view_verdict(run_with("uncertain", unmeasured)).note


def test_rules_that_are_built_in_are_none_of_the_config() -> None:
    view = view_verdict(run_with("uncertain", BUILT_IN))
    assert view.scope == "Nobody set a rule; what is judged here is built into rft."
    assert view.rules[0].title.endswith("(built in)")
    assert view_verdict(run_with("pass", RULE)).scope.startswith("The rules were set in the config of this run;")


def test_one_reason_stands_once() -> None:
    why = "fewer than two groups can be compared"
    own = rule("uncertain", finding="fairness.gap", asked="at most 0.1", interval=None, reason=f"not measured: {why}")
    built_in = rule("uncertain", rule="fairness is audited", asked="", interval=None, reason=why)
    view = view_verdict(run_with("uncertain", built_in, own))
    assert view.sentence == "Fairness is audited (built in): undecided. Of 2 rules: 2 undecided."
    assert [shown.reason for shown in view.rules] == [
        why,
        "not measured, for the same reason as “Fairness is audited (built in)”",
    ]


def test_what_is_open_and_what_is_next() -> None:
    claims = (
        Claim(label="ROC AUC", state="not_measured"),
        Claim(label="Named shortcuts", state="not_measured"),
        Claim(label="Mitigation", state="not_asked"),
    )
    pillars = (Pillar(plugin="performance", label="Works", summary="It does.", claims=claims),)
    run = run_with("uncertain", UNSETTLED).model_copy(update={"pillars": pillars})
    view = view_overview(run)
    assert view.open == (
        "Requested, but could not be measured: ROC AUC and named shortcuts. Not requested: mitigation."
    )
    assert view.next == "“Accuracy”: test on about 20,000 cases, and audit again."
    assert view.pillars[0].anchor == "section-performance"
    missing = run_with("uncertain", rule("uncertain", reason="", explanation="no test split", asked="", interval=None))
    assert view_overview(missing).next.endswith("(built in)”: no test split.")
    few = rule("uncertain", remedy="Test at least 30 people of each group.", interval=None)
    assert view_overview(run_with("uncertain", few)).next == "Test at least 30 people of each group."
    assert view_overview(run_with("no_rules")).next.endswith("rft report RUN --policy FILE.")
    assert view_overview(run_with("fail", FAILED)).next.startswith("Do not release it before")
    broken = Section(plugin="performance", findings=(ACCURACY.model_copy(update={"remedy": "Train longer."}),))
    assert view_overview(run_with("fail", FAILED).model_copy(update={"sections": (broken,)})).next == "Train longer."


def to_review(id: str, remedy: str, status: str = "warn") -> Finding:
    return ACCURACY.model_copy(update={"id": id, "title": id, "status": status, "remedy": remedy})


def test_steps_go_against_what_is_broken_then_unsettled_then_to_review_then_untested() -> None:
    findings = (
        to_review("a.seen", "Look at a."),
        to_review("a.broken", "Mend a."),
        to_review("a.quiet", "Never shown.", "info"),
        to_review("b.seen", "Look at a."),
        to_review("c.unsettled", ""),
    )
    unsettled = UNSETTLED.model_copy(update={"finding": "c.unsettled"})
    broken = FAILED.model_copy(update={"finding": "a.broken"})
    untested = Pillar(
        plugin="attribution", label="Looks at", summary="", claims=(Claim(label="Maps", state="not_asked"),)
    )
    run = run_with("fail", unsettled, broken, broken).model_copy(
        update={"sections": (Section(plugin="a", findings=findings),), "pillars": (untested,)}
    )
    mend, settle = "Mend a.", "“c.unsettled”: test on about 20,000 cases, and audit again."
    test_it = (
        "Nothing was measured for “Looks at”: audit again with its tests switched on (the section [attribution] of "
        "audit.toml)."
    )
    assert view_overview(run).next == f"{mend} {settle} Look at a. {test_it}"


def test_at_most_four_steps_are_named_the_most_important_ones() -> None:
    findings = tuple(to_review(f"a.{name}", f"Do {name}.") for name in "uvwxyz")
    broken = FAILED.model_copy(update={"finding": "a.z"})
    run = run_with("fail", broken).model_copy(update={"sections": (Section(plugin="a", findings=findings),)})
    assert view_overview(run).next == "Do z. Do u. Do v. Do w."


def test_only_where_chance_leaves_a_rule_open_its_reason_is_cut_to_what_settles_it() -> None:
    reason = "no share is above 1, so 10 bounds nothing; 10 % is 0.1"
    senseless = rule("uncertain", reason=reason, interval=None)
    assert view_overview(run_with("uncertain", senseless)).next == f"“Accuracy”: {reason}."


def test_the_gap_that_a_rule_is_on_is_told_where_the_answer_speaks_of_another() -> None:
    gap = ACCURACY.model_copy(update={"id": "own.gap", "small_groups": ("c", "d", "e")})
    ends = {"lowest": GroupRate(group="a", value=0.1), "highest": GroupRate(group="b", value=0.79)}
    contrast = Contrast(finding="own.gap", attribute="sex", metric="Selection rate", **ends)
    judged = run_with("fail", FAILED.model_copy(update={"finding": "own.gap"}))
    for summary, is_added in (("It is so.", True), ("Selection rate is 0.10 for a and 0.79 for b (sex).", False)):
        pillar = Pillar(plugin="own", label="Own", summary=summary, contrasts=(contrast,))
        run = judged.model_copy(update={"pillars": (pillar,), "sections": (Section(plugin="own", findings=(gap,)),)})
        (view,) = view_overview(run).pillars
        assert view.summary.startswith(
            "By the rules: Selection rate is 0.10 for a and 0.79 for b (sex): a gap of "
        ) == (is_added)
        assert view.summary.endswith(summary)
        assert view.contrasts is not None
        assert view.contrasts.rows[0][1][0].left_out == "3 groups"


def test_claims_are_grouped_by_state_what_was_measured_first() -> None:
    states: tuple[ClaimState, ...] = (
        "not_asked",
        "not_applicable",
        "measured",
        "not_measured",
        "declared",
        "measured",
    )
    claims = tuple(Claim(label=f"Claim {number}", state=state) for number, state in enumerate(states))
    run = small_run().model_copy(
        update={"pillars": (Pillar(plugin="own", label="Own", summary="It is so.", claims=claims),)}
    )
    (pillar,) = view_overview(run).pillars
    assert [(group.state, group.word, [claim.label for claim in group.claims]) for group in pillar.groups] == [
        ("measured", "Measured", ["Claim 2", "Claim 5"]),
        ("declared", "Declared by the user", ["Claim 4"]),
        ("not_measured", "Not measured", ["Claim 3"]),
        ("not_applicable", "Does not apply", ["Claim 1"]),
        ("not_asked", "Not requested", ["Claim 0"]),
    ]
    page = render(run).partition('aria-label="Own: what was measured"')[2]
    assert "<span>Measured: Claim 2, Claim 5</span>" in page


@pytest.mark.parametrize("reason", ["Too few. Ask for more.", "too few", "is there none?"])
def test_a_reason_that_ends_a_sentence_gets_no_second_full_stop(reason: str) -> None:
    absent = ACCURACY.model_copy(update={"status": "not_measured", "value": None, "interval": None, "reason": reason})
    page = render(small_run().model_copy(update={"sections": (Section(plugin="own", findings=(absent,)),)}))
    assert f"Why not: {reason}{'.' * (reason == 'too few')}</p>" in page


# --- a section ---


def make_finding(name: str, **changes: Any) -> Finding:
    definition = FindingDefinition(f"own.{name}", f"Title of {name}", "It is so.")
    return definition.state_fact(1.0).model_copy(update=changes)


MISSING = FindingDefinition("own.missing", "Title of missing", "It is so.").state_not_measured("too few")
FINDINGS = (
    make_finding("plain"),
    MISSING,
    make_finding("warned", status="warn"),
    make_finding("judged"),
    make_finding("broken", status="fail"),
    make_finding("named"),
    make_finding("headline", headline=True),
)


def make_figure(name: str, **changes: Any) -> Figure:
    encode = {"x": "x", "y": "y"}
    return Figure(id=name, kind="lines", table="drawn", encode=encode, title=f"Figure {name}", alt="A line.", **changes)


SECTION = Section(
    plugin="own",
    findings=FINDINGS,
    tables={"drawn": [{"x": 1.0, "y": 2.0}], "loose": [{"word": "a"}], "kept": [{"word": "b"}]},
    figures=(make_figure("folded"), make_figure("leading", lead=True), make_figure("chaptered")),
    chapters=(Chapter(title="Later", findings=("own.named",), figures=("chaptered",), tables=("kept",)),),
)


def lay_out(section: Section) -> SectionLayout:
    views = [view_finding(finding, {"own.judged": True}) for finding in section.findings]
    figures = [FigureView(figure.id, figure.title) for figure in section.figures]
    tables = [(name, TableView("", (), (), 0, 0)) for name in ("loose", "kept")]
    return lay_out_section(section, views, figures, tables)


def test_what_failed_is_judged_or_needs_a_review_comes_first() -> None:
    layout = lay_out(SECTION)
    assert [view.id for view in layout.review] == ["own.broken", "own.judged", "own.warned", "own.headline"]
    assert [view.id for view in layout.lead_figures] == ["leading"]
    assert [(fold.title, fold.counts) for fold in layout.folds] == [
        ("Measured without remark", "1 measured"),
        ("Not measured, and why", "1 not measured"),
        ("Charts and numbers", "1 figure, 1 table"),
        ("Later", "1 measured, 1 figure, 1 table"),
    ]


def test_each_finding_figure_and_table_stands_once() -> None:
    layout = lay_out(SECTION)
    findings = [view.id for view in (*layout.review, *(view for fold in layout.folds for view in fold.findings))]
    figures = [view.id for view in (*layout.lead_figures, *(view for fold in layout.folds for view in fold.figures))]
    tables = [name for fold in layout.folds for name, _ in fold.tables]
    assert sorted(findings) == sorted(finding.id for finding in FINDINGS)
    assert sorted(figures) == ["chaptered", "folded", "leading"]
    assert sorted(tables) == ["kept", "loose"]


def test_a_section_without_remarks_and_chapters_has_no_empty_fold() -> None:
    assert lay_out(Section(plugin="own", findings=(make_finding("plain"),), tables={})).review == ()
    empty = lay_out_section(Section(plugin="own"), [], [], [])
    assert (empty.review, empty.lead_figures, empty.folds) == ((), (), ())


def test_no_id_is_a_heading_and_every_title_stands_once_as_a_row() -> None:
    page = render(small_run().model_copy(update={"sections": (SECTION,)})).partition("<script")[0]
    headings = re.findall(r"<h\d[^>]*>(.*?)</h\d>", page, re.DOTALL)
    assert not [heading for heading in headings if re.search(r"\b(own|performance)\.[a-z]", heading)]
    for finding in FINDINGS:
        assert page.count(f'id="{finding.id}"') == 1


def test_the_largest_gaps_are_a_row_an_attribute_and_a_cell_a_metric() -> None:
    finding = small_run().findings[0]

    def contrast(attribute: str, metric: str, lowest: float) -> Contrast:
        ends = GroupRate(group="a", value=lowest), GroupRate(group="b", value=lowest + 0.69)
        return Contrast(finding=finding.id, attribute=attribute, metric=metric, lowest=ends[0], highest=ends[1])

    contrasts = [contrast(f"of {number}", "Accuracy", 0.1) for number in range(6)] + [contrast("of 0", "TPR", 0.204)]
    unknown = contrasts[0].model_copy(update={"finding": "gone.away", "attribute": "gone"})
    pillar = Pillar(plugin="own", label="Own", summary="It is so.", contrasts=(unknown, *contrasts))
    (view,) = view_overview(small_run().model_copy(update={"pillars": (pillar,)})).pillars
    table = view.contrasts
    assert table is not None
    assert (table.metrics, [attribute for attribute, _ in table.rows], table.omitted) == (
        ("Accuracy", "TPR"),
        ["of 0", "of 1", "of 2", "of 3"],
        2,
    )
    first, second = table.rows[0][1]
    assert (first.value, first.interval, first.ends) == ("0.69", "[0.64, 0.74]", (("a", "0.10"), ("b", "0.79")))
    assert second.ends == (("a", "0.20"), ("b", "0.89"))
    assert [cell.value for cell in table.rows[1][1]] == ["0.69", ""], "not compared"
