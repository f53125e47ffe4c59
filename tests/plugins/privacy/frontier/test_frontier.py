"""The frontier: what is trained, what its tables say, and what happens where it cannot be made."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from rft.errors import ConfigError, EvidenceError, IntegrityError
from rft.plugins.privacy import PrivacyOptions
from rft.plugins.privacy.accounting.accountants import composed_spending
from rft.plugins.privacy.chapter import PrivacyChapter
from rft.plugins.privacy.frontier.heads import LEAST_SQUARES, SGD, WITHOUT, HeadCondition, JudgedHeads
from rft.plugins.privacy.frontier.section import present_frontier
from rft.plugins.privacy.frontier.training import SEEDED_HEADS, frontier_chapter
from rft.plugins.privacy.training import least_squares_fit, trainer
from rft.plugins.privacy.training.trainer import DPTrainer
from rft.records import Row, Section
from rft.report.charts import draw
from tests.support import frontier_cases as cases

OPTIONS = PrivacyOptions(epsilon=3.0, frontier=[4.0, 0.5], replicates=2, randomness="seeded")


@pytest.fixture(scope="module")
def frontier() -> PrivacyChapter:
    return frontier_chapter(cases.audited_model(DPTrainer(3.0, randomness="seeded")), OPTIONS)


def rows_where(chapter: PrivacyChapter, table: str, **where: Any) -> list[Row]:
    return [row for row in chapter.tables[table] if all(row[name] == value for name, value in where.items())]


def test_it_has_heads_at_each_epsilon_beside_heads_without_privacy(frontier: PrivacyChapter) -> None:
    arms = {(row["method"], row["epsilon"]) for row in frontier.tables["frontier"]}
    assert arms == {(WITHOUT, None), (SGD, 0.5), (SGD, 4.0), (LEAST_SQUARES, 0.5)}
    alone = rows_where(frontier, "frontier", metric="accuracy", attribute=None, method=SGD, epsilon=4.0)
    assert [row["replicate"] for row in alone] == [None, 1, 2]
    assert alone[0]["value"] == pytest.approx(np.mean([row["value"] for row in alone[1:]]))
    assert alone[0]["low"] < alone[0]["value"] < alone[0]["high"]
    assert {row["spent"] for row in frontier.tables["frontier"]} == {None}  # seeded noise spends nothing that holds
    assert SEEDED_HEADS in frontier.text
    assert 3.9 < composed_spending(frontier.mechanisms[2:3], 1e-5).epsilon <= 4.0


def test_it_says_what_secret_noise_spends() -> None:
    options = PrivacyOptions(epsilon=3.0, frontier=[4.0], replicates=1)
    chapter = frontier_chapter(cases.audited_model(DPTrainer(3.0)), options)
    spent = {row["epsilon"]: row["spent"] for row in chapter.tables["frontier"]}
    assert spent[None] is None
    assert 3.9 < spent[4.0] <= 4.0
    assert SEEDED_HEADS not in chapter.text


def test_rates_are_given_for_each_group(frontier: PrivacyChapter) -> None:
    rates = rows_where(frontier, "frontier", attribute="site", method=WITHOUT, replicate=None)
    assert {(row["group"], row["metric"]) for row in rates} == {
        (group, metric) for group in "ab" for metric in ("accuracy", "selection_rate", "tpr", "fpr")
    }
    assert all(row["low"] <= row["value"] <= row["high"] for row in rates)
    by_group = {row["group"]: row["value"] for row in rates if row["metric"] == "accuracy"}
    assert by_group["a"] > by_group["b"] + 0.1


def test_the_section_holds_together_and_can_be_drawn(frontier: PrivacyChapter) -> None:
    section = Section(
        plugin="privacy", findings=frontier.findings, tables=dict(frontier.tables), figures=frontier.figures
    )
    assert [finding.id for finding in section.findings] == [
        "privacy.accuracy_cost",
        "privacy.accuracy_cost_gap.site",
    ]
    assert set(frontier.captions) == set(frontier.tables)
    for figure in section.figures:
        assert "<svg" in draw.draw_figure(figure, section.tables[figure.table], id=figure.id)
    assert "epsilon 4," in section.findings[0].description  # 3 is nearer to 4 than to 0.5


def test_what_the_heads_released_is_told(frontier: PrivacyChapter) -> None:
    assert len(frontier.mechanisms) == 6
    one_sum = [mechanism for mechanism in frontier.mechanisms if mechanism.steps == 1]
    assert [(mechanism.sample_rate, mechanism.steps) for mechanism in one_sum] == [(1.0, 1)] * 2


def test_nothing_is_trained_that_was_not_asked_for() -> None:
    assert frontier_chapter(cases.audited_model(DPTrainer(3.0)), PrivacyOptions(epsilon=3.0)) == PrivacyChapter()


def test_too_few_test_examples_are_no_measurement() -> None:
    chapter = frontier_chapter(cases.audited_model(DPTrainer(3.0), n_test=9), OPTIONS)
    assert [finding.status for finding in chapter.findings] == ["not_measured"]
    assert not chapter.tables


def test_a_refusal_is_told_and_a_failed_self_test_is_not_swallowed(monkeypatch: pytest.MonkeyPatch) -> None:
    audited = cases.audited_model(DPTrainer(3.0, randomness="seeded"))

    def refuse_budget(*_: object, **__: object) -> None:
        raise ConfigError("the budget is spent", where="privacy.budget")

    monkeypatch.setattr(least_squares_fit, "fit", refuse_budget)
    part = frontier_chapter(audited, OPTIONS)
    assert "privacy.budget: the budget is spent" in part.text[-1]
    assert len(part.mechanisms) == 4
    monkeypatch.setattr(trainer, "fit_together", refuse_budget)
    assert frontier_chapter(audited, OPTIONS).findings[0].reason == "privacy.budget: the budget is spent"

    for failure in (IntegrityError("no noise"), EvidenceError("an older copy was put back")):

        def raise_failure(*_: object, error: Exception = failure, **__: object) -> None:
            raise error

        monkeypatch.setattr(trainer, "fit_together", raise_failure)
        with pytest.raises(type(failure)):
            frontier_chapter(audited, OPTIONS)


def judged_heads(cost_of_b: float, *, heads: int = 3, n: int = 400, few: int = 0) -> JudgedHeads:
    """Heads without an error beside private ones that err on a share of group b, and rarely on a."""
    rng = np.random.default_rng(0)
    labels, groups = rng.integers(0, 2, n), np.array(["a", "b"] * (n // 2), dtype=object)
    groups[:few] = "c"
    wrong = rng.random((heads, n)) < np.where(groups == "b", cost_of_b, 0.02)
    private = np.where(wrong, 1 - labels, labels)
    arms = [
        HeadCondition(WITHOUT, None, None, np.repeat(labels[None], heads, axis=0)),
        HeadCondition(SGD, 2.0, 2.0, private),
    ]
    return JudgedHeads(arms, labels, np.arange(n), {"site": groups}, positive=None)


def test_whom_privacy_costs() -> None:
    cost, gap = present_frontier(judged_heads(0.3), 2.0).findings
    assert cost.interval.low > 0.1
    assert cost.value == pytest.approx(0.16, abs=0.04)
    assert (gap.status, gap.value) == ("warn", pytest.approx(0.28, abs=0.06))
    assert "costs b more" in gap.description
    assert present_frontier(judged_heads(0.02), 2.0).findings[1].status == "info"


def test_groups_that_are_too_small_are_shown_and_not_scored() -> None:
    chapter = present_frontier(judged_heads(0.3, few=9), 2.0)
    small = rows_where(chapter, "frontier", group="c")
    assert [(row["value"], row["n"], row["status"]) for row in small] == [(None, 9, "too few")] * 2
    assert "c (n = 9)" in chapter.findings[1].caveats
    three = present_frontier(judged_heads(0.3, few=40), 2.0).findings[1]
    assert three.interval is None
    assert "biased upward" in three.caveats


def test_a_rate_without_a_base_is_undefined_and_not_zero() -> None:
    case = judged_heads(0.3)
    case = replace(case, labels=np.zeros_like(case.labels), positive=1)
    rates = rows_where(present_frontier(case, 2.0), "frontier", metric="tpr", replicate=None)
    assert {(row["value"], row["status"]) for row in rates} == {(None, "undefined: no positives")}


def test_one_replicate_gives_values_and_no_intervals() -> None:
    chapter = present_frontier(judged_heads(0.3, heads=1), 2.0)
    assert chapter.findings[0].interval is None
    assert "no interval" in chapter.findings[0].caveats
    assert all(row["low"] is None for row in chapter.tables["frontier"])
