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

    from rft.training.privacy_facts import PrivacyFacts

MIN_CALIBRATED_NOISE, MAX_CALIBRATED_NOISE = 0.3, 1000.0  # noise multipliers that calibration considers
CALIBRATION_PRECISION = 1.001  # calibration stops when the bracket of the noise multiplier is this narrow
MIN_PLD_DELTA = 1e-9  # below it the rounding errors of the transform in float64 are no longer small beside delta
RDP_ORDERS = [1 + x / 10 for x in range(1, 100)] + list(range(12, 64)) + [64, 80, 96, 128, 192, 256, 512]
QUICK_RDP_ORDERS = (1.25, 1.5, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 128, 256)  # quick, where a rough epsilon will do
STEP_POINTS, COMPOSED_POINTS = 20_000, 2_000_000  # of a discretised distribution of privacy losses, roughly
MIN_STEPS_FOR_PORTIONS, STEPS_PER_PORTION, MAX_POINTS_FOR_PORTIONS = (
    10_000,
    32,
    2000,
)  # so many steps, of fewer points than this, are composed in portions
# beyond these only the Renyi accountant has a look: such an epsilon says nothing, such steps are smaller than a point
MAX_PLD_EPSILON, MAX_PLD_STEPS = 1000.0, 5_000_000
MIN_NOISE_MULTIPLIER, MAX_NOISE_MULTIPLIER = (
    1e-3,
    1e6,
)  # less hides nothing; more counts as this much, so that its square is finite
MIN_SAMPLE_RATE = 1e-12  # a lower sampling rate counts as this much, which spends more
MAX_DISTRIBUTIONS = 32  # different mechanisms that are composed by their distributions, about 0.2 s each


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

    @classmethod
    def from_facts(cls, facts: PrivacyFacts) -> Mechanism:
        """Return what a private training was charged: all its steps, those that were taken twice included."""
        return cls(facts.noise_multiplier, facts.sample_rate, facts.charged_steps)

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


def composed_spending(mechanisms: Sequence[Mechanism], delta: float) -> Spending:
    """Return what several mechanisms, run on the same people, spend together; nothing when there are none.

    What each computes may depend on what the ones before it gave out; their noise, rates and steps are taken to be
    chosen without it. The epsilon is the smaller of two upper bounds; of more than 32 different mechanisms only the
    Renyi accountant, quick but looser, has a look.

    Raises:
        ValueError: ``delta`` is not in (0, 1).
    """
    _check_delta(delta)
    return _composed_spending(tuple(_merge_mechanisms(mechanisms)), delta)


@lru_cache(maxsize=64)
def _composed_spending(merged: tuple[Mechanism, ...], delta: float) -> Spending:
    if not merged:
        return Spending(0.0, "PLD")
    if len(merged) == 1:
        return tightest_spending(merged[0], delta)
    if len(merged) > MAX_DISTRIBUTIONS:
        return Spending(_rdp_epsilon(merged, delta, QUICK_RDP_ORDERS), "RDP")
    tight, loose = _pld_epsilon(merged, delta), _rdp_epsilon(merged, delta, RDP_ORDERS)
    # One spacing has to do for all: it may be too coarse for many small steps beside one of large losses.
    return Spending(tight, "PLD") if tight <= loose else Spending(loose, "RDP")


def tightest_spending(mechanism: Mechanism, delta: float) -> Spending:
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
    return _pld_epsilon([mechanism], delta)


