"""A mixture of linear heads that keeps to a constraint, by Fairlearn's ``ExponentiatedGradient``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from rft.plugins.fairness.mitigation.dataset import MitigationData
from rft.plugins.fairness.mitigation.decision_rules import Mixture
from rft.plugins.fairness.mitigation.methods.candidates import Candidate, suppress_warnings
from rft.plugins.fairness.mitigation.methods.logistic import FeatureSpace, new_regression

METHOD = "exponentiated_gradient"
BOUNDS = (0.01, 0.05, 0.1)  # how far groups may differ from all in the constrained rate, on the examples fitted to
STRENGTH = 10.0
ITERATIONS = 30
SPREAD = 0.5  # the largest standard deviation of a share
NEGLIGIBLE = 1e-9  # the linear programme leaves shares like 1e-17


def fit_candidates(material: MitigationData, constraints: Sequence[str]) -> Iterator[Candidate]:
    """Yield a mixture for each constraint and bound."""
    space = FeatureSpace.from_features(material.fit.rows.features)
    for constraint in constraints:
        for bound in BOUNDS:
            setting = f"bound {bound:g}"
            try:
                with suppress_warnings():
                    rule = extract_mixture(fit_reduction(material, constraint, bound, space), material.positive, space)
            except (ValueError, TypeError) as error:  # examples that nothing, or no linear programme, can be fitted to
                yield Candidate(METHOD, constraint, setting, reason=str(error).splitlines()[0])
            else:
                yield Candidate(METHOD, constraint, setting, rule)


def fit_reduction(material: MitigationData, constraint: str, bound: float, space: FeatureSpace) -> Any:
    """Return Fairlearn's reduction, fitted.

    It stops where what is left to gain is below half a standard error of the error rate. Fairlearn estimates that error
    from the first head, and would never stop where it makes no mistake.
    """
    from fairlearn import reductions

    moments = {
        "demographic_parity": reductions.DemographicParity,
        "equalized_odds": reductions.EqualizedOdds,
        "true_positive_rate_parity": reductions.TruePositiveRateParity,
        "false_positive_rate_parity": reductions.FalsePositiveRateParity,
    }
    fit = material.fit
    reduction = reductions.ExponentiatedGradient(
        new_regression(STRENGTH),
        moments[constraint](difference_bound=bound),
        eps=bound,
        max_iter=ITERATIONS,
        nu=0.5 * SPREAD / len(fit) ** 0.5,
    )
    return reduction.fit(
        space.project_rows(fit.rows.features),
        (fit.labels == material.positive).astype(int),
        sensitive_features=fit.rows.groups.astype(str),
    )


def extract_mixture(reduction: Any, positive: int, space: FeatureSpace) -> Mixture:
    """Return what a fitted ``ExponentiatedGradient`` does as numbers, for features as they were."""
    used = [number for number in reduction.weights_.index if reduction.weights_[number] > NEGLIGIBLE]
    shares = np.array([reduction.weights_[number] for number in used], dtype=np.float64)
    dimension = next(model.coef_.shape[1] for model in reduction.predictors_ if hasattr(model, "coef_"))
    heads = [_weight_and_bias(reduction.predictors_[number], dimension) for number in used]
    return Mixture(
        positive=positive,
        weight=space.undo_projection(np.stack([weight for weight, _ in heads])),
        bias=np.array([bias for _, bias in heads]),
        shares=shares / shares.sum(),
    )


def _weight_and_bias(model: Any, dimension: int) -> tuple[np.ndarray, float]:
    """Return (D,) weights and the bias; where all examples were worth one answer Fairlearn takes a constant."""
    if hasattr(model, "coef_"):
        return model.coef_[0], float(model.intercept_[0])
    return np.zeros(dimension), 1.0 if model.constant else -1.0
