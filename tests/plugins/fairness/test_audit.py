"""The fairness plugin: published numbers, Fairlearn wherever it is defined, and the traps where it is not."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from pydantic import ValidationError

from rft.config.schema import Rule
from rft.errors import Unavailable
from rft.plugins import Plugin
from rft.plugins.fairness import Fairness, FairnessOptions
from rft.plugins.fairness.measure.gaps import Gap, compare_groups
from rft.plugins.fairness.measure.group_metrics import SampleSizeRules, measure_groups
from rft.plugins.fairness.measure.plan import ComparisonPlan
from rft.records import Row, Section
from rft.report.views.tables import matching_rows
from rft.stats import intervals
from rft.stats.gaps.partial_identification import gap_bounds
from rft.stats.gaps.rate_difference import TwoRates
from rft.stats.gaps.rate_ratio import smallest_ratio
from rft.verdict.policy import judge_rules
from tests.support.fairness_cases import audit, audited_model, cell, compas, group_of, predictions

pytest.importorskip("fairlearn")
RATES = ("accuracy", "selection_rate", "tpr", "fpr", "fnr")


def test_it_follows_the_protocol() -> None:
    assert isinstance(Fairness(), Plugin)
    assert not Fairness().always_on


def test_importing_it_is_light() -> None:
    code = "import rft.plugins.fairness, sys; print([m for m in ('torch', 'fairlearn', 'sklearn') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_compas() -> None:
    section = audit(compas(), metrics=list(RATES))
    black, white = (cell(section, "race", group, "fpr") for group in ("black", "white"))
    assert [100 * black[key] for key in ("value", "low", "high")] == pytest.approx([44.85, 42.56, 47.16], abs=0.005)
    assert [100 * white[key] for key in ("value", "low", "high")] == pytest.approx([23.45, 21.37, 25.67], abs=0.005)
    assert 100 * cell(section, "race", "black", "fnr")["value"] == pytest.approx(27.99, abs=0.005)
    assert 100 * cell(section, "race", "white", "fnr")["value"] == pytest.approx(47.72, abs=0.005)
    assert (black["n"], black["n_positive"], black["n_negative"], black["status"]) == (3696, 1901, 1795, "ok")


def test_the_gap_is_newcombes() -> None:
    gap = audit(compas()).finding("fairness.fpr_gap.race")
    expected = TwoRates(805, 1795, 349, 1488).confidence_interval()
    assert gap.value == pytest.approx(805 / 1795 - 349 / 1488)
    assert gap.interval is not None
    assert (gap.interval.low, gap.interval.high) == pytest.approx((expected.low, expected.high))
    strict = gap.adjusted[-1].interval
    assert strict.low < gap.interval.low
    assert strict.high > gap.interval.high
    assert gap.status == "warn"
    assert gap.n == 1795 + 1488
    assert "for black (n = 1795 negatives)" in gap.description
    assert "for white (n = 1488 negatives)" in gap.description


def test_the_columns_are_those_that_others_rely_on() -> None:
    columns = "model split attribute group class control metric value low high n n_positive n_negative status"
    row = cell(audit(compas()), "race", "black", "tpr")
    assert list(row) == columns.split()
    assert (row["model"], row["split"], row["class"], row["control"]) == ("external", "test", "yes", None)
    assert cell(audit(compas()), "race", "black", "accuracy")["class"] is None


@pytest.mark.parametrize("metric", RATES)
def test_intervals_are_wilsons_on_the_rows_the_rate_is_a_share_of(metric: str) -> None:
    section = audit(compas(), metrics=[metric])
    row = cell(section, "race", "white", metric)
    base = {"tpr": row["n_positive"], "fnr": row["n_positive"], "fpr": row["n_negative"]}.get(metric, row["n"])
    expected = intervals.wilson_interval(row["value"] * base, base)
    assert (row["low"], row["high"]) == pytest.approx((expected.low, expected.high))


def no_positives() -> pd.DataFrame:
    """A perfect classifier, and a group in which nobody has the favourable label."""
    labels = np.array([True, False] * 30 + [False] * 40)
    return predictions(labels, labels, place=["x"] * 60 + ["y"] * 40)


def test_a_rate_without_positives_is_undefined_and_no_gap() -> None:
    section = audit(no_positives())
    row = cell(section, "place", "y", "tpr")
    assert (row["value"], row["low"], row["high"]) == (None, None, None)
    assert (row["status"], row["n"], row["n_positive"]) == ("undefined: no positives", 40, 0)
    gap = section.finding("fairness.tpr_gap.place")
    assert (gap.status, gap.value) == ("not_measured", None)
    assert "y is undefined: no positives (n = 40, 0 positives)" in gap.reason
    assert "x is the only one that can (n = 30 positives)" in gap.reason
    fpr = section.finding("fairness.fpr_gap.place")
    assert (fpr.status, fpr.value) == ("info", 0.0)


def test_fairlearn_alone_falls_into_that_trap() -> None:
    """Why the check above exists; when Fairlearn mends it, the work-around can go."""
    from fairlearn.metrics import equalized_odds_difference

    frame = no_positives()
    yes = (frame["label"] == "yes").astype(int)
    assert equalized_odds_difference(yes, yes, sensitive_features=frame["group_place"]) == 1.0


def test_one_group_is_not_measured() -> None:
    frame = predictions(*group_of(40, 15, 15, 40), place=["x"] * 110)
    for metric in RATES:
        gap = audit(frame, metrics=list(RATES)).finding(f"fairness.{metric}_gap.place")
        assert gap.status == "not_measured"
        assert "x is the only one that can" in gap.reason


def test_groups_that_are_too_small_say_how_many_would_do() -> None:
    frame = predictions(*group_of(6, 3, 3, 6), place=["x", "y"] * 9)
    section = audit(frame, min_group_size=20)
    finding = section.finding("fairness.accuracy_gap.place")
    assert finding.remedy == "Test at least 20 examples of each group by place, and audit again."
    assert finding.reason.startswith("fewer than two groups can be compared, which takes 20 independent cases of each")
    rules = judge_rules([Rule(finding=finding.id, max=0.1)], [section]).rules
    assert [rule.remedy for rule in rules] == [finding.remedy, finding.remedy]


def test_an_audit_that_compares_nobody_leaves_the_verdict_uncertain_whatever_the_rules_are_about() -> None:
    frame = predictions(*group_of(40, 15, 15, 40), place=["x"] * 110)
    section = audit(frame)
    assert section.unanswered == "fairness.accuracy_gap.place"
    verdict = judge_rules([], [section])
    (outcome,) = verdict.rules
    assert (verdict.status, outcome.rule, outcome.outcome) == ("uncertain", "fairness is audited", "uncertain")
    assert outcome.finding == "fairness.audit", "which no rule of the user can name"
    assert "x is the only one that can" in outcome.explanation
    compared = audit(predictions(*group_of(40, 15, 15, 40), place=["x", "y"] * 55))
    assert compared.unanswered is None
    assert judge_rules([], [compared]).status == "no_rules"


def test_missing_predictions_are_refused() -> None:
    frame = predictions(*group_of(20, 5, 5, 20), place=["x", "y"] * 25)
    frame.loc[3, "prediction"] = None
    with pytest.raises(Unavailable, match="1 of 50 rows have no label or no prediction"):
        audit(frame)


def test_small_groups_are_shown_and_not_compared_and_the_smallest_have_no_number() -> None:
    labels, predicted = (np.tile(classes, 20) for classes in group_of(2, 1, 1, 1))
    frame = predictions(labels, predicted, place=["w"] * 32 + ["x"] * 30 + ["y"] * 29 + ["z"] * 9)
    section = audit(frame)
    few, none = (cell(section, "place", group, "accuracy") for group in "yz")
    assert (few["status"], few["n"]) == ("inconclusive (small sample)", 29)
    assert few["low"] < few["value"] < few["high"]
    assert (none["status"], none["value"], none["n"]) == ("too few", None, 9)
    gap = section.finding("fairness.accuracy_gap.place")
    assert gap.interval is not None  # two groups are left
    assert "y is left out: inconclusive (small sample, n = 29, compared from 30 examples on)." in gap.caveats
    assert "z is left out: too few (n = 9, shown from 10 on)." in gap.caveats
    assert cell(audit(frame, min_group_size=9, min_reported_size=9), "place", "z", "accuracy")["status"] == "ok"


def test_with_one_group_that_is_large_enough_there_is_no_verdict() -> None:
    frame = predictions(*group_of(20, 5, 5, 20), place=["x"] * 31 + ["y"] * 19)
    gap = audit(frame).finding("fairness.accuracy_gap.place")
    assert gap.status == "not_measured"
    assert "y is inconclusive (small sample" in gap.reason


def test_missing_values_are_counted_and_bound_the_gaps() -> None:
    labels, predicted = group_of(40, 10, 10, 40)
    frame = predictions(labels, predicted, place=["x"] * 48 + ["y"] * 48 + [None] * 4)
    section = audit(frame)
    missing = section.finding("fairness.missing.place")
    assert (missing.status, missing.value, missing.n, missing.deterministic) == ("warn", 4, 100, True)
    [row] = [row for row in section.tables["gaps"] if row["metric"] == "accuracy"]
    expected = gap_bounds([40, 36], [48, 48], 4, 4)  # the last four rows are right
    assert (row["bound_low"], row["bound_high"]) == (expected.low, expected.high)
    assert f"accuracy {row['value']:.3f}, between {expected.low:.3f} and {expected.high:.3f}" in missing.description
    assert {row["group"] for row in section.tables["by_group"] if row["attribute"] == "place"} == {"x", "y"}
    assert cell(section, None, None, "accuracy")["n"] == 100


def test_an_attribute_without_any_value_is_not_measured() -> None:
    frame = predictions(*group_of(20, 5, 5, 20), place=np.full(50, None))
    section = audit(frame)
    assert "no example has a group" in section.finding("fairness.accuracy_gap.place").reason
    assert section.figures == ()


def test_the_largest_of_several_gaps_has_an_interval_and_a_null_band() -> None:
    frame = predictions(*group_of(40, 20, 10, 50), place=["x", "y", "z"] * 40)
    section = audit(frame)
    gap = section.finding("fairness.accuracy_gap.place")
    values = [cell(section, "place", group, "accuracy")["value"] for group in "xyz"]
    assert gap.value == pytest.approx(max(values) - min(values))
    assert gap.interval is not None
    assert gap.interval.low == 0
    assert gap.interval.high > gap.value
    assert gap.interval.method == "pairwise max-t 95 %, 3 groups, 39999 resamples"
    assert "the highest and the lowest of 3 groups" in gap.description
    assert "would be found in 80 % of cases" in gap.description
    [row] = [row for row in section.tables["gaps"] if row["metric"] == "accuracy"]
    assert row["value"] < row["null_95th_percentile"] < row["minimum_detectable_effect"] < 0.5
    assert row["p"] > 0.05
    assert row["p_holm"] == 1


def test_only_test_rows_count() -> None:
    frame = compas()
    spoiled = predictions([True] * 500, [False] * 500, split="train", race=["black"] * 500)
    both = audit(pd.concat([spoiled, frame], ignore_index=True))
    assert both == audit(frame)
    with pytest.raises(Unavailable, match="no rows of the split test"):
        audit(spoiled)


def test_intersections_to_any_depth() -> None:
    rng = np.random.default_rng(0)
    labels, predicted = rng.random((2, 400)) < 0.5
    groups = {name: rng.choice(["a", "b"], 400) for name in ("sex", "age", "place")}
    section = audit(predictions(labels, predicted, **groups), max_intersection_order=3)
    attributes = {row["attribute"] for row in section.tables["by_group"]}
    assert {"sex x age", "sex x place", "age x place", "sex x age x place"} < attributes
    triple = cell(section, "sex x age x place", "a x b x a", "accuracy")
    members = (groups["sex"] == "a") & (groups["age"] == "b") & (groups["place"] == "a")
    assert triple["n"] == members.sum()
    assert triple["value"] == pytest.approx((labels == predicted)[members].mean())
    assert section.finding("fairness.accuracy_gap.sex x age x place").interval is not None
    assert {
        row["attribute"]
        for row in audit(predictions(labels, predicted, **groups), max_intersection_order=1).tables["by_group"]
    } == {
        None,
        *groups,
    }


def test_an_intersection_of_small_groups_says_once_that_none_can_be_compared() -> None:
    labels, predicted = group_of(30, 10, 10, 30)
    frame = predictions(labels, predicted, sex=["f", "m"] * 40, age=["old"] * 40 + ["young"] * 39 + [None])
    section = audit(frame)
    shown_finding = section.finding("fairness.intersection.sex x age")
    assert shown_finding.status == "not_measured"
    assert "f x young is inconclusive (small sample, n = 20" in shown_finding.reason
    assert not any("gap.sex x age" in finding.id for finding in section.findings)


def test_within_a_control_everything_is_compared_once_more() -> None:
    """Simpson's paradox: within each department the groups are treated alike, together they are not."""
    easy, hard = group_of(10, 10, 10, 70), group_of(70, 10, 10, 10)
    labels, predicted = (np.concatenate([easy[i], hard[i], easy[i][::2], hard[i][::2]]) for i in (0, 1))
    department = ["easy"] * 100 + ["hard"] * 100 + ["easy"] * 50 + ["hard"] * 50
    frame = predictions(labels, predicted, sex=["f"] * 200 + ["m"] * 100, department=department)
    section = audit(frame, control_feature="department")
    within = {row["attribute"] for row in section.tables["by_group"] if row["control"] is not None}
    assert within == {"sex"}
    rows = [
        row
        for row in section.tables["gaps"]
        if row["metric"] == "selection_rate" and row["control"] in ("department easy", "department hard")
    ]
    assert len(rows) == 2
    assert all(row["value"] < 0.02 for row in rows)
    within = [
        row
        for row in section.tables["by_group"]
        if (row["group"], row["metric"], row["control"]) == ("f", "selection_rate", "department easy")
    ]
    assert within[0]["value"] == pytest.approx(predicted[:100].mean())
    assert {row["control"] for row in section.tables["gaps"]} == {None, "department easy", "department hard"}


