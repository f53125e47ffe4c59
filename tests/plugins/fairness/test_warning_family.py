"""Gaps judged together: what is pointed out allows for how many gaps are looked at, and one fact counts once."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from rft.plugins.fairness import FairnessOptions
from rft.plugins.fairness.measure.gaps import compare_groups
from rft.plugins.fairness.measure.group_comparison import GroupComparison
from rft.plugins.fairness.measure.group_metrics import SampleSizeRules, measure_groups
from rft.plugins.fairness.measure.plan import ComparisonPlan
from rft.plugins.fairness.measure.warning_family import correct_together
from rft.predictions.grouped import ClassTarget, GroupedPredictions
from rft.stats.gaps.max_t import LargestGap, adjust_by_holm, largest_gap, refine_p_value
from rft.stats.gaps.rate_difference import TwoRates
from rft.stats.resampling import resample_rates
from rft.stats.scores.classification import METRICS, Ratios
from tests.support.fairness_cases import audit, group_of, predictions

CLASSES = ("no", "yes")
EVERYTHING = ["accuracy", "selection_rate", "tpr", "fnr", "fpr"]


def test_a_share_and_its_complement_are_one_fact() -> None:
    def fact_key(metric: str, name: str | None) -> tuple[bytes, bytes]:
        return Ratios.from_metric(METRICS[metric], CLASSES, ClassTarget.from_class(name, CLASSES).positive).fact_key

    assert fact_key("tpr", "yes") == fact_key("fnr", "yes")
    assert fact_key("tpr", "no") == fact_key("fpr", "yes")
    assert fact_key("selection_rate", "no") == fact_key("selection_rate", "yes")
    assert fact_key("balanced_accuracy", None) == fact_key("tpr", None)
    distinct = {fact_key(metric, "yes") for metric in ("tpr", "fpr", "selection_rate", "precision")} | {
        fact_key("accuracy", None)
    }
    assert len(distinct) == 5


def two_groups() -> pd.DataFrame:
    first, second = group_of(80, 20, 10, 90), group_of(80, 20, 40, 60)
    labels, predicted = (np.concatenate(pair) for pair in zip(first, second, strict=True))
    return predictions(labels, predicted, g=["A"] * 200 + ["B"] * 200)


def test_tpr_and_fnr_are_warned_of_once_and_counted_once() -> None:
    section = audit(two_groups(), metrics=EVERYTHING)
    tpr, fnr = (section.finding(f"fairness.{metric}_gap.g") for metric in ("tpr", "fnr"))
    assert (tpr.status, fnr.status) == ("warn", "info")
    assert "the same fact as the gap in true positive rate" in fnr.description
    rows = {row["metric"]: row for row in section.tables["gaps"]}
    p_values = [rows[metric]["p"] for metric in ("accuracy", "selection_rate", "tpr", "fpr")]
    assert [rows[metric]["p_holm"] for metric in ("accuracy", "selection_rate", "tpr", "fpr")] == adjust_by_holm(
        p_values
    )
    assert rows["fnr"]["p_holm"] == rows["tpr"]["p_holm"]
    assert "fnr" not in {row["metric"] for row in audit(two_groups()).tables["gaps"]}


@pytest.mark.slow
def test_warnings_are_a_family() -> None:
    """20 attributes that mean nothing, by 3 facts each: some p-values fall below .05, and one audit in twenty warns."""
    warned = alone = 0
    for seed in range(40):
        rng = np.random.default_rng(seed)
        labels = rng.random(400) < 0.5
        predicted = np.where(rng.random(400) < 0.8, labels, ~labels)
        names = {f"g{number:02}": rng.choice(["a", "b"], 400) for number in range(20)}
        frame = predictions(labels, predicted, **names)
        options = FairnessOptions(max_intersection_order=1, metrics=["accuracy", "selection_rate", "tpr"])
        plan = ComparisonPlan.from_frame(frame, CLASSES, options, "yes")
        compared = [gaps_of(grouped, plan) for grouped in plan.group_predictions()]
        gaps = [gap for grouping in correct_together(compared) for gap in grouping.stated]
        assert len(gaps) == 60
        warned += any(gap.status == "warn" for gap in gaps)
        alone += any(gap.p_value <= 0.05 for gap in gaps)
    assert alone > 30
    assert warned <= 6  # of 40 at 5 %: more in 1 of 70 such tests


def gaps_of(grouped: GroupedPredictions, plan: ComparisonPlan) -> GroupComparison:
    """Return all gaps as stated ones, without the work that verdicts need."""
    gaps = tuple(
        compare_groups(
            grouped,
            metric,
            target,
            measure_groups(grouped, metric, target, size_rules=SampleSizeRules(), positive=plan.positive),
            seed=0,
            verdicts=False,
        )
        for metric, target in plan.planned_metrics
    )
    return GroupComparison(grouped, (), gaps, (None,) * len(gaps), gaps)


def test_what_stands_out_by_itself_alone_says_so() -> None:
    rng = np.random.default_rng(3)
    first, second = group_of(85, 15, 15, 85), group_of(77, 23, 24, 76)
    labels, predicted = (np.concatenate(pair) for pair in zip(first, second, strict=True))
    noise = {f"noise{number}": rng.choice(["a", "b"], 400) for number in range(6)}
    section = audit(predictions(labels, predicted, g=["A"] * 200 + ["B"] * 200, **noise), max_intersection_order=1)
    finding = section.finding("fairness.accuracy_gap.g")
    assert finding.interval is not None
    assert finding.interval.low > 0
    assert finding.status == "info"
    assert "by itself, but not among the 28 gaps" in finding.description


def test_a_selection_rate_gap_that_follows_from_the_labels_is_not_pointed_out() -> None:
    """Everybody in C is negative, so that a perfect model selects nobody there."""
    first, second, negative = group_of(100, 0, 0, 100), group_of(100, 0, 0, 100), group_of(100, 0, 0, 0)
    labels, predicted = (np.concatenate(parts) for parts in zip(first, second, negative, strict=True))
    section = audit(predictions(labels, predicted, g=["A"] * 200 + ["B"] * 200 + ["C"] * 100))
    finding = section.finding("fairness.selection_rate_gap.g")
    assert finding.value == pytest.approx(0.5)
    assert finding.status == "info"
    assert "follows from the labels alone" in finding.caveats


@pytest.mark.parametrize("seed", range(12))
def test_the_band_of_chance_and_the_verdict_agree(seed: int) -> None:
    """A gap beyond the band has an interval above 0, and one within it has not, for two groups and for more."""
    rng = np.random.default_rng(seed)
    n = rng.integers(30, 400, 2 + seed % 3)
    names = np.repeat([f"g{index}" for index in range(len(n))], n)
    right = rng.random(len(names)) < np.repeat(rng.uniform(0.75, 1.0, len(n)), n)
    labels = rng.random(len(names)) < 0.5
    rows = audit(predictions(labels, np.where(right, labels, ~labels), g=names)).tables["gaps"]
    assert any(row["value"] is not None for row in rows)
    for row in rows:
        if row["value"] is not None:
            assert (row["value"] > row["null_95th_percentile"]) == (row["low"] > 0), row


@pytest.mark.parametrize(("rate", "n", "other_n"), [(0.5, 60, 60), (0.9, 1000, 300), (0.95, 40, 40), (0.1, 50, 1000)])
def test_the_gap_within_chance_is_the_edge_of_the_test(rate: float, n: int, other_n: int) -> None:
    edge = TwoRates(rate * n, n, rate * other_n, other_n).gap_within_chance()

    def low_of_gap(gap: float) -> float:
        first, second = rate + gap * other_n / (n + other_n), rate - gap * n / (n + other_n)
        first, second = (first, second) if first <= 1 else (1.0, 1.0 - gap)
        return TwoRates(first * n, n, second * other_n, other_n).confidence_interval().low

    assert 0 < edge < 0.3
    assert low_of_gap(edge * 0.999) <= 0 < low_of_gap(edge * 1.001)


def test_where_no_gap_could_be_told_from_chance_the_band_is_the_whole_range() -> None:
    assert TwoRates(1, 1, 1, 2).gap_within_chance() == 1.0


def drawn_gap(rng: np.random.Generator, draws: int) -> LargestGap:
    return largest_gap(resample_rates(np.array([90, 60, 75]), np.array([100, 100, 100]), rng, draws=draws))


def test_a_p_value_is_fine_enough_for_the_whole_table() -> None:
    """1,999 draws allow no corrected p-value below .09 among 187 rows; the gap is 6 standard errors wide."""
    rng = np.random.default_rng(0)
    gap = drawn_gap(rng, 1999)
    assert gap.at_floor
    assert 187 * gap.p_value > 0.05
    refined = refine_p_value(gap, lambda: drawn_gap(rng, 1999), tests=187)
    assert refined <= 1 / (40 * 187)
    assert adjust_by_holm([refined, *[1.0] * 186])[0] < 0.05


def test_a_p_value_that_needs_no_more_draws_stays() -> None:
    rng = np.random.default_rng(0)
    gap = largest_gap(resample_rates(np.array([50, 45, 48]), np.array([100, 100, 100]), rng, draws=1999))
    assert not gap.at_floor
    assert refine_p_value(gap, lambda: pytest.fail("drawn again"), tests=10_000) == gap.p_value


def test_a_wide_table_can_reach_significance() -> None:
    """Of 25 classes and their rows, one group is wrong on everything, and its corrected p-values say so."""
    rng = np.random.default_rng(0)
    classes = tuple(f"c{index:02}" for index in range(10))
    labels = np.repeat(np.arange(10), 90)
    names = np.tile(["A", "B", "C"], 300)
    predicted = np.where((names == "C") & (rng.random(900) < 0.9), (labels + 1) % 10, labels)
    frame = predictions(np.array(classes)[labels], np.array(classes)[predicted], g=names)
    section = audit(frame, classes=classes, positive="c00", metrics=["accuracy", "tpr", "fpr", "precision"])
    rows = [row for row in section.tables["gaps"] if row["p_holm"] is not None]
    assert len(rows) > 20
    assert min(row["p_holm"] for row in rows if not row["finding"]) < 0.05
