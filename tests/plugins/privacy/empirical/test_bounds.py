"""Bounds from guesses about canaries in one run: published values, independent versions, and how often they err."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from scipy import stats

from rft.plugins.privacy.accounting.accountants import Mechanism
from rft.plugins.privacy.accounting.curves import trade_off
from rft.plugins.privacy.empirical.bounds import (
    FALSE_POSITIVE_RATES,
    Curve,
    Guesses,
    approximate_dp_curve,
    gaussian_curve,
    gaussian_delta,
    gaussian_epsilon,
    largest_refuted,
    one_run_bound,
    one_run_curve_p_value,
    one_run_gaussian_bound,
    one_run_p_value,
    one_run_refutes,
)
from rft.plugins.privacy.empirical.canaries import guess_membership, planned_guesses


@pytest.mark.parametrize(
    ("canaries", "guess_count", "right", "delta", "epsilon"),
    [
        (100, 100, 95, 0.0, 2.17243),
        (1000, 100, 100, 1e-5, 3.46538),
        (1000, 1000, 800, 1e-5, 1.25398),
        (5000, 1000, 900, 1e-5, 2.01826),
    ],
)
def test_bounds_of_the_reference_code(
    canaries: int, guess_count: int, right: int, delta: float, epsilon: float
) -> None:
    assert one_run_bound(Guesses(canaries, guess_count, right), delta) == pytest.approx(epsilon, abs=6e-6)


@pytest.mark.parametrize("guesses", [Guesses(50, 20, 17), Guesses(20, 20, 20), Guesses(30, 10, 0), Guesses(9, 0, 0)])
@pytest.mark.parametrize("epsilon", [0.0, 0.7, 3.0])
@pytest.mark.parametrize("delta", [0.0, 1e-3, 0.3])
def test_p_value_by_the_formula_term_by_term(guesses: Guesses, epsilon: float, delta: float) -> None:
    m, r, v = guesses.canaries, guesses.guessed, guesses.right
    right = math.exp(epsilon) / (1 + math.exp(epsilon))

    def chance_of(count: int) -> float:
        return math.comb(r, count) * right**count * (1 - right) ** (r - count)

    tail = sum(chance_of(count) for count in range(v, r + 1))
    slack = max((sum(chance_of(count) for count in range(v - i, v)) / i for i in range(1, v + 1)), default=0.0)
    wanted = min(1.0, tail + 2 * m * delta * slack)
    assert one_run_p_value(guesses, epsilon, delta) == pytest.approx(wanted, rel=1e-9, abs=1e-12)


def test_delta_costs_more_the_more_canaries_there_are() -> None:
    few, many = Guesses(1_000, 100, 100), Guesses(10_000, 100, 100)
    assert one_run_bound(many, 1e-5) < one_run_bound(few, 1e-5) - 0.1
    assert one_run_bound(many, 0.0) == one_run_bound(few, 0.0)


@pytest.mark.parametrize("counts", [(10, 11, 3), (10, 5, 6), (10, 5, -1)])
def test_impossible_guesses_are_refused(counts: tuple[int, int, int]) -> None:
    with pytest.raises(ValueError, match="right <= made <= canaries"):
        Guesses(*counts)


# The f-DP version. Its published values take the best of all thresholds on the convex hull, each at its share of 5 %.


def upper_hull(points: np.ndarray) -> np.ndarray:
    """Return which points no line between two others passes above, by Andrew's monotone chain."""
    kept: list[int] = []
    for index, (x, y) in enumerate(points):
        while len(kept) > 1:
            (x0, y0), (x1, y1) = points[kept[-2]], points[kept[-1]]
            if (x1 - x0) * (y - y0) < (y1 - y0) * (x - x0):
                break
            kept.pop()
        kept.append(index)
    return np.array(kept)


