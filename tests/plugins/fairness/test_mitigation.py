"""Mitigation: Fairlearn's own decisions, gaps that were planted and close, choices made before test is looked at."""

from __future__ import annotations

import warnings
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from sklearn.linear_model import LogisticRegression

from rft.features.columns import Lazy
from rft.plugins import AuditedModel
from rft.plugins.fairness.mitigation import MitigationOptions
from rft.plugins.fairness.mitigation.decision_rules import GroupThresholds, LinearHead, Mixture
from rft.records import Backbone, Figure, ImagePreprocessingFacts, Section
from tests.support import mitigation_cases as cases

pytest.importorskip("fairlearn")
from rft.plugins.fairness.mitigation.dataset import (
    OWN_SPLIT,
    SET_ASIDE_FROM_TRAIN,
    MitigationData,
    examples_of_split,
    score_out_of_fold,
)
from rft.plugins.fairness.mitigation.measure import measure_decisions, one_hot_decisions
from rft.plugins.fairness.mitigation.methods import feature_reweighting, reductions, thresholds
from rft.plugins.fairness.mitigation.methods.candidates import suppress_warnings
from rft.plugins.fairness.mitigation.methods.logistic import FeatureSpace
from rft.plugins.fairness.mitigation.mitigate import MitigationResult, choose_candidate, fit_mitigation

SIZES = {"train": 1500, "validation": 1500, "test": 3000}
CONSTRAINTS = ("demographic_parity", "equalized_odds", "true_positive_rate_parity", "false_positive_rate_parity")


@cache
def planted() -> AuditedModel:
    return cases.audited_model(SIZES)


@cache
def mitigation_data() -> MitigationData:
    return MitigationData.from_audited(planted(), "region", "yes")


def options(*methods: str, **changed) -> MitigationOptions:
    settings = {"attribute": "region", "metric": "tpr", "methods": list(methods)} | changed
    return MitigationOptions(**settings)


@cache
def mitigate_by(*methods: str) -> MitigationResult:
    return fit_mitigation(planted(), options(*methods), "yes")


def chosen_row(mitigation: MitigationResult) -> dict:
    [row] = [row for row in mitigation.chapter.tables["mitigation_frontier"] if row["chosen"] == "yes"]
    return row


def value_of(mitigation: MitigationResult, name: str) -> float:
    [finding] = [finding for finding in mitigation.chapter.findings if finding.id == f"fairness.mitigation.{name}"]
    assert finding.value is not None, finding.reason
    return finding.value


@pytest.mark.parametrize(
    ("constraint", "tolerance"),
    [
        *((constraint, 0.0) for constraint in CONSTRAINTS),
        ("demographic_parity", 0.1),
        ("true_positive_rate_parity", 0.1),
    ],
)
def test_thresholds_decide_as_fairlearn_does(constraint: str, tolerance: float) -> None:
    with suppress_warnings():
        optimizer = thresholds.fit_optimizer(mitigation_data(), constraint, tolerance)
    rule = thresholds.extract_thresholds(optimizer, positive=1)
    rows = mitigation_data().choose.rows
    scores, groups = rows.scores[:, [1]], rows.groups.astype(str)
    ours = rule.decision_probabilities(rows)
    assert np.allclose(ours, optimizer._pmf_predict(scores, sensitive_features=groups), atol=1e-12)
    drawn = np.random.RandomState(3).rand(len(rows))
    theirs = optimizer.predict(scores, sensitive_features=groups, random_state=3)
    assert np.array_equal(ours[:, 1] >= drawn, theirs == 1)
    assert rule.randomised == bool(((ours > 0) & (ours < 1)).any())


@pytest.mark.parametrize("constraint", ["equalized_odds", "true_positive_rate_parity"])
def test_a_mixture_decides_as_fairlearn_does(constraint: str) -> None:
    space = FeatureSpace.from_features(mitigation_data().fit.rows.features)
    with suppress_warnings():
        reduction = reductions.fit_reduction(mitigation_data(), constraint, 0.05, space)
    rule = reductions.extract_mixture(reduction, 1, space)
    rows = mitigation_data().choose.rows
    seen = space.project_rows(rows.features)
    ours = rule.decision_probabilities(rows)
    assert np.allclose(ours, reduction._pmf_predict(seen), atol=1e-8)
    drawn = np.random.RandomState(3).rand(len(rows))
    assert np.array_equal(ours[:, 1] >= drawn, reduction.predict(seen, random_state=3) == 1)
    assert rule.randomised
    assert rule.shares.sum() == pytest.approx(1)


