"""Tango's interval against published values, a likelihood maximised by search and McNemar's test; exact power."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats
from scipy.optimize import minimize_scalar

from rft.stats.discordant_pairs import mcnemar_p_value, smallest_excess, tango_interval

Z = 1.959963984540054


def tango_ends(won: float, lost: float, n: float) -> tuple[float, float]:
    interval = tango_interval(won, lost, n)
    return interval.low, interval.high


def test_the_published_value() -> None:
    """Airway hyper-responsiveness, 1, 1, 7, 12: Fagerland, Lydersen and Laake 2014, Stat. Med. 33:2850, table VII."""
    assert tango_ends(1, 7, 21) == pytest.approx((-0.517, -0.026), abs=5e-4)


def score_test_rejects(won: float, lost: float, n: int, difference: float) -> bool:
    """The score test of a difference, its nuisance parameter found by maximising the likelihood numerically."""
    low, high = max(0.0, -difference), (1 - difference) / 2

    def negative_likelihood(lost_share: float) -> float:
        shares = np.clip([lost_share + difference, lost_share, 1 - 2 * lost_share - difference], 1e-300, 1)
        return -float(np.dot([won, lost, n - won - lost], np.log(shares)))

    best = minimize_scalar(negative_likelihood, bounds=(low, high), method="bounded", options={"xatol": 1e-12}).x
    variance = 2 * best + difference - difference**2
    return abs(won - lost - n * difference) > Z * math.sqrt(n * variance)


@pytest.mark.parametrize(("won", "lost", "n"), [(1, 7, 21), (12, 2, 50), (3, 3, 12), (30, 11, 400), (6, 1, 9)])
def test_it_holds_what_the_score_test_does_not_reject(won: int, lost: int, n: int) -> None:
    low, high = tango_ends(won, lost, n)
    for end, outward in ((low, -1e-4), (high, 1e-4)):
        assert score_test_rejects(won, lost, n, end + outward)
        assert not score_test_rejects(won, lost, n, end - outward)


def test_it_lies_beside_zero_exactly_when_mcnemars_test_rejects() -> None:
    for won in range(12):
        for lost in range(12):
            low, high = tango_ends(won, lost, 40)
            significant = won + lost > 0 and (won - lost) ** 2 > Z**2 * (won + lost)
            assert significant == (low > 0 or high < 0), (won, lost)


def test_swapping_the_two_turns_it_round() -> None:
    low, high = tango_ends(9, 4, 30)
    assert tango_ends(4, 9, 30) == pytest.approx((-high, -low))


@pytest.mark.parametrize("n", [1, 7, 500])
def test_without_discordant_pairs_it_keeps_a_width(n: int) -> None:
    half = Z**2 / (n + Z**2)  # the closed form in this case
    assert tango_ends(0, 0, n) == pytest.approx((-half, half))


@pytest.mark.parametrize(("won", "lost"), [(5, 0), (0, 5), (5, 0.0)])
def test_a_difference_of_one_stays_within_range(won: float, lost: float) -> None:
    low, high = tango_ends(won, lost, 5)
    assert -1 <= low < high <= 1


@pytest.mark.parametrize(("won", "lost", "n"), [(-1, 0, 5), (3, 3, 5), (0, 0, 0), (math.nan, 0, 5)])
def test_it_refuses_what_are_no_counts(won: float, lost: float, n: float) -> None:
    with pytest.raises(ValueError, match="expected won and lost of n pairs"):
        tango_interval(won, lost, n)


@pytest.mark.parametrize("n", [20, 50])
def test_it_covers_95_percent(n: int) -> None:
    """Exact coverage, summed over all outcomes, of 150 random pairs of shares: on average, and at the worst."""
    outcomes = [(won, lost) for won in range(n + 1) for lost in range(n + 1 - won)]
    intervals = np.array([tango_ends(won, lost, n) for won, lost in outcomes])
    counts = np.array([(won, lost, n - won - lost) for won, lost in outcomes])
    coverage = []
    for won_share, lost_share, rest in np.random.default_rng(0).dirichlet((1, 1, 4), 150):
        probability = stats.multinomial.pmf(counts, n, (won_share, lost_share, rest))
        inside = (intervals[:, 0] <= won_share - lost_share) & (won_share - lost_share <= intervals[:, 1])
        coverage.append(float(probability[inside].sum()))
    assert 0.945 <= np.mean(coverage) <= 0.965
    assert min(coverage) > 0.9


@pytest.mark.parametrize(("won", "lost"), [(0, 0), (0, 5), (5, 0), (10, 0), (9, 1), (40, 12), (12, 40), (180, 3)])
def test_mcnemars_test_is_that_of_a_fair_coin(won: int, lost: int) -> None:
    expected = stats.binomtest(won, won + lost, alternative="greater").pvalue if won + lost else 1.0
    assert mcnemar_p_value(won, lost) == pytest.approx(expected)


def naive_power(excess: float, n: int, lost: float, *, alpha: float, floor: float) -> float:
    """Sum the probability of every outcome that the p-value and the interval judge to be reliance."""
    total = 0.0
    for wins in range(n + 1):
        for losses in range(n + 1 - wins):
            if mcnemar_p_value(wins, losses) <= alpha and tango_interval(wins, losses, n).low > floor:
                counts, shares = [wins, losses, n - wins - losses], [lost + excess, lost, 1 - 2 * lost - excess]
                total += float(stats.multinomial.pmf(counts, n, shares))
    return total


@pytest.mark.parametrize(
    ("n", "lost", "alpha", "floor"), [(40, 0.02, 1e-3, 0.05), (40, 0.1, 5e-4, 0.0), (25, 0.12, 0.05, 0.1)]
)
def test_the_smallest_excess_is_found_in_80_percent(n: int, lost: float, alpha: float, floor: float) -> None:
    excess = smallest_excess(n, lost, alpha=alpha, floor=floor)
    assert excess is not None
    assert naive_power(excess, n, lost, alpha=alpha, floor=floor) == pytest.approx(0.8, abs=2e-3)


def test_the_smallest_excess_falls_with_the_pairs_and_rises_with_what_is_asked() -> None:
    of_size = [smallest_excess(n, 0.01, alpha=1e-3, floor=0.05) or 1.0 for n in (20, 50, 200, 1000)]
    assert of_size == sorted(of_size, reverse=True)
    assert of_size[-1] < 0.1 < of_size[0]
    assert (smallest_excess(200, 0.01, alpha=1e-4, floor=0.05) or 1.0) > of_size[2]
    assert (smallest_excess(200, 0.01, alpha=1e-3, floor=0.2) or 1.0) > of_size[2]


@pytest.mark.parametrize("n", [1, 9, 10])
def test_few_pairs_find_nothing(n: int) -> None:
    """Nine pairs that all differ have a p-value of .002; of ten, one is likely to be lost."""
    assert smallest_excess(n, 0.05, alpha=1e-3, floor=0.05) is None
