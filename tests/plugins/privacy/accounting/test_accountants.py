"""The accountants against published fixtures, a closed form, and peers of the same and the other library."""

from __future__ import annotations

import math
import time
import warnings

import pytest
from scipy.stats import norm

from rft.errors import ConfigError
from rft.plugins.privacy.accounting.accountants import (
    Mechanism,
    Spending,
    calibrate_noise_multiplier,
    composed_spending,
    epsilon_pld,
    epsilon_rdp,
    tightest_spending,
)

DELTA = 1e-5
FIXTURES = [
    (Mechanism(1.23, 512 / 60_000, 4688), 2.364, 2.581),
    (Mechanism(1.54, 1024 / 50_000, 1465), 2.387, 2.609),
]


@pytest.mark.parametrize(("mechanism", "pld", "rdp"), FIXTURES)
def test_fixtures(mechanism: Mechanism, pld: float, rdp: float) -> None:
    assert round(epsilon_pld(mechanism, DELTA), 3) == pld
    assert round(epsilon_rdp(mechanism, DELTA), 3) == rdp
    assert tightest_spending(mechanism, DELTA) == Spending(epsilon_pld(mechanism, DELTA), "PLD")


@pytest.mark.parametrize(("noise", "steps"), [(0.5, 1), (1.0, 1), (5.0, 25), (30.0, 400), (4.0, 1000)])
def test_without_sampling_it_is_the_gaussian_mechanism(noise: float, steps: int) -> None:
    """Balle and Wang 2018, theorem 8: delta of a Gaussian with deviation ``noise / sqrt(steps)``."""
    epsilon = epsilon_pld(Mechanism(noise, 1.0, steps), DELTA)
    deviation = noise / math.sqrt(steps)
    delta = norm.cdf(1 / (2 * deviation) - epsilon * deviation) - math.exp(epsilon) * norm.cdf(
        -1 / (2 * deviation) - epsilon * deviation
    )
    assert delta == pytest.approx(DELTA, rel=0.02)
    assert delta <= DELTA * 1.0001


@pytest.mark.parametrize("mechanism", [FIXTURES[0][0], Mechanism(2.0, 0.3, 60), Mechanism(0.8, 0.05, 100)])
def test_agrees_with_other_accountants(mechanism: Mechanism) -> None:
    from dp_accounting import GaussianDpEvent, PoissonSampledDpEvent, SelfComposedDpEvent
    from dp_accounting.pld import PLDAccountant
    from dp_accounting.rdp import RdpAccountant
    from opacus.accountants import PRVAccountant

    step = PoissonSampledDpEvent(mechanism.sample_rate, GaussianDpEvent(mechanism.noise_multiplier))
    event = SelfComposedDpEvent(step, mechanism.steps)
    pld = epsilon_pld(mechanism, DELTA)
    assert pld == pytest.approx(PLDAccountant().compose(event).get_epsilon(DELTA), abs=1e-3)
    assert epsilon_rdp(mechanism, DELTA) == pytest.approx(RdpAccountant().compose(event).get_epsilon(DELTA), rel=2e-3)
    prv = PRVAccountant()
    prv.history = [(mechanism.noise_multiplier, mechanism.sample_rate, mechanism.steps)]
    assert abs(prv.get_epsilon(DELTA) - pld) < 0.011
    assert pld <= epsilon_rdp(mechanism, DELTA) + 1e-3


@pytest.mark.parametrize(
    ("mechanism", "delta"),
    [
        (Mechanism(0.3, 1.0, 10_000), 1e-5),
        (Mechanism(0.3, 0.5, 200_000), 1e-5),
        (Mechanism(0.2, 0.01, 1000), 1e-5),
        (Mechanism(2.16, 0.165, 200_000), 1e-3),
        (Mechanism(42.4, 3.4e-4, 256_664), 2e-6),
        (Mechanism(421.7, 0.167, 10_944), 0.14),
        (Mechanism(1000.0, 1.0, 1), 0.5),
        (Mechanism(1.0, 0.5, 1), 1 - 1e-9),
        (Mechanism(1.0, 0.01, 1), 1e-15),
        (Mechanism(5.0, 1e-9, 10), 1e-8),
        (Mechanism(5.0, 5e-324, 10_000), 1e-5),
        (Mechanism(0.1, 1e-200, 10), 0.5),
    ],
)
def test_extremes_are_finite_and_quick(mechanism: Mechanism, delta: float) -> None:
    begun = time.monotonic()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        spending = tightest_spending(mechanism, delta)
        loose = epsilon_rdp(mechanism, delta)
    assert time.monotonic() - begun < 15
    assert 0 <= spending.epsilon < math.inf
    assert 0 <= loose < math.inf
    assert spending.epsilon <= loose + 1e-3


def test_a_delta_beyond_float64_falls_back_on_the_renyi_accountant() -> None:
    mechanism = FIXTURES[0][0]
    assert epsilon_pld(mechanism, 1e-12) == math.inf
    assert tightest_spending(mechanism, 1e-12) == Spending(epsilon_rdp(mechanism, 1e-12), "RDP")


BAD = {"noise_multiplier": [0, -1, math.nan, math.inf], "sample_rate": [0, -0.1, 1.5, math.nan], "steps": [0, -1, 1.5]}


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in BAD.items() for value in values])
def test_bad_mechanisms_are_refused(name: str, value: float) -> None:
    good = {"noise_multiplier": 1.0, "sample_rate": 0.1, "steps": 10}
    with pytest.raises(ValueError, match=name):
        Mechanism(**{**good, name: value})


