"""The smallest gap that would have been found, against the textbook formula and against the test itself."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from rft.plugins.fairness.measure.gaps import Gap, compare_groups
from rft.plugins.fairness.measure.group_metrics import SampleSizeRules, measure_groups
from rft.predictions.grouped import ClassTarget, GroupedPredictions
from rft.predictions.table import Grouping, PredictionArrays
from rft.stats import resampling
from rft.stats.gaps.max_t import largest_gap
from rft.stats.gaps.power import minimum_detectable_effect
from rft.stats.gaps.rate_difference import TwoRates


@pytest.mark.parametrize(("n", "rate"), [(1000, 0.5), (3000, 0.2), (20_000, 0.9)])
def test_two_large_groups_follow_the_textbook_formula(n: int, rate: float) -> None:
    """delta = (z_alpha/2 + z_beta) sqrt(p q / n + p' q' / n), at p' = p and delta further where there is room."""
    effect = minimum_detectable_effect([n, n], rate)
    assert effect.gap is not None
    assert effect.group_rate == pytest.approx(rate - effect.gap if rate >= 0.5 else rate + effect.gap)
    error = np.sqrt(np.sum([p * (1 - p) / n for p in (rate, effect.group_rate)]))
    assert effect.gap == pytest.approx((stats.norm.ppf(0.975) + stats.norm.ppf(0.8)) * error, rel=0.03)


def test_the_gap_is_exact_for_two_small_groups() -> None:
    """By enumeration of every sample of both groups, with the interval that judges them."""
    effect = minimum_detectable_effect([12, 40], 0.7)
    assert effect.group_rate is not None
    weights = [stats.binom.pmf(np.arange(n + 1), n, p) for n, p in ((12, effect.group_rate), (40, 0.7))]
    told = [[TwoRates(a, 12, b, 40).gap_interval().low > 0 for b in range(41)] for a in range(13)]
    assert weights[0] @ np.array(told) @ weights[1] == pytest.approx(0.8, abs=0.005)


def test_a_small_group_beside_a_large_one_takes_a_larger_gap() -> None:
    """At .95 a gap of .103 was stated for 30 beside 1,000, and found in 40 % of samples."""
    effect = minimum_detectable_effect([30, 1000], 0.95)
    assert effect.gap == pytest.approx(0.187, abs=0.002)
    assert effect.group_rate == pytest.approx(0.95 - effect.gap)
    assert effect.rest == 0.95
    assert minimum_detectable_effect([1000, 30], 0.95) == effect


def test_fewer_cases_or_more_power_need_a_larger_gap() -> None:
    def smallest_gap(n: list[int], **options: float) -> float:
        detectable = minimum_detectable_effect(n, 0.4, **options).gap
        assert detectable is not None
        return detectable

    assert smallest_gap([400] * 4) < smallest_gap([100] * 4) < smallest_gap([30] * 4)
    assert smallest_gap([100] * 4, power=0.5) < smallest_gap([100] * 4) < smallest_gap([100] * 4, power=0.95)
    assert smallest_gap([100] * 4) < smallest_gap([100] * 4, level=0.99)
    assert smallest_gap([100, 100]) == pytest.approx(smallest_gap([300, 300], design_effects=3))


def test_no_gap_at_all_can_be_found_in_tiny_groups() -> None:
    assert minimum_detectable_effect([2, 2], 0.5, level=0.999).gap is None


def test_nonsense_is_refused() -> None:
    with pytest.raises(ValueError, match="two groups or more"):
        minimum_detectable_effect([10], 0.5)
    with pytest.raises(ValueError, match="a level and a power"):
        minimum_detectable_effect([10, 10], 0.5, power=1)


def found_share(n: list[int], rate: float, *, runs: int, draws: int = 399) -> float:
    """How often the test that judges finds the gap that it is said to find in 80 %."""
    effect = minimum_detectable_effect(n, rate)
    assert effect.group_rate is not None
    rates = np.full(len(n), rate)
    rates[np.argmin(n)] = effect.group_rate
    rng, times, cases = np.random.default_rng(0), 0, np.array(n)
    for _ in range(runs):
        hits = rng.binomial(cases, rates)
        if len(n) == 2:
            times += TwoRates(hits[0], n[0], hits[1], n[1]).gap_interval().low > 0
        else:
            times += largest_gap(resampling.resample_rates(hits, cases, rng, draws=draws)).confidence_interval().low > 0
    return times / runs


