"""Rates and averages of rates: their value, the variance behind their intervals, and the coverage of those."""

from __future__ import annotations

import math

import numpy as np
import pytest

from rft.predictions.estimates import estimate_rate
from rft.predictions.table import PredictionArrays
from rft.stats import intervals
from rft.stats.design_effect import bias_of_average, sample_of_rate
from rft.stats.intervals import kish_effective_n
from rft.stats.rates import Rate
from rft.stats.resampling import RatioTotals
from rft.stats.scores.classification import METRICS, Ratios


def rows_of(counts: np.ndarray, units: np.ndarray | None = None) -> PredictionArrays:
    """Rows with these (K, K) counts, label by prediction."""
    labels, predictions = (np.repeat(axis.ravel(), counts.ravel()) for axis in np.indices(counts.shape))
    return PredictionArrays(tuple("abcdefghijklmnopqrst"[: len(counts)]), labels, predictions, units=units)


def accuracy(k: int) -> Ratios:
    return Ratios.from_metric(METRICS["accuracy"], "abcdefghijklmnopqrst"[:k], None)


def balanced(k: int) -> Ratios:
    return Ratios.from_metric(METRICS["balanced_accuracy"], "abcdefghijklmnopqrst"[:k], None)


def macro_precision(k: int) -> Ratios:
    return Ratios.from_metric(METRICS["precision"], "abcdefghijklmnopqrst"[:k], None)


def macro_f1(k: int) -> Ratios:
    return Ratios.from_macro_f1("abcdefghijklmnopqrst"[:k])


def test_values_are_those_of_the_definition() -> None:
    counts = np.array([[8, 2, 0], [1, 5, 0], [0, 1, 3]])
    values = [estimate_rate(rows_of(counts), ratios(3)).value for ratios in (accuracy, balanced, macro_f1)]
    f1 = np.mean([2 * 8 / (10 + 9), 2 * 5 / (6 + 8), 2 * 3 / (4 + 3)])
    assert values == pytest.approx([16 / 20, (8 / 10 + 5 / 6 + 3 / 4) / 3, f1])


def test_accuracy_of_rows_that_stand_for_themselves_is_wilsons() -> None:
    rate = estimate_rate(rows_of(np.array([[120, 30], [40, 110]])), accuracy(2))
    for interval, expected in (
        (rate.confidence_interval(), intervals.wilson_interval(230, 300)),
        (rate.exact_interval(), intervals.clopper_pearson_interval(230, 300)),
    ):
        assert (interval.low, interval.high) == pytest.approx((expected.low, expected.high), abs=1e-12)
        assert interval.method == expected.method


@pytest.mark.parametrize("metric", [balanced, macro_f1])
def test_averages_have_the_variance_of_resampled_rows(metric) -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, 400)
    predictions = np.where(rng.random(400) < 0.8, labels, rng.integers(0, 3, 400))
    ratios, cells = metric(3), 3 * labels + predictions
    drawn = [ratios.metric_value(np.bincount(rng.choice(cells, 400), minlength=9).reshape(3, 3)) for _ in range(2000)]
    interval = estimate_rate(PredictionArrays(("a", "b", "c"), labels, predictions), ratios).confidence_interval()
    assert (interval.high - interval.low) / (2 * 1.96) == pytest.approx(np.std(drawn), rel=0.08)


@pytest.mark.parametrize("metric", [balanced, macro_f1])
def test_a_matrix_without_errors_keeps_an_interval(metric) -> None:
    interval = estimate_rate(rows_of(np.diag([20, 20])), metric(2)).confidence_interval()
    assert interval.high == 1
    assert 0.85 < interval.low < 0.95  # Wilson for 40 of 40: 0.912


@pytest.mark.parametrize("metric", [balanced, macro_f1])
def test_averages_rest_on_the_units(metric) -> None:
    """Twelve people whose four rows agree are twelve cases, not 48."""
    labels, right = np.tile([0, 1], 6), np.array([1] * 9 + [0] * 3, dtype=bool)
    people = np.where(right, labels, 1 - labels)
    once, four = (
        PredictionArrays(("a", "b"), np.repeat(labels, n), np.repeat(people, n), units=np.repeat(np.arange(12), n))
        for n in (1, 4)
    )
    first, second = (estimate_rate(rows, metric(2)) for rows in (once, four))
    assert first.value == second.value
    assert second.sample.units == 12
    assert second.sample.effective_n == pytest.approx(first.sample.effective_n, rel=0.05)
    assert "12 units" in second.confidence_interval().method


