"""What plugins count on samples of their own: small groups there, and what complements them, have no numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from rft.disclosure.withheld import MISSING, Withheld
from rft.plugins.attribution.images import mean_maps
from rft.plugins.backbone import tables
from rft.plugins.backbone.groups import Gap
from rft.plugins.privacy.leakage.attribute_inference import AttributeProbe, probe_attribute
from rft.predictions.table import Grouping
from rft.stats.cross_validation import OutOfFold

BELOW = 10


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        ({"a": 40, "b": 30}, set()),
        ({"a": 40, "b": 30, "c": 7}, {"b", "c"}),
        ({"a": 40, "b": 30, "c": 7, MISSING: 12}, {"c"}),  # those without a group are with it in what is left
        ({"a": 40, "b": 30, "c": 0}, set()),
    ],
)
def test_among(counts: dict[str, int], expected: set[str]) -> None:
    assert Withheld(BELOW).find_small_groups(counts) == expected
    assert Withheld().find_small_groups(counts) == set()


def test_among_looks_at_every_count() -> None:
    assert Withheld(BELOW).find_small_groups({"a": 40, "b": 30, "c": 50}, {"a": 20, "b": 3, "c": 25}) == {"a", "b"}


def groups_of(*sizes: int) -> np.ndarray:
    return np.array([name for name, n in zip("abcdef", sizes, strict=False) for _ in range(n)], dtype=object)


def test_the_attribute_probe_looks_for_no_group_that_is_small_in_its_sample() -> None:
    values = groups_of(60, 50, 40, 7)
    features = np.random.default_rng(0).normal(size=(len(values), 3)).astype(np.float32)
    open_, closed = (probe_attribute(features, values, None, 0, Withheld(below)) for below in (0, BELOW))
    assert isinstance(open_, AttributeProbe)
    assert isinstance(closed, AttributeProbe)
    assert open_.groups == ("a", "b", "c", "d")
    assert closed.groups == ("a", "b")
    assert not any(character.isdigit() for text in closed.left_out for character in text)


def test_the_probe_of_a_backbone_counts_no_small_group() -> None:
    values = groups_of(60, 50, 40, 7)
    labels = np.arange(len(values)) % 2
    out_of_fold = OutOfFold(labels, labels, np.arange(len(values)))
    gap = Gap.from_probe("g", out_of_fold, values, Withheld(BELOW, {"g": ("z",)}))
    assert [name for name, _ in gap.scored] == ["a", "b"]
    rows = {row["group"]: row for row in tables.by_group_table([gap], "suppressed: fewer than 10")}
    assert {name: rows[name]["n"] for name in rows} == {"a": 60, "b": 50, "c": None, "d": None, "z": None}
    assert rows["d"]["status"] == "suppressed: fewer than 10"


def test_mean_maps_are_neither_drawn_nor_counted_of_few() -> None:
    class Drawn:
        method, values, sound = "gradcam", np.ones((45, 4, 4)), np.ones(45, dtype=bool)

    memberships: dict[str | None, Any] = {None: np.full(45, None), "g": groups_of(20, 12, 13)}
    few: dict[str | None, Any] = {"g": groups_of(20, 19, 6)}
    shown = mean_maps.mean_map_tables([Drawn()], memberships, Withheld(BELOW))
    assert [row["n"] for row in shown["mean_map_counts"]] == [20, 12, 13]
    hidden = mean_maps.mean_map_tables([Drawn()], few, Withheld(BELOW))
    assert [(row["group"], row["n"]) for row in hidden["mean_map_counts"]] == [("a", 20)]
    assert {row["group"] for row in hidden["mean_maps"]} == {"a"}


def test_rows_of_withheld_groups_are_in_none() -> None:
    grouping = Grouping("g", ("a", "b", "c"), np.array([0, 1, 2, -1, 1]), ("g",))
    without = grouping.withhold_groups(["b", "z"])
    assert (without.names, without.withheld, without.hides) == (("a", "c"), ("b", "z"), True)
    assert without.codes.tolist() == [0, -1, 1, -1, -1]
    assert grouping.withhold_groups([], hides=False) is grouping
