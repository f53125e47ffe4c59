"""The largest gap and its resamples against naive re-implementations and SciPy's studentised range."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy import stats

from rft.stats import resampling
from rft.stats.gaps import max_t
from rft.stats.gaps.max_t import Resamples, largest_gap
from rft.stats.resampling import RatioTotals, ratio_totals_by_group


def of_rate(hits: int, n: int) -> RatioTotals:
    return RatioTotals.from_counts(np.array([hits, n - hits]), np.array([[1, 0]]), np.array([[1, 1]]))


def naive_maxima(resamples: Resamples) -> np.ndarray:
    """The largest studentised deviation of each draw by a double loop over pairs."""
    groups, variances = len(resamples.values), np.broadcast_to(resamples.drawn_variances, resamples.deviations.shape)
    correlations = np.eye(groups) if resamples.correlations is None else resamples.correlations
    largest = []
    for draw in range(resamples.deviations.shape[1]):
        x, v = resamples.deviations[:, draw], variances[:, draw]
        largest.append(
            max(
                abs(x[i] - x[j]) / np.sqrt(v[i] + v[j] - 2 * correlations[i, j] * np.sqrt(v[i] * v[j]))
                for i, j in itertools.combinations(range(groups), 2)
            )
        )
    return np.sort(largest)


def some_resamples(groups: int, *, correlated: bool, draws: int = 199) -> Resamples:
    rng = np.random.default_rng(groups)
    correlations = np.corrcoef(rng.normal(size=(groups, 20))) if correlated else None
    values = rng.random(groups)
    return Resamples(
        observed=values,
        values=values,
        variances=rng.uniform(0.001, 0.01, groups),
        deviations=rng.normal(scale=0.05, size=(groups, draws)),
        drawn_variances=rng.uniform(0.001, 0.01, (groups, draws)),
        correlations=correlations,
    )


@pytest.mark.parametrize("correlated", [False, True])
@pytest.mark.parametrize("groups", [2, 3, 7])
def test_the_quantile_is_that_of_a_double_loop(groups: int, correlated: bool) -> None:
    resamples = some_resamples(groups, correlated=correlated)
    maxima = naive_maxima(resamples)
    gap = largest_gap(resamples)
    assert gap.max_t_quantile(0.95) == pytest.approx(maxima[189])  # the 190th of 199: (199 + 1) * 0.95
    assert gap.max_t_quantile(0.5) == pytest.approx(maxima[99])


@pytest.mark.parametrize("groups", [2, 3, 10, 25])
def test_in_large_groups_the_quantile_is_that_of_the_studentised_range(groups: int) -> None:
    """Of G equal normal means, max |z_i - z_j| / sqrt(2) is the studentised range over sqrt(2)."""
    n = np.full(groups, 20_000)
    resamples = resampling.resample_rates(n // 3, n, np.random.default_rng(0), draws=20_000)
    expected = stats.studentized_range.ppf(0.95, groups, np.inf) / np.sqrt(2)
    assert largest_gap(resamples).max_t_quantile(0.95) == pytest.approx(expected, rel=0.015)


def test_the_interval_lies_above_zero_exactly_when_the_p_value_is_small() -> None:
    rng = np.random.default_rng(0)
    for _ in range(300):
        n = rng.integers(10, 60, size=rng.integers(2, 6))
        gap = largest_gap(resampling.resample_rates(rng.binomial(n, rng.random(len(n))), n, rng, draws=199))
        for level in (0.8, 0.9, 0.95, 0.99):
            interval = gap.confidence_interval(level)
            assert (interval.low > 0) == (gap.p_value <= 1 - level + 1e-12)
            assert 0 <= interval.low <= gap.value <= interval.high <= 1


def test_the_interval_is_the_largest_limit_of_any_pair() -> None:
    hits, n = np.array([12, 30, 70]), np.array([40, 60, 90])
    gap = largest_gap(resampling.resample_rates(hits, n, np.random.default_rng(0), draws=999))
    smoothed = (hits + 1) / (n + 2)
    variances = smoothed * (1 - smoothed) / (n + 1)
    ends = [
        abs(smoothed[i] - smoothed[j]) + side * gap.max_t_quantile(0.95) * np.sqrt(variances[i] + variances[j])
        for side in (-1, 1)
        for i, j in itertools.combinations(range(3), 2)
    ]
    interval = gap.confidence_interval(0.95)
    assert (interval.low, interval.high) == pytest.approx((max(ends[:3]), max(ends[3:])))
    assert (gap.highest, gap.lowest) == (2, 0)
    assert gap.value == pytest.approx(70 / 90 - 12 / 40)
    assert interval.method == "pairwise max-t 95 %, 3 groups, 999 resamples"


def test_pairs_say_which_groups_differ() -> None:
    hits, n = np.array([10, 12, 80]), np.array([100, 100, 100])
    gap = largest_gap(resampling.resample_rates(hits, n, np.random.default_rng(0), draws=999))
    pairs = {(pair.first, pair.second): pair for pair in gap.compare_pairs(0.95)}
    assert set(pairs) == {(1, 0), (2, 0), (2, 1)}
    assert {groups for groups, pair in pairs.items() if pair.interval.low > 0} == {(2, 0), (2, 1)}
    assert {groups for groups, pair in pairs.items() if pair.p_value <= 0.05} == {(2, 0), (2, 1)}
    assert max(pair.interval.low for pair in pairs.values()) == pytest.approx(gap.confidence_interval(0.95).low)
    assert min(pair.p_value for pair in pairs.values()) == gap.p_value


def test_an_unbounded_statistic_is_not_clipped() -> None:
    values = [np.random.default_rng(group).normal(3 * group, 1, 40) for group in range(3)]
    sums = [RatioTotals(v[:, None], np.ones((40, 1)), np.ones(40)) for v in values]
    gap = largest_gap(resampling.resample_ratios(sums, np.random.default_rng(0), draws=499, smoothed=False), bound=None)
    interval = gap.confidence_interval(0.95)
    assert 1 < interval.low < gap.value < interval.high
    assert gap.value == pytest.approx(values[2].mean() - values[0].mean())


def test_too_few_draws_for_a_level_are_refused() -> None:
    gap = largest_gap(some_resamples(3, correlated=False, draws=99))
    assert gap.max_t_quantile(0.99) > 0
    with pytest.raises(ValueError, match=r"at least 999 draws for the level 0\.999, got 99"):
        gap.confidence_interval(0.999)
    assert max_t.draws_for_level(0.999) == 39_999


def test_what_cannot_be_studentised_is_refused() -> None:
    always = RatioTotals(np.ones((12, 1)), np.ones((12, 1)), np.ones(12))
    with pytest.raises(ValueError, match="variances above 0"):
        resampling.resample_ratios([always, always], np.random.default_rng(0), draws=9, smoothed=False)
    with pytest.raises(ValueError, match="two groups or more"):
        resampling.resample_rates(np.array([3]), np.array([9]), np.random.default_rng(0), draws=9)
    with pytest.raises(ValueError, match="0 <= numerators <= denominators"):
        resampling.resample_rates(np.array([3, 10]), np.array([9, 9]), np.random.default_rng(0), draws=9)


def test_groups_without_errors_still_have_a_variance() -> None:
    hits, n = np.array([20, 20, 0]), np.array([20, 20, 20])
    gap = largest_gap(resampling.resample_rates(hits, n, np.random.default_rng(0), draws=999))
    interval = gap.confidence_interval(0.95)
    assert gap.value == 1
    assert 0.6 < interval.low < 0.95
    assert interval.high == 1


def test_holm() -> None:
    """R: p.adjust(c(0.01, 0.02, 0.03, 0.04, 0.05), "holm")."""
    assert max_t.adjust_by_holm([0.03, 0.01, 0.05, 0.02, 0.04]) == pytest.approx([0.09, 0.05, 0.09, 0.08, 0.09])
    assert max_t.adjust_by_holm([0.9, 0.8]) == [1.0, 1.0]
    assert max_t.adjust_by_holm([]) == []
    with pytest.raises(ValueError, match="between 0 and 1"):
        max_t.adjust_by_holm([0.1, float("nan")])


def test_rates_and_ratios_of_rows_are_the_same_bootstrap() -> None:
    hits, n = np.array([13, 20, 44]), np.array([42, 30, 70])
    by_rates = resampling.resample_rates(hits, n, np.random.default_rng(0), draws=20_000)
    by_ratios = resampling.resample_ratios(
        [of_rate(*pair) for pair in zip(hits, n, strict=True)], np.random.default_rng(1), draws=20_000
    )
    assert by_ratios.observed == pytest.approx(by_rates.observed)
    assert by_ratios.values == pytest.approx(by_rates.values)
    assert by_ratios.variances == pytest.approx(by_rates.variances)
    for level in (0.5, 0.9, 0.95):
        quantiles = [largest_gap(resamples).max_t_quantile(level) for resamples in (by_rates, by_ratios)]
        assert quantiles[1] == pytest.approx(quantiles[0], rel=0.03)


def test_deviations_have_no_mean() -> None:
    resamples = resampling.resample_rates(np.array([0, 20]), np.array([20, 30]), np.random.default_rng(0), draws=40_000)
    errors = resamples.deviations.std(axis=1) / 200
    assert np.abs(resamples.deviations.mean(axis=1) / errors).max() < 4


def draw_people(rng: np.random.Generator, n: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rows of people with 1 to 5 rows each, half of them cases: hits, cases, and whose each row is."""
    units = np.repeat(np.arange(n), rng.integers(1, 6, n))
    cases = rng.random(len(units)) < 0.5
    return cases & (rng.random(len(units)) < rng.random(n)[units]), cases, units


