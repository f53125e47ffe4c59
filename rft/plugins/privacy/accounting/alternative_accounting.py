"""What the same training would spend under other assumptions: another neighbour, or batches that were shuffled.

Readers convert to these, and other tools train one way and account for another. Pure numbers.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from rft.plugins.privacy.accounting.accountants import (
    MIN_PLD_DELTA,
    MIN_SAMPLE_RATE,
    Mechanism,
    composed_spending,
    loss_distribution,
)

THRESHOLDS = 2000  # events among which the most telling one about shuffled batches is looked for


@dataclass(frozen=True)
class ShuffledBounds:
    """Bounds on epsilon for batches of a fixed size, dealt out anew in every pass over the data.

    The exact value is an open problem (Chua et al. 2024). ``low`` is None where there is not one whole pass.
    """

    low: float | None
    high: float


def epsilon_replace_one(mechanism: Mechanism, delta: float) -> float | None:
    """Return epsilon when one unit's contribution is replaced by any other, by dp-accounting's loss distributions.

    None where it cannot be resolved: see ``accountants.epsilon_pld``.

    Raises:
        ValueError: ``delta`` is not in (0, 1).
    """
    if not 0 < delta < 1:
        raise ValueError(f"Expected 0 < delta={delta} < 1.")
    losses = loss_distribution([mechanism], delta, replace_one=True) if delta >= MIN_PLD_DELTA else None
    if losses is None:
        return None
    with np.errstate(over="ignore"):  # losses beyond 700 leave the range of exp: the result is then infinite
        epsilon = float(losses.get_epsilon_for_delta(delta))
    return epsilon if math.isfinite(epsilon) else None


def epsilon_shuffled(mechanism: Mechanism, delta: float) -> ShuffledBounds:
    """Return bounds on epsilon had each pass over the data been shuffled and cut into batches, at the same noise.

    Above: whatever the order, a unit takes part once in a pass, so that a pass is one Gaussian mechanism without any
    sampling. Below: the event that the largest of the noised sums of one pass exceeds a threshold (Chua et al. 2024,
    "How private are DP-SGD implementations?"), where the unit's gradient points one way and all others the
    other way. Both under the zero-out relation; where every unit takes part in every step there is nothing to shuffle.

    Raises:
        ValueError: ``delta`` is not in (0, 1).
    """
    steps_a_pass = math.floor(1 / max(mechanism.sample_rate, MIN_SAMPLE_RATE))
    passes = math.ceil(mechanism.steps / steps_a_pass)
    high = composed_spending([Mechanism(mechanism.noise_multiplier, 1.0, passes)], delta).epsilon
    whole = mechanism.steps >= steps_a_pass
    return ShuffledBounds(_one_pass_bound(mechanism.noise_multiplier, steps_a_pass, delta) if whole else None, high)


def _one_pass_bound(noise: float, batches: int, delta: float) -> float:
    """Return a lower bound on epsilon of one shuffled pass: the largest log((P - delta) / Q) over the events.

    Seen from a batch of all others, the sum moves by 2 where the unit is, and by 1 where its place is left empty.
    """
    from scipy.stats import norm

    thresholds = np.linspace(-10 * noise, 2 + (10 + math.sqrt(2 * math.log(batches))) * noise, THRESHOLDS)
    elsewhere = (batches - 1) * norm.logcdf(thresholds / noise)
    taking_part, left_out = (-np.expm1(norm.logcdf((thresholds - shift) / noise) + elsewhere) for shift in (2, 1))
    telling = (taking_part > delta) & (left_out > 0)
    ratios = np.log(taking_part[telling] - delta) - np.log(left_out[telling])
    return float(ratios.max(initial=0.0))
