"""Thresholds by group on the scores of the fine-tuned model, by Fairlearn's ``ThresholdOptimizer``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator

from rft.plugins.fairness.mitigation.dataset import MitigationData
from rft.plugins.fairness.mitigation.decision_rules import GroupThresholds
from rft.plugins.fairness.mitigation.methods.candidates import Candidate, suppress_warnings

METHOD = "threshold"
TOLERANCES = (0.0, 0.05, 0.1)  # how far groups may differ in the constrained rate on the examples that are fitted to


class ScoresAsDecisions(BaseEstimator):  # type: ignore[misc, unused-ignore]
    """A fitted estimator whose decision function is its input, as Fairlearn wants one for scores that are there."""

    def __sklearn_is_fitted__(self) -> bool:
        """There is nothing to fit."""
        return True

    def fit(self, X: np.ndarray, y: np.ndarray) -> ScoresAsDecisions:
        """Do nothing."""
        return self

    def decision_function(self, X: np.ndarray) -> np.ndarray:
        """Return the only column of (N, 1) scores."""
        return X[:, 0]


def fit_candidates(material: MitigationData, constraints: Sequence[str]) -> Iterator[Candidate]:
    """Yield thresholds for each constraint, and for each tolerance where the constraint can be relaxed."""
    for constraint in constraints:
        for tolerance in (0.0,) if constraint == "equalized_odds" else TOLERANCES:
            setting = f"tolerance {tolerance:g}"
            try:
                with suppress_warnings():
                    rule = extract_thresholds(fit_optimizer(material, constraint, tolerance), material.positive)
            except ValueError as error:  # Fairlearn: a group that has one class only
                yield Candidate(METHOD, constraint, setting, reason=str(error).splitlines()[0])
            else:
                yield Candidate(METHOD, constraint, setting, rule)


def fit_optimizer(material: MitigationData, constraint: str, tolerance: float) -> Any:
    """Return Fairlearn's optimizer, fitted; raises ``ValueError`` for a group that has one class only."""
    from fairlearn.postprocessing import ThresholdOptimizer

    optimizer = ThresholdOptimizer(
        estimator=ScoresAsDecisions(),
        constraints=constraint,
        objective="accuracy_score",
        prefit=True,
        predict_method="decision_function",
        tol=tolerance or None,
    )
    fit = material.fit
    return optimizer.fit(
        fit.rows.scores[:, [material.positive]],
        (fit.labels == material.positive).astype(int),
        sensitive_features=fit.rows.groups.astype(str),
    )


def extract_thresholds(optimizer: Any, positive: int) -> GroupThresholds:
    """Return what a fitted ``ThresholdOptimizer`` does as numbers."""
    rules = optimizer.interpolated_thresholder_.interpolation_dict
    names = sorted(rules)
    group_rules = [rules[name] for name in names]
    pairs = [(rule.operation0, rule.operation1) for rule in group_rules]
    assert all(operation.operator == ">" for pair in pairs for operation in pair), "flip is off"
    return GroupThresholds(
        positive=positive,
        groups=tuple(str(name) for name in names),
        thresholds=np.array([[operation.threshold for operation in pair] for pair in pairs], dtype=np.float64),
        shares=np.array([(rule.p0, rule.p1) for rule in group_rules], dtype=np.float64),
        ignored=np.array([rule.get("p_ignore", 0.0) for rule in group_rules], dtype=np.float64),
        constant=np.array([rule.get("prediction_constant", 0.0) for rule in group_rules], dtype=np.float64),
    )
