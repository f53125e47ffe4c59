"""Likelihood-ratio attack on membership (LiRA: Carlini et al. 2022, IEEE S&P): numbers only, no models.

An example's confidence under models that were trained with it, and under models that were trained without it, is
close to normal. The attack asks which of the two the audited model's confidence resembles.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import log_ndtr

MIN_MODELS_FOR_OWN_DEVIATION = 32  # models on either side from which on each example has deviations of its own
LEAST_VARIANCE = 1e-12  # keeps models that are all alike from a division by zero


def score_online(target: np.ndarray, shadows: np.ndarray, *, members: np.ndarray) -> np.ndarray:
    """Return (N,) log ratio of the likelihoods of being trained on and of not: higher is more like a member.

    Deviations are an example's own where both sides have at least 32 models for each, and otherwise one for all
    examples, pooled within examples, for each side (section VI.C of the paper).

    Args:
        target: (N,) confidences under the audited model.
        shadows: (S, N) confidences under the shadow models.
        members: (S, N) bool, which examples each shadow was trained on; every column has both values.

    Raises:
        ValueError: some example has no model on one side.
    """
    per_example = min(members.sum(axis=0).min(), (~members).sum(axis=0).min()) >= MIN_MODELS_FOR_OWN_DEVIATION
    inside = _Normals.from_scores(shadows, members, per_example=per_example)
    outside = _Normals.from_scores(shadows, ~members, per_example=per_example)
    log_ratios: np.ndarray = inside.log_density(target) - outside.log_density(target)
    return log_ratios


def score_offline(target: np.ndarray, shadows: np.ndarray, *, members: np.ndarray) -> np.ndarray:
    """Return (N,) log probability that a model trained without the example is at most as confident as the target.

    Uses only the shadows that were not trained on an example, as an attacker must who has its data after training only
    (section V.B of the paper). Arguments and errors as for ``score_online``.
    """
    per_example = (~members).sum(axis=0).min() >= MIN_MODELS_FOR_OWN_DEVIATION
    log_probabilities: np.ndarray = log_ndtr(
        _Normals.from_scores(shadows, ~members, per_example=per_example).standardize(target)
    )
    return log_probabilities


@dataclass(frozen=True)
class _Normals:
    """A normal for each example: (N,) means, (N,) deviations."""

    mean: np.ndarray
    deviation: np.ndarray

    @classmethod
    def from_scores(cls, scores: np.ndarray, chosen: np.ndarray, *, per_example: bool | np.bool_) -> _Normals:
        """Estimate from the chosen (S, N) scores of each example."""
        count = chosen.sum(axis=0)
        if not count.all():
            raise ValueError("expected shadow models with and without every example")
        mean = np.where(chosen, scores, 0.0).sum(axis=0) / count
        squares = np.where(chosen, (scores - mean) ** 2, 0.0).sum(axis=0)
        pooled = squares.sum() / max((count - 1).sum(), 1)
        variance = squares / (count - 1) if per_example else np.full(len(mean), pooled)
        return cls(mean, np.sqrt(np.maximum(variance, LEAST_VARIANCE)))

    def standardize(self, values: np.ndarray) -> np.ndarray:
        """Return (N,) how many deviations values lie above the means."""
        deviations: np.ndarray = (values - self.mean) / self.deviation
        return deviations

    def log_density(self, values: np.ndarray) -> np.ndarray:
        """Return (N,) log densities up to a constant."""
        log_densities: np.ndarray = -0.5 * self.standardize(values) ** 2 - np.log(self.deviation)
        return log_densities
