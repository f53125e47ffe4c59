"""Whether three accountants of two libraries agree on what a training spends; where they do not, no epsilon stands.

PLD and PRV are both numerically exact and differ by rounding; RDP is looser and must not come out lower.
"""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from rft.plugins.privacy.accounting.accountants import Mechanism, epsilon_pld, epsilon_rdp

AGREEMENT_TOLERANCE = 1e-3  # beyond which two accountants disagree, on top of what their own error explains
MIN_PRV_ERROR, MAX_PRV_ERROR = 0.01, 0.1  # of PRV: what Opacus asks for by itself, and what is still worth comparing
MAX_PRV_POINTS = 1_000_000  # of its discretised losses: about a second
MAX_PRIVACY_LOSS = 500.0  # beyond it exp leaves float64, and Opacus' integration takes minutes to fail


@dataclass(frozen=True)
class PrvEpsilon:
    """An epsilon that is right within plus or minus ``error``."""

    epsilon: float
    error: float


@dataclass(frozen=True)
class AccountantCrossCheck:
    """What the accountants say.

    Attributes:
        pld, rdp: upper bounds; infinite where there is none. Nothing is compared where ``pld`` is.
        prv: None where it is not computed; ``prv_reason`` says why, and is empty otherwise.
        problems: what cannot be true of correct accountants, in words; empty when they agree.
    """

    pld: float
    rdp: float
    prv: PrvEpsilon | None
    prv_reason: str
    problems: tuple[str, ...]


@lru_cache(maxsize=64)
def cross_check_accountants(mechanism: Mechanism, delta: float) -> AccountantCrossCheck:
    """Compare PLD (dp-accounting) with RDP and PRV (both Opacus).

    A problem is PLD > RDP + 0.001, or a difference of PLD and PRV above PRV's own error + 0.001.

    Raises:
        ValueError: ``delta`` is not in (0, 1).
    """
    pld, rdp = epsilon_pld(mechanism, delta), epsilon_rdp(mechanism, delta)
    try:
        prv, reason = epsilon_prv(mechanism, delta), ""
    except Unresolved as unresolved:
        prv, reason = None, str(unresolved)
    problems = []
    if math.isfinite(pld) and pld > rdp + AGREEMENT_TOLERANCE:
        problems.append(f"PLD gives {pld:.6g}, more than the looser RDP with {rdp:.6g}")
    if math.isfinite(pld) and prv and abs(prv.epsilon - pld) > prv.error + AGREEMENT_TOLERANCE:
        problems.append(f"PLD gives {pld:.6g} and PRV {prv.epsilon:.6g}, whose error is at most {prv.error:.2g}")
    return AccountantCrossCheck(pld, rdp, prv, reason, tuple(problems))


class Unresolved(ArithmeticError):
    """An accountant has no answer for these parameters; the message is the reason."""


def epsilon_prv(mechanism: Mechanism, delta: float) -> PrvEpsilon:
    """Return epsilon at ``delta`` by Opacus' privacy random variables (Gopi et al. 2021), with the error they state.

    The error is 0.01 where a million points suffice for it, and up to 0.1 where they do not.

    Raises:
        Unresolved: it would take more points, losses are beyond 500, or the computation breaks down in float64.
        ValueError: ``delta`` is not in (0, 1).
    """
    if not 0 < delta < 1:
        raise ValueError(f"Expected 0 < delta={delta} < 1.")
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):  # what comes of an overflow is refused below
            warnings.filterwarnings("ignore", message="Optimal order is the", category=UserWarning)
            low, middle, high = _prv_bounds(mechanism, delta)
    except (RuntimeError, ValueError, IndexError) as failure:
        raise Unresolved(f"PRV broke down: {failure}") from failure
    error = max(high - middle, middle - low)
    if not math.isfinite(error):
        raise Unresolved("PRV left the range of float64")
    return PrvEpsilon(max(0.0, middle), error)


def _prv_bounds(mechanism: Mechanism, delta: float) -> tuple[float, float, float]:
    """Return what ``PRVAccountant.get_epsilon`` computes, with the number of points kept within bounds."""
    from opacus.accountants.analysis import prv

    delta_error = delta / 1000  # Opacus' own choice
    losses = prv.PoissonSubsampledGaussianPRV(mechanism.sample_rate, mechanism.noise_multiplier)
    reach = float(prv.compute_safe_domain_size([losses], [mechanism.steps], MIN_PRV_ERROR, delta_error))
    if not reach < MAX_PRIVACY_LOSS:
        raise Unresolved(f"privacy losses up to {reach:.0f} are beyond what PRV computes in float64")
    spread = math.sqrt(mechanism.steps * math.log(12 / delta_error) / 2)  # of a rounding error, as Opacus has it
    error = max(MIN_PRV_ERROR, 2 * reach * spread / MAX_PRV_POINTS)
    if error > MAX_PRV_ERROR:
        raise Unresolved(f"PRV would take {2 * reach * spread / MAX_PRV_ERROR:.1e} points")
    domain = prv.Domain.create_aligned(-reach, reach, error / spread)
    step = prv.discretize(prv.TruncatedPrivacyRandomVariable(losses, domain.t_min, domain.t_max), domain)
    composed = prv.compose_heterogeneous([step], [mechanism.steps])
    low, middle, high = composed.compute_epsilon(delta, delta_error, error)
    return float(low), float(middle), float(high)
