"""What epsilon DP-SGD spends, by two accountants of two libraries, and the noise that a target epsilon needs.

Pure numbers: no data and no model come in here. The mechanism is the Poisson-subsampled Gaussian, composed over all
steps, under the zero-out relation (one unit's contribution replaced by nothing, at a fixed public number of units).
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache, reduce
from importlib.metadata import version
from typing import TYPE_CHECKING, NoReturn

import numpy as np

from rft.errors import ConfigError

if TYPE_CHECKING:
    from dp_accounting.pld.privacy_loss_distribution import PrivacyLossDistribution

LOWEST_NOISE, HIGHEST_NOISE = 0.3, 1000.0  # noise multipliers that calibration considers
PRECISION = 1.001  # calibration stops when the bracket of the noise multiplier is this narrow
SMALLEST_DELTA = 1e-9  # below it the rounding errors of the transform in float64 are no longer small beside delta
ORDERS = [1 + x / 10 for x in range(1, 100)] + list(range(12, 64)) + [64, 80, 96, 128, 192, 256, 512]
FEW_ORDERS = (1.25, 1.5, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 128, 256)  # quick, where a rough epsilon will do
STEP_POINTS, COMPOSED_POINTS = 20_000, 2_000_000  # of a discretised distribution of privacy losses, roughly
LONG, PORTION, SHORT = 10_000, 32, 2000  # so many steps, of fewer points than this, are composed in portions
# beyond these only the Renyi accountant has a look: such an epsilon says nothing, such steps are smaller than a point
LARGEST_EPSILON, MOST_STEPS = 1000.0, 5_000_000
LEAST_NOISE, MOST_NOISE = 1e-3, 1e6  # less hides nothing; more counts as this much, so that its square is finite
LEAST_RATE = 1e-12  # a lower sampling rate counts as this much, which spends more
MOST_DISTRIBUTIONS = 32  # different mechanisms that are composed by their distributions, about 0.2 s each


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


def epsilon_of(mechanisms: Sequence[Mechanism], delta: float) -> Spending:
    """Return what several mechanisms, run on the same people, spend together; nothing when there are none.

    What each computes may depend on what the ones before it gave out; their noise, rates and steps are taken to be
    chosen without it. The epsilon is the smaller of two upper bounds; of more than 32 different mechanisms only the
    Renyi accountant, quick but looser, has a look.

    Raises:
        ValueError: ``delta`` is not in (0, 1).
    """
    _check_delta(delta)
    return _composed(tuple(_merged(mechanisms)), delta)


@lru_cache(maxsize=64)
def _composed(merged: tuple[Mechanism, ...], delta: float) -> Spending:
    if not merged:
        return Spending(0.0, "PLD")
    if len(merged) == 1:
        return spent(merged[0], delta)
    if len(merged) > MOST_DISTRIBUTIONS:
        return Spending(_renyi(merged, delta, FEW_ORDERS), "RDP")
    tight, loose = _discretised(merged, delta), _renyi(merged, delta, ORDERS)
    # One spacing has to do for all: it may be too coarse for many small steps beside one of large losses.
    return Spending(tight, "PLD") if tight <= loose else Spending(loose, "RDP")


def spent(mechanism: Mechanism, delta: float) -> Spending:
    """Return the epsilon of the tighter accountant, or of the Renyi accountant where the tighter one has none."""
    tight = epsilon_pld(mechanism, delta)
    return Spending(tight, "PLD") if math.isfinite(tight) else Spending(epsilon_rdp(mechanism, delta), "RDP")


def epsilon_pld(mechanism: Mechanism, delta: float) -> float:
    """Return epsilon at ``delta`` by dp-accounting's privacy loss distributions (Doroshenko et al. 2022).

    The discretisation rounds against us, so the value is an upper bound. It is infinite for a ``delta`` under 1e-9,
    which the convolution in float64 does not resolve, where it would be in the hundreds or beyond, and of more than 5
    million steps.

    Raises:
        ValueError: ``delta`` is not in (0, 1).
    """
    return _discretised([mechanism], delta)


def epsilon_rdp(mechanism: Mechanism, delta: float, *, orders: Sequence[float] = ORDERS) -> float:
    """Return epsilon at ``delta`` by Opacus' Renyi accountant (Mironov et al. 2019), which is 9 to 13 % looser.

    Its conversion goes below 0 for a large ``delta``, which would claim more than nothing: 0 is the least. It is
    infinite where the noise multiplier is under 0.001.

    Raises:
        ValueError: ``delta`` is not in (0, 1).
    """
    return _renyi([mechanism], delta, orders)


def loss_distribution(
    mechanisms: Sequence[Mechanism], delta: float, *, replace_one: bool = False, points: int = COMPOSED_POINTS
) -> PrivacyLossDistribution | None:
    """Return dp-accounting's distribution of privacy losses of one or more mechanisms, discretised for this ``delta``.

    None where epsilon is beyond 1000 or so, or of more than 5 million steps: either would take too many points.

    Args:
        mechanisms: at least one; those with the same noise and sample rate count as one that is longer.
        delta: in (0, 1); what the spacing of the discretisation is chosen for.
        replace_one: one unit's contribution replaced by any other, and not by nothing.
        points: about how many losses there may be at most after the composition; fewer are quicker and looser.
    """
    from dp_accounting import NeighboringRelation
    from dp_accounting.pld.privacy_loss_distribution import from_gaussian_mechanism

    merged = _merged(mechanisms)
    if sum(mechanism.steps for mechanism in merged) > MOST_STEPS:
        return None
    rough = _renyi(merged, min(delta, 1e-5), FEW_ORDERS)  # never 0, unlike epsilon at a large delta
    if rough > LARGEST_EPSILON:
        return None
    spacing = _grid(merged, rough, points)
    relation = NeighboringRelation.REPLACE_ONE if replace_one else NeighboringRelation.REPLACE_SPECIAL  # zero-out
    parts = []
    for mechanism in merged:
        step = from_gaussian_mechanism(
            min(mechanism.noise_multiplier, MOST_NOISE),
            sampling_prob=max(mechanism.sample_rate, LEAST_RATE),
            neighboring_relation=relation,
            value_discretization_interval=spacing,
        )
        short = _largest_loss(mechanism) / spacing < SHORT
        in_portions = short and mechanism.steps >= LONG
        parts.append(_in_portions(step, mechanism.steps) if in_portions else step.self_compose(mechanism.steps))
    return reduce(lambda one, other: one.compose(other), parts)


@lru_cache(maxsize=64)
def calibrate(epsilon: float, delta: float, *, sample_rate: float, steps: int) -> float:
    """Return the least noise multiplier, within 0.1 % and not under 0.3, that spends at most ``epsilon``.

    Raises:
        ConfigError: even a noise multiplier of 1000 spends more.
        ValueError: a parameter is out of its range.
    """
    if not (math.isfinite(epsilon) and epsilon > 0):
        raise ValueError(f"Expected epsilon={epsilon} to be finite and > 0.")

    def spends(noise_multiplier: float) -> float:
        return spent(Mechanism(noise_multiplier, sample_rate, steps), delta).epsilon

    def spends_by_rdp(noise_multiplier: float) -> float:
        return epsilon_rdp(Mechanism(noise_multiplier, sample_rate, steps), delta, orders=FEW_ORDERS)

    # The Renyi accountant is quick and asks for a little more noise: its answer brackets the search with the slow one.
    by_rdp = _least(spends_by_rdp, epsilon, LOWEST_NOISE, HIGHEST_NOISE)
    high = by_rdp if spends(by_rdp) <= epsilon else HIGHEST_NOISE
    low = max(LOWEST_NOISE, by_rdp / 1.25)
    if spends(low) <= epsilon:
        high, low = low, LOWEST_NOISE
    if high == HIGHEST_NOISE and spends(high) > epsilon:
        _refuse(epsilon, spends(high))
    return low if spends(low) <= epsilon else _least(spends, epsilon, low, high)


def refuse_large_delta(delta: float, n: int, who: str) -> None:
    """Raise ``ConfigError`` for a delta of 1 / n or more, at which no epsilon promises anything.

    A mechanism that picks one of n people at random and publishes all of that person's data has epsilon 0 at such a
    delta (Dwork and Roth 2014, section 2.3).

    Args:
        delta: in (0, 1).
        n: how many there are, >= 1.
        who: what they are, in words.
    """
    if delta >= 1 / n:
        raise ConfigError(
            f"{delta:g} is not below 1 / {n:,}, one over the number of {who}: to publish one of them outright would "
            "count as private",
            where="privacy.delta",
            remedy="Leave it out: min(1e-5, 1 / (10 n)) is taken.",
        )


def versions() -> dict[str, str]:
    """Return the versions of the two accountants' libraries."""
    return {name: version(name) for name in ("dp-accounting", "opacus")}