def test_sums_of_rows_add_up_units() -> None:
    rng = np.random.default_rng(0)
    hits, cases, units = draw_people(rng, 200)
    groups = rng.integers(-1, 3, 200)[units]
    sums = ratio_totals_by_group(hits, cases, groups, units, n_groups=3)
    for group, totals in enumerate(sums):
        expected: dict[tuple[int, int], int] = {}
        for unit in np.unique(units[(groups == group) & cases]):
            kind = (int(hits[units == unit].sum()), int(cases[units == unit].sum()))
            expected[kind] = expected.get(kind, 0) + 1
        kinds = zip(totals.numerators[:, 0], totals.denominators[:, 0], totals.units, strict=True)
        assert {(int(hit), int(case)): int(n) for hit, case, n in kinds} == expected
        assert totals.value == pytest.approx(hits[groups == group].sum() / cases[groups == group].sum())
        assert totals.codes is None


def test_sums_of_rows_without_units_are_rows() -> None:
    hits, groups = np.array([1, 1, 0, 1, 0, 1]), np.array([0, 0, 0, 1, 1, -1])
    first, second = ratio_totals_by_group(hits, np.ones(6), groups, None, n_groups=2)
    assert (first.value, second.value) == (2 / 3, 1 / 2)
    assert first.units.sum() == 3
    scores = np.array([0.1, 0.25, 0.7, 0.9, 0.4, 0.3])
    first, second = ratio_totals_by_group(scores, np.ones(6), groups, None, n_groups=2)
    assert first.value == pytest.approx(scores[:3].mean())
    assert first.variance == pytest.approx(scores[:3].var(ddof=1) / 3)


