"""What the audit of the mechanism would see: how often it refutes the claim of a training that breaks it. Pure numbers.

The whole audit is repeated on scores drawn from their distribution under a fault, the choice of a threshold included.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from rft.plugins.privacy.accounting.accountants import Mechanism
from rft.plugins.privacy.empirical.bounds import Curve
from rft.plugins.privacy.empirical.many_runs import refutes_claim
from rft.plugins.privacy.empirical.watched_steps import score_distributions

WANTED_POWER = 0.8
POWER_REPEATS = 200
FACTOR_PRECISION = 1.02  # the search stops when the factor is known this well
MAX_FACTOR = 64.0  # largest factor that is tried


@dataclass(frozen=True)
class Fault:
    """A training that breaks its claim by one number.

    Attributes:
        name: in words, with the factor left open.
        broken: claim, factor > 1 -> what is trained in truth; None where there is no such thing.
    """

    name: str
    break_claim: Callable[[Mechanism, float], Mechanism | None]


def _less_noise(claim: Mechanism, factor: float) -> Mechanism:
    return replace(claim, noise_multiplier=claim.noise_multiplier / factor)


def _more_sampling(claim: Mechanism, factor: float) -> Mechanism | None:
    rate = claim.sample_rate * factor
    return replace(claim, sample_rate=rate) if rate <= 1 else None


FAULTS = (Fault("noise too small", _less_noise), Fault("sampled too often", _more_sampling))


@dataclass(frozen=True)
class Violation:
    """The smallest violation that is seen: the fault, by which factor, and the mechanism that it leads to."""

    fault: Fault
    factor: float
    mechanism: Mechanism


def audit_power(
    claim: Mechanism, curve: Curve, actual: Mechanism, runs: int, *, repeats: int = POWER_REPEATS, seed: int = 0
) -> float:
    """Return the share of repeated audits, of this many runs on a side, that refute the claim."""
    random = np.random.default_rng(seed)
    scores = score_distributions(claim, actual)
    return float(np.mean([refutes_claim(scores.draw_scores(random, runs), curve) for _ in range(repeats)]))


def smallest_violation(claim: Mechanism, curve: Curve, fault: Fault, runs: int) -> Violation | None:
    """Return the violation that is seen with a power of 0.8, or None where none up to a factor of 64 is.

    Args:
        claim: what is promised.
        curve: of the claim.
        fault: how the promise is broken.
        runs: on each side.
    """

    def is_seen(factor: float) -> bool:
        actual = fault.break_claim(claim, factor)
        return actual is not None and audit_power(claim, curve, actual, runs) >= WANTED_POWER

    low, high = 1.0, 2.0
    while not is_seen(high):
        low, high = high, 2 * high
        if high > MAX_FACTOR or fault.break_claim(claim, high) is None:
            return None
    while high / low > FACTOR_PRECISION:
        middle = math.sqrt(low * high)
        low, high = (low, middle) if is_seen(middle) else (middle, high)
    actual = fault.break_claim(claim, high)
    return None if actual is None else Violation(fault, high, actual)