def test_rows_of_one_person_count_once() -> None:
    labels, predicted = group_of(20, 10, 10, 20)
    once = predictions(labels, predicted, units=[f"p{i}" for i in range(60)], place=["x", "y"] * 30)
    thrice = pd.concat([once.assign(id=once["id"] + f"/{copy}") for copy in range(3)], ignore_index=True)
    first, three = (audit(frame).finding("fairness.accuracy_gap.place") for frame in (once, thrice))
    assert first.interval is not None
    assert three.interval is not None
    assert three.n == 60
    # What is worth 30 persons is a little less than 30, since how alike their rows are is itself estimated.
    assert three.interval.low == pytest.approx(first.interval.low, abs=0.01)
    assert three.interval.high == pytest.approx(first.interval.high, abs=0.01)


def test_few_persons_are_few_however_many_rows_they_have() -> None:
    frame = predictions(*group_of(60, 30, 30, 60), units=[f"p{i % 40}" for i in range(180)], place=None)
    frame["group_place"] = np.where(frame["unit"].str[1:].astype(int) % 2, "x", "y")
    section = audit(frame)
    assert {row["status"] for row in section.tables["by_group"] if row["attribute"]} == {"inconclusive (small sample)"}
    assert "x is inconclusive (small sample, n = 20 units" in section.finding("fairness.accuracy_gap.place").reason