def test_the_favourable_class_may_be_the_first() -> None:
    swapped = MitigationData.from_audited(planted(), "region", "no")
    for source in (thresholds, reductions):
        candidate = next(iter(source.fit_candidates(swapped, ["true_positive_rate_parity"])))
        assert candidate.rule is not None, candidate.reason
        examples = swapped.choose
        expected = candidate.rule.decision_probabilities(examples.rows)[
            np.arange(len(examples)), examples.labels
        ].mean()
        assert expected > 0.7  # by far more than chance: the classes are not swapped


def test_a_balanced_head_is_the_mean_of_regressions_on_subsets_with_equal_cells() -> None:
    fit = mitigation_data().fit
    cells = feature_reweighting.index_cells(fit)
    rule = feature_reweighting.average_heads(mitigation_data(), cells, 10.0)
    rng = np.random.default_rng([0, feature_reweighting.SAMPLING])
    divisor = fit.rows.features.std() * 6**0.5
    logits = []
    for _ in range(feature_reweighting.SUBSETS):
        rows = feature_reweighting.draw_subset(cells, rng)
        pairs = [(int(fit.labels[row]), str(fit.rows.groups[row])) for row in rows]
        assert {pairs.count(pair) for pair in set(pairs)} == {min(map(len, cells))}
        assert len(set(rows)) == len(rows)
        plain = LogisticRegression(C=10, tol=1e-4, max_iter=1000).fit(
            fit.rows.features[rows] / divisor, fit.labels[rows]
        )
        logits.append(plain.decision_function(fit.rows.features / divisor))
    expected = torch.from_numpy(np.mean(logits, axis=0)).sigmoid().numpy()
    assert np.allclose(rule.decision_probabilities(fit.rows)[:, 1], expected, atol=1e-6)


def test_turning_the_space_loses_nothing_where_features_outnumber_examples() -> None:
    rng = np.random.default_rng(0)
    features, labels = rng.normal(2, 3, (40, 100)), rng.integers(0, 2, 40)
    space = FeatureSpace.from_features(features)
    assert space.project_rows(features).shape == (40, 40)
    fitted = LogisticRegression(C=1, tol=1e-10, max_iter=10_000).fit(space.project_rows(features), labels)
    whole = LogisticRegression(C=1, tol=1e-10, max_iter=10_000).fit(features / space.divisor, labels)
    others = rng.normal(2, 3, (30, 100))
    assert np.allclose(
        others @ space.undo_projection(fitted.coef_[0]) + fitted.intercept_,
        whole.decision_function(others / space.divisor),
        atol=1e-4,
    )


def test_thresholds_close_a_planted_gap() -> None:
    by_group = mitigate_by("threshold")
    assert value_of(by_group, "gap_before") > 0.4
    assert value_of(by_group, "gap") < 0.15
    assert "needs the region of a person at prediction time" in " ".join(by_group.chapter.text)
    assert "by chance" in " ".join(by_group.chapter.text)


def test_a_balanced_head_raises_the_worst_group() -> None:
    by_group = mitigate_by("dfr")
    assert value_of(by_group, "worst_group_accuracy_before") < 0.5
    assert value_of(by_group, "worst_group_accuracy") > 0.7
    assert value_of(by_group, "accuracy") < value_of(by_group, "accuracy_before")  # and what it costs is said
    assert "does not need the region" in " ".join(by_group.chapter.text)


def test_a_mixture_closes_a_planted_gap_without_knowing_the_group() -> None:
    mitigation = fit_mitigation(
        planted(), options("exponentiated_gradient", constraints=["true_positive_rate_parity"]), "yes"
    )
    assert value_of(mitigation, "gap") < value_of(mitigation, "gap_before") - 0.3
    assert "mixture of" in " ".join(mitigation.chapter.text)


