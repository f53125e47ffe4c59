"""Three accountants of two libraries: that they agree, that a wrong one is seen, and that none takes long."""

from __future__ import annotations

import math
import time
import warnings

import numpy as np
import pytest

from rft.plugins.privacy.accounting import accountant_cross_check
from rft.plugins.privacy.accounting.accountant_cross_check import Unresolved, cross_check_accountants, epsilon_prv
from rft.plugins.privacy.accounting.accountants import Mechanism, epsilon_pld

DELTA = 1e-5
FIXTURE = Mechanism(1.23, 512 / 60_000, 4688)


@pytest.mark.parametrize(
    ("mechanism", "delta"),
    [
        (FIXTURE, DELTA),
        (Mechanism(1.54, 1024 / 50_000, 1465), DELTA),
        (Mechanism(0.5, 0.02, 100), 1e-6),
        (Mechanism(8.0, 1.0, 30), 1e-7),
        (Mechanism(20.0, 0.5, 500), 1e-3),
        (Mechanism(1.0, 1e-4, 1), 1e-8),
        (Mechanism(3.0, 0.01, 10), 0.1),
    ],
)
def test_the_accountants_agree(mechanism: Mechanism, delta: float) -> None:
    cross_check = cross_check_accountants(mechanism, delta)
    assert cross_check.problems == ()
    assert cross_check.prv is not None
    assert cross_check.prv.epsilon >= 0
    assert abs(cross_check.prv.epsilon - cross_check.pld) < 2e-3, "far closer than the error that PRV allows itself"
    assert cross_check.pld <= cross_check.rdp


def test_the_bounded_prv_is_that_of_opacus() -> None:
    """Opacus itself returns the upper end; this is pinned since the number of points is chosen here."""
    from opacus.accountants import PRVAccountant

    accountant = PRVAccountant()
    accountant.history = [(FIXTURE.noise_multiplier, FIXTURE.sample_rate, FIXTURE.steps)]
    bounds = epsilon_prv(FIXTURE, DELTA)
    assert bounds.epsilon + bounds.error == pytest.approx(accountant.get_epsilon(DELTA), abs=1e-6)
    assert 0.01 <= bounds.error < 0.011


@pytest.mark.parametrize("factor", [0.98, 1.02, 1.2])
def test_a_wrong_accountant_is_seen(factor: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two per cent at an epsilon of 2.4 are 0.05; 20 per cent bring PLD above RDP as well."""
    monkeypatch.setattr(accountant_cross_check, "epsilon_pld", lambda *arguments: factor * epsilon_pld(*arguments))
    cross_check = cross_check_accountants.__wrapped__(FIXTURE, DELTA)
    assert len(cross_check.problems) == (2 if factor > 1.1 else 1)
    assert "PRV" in cross_check.problems[-1]


@pytest.mark.parametrize(
    ("mechanism", "reason"),
    [
        (Mechanism(1.5, 0.05, 100_000), "points"),
        (Mechanism(0.3, 0.5, 2000), "losses up to"),
        (Mechanism(1e-4, 0.5, 10), "losses up to"),
        (Mechanism(50.0, 0.9, 100_000_000), "losses up to"),
    ],
)
def test_what_prv_cannot_compute_is_refused_at_once(mechanism: Mechanism, reason: str) -> None:
    begun = time.monotonic()
    with pytest.raises(Unresolved, match=reason):
        epsilon_prv(mechanism, DELTA)
    cross_check = cross_check_accountants(mechanism, DELTA)
    assert time.monotonic() - begun < 10
    assert cross_check.prv is None
    assert reason in cross_check.prv_reason
    assert cross_check.problems == ()


def test_prv_takes_a_larger_error_where_its_own_would_take_too_long() -> None:
    """Opacus by itself works for a minute on these parameters, and then returns infinity."""
    mechanism = Mechanism(0.2, 0.01, 1000)
    begun = time.monotonic()
    cross_check = cross_check_accountants(mechanism, DELTA)
    assert time.monotonic() - begun < 10
    assert cross_check.prv is not None
    assert 0.05 < cross_check.prv.error < 0.11
    assert cross_check.prv.epsilon == pytest.approx(cross_check.pld, abs=cross_check.prv.error)
    assert cross_check.problems == ()


@pytest.mark.parametrize("seed", range(12))
def test_no_parameters_take_long_or_break(seed: int) -> None:
    rng = np.random.default_rng(seed)
    noise, rate, steps, delta = 10 ** rng.uniform([-4, -12, 0, -13], [7, 0.5, 9, -0.01])
    mechanism = Mechanism(float(noise), min(1.0, float(rate)), int(steps))
    begun = time.monotonic()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        cross_check = cross_check_accountants(mechanism, float(delta))
    assert time.monotonic() - begun < 10
    assert cross_check.problems == ()
    assert cross_check.rdp >= 0
    assert math.isinf(cross_check.pld) or 0 <= cross_check.pld <= cross_check.rdp + 1e-3


@pytest.mark.parametrize("delta", [0.0, 1.0, math.nan])
def test_a_bad_delta_is_refused(delta: float) -> None:
    with pytest.raises(ValueError, match="delta"):
        epsilon_prv(FIXTURE, delta)
