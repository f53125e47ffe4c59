"""Rules about sizes: a gap or ratio is judged by an interval of its size, whichever group comes out the higher."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from rft.config.schema import Rule
from rft.records import Outcome
from rft.verdict.policy import judge_rules
from tests.support.fairness_cases import audit, predictions


def rows_of(**groups: tuple[int, int]) -> pd.DataFrame:
    """Return predictions of groups given as (hits, n): a hit is right, and given the favourable class."""
    hit = np.concatenate([np.arange(n) < hits for hits, n in groups.values()])
    names = np.repeat(list(groups), [n for _, n in groups.values()])
    return predictions(np.ones(len(hit), dtype=bool), hit, g=names)


def rule_outcomes(frame: pd.DataFrame, *rules: Rule, **options: object) -> list[Outcome]:
    verdict = judge_rules(rules, [audit(frame, metrics=["accuracy", "selection_rate"], **options)])
    return [rule.outcome for rule in verdict.rules]


@pytest.mark.parametrize("names", ["AB", "BA"])
def test_a_gap_that_may_be_too_large_the_other_way_round_is_uncertain(names: str) -> None:
    """A perfect group of 30 may be worse by .1 than one of 1,000: its lower end counts as well as its upper one."""
    frame = rows_of(**{names[0]: (30, 30), names[1]: (990, 1000)})
    rule = Rule(finding="fairness.accuracy_gap.g", max=0.05)
    assert rule_outcomes(frame, rule) == ["uncertain"]
    finding = audit(frame, metrics=["accuracy"]).finding(rule.finding)
    assert (finding.value, finding.interval.low) == (pytest.approx(0.01), 0)
    assert finding.interval.high == pytest.approx(0.1087, abs=5e-5)
    assert f"1.00 for {names[0]} (n = 30 examples) and 0.99 for {names[1]}" in finding.description


def test_a_gap_within_its_bound_whichever_group_is_higher_passes() -> None:
    frame = rows_of(A=(9000, 10_000), B=(9050, 10_000))
    assert rule_outcomes(frame, Rule(finding="fairness.accuracy_gap.g", max=0.02)) == ["pass"]
    assert rule_outcomes(frame, Rule(finding="fairness.accuracy_gap.g", max=0.005)) == ["uncertain"]


def test_every_interval_of_a_gap_is_one_of_a_size() -> None:
    rng = np.random.default_rng(0)
    frame = predictions(
        rng.random(900) < 0.5, rng.random(900) < 0.5, g=np.resize(list("AAABBC"), 900), h=np.resize([*"XY"], 900)
    )
    scores = rng.random(900)
    section = audit(
        frame.assign(score_no=1 - scores, score_yes=scores),
        metrics=["accuracy", "tpr", "roc_auc", "mean_score", "log_loss"],
        max_intersection_order=2,
    )
    gaps = [finding for finding in section.findings if "_gap." in finding.id]
    assert len(gaps) == 15
    for finding in gaps:
        for interval in (finding.interval, *(adjusted.interval for adjusted in finding.adjusted)):
            assert 0 <= interval.low <= finding.value <= interval.high
    assert all(row["low"] >= 0 for row in section.tables["gaps"] if row["low"] is not None)


RATIOS = ("fairness.four_fifths.g", "fairness.selection_rate_ratio.g", "fairness.ll144.g")
LEGAL = {
    "tables": ["four_fifths", "ll144"],
    "ll144": {"sex": "s", "race": "g"},
    "metrics": ["selection_rate"],
    "max_intersection_order": 1,
}


@pytest.mark.parametrize(
    "groups",
    [
        {"A": (300, 500), "B": (270, 500), "C": (265, 500), "D": (290, 500)},
        {"A": (300, 500), "B": (100, 500)},
        {"A": (450, 500), "B": (29, 32), "C": (3, 12)},
        {"A": (30, 31), "B": (330, 400)},
        {"A": (3, 12), "B": (330, 400)},
    ],
)
@pytest.mark.parametrize("rows_each", [1, 2])
def test_one_question_about_the_ratio_has_one_answer(groups: dict[str, tuple[int, int]], rows_each: int) -> None:
    """The legal tables judge all groups at once at the adjusted level, as the finding of the section does."""
    frame = rows_of(**groups)
    frame = frame.loc[frame.index.repeat(rows_each)].reset_index(drop=True)
    frame["unit"] = np.arange(len(frame)) // rows_each if rows_each > 1 else None
    section = audit(
        frame.assign(id=np.arange(len(frame)).astype(str), group_s=np.resize(["m", "f"], len(frame))), **LEGAL
    )
    findings = [section.finding(name) for name in RATIOS]
    assert len({(finding.value, finding.n) for finding in findings}) == 1
    assert len({str(finding.interval) for finding in findings}) == 1
    assert len({str(finding.adjusted) for finding in findings}) == 1
    assert len({finding.small_groups for finding in findings}) == 1
    if rows_each == 2:  # everybody has one row of each of m and f, and the first is m's
        check = section.finding("fairness.permutation_check.s")
        assert "people are in several groups" in check.reason
    for number in (1, 2, 3):
        rules = [Rule(finding=name, min=0.8) for name in RATIOS[:number]]
        assert len({rule.outcome for rule in judge_rules(rules, [section]).rules}) == 1


def test_a_ratio_that_may_be_too_small_the_other_way_round_is_uncertain() -> None:
    """8 of 10 beside 480 of 600: the ratio is 1, and either may be the lower by far."""
    frame = rows_of(A=(24, 30), B=(480, 600))
    rules = [Rule(finding="fairness.selection_rate_ratio.g", min=0.8)]
    assert rule_outcomes(frame, *rules) == ["uncertain"]
    ratio = audit(frame, tables=["four_fifths"])
    for name in RATIOS[:2]:
        interval = ratio.finding(name).interval
        assert interval.low < 0.8
        assert interval.high == 1
    assert all(row["high"] <= 1 for row in ratio.tables["four_fifths"])


@pytest.mark.parametrize("sizes", [(30, 30, 30), (30,) * 10, (1000, 1000, 30)])
def test_groups_without_an_error_do_not_pass_by_being_more_than_two(sizes: tuple[int, ...]) -> None:
    """A group of 30 that is .94 right shows no error in 15 of 100 samples: a bound of .10 is not settled."""
    labels = np.concatenate([np.arange(n) % 2 == 0 for n in sizes])
    names = np.repeat([f"g{index}" for index in range(len(sizes))], sizes)
    section = audit(predictions(labels, labels, g=names), metrics=["accuracy"])
    finding = section.finding("fairness.accuracy_gap.g")
    assert finding.value == 0
    assert finding.interval.high > 0.11
    rule = Rule(finding=finding.id, max=0.1)
    assert judge_rules([rule], [section]).status == "uncertain"