def test_the_findings_are_those_of_the_predictions() -> None:
    by_group = mitigate_by("threshold")
    assert by_group.predictions is not None
    before, after = (frame[frame["split"] == "test"] for frame in (planted().predictions, by_group.predictions))
    for frame, suffix in ((before, "_before"), (after, "")):
        positives = frame[frame["label"] == "yes"]
        rates = (positives["prediction"] == "yes").groupby(positives["group_region"]).mean()
        assert value_of(by_group, f"gap{suffix}") == pytest.approx(rates.max() - rates.min())
        assert value_of(by_group, f"accuracy{suffix}") == pytest.approx((frame["label"] == frame["prediction"]).mean())
        cells = (frame["label"] == frame["prediction"]).groupby([frame["label"], frame["group_region"]]).mean()
        assert value_of(by_group, f"worst_group_accuracy{suffix}") == pytest.approx(cells.min())
    assert list(by_group.predictions.columns) == list(planted().predictions.columns)
    assert list(by_group.predictions["id"]) == list(planted().predictions["id"])
    assert np.allclose(by_group.predictions[["score_no", "score_yes"]].sum(axis=1), 1)


def test_nothing_of_test_moves_the_choice() -> None:
    honest = planted()
    test = honest.splits["test"]
    frame = honest.predictions.copy()
    rows = frame["split"] == "test"
    frame.loc[rows, "label"] = frame.loc[rows, "label"].map({"no": "yes", "yes": "no"})
    upside_down = replace(
        honest, splits={**honest.splits, "test": replace(test, labels=1 - test.labels)}, predictions=frame
    )
    mitigation = fit_mitigation(upside_down, options("threshold", "dfr"), "yes")
    by_group = mitigate_by("threshold", "dfr")
    assert mitigation.chapter.tables == by_group.chapter.tables
    assert value_of(mitigation, "accuracy") == pytest.approx(1 - value_of(by_group, "accuracy"))


def test_the_most_accurate_within_the_bound_is_chosen_else_the_most_even() -> None:
    rows = mitigate_by("threshold", "dfr").chapter.tables["mitigation_frontier"][1:]
    for max_gap in (0.0, 0.05, 0.12, 0.5, 1.0):
        row = chosen_row(fit_mitigation(planted(), options("threshold", "dfr", max_gap=max_gap), "yes"))
        within = [table_row for table_row in rows if table_row["gap"] <= max_gap]
        if within:
            assert row["accuracy"] == max(candidate["accuracy"] for candidate in within)
            assert row["gap"] <= max_gap
        else:
            assert row["gap"] == min(candidate["gap"] for candidate in rows)


def test_the_frontier_has_the_unmitigated_model_and_one_chosen_row() -> None:
    by_group = mitigate_by("threshold", "dfr")
    table = by_group.chapter.tables["mitigation_frontier"]
    assert table[0]["method"] == "unmitigated"
    assert [row["chosen"] for row in table].count("yes") == 1
    assert table[0]["chosen"] == "no"
    assert {row["split"] for row in table} == {OWN_SPLIT}
    scored = planted().predictions.query("split == 'validation'")
    assert table[0]["accuracy"] == pytest.approx((scored["label"] == scored["prediction"]).mean())
    for row in table:
        assert row["accuracy_low"] < row["accuracy"] < row["accuracy_high"]
        assert row["gap_low"] < row["gap"] < row["gap_high"]
    section = Section(
        plugin="fairness",
        folders=by_group.folders,
        **{name: getattr(by_group.chapter, name) for name in ("findings", "tables", "captions", "figures")},
    )
    [figure] = section.figures
    assert isinstance(figure, Figure)


def test_training_examples_are_scored_by_heads_that_did_not_see_them() -> None:
    noise = cases.audited_model({"train": 60, "test": 60}, dimension=300, agree=0.0, seed=4)
    labels = noise.splits["train"].labels
    memorised = noise.predictions.query("split == 'train'")
    assert (memorised["label"] == memorised["prediction"]).mean() > 0.95  # known by heart
    held_out = (score_out_of_fold(noise).argmax(axis=1) == labels).mean()
    seen_first = noise.predictions.query("split == 'test'")
    assert held_out == pytest.approx((seen_first["label"] == seen_first["prediction"]).mean(), abs=0.2)
    assert held_out < 0.9


def test_units_are_set_aside_whole_and_from_each_group() -> None:
    people = cases.audited_model({"train": 300, "test": 300}, rows_per_unit=2, agree=0.3)
    dataset = MitigationData.from_audited(people, "region", "yes")
    assert dataset.chosen_on == SET_ASIDE_FROM_TRAIN
    assert not set(dataset.fit.units) & set(dataset.choose.units)
    assert len(dataset.fit) + len(dataset.choose) == 300
    assert len(set(dataset.choose.units)) == pytest.approx(50, abs=1)
    again = MitigationData.from_audited(people, "region", "yes")
    assert np.array_equal(dataset.choose.items, again.choose.items)
    notes = " ".join(fit_mitigation(people, options("dfr"), "yes").chapter.text)
    assert "no validation split" in notes