def test_the_same_rows_give_the_same_rate_however_they_are_given() -> None:
    rng = np.random.default_rng(0)
    units = np.repeat(np.arange(60), 4)
    hits = rng.random(240) < 0.7
    named = np.array([f"person {unit}" for unit in units])
    of_rows = estimate_rate(PredictionArrays(("a", "b"), np.ones(240, int), hits.astype(int), units=units), accuracy(2))
    assert Rate.from_rows(hits, units) == Rate.from_rows(hits, named) == of_rows


def test_rows_that_succeed_in_part_are_a_rate_too() -> None:
    """A rule that decides by chance succeeds with a probability."""
    rate = Rate.from_rows(np.full(50, 0.25), None)
    assert rate.value == 0.25
    assert rate.sample.effective_n == 50


def test_people_with_many_rows_leave_an_average_no_more_cases_than_kishs_number() -> None:
    """Recalls of people who are right or wrong as a whole: 1 / n = (1 / n_a + 1 / n_b) / 4."""
    sizes = np.array([1, 2, 3, 4, 30] * 4)
    labels, right = np.repeat([0, 1], 10), np.tile([1, 1, 0, 1, 1], 4)
    rows = PredictionArrays(
        ("a", "b"),
        np.repeat(labels, sizes),
        np.repeat(np.where(right, labels, 1 - labels), sizes),
        units=np.repeat(np.arange(20), sizes),
    )
    kish = kish_effective_n(np.repeat(np.arange(10), sizes[:10]))
    assert kish < 4
    assert estimate_rate(rows, balanced(2)).sample.effective_n <= 2 * kish


def test_a_rate_reaches_as_far_as_any_person_could_have_moved_it() -> None:
    """Of 20 rows ten are of one person, who is wrong as a whole; without that all could be right."""
    sizes = np.array([1] * 10 + [10])
    right = np.repeat([True] * 10 + [False], sizes)
    for hits, expected in ((right, (0, 0.96)), (~right, (0.04, 1))):
        interval = Rate.from_rows(hits, np.repeat(np.arange(11), sizes)).confidence_interval()
        assert interval.low <= expected[0] + 0.06
        assert interval.high >= expected[1] - 0.06
    least_moved = Rate.from_rows(np.repeat([True] * 10 + [True], sizes), np.repeat(np.arange(11), sizes))
    assert least_moved.sample.effective_n == pytest.approx(kish_effective_n(np.repeat(np.arange(11), sizes)), rel=0.01)


def test_an_average_reaches_as_far_as_any_person_could_have_moved_it() -> None:
    sizes = np.array([1] * 40 + [20])
    labels, right = np.arange(41) % 2, np.array([True] * 40 + [False])
    units = np.repeat(np.arange(41), sizes)
    predictions = np.where(right, labels, 1 - labels)
    rows = PredictionArrays(("a", "b"), np.repeat(labels, sizes), np.repeat(predictions, sizes), units=units)
    rate = estimate_rate(rows, balanced(2))
    assert rate.value == pytest.approx(0.75)
    assert rate.confidence_interval().high > 0.95


def test_a_class_with_few_cases_moves_an_average_as_far_as_its_recall_could_be_off() -> None:
    rate = estimate_rate(rows_of(np.array([[30, 0], [97, 873]])), balanced(2))
    assert rate.value == pytest.approx(0.95)
    assert rate.confidence_interval().low <= (intervals.wilson_interval(30, 30).low + 0.9) / 2 + 1e-9


def test_an_average_over_classes_that_differ_rests_on_the_variance_of_each() -> None:
    """Precisions of .05 and .95 of many rows: narrower than a rate of one half."""
    rate = estimate_rate(rows_of(np.array([[50, 50], [950, 950]])), macro_precision(2))
    true = math.sqrt(0.05 * 0.95 * (1 / 1000 + 1 / 1000) / 4)
    interval = rate.confidence_interval()
    assert (interval.high - interval.low) / (2 * 1.96) == pytest.approx(true, rel=0.05)


def test_the_bias_of_macro_f1_is_that_of_the_jackknife() -> None:
    counts, ratios = np.array([[3, 1, 1], [0, 4, 2], [1, 0, 5]]), macro_f1(3)
    without = [
        counts[cell] * ratios.metric_value(counts - (np.arange(9).reshape(3, 3) == 3 * cell[0] + cell[1]))
        for cell in np.ndindex(3, 3)
    ]
    n = counts.sum()
    bias = n * (sum(without) / n - ratios.metric_value(counts))
    sums = RatioTotals.from_counts(counts, ratios.numerators, ratios.denominators)
    assert bias_of_average(sums) == pytest.approx(float(bias))
    assert bias < 0


