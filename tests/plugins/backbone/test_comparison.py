"""Backbones side by side: the tables, their order, and the page."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from rft.features.embeddings import Embeddings
from rft.plugins import CandidateBackbone
from rft.plugins.backbone.comparison import compare_candidates
from rft.records import Section


def embeddings(strength: float, *, n: int = 150, dimension: int = 6) -> Embeddings:
    """The same labels and groups for every strength, features that shift with the class by it."""
    labels = np.random.default_rng(0).integers(0, 2, n)
    features = np.random.default_rng(1).normal(size=(n, dimension))
    features[:, 0] += strength * labels
    groups = {"tone": np.array(["light", "dark", None] * (n // 3), dtype=object)}
    return Embeddings(features.astype(np.float32), None, labels, None, groups, sampled_from=4 * n)


def compare_three() -> Section:
    strengths = {"weak": 0.3, "strong": 4.0, "fair": 1.5}
    return compare_candidates(
        {name: CandidateBackbone(embeddings(strength), 2.5) for name, strength in strengths.items()}
    )


def test_the_best_comes_first_with_everything_that_was_measured() -> None:
    table = compare_three().tables["backbones"]
    assert [row["backbone"] for row in table] == ["strong", "fair", "weak"]
    columns = ["backbone", "dimension", "accuracy", "low", "high", "knn", "logme", "gap_tone", "seconds", "n"]
    assert list(table[0]) == columns
    assert all(row["low"] <= row["accuracy"] <= row["high"] for row in table)
    for column in ("accuracy", "knn", "logme"):
        assert [row[column] for row in table] == sorted((row[column] for row in table), reverse=True)
    assert (table[0]["dimension"], table[0]["n"], table[0]["seconds"]) == (6, 150, 2.5)


def test_each_is_compared_with_the_best_on_the_same_examples() -> None:
    section = compare_three()
    best, *others = section.tables["backbones"]
    assert [row["backbone"] for row in section.tables["against_best"]] == ["fair", "weak"]
    for row, second in zip(section.tables["against_best"], others, strict=True):
        assert row["value"] == pytest.approx(second["accuracy"] - best["accuracy"])
        assert row["high"] < 0


def test_equal_backbones_are_not_told_apart() -> None:
    section = compare_candidates({name: CandidateBackbone(embeddings(1.0), 1.0) for name in ("b", "a")})
    assert [row["backbone"] for row in section.tables["backbones"]] == ["a", "b"]
    (row,) = section.tables["against_best"]
    assert row["value"] == 0
    assert row["low"] < 0 < row["high"]
    assert any("no ranking" in note for note in section.notes)


def test_gaps_have_their_groups_and_intervals() -> None:
    table = compare_three().tables["gaps"]
    assert [(row["backbone"], row["attribute"]) for row in table] == [(n, "tone") for n in ("strong", "fair", "weak")]
    assert all(row["low"] <= row["value"] <= row["high"] for row in table)


def test_a_backbone_without_a_probe_comes_last_and_says_why() -> None:
    broken = replace(embeddings(1.0), pretrained=np.full((150, 3), np.nan, np.float32))
    section = compare_candidates(
        {"broken": CandidateBackbone(broken, 1.0), "weak": CandidateBackbone(embeddings(0.3), 1.0)}
    )
    assert [row["backbone"] for row in section.tables["backbones"]] == ["weak", "broken"]
    assert section.tables["backbones"][1]["accuracy"] is None
    assert section.tables["against_best"][0]["value"] is None
    assert "broken: the probe was not measured, 150 of 150 examples have features that are not finite." in section.notes
    only = compare_candidates({"broken": CandidateBackbone(broken, 1.0)})
    assert "against_best" not in only.tables


def test_different_examples_are_refused() -> None:
    embedded = embeddings(1.0)
    embedded = replace(embedded, labels=1 - embedded.labels)
    with pytest.raises(ValueError, match="the same examples"):
        compare_candidates({"one": CandidateBackbone(embeddings(1.0), 1.0), "two": CandidateBackbone(embedded, 1.0)})
    with pytest.raises(ValueError, match="one backbone at least"):
        compare_candidates({})