def test_rates_are_those_of_counting() -> None:
    rows = examples_of_split(planted(), "test", "region")
    rng = np.random.default_rng(0)
    decided = rng.integers(0, 2, len(rows))
    labels, groups = rows.labels, rows.rows.groups
    expected = {
        "accuracy": lambda members: (decided == labels)[members].mean(),
        "selection_rate": lambda members: decided[members].mean(),
        "tpr": lambda members: decided[members & (labels == 1)].mean(),
        "fpr": lambda members: decided[members & (labels == 0)].mean(),
        "fnr": lambda members: 1 - decided[members & (labels == 1)].mean(),
    }
    for metric, rate in expected.items():
        decisions = measure_decisions(one_hot_decisions(decided, 2), rows, metric, ("no", "yes"), 1)
        for name, group_rate in decisions.groups.items():
            assert group_rate.value == pytest.approx(rate(groups == name))
    assert len(decisions.groups) == 2


@pytest.mark.parametrize(
    ("broken", "reason"),
    [
        (
            lambda s: replace(
                s,
                facts=s.facts.model_copy(update={"training": s.facts.training.model_copy(update={"mode": "private"})}),
            ),
            "void its epsilon",
        ),
        (lambda s: replace(s, model=None, task=None), "only its predictions were given"),
        (lambda s: replace(s, task=None), "trained outside this run"),
        (lambda s: replace(s, task=replace(s.task, features=Lazy(None, "train", 1500))), "linear head"),
        (
            lambda s: replace(
                s, task=replace(s.task, new_suffix=lambda seed: torch.nn.Sequential(torch.nn.Linear(6, 2)))
            ),
            "linear head",
        ),
        (
            lambda s: replace(s, splits={n: replace(p, groups={}) for n, p in s.splits.items()}),
            "no group attribute 'region'",
        ),
        (
            lambda s: replace(
                s, splits={n: replace(p, groups={"region": np.full(len(p), None)}) for n, p in s.splits.items()}
            ),
            "has a value of region",
        ),
        (
            lambda s: replace(
                s,
                splits={
                    n: replace(p, groups={"region": np.full(len(p), "all", dtype=object)}) for n, p in s.splits.items()
                },
            ),
            "fewer than two groups",
        ),
    ],
)
def test_what_cannot_be_mitigated_says_why(broken, reason: str) -> None:
    mitigation = fit_mitigation(broken(planted()), options("threshold", "dfr"), "yes")
    [finding] = mitigation.chapter.findings
    assert finding.id == "fairness.mitigation.gap"
    assert finding.status == "not_measured"
    assert reason in (finding.reason or "")
    assert mitigation.predictions is None
    assert not mitigation.folders
    assert not mitigation.chapter.tables


def test_only_the_balanced_head_takes_more_than_two_classes() -> None:
    three = cases.audited_model({"train": 1500, "validation": 1500, "test": 1500}, classes=3, agree=0.7)
    mitigation = fit_mitigation(three, options("threshold", "exponentiated_gradient", "dfr"), "yes")
    reasons = {
        finding.id: finding.reason for finding in mitigation.chapter.findings if finding.status == "not_measured"
    }
    assert reasons == {
        f"fairness.mitigation.{method}": "it decides between two classes, and there are 3"
        for method in ("threshold", "exponentiated_gradient")
    }
    assert chosen_row(mitigation)["method"] == "dfr"
    assert mitigation.predictions is not None
    assert set(mitigation.predictions["prediction"]) == {"no", "yes", "maybe"}
    assert value_of(mitigation, "worst_group_accuracy") > value_of(mitigation, "worst_group_accuracy_before")


def test_a_group_that_has_one_class_only_cannot_have_thresholds_and_that_is_said() -> None:
    split = planted().splits["train"]
    mask = ~((split.labels == 1) & (split.groups["region"] == "north"))
    groups = np.where(mask, split.groups["region"], "south")
    one_class = replace(planted(), splits={**planted().splits, "train": replace(split, groups={"region": groups})})
    mitigation = fit_mitigation(one_class, options("threshold", "dfr"), "yes")
    [finding] = mitigation.chapter.findings
    assert "Degenerate labels for sensitive feature value north" in (finding.reason or "")
    assert "1 of 4 cells of group and class have no training example" in (finding.reason or "")