@pytest.mark.parametrize(("shift", "epsilon"), [(1, 2.164749), (2, 4.7218075), (4, 9.133752)])
def test_published_bounds_of_the_version_for_curves(shift: int, epsilon: float) -> None:
    n = 10_000
    outside = stats.norm.ppf((np.arange(n) + 0.5) / n)
    inside = outside + shift
    thresholds = np.append(np.union1d(inside, outside), np.inf)
    below = np.stack([np.searchsorted(scores, thresholds) for scores in (inside, outside)], axis=1)
    corners = below[upper_hull(below)]
    alpha = 0.05 / len(corners)
    cases = [Guesses(2 * n, int((n - a) + (n - b)), int(n - a)) for a, b in corners if n - a > n - b]
    cases.sort(key=lambda case: -(2 * case.right - case.guessed) / math.sqrt(case.guessed))
    best = 0.0
    for case in cases:
        if one_run_refutes(case, gaussian_curve(best), alpha):
            best = largest_refuted(lambda mu, case=case: one_run_refutes(case, gaussian_curve(mu), alpha))  # type: ignore[misc]
    assert gaussian_epsilon(best, 1e-6) == pytest.approx(epsilon, rel=1e-5)


def published_listing(floor: Callable[[float], float], alpha: float, guesses: Guesses) -> bool:
    """Return what the paper's pseudo-code returns, with its two arrays."""
    m, c, right = guesses.canaries, guesses.guessed, guesses.right
    h, r = [0.0] * (right + 1), [0.0] * (right + 1)
    h[right], r[right] = alpha * (c - right) / m, alpha * right / m
    for i in range(right - 1, -1, -1):
        h[i] = max(h[i + 1], floor(1 - min(1.0, r[i + 1])))
        r[i] = r[i + 1] + i / (c - i) * (h[i] - h[i + 1])
    return r[0] + h[0] > c / m


@pytest.mark.parametrize(
    "guesses", [Guesses(60, 30, 24), Guesses(60, 60, 41), Guesses(200, 20, 20), Guesses(40, 40, 20)]
)
@pytest.mark.parametrize("mu", [0.0, 0.3, 1.0])
def test_the_version_for_curves_against_the_papers_listing(guesses: Guesses, mu: float) -> None:
    def floor_of(fpr: float) -> float:
        return float(stats.norm.cdf(stats.norm.ppf(1 - fpr) - mu))

    for alpha in (1e-6, 1e-3, 0.05, 0.5):
        assert one_run_refutes(guesses, gaussian_curve(mu), alpha) == published_listing(floor_of, alpha, guesses)


def test_p_value_for_a_curve_is_where_refuting_begins() -> None:
    guesses, curve = Guesses(300, 100, 85), gaussian_curve(0.8)
    p_value = one_run_curve_p_value(guesses, curve)
    assert 1e-6 < p_value < 0.5
    assert not one_run_refutes(guesses, curve, p_value * 0.99)
    assert one_run_refutes(guesses, curve, p_value * 1.01)
    assert one_run_curve_p_value(Guesses(300, 100, 50), curve) == 1.0
    assert one_run_curve_p_value(Guesses(3000, 1000, 1000), gaussian_curve(0.1)) == 1e-12


# How often they claim what is not so.


def guess_gaussian(random: np.random.Generator, mu: float, canaries: int, guess_count: int) -> Guesses:
    inside = random.random(canaries) < 0.5
    return guess_membership(random.standard_normal(canaries) + mu * inside, inside, guess_count)


def test_without_leakage_a_positive_bound_is_rare() -> None:
    random, trials = np.random.default_rng(0), 4000
    cases = [guess_gaussian(random, 0.0, 200, 40) for _ in range(trials)]
    for bound in (one_run_bound, one_run_gaussian_bound):
        positive = {case: bound(case, 1e-5) > 0 for case in set(cases)}
        assert sum(positive[case] for case in cases) <= 0.05 * trials


