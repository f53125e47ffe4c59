"""Explanations that are worse for some are said to be; chance is not; small and withheld groups are left out."""

from __future__ import annotations

import numpy as np
import pytest

from rft.disclosure.withheld import NOTHING, Withheld
from rft.plugins.attribution.modality_words import IMAGES
from rft.plugins.attribution.quality.gaps import gap_findings
from rft.records import Finding


def state_gap(
    gains: np.ndarray, names: np.ndarray, units: np.ndarray | None = None, withheld: Withheld = NOTHING
) -> Finding:
    [finding] = gap_findings("gradcam", gains, {"scanner": names}, units, withheld, IMAGES["blur"])
    return finding


def draw_names(groups: int, each: int) -> np.ndarray:
    return np.repeat(np.array([f"g{index}" for index in range(groups)], dtype=object), each)


def test_a_gap_is_the_largest_between_two_groups_with_an_interval_of_all_pairs() -> None:
    rng = np.random.default_rng(0)
    gains = rng.normal(np.repeat([0.2, 0.8, 0.5], 40), 0.3)
    finding = state_gap(gains, draw_names(3, 40))
    means = gains.reshape(3, 40).mean(axis=1)
    assert (finding.id, finding.status) == ("attribution.deletion_gap.gradcam.scanner", "warn")
    assert finding.value == pytest.approx(means.max() - means.min())
    assert finding.interval is not None
    assert 0 < finding.interval.low < (finding.value or 0) < finding.interval.high
    assert finding.n == 120
    assert "for g1 (40 images) and" in finding.caveats
    assert "surely less faithful for the latter" in finding.caveats


@pytest.mark.parametrize("groups", [2, 5])
def test_chance_is_accused_in_one_of_twenty_audits_at_most(groups: int) -> None:
    rng, names = np.random.default_rng(1), draw_names(groups, 30)
    stated = [state_gap(rng.normal(0.5, 0.5, len(names)), names) for _ in range(400)]
    assert sum(finding.status == "warn" for finding in stated) <= 0.05 * 400 + 2 * (400 * 0.05 * 0.95) ** 0.5


def test_units_with_several_images_count_once() -> None:
    rng = np.random.default_rng(2)
    units = np.repeat(np.arange(12), 10)
    gains = np.repeat(rng.normal(0.5, 0.4, 12), 10)  # all images of a unit are alike
    rows, by_unit = state_gap(gains, draw_names(2, 60)), state_gap(gains, draw_names(2, 60), units)
    assert rows.interval is not None
    assert by_unit.interval is not None
    assert by_unit.interval.high > rows.interval.high


@pytest.mark.parametrize(
    ("names", "withheld"),
    [
        (np.array(["a"] * 40 + ["b"] * 29 + [None] * 31, dtype=object), NOTHING),
        (np.array(["a"] * 60 + ["b"] * 40, dtype=object), Withheld(below=50)),
    ],
)
def test_a_gap_needs_two_groups_of_thirty_that_may_be_shown(names: np.ndarray, withheld: Withheld) -> None:
    finding = state_gap(np.random.default_rng(3).normal(size=100), names, withheld=withheld)
    assert finding.value is None
    assert "and a gap is between two: raise samples of [attribution]" in finding.reason


def test_without_a_tested_map_nothing_is_measured() -> None:
    assert state_gap(np.array([]), np.array([], dtype=object)).value is None