def gaps_table(section: Section) -> list[Row]:
    return section.tables["gaps"]


def test_the_gaps_table_says_what_the_findings_say() -> None:
    section = audit(compas())
    for row in gaps_table(section):
        finding = section.finding(f"fairness.{row['metric']}_gap.{row['attribute']}")
        assert finding.interval is not None
        assert (row["value"], row["low"]) == (finding.value, finding.interval.low)
    assert [row["groups"] for row in gaps_table(section)][:2] == ["white minus black", "black minus white"]


@pytest.mark.parametrize(
    ("frame", "options", "reason"),
    [
        (predictions([True], [True]), {}, "no group attributes"),
        (compas(), {"attributes": ["rase"]}, r"no group attribute 'rase' .* Did you mean 'race'"),
    ],
)
def test_what_cannot_be_audited_says_why(frame: pd.DataFrame, options: dict, reason: str) -> None:
    with pytest.raises(Unavailable, match=reason):
        audit(frame, **options)


def test_a_favourable_class_is_asked_for() -> None:
    with pytest.raises(Unavailable, match="no favourable class"):
        Fairness().audit(audited_model(compas(), positive=None), FairnessOptions())


def test_options_choose_metrics_and_attributes() -> None:
    frame = compas().assign(group_other=["u", "v"] * 3074 + ["u"] * 2)
    section = audit(frame, metrics=["fpr", "fpr"], attributes=["other"])
    assert [finding.id for finding in section.findings] == [
        "fairness.fpr_gap.other",
        "fairness.worst_fpr.other",
        "fairness.missing.other",
        "fairness.permutation_check.other",
    ]


