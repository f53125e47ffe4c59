"""The audit of the mechanism on the objects that train: it sees planted faults, and accuses nothing else."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache
from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor

from rft.plugins.privacy.accounting.accountants import Mechanism, calibrate_noise_multiplier
from rft.plugins.privacy.accounting.curves import trade_off
from rft.plugins.privacy.empirical import mechanism_audit
from rft.plugins.privacy.empirical.bounds import Curve
from rft.plugins.privacy.empirical.many_runs import REFUTATION_LEVEL, RunScores, judge_runs, refutes_claim
from rft.plugins.privacy.empirical.mechanism_audit import audit_mechanism, claimed_mechanism
from rft.plugins.privacy.empirical.power import FAULTS, audit_power, smallest_violation
from rft.plugins.privacy.empirical.watched_steps import log_odds, score_distributions
from rft.plugins.privacy.training.gradients.head_stepper import HeadStepper
from rft.plugins.privacy.training.noise import GaussianNoise
from rft.plugins.privacy.training.sampling import PoissonSampler
from rft.plugins.privacy.training.self_test import runner
from rft.plugins.privacy.training.trainer import DPTrainer
from tests.support.privacy_cases import private_facts

DELTA = 1e-5
FACTS = private_facts(
    target_epsilon=4.0,
    delta=DELTA,
    noise_multiplier=1.558,
    sample_rate=0.25,
    steps=20,
    max_grad_norm=1.0,
    divisor=2500.0,
    unit="example",
    randomness="seeded",
)
CLAIM = claimed_mechanism(FACTS)


@lru_cache
def curve_of(claim: Mechanism) -> Curve:
    return Curve(trade_off(claim))


def audited_model(runs: int = 1000, seed: int = 0, **changes: Any) -> RunScores:
    return audit_mechanism(DPTrainer(4.0), replace(FACTS, **changes), runs, seed=seed)


# Faults, planted into the objects that train. The self-test, which sees them all, is switched off.

Plant = Callable[[pytest.MonkeyPatch], None]


def half_noise(patch: pytest.MonkeyPatch) -> None:
    right = GaussianNoise.add_noise

    def add_other_noise(self: GaussianNoise, totals: list[Tensor]) -> list[Tensor]:
        return right(replace(self, noise_multipliers=self.noise_multipliers / 2), totals)

    patch.setattr(GaussianNoise, "add_noise", add_other_noise)


def noise_over_n(patch: pytest.MonkeyPatch) -> None:
    right = GaussianNoise.add_noise

    def add_other_noise(self: GaussianNoise, totals: list[Tensor]) -> list[Tensor]:
        return right(replace(self, noise_multipliers=self.noise_multipliers / 10_000), totals)

    patch.setattr(GaussianNoise, "add_noise", add_other_noise)


def no_clipping(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(HeadStepper, "_clipping_factors", lambda self, norms: torch.ones_like(norms))


def doubled_rate(patch: pytest.MonkeyPatch) -> None:
    right = PoissonSampler.draw_sample
    patch.setattr(PoissonSampler, "draw_sample", lambda self, heads=1: right(replace(self, rate=2 * self.rate), heads))


PLANTED: dict[str, tuple[Plant, Mechanism, float]] = {  # what the steps are then, and how long the canary's gradient is
    "half noise": (half_noise, replace(CLAIM, noise_multiplier=CLAIM.noise_multiplier / 2), 1.0),
    "noise over n": (noise_over_n, replace(CLAIM, noise_multiplier=CLAIM.noise_multiplier / 10_000), 1.0),
    "no clipping": (no_clipping, CLAIM, mechanism_audit.CANARY_LENGTH / 2**0.5),
    "doubled rate": (doubled_rate, replace(CLAIM, sample_rate=2 * CLAIM.sample_rate), 1.0),
}


@pytest.fixture
def untested(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    monkeypatch.setattr(runner, "run_self_test", lambda steps, task, plans: ([], 0.0))
    return monkeypatch


def smaller_p_value(scores: RunScores, claim: Mechanism, actual: Mechanism, contribution: float = 1.0) -> float:
    """Return the smaller p-value of the two tests that scores have the distribution of ``score_distributions``."""
    truth = score_distributions(claim, actual, contribution=contribution).draw_scores(np.random.default_rng(5), 50_000)
    # The far tails are cut and the lattice of a noiseless sum is not: what decides is within the resolution of a claim.
    pairs = ((scores.without_canary, truth.without_canary), (scores.with_canary, truth.with_canary))
    return min(float(stats.ks_2samp(np.round(first, 3), np.round(second, 3)).pvalue) for first, second in pairs)


@pytest.mark.slow
def test_the_trainers_scores_have_the_distribution_that_is_computed() -> None:
    assert smaller_p_value(audited_model(2000), CLAIM, CLAIM) > 0.01


@pytest.mark.slow
@pytest.mark.parametrize("fault", ["half noise", "doubled rate"])
def test_so_they_have_under_a_fault(fault: str, untested: pytest.MonkeyPatch) -> None:
    plant, actual, contribution = PLANTED[fault]
    plant(untested)
    scores = audited_model(2000)
    assert smaller_p_value(scores, CLAIM, actual, contribution) > 0.01
    assert smaller_p_value(scores, CLAIM, CLAIM) < 1e-6


@pytest.mark.slow
def test_scores_do_not_depend_on_what_is_public_but_for_the_mechanism(untested: pytest.MonkeyPatch) -> None:
    for changes in (
        {"max_grad_norm": 0.01},
        {"max_grad_norm": 300.0, "divisor": 3.0},
        {"unit": "unit"},
        {"divisor": 1e7},
    ):
        assert smaller_p_value(audited_model(**changes), CLAIM, CLAIM) > 0.01


@pytest.mark.slow
@pytest.mark.parametrize(("rate", "steps"), [(1.0, 3), (0.9, 5), (0.001, 50)])
def test_extreme_rates(rate: float, steps: int, untested: pytest.MonkeyPatch) -> None:
    scores = audited_model(300, sample_rate=rate, steps=steps, noise_multiplier=3.0)
    claim = Mechanism(3.0, rate, steps)
    assert smaller_p_value(scores, claim, claim) > 0.01
    assert not refutes_claim(scores, curve_of(claim))


@pytest.mark.parametrize("randomness", [pytest.param("secret", marks=pytest.mark.slow), "seeded"])
def test_the_right_mechanism_is_not_accused_and_its_bound_holds(randomness: str) -> None:
    judgement = judge_runs(audited_model(randomness=randomness), curve_of(CLAIM), DELTA)
    assert judgement.p_value >= REFUTATION_LEVEL / 10  # one time in ten thousand
    assert judgement.bound < 4
    assert judgement.gaussian_bound < 4
    if randomness == "seeded":  # bounds as low as this are chance: one audit in fifty
        assert judgement.bound > 0.3
        assert judgement.gaussian_bound > 1


SLOW_FAULTS = ("noise over n", "doubled rate", "half noise")
DEFAULT_FAULTS = [pytest.param(fault, marks=pytest.mark.slow) if fault in SLOW_FAULTS else fault for fault in PLANTED]


@pytest.mark.parametrize("fault", DEFAULT_FAULTS)
def test_a_planted_fault_is_seen(fault: str, untested: pytest.MonkeyPatch) -> None:
    PLANTED[fault][0](untested)
    assert judge_runs(audited_model(), curve_of(CLAIM), DELTA).p_value < REFUTATION_LEVEL


@pytest.mark.slow
def test_rows_that_are_clipped_one_by_one_are_seen_where_persons_are_promised(untested: pytest.MonkeyPatch) -> None:
    def by_row(self: HeadStepper, sample: Any) -> Any:
        rows = self.examples.gather_rows(sample)
        residual = (0.5 - torch.nn.functional.one_hot(rows.labels, 2)).float() * rows.weights[..., None]
        residual *= self._clipping_factors(residual.square().sum(-1) * rows.squared_lengths)[..., None]
        return [residual.mT @ rows.x, residual.sum(1)], np.zeros(len(rows.x), dtype=np.int64)

    untested.setattr(HeadStepper, "_clipped_sums", by_row)
    assert judge_runs(audited_model(unit="unit"), curve_of(CLAIM), DELTA).p_value < REFUTATION_LEVEL


@pytest.mark.slow
def test_empty_samples_that_are_left_out_are_seen_on_a_few_units(untested: pytest.MonkeyPatch) -> None:
    """Where every sample is small, the canary shows by whether a step is taken at all."""
    right = HeadStepper.set_gradient

    def set_gradient(self: HeadStepper, sample: Any) -> Any:
        counts = right(self, sample)
        some = torch.from_numpy(sample.taken.any(axis=1)) & _rows_seen(self, sample)
        for parameter in self.parameters:
            parameter.grad[~some] = 0.0
        return counts

    untested.setattr(HeadStepper, "set_gradient", set_gradient)
    claim = Mechanism(0.94, 0.05, 100)
    scores = audited_model(sample_rate=0.05, steps=100, noise_multiplier=0.94)
    assert judge_runs(scores, curve_of(claim), DELTA).p_value < REFUTATION_LEVEL


def _rows_seen(self: HeadStepper, sample: Any) -> Tensor:
    return (self.examples.gather_rows(sample).weights != 0).any(dim=1)


@pytest.mark.slow
def test_long_trainings_are_watched_in_part_against_a_claim_for_that_part(untested: pytest.MonkeyPatch) -> None:
    assert claimed_mechanism(replace(FACTS, steps=10**6)) == replace(CLAIM, steps=mechanism_audit.MAX_WATCHED_STEPS)
    scores = audited_model(200, steps=10**6, sample_rate=0.01, noise_multiplier=8.0)
    claim = Mechanism(8.0, 0.01, mechanism_audit.MAX_WATCHED_STEPS)
    assert smaller_p_value(scores, claim, claim) > 0.01


def test_what_a_step_adds_is_the_likelihood_ratio() -> None:
    seen = np.array([-3.0, 0.0, 0.4, 1.0, 20.0])
    claim = Mechanism(1.3, 0.2, 7)
    ratio = 0.8 + 0.2 * stats.norm.pdf(seen, 1, 1.3) / stats.norm.pdf(seen, 0, 1.3)
    assert log_odds(seen, claim) == pytest.approx(np.log(ratio))
    assert np.isfinite(log_odds(np.array([1e4, -1e4]), claim)).all()
    assert log_odds(seen, Mechanism(1.3, 1.0, 7)) == pytest.approx((seen - 0.5) / 1.3**2)


@pytest.mark.parametrize(
    "claim", [CLAIM, Mechanism(0.646, 0.02, 50), Mechanism(1.2, 0.0256, 1172), Mechanism(2.0, 1.0, 3)]
)
def test_the_attacker_reaches_what_the_accountant_allows(claim: Mechanism) -> None:
    """The test is the best there is, and the accountant's curve is its curve: neither is loose."""
    truth = score_distributions(claim, claim)
    thresholds = np.interp([0.7, 0.9, 0.97, 0.99], truth.without_canary.cumulated, truth.without_canary.values)
    fpr = 1 - np.interp(thresholds, truth.without_canary.values, truth.without_canary.cumulated)
    fnr = np.interp(thresholds, truth.with_canary.values, truth.with_canary.cumulated)
    assert fnr == pytest.approx(curve_of(claim)(fpr), abs=2e-3)