def test_far_apart_codes_of_units_are_the_same_units() -> None:
    rng = np.random.default_rng(0)
    hits, cases, units = draw_people(rng, 50)
    near = ratio_totals_by_group(hits, cases, np.zeros(len(units), dtype=int), units, n_groups=1)[0]
    far = ratio_totals_by_group(hits, cases, np.zeros(len(units), dtype=int), units * 10**9, n_groups=1)[0]
    assert (near.value, near.variance, near.units.sum()) == (far.value, far.variance, far.units.sum())


def test_the_variance_of_a_ratio_is_cochrans() -> None:
    rng = np.random.default_rng(0)
    x, m = rng.integers(0, 5, 40), rng.integers(5, 9, 40)
    expected = 40 / 39 * np.sum((x - x.sum() / m.sum() * m) ** 2) / m.sum() ** 2
    ratio = RatioTotals(x[:, None].astype(float), m[:, None].astype(float), np.ones(40))
    assert ratio.variance == pytest.approx(expected)
    twice = RatioTotals(np.repeat(ratio.numerators, 2, axis=1), np.repeat(ratio.denominators, 2, axis=1), ratio.units)
    assert twice.variance == pytest.approx(expected)  # the average of a ratio and itself, by the general way


def balanced_sums(counts: np.ndarray) -> RatioTotals:
    classes = len(counts)
    rows = np.stack([np.arange(classes)[:, None] == k for k in range(classes)]) & np.ones(counts.shape, dtype=bool)
    return RatioTotals.from_counts(counts, rows & np.eye(classes, dtype=bool), rows)