def test_the_worst_group_has_an_exact_interval() -> None:
    finding = audit(compas()).finding("fairness.worst_fpr.race")
    expected = intervals.clopper_pearson_interval(805, 1795, level=0.975)  # two groups: either may be the worst
    assert finding.value == pytest.approx(805 / 1795)
    assert finding.interval is not None
    assert (finding.interval.low, finding.interval.high) == pytest.approx((expected.low, expected.high))
    assert "black has the highest false positive rate of 2 groups" in finding.description


def test_the_ratio_of_the_extremes() -> None:
    finding = audit(compas()).finding("fairness.selection_rate_ratio.race")
    row_black, row_white = (cell(audit(compas()), "race", group, "selection_rate") for group in ("black", "white"))
    assert finding.value == pytest.approx(row_white["value"] / row_black["value"])
    expected = smallest_ratio([854, 2174], [row_white["n"], row_black["n"]])
    assert finding.interval is not None
    assert (finding.interval.low, finding.interval.high) == pytest.approx((expected.low, expected.high))


def test_a_ratio_over_nothing_is_undefined() -> None:
    frame = predictions([True] * 80, [False] * 80, place=["x", "y"] * 40)
    finding = audit(frame).finding("fairness.selection_rate_ratio.place")
    assert finding.status == "not_measured"
    assert "undefined" in finding.reason


