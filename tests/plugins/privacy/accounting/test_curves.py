"""The curves against closed forms of the Gaussian mechanism, and against simulated attackers."""

from __future__ import annotations

import math
import time

import numpy as np
import pytest
from scipy.stats import norm

from rft.plugins.privacy.accounting.accountants import Mechanism, epsilon_pld, tightest_spending
from rft.plugins.privacy.accounting.curves import epsilon_curve, ideal_attacker, trade_off

RATES = np.array([1e-6, 1e-4, 1e-3, 0.01, 0.05, 0.1, 0.3, 0.5, 0.9, 0.999])


@pytest.mark.parametrize(("noise", "steps"), [(1.0, 1), (0.5, 1), (10.0, 25), (30.0, 1), (1.0, 4)])
def test_the_trade_off_of_a_gaussian_is_its_closed_form_from_below(noise: float, steps: int) -> None:
    """Dong, Roth and Su 2022, Gaussian privacy: Phi(Phi^-1(1 - alpha) - mu), with mu = sqrt(steps) / noise."""
    exact = norm.cdf(norm.isf(RATES) - math.sqrt(steps) / noise)
    curve = trade_off(Mechanism(noise, 1.0, steps))(RATES)
    assert (curve <= exact + 1e-12).all()
    assert np.abs(curve - exact).max() < 1e-3


def test_one_subsampled_step_against_its_likelihood_ratio_test() -> None:
    """Neyman and Pearson: above a threshold x there are SF(x) of those without, (1 - q) SF(x) + q SF(x - 1) with."""
    noise, rate = 0.8, 0.2
    places = np.linspace(-2, 6, 60)
    fpr = norm.sf(places / noise)
    tpr = (1 - rate) * fpr + rate * norm.sf((places - 1) / noise)
    curve = trade_off(Mechanism(noise, rate, 1))(fpr)
    assert (curve <= 1 - tpr + 1e-12).all()
    small = fpr < 0.1  # further right the curve is that of the other neighbour
    assert np.abs(curve - (1 - tpr))[small].max() < 1e-3


def test_the_trade_off_keeps_to_each_epsilon_and_delta() -> None:
    mechanism = Mechanism(1.23, 512 / 60_000, 4688)
    fpr = np.linspace(0, 1, 101)
    tpr = 1 - trade_off(mechanism)(fpr)
    for delta in (1e-6, 1e-5, 1e-3):
        epsilon = epsilon_pld(mechanism, delta)
        assert (tpr <= math.exp(epsilon) * fpr + delta + 1e-3).all()
    assert (np.diff(tpr) >= 0).all()
    assert (tpr >= fpr).all()


def test_several_mechanisms_are_worse_than_each() -> None:
    first, second = Mechanism(2.0, 1.0, 3), Mechanism(4.0, 1.0, 5)
    both = trade_off([first, second])(RATES)
    exact = norm.cdf(norm.isf(RATES) - math.sqrt(3 / 4 + 5 / 16))
    assert (both < trade_off(first)(RATES)).all()
    assert (both <= exact + 1e-12).all()
    assert np.abs(both - exact).max() < 1e-3


@pytest.mark.parametrize(
    "mechanism",
    [
        Mechanism(0.3, 0.5, 200_000),
        Mechanism(0.2, 0.01, 1000),
        Mechanism(0.01, 1.0, 1),
        Mechanism(1000.0, 1e-9, 1),
        Mechanism(1000.0, 0.5, 1_000_000),
        Mechanism(2.16, 0.165, 200_000),
    ],
)
def test_extremes_of_the_trade_off_are_quick_and_in_range(mechanism: Mechanism) -> None:
    begun = time.process_time()
    fnr = trade_off(mechanism)(RATES)
    assert time.process_time() - begun < 10
    assert ((fnr >= 0) & (fnr <= 1 - RATES + 1e-12)).all()


def test_a_rate_gives_a_number_and_a_bad_rate_is_refused() -> None:
    curve = trade_off(Mechanism(1.0, 1.0, 1))
    assert isinstance(curve(0.1), float)
    assert ideal_attacker(Mechanism(1.0, 1.0, 1), 0.1) == 1 - curve(0.1)
    for rate in (-0.1, 1.1, math.nan):
        with pytest.raises(ValueError, match="fpr"):
            curve(rate)


def test_the_epsilon_curve_is_what_the_accountants_say_at_each_delta() -> None:
    mechanism = Mechanism(1.23, 512 / 60_000, 4688)
    curve = epsilon_curve(mechanism, [1e-3, 1e-12, 1e-5])
    assert list(curve) == [1e-12, 1e-5, 1e-3]
    assert {delta: spending.accountant for delta, spending in curve.items()} == {1e-12: "RDP", 1e-5: "PLD", 1e-3: "PLD"}
    for delta, spending in curve.items():
        assert spending.epsilon == pytest.approx(tightest_spending(mechanism, delta).epsilon, abs=2e-3)
    default = [spending.epsilon for spending in epsilon_curve(mechanism).values()]
    assert default == sorted(default, reverse=True)
    assert epsilon_curve(Mechanism(1000.0, 0.01, 1), [0.1])[0.1].epsilon == 0.0
    with pytest.raises(ValueError, match="deltas"):
        epsilon_curve(mechanism, [0.0])


def test_no_simulated_attacker_beats_the_ideal_one() -> None:
    """The likelihood ratio over 20 sampled and noised sums, with each draw of the sample seen by nobody."""
    noise, rate, steps, trials = 1.0, 0.2, 20, 40_000
    rng = np.random.default_rng(7)

    def log_ratios(takes_part: bool) -> np.ndarray:
        sums = noise * rng.standard_normal((trials, steps))
        sums += takes_part * (rng.random((trials, steps)) < rate)
        return np.log1p(rate * np.expm1((2 * sums - 1) / (2 * noise**2))).sum(axis=1)

    without, within = log_ratios(takes_part=False), log_ratios(takes_part=True)
    for fpr in (0.01, 0.1):
        tpr = (within > np.quantile(without, 1 - fpr)).mean()
        bound = ideal_attacker(Mechanism(noise, rate, steps), fpr)
        assert tpr <= bound + 0.01, "three standard errors"
        assert tpr >= bound - 0.03, "the likelihood ratio is the best test, so the bound is nearly reached"