def test_balanced_accuracy_has_the_variance_of_its_recalls() -> None:
    counts = np.array([[30, 5, 5], [10, 20, 0], [0, 1, 9]])
    recalls, rows = np.diag(counts) / counts.sum(axis=1), counts.sum(axis=1)
    totals = balanced_sums(counts)
    assert totals.values == pytest.approx(recalls)
    expected = np.sum(recalls * (1 - recalls) / rows) / 9
    assert totals.variance == pytest.approx(expected * 80 / 79)  # the n / (n - 1) of all 80 rows


def test_draws_of_kinds_are_draws_of_units() -> None:
    """The naive bootstrap picks units one by one and has the same spread and the same studentised tails."""
    rng = np.random.default_rng(0)
    x, m = rng.integers(0, 3, 30), rng.integers(3, 6, 30)
    totals = resampling._count_equal_units(x[:, None].astype(float), m[:, None].astype(float))
    assert len(totals.units) < 30
    counted = resampling.resample_ratios([totals, totals], rng, draws=20_000, smoothed=False)
    picks = rng.integers(0, 30, size=(20_000, 30))
    values = x[picks].sum(axis=1) / m[picks].sum(axis=1)
    variances = ((x[picks] - values[:, None] * m[picks]) ** 2).sum(axis=1) / m[picks].sum(axis=1) ** 2 * 30 / 29
    t = (values - x.sum() / m.sum()) / np.sqrt(variances)
    drawn = counted.deviations[0] / np.sqrt(counted.drawn_variances[0])
    assert counted.deviations[0].std() == pytest.approx(values.std(), rel=0.03)
    for level in (0.025, 0.5, 0.975):
        assert np.quantile(drawn, level) == pytest.approx(np.quantile(t, level), abs=0.07)


def test_drawing_unit_by_unit_is_the_same_multinomial(monkeypatch: pytest.MonkeyPatch) -> None:
    counts = np.array([[12, 3], [4, 9]])
    ways = []
    for few in (True, False):
        monkeypatch.setattr(resampling._Population, "_few", few)
        ways.append(resampling.resample_ratios([balanced_sums(counts)] * 2, np.random.default_rng(0), draws=20_000))
    assert ways[0].deviations.std() == pytest.approx(ways[1].deviations.std(), rel=0.02)
    assert ways[0].drawn_variances.mean() == pytest.approx(ways[1].drawn_variances.mean(), rel=0.02)


