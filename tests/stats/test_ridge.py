"""Predictions of left-out examples in closed form, against ridge regression fitted again without them."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import Ridge

from rft.stats.ridge import PENALTIES, RidgeBasis


def some_examples(n: int, dimension: int, classes: int = 3) -> tuple[np.ndarray, np.ndarray]:
    """Features that say something of the class, and the class as (N, K) zeros and ones."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, classes, n)
    features = rng.normal(size=(n, dimension)) + 0.8 * rng.normal(size=(classes, dimension))[labels] + 5
    return features, np.eye(classes)[labels]


def refit_without(features: np.ndarray, targets: np.ndarray, units: np.ndarray, penalty: float) -> np.ndarray:
    """Fit scikit-learn's ridge regression once for each unit, on the rows of all others."""
    centred = features - features.mean(axis=0)
    scaled = features / np.sqrt((centred**2).sum(axis=1).mean())
    predicted = np.empty_like(targets)
    for unit in np.unique(units):
        held_out = units == unit
        fitted = Ridge(alpha=penalty, solver="cholesky").fit(scaled[~held_out], targets[~held_out])
        predicted[held_out] = fitted.predict(scaled[held_out])
    return predicted


@pytest.mark.parametrize("dimension", [7, 90], ids=["fewer features than examples", "more"])
@pytest.mark.parametrize("size", [1, 3], ids=["each its own unit", "three of a unit"])
@pytest.mark.parametrize("penalty", [0.01, 10.0])
def test_the_closed_form_is_refitting_without_the_unit(dimension: int, size: int, penalty: float) -> None:
    features, targets = some_examples(60, dimension)
    units = np.arange(60) // size
    basis = RidgeBasis.from_features(features, units)
    expected = refit_without(features, targets, units, penalty)
    np.testing.assert_allclose(basis.predict_left_out(targets, penalty), expected, atol=1e-8)


def test_the_penalty_is_the_one_that_predicts_left_out_examples_best() -> None:
    features, targets = some_examples(80, 60)
    units = np.arange(80)
    errors = [np.mean((targets - refit_without(features, targets, units, penalty)) ** 2) for penalty in PENALTIES]
    assert RidgeBasis.from_features(features).choose_penalty(targets) == PENALTIES[int(np.argmin(errors))]


def test_the_same_features_twice_and_constant_ones_do_no_harm() -> None:
    features, targets = some_examples(40, 5)
    doubled = np.hstack([features, features, np.full((40, 3), 7.0)])
    assert np.isfinite(RidgeBasis.from_features(doubled).predict_left_out(targets, 1e-4)).all()
    constant = RidgeBasis.from_features(np.ones((40, 4))).predict_left_out(targets, 1.0)
    np.testing.assert_allclose(constant, (targets.sum(axis=0) - targets) / 39, atol=1e-12)


def test_one_unit_alone_cannot_be_left_out() -> None:
    with pytest.raises(ValueError, match="two units"):
        RidgeBasis.from_features(np.ones((4, 2)), np.zeros(4))
