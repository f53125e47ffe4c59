"""Metrics of groups: Fairlearn's values wherever they are defined, and no value where they are not."""

from __future__ import annotations

from functools import cache

import numpy as np
import pandas as pd
import pytest
from sklearn import metrics as sklearn

from rft.plugins.fairness import Fairness, FairnessOptions
from rft.plugins.fairness.measure.group_metrics import SampleSizeRules, measure_groups
from rft.predictions.grouped import ClassTarget, GroupedPredictions
from rft.predictions.table import Grouping, PredictionArrays
from rft.records import Section
from rft.stats.scores.classification import METRICS
from tests.support.fairness_cases import audited_model, predictions

ALL = [*METRICS]
NO_LIMITS = SampleSizeRules(1, 1)


def made_up(seed: int, k: int, n: int = 600) -> PredictionArrays:
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, k, n)
    logits = rng.standard_normal((n, k)) + 1.2 * np.eye(k)[labels]
    scores = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    return PredictionArrays(tuple("abcdefgh"[:k]), labels, scores.argmax(axis=1), scores)


def random_grouping(seed: int, n: int = 600, shares=(0.5, 0.3, 0.2)) -> Grouping:
    rng = np.random.default_rng([seed, 1])
    return Grouping.from_values("place", pd.Series(rng.choice(list("xyz"), n, p=shares)))


def values_of(rows: PredictionArrays, groups: Grouping, metric: str, target: ClassTarget) -> list[float | None]:
    metrics = measure_groups(GroupedPredictions(rows, groups), metric, target, size_rules=NO_LIMITS, positive=0)
    return [item.value for item in metrics]


def test_log_loss_and_area_of_several_classes() -> None:
    rows, groups = made_up(8, 3, 900), random_grouping(8, 900)
    assert rows.scores is not None
    for index, (loss, area) in enumerate(
        zip(
            values_of(rows, groups, "log_loss", ClassTarget(None, None)),
            values_of(rows, groups, "roc_auc", ClassTarget(None, None)),
            strict=True,
        )
    ):
        members = groups.codes == index
        assert loss == pytest.approx(sklearn.log_loss(rows.labels[members], rows.scores[members]))
        expected = sklearn.roc_auc_score(rows.labels[members], rows.scores[members], multi_class="ovr", average="macro")
        assert area == pytest.approx(expected)


def section_of(frame: pd.DataFrame, *, classes=("no", "yes"), **options) -> Section:
    audited = audited_model(frame, classes=classes, positive=classes[-1])
    return Fairness().audit(audited, FairnessOptions(metrics=ALL, **options))


@cache
def section_with_every_gap() -> Section:
    """An audit of 400 rows in three groups with scores, in which every metric has a gap."""
    rng = np.random.default_rng(1)
    labels = rng.random(400) < 0.5
    frame = predictions(labels, labels ^ (rng.random(400) < 0.2), place=rng.choice(list("xyz"), 400))
    score = np.where(frame["prediction"] == "yes", 0.5 + 0.5 * rng.random(400), 0.5 * rng.random(400))
    return section_of(frame.assign(score_no=1 - score, score_yes=score))


def with_scores(frame: pd.DataFrame, classes=("no", "yes")) -> pd.DataFrame:
    """Add probabilities: .8 for the predicted class, the rest spread evenly."""
    rest = 0.2 / (len(classes) - 1)
    scores = {f"score_{name}": np.where(frame["prediction"] == name, 0.8, rest) for name in classes}
    return frame.assign(**scores)


