"""Logistic regression on cached features: the heads that the other methods are made of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class FeatureSpace:
    """Where heads are fitted: features divided by one number, in as few dimensions as the examples span.

    A penalty means nothing without a scale; after the division rows have length 1 on average about their mean. It is
    one number and not one a column, which would blow up features that are almost always zero. With fewer examples
    than features the weights of a penalised head are a sum of examples, so that turning the space first loses nothing.

    Attributes:
        divisor: what features are divided by.
        basis: (R, D) orthonormal rows that span the examples; None where all D dimensions are kept.
    """

    divisor: float
    basis: np.ndarray | None

    @classmethod
    def from_features(cls, features: np.ndarray) -> FeatureSpace:
        """Return the space of (N, D) features."""
        n, dimension = features.shape
        spread = float(features.std()) * dimension**0.5
        basis = np.linalg.svd(features, full_matrices=False)[2] if n < dimension else None
        return cls(spread if spread > 0 else 1.0, basis)

    def project_rows(self, features: np.ndarray) -> np.ndarray:
        """Return (N, R) features in this space."""
        scaled = features / self.divisor
        return scaled if self.basis is None else scaled @ self.basis.T

    def undo_projection(self, weight: np.ndarray) -> np.ndarray:
        """Return (..., D) weights for features as they were, from (..., R) weights in this space."""
        return (weight if self.basis is None else weight @ self.basis) / self.divisor


def new_regression(strength: float) -> Any:
    """Return an unfitted scikit-learn classifier; ``strength`` is ``C``, the inverse of its penalty."""
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression(C=strength, max_iter=1000, tol=1e-4)


def weights_and_biases(model: Any, classes: int, space: FeatureSpace) -> tuple[np.ndarray, np.ndarray]:
    """Return the (K, D) weights and (K,) biases of a fitted classifier of all K classes, for features as they were."""
    weight, bias = space.undo_projection(model.coef_), model.intercept_
    if classes == 2:  # scikit-learn keeps one row, for the second class
        weight, bias = np.concatenate([np.zeros_like(weight), weight]), np.concatenate([[0.0], bias])
    return weight, bias