def epsilon_rdp(mechanism: Mechanism, delta: float, *, orders: Sequence[float] = RDP_ORDERS) -> float:
    """Return epsilon at ``delta`` by Opacus' Renyi accountant (Mironov et al. 2019), which is 9 to 13 % looser.

    Its conversion goes below 0 for a large ``delta``, which would claim more than nothing: 0 is the least. It is
    infinite where the noise multiplier is under 0.001.

    Raises:
        ValueError: ``delta`` is not in (0, 1).
    """
    return _rdp_epsilon([mechanism], delta, orders)


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

    merged = _merge_mechanisms(mechanisms)
    if sum(mechanism.steps for mechanism in merged) > MAX_PLD_STEPS:
        return None
    rough = _rdp_epsilon(merged, min(delta, 1e-5), QUICK_RDP_ORDERS)  # never 0, unlike epsilon at a large delta
    if rough > MAX_PLD_EPSILON:
        return None
    spacing = _loss_spacing(merged, rough, points)
    relation = NeighboringRelation.REPLACE_ONE if replace_one else NeighboringRelation.REPLACE_SPECIAL  # zero-out
    parts = []
    for mechanism in merged:
        step = from_gaussian_mechanism(
            min(mechanism.noise_multiplier, MAX_NOISE_MULTIPLIER),
            sampling_prob=max(mechanism.sample_rate, MIN_SAMPLE_RATE),
            neighboring_relation=relation,
            value_discretization_interval=spacing,
        )
        short = _largest_loss(mechanism) / spacing < MAX_POINTS_FOR_PORTIONS
        in_portions = short and mechanism.steps >= MIN_STEPS_FOR_PORTIONS
        parts.append(_compose_in_portions(step, mechanism.steps) if in_portions else step.self_compose(mechanism.steps))
    return reduce(lambda composed, part: composed.compose(part), parts)


@lru_cache(maxsize=64)
def calibrate_noise_multiplier(epsilon: float, delta: float, *, sample_rate: float, steps: int) -> float:
    """Return the least noise multiplier, within 0.1 % and not under 0.3, that spends at most ``epsilon``.

    Raises:
        ConfigError: even a noise multiplier of 1000 spends more.
        ValueError: a parameter is out of its range.
    """
    if not (math.isfinite(epsilon) and epsilon > 0):
        raise ValueError(f"Expected epsilon={epsilon} to be finite and > 0.")

    def epsilon_at(noise_multiplier: float) -> float:
        return tightest_spending(Mechanism(noise_multiplier, sample_rate, steps), delta).epsilon

    def rdp_epsilon_at(noise_multiplier: float) -> float:
        return epsilon_rdp(Mechanism(noise_multiplier, sample_rate, steps), delta, orders=QUICK_RDP_ORDERS)

    # The Renyi accountant is quick and asks for a little more noise: its answer brackets the search with the slow one.
    by_rdp = _bisect_noise_multiplier(rdp_epsilon_at, epsilon, MIN_CALIBRATED_NOISE, MAX_CALIBRATED_NOISE)
    high = by_rdp if epsilon_at(by_rdp) <= epsilon else MAX_CALIBRATED_NOISE
    low = max(MIN_CALIBRATED_NOISE, by_rdp / 1.25)
    if epsilon_at(low) <= epsilon:
        high, low = low, MIN_CALIBRATED_NOISE
    if high == MAX_CALIBRATED_NOISE and epsilon_at(high) > epsilon:
        _refuse_epsilon(epsilon, epsilon_at(high))
    return low if epsilon_at(low) <= epsilon else _bisect_noise_multiplier(epsilon_at, epsilon, low, high)


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


def accountant_versions() -> dict[str, str]:
    """Return the versions of the two accountants' libraries."""
    return {name: version(name) for name in ("dp-accounting", "opacus")}