def undefined_cases() -> list[tuple[str, pd.DataFrame, tuple[str, ...], dict[str, str]]]:
    """Groups in which metrics are undefined: what is special, data, classes, status by metric of group y."""
    fine = [True, False] * 40
    of_three = ["a", "b", "c"] * 30
    x, binary, three = ["x"] * 80, ("no", "yes"), ("a", "b", "c")

    def groups_beside(labels: list, guesses: list) -> pd.DataFrame:
        return predictions(fine + labels, fine + guesses, place=x + ["y"] * len(labels))

    no_positives = with_scores(groups_beside([False] * 40, fine[:40]))
    no_negatives = with_scores(groups_beside([True] * 40, fine[:40]))
    never_selected = with_scores(groups_beside(fine[:40], [False] * 40))
    small = with_scores(groups_beside(fine[:9], fine[:9]))
    few_positives = with_scores(groups_beside([True] * 5 + [False] * 45, fine[:50]))
    unscored = groups_beside(fine[:40], fine[:40])
    absent = with_scores(
        predictions(of_three + ["a", "b"] * 20, of_three + ["a", "b"] * 20, place=["x"] * 90 + ["y"] * 40), three
    )
    return [
        (
            "no positives",
            no_positives,
            binary,
            {
                "tpr": "undefined: no positives",
                "fnr": "undefined: no positives",
                "roc_auc": "undefined: no positives",
                "balanced_accuracy": "undefined: no examples of yes",
            },
        ),
        (
            "no negatives",
            no_negatives,
            binary,
            {
                "fpr": "undefined: no negatives",
                "roc_auc": "undefined: no negatives",
                "balanced_accuracy": "undefined: no examples of no",
            },
        ),
        ("nobody selected", never_selected, binary, {"precision": "undefined: no selections"}),
        ("nine rows", small, binary, dict.fromkeys(ALL, "too few")),
        (
            "five positives",
            few_positives,
            binary,
            dict.fromkeys(("tpr", "fnr", "roc_auc", "balanced_accuracy"), "too few"),
        ),
        (
            "no scores",
            unscored,
            binary,
            dict.fromkeys(("roc_auc", "mean_score", "rms_calibration_error", "log_loss"), "undefined: no scores"),
        ),
        (
            "a class is absent",
            absent,
            three,
            {
                "tpr": "undefined: no positives",
                "fnr": "undefined: no positives",
                "precision": "undefined: no selections",
                "roc_auc": "undefined: no positives",
                "balanced_accuracy": "undefined: no examples of c",
            },
        ),
    ]


UNDEFINED = [
    pytest.param(frame, classes, metric, status, id=f"{name}: {metric}")
    for name, frame, classes, expected in undefined_cases()
    for metric, status in expected.items()
]


def test_there_are_thirty_undefined_cells() -> None:
    assert len(UNDEFINED) >= 30


@pytest.mark.parametrize(("frame", "classes", "metric", "status"), UNDEFINED)
def test_undefined_is_undefined_in_the_table_the_gap_and_the_verdict(
    frame: pd.DataFrame, classes: tuple[str, ...], metric: str, status: str
) -> None:
    from rft.config.schema import Rule
    from rft.verdict.policy import judge_rules

    audited = audited_model(frame, classes=classes, positive=classes[-1])
    section = Fairness().audit(audited, FairnessOptions(metrics=[metric]))
    rows = [
        row
        for row in section.tables["by_group"]
        if row["group"] == "y" and row["class"] in (None if not METRICS[metric].of_class else classes[-1],)
    ]
    assert [(row["value"], row["low"], row["high"], row["status"]) for row in rows] == [(None, None, None, status)]
    assert isinstance(rows[0]["n"], int)
    gap = section.finding(f"fairness.{metric}_gap.place")
    assert (gap.status, gap.value) == ("not_measured", None)
    assert f"y is {status} (n = {rows[0]['n']}" in gap.reason
    verdict = judge_rules([Rule(finding=gap.id, max=0.1)], [section])
    assert verdict.status == "uncertain"
    assert status in verdict.rules[0].explanation


