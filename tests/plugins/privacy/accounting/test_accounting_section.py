"""What a reader is told of the accounting; the numbers themselves are held in the tests of their modules."""

from __future__ import annotations

from typing import Any

import pytest

from rft.plugins.privacy.accounting import accountant_cross_check
from rft.plugins.privacy.accounting import section as accounting_section
from rft.plugins.privacy.accounting.accountants import (
    Mechanism,
    accountant_versions,
    epsilon_pld,
    tightest_spending,
)
from rft.plugins.privacy.accounting.curves import ideal_attacker
from rft.plugins.privacy.accounting.section import accounting_chapter
from rft.plugins.privacy.chapter import PrivacyChapter
from rft.records import Finding, Section
from rft.report.charts.draw import draw_figure
from rft.training.privacy_facts import PrivacyFacts
from tests.support.privacy_cases import private_facts

FIXTURE = Mechanism(1.23, 512 / 60_000, 4688)


def facts_of(mechanism: Mechanism = FIXTURE, delta: float = 1e-5, **more: Any) -> PrivacyFacts:
    spending = tightest_spending(mechanism, delta)
    numbers = {
        **vars(mechanism),
        "charged_steps": mechanism.steps,
        "delta": delta,
        **vars(spending),
        "accountant_versions": accountant_versions(),
        "n": 60_000,
    }
    return private_facts(**numbers | more)


def section_of(chapter: PrivacyChapter) -> Section:
    """Return the chapter as a section, which checks that its cells are finite and its figures have tables."""
    return Section(
        plugin="privacy",
        findings=chapter.findings,
        tables=dict(chapter.tables),
        captions=dict(chapter.captions),
        figures=chapter.figures,
    )


def finding(chapter: PrivacyChapter, name: str) -> Finding:
    return section_of(chapter).finding(f"privacy.{name}")


@pytest.fixture(scope="module")
def chapter() -> PrivacyChapter:
    return accounting_chapter(facts_of())


def test_the_findings_of_a_usual_run(chapter: PrivacyChapter) -> None:
    findings = {shown_finding.id.removeprefix("privacy."): shown_finding for shown_finding in chapter.findings}
    assert list(findings) == [
        "accountant_difference",
        "epsilon_replace_one",
        "epsilon_shuffled",
        "ideal_tpr_at_01pct_fpr",
        "ideal_tpr_at_1pct_fpr",
    ]
    assert {shown_finding.status for shown_finding in chapter.findings} == {"info"}
    assert findings["accountant_difference"].value < 2e-3
    assert findings["epsilon_replace_one"].value == pytest.approx(4.278, abs=5e-4)
    assert "more than the 2.36 of random samples" in findings["epsilon_shuffled"].description
    assert findings["ideal_tpr_at_1pct_fpr"].value == ideal_attacker(FIXTURE, 0.01)


def test_the_tables_name_accountants_and_their_versions(chapter: PrivacyChapter) -> None:
    rows = {row["name"]: row for row in chapter.tables["accounting"]}
    assert rows["PLD"]["value"] == pytest.approx(2.364, abs=5e-4)
    assert rows["RDP"]["value"] == pytest.approx(2.581, abs=5e-4)
    assert rows["PRV"]["low"] < rows["PLD"]["value"] < rows["PRV"]["high"]
    assert rows["shuffled"]["value"] is None
    assert {row["accountant"] for row in rows.values()} == {
        f"{name} {held}" for name, held in accountant_versions().items()
    }
    assert set(chapter.captions) == set(chapter.tables)


def test_the_curve_holds_the_stated_epsilon_and_is_drawn_on_a_log_axis() -> None:
    chapter = accounting_chapter(facts_of(delta=3e-6))
    table = chapter.tables["epsilon_curve"]
    deltas, epsilons = [row["delta"] for row in table], [row["epsilon"] for row in table]
    assert deltas == sorted(deltas)
    assert epsilons == sorted(epsilons, reverse=True)
    assert dict(zip(deltas, epsilons, strict=True))[3e-6] == facts_of(delta=3e-6).epsilon
    [figure] = chapter.figures
    svg = draw_figure(figure, list(table), id="f")
    assert "10⁻⁵" in svg
    assert "no place" not in svg


@pytest.mark.slow
def test_steps_that_were_charged_twice_count() -> None:
    once, twice = accounting_chapter(facts_of()), accounting_chapter(facts_of(charged_steps=5000))
    assert finding(twice, "epsilon_replace_one").value > finding(once, "epsilon_replace_one").value


def test_accountants_that_contradict_each_other_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accountant_cross_check, "epsilon_pld", lambda *arguments: 1.2 * epsilon_pld(*arguments))
    monkeypatch.setattr(
        accounting_section, "cross_check_accountants", accountant_cross_check.cross_check_accountants.__wrapped__
    )
    shown_finding = finding(accounting_chapter(facts_of()), "accountant_difference")
    assert shown_finding.status == "fail"
    assert "PRV" in shown_finding.description
    assert "looser RDP" in shown_finding.description


def test_what_cannot_be_computed_is_not_measured_with_the_reason() -> None:
    chapter = accounting_chapter(facts_of(Mechanism(0.2, 0.01, 1000), delta=1e-12))
    assert "beyond what PRV computes" in (finding(chapter, "accountant_difference").reason or "")
    assert finding(chapter, "epsilon_replace_one").status == "not_measured"
    rows = {row["name"]: row for row in chapter.tables["accounting"]}
    assert rows["PLD"]["value"] is None
    assert rows["PRV"]["value"] is None
    assert rows["RDP"]["value"] > 0


def test_one_noised_sum_is_a_mechanism_without_sampling() -> None:
    chapter = accounting_chapter(facts_of(Mechanism(5.0, 1.0, 1)))
    shuffled = finding(chapter, "epsilon_shuffled")
    assert shuffled.value == pytest.approx(facts_of(Mechanism(5.0, 1.0, 1)).epsilon)
    assert "more than" not in shuffled.description
