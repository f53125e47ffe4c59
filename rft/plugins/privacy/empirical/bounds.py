"""Trade-off curves, and what guesses about canaries in one run say about epsilon or a claimed curve. Pure numbers.

A trade-off curve (Dong, Roth and Su 2022, JRSS-B 84:3) gives the fewest false negatives that any test of membership can
have at each rate of false positives. Guesses that are better than a curve allows refute it.

The bounds hold where a fair coin decided which canaries took part. A low one is no evidence of privacy: it says only
that these guesses were not good enough.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.optimize import brentq
from scipy.special import expit, ndtr, ndtri
from scipy.stats import binom

LEVEL = 0.95
MAX_REFUTED_EPSILON = 100.0  # no bound is looked for beyond this epsilon
MIN_P_VALUE = 1e-12  # p-values are not resolved below
FALSE_POSITIVE_RATES = (
    np.sin(np.linspace(0, np.pi / 2, 1201)) ** 2
)  # evenly spread in standard errors of a binomial rate

FnrBound = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Curve:
    """A trade-off curve: decreasing and convex, the same when the two kinds of error change places.

    Attributes:
        function: false-positive rates in [0, 1] -> lower bounds on the false-negative rate, elementwise.
    """

    fnr_bound: FnrBound

    def __call__(self, fpr: np.ndarray) -> np.ndarray:
        """Return the bound at each rate."""
        return self.fnr_bound(fpr)

    @cached_property
    def floor(self) -> np.ndarray:
        """The bounds at ``FALSE_POSITIVE_RATES``."""
        return self.fnr_bound(FALSE_POSITIVE_RATES)


def approximate_dp_curve(epsilon: float, delta: float) -> Curve:
    """Return the curve of (epsilon, delta)-privacy (Dong et al. 2022, eq. 5)."""
    odds = math.exp(epsilon)

    def fnr_bound(fpr: np.ndarray) -> np.ndarray:
        return np.maximum(0.0, np.maximum(1 - delta - odds * fpr, (1 - delta - fpr) / odds))

    return Curve(fnr_bound)


def gaussian_curve(mu: float) -> Curve:
    """Return the curve of telling N(0, 1) from N(mu, 1) (Dong et al. 2022, definition 3)."""

    def fnr_bound(fpr: np.ndarray) -> np.ndarray:
        fnr: np.ndarray = ndtr(-ndtri(fpr) - mu)
        return fnr

    return Curve(fnr_bound)


def gaussian_delta(mu: float, epsilon: float) -> float:
    """Return delta of a Gaussian curve at this epsilon (Dong et al. 2022, corollary 1); 0 for ``mu`` = 0."""
    if mu == 0:
        return 0.0
    return float(ndtr(mu / 2 - epsilon / mu) - math.exp(epsilon) * ndtr(-mu / 2 - epsilon / mu))


def gaussian_epsilon(mu: float, delta: float) -> float:
    """Return the epsilon >= 0 of a Gaussian curve at this delta in (0, 1), at most 100."""
    return largest_refuted(lambda epsilon: gaussian_delta(mu, epsilon) > delta)


@dataclass(frozen=True)
class Guesses:
    """Guesses about canaries: which were in training?

    Attributes:
        canaries: m, each put in with probability 1/2.
        guessed: r, how many of them were guessed about; fixed before any score was seen.
        right: v, how many guesses were right.
    """

    canaries: int
    guessed: int
    right: int

    def __post_init__(self) -> None:
        if not 0 <= self.right <= self.guessed <= self.canaries:
            raise ValueError(f"Expected 0 <= right <= made <= canaries, got {self}.")


def one_run_p_value(guesses: Guesses, epsilon: float, delta: float) -> float:
    """Return how likely so many right guesses are under (epsilon, delta)-privacy, at most.

    Steinke, Nasr and Jagielski 2023, NeurIPS, theorem 5.2: P[B >= v] + 2 m delta max_i P[v > B >= v - i] / i for the
    right guesses B of randomised response.
    """
    v, r = guesses.right, guesses.guessed
    tail = binom.sf(v - np.arange(v + 1) - 1, r, expit(epsilon))  # P[B >= v - i] for i = 0 ... v
    slack = np.max((tail[1:] - tail[0]) / np.arange(1, v + 1), initial=0.0)
    return float(min(1.0, tail[0] + 2 * guesses.canaries * delta * slack))


def one_run_bound(guesses: Guesses, delta: float, *, level: float = LEVEL) -> float:
    """Return the epsilon >= 0 that these guesses refute, at this delta and with this confidence; 0 where none is."""
    return largest_refuted(lambda epsilon: one_run_p_value(guesses, epsilon, delta) < 1 - level)


def one_run_curve_p_value(guesses: Guesses, curve: Curve) -> float:
    """Return how likely so many right guesses are for a mechanism with this trade-off curve, at most.

    Mahloujifar, Melis and Chaudhuri 2025, ICML, algorithm 3. Not resolved below 1e-12.
    """
    if not one_run_refutes(guesses, curve, 1.0):
        return 1.0
    if one_run_refutes(guesses, curve, MIN_P_VALUE):
        return MIN_P_VALUE
    low, high = math.log(MIN_P_VALUE), 0.0
    while high - low > 1e-3:
        middle = (low + high) / 2
        low, high = (low, middle) if one_run_refutes(guesses, curve, math.exp(middle)) else (middle, high)
    return math.exp(high)


def one_run_refutes(guesses: Guesses, curve: Curve, alpha: float) -> bool:
    """Return whether "so many guesses are right with a probability of ``alpha`` or more" contradicts the curve.

    Going from all right guesses to none, the curve bounds from below how much probability wrong guesses have beside
    right ones. Under the hypothesis the two together may not exceed the share of canaries that were guessed about.
    """
    m, r = guesses.canaries, guesses.guessed
    right, wrong = alpha * guesses.right / m, alpha * (r - guesses.right) / m
    for count in range(guesses.right - 1, -1, -1):
        least = float(curve(np.asarray(1 - right)))
        if least <= wrong:
            break  # from here on neither grows any more
        right = min(1.0, right + count / (r - count) * (least - wrong))
        wrong = least
    return right + wrong > r / m


def one_run_gaussian_bound(guesses: Guesses, delta: float, *, level: float = LEVEL) -> float:
    """Return the epsilon at this delta of the Gaussian curve that these guesses refute: one bound in two steps.

    A bound on epsilon only as far as the mechanism's curve is that of a Gaussian.
    """
    mu = largest_refuted(lambda mu: one_run_refutes(guesses, gaussian_curve(mu), 1 - level))
    return gaussian_epsilon(mu, delta)


def largest_refuted(refuted: Callable[[float], bool]) -> float:
    """Return the number up to which a claim is refuted, from 0 to 100; the larger, the weaker is the claim."""
    if not refuted(0.0):
        return 0.0
    if refuted(MAX_REFUTED_EPSILON):
        return MAX_REFUTED_EPSILON
    return float(brentq(lambda number: 1.0 if refuted(number) else -1.0, 0.0, MAX_REFUTED_EPSILON, xtol=1e-7))