def _least(spends: Callable[[float], float], epsilon: float, low: float, high: float) -> float:
    """Return the least number that spends at most ``epsilon``; ``high`` is taken to do so, and ``low`` not to.

    Epsilon against noise is nearly a straight line on log scales: one look a little to the right of where it meets the
    target, and one a little to the left, bracket it. Where that does not halve the bracket, the middle is looked at.
    """
    at_low, at_high = spends(low), spends(high)
    right = True
    while high / low > PRECISION:
        middle = math.sqrt(low * high)
        if math.isfinite(at_low) and 0 < at_high < at_low and (high / low) > PRECISION**2:
            share = math.log(at_low / epsilon) / math.log(at_low / at_high)
            aimed = low * (high / low) ** min(max(share, 0.0), 1.0) * PRECISION ** (0.4 if right else -0.4)
            middle = min(max(aimed, low * (high / low) ** 0.02), high / (high / low) ** 0.02)
        right = not right
        value = spends(middle)
        if value <= epsilon:
            high, at_high = middle, value
        else:
            low, at_low = middle, value
    return high


def _merged(mechanisms: Sequence[Mechanism]) -> list[Mechanism]:
    """Return one mechanism for each noise and sample rate, with the steps of all that have them."""
    steps: dict[tuple[float, float], int] = {}
    for mechanism in mechanisms:
        key = (mechanism.noise_multiplier, mechanism.sample_rate)
        steps[key] = steps.get(key, 0) + mechanism.steps
    return [Mechanism(noise, rate, number) for (noise, rate), number in sorted(steps.items())]


