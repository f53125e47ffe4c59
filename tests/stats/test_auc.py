"""Areas and calibration errors of groups against naive pairs, SciPy, the jackknife and simulations."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from rft.records import Interval
from rft.stats import auc
from rft.stats.auc import Area
from rft.stats.calibration import calibration_error
from rft.stats.max_t import LargestGap, largest_gap


def some_rows(rng: np.random.Generator, positives: int, negatives: int, auc: float) -> tuple[np.ndarray, np.ndarray]:
    """Normal scores with the area ``auc``."""
    shift = np.sqrt(2) * stats.norm.ppf(auc)
    scores = np.concatenate([rng.normal(shift, size=positives), rng.normal(size=negatives)])
    return scores, np.arange(positives + negatives) < positives


def test_the_area_is_the_share_of_pairs_in_order() -> None:
    rng = np.random.default_rng(0)
    scores, positive = rng.integers(0, 6, 80).astype(float), rng.random(80) < 0.4
    pairs = scores[positive][:, None] - scores[~positive]
    assert Area.of(scores, positive).value == pytest.approx(((pairs > 0) + (pairs == 0) / 2).mean())
    expected = stats.mannwhitneyu(scores[positive], scores[~positive]).statistic / pairs.size
    assert Area.of(scores, positive).value == pytest.approx(expected)


def delong_variance(scores: np.ndarray, positive: np.ndarray) -> float:
    pairs = np.sign(scores[positive][:, None] - scores[~positive]) / 2 + 0.5
    return float(pairs.mean(axis=1).var(ddof=1) / len(pairs) + pairs.mean(axis=0).var(ddof=1) / pairs.shape[1])


def test_the_variance_is_delongs(monkeypatch: pytest.MonkeyPatch) -> None:
    scores, positive = some_rows(np.random.default_rng(0), 40, 70, 0.8)
    monkeypatch.setattr(auc, "ADDED", 1e-12)
    assert Area.of(scores, positive).variance == pytest.approx(delong_variance(scores, positive), rel=1e-6)


def test_what_is_added_hardly_matters_in_large_groups() -> None:
    scores, positive = some_rows(np.random.default_rng(0), 2000, 2000, 0.8)
    area = Area.of(scores, positive)
    assert area.smoothed == pytest.approx(area.value, abs=5e-4)
    assert area.variance == pytest.approx(delong_variance(scores, positive), rel=0.01)


def test_the_variance_over_units_is_that_of_whole_people() -> None:
    """Against leaving out one person at a time, the jackknife, which Obuchowski's variance approximates."""
    rng = np.random.default_rng(0)
    units = np.repeat(np.arange(120), 3)
    own = rng.normal(size=120)[units]
    positive = (rng.random(120) < 0.4)[units]
    scores = own + positive + 0.5 * rng.normal(size=360)
    left_out = [Area.of(scores[units != unit], positive[units != unit]).value for unit in range(120)]
    jackknife = 119 / 120 * np.sum((np.array(left_out) - np.mean(left_out)) ** 2)
    of_people, of_rows = Area.of(scores, positive, units).variance, Area.of(scores, positive).variance
    assert of_people == pytest.approx(jackknife, rel=0.05)
    assert of_people > 2 * of_rows


def gap_of(rows: list[tuple[np.ndarray, np.ndarray]], rng: np.random.Generator, draws: int = 199) -> LargestGap:
    return largest_gap(auc.areas([Area.of(*one) for one in rows], rng, draws=draws))


def test_areas_of_one_keep_an_interval() -> None:
    rows = [(np.arange(40.0), np.arange(40) >= 20), (np.arange(60.0), np.arange(60) >= 30)]
    gap = gap_of(rows, np.random.default_rng(0), draws=999)
    interval = gap.interval()
    assert gap.value == 0
    assert interval.low == 0
    assert 0.01 < interval.high < 0.2


