"""LogME: the evidence that labels are a linear function of features, without training anything."""

from __future__ import annotations

import math

import numpy as np
import scipy.linalg
from scipy.optimize import minimize_scalar

from rft.records import NotMeasured
from rft.stats.cross_validation import find_non_finite, limit_to_one_thread

# The ratio of the precisions of weights and noise is sought over this range of the largest squared singular value:
# below it the noise, above it the features have no part in the evidence.
SMALLEST_RATIO, LARGEST_RATIO = 1e-16, 1e8
GRID_POINTS = 120  # starting points, under half a nat apart: the evidence may have several maxima
MAX_UNEXPLAINED_SHARE = 1e-12  # share of a class that the features leave unexplained and that is rounding alone


def measure_logme(features: np.ndarray, labels: np.ndarray) -> float | NotMeasured:
    """Return the logarithm of maximum evidence, a mean over classes and examples, in nats.

    Each class is a 0/1 target y of Bayesian linear regression without intercept: y ~ N(F w, 1/beta), w ~ N(0, 1/alpha),
    and its evidence is the density of y at the best alpha and beta. Higher means that features and labels go together
    better; the number has no meaning but in comparison with other features of the same examples.

    With the singular value decomposition of F the evidence depends on alpha and beta through alpha / beta alone, once
    the best beta for a given ratio, which has a closed form, is put in: a search in one dimension.

    Args:
        features: (n, D) float32.
        labels: (n,) indices of classes, two of which occur at least.

    Source: You et al. 2021, ICML, "LogME: Practical Assessment of Pre-trained Models for Transfer Learning", section 4.
    """
    if problem := find_non_finite(features):
        return problem
    classes = np.unique(labels)
    if len(classes) < 2:
        return NotMeasured(f"fewer than two classes occur among {len(labels)} training examples")
    targets = (labels[:, None] == classes).astype(np.float64)
    with limit_to_one_thread():
        left, powers = _left_singular(features.astype(np.float64))
    fitted = left.T @ targets
    unexplained = np.sum((targets - left @ fitted) ** 2, axis=0)
    if len(powers) < len(labels) and (unexplained <= MAX_UNEXPLAINED_SHARE * targets.sum(axis=0)).any():
        return NotMeasured("the features give the labels of a class exactly: the evidence has no maximum")
    evidences = [
        _largest_evidence(powers, squared_fit, squared_rest, len(labels))
        for squared_fit, squared_rest in zip(fitted.T**2, unexplained, strict=True)
    ]
    return float(np.mean(evidences)) / len(labels)


def _left_singular(features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return (n, r) left singular vectors and (r,) squared singular values, r the numerical rank."""
    n, dimension = features.shape
    if dimension > n:  # a rotation of the features to n dimensions changes neither and makes the rest cheaper
        features = scipy.linalg.qr(features.T, mode="r")[0][:n].T
    left, values, _ = np.linalg.svd(features, full_matrices=False)
    held = values > values[0] * max(n, dimension) * np.finfo(np.float64).eps
    return left[:, held], values[held] ** 2


def _largest_evidence(powers: np.ndarray, fitted: np.ndarray, unexplained: float, n: int) -> float:
    """Return the largest log evidence of one target.

    Args:
        powers: (r,) squared singular values of the features.
        fitted: (r,) squared coordinates of the target along the left singular vectors.
        unexplained: squared length of the rest of the target.
        n: number of examples.
    """

    def negative_evidence(log_ratio: float) -> float:
        growth = powers / math.exp(log_ratio)  # of the variance along each direction, over that of the noise
        misfit = float(np.sum(fitted / (1 + growth))) + unexplained  # over its variance; beta = n / misfit is best
        return n / 2 * (math.log(2 * math.pi * misfit / n) + 1) + float(np.sum(np.log1p(growth))) / 2

    scale = float(powers.max(initial=0.0)) or 1.0
    ratios = np.linspace(math.log(SMALLEST_RATIO * scale), math.log(LARGEST_RATIO * scale), GRID_POINTS)
    best = ratios[np.argmin([negative_evidence(ratio) for ratio in ratios])]
    step = ratios[1] - ratios[0]
    optimum = minimize_scalar(negative_evidence, bounds=(best - step, best + step), method="bounded")
    return -min(float(optimum.fun), negative_evidence(best))
