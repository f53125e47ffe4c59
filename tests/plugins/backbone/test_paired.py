"""Tango's interval against published values, a likelihood maximised by search, McNemar's test, and its coverage."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats
from scipy.optimize import minimize_scalar

from rft.plugins.backbone.paired import paired_difference, tango_interval

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


def test_rows_of_one_person_count_once() -> None:
    """Both classifiers are right or wrong for all rows of a person together: 40 people, 5 rows each."""
    rng = np.random.default_rng(0)
    people, rows = np.repeat(np.arange(40), 5), np.arange(200)
    covered = {"people": 0, "rows": 0}
    for _ in range(1500):
        hits, second = np.repeat(rng.random(40) < 0.8, 5), np.repeat(rng.random(40) < 0.6, 5)
        for name, units in (("people", people), ("rows", rows)):
            interval = paired_difference(hits, second, units)
            covered[name] += interval.low <= 0.2 <= interval.high
    assert covered["people"] >= 1395  # 0.93; exactly it is 0.9445
    assert covered["rows"] < 1050
    assert "40 units" in paired_difference(hits, second, people).method