def _in_portions(step: PrivacyLossDistribution, steps: int) -> PrivacyLossDistribution:
    """Compose a distribution of few points with itself many times over.

    The library by itself takes the number of points to the power of the steps, as a number with all its digits, and it
    cuts the tails so generously that there are many times more points than needed.
    """
    portions, rest = divmod(steps, PORTION)
    whole = step.self_compose(PORTION, tail_mass_truncation=0).self_compose(portions)
    return whole.compose(step.self_compose(rest)) if rest else whole


def _discretised(mechanisms: Sequence[Mechanism], delta: float) -> float:
    _check_delta(delta)
    losses = loss_distribution(mechanisms, delta) if delta >= SMALLEST_DELTA else None
    if losses is None:
        return math.inf
    with np.errstate(over="ignore"):  # losses beyond 700 leave the range of exp: the result is then infinite
        return float(losses.get_epsilon_for_delta(delta))


def _renyi(mechanisms: Sequence[Mechanism], delta: float, orders: Sequence[float]) -> float:
    from opacus.accountants import RDPAccountant

    _check_delta(delta)
    if min(each.noise_multiplier for each in mechanisms) < LEAST_NOISE:
        return math.inf
    accountant = RDPAccountant()
    accountant.history = [
        (min(each.noise_multiplier, MOST_NOISE), max(each.sample_rate, LEAST_RATE), each.steps) for each in mechanisms
    ]
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Optimal order is the", category=UserWarning)
        return max(0.0, float(accountant.get_epsilon(delta, alphas=list(orders))))


def _grid(mechanisms: Sequence[Mechanism], rough: float, points: int) -> float:
    """Return a spacing of privacy losses: fine enough for this epsilon, coarse enough to compute in a second or so.

    Rounding moves a step's loss by about spacing^2 / 8 and must stay small beside epsilon, of which ``rough`` is an
    estimate, after all steps; the floors bound the number of points of one step and of the composition (about 16
    deviations of sqrt(2 epsilon) wide).
    """
    steps = sum(mechanism.steps for mechanism in mechanisms)
    fine = min(1e-4 * rough, math.sqrt(1e-4 * rough / steps), rough / math.sqrt(20 * steps))
    largest_loss = max(map(_largest_loss, mechanisms))
    width = 16 * math.sqrt(2 * rough)
    return max(fine, largest_loss / STEP_POINTS, width * len(mechanisms) / points)


def _largest_loss(mechanism: Mechanism) -> float:
    """Return the privacy loss of a step whose noise is 10 deviations out."""
    noise = min(mechanism.noise_multiplier, MOST_NOISE)
    return math.log1p(mechanism.sample_rate * math.expm1(min(700.0, 10 / noise + 1 / (2 * noise**2))))


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