def test_a_test_example_without_a_known_group_is_left_to_the_fine_tuned_model() -> None:
    test = planted().splits["test"]
    groups = test.groups["region"].copy()
    groups[:3], groups[3] = None, "east"
    predictions = planted().predictions.copy()
    predictions.loc[predictions["split"] == "test", "group_region"] = groups
    splits = {**planted().splits, "test": replace(test, groups={"region": groups})}
    partly = replace(planted(), splits=splits, predictions=predictions)
    mitigation = fit_mitigation(partly, options("threshold"), "yes")
    assert "4 of 3000 test examples have no region that the rule knows" in " ".join(mitigation.chapter.text)
    assert mitigation.predictions is not None
    after, before = (frame[frame["split"] == "test"] for frame in (mitigation.predictions, partly.predictions))
    assert list(after["prediction"][:4]) == list(before["prediction"][:4])
    assert "east is too few (n = 1)" in mitigation.chapter.findings[0].caveats


def test_no_warning_escapes_and_a_second_run_is_the_same() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        small = cases.audited_model({"train": 400, "test": 200}, agree=0.5, dimension=300)
        first, second = (
            fit_mitigation(
                small, options("threshold", "exponentiated_gradient", constraints=["demographic_parity"]), "yes"
            )
            for _ in range(2)
        )
    assert first.chapter.tables == second.chapter.tables
    assert first.predictions is not None
    assert first.predictions.equals(second.predictions)


def test_a_gap_that_needs_no_mitigation_is_said() -> None:
    even = cases.audited_model({"train": 600, "validation": 600, "test": 600}, agree=0.0)
    needless = fit_mitigation(even, options("threshold", constraints=["demographic_parity"], max_gap=1.0), "yes")
    assert "nothing on validation asks for mitigation" in " ".join(needless.chapter.text)
    assert "nothing on validation asks" not in " ".join(mitigate_by("threshold").chapter.text)


def test_features_of_another_precision_are_said() -> None:
    backbone = Backbone(
        name="x",
        weights="random",
        weights_sha256="0",
        frozen_parameters=1,
        trainable_parameters=1,
        frozen_sha256_before="0",
        frozen_sha256_after="0",
        preprocessing=ImagePreprocessingFacts(
            recipe="plain", pixels=(3, 8, 8), mean=(0.5,) * 3, std=(0.5,) * 3, pixels_sha256="0"
        ),
        precision="bfloat16",
    )
    rough = replace(planted(), facts=planted().facts.model_copy(update={"backbone": backbone}))
    assert "were computed in bfloat16" in " ".join(fit_mitigation(rough, options("dfr"), "yes").chapter.text)
    assert "were computed in" not in " ".join(mitigate_by("dfr").chapter.text)


def test_choose_prefers_a_rule_that_draws_nothing_and_asks_for_no_group() -> None:
    from rft.plugins.fairness.mitigation.frontier import EvaluatedCandidate
    from rft.plugins.fairness.mitigation.methods.candidates import Candidate

    examples_of_split = mitigation_data().choose
    measured = measure_decisions(
        one_hot_decisions(examples_of_split.labels, 2), examples_of_split, "tpr", ("no", "yes"), 1
    )
    zeros = np.zeros((1, 2))
    drawn = GroupThresholds(1, ("a",), np.array([[0.1, 0.9]]), np.array([[0.5, 0.5]]), np.zeros(1), np.zeros(1))
    asked = replace(drawn, shares=np.array([[1.0, 0.0]]))
    rules = [drawn, Mixture(1, np.zeros((2, 6)), np.zeros(2), np.array([0.5, 0.5])), asked, LinearHead(zeros, zeros[0])]
    tried = [
        EvaluatedCandidate(Candidate("unmitigated"), measured),
        *(EvaluatedCandidate(Candidate("x", rule=rule), measured) for rule in rules),
    ]
    assert choose_candidate(tried, 0.05).candidate.rule is rules[3]
    assert choose_candidate(tried[:-1], 0.05).candidate.rule is asked
    assert choose_candidate(tried[:-2], 0.05).candidate.rule is rules[1]


@pytest.mark.parametrize(
    "wrong",
    [{"metric": "auc"}, {"methods": []}, {"methods": ["threshold", "threshold"]}, {"max_gap": 1.5}, {"bound": 1}],
)
def test_wrong_options_are_refused(wrong: dict) -> None:
    with pytest.raises(ValidationError):
        options("threshold", **wrong)