@pytest.mark.parametrize("added", [[], [0.5, 0.5, 1.0], [1 / 3] * 6])
def test_units_of_several_groups_are_drawn_as_numpys_multinomial_draws_them(added: list[float]) -> None:
    """Counts of single kinds have the chances of the binomial, and any two kinds its covariance."""
    n, draws, counts_less = 12, 40_000, np.array(added)
    counts = resampling._draw_counts(np.random.default_rng(0), n, counts_less, draws)
    assert (counts.shape, set(counts.sum(axis=1))) == ((draws, n + len(added)), {n})
    shares = np.concatenate([np.ones(n), counts_less]) / (n + sum(added))
    for kind, share in enumerate(shares):
        expected = stats.binom.pmf(np.arange(4), n, share)
        assert [np.mean(counts[:, kind] == k) for k in range(4)] == pytest.approx(expected, abs=0.012)
    covariance = n * (np.diag(shares) - np.outer(shares, shares))
    assert np.cov(counts.T) == pytest.approx(covariance, abs=0.035)


def test_many_units_are_drawn_as_normal_and_it_makes_no_difference(monkeypatch: pytest.MonkeyPatch) -> None:
    """Log losses are skewed: with 5,001 units a group the quantile of |t| is still the normal one."""
    rng = np.random.default_rng(0)
    losses = [rng.exponential(size=5001) for _ in range(4)]
    sums = [RatioTotals(loss[:, None], np.ones((5001, 1)), np.ones(5001)) for loss in losses]
    normal = largest_gap(resampling.resample_ratios(sums, rng, draws=4000, smoothed=False), bound=None)
    monkeypatch.setattr(resampling, "MIN_KINDS_DRAWN_AS_NORMAL", 10**9)
    resampled = largest_gap(resampling.resample_ratios(sums, rng, draws=1500, smoothed=False), bound=None)
    assert normal.max_t_quantile(0.95) == pytest.approx(resampled.max_t_quantile(0.95), rel=0.04)
    assert normal.confidence_interval(0.95).high == pytest.approx(resampled.confidence_interval(0.95).high, rel=0.05)


def shared_people(rng: np.random.Generator, n: int) -> tuple[list[RatioTotals], np.ndarray]:
    """People of whom each has a row in both groups, with scores that agree."""
    draws = rng.random(n)
    scores = np.stack([draws + 0.3 * rng.random(n), draws + 0.3 * rng.random(n)])
    units = np.concatenate([np.arange(n)] * 2)
    groups = np.repeat([0, 1], n)
    return ratio_totals_by_group(scores.ravel(), np.ones(2 * n), groups, units, n_groups=2), scores


@pytest.mark.parametrize("many", [False, True])
def test_people_in_both_groups_are_compared_in_pairs(many: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if many:
        monkeypatch.setattr(resampling, "MIN_KINDS_DRAWN_AS_NORMAL", 10)
    sums, scores = shared_people(np.random.default_rng(0), 60)
    monkeypatch.setattr(resampling, "MAX_CORRELATION", 1.0)
    resamples = resampling.resample_ratios(sums, np.random.default_rng(1), draws=8000, smoothed=False)
    paired = stats.sem(scores[0] - scores[1])
    gap = largest_gap(resamples, bound=None)
    assert gap._errors[0, 1] == pytest.approx(paired)
    assert (resamples.deviations[0] - resamples.deviations[1]).std() == pytest.approx(paired, rel=0.03)
    assert gap.max_t_quantile(0.95) == pytest.approx(
        stats.norm.ppf(0.975) if many else stats.t.ppf(0.975, 59), rel=0.05
    )


def test_a_correlation_that_would_leave_no_variance_is_capped() -> None:
    same = np.repeat(np.arange(20.0), 2)
    sums = ratio_totals_by_group(same, np.ones(40), np.tile([0, 1], 20), np.repeat(np.arange(20), 2), n_groups=2)
    resamples = resampling.resample_ratios(sums, np.random.default_rng(0), draws=199, smoothed=False)
    assert resamples.correlations is not None
    assert resamples.correlations[0, 1] == resampling.MAX_CORRELATION
    gap = largest_gap(resamples, bound=None)
    assert (gap.value, gap.p_value) == (0, 1)  # and not 0 / 0