# What would be seen.


def test_power_is_the_share_of_audits_that_refute() -> None:
    actual = replace(CLAIM, noise_multiplier=CLAIM.noise_multiplier / 1.3)
    random, truth = np.random.default_rng(9), score_distributions(CLAIM, actual)
    shares = np.mean([refutes_claim(truth.draw_scores(random, 500), curve_of(CLAIM)) for _ in range(400)])
    assert audit_power(CLAIM, curve_of(CLAIM), actual, 500) == pytest.approx(shares, abs=0.1)
    assert audit_power(CLAIM, curve_of(CLAIM), CLAIM, 500) <= 0.01


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_the_smallest_violation_is_seen_with_the_power_that_is_promised(fault: Any) -> None:
    violation = smallest_violation(CLAIM, curve_of(CLAIM), fault, 1000)
    assert violation is not None
    assert 1.1 < violation.factor < 2
    assert audit_power(CLAIM, curve_of(CLAIM), violation.mechanism, 1000, seed=1) == pytest.approx(0.8, abs=0.12)
    less = fault.break_claim(CLAIM, violation.factor**0.7)
    assert audit_power(CLAIM, curve_of(CLAIM), less, 1000) < 0.7


@pytest.mark.slow
def test_a_rate_cannot_exceed_one() -> None:
    claim = Mechanism(5.923, 1.0, 30)
    less_noise, more_sampling = (smallest_violation(claim, curve_of(claim), fault, 300) for fault in FAULTS)
    assert less_noise is not None
    assert more_sampling is None
    almost = Mechanism(2.0, 0.8, 10)
    violation = smallest_violation(almost, curve_of(almost), FAULTS[1], 300)
    assert violation is None or violation.mechanism.sample_rate <= 1


