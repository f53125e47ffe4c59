"""Groups that are too small to be compared still enter rules, by exact intervals."""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binom

from rft.config.schema import Rule
from rft.plugins.fairness.measure.small_groups import (
    GroupRate,
    gap_with_small_groups,
    ratio_with_small_groups,
    worst_rate_interval,
)
from rft.records import AuditRun, Interval, Verdict
from rft.report.views.verdict import view_verdict
from rft.verdict.policy import judge_rules
from tests.support.fairness_cases import audit, predictions


def rows_of(**groups: tuple[int, int]) -> pd.DataFrame:
    """Return predictions of groups given as (right, n); half of each have the favourable class."""
    labels, predicted, names = [], [], []
    for name, (right, n) in groups.items():
        favourable = np.arange(n) % 2 == 0
        labels.append(favourable)
        predicted.append(np.where(np.arange(n) < right, favourable, ~favourable))
        names += [name] * n
    return predictions(np.concatenate(labels), np.concatenate(predicted), g=names)


def verdict_of(frame: pd.DataFrame, *rules: Rule, **options: object) -> Verdict:
    return judge_rules(rules, [audit(frame, metrics=["accuracy", "tpr", "selection_rate"], **options)])


GAP, WORST = Rule(finding="fairness.accuracy_gap.g", max=0.1), Rule(finding="fairness.worst_accuracy.g", min=0.8)


def test_a_small_group_that_breaks_a_rule_fails_it() -> None:
    verdict = verdict_of(rows_of(A=(455, 500), B=(460, 500), C=(0, 29)), GAP, WORST)
    assert [rule.outcome for rule in verdict.rules] == ["fail", "fail"]
    assert all(rule.small_groups == ("C",) for rule in verdict.rules)
    assert "with C, too small to be compared" in verdict.rules[1].explanation


def test_a_small_group_that_may_go_either_way_makes_rules_uncertain() -> None:
    verdict = verdict_of(rows_of(A=(455, 500), B=(460, 500), C=(5, 6)), GAP, WORST)
    assert [rule.outcome for rule in verdict.rules] == ["uncertain", "uncertain"]
    assert "more cases of C are needed" in verdict.rules[0].explanation


def test_a_small_group_that_surely_holds_leaves_a_rule_met_and_is_named() -> None:
    verdict = verdict_of(rows_of(A=(495, 500), B=(495, 500), C=(29, 29)), Rule(finding=WORST.finding, min=0.75))
    assert verdict.status == "pass"
    assert verdict.rules[0].small_groups == ("C",)


def test_without_small_groups_nothing_changes() -> None:
    section = audit(rows_of(A=(455, 500), B=(460, 500)), metrics=["accuracy"])
    finding = section.finding("fairness.accuracy_gap.g")
    assert finding.small_groups == ()
    assert (finding.adjusted[0].interval.low, finding.adjusted[0].interval.high) == (
        finding.interval.low,
        finding.interval.high,
    )


def test_a_group_without_any_case_may_have_any_rate() -> None:
    frame = rows_of(A=(455, 500), B=(460, 500), C=(40, 40))
    frame.loc[frame["group_g"] == "C", ["label", "prediction"]] = "no"
    verdict = verdict_of(frame, Rule(finding="fairness.tpr_gap.g", max=0.5))
    assert verdict.status == "uncertain"
    assert verdict.rules[0].small_groups == ("C",)


def test_small_groups_alone_break_a_rule_but_never_meet_it() -> None:
    wrong, right = rows_of(A=(490, 500), C=(0, 25)), rows_of(C=(25, 25), D=(25, 25))
    assert verdict_of(wrong, GAP).status == "fail"
    assert verdict_of(right, GAP).status == "uncertain"
    assert verdict_of(right, Rule(finding=WORST.finding, min=0.1)).status == "uncertain"
    assert verdict_of(rows_of(C=(0, 25), D=(0, 25)), WORST).status == "fail"


