"""What epsilon DP-SGD spends, by two accountants of two libraries, and the noise that a target epsilon needs.

Pure numbers: no data and no model come in here. The mechanism is the Poisson-subsampled Gaussian, composed over all
steps, under the zero-out relation (one unit's contribution replaced by nothing, at a fixed public number of units).
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import version
from typing import NoReturn

import numpy as np

from rft.errors import ConfigError

LOWEST_NOISE, HIGHEST_NOISE = 0.3, 1000.0  # noise multipliers that calibration considers
PRECISION = 1.001  # calibration stops when the bracket of the noise multiplier is this narrow
SMALLEST_DELTA = 1e-9  # below it the rounding errors of the transform in float64 are no longer small beside delta
ORDERS = [1 + x / 10 for x in range(1, 100)] + list(range(12, 64)) + [64, 80, 96, 128, 192, 256, 512]
FEW_ORDERS = (1.25, 1.5, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 128, 256)  # quick, where a rough epsilon will do
STEP_POINTS, COMPOSED_POINTS = 20_000, 2_000_000  # of a discretised distribution of privacy losses, roughly


@dataclass(frozen=True)
class Mechanism:
    """A Gaussian with this noise multiplier on a Poisson sample, a number of times over.

    Attributes:
        noise_multiplier: standard deviation of the noise over the clipping norm, > 0.
        sample_rate: probability that a unit takes part in a step, in (0, 1].
        steps: how often, >= 1.
    """

    noise_multiplier: float
    sample_rate: float
    steps: int

    def __post_init__(self) -> None:
        if not (math.isfinite(self.noise_multiplier) and self.noise_multiplier > 0):
            raise ValueError(f"Expected noise_multiplier={self.noise_multiplier} to be finite and > 0.")
        if not 0 < self.sample_rate <= 1:
            raise ValueError(f"Expected 0 < sample_rate={self.sample_rate} <= 1.")
        if not (float(self.steps).is_integer() and self.steps >= 1):
            raise ValueError(f"Expected steps={self.steps} to be a whole number >= 1.")


@dataclass(frozen=True)
class Spending:
    """An epsilon and the accountant that vouches for it: ``PLD`` or ``RDP``."""

    epsilon: float
    accountant: str


def epsilon_pld(mechanism: Mechanism, delta: float) -> float:
    """Return epsilon at ``delta`` by dp-accounting's privacy loss distributions (Doroshenko et al. 2022).

    The discretisation rounds against us, so the value is an upper bound. It is infinite for a ``delta`` under 1e-9,
    which the convolution in float64 does not resolve, and where a loss of several hundred would have to be resolved.

    Raises:
        ValueError: ``delta`` is not in (0, 1).
    """
    from dp_accounting import NeighboringRelation
    from dp_accounting.pld.privacy_loss_distribution import from_gaussian_mechanism

    _check_delta(delta)
    if delta < SMALLEST_DELTA:
        return math.inf
    one_step = from_gaussian_mechanism(
        mechanism.noise_multiplier,
        sampling_prob=mechanism.sample_rate,
        neighboring_relation=NeighboringRelation.REPLACE_SPECIAL,  # zero-out
        value_discretization_interval=_grid(mechanism, delta),
    )
    with np.errstate(over="ignore"):  # losses beyond 700 leave the range of exp: the result is then infinite
        return float(one_step.self_compose(mechanism.steps).get_epsilon_for_delta(delta))


def epsilon_rdp(mechanism: Mechanism, delta: float, *, orders: Sequence[float] = ORDERS) -> float:
    """Return epsilon at ``delta`` by Opacus' Renyi accountant (Mironov et al. 2019), which is 9 to 13 % looser.

    Its conversion goes below 0 for a large ``delta``, which would claim more than nothing: 0 is the least.

    Raises:
        ValueError: ``delta`` is not in (0, 1).
    """
    from opacus.accountants import RDPAccountant

    _check_delta(delta)
    accountant = RDPAccountant()
    accountant.history = [(mechanism.noise_multiplier, mechanism.sample_rate, mechanism.steps)]
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Optimal order is the", category=UserWarning)
        return max(0.0, float(accountant.get_epsilon(delta, alphas=list(orders))))


def spent(mechanism: Mechanism, delta: float) -> Spending:
    """Return the epsilon of the tighter accountant, or of the Renyi accountant where the tighter one has none."""
    tight = epsilon_pld(mechanism, delta)
    return Spending(tight, "PLD") if math.isfinite(tight) else Spending(epsilon_rdp(mechanism, delta), "RDP")


@lru_cache(maxsize=64)
def calibrate(epsilon: float, delta: float, *, sample_rate: float, steps: int) -> float:
    """Return the least noise multiplier, within 0.1 % and not under 0.3, that spends at most ``epsilon``.

    Raises:
        ConfigError: even a noise multiplier of 1000 spends more.
        ValueError: a parameter is out of its range.
    """
    if not (math.isfinite(epsilon) and epsilon > 0):
        raise ValueError(f"Expected epsilon={epsilon} to be finite and > 0.")

    def enough(noise_multiplier: float) -> bool:
        return spent(Mechanism(noise_multiplier, sample_rate, steps), delta).epsilon <= epsilon

    def enough_by_rdp(noise_multiplier: float) -> bool:
        return epsilon_rdp(Mechanism(noise_multiplier, sample_rate, steps), delta, orders=FEW_ORDERS) <= epsilon

    if not enough(HIGHEST_NOISE):
        _refuse(epsilon, spent(Mechanism(HIGHEST_NOISE, sample_rate, steps), delta).epsilon)
    if enough(LOWEST_NOISE):
        return LOWEST_NOISE
    # The Renyi accountant is quick and asks for a little more noise: its answer brackets the search with the slow one.
    by_rdp = _least(enough_by_rdp, LOWEST_NOISE, HIGHEST_NOISE)
    high = by_rdp if enough(by_rdp) else HIGHEST_NOISE
    low = LOWEST_NOISE if by_rdp / 2 <= LOWEST_NOISE or enough(by_rdp / 2) else by_rdp / 2
    return _least(enough, low, high)


def versions() -> dict[str, str]:
    """Return the versions of the two accountants' libraries."""
    return {name: version(name) for name in ("dp-accounting", "opacus")}


