"""What a promise of differential privacy allows an attacker: no attack within it shows that it was broken."""

from __future__ import annotations

import math

from rft.records import Training

MAX_EPSILON = 20.0  # above it the odds are not worth a number


def allows_area(training: Training, area: float) -> bool:
    """Whether an attacker may reach an area under the ROC curve under the promise of a training.

    No attacker's area is above one minus that under the trade-off of (epsilon, delta): f(a) =
    max(0, 1 - delta - e^epsilon a, e^-epsilon (1 - delta - a)) (Dong, Roth and Su 2022, section 2). False where nothing
    that bounds anything is promised.
    """
    promised = _read_promise(training)
    if promised is None:
        return False
    factor, most = promised
    corner = most / (1 + factor)
    missed = most * corner - factor * corner**2 / 2 + (most - corner) ** 2 / (2 * factor)
    return area <= 1 - missed


def allows_rate(training: Training, true_positive_rate: float, false_positive_rate: float) -> bool:
    """Whether an attacker may reach a true-positive rate at a false-positive rate: at most 1 - f(a), as above."""
    promised = _read_promise(training)
    if promised is None:
        return False
    factor, most = promised
    missed = max(0.0, most - factor * false_positive_rate, (most - false_positive_rate) / factor)
    return true_positive_rate <= 1 - missed


def _read_promise(training: Training) -> tuple[float, float] | None:
    """Return e^epsilon and 1 - delta; None where nothing is promised, or nothing that bounds anything."""
    if training.mode != "private" or training.void or training.epsilon is None or training.delta is None:
        return None
    return None if training.epsilon > MAX_EPSILON else (math.exp(training.epsilon), 1 - training.delta)