def test_a_ratio_covers_small_groups_too() -> None:
    frame = rows_of(A=(250, 500), B=(250, 500))
    small = predictions(np.ones(20, dtype=bool), np.zeros(20, dtype=bool), g=["C"] * 20)
    rule = Rule(finding="fairness.selection_rate_ratio.g", min=0.8)
    assert verdict_of(pd.concat([frame, small], ignore_index=True), rule).status == "fail"
    assert verdict_of(frame, rule).status == "pass"


def test_a_metric_that_is_no_share_may_differ_as_much_as_it_can() -> None:
    frame = rows_of(A=(400, 400), B=(400, 400), C=(20, 20))
    scores = {
        "score_no": np.where(frame["label"] == "no", 0.9, 0.1),
        "score_yes": np.where(frame["label"] == "no", 0.1, 0.9),
    }
    scored = frame.assign(**scores)
    scored.loc[::7, ["score_no", "score_yes"]] = 0.5
    section = audit(scored, metrics=["mean_score", "log_loss", "balanced_accuracy"])
    for metric in ("mean_score", "log_loss", "balanced_accuracy"):
        verdict = judge_rules([Rule(finding=f"fairness.{metric}_gap.g", max=0.9)], [section])
        assert verdict.status == "uncertain", metric
        assert "C, too small to be compared" in verdict.rules[0].explanation


def test_the_headline_names_who_was_too_small(monkeypatch: pytest.MonkeyPatch) -> None:
    verdict = verdict_of(rows_of(A=(495, 500), B=(495, 500), C=(29, 29)), Rule(finding=WORST.finding, min=0.75))
    run = AuditRun.model_construct(sections=(), verdict=verdict)
    assert view_verdict(run).note.endswith("so that they enter the rules by their exact ranges alone: C.")


@pytest.mark.parametrize(
    "rates",
    [
        (0.95, 0.9, 0.7),
        pytest.param((0.8, 0.8, 1.0), marks=pytest.mark.slow),
        pytest.param((0.9, 0.9, 0.9), marks=pytest.mark.slow),
        pytest.param((0.5, 0.5, 0.5), marks=pytest.mark.slow),
    ],
)
def test_the_interval_of_all_groups_covers_at_its_level(rates: tuple[float, ...]) -> None:
    """By enumeration over three groups of which one is small; the compared two by their exact intervals here."""
    sizes, level = (40, 40, 8), 0.9
    true_gap, true_ratio, covered = max(rates) - min(rates), min(rates) / max(rates), np.zeros(3)
    for counts in itertools.product(*(range(n + 1) for n in sizes)):
        weight = np.prod([binom.pmf(k, n, p) for k, n, p in zip(counts, sizes, rates, strict=True)])
        if weight < 1e-9:
            continue
        shares = [GroupRate(k, n) for k, n in zip(counts, sizes, strict=True)]
        half = 1 - (1 - level) / 2
        (low, high), (other_low, other_high) = (share.exact_interval(1 - (1 - half) / 2) for share in shares[:2])
        compared = Interval(
            low=max(0.0, low - other_high, other_low - high), high=max(high - other_low, other_high - low), method=""
        )
        gap = gap_with_small_groups(compared, shares[:2], shares[2:], level)
        worst = worst_rate_interval(shares, lowest=True, level=level)
        ratio = ratio_with_small_groups(
            Interval(
                low=min(low / other_high, other_low / high) if high and other_high else 0.0,
                high=min(1.0, high / other_low if other_low else 1.0, other_high / low if low else 1.0),
                method="",
            ),
            shares[:2],
            shares[2:],
            level,
        )
        covered += weight * np.array(
            [
                gap.low <= true_gap <= gap.high,
                worst.low <= min(rates) <= worst.high,
                ratio.low <= true_ratio <= ratio.high,
            ]
        )
    assert (covered >= level).all(), covered
