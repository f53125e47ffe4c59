"""Two models on the same people: paired changes of gaps, their intervals, and who changed sides."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from rft.plugins import RunPair
from rft.plugins.fairness.measure.group_metrics import SampleSizeRules
from rft.plugins.fairness.paired.change import (
    GapChange,
    PairedChanges,
    PairedPredictions,
    count_changed_decisions,
    measure_changes,
    size_change_interval,
)
from rft.plugins.fairness.paired.section import compare_models
from rft.predictions.grouped import ClassTarget
from rft.predictions.table import Grouping, PredictionArrays
from rft.records import NotMeasured
from tests.support.fairness_cases import predictions

ACCURACY = ("accuracy", ClassTarget(None, None))
CLASSES = ("no", "yes")


def draw_pair(
    rng: np.random.Generator, errors: dict[str, tuple[float, float]], n: int, *, photos: int = 1
) -> tuple[PairedPredictions, Grouping]:
    """Return two models of n people a group, each with its share of errors by group; models share what is hard."""
    names = tuple(errors)
    codes = np.repeat(np.arange(len(names), dtype=np.int32), n)
    labels, hard = rng.integers(0, 2, len(codes)), rng.random(len(codes))
    predictions = [
        np.where(hard < np.array([errors[name][model] for name in names])[codes], 1 - labels, labels)
        for model in (0, 1)
    ]
    units = None if photos == 1 else np.repeat(np.arange(len(codes)), photos)
    labels, codes = np.repeat(labels, photos), np.repeat(codes, photos)
    before, after = (
        PredictionArrays(CLASSES, labels, np.repeat(predicted, photos), units=units) for predicted in predictions
    )
    return PairedPredictions(before, after), Grouping("place", names, codes, ("place",))


def gap_changes(paired: tuple[PairedPredictions, Grouping], seed: int = 0) -> list[GapChange]:
    result = measure_changes(*paired, *ACCURACY, size_rules=SampleSizeRules(), seed=seed)
    assert isinstance(result, PairedChanges)
    return list(result.changes)


def test_the_change_is_the_difference_of_the_two_gaps() -> None:
    paired, grouping = draw_pair(np.random.default_rng(0), {"x": (0.1, 0.1), "y": (0.3, 0.12), "z": (0.2, 0.2)}, 200)
    for change in gap_changes((paired, grouping)):
        first, second = (grouping.codes == grouping.names.index(name) for name in (change.first, change.second))
        right = [rows.labels == rows.predictions for rows in (paired.before, paired.after)]
        before, after = (correct[first].mean() - correct[second].mean() for correct in right)
        assert (change.before, change.after) == pytest.approx((before, after))
        assert change.value == pytest.approx(abs(after) - abs(before))
        assert change.interval.low <= change.value <= change.interval.high
        assert change.first < change.second
    assert len(gap_changes((paired, grouping))) == 3


def test_a_gap_that_closes_is_found_and_one_that_stays_is_not() -> None:
    paired = draw_pair(np.random.default_rng(0), {"x": (0.1, 0.1), "y": (0.3, 0.12), "z": (0.2, 0.2)}, 300)
    by_pair = {(item.first, item.second): item for item in gap_changes(paired)}
    assert by_pair["x", "y"].interval.high < 0  # the gap was .2 and is .02
    assert by_pair["x", "z"].interval.low <= 0 <= by_pair["x", "z"].interval.high


def test_pairing_helps() -> None:
    """Where both models err on the same people, the paired interval is far narrower than one of independent samples."""
    paired = draw_pair(np.random.default_rng(1), {"x": (0.2, 0.2), "y": (0.3, 0.25)}, 400)
    [change] = gap_changes(paired)
    independent = 2 * 1.96 * np.sqrt(2 * (0.2 * 0.8 + 0.27 * 0.73) / 400)
    assert change.interval.high - change.interval.low < 0.5 * independent


@pytest.mark.slow
@pytest.mark.parametrize("photos", [1, 3])
def test_models_that_change_nothing_are_rarely_accused(photos: int) -> None:
    """Both groups get the same change, so that no pair of gaps changes: nominally 5 % of 200 data sets."""
    wrongly = 0
    for seed in range(200):
        errors = {"x": (0.3, 0.2), "y": (0.3, 0.2), "z": (0.4, 0.3)}
        result = gap_changes(draw_pair(np.random.default_rng(seed), errors, 60, photos=photos), seed)
        wrongly += any(not change.interval.low <= 0 <= change.interval.high for change in result)
    assert 1 <= wrongly <= 18


ERRORS = {
    "narrower": {"x": (0.3, 0.2), "y": (0.3, 0.25), "z": (0.4, 0.2)},
    "other side": {"x": (0.2, 0.3), "y": (0.3, 0.21), "z": (0.25, 0.25)},
    "from nothing": {"x": (0.25, 0.15), "y": (0.25, 0.3), "z": (0.25, 0.25)},
    "nothing": {"x": (0.25, 0.25), "y": (0.25, 0.25), "z": (0.25, 0.25)},
}


@pytest.mark.slow
@pytest.mark.parametrize("photos", [1, 3])
@pytest.mark.parametrize("errors", ERRORS.values(), ids=ERRORS)
def test_the_intervals_hold_for_all_pairs_at_once(errors: dict[str, tuple[float, float]], photos: int) -> None:
    """1,000 data sets: all three intervals hold the true change of size in at least 93 %."""
    held = 0
    for seed in range(1000):
        result = gap_changes(draw_pair(np.random.default_rng(seed), errors, 60, photos=photos), seed)
        held += all(change.interval.low <= true_change(errors, change) <= change.interval.high for change in result)
    assert held >= 930


def true_change(errors: dict[str, tuple[float, float]], change: GapChange) -> float:
    before, after = (abs(errors[change.first][model] - errors[change.second][model]) for model in (0, 1))
    return after - before


def test_a_gap_that_changes_sides_has_not_become_narrower() -> None:
    """+.100 becomes -.090: by its sign it moved by -.19, by its size by -.01."""
    paired = draw_pair(np.random.default_rng(0), {"x": (0.1, 0.19), "y": (0.2, 0.1)}, 2000)
    [change] = gap_changes(paired)
    assert change.reversed
    assert change.value == pytest.approx(-0.01, abs=0.02)
    assert change.interval.low < 0 < change.interval.high


@pytest.mark.parametrize("turned", [False, True])
def test_a_gap_that_widens_has_a_change_above_0_whatever_its_sign(turned: bool) -> None:
    errors = {"x": (0.1, 0.1), "y": (0.12, 0.34)}
    paired = draw_pair(
        np.random.default_rng(0), dict(zip("xy", reversed(errors.values()), strict=True)) if turned else errors, 2000
    )
    [change] = gap_changes(paired)
    assert change.value == pytest.approx(0.22, abs=0.03)
    assert change.interval.low > 0.15


@pytest.mark.parametrize(
    ("shift", "total", "expected"),
    [
        ((0.1, 0.2), (0.5, 0.6), (0.1, 0.2)),  # stays above 0: the shift
        ((0.1, 0.2), (-0.6, -0.5), (-0.2, -0.1)),  # stays below 0: the shift turned round
        ((0.5, 0.6), (0.01, 0.03), (0.01, 0.03)),  # changes sides: the total
        ((0.5, 0.6), (-0.03, 0.02), (-0.03, 0.02)),
        ((-0.1, 0.2), (0.05, 0.6), (-0.1, 0.2)),
        ((-0.1, 0.2), (-0.3, 0.15), (-0.2, 0.15)),
    ],
)
def test_the_interval_of_a_change_of_size_is_its_range(
    shift: tuple[float, float], total: tuple[float, float], expected: tuple[float, float]
) -> None:
    interval = size_change_interval(shift, total, 2, 0.95)
    assert (interval.low, interval.high) == pytest.approx(expected)
    grid = [
        abs((t + s) / 2) - abs((s - t) / 2)
        for t in np.linspace(shift[0], shift[1], 41)
        for s in np.linspace(total[0], total[1], 41)
    ]
    assert (min(grid), max(grid)) == pytest.approx(expected)


def test_who_changed_sides() -> None:
    labels = np.array([0, 0, 1, 1, 1])
    before, after = (
        PredictionArrays(CLASSES, labels, np.array([0, 1, 0, 1, 1])),
        PredictionArrays(CLASSES, labels, np.array([1, 0, 1, 1, 0])),
    )
    grouping = Grouping("place", ("x", "y"), np.array([0, 0, 0, 1, 1], dtype=np.int32), ("place",))
    x, y = count_changed_decisions(PairedPredictions(before, after), grouping, 1)
    assert (x["n"], x["newly_given"], x["no_longer_given"], x["newly_right"], x["newly_wrong"]) == (3, 2, 1, 2, 1)
    assert (y["n"], y["newly_given"], y["no_longer_given"], y["newly_right"], y["newly_wrong"]) == (2, 0, 1, 0, 1)


def test_small_groups_are_not_compared() -> None:
    paired, grouping = draw_pair(np.random.default_rng(0), {"x": (0.1, 0.1), "y": (0.3, 0.1)}, 29)
    result = measure_changes(paired, grouping, *ACCURACY, size_rules=SampleSizeRules(), seed=0)
    assert isinstance(result, NotMeasured)
    assert "fewer than two groups have 30" in result.reason


def test_other_examples_are_refused() -> None:
    rows = PredictionArrays(CLASSES, np.array([0, 1]), np.array([0, 1]))
    with pytest.raises(ValueError, match="different labels"):
        PairedPredictions(rows, PredictionArrays(CLASSES, np.array([1, 1]), np.array([0, 1])))


@pytest.mark.slow
def test_rules_are_judged_by_the_gap_that_widened_most_and_small_groups_may_have_changed_by_anything() -> None:
    rng = np.random.default_rng(0)
    both, grouping = draw_pair(rng, {"x": (0.1, 0.3), "y": (0.1, 0.1), "z": (0.4, 0.1)}, 400)
    frames = [frame_of(rows, grouping) for rows in (both.before, both.after)]
    comparison = compare_models(RunPair(frames[0], frames[1], CLASSES, "yes", ("a", "b"), 0), verdicts=True)
    finding = comparison.finding("fairness.change_of_accuracy_gap.place")
    table = [row for row in comparison.tables["changes"] if row["metric"] == "accuracy"]
    assert finding.value == max(row["change"] for row in table) > 0.1
    assert finding.interval.low > 0
    assert finding.status == "warn"
    assert finding.adjusted[0].interval == finding.interval
    rare = [frame.assign(group_place=frame["group_place"].where(frame.index >= 5, "rare")) for frame in frames]
    left_out = compare_models(RunPair(rare[0], rare[1], CLASSES, "yes", ("a", "b"), 0), verdicts=True)
    finding = left_out.finding("fairness.change_of_accuracy_gap.place")
    assert finding.small_groups == ("rare",)
    assert finding.adjusted[0].interval.high == 1.0
    assert "rare" in finding.caveats


def test_a_reversal_is_said() -> None:
    both, grouping = draw_pair(np.random.default_rng(0), {"x": (0.1, 0.19), "y": (0.2, 0.1)}, 2000)
    frames = [frame_of(rows, grouping) for rows in (both.before, both.after)]
    finding = compare_models(RunPair(frames[0], frames[1], CLASSES, "yes", ("a", "b"), 0)).finding(
        "fairness.change_of_accuracy_gap.place"
    )
    assert finding.status == "info"
    assert "by no more than chance can explain. It changed sides: y has the higher one now." in finding.description


def frame_of(rows: PredictionArrays, grouping: Grouping) -> pd.DataFrame:
    labels, predicted = (np.array(CLASSES)[codes] for codes in (rows.labels, rows.predictions))
    return predictions(labels, predicted, place=np.array(grouping.names)[grouping.codes])
