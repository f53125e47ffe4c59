"""Rules about sizes: a gap or ratio is judged by an interval of its size, whichever group comes out the higher."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from plugins.fairness_cases import audit, predictions

from rft.config import Rule
from rft.policy import judge
from rft.records import Outcome


def rows_of(**groups: tuple[int, int]) -> pd.DataFrame:
    """Return predictions of groups given as (hits, n): a hit is right, and given the favourable class."""
    hit = np.concatenate([np.arange(n) < hits for hits, n in groups.values()])
    names = np.repeat(list(groups), [n for _, n in groups.values()])
    return predictions(np.ones(len(hit), dtype=bool), hit, g=names)


def outcome(frame: pd.DataFrame, *rules: Rule, **options: object) -> list[Outcome]:
    verdict = judge(rules, [audit(frame, metrics=["accuracy", "selection_rate"], **options)])
    return [rule.outcome for rule in verdict.rules]


@pytest.mark.parametrize("names", ["AB", "BA"])
def test_a_gap_that_may_be_too_large_the_other_way_round_is_uncertain(names: str) -> None:
    """A perfect group of 30 may be worse by .1 than one of 1,000: its lower end counts as well as its upper one."""
    frame = rows_of(**{names[0]: (30, 30), names[1]: (990, 1000)})
    rule = Rule(finding="fairness.accuracy_gap.g", max=0.05)
    assert outcome(frame, rule) == ["uncertain"]
    finding = audit(frame, metrics=["accuracy"]).finding(rule.finding)
    assert (finding.value, finding.interval.low) == (pytest.approx(0.01), 0)
    assert finding.interval.high == pytest.approx(0.1087, abs=5e-5)
    assert f"1.000 for {names[0]}" in finding.meaning


def test_a_gap_within_its_bound_whichever_group_is_higher_passes() -> None:
    frame = rows_of(A=(9000, 10_000), B=(9050, 10_000))
    assert outcome(frame, Rule(finding="fairness.accuracy_gap.g", max=0.02)) == ["pass"]
    assert outcome(frame, Rule(finding="fairness.accuracy_gap.g", max=0.005)) == ["uncertain"]


def test_every_interval_of_a_gap_is_one_of_a_size() -> None:
    rng = np.random.default_rng(0)
    frame = predictions(
        rng.random(900) < 0.5, rng.random(900) < 0.5, g=np.resize(list("AAABBC"), 900), h=np.resize([*"XY"], 900)
    )
    scores = rng.random(900)
    section = audit(
        frame.assign(score_no=1 - scores, score_yes=scores),
        metrics=["accuracy", "tpr", "roc_auc", "mean_score", "log_loss"],
        depth=2,
    )
    gaps = [finding for finding in section.findings if "_gap." in finding.id]
    assert len(gaps) == 15
    for finding in gaps:
        for interval in (finding.interval, *(adjusted.interval for adjusted in finding.adjusted)):
            assert 0 <= interval.low <= finding.value <= interval.high
    assert all(row["low"] >= 0 for row in section.tables["gaps"] if row["low"] is not None)