def test_a_control_stays_an_attribute_but_not_within_its_own_values() -> None:
    frame = compas().assign(group_other=["u", "v"] * 3074 + ["u"] * 2)
    section = audit(frame, control_feature="race", metrics=["accuracy"])
    assert section.finding("fairness.accuracy_gap.race").value is not None
    within = {row["attribute"] for row in section.tables["gaps"] if row["control"] is not None}
    assert within == {"other"}
    assert any("Within each value of race" in note for note in section.notes)


def test_limits_that_contradict_each_other_are_refused() -> None:
    with pytest.raises(ValidationError, match="min_reported_size is above min_group_size"):
        FairnessOptions(min_group_size=5, min_reported_size=10)


def test_an_attribute_of_many_values_is_no_group() -> None:
    frame = predictions([True, False] * 250, [True, False] * 250, name=[f"n{i}" for i in range(500)])
    with pytest.raises(Unavailable, match="name has 500 different values, more than the 200"):
        audit(frame)


def test_the_order_of_rows_does_not_matter() -> None:
    frame = compas()
    shuffled = frame.sample(frac=1, random_state=0)
    assert audit(shuffled).tables == audit(frame).tables


def gap_of(frame: pd.DataFrame) -> Gap:
    """Return the gap in accuracy by place, without the rest of an audit."""
    plan = ComparisonPlan.from_frame(frame, ("no", "yes"), FairnessOptions(metrics=["accuracy"]), "yes")
    [grouped] = plan.group_predictions()
    [(metric, target)] = plan.planned_metrics
    measured = measure_groups(grouped, metric, target, size_rules=SampleSizeRules(), positive=1)
    return compare_groups(grouped, metric, target, measured, seed=0, verdicts=False)


