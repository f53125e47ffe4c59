"""Many runs with a canary and as many without: the errors of telling them apart, and what these say about epsilon.

Pure numbers. A threshold is chosen on some of the runs and its errors are counted on the others: the best of many
thresholds on the same runs claims leakage where there is none in half of all cases.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.special import bdtr, betaincinv, ndtri

from rft.plugins.privacy.empirical.bounds import FALSE_POSITIVE_RATES, LEVEL, MIN_P_VALUE, Curve, gaussian_epsilon

CHOOSING_SHARE = 0.1  # share of the runs that thresholds are chosen on
REFUTATION_LEVEL = 0.001  # how often a claim that holds may be refuted


@dataclass(frozen=True)
class ErrorCounts:
    """Errors of a test of membership at one threshold, or (arrays of them) at several.

    Attributes:
        false_positives: of ``n_out`` runs without the canary, how many looked as if it had been there.
        false_negatives: of ``n_in`` runs with it, how many looked as if it had not.
    """

    false_positives: np.ndarray
    n_out: int
    false_negatives: np.ndarray
    n_in: int

    @property
    def fpr(self) -> np.ndarray:
        """(T,) false-positive rates at each threshold."""
        return self.false_positives / self.n_out

    @property
    def fnr(self) -> np.ndarray:
        """(T,) false-negative rates at each threshold."""
        return self.false_negatives / self.n_in

    def true_positive_limits(self, alpha: float) -> tuple[np.ndarray, np.ndarray]:
        """Return the (T,) two-sided limits of 1 - fnr at each threshold by itself (Clopper and Pearson 1934)."""
        low = 1 - _clopper_pearson(self.false_negatives, self.n_in, alpha / 2)
        return low, _clopper_pearson(self.n_in - self.false_negatives, self.n_in, alpha / 2)

    def upper_limits(self, alpha: float) -> tuple[np.ndarray, np.ndarray]:
        """Return (T,) limits that both rates keep to together with confidence 1 - alpha (Clopper and Pearson 1934)."""
        return (
            _clopper_pearson(self.false_positives, self.n_out, alpha / 2),
            _clopper_pearson(self.false_negatives, self.n_in, alpha / 2),
        )


def counted_bound(errors: ErrorCounts, delta: float, *, level: float = LEVEL) -> np.ndarray:
    """Return (T,) the epsilon >= 0 that the errors refute at this delta (Kairouz et al. 2015; Nasr et al. 2021).

    It assumes nothing about the mechanism. With n runs on a side it cannot exceed about log(n / 3.7) at 95 %.
    """
    fpr, fnr = errors.upper_limits(1 - level)
    odds = np.maximum((1 - delta - fnr) / fpr, (1 - delta - fpr) / fnr)
    epsilons: np.ndarray = np.log(np.maximum(odds, 1.0))
    return epsilons


def counted_gaussian_bound(errors: ErrorCounts, delta: float, *, level: float = LEVEL) -> float:
    """Return the epsilon at this delta of the Gaussian curve that the errors refute (Nasr et al. 2023, section 4).

    A bound on epsilon only as far as the mechanism's curve is that of a Gaussian.
    """
    fpr, fnr = errors.upper_limits(1 - level)
    return gaussian_epsilon(max(0.0, float(-ndtri(fpr) - ndtri(fnr))), delta)


def curve_p_value(errors: ErrorCounts, curve: Curve) -> float:
    """Return how likely errors so few are for a mechanism with this trade-off curve, at most.

    For every point of the curve the two exact binomial p-values are combined by Fisher's method; the largest result
    counts. Between neighbouring rates each is taken at the end that makes it larger.
    """
    by_fpr = bdtr(float(errors.false_positives), errors.n_out, FALSE_POSITIVE_RATES)
    by_fnr = bdtr(float(errors.false_negatives), errors.n_in, curve.floor)
    product = max(float(np.max(by_fpr[:-1] * by_fnr[1:])), MIN_P_VALUE**2)
    return min(1.0, product * (1 - math.log(product)))


@dataclass(frozen=True)
class RunScores:
    """Scores of runs, larger where the canary seems to have been there: (n_out,) without it and (n_in,) with it."""

    without_canary: np.ndarray
    with_canary: np.ndarray

    def split(self, share: float) -> tuple[RunScores, RunScores]:
        """Return the first ``share`` of each side, for choosing a threshold, and the rest, for counting errors."""
        out, inside = round(share * len(self.without_canary)), round(share * len(self.with_canary))
        first = RunScores(self.without_canary[:out], self.with_canary[:inside])
        return first, RunScores(self.without_canary[out:], self.with_canary[inside:])

    def candidate_thresholds(self) -> np.ndarray:
        """Return (T,) a threshold between any two neighbouring scores."""
        values = np.unique(np.concatenate([self.without_canary, self.with_canary]))
        return (values[1:] + values[:-1]) / 2 if len(values) > 1 else values

    def count_errors(self, threshold: np.ndarray | float) -> ErrorCounts:
        """Return the (T,) errors of the test that takes scores above a threshold for those of runs with the canary."""
        above = len(self.without_canary) - np.searchsorted(np.sort(self.without_canary), threshold, side="right")
        below = np.searchsorted(np.sort(self.with_canary), threshold, side="right")
        return ErrorCounts(above, len(self.without_canary), below, len(self.with_canary))


@dataclass(frozen=True)
class ClaimJudgement:
    """What many runs say.

    Attributes:
        errors: at the threshold chosen for the curve, on the runs that it was not chosen on.
        p_value: of the claimed curve, by these errors.
        bound_errors: at the threshold chosen for the bound, on the same runs.
        bound: epsilon that they refute at 95 %, whatever the mechanism.
        gaussian_bound: the same if the mechanism's curve is that of a Gaussian.
        counted: the runs that errors were counted on.
    """

    errors: ErrorCounts
    p_value: float
    bound_errors: ErrorCounts
    bound: float
    gaussian_bound: float
    counted: RunScores


def judge_runs(scores: RunScores, curve: Curve, delta: float) -> ClaimJudgement:
    """Hold scores against a claimed curve, and bound epsilon at this delta from below.

    Args:
        scores: in the order of the runs, which must not depend on how they came out; at least 10 on each side.
        curve: of the claim.
        delta: in (0, 1).
    """
    choosing, counted = scores.split(CHOOSING_SHARE)
    errors = counted.count_errors(threshold_for_curve(choosing, curve))
    bound_errors = counted.count_errors(threshold_for_bound(choosing, delta))
    return ClaimJudgement(
        errors=errors,
        p_value=curve_p_value(errors, curve),
        bound_errors=bound_errors,
        bound=float(counted_bound(bound_errors, delta)),
        gaussian_bound=counted_gaussian_bound(errors, delta),
        counted=counted,
    )


def refutes_claim(scores: RunScores, curve: Curve) -> bool:
    """Return whether ``judge_runs`` would refute the claimed curve."""
    choosing, counted = scores.split(CHOOSING_SHARE)
    return curve_p_value(counted.count_errors(threshold_for_curve(choosing, curve)), curve) < REFUTATION_LEVEL


def threshold_for_bound(scores: RunScores, delta: float) -> float:
    """Return the threshold with the largest ``counted_bound`` of epsilon on these scores."""
    thresholds = scores.candidate_thresholds()
    return float(thresholds[np.argmax(counted_bound(scores.count_errors(thresholds), delta))])


def threshold_for_curve(scores: RunScores, curve: Curve) -> float:
    """Return the threshold at which the errors lie farthest below the curve, in standard errors."""
    thresholds = scores.candidate_thresholds()
    errors = scores.count_errors(thresholds)
    fpr = (errors.false_positives + 1) / (errors.n_out + 2)  # never 0, so that no standard error is
    fnr = (errors.false_negatives + 1) / (errors.n_in + 2)
    variance = _curve_slope(curve, fpr) ** 2 * fpr * (1 - fpr) / errors.n_out + fnr * (1 - fnr) / errors.n_in
    distance = np.interp(fpr, FALSE_POSITIVE_RATES, curve.floor) - fnr
    return float(thresholds[np.argmax(distance / np.sqrt(variance))])


def _curve_slope(curve: Curve, fpr: np.ndarray) -> np.ndarray:
    slopes: np.ndarray = np.interp(fpr, FALSE_POSITIVE_RATES, np.gradient(curve.floor, FALSE_POSITIVE_RATES))
    return slopes


def _clopper_pearson(count: np.ndarray, n: int, alpha: float) -> np.ndarray:
    """Return the upper limit of a proportion that is exceeded with probability ``alpha`` at most."""
    inside = np.minimum(count, n - 1)
    return np.where(np.asarray(count) < n, betaincinv(inside + 1.0, n - inside, 1 - alpha), 1.0)