@pytest.mark.slow
@pytest.mark.parametrize(
    ("rate", "steps"), [(0.02, 250), (0.02, 1500), (0.02, 10_000), (0.0256, 1172), (0.1, 300), (0.25, 20), (0.5, 60)]
)
def test_faults_are_seen_in_99_of_100_audits_and_the_right_mechanism_accused_in_at_most_one(
    rate: float, steps: int
) -> None:
    """Scores are drawn from their distribution, which the tests above show to be that of the trainer's."""
    noise = calibrate_noise_multiplier(4.0, DELTA, sample_rate=rate, steps=steps)
    claim = claimed_mechanism(private_facts(noise_multiplier=noise, sample_rate=rate, steps=steps))
    random, trials = np.random.default_rng(3), 3000

    def refuted_share(actual: Mechanism, contribution: float = 1.0) -> float:
        truth = score_distributions(claim, actual, contribution=contribution)
        return float(np.mean([refutes_claim(truth.draw_scores(random, 1000), curve_of(claim)) for _ in range(trials)]))

    assert refuted_share(claim) <= 0.002
    assert refuted_share(replace(claim, noise_multiplier=claim.noise_multiplier / 2)) >= 0.99
    assert refuted_share(replace(claim, noise_multiplier=claim.noise_multiplier / 10_000)) >= 0.99
    assert refuted_share(replace(claim, sample_rate=2 * rate)) >= 0.99
    assert refuted_share(claim, mechanism_audit.CANARY_LENGTH / 2**0.5) >= 0.99


@pytest.mark.slow
def test_the_trainer_itself_is_not_accused(untested: pytest.MonkeyPatch) -> None:
    assert not any(refutes_claim(audited_model(seed=10_000 * number), curve_of(CLAIM)) for number in range(40))


@pytest.mark.slow
@pytest.mark.parametrize("fault", PLANTED)
def test_faults_in_the_trainer_itself_are_seen_every_time(fault: str, untested: pytest.MonkeyPatch) -> None:
    PLANTED[fault][0](untested)
    assert all(refutes_claim(audited_model(seed=10_000 * number), curve_of(CLAIM)) for number in range(25))