def _bisect_noise_multiplier(epsilon_at: Callable[[float], float], epsilon: float, low: float, high: float) -> float:
    """Return the least number that spends at most ``epsilon``; ``high`` is taken to do so, and ``low`` not to.

    Epsilon against noise is nearly a straight line on log scales: one look a little to the right of where it meets the
    target, and one a little to the left, bracket it. Where that does not halve the bracket, the middle is looked at.
    """
    at_low, at_high = epsilon_at(low), epsilon_at(high)
    right = True
    while high / low > CALIBRATION_PRECISION:
        middle = math.sqrt(low * high)
        if math.isfinite(at_low) and 0 < at_high < at_low and (high / low) > CALIBRATION_PRECISION**2:
            share = math.log(at_low / epsilon) / math.log(at_low / at_high)
            aimed = low * (high / low) ** min(max(share, 0.0), 1.0) * CALIBRATION_PRECISION ** (0.4 if right else -0.4)
            middle = min(max(aimed, low * (high / low) ** 0.02), high / (high / low) ** 0.02)
        right = not right
        value = epsilon_at(middle)
        if value <= epsilon:
            high, at_high = middle, value
        else:
            low, at_low = middle, value
    return high


def _merge_mechanisms(mechanisms: Sequence[Mechanism]) -> list[Mechanism]:
    """Return one mechanism for each noise and sample rate, with the steps of all that have them."""
    steps: dict[tuple[float, float], int] = {}
    for mechanism in mechanisms:
        key = (mechanism.noise_multiplier, mechanism.sample_rate)
        steps[key] = steps.get(key, 0) + mechanism.steps
    return [Mechanism(noise, rate, number) for (noise, rate), number in sorted(steps.items())]


def _compose_in_portions(step: PrivacyLossDistribution, steps: int) -> PrivacyLossDistribution:
    """Compose a distribution of few points with itself many times over.

    The library by itself takes the number of points to the power of the steps, as a number with all its digits, and it
    cuts the tails so generously that there are many times more points than needed.
    """
    portions, rest = divmod(steps, STEPS_PER_PORTION)
    whole = step.self_compose(STEPS_PER_PORTION, tail_mass_truncation=0).self_compose(portions)
    return whole.compose(step.self_compose(rest)) if rest else whole


def _pld_epsilon(mechanisms: Sequence[Mechanism], delta: float) -> float:
    _check_delta(delta)
    losses = loss_distribution(mechanisms, delta) if delta >= MIN_PLD_DELTA else None
    if losses is None:
        return math.inf
    with np.errstate(over="ignore"):  # losses beyond 700 leave the range of exp: the result is then infinite
        return float(losses.get_epsilon_for_delta(delta))


def _rdp_epsilon(mechanisms: Sequence[Mechanism], delta: float, orders: Sequence[float]) -> float:
    from opacus.accountants import RDPAccountant

    _check_delta(delta)
    if min(mechanism.noise_multiplier for mechanism in mechanisms) < MIN_NOISE_MULTIPLIER:
        return math.inf
    accountant = RDPAccountant()
    accountant.history = [
        (
            min(mechanism.noise_multiplier, MAX_NOISE_MULTIPLIER),
            max(mechanism.sample_rate, MIN_SAMPLE_RATE),
            mechanism.steps,
        )
        for mechanism in mechanisms
    ]
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Optimal order is the", category=UserWarning)
        return max(0.0, float(accountant.get_epsilon(delta, alphas=list(orders))))


def _loss_spacing(mechanisms: Sequence[Mechanism], rough: float, points: int) -> float:
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
    noise = min(mechanism.noise_multiplier, MAX_NOISE_MULTIPLIER)
    return math.log1p(mechanism.sample_rate * math.expm1(min(700.0, 10 / noise + 1 / (2 * noise**2))))


def _check_delta(delta: float) -> None:
    if not 0 < delta < 1:
        raise ValueError(f"Expected 0 < delta={delta} < 1.")


def _refuse_epsilon(target: float, least: float) -> NoReturn:
    raise ConfigError(
        f"epsilon = {target:g} cannot be reached: with {MAX_CALIBRATED_NOISE:g} times the clipping norm as noise "
        f"this training still spends {least:.3g}",
        where="privacy.epsilon",
        remedy="Give a larger epsilon or delta, or train for fewer epochs (steps) with smaller batches (sample_rate).",
    )
