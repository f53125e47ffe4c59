"""Two models on the same people: paired changes of gaps, their intervals, and who changed sides."""

from __future__ import annotations

import numpy as np
import pytest

from rft.plugins.fairness.comparison import Change, NoChange, Pair, changes, sides
from rft.plugins.fairness.group_metrics import Limits
from rft.predictions.grouped import Target
from rft.predictions.table import Grouping, Rows

ACCURACY = ("accuracy", Target(None, None))
CLASSES = ("no", "yes")


def pair(
    rng: np.random.Generator, errors: dict[str, tuple[float, float]], n: int, *, photos: int = 1
) -> tuple[Pair, Grouping]:
    """Return two models of n people a group, each with its share of errors by group; models share what is hard."""
    names = tuple(errors)
    codes = np.repeat(np.arange(len(names), dtype=np.int32), n)
    labels, hard = rng.integers(0, 2, len(codes)), rng.random(len(codes))
    own = [
        np.where(hard < np.array([errors[name][model] for name in names])[codes], 1 - labels, labels)
        for model in (0, 1)
    ]
    units = None if photos == 1 else np.repeat(np.arange(len(codes)), photos)
    labels, codes, *own = (np.repeat(each, photos) for each in (labels, codes, *own))
    before, after = (Rows(CLASSES, labels, guess, units=units) for guess in own)
    return Pair(before, after), Grouping("place", names, codes, ("place",))


def found(given: tuple[Pair, Grouping], seed: int = 0) -> list[Change]:
    result = changes(*given, *ACCURACY, limits=Limits(), seed=seed)
    assert not isinstance(result, NoChange)
    return result


def test_the_change_is_the_difference_of_the_two_gaps() -> None:
    given, grouping = pair(np.random.default_rng(0), {"x": (0.1, 0.1), "y": (0.3, 0.12), "z": (0.2, 0.2)}, 200)
    for change in found((given, grouping)):
        first, other = (grouping.codes == grouping.names.index(name) for name in (change.first, change.other))
        right = [rows.labels == rows.predictions for rows in (given.before, given.after)]
        before, after = (own[first].mean() - own[other].mean() for own in right)
        assert (change.before, change.after) == pytest.approx((before, after))
        assert change.low <= change.value <= change.high
        assert change.first < change.other
    assert len(found((given, grouping))) == 3


def test_a_gap_that_closes_is_found_and_one_that_stays_is_not() -> None:
    given = pair(np.random.default_rng(0), {"x": (0.1, 0.1), "y": (0.3, 0.12), "z": (0.2, 0.2)}, 300)
    by_pair = {(each.first, each.other): each for each in found(given)}
    assert by_pair["x", "y"].high < 0  # x was better than y and is less so now
    assert by_pair["x", "z"].low <= 0 <= by_pair["x", "z"].high


def test_pairing_helps() -> None:
    """Where both models err on the same people, the paired interval is far narrower than one of independent samples."""
    given = pair(np.random.default_rng(1), {"x": (0.2, 0.2), "y": (0.3, 0.25)}, 400)
    [change] = found(given)
    independent = 2 * 1.96 * np.sqrt(2 * (0.2 * 0.8 + 0.27 * 0.73) / 400)
    assert change.high - change.low < 0.5 * independent


@pytest.mark.parametrize("photos", [1, 3])
def test_models_that_change_nothing_are_rarely_accused(photos: int) -> None:
    """Both groups get the same change, so that no pair of gaps changes: nominally 5 % of 200 data sets."""
    wrongly = 0
    for seed in range(200):
        errors = {"x": (0.3, 0.2), "y": (0.3, 0.2), "z": (0.4, 0.3)}
        result = found(pair(np.random.default_rng(seed), errors, 60, photos=photos), seed)
        wrongly += any(not each.low <= 0 <= each.high for each in result)
    assert 1 <= wrongly <= 18


@pytest.mark.slow
@pytest.mark.parametrize("photos", [1, 3])
def test_the_intervals_hold_for_all_pairs_at_once(photos: int) -> None:
    """1,000 data sets in which gaps do change: all three intervals hold the truth in at least 93 %."""
    errors = {"x": (0.3, 0.2), "y": (0.3, 0.25), "z": (0.4, 0.2)}
    gain = {name: before - after for name, (before, after) in errors.items()}
    held = 0
    for seed in range(1000):
        result = found(pair(np.random.default_rng(seed), errors, 60, photos=photos), seed)
        held += all(each.low <= gain[each.first] - gain[each.other] <= each.high for each in result)
    assert held >= 930


def test_who_changed_sides() -> None:
    labels = np.array([0, 0, 1, 1, 1])
    before, after = Rows(CLASSES, labels, np.array([0, 1, 0, 1, 1])), Rows(CLASSES, labels, np.array([1, 0, 1, 1, 0]))
    grouping = Grouping("place", ("x", "y"), np.array([0, 0, 0, 1, 1], dtype=np.int32), ("place",))
    x, y = sides(Pair(before, after), grouping, 1)
    assert (x["n"], x["newly_given"], x["no_longer_given"], x["newly_right"], x["newly_wrong"]) == (3, 2, 1, 2, 1)
    assert (y["n"], y["newly_given"], y["no_longer_given"], y["newly_right"], y["newly_wrong"]) == (2, 0, 1, 0, 1)


def test_small_groups_are_not_compared() -> None:
    given, grouping = pair(np.random.default_rng(0), {"x": (0.1, 0.1), "y": (0.3, 0.1)}, 29)
    result = changes(given, grouping, *ACCURACY, limits=Limits(), seed=0)
    assert isinstance(result, NoChange)
    assert "fewer than two groups have 30" in result.reason


def test_other_examples_are_refused() -> None:
    rows = Rows(CLASSES, np.array([0, 1]), np.array([0, 1]))
    with pytest.raises(ValueError, match="different labels"):
        Pair(rows, Rows(CLASSES, np.array([1, 1]), np.array([0, 1])))