def test_the_best_of_all_numbers_of_guesses_claims_leakage_that_is_not_there() -> None:
    """The trap: why the number of guesses is fixed beforehand."""
    random, trials = np.random.default_rng(0), 300
    wrong = 0
    for _ in range(trials):
        inside = random.random(200) < 0.5
        scores = random.standard_normal(200)
        wrong += max(one_run_bound(guess_membership(scores, inside, count), 1e-5) for count in range(10, 201, 10)) > 0
    assert wrong > 0.1 * trials


@pytest.mark.parametrize("mu", [0.5, 1.5])
def test_a_claim_that_holds_with_equality_is_refuted_no_more_often_than_promised(mu: float) -> None:
    random, trials = np.random.default_rng(1), 1000
    cases = [guess_gaussian(random, mu, 200, 60) for _ in range(trials)]
    p_value = {case: one_run_curve_p_value(case, gaussian_curve(mu)) for case in set(cases)}
    assert sum(p_value[case] < 0.05 for case in cases) <= 0.05 * trials
    bound = {case: one_run_gaussian_bound(case, 1e-5) for case in set(cases)}
    assert sum(bound[case] > gaussian_epsilon(mu, 1e-5) for case in cases) <= 0.05 * trials
    assert np.mean([bound[case] for case in cases]) > 0


# Curves.


def test_gaussian_epsilon_is_that_of_the_accountant() -> None:
    import dp_accounting

    for mu, delta in ((0.1, 1e-5), (1.0, 1e-5), (1.0, 0.3), (4.0, 1e-6), (20.0, 1e-9)):
        wanted = dp_accounting.get_epsilon_gaussian(1 / mu, delta)
        assert gaussian_epsilon(mu, delta) == pytest.approx(min(wanted, 100.0), abs=1e-5)
    assert gaussian_epsilon(0.0, 1e-5) == 0.0
    assert gaussian_delta(1.0, gaussian_epsilon(1.0, 1e-5)) == pytest.approx(1e-5)


@pytest.mark.parametrize(
    "curve", [approximate_dp_curve(1.3, 1e-3), gaussian_curve(0.9), Curve(trade_off(Mechanism(1.1, 0.1, 40)))]
)
def test_curves_are_convex_and_the_same_from_both_sides(curve: Curve) -> None:
    assert curve.floor[0] == pytest.approx(1.0, abs=2e-3)
    assert curve.floor[-1] == pytest.approx(0.0, abs=1e-9)
    slopes = np.diff(curve.floor) / np.diff(FALSE_POSITIVE_RATES)
    assert (slopes <= 1e-9).all()
    assert (np.diff(slopes[100:-100]) >= -1e-6).all()
    rates = np.array([0.02, 0.1, 0.4])
    assert curve(curve(rates)) == pytest.approx(rates, abs=2e-3)


def test_the_curve_of_epsilon_and_delta_is_what_randomised_response_reaches() -> None:
    epsilon, delta = 1.0, 0.01
    lie = (1 - delta) / (1 + math.exp(epsilon))
    assert float(approximate_dp_curve(epsilon, delta)(np.array(lie))) == pytest.approx(lie)
    assert float(approximate_dp_curve(epsilon, delta)(np.array(0.0))) == pytest.approx(1 - delta)


# How many guesses.


def test_more_is_guessed_the_better_canaries_stand_out() -> None:
    counts = [planned_guesses(1000, shift, 1e-5) for shift in (0.5, 1.0, 3.0, 6.0)]
    assert counts == sorted(counts)
    assert counts[0] < counts[-1]
    assert all(count % 2 == 0 and 2 <= count <= 1000 for count in counts)
    assert planned_guesses(21, 6.0, 1e-5) <= 20


def test_guesses_are_the_two_ends() -> None:
    scores = np.array([5.0, 1.0, 3.0, 2.0, 4.0, 0.0])
    inside = np.array([True, False, True, True, False, False])
    assert guess_membership(scores, inside, 2) == Guesses(6, 2, 2)
    assert guess_membership(scores, inside, 4) == Guesses(6, 4, 3)
    assert guess_membership(scores, inside, 6) == Guesses(6, 6, 4)