@pytest.mark.parametrize("metric", ALL)
def test_every_metric_has_a_gap_where_it_is_defined(metric: str) -> None:
    section = section_with_every_gap()
    gap = section.finding(f"fairness.{metric}_gap.place")
    values = [
        row["value"] for row in section.tables["by_group"] if (row["attribute"], row["metric"]) == ("place", metric)
    ]
    assert len(values) == 3
    assert gap.value == pytest.approx(max(values) - min(values))
    if metric == "rms_calibration_error":
        assert gap.interval is None
        assert "no rule can be settled" in gap.caveats
    else:
        assert gap.interval is not None
        assert gap.interval.low <= gap.value <= gap.interval.high
        assert len(gap.adjusted) > 5
        lows = [interval.interval.low for interval in gap.adjusted]
        assert lows == sorted(lows, reverse=True)


@pytest.mark.parametrize("metric", ["accuracy", "tpr", "balanced_accuracy", "log_loss", "roc_auc"])
def test_values_do_not_depend_on_the_order_of_rows_or_the_names_of_groups(metric: str) -> None:
    rows, groups = made_up(5, 2), random_grouping(5)
    order = np.random.default_rng(0).permutation(len(rows))
    target = ClassTarget(1, "b") if METRICS[metric].of_class else ClassTarget(None, None)
    shuffled = PredictionArrays(rows.classes, rows.labels[order], rows.predictions[order], rows.scores[order])
    renamed = Grouping.from_values("place", pd.Series(np.array(list("qrs"))[groups.codes[order]]))
    assert values_of(shuffled, renamed, metric, target) == pytest.approx(values_of(rows, groups, metric, target))


@pytest.mark.parametrize("odd", [0, 1])
@pytest.mark.parametrize("metric", ["log_loss", "mean_score"])
def test_a_group_of_one_value_has_a_gap_without_an_interval_and_the_audit_goes_on(metric: str, odd: int) -> None:
    """All rows of y have one score and one loss; or all but one, so that many resamples of it have."""
    rng = np.random.default_rng(0)
    labels = np.concatenate([rng.random(100) < 0.5, np.ones(100, dtype=bool)])
    score = np.concatenate([rng.random(100), np.full(100, 0.8)])
    score[len(score) - odd :] = 0.7
    frame = predictions(labels, score >= 0.5, place=["x"] * 100 + ["y"] * 100)
    frame = frame.assign(score_no=1 - score, score_yes=score)
    audited = audited_model(frame, classes=("no", "yes"), positive="yes")
    section = Fairness().audit(audited, FairnessOptions(metrics=[metric, "accuracy"]))
    gap = section.finding(f"fairness.{metric}_gap.place")
    assert gap.value is not None
    assert (gap.interval, gap.adjusted) == (None, ())
    assert "no rule can be settled" in gap.caveats
    assert section.finding("fairness.accuracy_gap.place").interval is not None
    if not odd:
        [row] = [row for row in section.tables["by_group"] if (row["group"], row["metric"]) == ("y", metric)]
        assert (row["low"], row["high"]) == (None, None)


def test_an_average_over_classes_that_rests_on_two_people_each_is_too_few_to_tell() -> None:
    """Group y is 15 people of each class; one of them has nine tenths of the rows of it."""
    rng = np.random.default_rng(0)
    people = np.repeat(np.arange(60), np.where(np.isin(np.arange(60), (30, 45)), 126, 1))
    labels = ((people % 30) >= 15).astype(bool)
    frame = predictions(labels, labels ^ (rng.random(len(labels)) < 0.1), place=np.where(people < 30, "x", "y"))
    frame["unit"] = [f"p{person}" for person in people]
    audited = audited_model(frame, classes=("no", "yes"), positive="yes")
    section = Fairness().audit(audited, FairnessOptions(metrics=["balanced_accuracy", "accuracy"], min_group_size=10))
    rows = {(row["group"], row["metric"]): row for row in section.tables["by_group"] if row["attribute"]}
    averaged = rows["y", "balanced_accuracy"]
    assert averaged["value"] is not None
    assert (averaged["status"], averaged["low"], averaged["high"]) == ("inconclusive (small sample)", None, None)
    assert rows["x", "balanced_accuracy"]["low"] is not None
    assert rows["y", "accuracy"]["low"] is not None
    gap = section.finding("fairness.balanced_accuracy_gap.place")
    assert gap.interval is None