def test_an_average_over_classes_with_fewer_than_three_cases_each_does_not_hold() -> None:
    for rows_of_a_class, holds in ((2, False), (3, True)):
        rows = rows_of(rows_of_a_class * np.eye(20, dtype=int))
        assert estimate_rate(rows, macro_f1(20)).holds is holds
        assert estimate_rate(rows, accuracy(20)).holds
    people = rows_of(8 * np.eye(3, dtype=int), units=np.arange(24) // 4)  # two of each class
    assert not estimate_rate(people, balanced(3)).holds
    rare = rows_of(np.array([[2, 0], [5, 53]]))
    assert estimate_rate(rare, balanced(2)).holds


def wilson_coverage(
    metric,
    classes: int,
    n: int,
    accurate: float,
    *,
    runs: int,
    people: int = 1,
    spread: bool = False,
    rare: float | None = None,
) -> float:
    """Coverage of Wilson's interval over n people, each with so many rows (``spread``: Pareto) that always agree.

    The first class has a share of ``rare``; None is the share of the others.
    """
    rng = np.random.default_rng(0)
    shares = np.full((classes, classes), (1 - accurate) / (classes - 1))
    np.fill_diagonal(shares, accurate)
    first = 1 / classes if rare is None else rare
    shares *= np.array([first] + [(1 - first) / (classes - 1)] * (classes - 1))[:, None]
    ratios = metric(classes)
    true, covered, measured = float(ratios.metric_value(shares)), 0, 0
    for _ in range(runs):
        cells = rng.choice(classes**2, n, p=shares.ravel())
        sizes = (
            np.minimum(np.ceil(people * (rng.pareto(1.2, n) + 1)), 300).astype(int) if spread else np.full(n, people)
        )
        labels, predictions = (np.repeat(part, sizes) for part in divmod(cells, classes))
        rows = PredictionArrays(tuple("abcdefghijklmnopqrst"[:classes]), labels, predictions, units=None)
        if people > 1 or spread:
            rows = PredictionArrays(rows.classes, labels, predictions, units=np.repeat(np.arange(n), sizes))
        if math.isnan(ratios.metric_value(rows.confusion)):
            continue
        interval = estimate_rate(rows, ratios).confidence_interval()
        measured += 1
        covered += interval.low <= true <= interval.high
    return covered / measured


@pytest.mark.parametrize("metric", [balanced, macro_f1])
@pytest.mark.parametrize(("classes", "n", "accurate"), [(2, 40, 0.9), (3, 60, 0.7)])
def test_averages_are_covered(metric, classes: int, n: int, accurate: float) -> None:
    assert 0.92 <= wilson_coverage(metric, classes, n, accurate, runs=400) <= 0.985


@pytest.mark.parametrize("metric", [balanced, macro_f1])
@pytest.mark.parametrize(
    ("classes", "n", "accurate", "spread"), [(20, 100, 0.8, False), (2, 150, 0.95, True), (4, 150, 0.8, True)]
)
def test_averages_over_classes_with_few_independent_cases_are_covered(
    metric, classes: int, n: int, accurate: float, spread: bool
) -> None:
    assert wilson_coverage(metric, classes, n, accurate, runs=300, spread=spread) >= 0.92


@pytest.mark.slow
@pytest.mark.parametrize("metric", [balanced, macro_precision, macro_f1])
@pytest.mark.parametrize(
    ("classes", "n", "accurate"),
    [(2, 30, 0.8), (2, 200, 0.95), (5, 60, 0.8), (10, 30, 0.7), (10, 360, 0.95), (20, 100, 0.8), (20, 100, 0.95)],
)
def test_averages_are_covered_in_many_runs(metric, classes: int, n: int, accurate: float) -> None:
    assert wilson_coverage(metric, classes, n, accurate, runs=2000) >= 0.93


@pytest.mark.slow
@pytest.mark.parametrize("metric", [balanced, macro_precision, macro_f1])
@pytest.mark.parametrize(("n", "accurate"), [(100, 0.9), (200, 0.5), (1000, 0.9), (2000, 0.95)])
def test_averages_with_a_rare_class_are_covered(metric, n: int, accurate: float) -> None:
    """One class has 3, 6, 30 or 60 rows: it makes up most of the variance."""
    assert wilson_coverage(metric, 2, n, accurate, runs=2000, rare=0.03) >= 0.93


@pytest.mark.slow
@pytest.mark.parametrize("metric", [accuracy, balanced, macro_precision, macro_f1])
@pytest.mark.parametrize(
    ("classes", "people", "accurate"), [(2, 40, 0.8), (2, 150, 0.95), (4, 150, 0.8), (10, 150, 0.8), (2, 600, 0.95)]
)
def test_averages_of_people_with_unequal_numbers_of_rows_are_covered(
    metric, classes: int, people: int, accurate: float
) -> None:
    assert wilson_coverage(metric, classes, people, accurate, runs=2000, spread=True) >= 0.93


SIZES = {
    "equal": lambda rng, n: np.full(n, 4),
    "2 to 8": lambda rng, n: rng.integers(2, 9, n),
    "Pareto 1.05": lambda rng, n: np.minimum(np.ceil(rng.pareto(1.05, n) + 1), 300),
    "Pareto 1.2": lambda rng, n: np.minimum(np.ceil(rng.pareto(1.2, n) + 1), 300),
    "Pareto 2": lambda rng, n: np.minimum(np.ceil(rng.pareto(2.0, n) + 1), 300),
    "one has half": lambda rng, n: np.array([n - 1] + [1] * (n - 1)),
}


def rate_coverage(sizes: str, people: int, rate: float, *, runs: int, agree: float = 1.0) -> float:
    """Coverage of Wilson's interval of a rate of people; ``agree``: the correlation of two of their rows."""
    rng, covered = np.random.default_rng([people, round(1000 * rate)]), 0
    for _ in range(runs):
        cases = SIZES[sizes](rng, people).astype(np.int64)
        share = rng.random(people) < rate
        if agree < 1:
            share = rng.beta(rate * (1 / agree - 1), (1 - rate) * (1 / agree - 1), people)
        hits = rng.binomial(cases, share)
        sums = RatioTotals(hits[:, None].astype(float), cases[:, None].astype(float), np.ones(people))
        n = sample_of_rate(sums).effective_n
        interval = intervals.wilson_interval(hits.sum() / cases.sum() * n, n)
        covered += interval.low <= rate <= interval.high
    return covered / runs


@pytest.mark.parametrize("rate", [0.1, 0.9])
@pytest.mark.parametrize(("sizes", "people"), [("Pareto 1.05", 20), ("Pareto 1.2", 100), ("one has half", 60)])
def test_rates_of_people_of_unequal_sizes_are_covered(sizes: str, people: int, rate: float) -> None:
    assert rate_coverage(sizes, people, rate, runs=1000) >= 0.93


@pytest.mark.slow
@pytest.mark.parametrize("rate", [0.05, 0.1, 0.15, 0.3, 0.5, 0.8, 0.9, 0.95])
@pytest.mark.parametrize("people", [10, 20, 40, 100, 200])
@pytest.mark.parametrize("sizes", ["2 to 8", "Pareto 1.05", "Pareto 1.2", "Pareto 2", "one has half"])
def test_rates_of_people_of_unequal_sizes_are_covered_in_many_runs(sizes: str, people: int, rate: float) -> None:
    assert rate_coverage(sizes, people, rate, runs=4000) >= 0.93


@pytest.mark.slow
@pytest.mark.parametrize("agree", [0.05, 0.5, 0.9])
@pytest.mark.parametrize("rate", [0.05, 0.1, 0.3, 0.9, 0.95])
@pytest.mark.parametrize(("sizes", "people"), [("equal", 60), ("Pareto 1.2", 100), ("Pareto 1.05", 200)])
def test_rates_of_people_whose_rows_agree_in_part_are_covered(
    sizes: str, people: int, rate: float, agree: float
) -> None:
    assert rate_coverage(sizes, people, rate, runs=4000, agree=agree) >= 0.93


@pytest.mark.parametrize("people", [10, 20, 40, 200])
def test_people_with_equally_many_rows_that_agree_are_as_many_cases(people: int) -> None:
    """Wilson's interval of as many independent rows, whose coverage is 91 to 93 % at some rates under 50 cases."""
    for right in range(people + 1):
        hits = np.repeat(np.arange(people) < right, 4)
        interval, expected = (
            Rate.from_rows(hits, np.repeat(np.arange(people), 4)).confidence_interval(),
            intervals.wilson_interval(right, people),
        )
        assert (interval.low, interval.high) == pytest.approx((expected.low, expected.high), abs=1e-9)


@pytest.mark.slow
@pytest.mark.parametrize("metric", [balanced, macro_precision, macro_f1])
@pytest.mark.parametrize("accurate", [0.5, 0.7, 0.8, 0.9, 0.95])
def test_averages_over_three_classes_of_twelve_people_are_covered(metric, accurate: float) -> None:
    assert wilson_coverage(metric, 3, 12, accurate, runs=4000, people=4) >= 0.93
