"""Empirical lower bounds on epsilon in the report: findings, tables, figures, and why an audit was not made."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from rft.plugins import AuditedModel
from rft.plugins.privacy import PrivacyOptions
from rft.plugins.privacy.chapter import PrivacyChapter
from rft.plugins.privacy.empirical import canaries, mechanism_audit
from rft.plugins.privacy.empirical.bounds import Guesses
from rft.plugins.privacy.empirical.canaries import OneRunAudit
from rft.plugins.privacy.empirical.many_runs import RunScores
from rft.plugins.privacy.empirical.section import empirical_chapter
from rft.plugins.privacy.empirical.watched_steps import score_distributions
from rft.plugins.privacy.training.trainer import DPTrainer
from rft.records import Finding, Section
from rft.report.charts.draw import draw_figure
from rft.training import Recipe
from tests.support import membership_cases as cases
from tests.support.privacy_cases import private_facts

PRIVATE = DPTrainer(4.0, delta=1e-5, sample_rate=0.25, steps=20)
SHORT = Recipe(epochs=10, optimizer="sgd", learning_rate=0.05, momentum=0.9, weight_decay=0.0, batch_size=32)
BOUND, ONE_RUN, POWER = (
    "privacy.epsilon_lower_bound",
    "privacy.one_run_epsilon_lower_bound",
    "privacy.audit_power",
)


@pytest.fixture(scope="module")
def private() -> AuditedModel:
    return cases.audited_model(trainer=PRIVATE)


@pytest.fixture(scope="module")
def standard() -> AuditedModel:
    return cases.audited_model(recipe=SHORT)


def privacy_options(**changes: Any) -> PrivacyOptions:
    return PrivacyOptions(**({"epsilon": 4.0, "mechanism_runs": 200} | changes))


@pytest.fixture(scope="module")
def both(private: AuditedModel) -> PrivacyChapter:
    return empirical_chapter(private, privacy_options(canaries=100))


def section_of(chapter: PrivacyChapter) -> Section:
    """Return the section that holds the chapter, which the records check."""
    return Section(
        plugin="privacy",
        findings=chapter.findings,
        tables=dict(chapter.tables),
        captions=dict(chapter.captions),
        figures=chapter.figures,
        notes=chapter.text,
    )


def finding(chapter: PrivacyChapter, id: str) -> Finding:
    return section_of(chapter).finding(id)


def values_of(chapter: PrivacyChapter, table: str) -> dict[Any, Any]:
    return {row["quantity"]: row["value"] for row in chapter.tables[table]}


def test_both_audits_stay_below_the_claim(private: AuditedModel, both: PrivacyChapter) -> None:
    audited_section = section_of(both)
    claimed = private.require_fit().require_privacy().epsilon
    for id in (BOUND, ONE_RUN):
        shown_finding = audited_section.finding(id)
        assert shown_finding.status == "info"
        assert shown_finding.value is not None
        assert 0 <= shown_finding.value < claimed
        assert "no evidence of safety" in shown_finding.caveats
    power = audited_section.finding(POWER)
    assert power.value is not None
    assert claimed < power.value < 20
    assert set(audited_section.tables) == set(audited_section.captions)
    assert {"mechanism_audit", "audit_power", "attacker_curve", "one_run_audit", "epsilon_bounds"} == set(
        audited_section.tables
    )
    json.dumps(audited_section.model_dump(mode="json"), allow_nan=False)
    assert len(both.mechanisms) == 1
    assert both.mechanisms[0].steps == 20


def test_the_figure_shows_both_sides(private: AuditedModel, both: PrivacyChapter) -> None:
    sides = both.tables["epsilon_bounds"]
    assert sides[0] == {
        "bound": "accountant: at most",
        "epsilon": private.require_fit().require_privacy().epsilon,
        "assumes": "that the code does what it says",
    }
    assert len(sides) == 5
    curve = both.tables["attacker_curve"]
    assert {row["series"] for row in curve} == {"at most, by the accountant", "reached in the audit"}
    reached = [row for row in curve if row["series"] == "reached in the audit"]
    assert all(row["low"] <= row["tpr"] <= row["high"] for row in reached)
    for figure in both.figures:
        assert draw_figure(figure, both.tables[figure.table], id=figure.id).startswith("<svg")


def draw_broken_scores(runs: int, noise: float) -> RunScores:
    claim = mechanism_audit.claimed_mechanism(private_facts(noise_multiplier=1.56, sample_rate=0.25, steps=20))
    return score_distributions(claim, replace(claim, noise_multiplier=noise)).draw_scores(
        np.random.default_rng(0), runs
    )


def test_a_refuted_mechanism_fails_and_says_so(private: AuditedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mechanism_audit, "audit_mechanism", lambda *_, **__: draw_broken_scores(200, 0.5))
    shown_finding = finding(empirical_chapter(private, privacy_options()), BOUND)
    assert shown_finding.status == "fail"
    assert "does not keep its promise" in shown_finding.description


def test_guesses_that_are_too_good_fail(private: AuditedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    lucky = OneRunAudit(Guesses(1000, 1000, 990), np.zeros(1000), np.ones(1000, dtype=bool), private.require_fit())
    monkeypatch.setattr(canaries, "audit_canary_model", lambda *_, **__: lucky)
    chapter = empirical_chapter(private, privacy_options(mechanism_runs=0, canaries=1000))
    shown_finding = finding(chapter, ONE_RUN)
    assert shown_finding.status == "fail"
    assert shown_finding.value is not None
    assert shown_finding.value > 3
    assert values_of(chapter, "one_run_audit")["p-value of the claim"] < 1e-3


def test_a_standard_training_has_no_claim_that_canaries_could_refute(standard: AuditedModel) -> None:
    chapter = empirical_chapter(standard, PrivacyOptions())
    states = {(shown_finding.absence, shown_finding.reason) for shown_finding in chapter.findings}
    assert len(states) == 1, "one reason has one state"
    assert ("not_applicable", finding(chapter, BOUND).reason) in states
    assert chapter.mechanisms == ()
    assert finding(chapter, BOUND).status == "not_measured"
    with pytest.raises(ValueError, match="canaries without epsilon"):
        PrivacyOptions(canaries=200)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"mechanism_runs": 0}, "mechanism_runs is 0"),
        ({"mechanism_runs": 49}, "at least 50"),
    ],
)
def test_what_was_not_asked_for_is_not_measured(private: AuditedModel, changes: dict[str, Any], reason: str) -> None:
    chapter = empirical_chapter(private, privacy_options(**changes))
    for id, words in ((BOUND, reason), (POWER, reason), (ONE_RUN, "privacy.canaries is 0")):
        shown_finding = finding(chapter, id)
        assert (shown_finding.status, shown_finding.value) == ("not_measured", None)
        assert shown_finding.reason is not None
        assert words in shown_finding.reason
    assert chapter.tables == {}
    assert chapter.figures == ()


def test_a_model_from_elsewhere_and_least_squares_have_no_audit(private: AuditedModel) -> None:
    outside = replace(private, task=None, trainer=None, fit=None)
    chapter = empirical_chapter(outside, privacy_options(canaries=100))
    assert {shown_finding.status for shown_finding in chapter.findings} == {"not_measured"}
    assert {shown_finding.absence for shown_finding in chapter.findings} == {"not_applicable"}
    assert len({shown_finding.reason for shown_finding in chapter.findings}) == 1
    changed_copy = replace(private, trainer=replace(PRIVATE, method="least_squares"))
    chapter = empirical_chapter(changed_copy, privacy_options(canaries=100))
    assert {shown_finding.status for shown_finding in chapter.findings} == {"not_measured"}


def test_a_spent_budget_leaves_the_canary_model_out_with_the_reason(private: AuditedModel, tmp_path: Any) -> None:
    from rft.training import Population

    people = Population("made", np.array([f"row {row}" for row in range(150)]), tmp_path)
    poor = replace(
        private,
        task=replace(private.require_task(), population=people),
        trainer=replace(PRIVATE, ledger=str(tmp_path), budget=1.0),
    )
    shown_finding = finding(empirical_chapter(poor, privacy_options(mechanism_runs=0, canaries=100)), ONE_RUN)
    assert shown_finding.status == "not_measured"
    assert "no canary model was trained" in str(shown_finding.reason)