def _least(enough: Callable[[float], bool], low: float, high: float) -> float:
    """Bisect, on a log scale, for the least number that is enough; ``high`` is taken to be."""
    while high / low > PRECISION:
        middle = math.sqrt(low * high)
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high


def _grid(mechanism: Mechanism, delta: float) -> float:
    """Return a spacing of privacy losses: fine enough for this epsilon, coarse enough to compute in a second or so.

    Rounding moves a step's loss by about spacing^2 / 8 and must stay small beside epsilon after all steps; the floors
    bound the number of points of one step and of the composition (about 16 deviations of sqrt(2 epsilon) wide).
    """
    noise, rate, steps = mechanism.noise_multiplier, mechanism.sample_rate, mechanism.steps
    rough = epsilon_rdp(mechanism, min(delta, 1e-5), orders=FEW_ORDERS)  # never 0, unlike epsilon at a large delta
    fine = min(1e-4 * rough, math.sqrt(1e-4 * rough / steps), rough / math.sqrt(20 * steps))
    largest_loss = math.log1p(rate * math.expm1(min(700.0, 10 / noise + 1 / (2 * noise**2))))  # 10 deviations out
    return max(fine, largest_loss / STEP_POINTS, 16 * math.sqrt(2 * rough) / COMPOSED_POINTS)


def _check_delta(delta: float) -> None:
    if not 0 < delta < 1:
        raise ValueError(f"Expected 0 < delta={delta} < 1.")


def _refuse(target: float, least: float) -> NoReturn:
    raise ConfigError(
        f"epsilon = {target:g} cannot be reached: with {HIGHEST_NOISE:g} times the clipping norm as noise "
        f"this training still spends {least:.3g}",
        where="privacy.epsilon",
        remedy="Give a larger epsilon or delta, or train for fewer epochs (steps) with smaller batches (sample_rate).",
    )
