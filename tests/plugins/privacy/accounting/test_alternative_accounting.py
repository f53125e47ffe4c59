"""Replace-one and shuffled batches against closed forms, a published fixture and a simulation."""

from __future__ import annotations

import math
import time

import numpy as np
import pytest

from rft.plugins.privacy.accounting.accountants import Mechanism, epsilon_pld, tightest_spending
from rft.plugins.privacy.accounting.alternative_accounting import epsilon_replace_one, epsilon_shuffled

DELTA = 1e-5
FIXTURE = Mechanism(1.23, 512 / 60_000, 4688)


def test_replace_one_fixture() -> None:
    assert epsilon_replace_one(FIXTURE, DELTA) == pytest.approx(4.278, abs=5e-4)


@pytest.mark.parametrize(("noise", "steps"), [(2.0, 1), (10.0, 50)])
def test_without_sampling_a_replacement_moves_a_sum_twice_as_far(noise: float, steps: int) -> None:
    twice = epsilon_pld(Mechanism(noise / 2, 1.0, steps), DELTA)
    assert epsilon_replace_one(Mechanism(noise, 1.0, steps), DELTA) == pytest.approx(twice, rel=1e-3)


def test_a_replacement_that_is_not_resolved_has_no_value() -> None:
    assert epsilon_replace_one(FIXTURE, 1e-12) is None
    assert epsilon_replace_one(Mechanism(0.3, 0.5, 200_000), DELTA) is None


@pytest.mark.parametrize(("noise", "steps"), [(1.0, 1), (30.0, 1)])
def test_with_everybody_in_one_step_there_is_nothing_to_shuffle(noise: float, steps: int) -> None:
    mechanism = Mechanism(noise, 1.0, steps)
    bounds = epsilon_shuffled(mechanism, DELTA)
    assert bounds.high == pytest.approx(tightest_spending(mechanism, DELTA).epsilon, abs=1e-9)
    assert bounds.low == pytest.approx(bounds.high, abs=1e-3)
    assert bounds.low <= bounds.high


def test_shuffled_batches_with_little_noise_spend_more_than_random_samples() -> None:
    """Chua et al. 2024: what many tools do, and account as if it were Poisson sampling."""
    claimed = tightest_spending(FIXTURE, DELTA).epsilon
    bounds = epsilon_shuffled(FIXTURE, DELTA)
    assert bounds.low is not None
    assert claimed < bounds.low < bounds.high
    assert bounds.high == tightest_spending(Mechanism(1.23, 1.0, math.ceil(4688 / 117)), DELTA).epsilon


def test_the_bound_from_below_is_reached_by_a_simulated_attacker() -> None:
    """A sixteenth of the batches' sums is shifted by 2, or by 1 where the unit is left out; the largest is seen."""
    noise, batches, trials, delta = 0.7, 16, 400_000, 1e-2
    rng = np.random.default_rng(3)
    sums = noise * rng.standard_normal((trials, batches))
    rest, shifted = sums[:, 1:].max(axis=1), sums[:, 0]
    with_it, without_it = np.maximum(rest, shifted + 2), np.maximum(rest, shifted + 1)
    thresholds = np.quantile(with_it, np.linspace(0.5, 0.98, 49))
    reached = max(math.log(((with_it > c).mean() - delta) / (without_it > c).mean()) for c in thresholds)
    bounds = epsilon_shuffled(Mechanism(noise, 1 / batches, batches), delta)
    assert bounds.low == pytest.approx(reached, abs=0.1)


def test_less_than_one_pass_has_no_bound_from_below() -> None:
    bounds = epsilon_shuffled(Mechanism(1.0, 0.01, 50), DELTA)
    assert bounds.low is None
    assert bounds.high == tightest_spending(Mechanism(1.0, 1.0, 1), DELTA).epsilon


@pytest.mark.parametrize("seed", range(6))
def test_no_parameters_take_long_or_break(seed: int) -> None:
    rng = np.random.default_rng(seed)
    noise, rate, steps, delta = 10 ** rng.uniform([-3, -12, 0, -13], [6, 0.5, 8, -0.01])
    mechanism = Mechanism(float(noise), min(1.0, float(rate)), int(steps))
    begun = time.monotonic()
    replaced, shuffled = epsilon_replace_one(mechanism, float(delta)), epsilon_shuffled(mechanism, float(delta))
    assert time.monotonic() - begun < 10
    assert replaced is None or replaced >= 0
    assert shuffled.low is None or 0 <= shuffled.low <= shuffled.high + 1e-9