def test_a_planted_gap_is_found() -> None:
    rng = np.random.default_rng(0)
    detected = 0
    for _ in range(20):
        labels, groups = rng.random(600) < 0.5, rng.choice(["x", "y"], 600)
        wrong = rng.random(600) < np.where(groups == "x", 0.05, 0.25)
        detected += gap_of(predictions(labels, labels ^ wrong, place=groups)).differs
    assert detected == 20


@pytest.mark.parametrize("photos", [pytest.param(1, marks=pytest.mark.slow), 3])
def test_a_random_attribute_is_rarely_accused(photos: int) -> None:
    """Over 200 data sets, nominally 5 %; with three photos a person too, where all photos of a person agree."""
    wrongly = 0
    for seed in range(200):
        rng = np.random.default_rng(seed)
        labels, wrong, groups = rng.random(150) < 0.5, rng.random(150) < 0.2, rng.choice(["x", "y"], 150)
        people = [f"p{person}" for person in range(150)]
        columns = [np.repeat(values, photos) for values in (labels, labels ^ wrong, people, groups)]
        wrongly += gap_of(predictions(columns[0], columns[1], units=columns[2], place=columns[3])).differs
    assert 1 <= wrongly <= 16


def test_the_permutation_check_finds_an_honest_audit_honest() -> None:
    finding = audit(compas()).finding("fairness.permutation_check.race")
    assert finding.status == "info"
    assert 0.005 <= finding.value <= 0.12
    assert finding.n == 200


@pytest.mark.parametrize("photos", [1, 2])
def test_the_permutation_check_finds_a_method_that_invents_gaps(monkeypatch: pytest.MonkeyPatch, photos: int) -> None:
    """Intervals at 70 % find a gap in three shuffles of ten: the audit must say that it cannot be believed."""
    rng = np.random.default_rng(0)
    labels, wrong, groups = rng.random(200) < 0.5, rng.random(200) < 0.2, rng.choice(["x", "y"], 200)
    columns = [np.repeat(values, photos) for values in (labels, labels ^ wrong, np.arange(200).astype(str), groups)]
    frame = predictions(columns[0], columns[1], units=columns[2], place=columns[3])
    narrow = TwoRates.confidence_interval
    monkeypatch.setattr(
        TwoRates, "confidence_interval", lambda self, level=0.95: narrow(self, 0.70 if level == 0.95 else level)
    )
    finding = audit(frame).finding("fairness.permutation_check.place")
    assert finding.status == "fail"
    assert "cannot be believed" in finding.description
    assert finding.value > 0.2


def test_every_figure_has_rows() -> None:
    section = audit(compas())
    assert section.figures
    for figure in section.figures:
        assert matching_rows(section.tables[figure.table], figure.where)


def test_the_subject_is_left_as_it_was() -> None:
    audited = audited_model(compas())
    before = audited.predictions.copy()
    Fairness().audit(replace(audited), FairnessOptions())
    pd.testing.assert_frame_equal(audited.predictions, before)
