"""Rates and averages of rates: their value, the variance behind their intervals, and the coverage of those."""

from __future__ import annotations

import math

import numpy as np
import pytest

from rft.predictions.estimates import rate_of_rows
from rft.predictions.table import Rows
from rft.stats import intervals
from rft.stats.classification import METRICS, Ratios
from rft.stats.rates import Rate


def rows_of(counts: np.ndarray, units: np.ndarray | None = None) -> Rows:
    """Rows with these (K, K) counts, label by prediction."""
    labels, predictions = (np.repeat(axis.ravel(), counts.ravel()) for axis in np.indices(counts.shape))
    return Rows(tuple("abcdefghijklmnopqrst"[: len(counts)]), labels, predictions, units=units)


def accuracy(k: int) -> Ratios:
    return Ratios.of(METRICS["accuracy"], "abcdefghijklmnopqrst"[:k], None)


def balanced(k: int) -> Ratios:
    return Ratios.of(METRICS["balanced_accuracy"], "abcdefghijklmnopqrst"[:k], None)


def macro_f1(k: int) -> Ratios:
    return Ratios.of_f1("abcdefghijklmnopqrst"[:k])


def test_values_are_those_of_the_definition() -> None:
    counts = np.array([[8, 2, 0], [1, 5, 0], [0, 1, 3]])
    values = [rate_of_rows(rows_of(counts), ratios(3)).value for ratios in (accuracy, balanced, macro_f1)]
    f1 = np.mean([2 * 8 / (10 + 9), 2 * 5 / (6 + 8), 2 * 3 / (4 + 3)])
    assert values == pytest.approx([16 / 20, (8 / 10 + 5 / 6 + 3 / 4) / 3, f1])


def test_accuracy_of_rows_that_stand_for_themselves_is_wilsons() -> None:
    rate = rate_of_rows(rows_of(np.array([[120, 30], [40, 110]])), accuracy(2))
    for found, expected in (
        (rate.interval(), intervals.wilson(230, 300)),
        (rate.exact_interval(), intervals.clopper_pearson(230, 300)),
    ):
        assert (found.low, found.high) == pytest.approx((expected.low, expected.high), abs=1e-12)
        assert found.method == expected.method


@pytest.mark.parametrize("metric", [balanced, macro_f1])
def test_averages_have_the_variance_of_resampled_rows(metric) -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, 400)
    predictions = np.where(rng.random(400) < 0.8, labels, rng.integers(0, 3, 400))
    ratios, cells = metric(3), 3 * labels + predictions
    drawn = [ratios.value(np.bincount(rng.choice(cells, 400), minlength=9).reshape(3, 3)) for _ in range(2000)]
    interval = rate_of_rows(Rows(("a", "b", "c"), labels, predictions), ratios).interval()
    assert (interval.high - interval.low) / (2 * 1.96) == pytest.approx(np.std(drawn), rel=0.08)


@pytest.mark.parametrize("metric", [balanced, macro_f1])
def test_a_matrix_without_errors_keeps_an_interval(metric) -> None:
    interval = rate_of_rows(rows_of(np.diag([20, 20])), metric(2)).interval()
    assert interval.high == 1
    assert 0.85 < interval.low < 0.95  # Wilson for 40 of 40: 0.912


@pytest.mark.parametrize("metric", [balanced, macro_f1])
def test_averages_rest_on_the_units(metric) -> None:
    """Twelve people whose four rows agree are twelve cases, not 48."""
    labels, right = np.tile([0, 1], 6), np.array([1] * 9 + [0] * 3, dtype=bool)
    people = np.where(right, labels, 1 - labels)
    once, four = (
        Rows(("a", "b"), np.repeat(labels, n), np.repeat(people, n), units=np.repeat(np.arange(12), n)) for n in (1, 4)
    )
    one, other = (rate_of_rows(rows, metric(2)) for rows in (once, four))
    assert one.value == other.value
    assert other.sample.units == 12
    assert other.sample.effective_n == pytest.approx(one.sample.effective_n, rel=0.05)
    assert "12 units" in other.interval().method


def test_the_same_rows_give_the_same_rate_however_they_are_given() -> None:
    rng = np.random.default_rng(0)
    units = np.repeat(np.arange(60), 4)
    hits = rng.random(240) < 0.7
    named = np.array([f"person {unit}" for unit in units])
    of_rows = rate_of_rows(Rows(("a", "b"), np.ones(240, int), hits.astype(int), units=units), accuracy(2))
    assert Rate.of(hits, units) == Rate.of(hits, named) == of_rows


def test_rows_that_succeed_in_part_are_a_rate_too() -> None:
    """A rule that decides by chance succeeds with a probability."""
    rate = Rate.of(np.full(50, 0.25), None)
    assert rate.value == 0.25
    assert rate.sample.effective_n == 50


def coverage(
    metric, classes: int, n: int, accurate: float, *, runs: int, people: int = 1, spread: bool = False
) -> float:
    """Coverage of Wilson's interval over n people, each with so many rows (``spread``: Pareto) that always agree."""
    rng = np.random.default_rng(0)
    shares = np.full((classes, classes), (1 - accurate) / (classes - 1))
    np.fill_diagonal(shares, accurate)
    ratios = metric(classes)
    true, covered, measured = float(ratios.value(shares / classes)), 0, 0
    for _ in range(runs):
        cells = rng.choice(classes**2, n, p=shares.ravel() / classes)
        sizes = (
            np.minimum(np.ceil(people * (rng.pareto(1.2, n) + 1)), 300).astype(int) if spread else np.full(n, people)
        )
        labels, predictions = (np.repeat(part, sizes) for part in divmod(cells, classes))
        rows = Rows(tuple("abcdefghijklmnopqrst"[:classes]), labels, predictions, units=None)
        if people > 1 or spread:
            rows = Rows(rows.classes, labels, predictions, units=np.repeat(np.arange(n), sizes))
        if math.isnan(ratios.value(rows.confusion)):
            continue
        interval = rate_of_rows(rows, ratios).interval()
        measured += 1
        covered += interval.low <= true <= interval.high
    return covered / measured


@pytest.mark.parametrize("metric", [balanced, macro_f1])
@pytest.mark.parametrize(("classes", "n", "accurate"), [(2, 40, 0.9), (3, 60, 0.7)])
def test_averages_are_covered(metric, classes: int, n: int, accurate: float) -> None:
    assert 0.92 <= coverage(metric, classes, n, accurate, runs=400) <= 0.985


@pytest.mark.slow
@pytest.mark.parametrize("metric", [balanced, macro_f1])
@pytest.mark.parametrize(
    ("classes", "n", "accurate"), [(2, 30, 0.8), (2, 200, 0.95), (5, 60, 0.8), (10, 360, 0.95), (20, 100, 0.8)]
)
def test_averages_are_covered_in_many_runs(metric, classes: int, n: int, accurate: float) -> None:
    assert coverage(metric, classes, n, accurate, runs=2000) >= (0.92 if classes < 20 else 0.85)


@pytest.mark.slow
@pytest.mark.parametrize("metric", [accuracy, balanced, macro_f1])
@pytest.mark.parametrize(("classes", "people", "accurate"), [(2, 40, 0.8), (2, 150, 0.95), (4, 150, 0.8)])
def test_averages_of_people_with_unequal_numbers_of_rows_are_covered(
    metric, classes: int, people: int, accurate: float
) -> None:
    """A rate is covered; an average over classes rests on its variance alone, which very unequal people leave low."""
    least = 0.92 if metric is accuracy else 0.85
    assert coverage(metric, classes, people, accurate, runs=2000, spread=True) >= least