@pytest.mark.parametrize(
    ("n", "rate"),
    [
        ([30, 1000], 0.95),
        ([200, 2000], 0.5),
        ([40, 400, 4000], 0.95),
        ([12, 60, 500], 0.7),
        ([50] * 9, 0.1),
        ([30] * 5, 0.95),
    ],
)
def test_the_gap_is_found_in_75_to_90_percent(n: list[int], rate: float) -> None:
    assert 0.75 <= found_share(n, rate, runs=600) <= 0.9


UNEQUAL = [[30, 1000], [60, 1000], [200, 2000], [40, 400, 4000], [12, 60, 500]]
OTHERS = [[30, 30], [15, 45], [30] * 5, [30, 60, 100, 200, 400], [100] * 10, [50] * 25]


@pytest.mark.slow
@pytest.mark.parametrize("rate", [0.1, 0.3, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95])
@pytest.mark.parametrize("n", [*UNEQUAL, *OTHERS])
def test_the_gap_is_found_in_75_to_90_percent_of_many_runs(n: list[int], rate: float) -> None:
    """Measured in 4,000 runs: 76.7 to 82.3 %."""
    assert 0.75 <= found_share(n, rate, runs=4000 if len(n) < 10 else 2000, draws=999) <= 0.9


@pytest.mark.slow
@pytest.mark.parametrize("rate", [0.5, 0.8, 0.95])
@pytest.mark.parametrize("people", [{"A": 40, "B": 300}, {"A": 40, "B": 80, "C": 300}])
def test_the_gap_is_found_among_people_with_several_rows(people: dict[str, int], rate: float) -> None:
    """The audit's own statement, tried on new people like those that it was made of (4 rows, correlation .5).

    What rows are worth is estimated on the safe side. The test of two groups rests on the same number and finds the gap
    in 81 to 87 % (rates .5 to .95); that of three resamples people, and finds it in 83 and 86 %, but at .95 in 94 %.
    """
    rng = np.random.default_rng(1)
    told: list[bool] = []
    while len(told) < 30 * 50:  # of thirty statements: each rests on an estimate of what rows are worth
        stated = gap_of_people(rng, people, dict.fromkeys(people, rate), verdicts=True).minimum_detectable_effect
        if stated is None:  # a gap was found
            continue
        assert stated.group_rate is not None
        rates = dict.fromkeys(people, stated.rest) | {"A": stated.group_rate}
        told += [gap_of_people(rng, people, rates, verdicts=False).differs for _ in range(50)]
    assert 0.75 <= np.mean(told) <= (0.97 if (len(people), rate) == (3, 0.95) else 0.9)


@pytest.mark.parametrize(("people", "rate"), [({"A": 40, "B": 300}, 0.8), ({"A": 40, "B": 80, "C": 300}, 0.5)])
def test_the_gap_is_stated_for_people_with_several_rows(people: dict[str, int], rate: float) -> None:
    """For no fewer cases than there are people, and no more than there are rows."""
    stated = gap_of_people(
        np.random.default_rng(1), people, dict.fromkeys(people, rate), verdicts=True
    ).minimum_detectable_effect
    assert stated is not None
    assert stated.gap is not None
    of_rows, of_people = (
        minimum_detectable_effect([n * size for size in people.values()], stated.rest).gap for n in (4, 1)
    )
    assert of_rows is not None
    assert of_people is not None
    assert of_rows < stated.gap <= of_people


def gap_of_people(rng: np.random.Generator, people: dict[str, int], rates: dict[str, float], *, verdicts: bool) -> Gap:
    """Return the gap in accuracy of people drawn with these rates."""
    codes = np.repeat(np.arange(len(people)), list(people.values()))
    share = np.array([rates[name] for name in people])[codes]
    right = rng.random((len(codes), 4)) < rng.beta(share, 1 - share)[:, None]  # a correlation of one half
    labels = np.ones(right.size, dtype=np.int32)
    rows = PredictionArrays(
        ("no", "yes"), labels, right.ravel().astype(np.int32), units=np.repeat(np.arange(len(codes)), 4)
    )
    grouped = GroupedPredictions(rows, Grouping("g", tuple(people), np.repeat(codes, 4).astype(np.int32), ("g",)))
    accuracy = ClassTarget(None, None)
    measured = measure_groups(grouped, "accuracy", accuracy, size_rules=SampleSizeRules(10, 10), positive=1)
    return compare_groups(grouped, "accuracy", accuracy, measured, seed=0, verdicts=verdicts)