def test_many_rows_are_drawn_as_normal_and_it_makes_no_difference(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    rows = [some_rows(rng, 1500, 1500, 0.9) for _ in range(3)]
    resampled = gap_of(rows, rng, draws=1999).quantile(0.95)
    monkeypatch.setattr(auc, "MANY", 100)
    assert gap_of(rows, rng, draws=1999).quantile(0.95) == pytest.approx(resampled, rel=0.05)


def simulated(sizes: list[tuple[int, int]], auc: np.ndarray, *, runs: int) -> tuple[float, float]:
    """Return how often a gap is found and how often the true one is covered."""
    rng, intervals = np.random.default_rng(0), list[Interval]()
    for _ in range(runs):
        rows = [some_rows(rng, *size, one) for size, one in zip(sizes, auc, strict=True)]
        intervals.append(gap_of(rows, rng).interval())
    true = auc.max() - auc.min()
    found = np.mean([interval.low > 0 for interval in intervals])
    return float(found), float(np.mean([interval.low <= true <= interval.high for interval in intervals]))


SMALL, MIXED = [(20, 20)] * 4, [(20, 20), (20, 100), (50, 50), (200, 200)]


@pytest.mark.parametrize(("sizes", "auc"), [(SMALL, 0.7), (MIXED, 0.9)])
def test_no_gap_of_areas_is_found_where_there_is_none(sizes: list[tuple[int, int]], auc: float) -> None:
    assert simulated(sizes, np.full(4, auc), runs=200)[0] <= 0.08


@pytest.mark.slow
@pytest.mark.parametrize("auc", [0.5, 0.7, 0.9, 0.97])
@pytest.mark.parametrize("sizes", [SMALL[:2], SMALL, MIXED])
def test_no_gap_of_areas_is_found_in_many_runs(sizes: list[tuple[int, int]], auc: float) -> None:
    assert simulated(sizes, np.full(len(sizes), auc), runs=2000)[0] <= 0.06


@pytest.mark.slow
@pytest.mark.parametrize("sizes", [SMALL[:2], MIXED])
def test_a_true_gap_of_areas_is_covered_in_many_runs(sizes: list[tuple[int, int]]) -> None:
    assert simulated(sizes, np.linspace(0.75, 0.95, len(sizes)), runs=2000)[1] >= 0.93


def test_an_area_without_one_of_the_classes_is_refused() -> None:
    for scores, positive in (([1.0, 2.0], [True, True]), ([1.0, np.nan], [True, False])):
        with pytest.raises(ValueError, match="finite scores of positives and of negatives"):
            Area.of(np.array(scores), np.array(positive))


def test_effective_classes_count_people() -> None:
    positive, units = np.array([True] * 4 + [False] * 2), np.array([0, 0, 1, 1, 2, 3])
    assert auc.effective_classes(positive, None) == (4, 2)
    assert auc.effective_classes(positive, units) == (2, 2)


@pytest.mark.parametrize("off", [0.0, 0.1])
def test_the_debiased_calibration_error_is_unbiased_where_the_plugin_is_not(off: float) -> None:
    rng, found = np.random.default_rng(0), []
    for _ in range(2000):
        scores = rng.uniform(0.1, 0.8, 200)
        found.append(calibration_error(scores, rng.random(200) < scores + off))
    squared = np.array([one.squared for one in found])
    assert squared.mean() == pytest.approx(off**2, abs=4 * squared.std() / np.sqrt(2000))
    assert np.mean([one.plugin**2 for one in found]) > off**2 + 0.01
    assert all(one.value >= 0 for one in found)


def test_calibration_does_not_depend_on_the_order_of_tied_rows() -> None:
    rng = np.random.default_rng(0)
    scores, hits = np.round(rng.random(300), 1), rng.random(300) < 0.5
    order = rng.permutation(300)
    assert calibration_error(scores, hits).squared == pytest.approx(
        calibration_error(scores[order], hits[order]).squared
    )


def test_calibration_of_too_little_or_of_nonsense() -> None:
    assert calibration_error(np.full(19, 0.5), np.ones(19)) is None
    assert calibration_error(np.full(40, 0.5), np.arange(40) < 20).bins == 1
    with pytest.raises(ValueError, match="between 0 and 1"):
        calibration_error(np.full(40, 1.5), np.ones(40))
