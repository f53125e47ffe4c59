"""What the same training says in other terms: epsilon at other deltas, and the best that any attacker could reach.

Pure numbers from an accountant's distribution of privacy losses, all of them upper bounds on what an attacker learns.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import overload

import numpy as np

from rft.plugins.privacy.accounting.accountants import (
    MIN_PLD_DELTA,
    Mechanism,
    Spending,
    epsilon_rdp,
    loss_distribution,
)

TANGENTS = 512  # epsilons at which a trade-off curve has a tangent
DELTAS = tuple(10.0**exponent for exponent in range(-9, 0))
CURVE_POINTS = 200_000  # of a discretised distribution of privacy losses, for a curve; each line looks at all of them
TYPICAL_DELTA = 1e-5  # that distributions are discretised for where a curve has no delta of its own


@dataclass(frozen=True)
class TradeOff:
    """The fewest false negatives that any test of membership can have, at each rate of false positives.

    A mechanism that is (epsilon, delta)-private for each pair of a curve allows no test of whether a unit took part to
    come below ``max(0, 1 - delta - e^epsilon fpr, e^-epsilon (1 - delta - fpr))`` (Dong, Roth and Su 2022).

    Attributes:
        epsilons, deltas: (L,) a line of the curve each.
    """

    epsilons: np.ndarray
    deltas: np.ndarray

    @overload
    def __call__(self, fpr: float) -> float: ...
    @overload
    def __call__(self, fpr: np.ndarray) -> np.ndarray: ...
    def __call__(self, fpr: float | np.ndarray) -> float | np.ndarray:
        """Return a lower bound on the false-negative rate at this false-positive rate, both in [0, 1].

        Raises:
            ValueError: a rate is not in [0, 1].
        """
        rates = np.asarray(fpr, dtype=float)
        if not ((rates >= 0) & (rates <= 1)).all():
            raise ValueError(f"Expected 0 <= fpr={fpr} <= 1.")
        room = 1 - self.deltas
        steep = room - np.exp(self.epsilons) * rates[..., None]
        flat = np.exp(-self.epsilons) * (room - rates[..., None])
        fnr = np.maximum(0.0, np.maximum(steep, flat).max(axis=-1))
        return fnr if isinstance(fpr, np.ndarray) else float(fnr)


def trade_off(mechanism: Mechanism | Sequence[Mechanism]) -> TradeOff:
    """Return a lower bound on the false-negative rate of any test of membership, as a function of the other rate.

    It holds for any attacker, who may see every noised gradient and choose all other data, and for either neighbour as
    the one that a test guards against. It is an envelope of 512 tangents of the discretised accountant's curve, both of
    which err on the lower side: against the closed form of the Gaussian mechanism by less than 0.001. Tangents are not
    steeper than 1e9, and each delta is raised by 1e-9 for the rounding of the convolution: below a false-positive rate
    of 1e-8 the bound is loose. It is 0 everywhere where epsilon is beyond
    1000, and of more than 5 million steps.

    Args:
        mechanism: one, or several that are run on the same people.
    """
    return _cached_trade_off((mechanism,) if isinstance(mechanism, Mechanism) else tuple(mechanism))


def ideal_attacker(mechanism: Mechanism | Sequence[Mechanism], fpr: float) -> float:
    """Return the largest true-positive rate that any attacker could have at a false-positive rate in [0, 1].

    Raises:
        ValueError: ``fpr`` is not in [0, 1].
    """
    return 1 - trade_off(mechanism)(fpr)


def epsilon_curve(mechanism: Mechanism, deltas: Iterable[float] = DELTAS) -> dict[float, Spending]:
    """Return epsilon at each delta, by the accountant that has one; at extremes a little looser than ``spending_at``.

    Raises:
        ValueError: a delta is not in (0, 1).
    """
    wanted = sorted(set(deltas))
    if not all(0 < delta < 1 for delta in wanted):
        raise ValueError(f"Expected deltas in (0, 1), got {wanted}.")
    losses = loss_distribution([mechanism], max(wanted[0], MIN_PLD_DELTA), points=CURVE_POINTS)

    def spending_at(delta: float) -> Spending:
        with np.errstate(over="ignore"):  # losses beyond 700 leave the range of exp: the result is then infinite
            tight = float(losses.get_epsilon_for_delta(delta)) if losses and delta >= MIN_PLD_DELTA else math.inf
        return Spending(tight, "PLD") if math.isfinite(tight) else Spending(epsilon_rdp(mechanism, delta), "RDP")

    return {delta: spending_at(delta) for delta in wanted}


@lru_cache(maxsize=64)
def _cached_trade_off(mechanisms: tuple[Mechanism, ...]) -> TradeOff:
    losses = loss_distribution(mechanisms, TYPICAL_DELTA, points=CURVE_POINTS)
    if losses is None:
        return TradeOff(np.zeros(1), np.ones(1))
    with np.errstate(over="ignore"):  # losses beyond 700 leave the range of exp: the steepest tangent is then taken
        steepest = min(losses.get_epsilon_for_delta(MIN_PLD_DELTA), -math.log(MIN_PLD_DELTA))
    epsilons = np.linspace(0, steepest, TANGENTS)
    deltas = np.array([losses.get_delta_for_epsilon(float(epsilon)) for epsilon in epsilons])
    return TradeOff(epsilons, np.minimum(deltas + MIN_PLD_DELTA, 1.0))
