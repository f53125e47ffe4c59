"""Bounds from the errors of telling many runs apart: exact limits, naive versions, and how often they are wrong."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from rft.plugins.privacy.accounting.accountants import Mechanism
from rft.plugins.privacy.accounting.curves import trade_off
from rft.plugins.privacy.empirical.bounds import Curve, approximate_dp_curve, gaussian_curve, gaussian_epsilon
from rft.plugins.privacy.empirical.many_runs import (
    CHOOSING_SHARE,
    ErrorCounts,
    RunScores,
    counted_bound,
    counted_gaussian_bound,
    curve_p_value,
    judge_runs,
    refutes_claim,
    threshold_for_bound,
    threshold_for_curve,
)


def error_counts(false_positives: int, false_negatives: int, n: int = 900) -> ErrorCounts:
    return ErrorCounts(np.asarray(false_positives), n, np.asarray(false_negatives), n)


def normal(random: np.random.Generator, mu: float, runs: int) -> RunScores:
    return RunScores(random.standard_normal(runs), mu + random.standard_normal(runs))


@pytest.mark.parametrize(("count", "n"), [(0, 30), (1, 30), (17, 30), (29, 30), (30, 30)])
def test_limits_are_those_of_clopper_and_pearson(count: int, n: int) -> None:
    high, _ = error_counts(count, count, n).upper_limits(0.05)
    wanted = stats.binomtest(count, n).proportion_ci(confidence_level=0.95, method="exact")
    assert float(high) == pytest.approx(wanted.high)
    low, _ = error_counts(0, n - count, n).true_positive_limits(0.05)
    assert float(low) == pytest.approx(wanted.low)


def test_the_bound_by_the_formula() -> None:
    counts = error_counts(4, 700)
    fpr, fnr = (stats.beta.ppf(0.975, count + 1, 900 - count) for count in (4, 700))
    wanted = max(math.log((1 - 1e-5 - fnr) / fpr), math.log((1 - 1e-5 - fpr) / fnr))
    assert float(counted_bound(counts, 1e-5)) == pytest.approx(wanted)
    assert counted_gaussian_bound(counts, 1e-5) == pytest.approx(
        gaussian_epsilon(-stats.norm.ppf(fpr) - stats.norm.ppf(fnr), 1e-5)
    )
    assert float(counted_bound(error_counts(700, 4), 1e-5)) == pytest.approx(wanted)
    assert float(counted_bound(error_counts(450, 450), 1e-5)) == 0.0
    assert float(counted_bound(error_counts(0, 0), 1e-5)) == pytest.approx(math.log(900 / 3.69), abs=0.01)


@pytest.mark.parametrize(("a", "b"), [(90, 600), (0, 850), (300, 300), (899, 0), (900, 900), (0, 0)])
@pytest.mark.parametrize("mu", [0.0, 0.5, 1.5])
def test_the_p_value_of_a_curve_on_a_dense_grid(a: int, b: int, mu: float) -> None:
    """The grid of the code may only make it larger, and by little."""
    rates = np.linspace(0, 1, 40_001)
    product = stats.binom.cdf(a, 900, rates) * stats.binom.cdf(b, 900, gaussian_curve(mu)(rates))
    best = max(float(product.max()), 1e-24)
    wanted = min(1.0, best * (1 - math.log(best)))
    p_value = curve_p_value(error_counts(a, b), gaussian_curve(mu))
    assert p_value >= wanted * (1 - 1e-9)
    assert math.log(p_value) <= 0.9 * math.log(wanted) + 0.2


@pytest.mark.parametrize("mu", [0.3, 1.0])
@pytest.mark.parametrize("fpr", [0.003, 0.1, 0.5])
def test_on_the_curve_itself_few_are_refuted(mu: float, fpr: float) -> None:
    random, trials, curve = np.random.default_rng(0), 4000, gaussian_curve(mu)
    a = random.binomial(200, fpr, trials)
    b = random.binomial(200, float(curve(np.array(fpr))), trials)
    pairs = list(zip(a.tolist(), b.tolist(), strict=True))
    p_value = {pair: curve_p_value(error_counts(*pair, n=200), curve) for pair in set(pairs)}
    assert sum(p_value[pair] < 0.05 for pair in pairs) <= 0.05 * trials
    assert sum(p_value[pair] < 0.001 for pair in pairs) <= 0.002 * trials


def test_below_the_curve_it_is_refuted() -> None:
    curve = Curve(trade_off(Mechanism(1.2, 0.0256, 1172)))
    fpr = 0.1
    least = float(curve(np.array(fpr)))
    assert curve_p_value(error_counts(90, round(900 * least)), curve) > 0.1
    assert curve_p_value(error_counts(90, round(900 * least) - 150), curve) < 1e-6
    assert curve_p_value(error_counts(90, round(900 * least) + 150), curve) == pytest.approx(1.0)


def test_one_half_chooses_and_the_other_counts() -> None:
    random = np.random.default_rng(0)
    scores = normal(random, 1.0, 1000)
    choosing, counted = scores.split(CHOOSING_SHARE)
    assert len(choosing.without_canary) + len(counted.without_canary) == 1000
    judgement = judge_runs(scores, gaussian_curve(0.5), 1e-5)
    assert judgement.counted.without_canary is not scores.without_canary
    assert len(judgement.counted.without_canary) == len(judgement.counted.with_canary) == 900
    assert judgement.errors == counted.count_errors(threshold_for_curve(choosing, gaussian_curve(0.5)))
    assert judgement.bound == float(counted_bound(counted.count_errors(threshold_for_bound(choosing, 1e-5)), 1e-5))


def test_errors_are_counted_at_each_threshold() -> None:
    scores = RunScores(np.array([0.0, 1.0, 2.0, 2.0]), np.array([1.0, 2.0, 3.0]))
    counts = scores.count_errors(np.array([-1.0, 1.0, 2.0, 5.0]))
    assert counts.false_positives.tolist() == [4, 2, 0, 0]
    assert counts.false_negatives.tolist() == [0, 1, 2, 3]
    assert scores.candidate_thresholds().tolist() == [0.5, 1.5, 2.5]
    assert RunScores(np.zeros(3), np.zeros(3)).candidate_thresholds().tolist() == [0.0]


def test_scores_that_are_all_alike_say_nothing() -> None:
    judgement = judge_runs(RunScores(np.zeros(100), np.zeros(100)), gaussian_curve(0.1), 1e-5)
    assert (judgement.p_value, judgement.bound, judgement.gaussian_bound) == (1.0, 0.0, 0.0)


def test_without_leakage_a_positive_bound_is_rare() -> None:
    random, trials = np.random.default_rng(0), 4000
    judgements = [judge_runs(normal(random, 0.0, 200), approximate_dp_curve(0.0, 1e-5), 1e-5) for _ in range(trials)]
    assert sum(item.bound > 0 for item in judgements) <= 0.05 * trials
    assert sum(judgement.gaussian_bound > 0 for judgement in judgements) <= 0.05 * trials
    assert sum(judgement.p_value < 0.001 for judgement in judgements) <= 0.002 * trials


def test_the_best_threshold_on_the_same_runs_claims_leakage_that_is_not_there() -> None:
    """The trap: why a part of the runs chooses and the rest counts."""
    random, trials = np.random.default_rng(0), 100
    wrong = 0
    for _ in range(trials):
        scores = normal(random, 0.0, 200)
        thresholds = scores.candidate_thresholds()[::10]
        wrong += (
            min(curve_p_value(scores.count_errors(threshold), gaussian_curve(0.0)) for threshold in thresholds) < 0.05
        )
    assert wrong > 0.15 * trials


def test_bounds_hold_where_there_is_leakage_and_are_of_use() -> None:
    random, trials, mu = np.random.default_rng(1), 1000, 1.0
    judgements = [judge_runs(normal(random, mu, 1000), gaussian_curve(mu), 1e-5) for _ in range(trials)]
    truth = gaussian_epsilon(mu, 1e-5)
    assert sum(item.bound > truth for item in judgements) == 0
    assert sum(judgement.gaussian_bound > truth for judgement in judgements) <= 0.05 * trials
    assert sum(judgement.p_value < 0.001 for judgement in judgements) <= 0.003 * trials
    assert np.median([judgement.bound for judgement in judgements]) > 0.9
    assert np.median([judgement.gaussian_bound for judgement in judgements]) > 0.75 * truth


def test_a_broken_claim_is_refuted() -> None:
    random = np.random.default_rng(2)
    assert all(refutes_claim(normal(random, 1.8, 1000), gaussian_curve(1.0)) for _ in range(100))
