"""Probe, neighbours and folds, against naive re-implementations and planted leaks."""

from __future__ import annotations

import numpy as np
import pytest

from rft.plugins.backbone import measures
from rft.plugins.backbone.groups import Gap
from rft.records import NotMeasured
from rft.stats.cross_validation import Folds, OutOfFold
from rft.stats.gaps.rate_difference import TwoRates
from rft.stats.linear_probe import PENALTIES


def planted_features(n: int, dimension: int, classes: int = 2, *, strength: float = 1.0, seed: int = 0):
    """Features in which the first few dimensions shift with the class."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, n)
    features = rng.normal(size=(n, dimension))
    features[:, :classes] += strength * np.eye(classes)[labels]
    return features.astype(np.float32), labels


def folds_of(labels: np.ndarray, units: np.ndarray | None = None) -> Folds:
    folds = Folds.draw_stratified(labels, units, seed=0)
    assert isinstance(folds, Folds)
    return folds


def probe_of(features: np.ndarray, folds: Folds) -> OutOfFold:
    probe = measures.linear_probe(features, folds)
    assert isinstance(probe, OutOfFold)
    return probe


def test_folds_keep_units_together_and_every_class_on_both_sides() -> None:
    rng = np.random.default_rng(0)
    units = rng.integers(0, 40, 200).astype(str)
    labels = rng.integers(0, 3, 200)
    folds = folds_of(labels, units)
    assert folds.count == 5
    assert all(len(set(folds.parts[units == unit])) == 1 for unit in units)
    for seen, held_out in folds:
        assert not (seen & held_out).any()
        assert (seen | held_out).all()
        assert set(labels[seen]) == {0, 1, 2}


@pytest.mark.parametrize(("rare", "count"), [(2, 2), (3, 3), (9, 5)])
def test_a_rare_class_leaves_fewer_folds(rare: int, count: int) -> None:
    labels = np.array([0] * 50 + [1] * rare)
    assert folds_of(labels).count == count
    assert folds_of(np.repeat(labels, 2), np.repeat(np.arange(50 + rare), 2)).count == count


def test_what_cannot_be_folded_says_why() -> None:
    def refusal_reason(labels: list[int], units: list[str] | None = None) -> str:
        folds = Folds.draw_stratified(np.array(labels), None if units is None else np.array(units), seed=0)
        assert isinstance(folds, NotMeasured)
        assert measures.linear_probe(np.ones((len(labels), 2), np.float32), folds) is folds
        assert measures.vote_of_neighbours(np.ones((len(labels), 2), np.float32), folds) is folds
        return folds.reason

    assert "fewer than two classes occur among 3" in refusal_reason([1, 1, 1])
    assert "single example" in refusal_reason([0, 0, 0, 1])
    assert "single unit" in refusal_reason([0, 0, 1, 1, 1], ["a", "b", "c", "c", "c"])


def test_labels_need_not_be_dense() -> None:
    folds = folds_of(np.array([2, 7, 2, 7, 2, 7]))
    assert set(folds.labels) == {0, 1}


def ridge_regression(x: np.ndarray, y: np.ndarray, penalty: float) -> tuple[np.ndarray, np.ndarray]:
    """Return (D, K) weights and (K,) intercepts; the intercepts are not penalised."""
    centred, shift = x - x.mean(axis=0), y.mean(axis=0)
    weights = np.linalg.solve(centred.T @ centred + penalty * np.eye(x.shape[1]), centred.T @ (y - shift))
    return weights, shift - x.mean(axis=0) @ weights


def left_out_error(x: np.ndarray, y: np.ndarray, penalty: float) -> float:
    """Return the squared error of examples that the regression was not fitted on, one at a time."""
    errors = []
    for row in range(len(x)):
        rest = np.arange(len(x)) != row
        weights, intercept = ridge_regression(x[rest], y[rest], penalty)
        errors.append((x[row] @ weights + intercept - y[row]) ** 2)
    return float(np.mean(errors))


def naive_probe(features: np.ndarray, labels: np.ndarray, folds: Folds) -> np.ndarray:
    """Return predictions of ridge regression on classes of +1 and -1; the penalty is chosen by leaving each one out."""
    x = features / (features.std() * features.shape[1] ** 0.5)
    y = 2.0 * (labels[:, None] == np.arange(labels.max() + 1)) - 1
    predictions = np.empty_like(labels)
    for seen, held_out in folds:
        errors = {penalty: left_out_error(x[seen], y[seen], penalty) for penalty in PENALTIES}
        best = min(errors, key=errors.__getitem__)
        weights, intercept = ridge_regression(x[seen], y[seen], best)
        predictions[held_out] = (x[held_out] @ weights + intercept).argmax(axis=1)
    return predictions


def test_the_probe_is_a_ridge_regression_with_the_best_penalty_by_leaving_one_out() -> None:
    features, labels = planted_features(60, 4, 3)
    features *= np.float32([100, 1, 10, 30])
    folds = folds_of(labels)
    assert np.array_equal(probe_of(features, folds).predictions, naive_probe(features.astype(float), labels, folds))


def test_neighbours_are_those_of_a_naive_search() -> None:
    features, labels = planted_features(120, 6)
    folds = folds_of(labels)
    vote = measures.vote_of_neighbours(features, folds)
    assert isinstance(vote, OutOfFold)
    directions = features.astype(float) / np.linalg.norm(features, axis=1, keepdims=True)
    for row, part in enumerate(folds.parts):
        similarity = np.where(folds.parts == part, -np.inf, directions @ directions[row])
        votes = labels[np.argsort(-similarity)[: measures.NEIGHBOUR_COUNT]]
        assert vote.predictions[row] == (votes.mean() > 0.5)


def test_a_planted_signal_is_found_and_noise_is_not() -> None:
    features, labels = planted_features(300, 20, strength=3.0)
    folds = folds_of(labels)
    majority = measures.majority_share(labels)
    assert probe_of(features, folds).accuracy.confidence_interval().low > 0.8
    noise = np.random.default_rng(1).normal(size=features.shape).astype(np.float32)
    ends = probe_of(noise, folds).accuracy.confidence_interval()
    assert ends.low < majority


def test_the_scale_of_features_does_not_matter() -> None:
    """Features of random weights can be tiny or huge beside a large mean; that alone must not cost them accuracy."""
    features, labels = planted_features(200, 8, strength=2.0)
    folds = folds_of(labels)
    scaled = (features.astype(np.float64) * 1e-5 + 0.1).astype(np.float32)
    plain, small = probe_of(features, folds), probe_of(scaled, folds)
    assert abs(plain.accuracy.value - small.accuracy.value) < 0.02


def test_recognising_a_person_is_no_skill() -> None:
    """Features name the person and nothing else, labels are constant within a person: by row it looks perfect."""
    rng = np.random.default_rng(0)
    people = np.repeat(np.arange(40), 5)
    features = (rng.normal(size=(40, 64))[people] + 0.05 * rng.normal(size=(200, 64))).astype(np.float32)
    labels = np.repeat(rng.permutation([0, 1] * 20), 5)
    for classify in (measures.linear_probe, measures.vote_of_neighbours):
        by_row, by_person = classify(features, folds_of(labels)), classify(features, folds_of(labels, people))
        assert isinstance(by_row, OutOfFold)
        assert isinstance(by_person, OutOfFold)
        assert by_row.accuracy.value > 0.9
        ends = by_person.accuracy.confidence_interval()
        assert ends.low < 0.5 < ends.high + 0.1
        assert "40 units" in ends.method


def test_features_that_are_not_numbers_are_refused() -> None:
    features, labels = planted_features(40, 3)
    features[3, 1], features[7] = np.nan, np.inf
    probe = measures.linear_probe(features, folds_of(labels))
    assert isinstance(probe, NotMeasured)
    assert probe.reason == "2 of 40 examples have features that are not finite"


def test_constant_features_give_the_majority() -> None:
    labels = np.array([0] * 30 + [1] * 10)
    probe = probe_of(np.ones((40, 5), np.float32), folds_of(labels))
    assert probe.accuracy.value == measures.majority_share(labels) == 0.75
    assert probe.balanced_accuracy.value == 0.5


def test_balanced_accuracy_counts_each_class_the_same() -> None:
    labels = np.array([0] * 90 + [1] * 10)
    predictions = np.where(np.arange(100) < 95, 0, 1)
    measures = OutOfFold(labels, predictions, np.arange(100))
    ends = measures.balanced_accuracy.confidence_interval()
    assert measures.accuracy.value == 0.95
    assert measures.balanced_accuracy.value == pytest.approx((1 + 0.5) / 2)
    assert ends.low < 0.75 < ends.high


def gap_of(hits: list[int], groups: list[str | None]) -> Gap:
    labels = np.ones(len(hits), dtype=int)
    return Gap.from_probe(
        "tone", OutOfFold(labels, np.array(hits), np.arange(len(hits))), np.array(groups, dtype=object)
    )


def test_the_gap_of_two_groups_has_the_interval_of_two_rates() -> None:
    gap = gap_of([1] * 56 + [0] * 14 + [1] * 48 + [0] * 32, ["light"] * 70 + ["dark"] * 80)
    assert gap.value == pytest.approx(0.2)
    assert gap.groups == "light minus dark"
    expected = TwoRates(56, 70, 48, 80).gap_interval()
    assert gap.interval is not None
    assert (gap.interval.low, gap.interval.high) == pytest.approx((expected.low, expected.high))


def test_few_and_missing_are_not_scored() -> None:
    gap = gap_of([1] * 20 + [0] * 9 + [1] * 5, ["a"] * 20 + ["b"] * 9 + [None] * 5)
    assert [name for name, _ in gap.scored] == ["a"]
    assert gap.too_few == (("b", 9),)
    assert (gap.value, gap.interval, gap.groups) == (None, None, None)


def test_three_groups_have_a_gap_without_an_interval() -> None:
    gap = gap_of([1] * 10 + [0] * 10 + [1, 0] * 5, ["a"] * 10 + ["b"] * 10 + ["c"] * 10)
    assert (gap.value, gap.groups, gap.interval) == (1.0, "a minus b", None)