@pytest.mark.parametrize("delta", [0.0, 1.0, -1e-5, 2.0, math.nan])
def test_bad_deltas_are_refused(delta: float) -> None:
    for accountant in (epsilon_pld, epsilon_rdp):
        with pytest.raises(ValueError, match="delta"):
            accountant(FIXTURES[0][0], delta)
    with pytest.raises(ValueError, match="delta"):
        calibrate_noise_multiplier(1.0, delta, sample_rate=0.1, steps=10)


@pytest.mark.parametrize("epsilon", [0.0, -1.0, math.nan, math.inf])
def test_bad_targets_are_refused(epsilon: float) -> None:
    with pytest.raises(ValueError, match="epsilon"):
        calibrate_noise_multiplier(epsilon, DELTA, sample_rate=0.1, steps=10)


@pytest.mark.parametrize(
    ("epsilon", "delta", "sample_rate", "steps"),
    [(3.0, 1e-5, 0.68, 30), (0.05, 1e-6, 0.01, 500), (50.0, 1e-5, 1.0, 1000), (8.0, 1e-5, 0.02, 1000)],
)
def test_calibration_keeps_and_uses_the_target(epsilon: float, delta: float, sample_rate: float, steps: int) -> None:
    begun = time.monotonic()
    noise = calibrate_noise_multiplier(epsilon, delta, sample_rate=sample_rate, steps=steps)
    assert time.monotonic() - begun < 20
    assert 0.99 * epsilon < tightest_spending(Mechanism(noise, sample_rate, steps), delta).epsilon <= epsilon


def test_calibration_never_asks_for_less_noise_than_its_bound() -> None:
    assert calibrate_noise_multiplier(1e6, DELTA, sample_rate=0.5, steps=10) == 0.3


def test_an_epsilon_out_of_reach_is_refused_in_words() -> None:
    with pytest.raises(ConfigError) as refused:
        calibrate_noise_multiplier(0.01, DELTA, sample_rate=1.0, steps=100_000)
    assert refused.value.where == "privacy.epsilon"
    assert "cannot be reached" in refused.value.what
    assert refused.value.remedy


def test_mechanisms_on_the_same_people_compose() -> None:
    """Gaussians compose in closed form: 1 / noise^2 adds up (Dong, Roth and Su 2022)."""
    spending = composed_spending([Mechanism(2.0, 1.0, 3), Mechanism(4.0, 1.0, 5), Mechanism(2.0, 1.0, 1)], DELTA)
    together = Mechanism((4 / 4 + 5 / 16) ** -0.5, 1.0, 1)
    assert spending.accountant == "PLD"
    assert spending.epsilon == pytest.approx(epsilon_pld(together, DELTA), rel=2e-3)


def test_parts_of_one_training_spend_what_it_spends() -> None:
    whole, noise, rate = FIXTURES[0][0], FIXTURES[0][0].noise_multiplier, FIXTURES[0][0].sample_rate
    assert composed_spending([Mechanism(noise, rate, 4000), Mechanism(noise, rate, 688)], DELTA) == tightest_spending(
        whole, DELTA
    )
    assert composed_spending([whole], DELTA) == tightest_spending(whole, DELTA)
    assert composed_spending([], DELTA) == Spending(0.0, "PLD")


def test_different_trainings_compose_as_by_other_accountants() -> None:
    from dp_accounting import ComposedDpEvent, GaussianDpEvent, PoissonSampledDpEvent, SelfComposedDpEvent
    from dp_accounting.pld import PLDAccountant

    mechanisms = [Mechanism(1.2, 0.01, 1000), Mechanism(0.9, 0.02, 300), Mechanism(5.0, 1.0, 1)]
    events = [
        SelfComposedDpEvent(
            PoissonSampledDpEvent(mechanism.sample_rate, GaussianDpEvent(mechanism.noise_multiplier)), mechanism.steps
        )
        for mechanism in mechanisms
    ]
    peer = PLDAccountant().compose(ComposedDpEvent(events)).get_epsilon(DELTA)
    assert composed_spending(mechanisms, DELTA).epsilon == pytest.approx(peer, abs=2e-3)
    assert composed_spending(mechanisms, DELTA).epsilon < sum(
        tightest_spending(mechanism, DELTA / 3).epsilon for mechanism in mechanisms
    )


@pytest.mark.slow
def test_composition_of_the_unlike_and_of_many_is_bounded_in_time() -> None:
    begun = time.monotonic()
    unlike = composed_spending([Mechanism(0.3, 1.0, 1), Mechanism(30.0, 1e-3, 200_000)], DELTA)
    alone = composed_spending([Mechanism(0.3, 1.0, 1)], DELTA)
    assert alone.epsilon < unlike.epsilon < alone.epsilon + 1
    many = [Mechanism(1 + k / 100, 0.01, 100 + k) for k in range(31)]
    tight = composed_spending(many, DELTA)
    loose = composed_spending([*many, Mechanism(50.0, 0.001, 1), Mechanism(51.0, 0.001, 1)], DELTA)
    assert (tight.accountant, loose.accountant) == ("PLD", "RDP")
    assert tight.epsilon < loose.epsilon < 1.3 * tight.epsilon
    assert time.monotonic() - begun < 25
