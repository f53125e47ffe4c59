"""Rules in plain numbers: what they give, what is drawn, and back from what is stored."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from rft.errors import DataError
from rft.plugins.fairness.mitigation.decision_rules import (
    GroupThresholds,
    LinearHead,
    Mixture,
    RuleInputs,
    RuleSettings,
    decide_by_rule,
    deserialize_rule,
    hash_to_unit_interval,
    serialize_rule,
)

THRESHOLDS = GroupThresholds(
    positive=1,
    groups=("a", "b"),
    thresholds=np.array([[0.3, 0.6], [np.inf, 0.5]]),
    shares=np.array([[0.25, 0.75], [0.4, 0.6]]),
    ignored=np.array([0.0, 0.5]),
    constant=np.array([0.0, 0.2]),
)
MIXTURE = Mixture(0, np.array([[1.0, 0.0], [0.0, 1.0]]), np.array([0.0, -1.0]), np.array([0.3, 0.7]))
HEAD = LinearHead(np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]]), np.array([0.0, 0.5, -1.0]))


def rule_inputs(scores, groups=None, features=None) -> RuleInputs:
    scores = np.array(scores, dtype=float)
    known = np.array(groups if groups is not None else [None] * len(scores), dtype=object)
    return RuleInputs(
        np.zeros((len(scores), 2)) if features is None else np.array(features, float),
        np.stack([1 - scores, scores], 1),
        known,
    )


def test_thresholds_by_hand() -> None:
    probabilities = THRESHOLDS.decision_probabilities(rule_inputs([0.2, 0.5, 0.7, 0.4, 0.9], ["a", "a", "a", "b", "b"]))
    assert probabilities[:, 1] == pytest.approx([0, 0.25, 1, 0.5 * 0.2, 0.5 * 0.2 + 0.5 * 0.6])
    assert probabilities.sum(axis=1) == pytest.approx(np.ones(5))


def test_a_row_without_a_group_is_left_to_the_fine_tuned_model_and_an_unknown_group_is_refused() -> None:
    assert list(THRESHOLDS.decision_probabilities(rule_inputs([0.45, 0.55], [None, None]))[:, 1]) == [0, 1]
    with pytest.raises(DataError, match=r"'c' is a group that the rule was not fitted for; it knows a, b"):
        THRESHOLDS.decision_probabilities(rule_inputs([0.5], ["c"]))


def test_a_mixture_by_hand() -> None:
    probabilities = MIXTURE.decision_probabilities(rule_inputs([0, 0, 0], features=[[1, 0], [1, 2], [-1, 0]]))
    assert probabilities[:, 0] == pytest.approx([0.3, 1.0, 0.0])  # the favourable class is the first


def test_a_head_is_softmax() -> None:
    features = np.array([[1.0, 2.0], [0.0, -1.0]])
    expected = torch.tensor(features @ HEAD.weight.T + HEAD.bias).softmax(1)
    assert HEAD.decision_probabilities(rule_inputs([0, 0], features=features)) == pytest.approx(expected.numpy())


def test_draws_follow_from_the_item_and_keep_to_the_probability() -> None:
    items = [f"{number:x}" for number in range(20_000)]
    probabilities = np.tile([0.7, 0.3], (len(items), 1))
    drawn = decide_by_rule(MIXTURE, probabilities, items, seed=0)
    assert drawn.mean() == pytest.approx(0.3, abs=4 * (0.21 / 20_000) ** 0.5)
    assert np.array_equal(drawn[::-1], decide_by_rule(MIXTURE, probabilities, items[::-1], seed=0))
    of_another_seed = decide_by_rule(MIXTURE, probabilities, items, seed=1)
    assert (drawn == of_another_seed).mean() == pytest.approx(0.7**2 + 0.3**2, abs=0.02)  # as independent draws agree
    assert np.corrcoef(drawn[:-1], drawn[1:])[0, 1] == pytest.approx(0, abs=0.03)


def test_what_is_certain_is_never_drawn_otherwise() -> None:
    items = [str(number) for number in range(5000)]
    for certain in ([1.0, 0.0], [0.0, 1.0]):
        assert (decide_by_rule(MIXTURE, np.tile(certain, (5000, 1)), items, 0) == int(certain[1])).all()
    assert list(decide_by_rule(HEAD, np.array([[0.4, 0.35, 0.25]]), [], 0)) == [0]


def test_positions_are_spread_evenly() -> None:
    counts, _ = np.histogram(hash_to_unit_interval(map(str, range(10_000)), "key"), bins=10, range=(0, 1))
    assert ((counts - 1000) ** 2 / 1000).sum() < 27.9  # chi-squared of 9 degrees at 0.001


@pytest.mark.parametrize(
    ("changed", "randomised"),
    [
        ({}, True),
        ({"shares": np.array([[1.0, 0.0], [0.0, 1.0]]), "ignored": np.zeros(2)}, False),
        ({"shares": np.array([[1.0, 0.0], [0.0, 1.0]])}, True),  # a constant of 0.2 is drawn
        ({"thresholds": np.full((2, 2), 0.5), "ignored": np.zeros(2)}, False),
    ],
)
def test_whether_anything_is_drawn(changed: dict, randomised: bool) -> None:
    assert GroupThresholds(**{**vars(THRESHOLDS), **changed}).randomised is randomised


@pytest.mark.parametrize("rule", [THRESHOLDS, MIXTURE, HEAD], ids=lambda rule: rule.kind)
def test_a_rule_comes_back_as_it_was(rule) -> None:
    settings, tensors = serialize_rule(rule)
    again = deserialize_rule(RuleSettings.model_validate_json(settings.to_json()), tensors)
    assert type(again) is type(rule)
    for name, value in vars(rule).items():
        assert np.array_equal(getattr(again, name), value)
