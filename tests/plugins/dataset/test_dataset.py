"""The data checks, on splits made by hand."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import pytest

from rft.data.remarks import Remark
from rft.plugins import AuditedModel, Plugin
from rft.plugins.dataset import Dataset, DatasetOptions
from rft.records import ModelFacts, Section, Split, Training


def split(
    name: str,
    labels: Sequence[int],
    *,
    units: Sequence[str] | None = None,
    digests: Sequence[str] | None = None,
    **groups: Sequence[str | None],
) -> Split:
    ids = np.array([f"{name}-{row}" for row in range(len(labels))], dtype=object)
    return Split(
        name=name,
        ids=ids,
        items=list(ids),
        labels=np.array(labels, dtype=np.int64),
        groups={attribute: np.array(values, dtype=object) for attribute, values in groups.items()},
        units=None if units is None else np.array(units, dtype=object),
        digests=None if digests is None else np.array(digests, dtype=object),
    )


def audit(*splits: Split) -> Section:
    facts = ModelFacts(name="toy", modality="image", classes=("no", "yes"), training=Training(mode="external"))
    named = {split.name: split for split in splits}
    audited = AuditedModel(facts=facts, seed=0, splits=named, predictions=pd.DataFrame())
    return Dataset().audit(audited, DatasetOptions())


def conflict_counts(section: Section) -> dict[tuple, int]:
    return {(row["first"], row["second"], row["kind"]): int(row["n"]) for row in section.tables["conflicts"]}


def leaking_section() -> Section:
    """Ann lies in three splits, ben in two; digest d1 in two; d2 twice and d9 three times within a split."""
    return audit(
        split("train", [0, 0, 1, 1], units=["ann", "ann", "ben", "cy"], digests=["d1", "d2", "d2", "d3"]),
        split("validation", [0, 1], units=["ann", "dee"], digests=["d4", "d5"]),
        split("test", [0, 1, 1, 1], units=["ann", "ben", "eve", "eve"], digests=["d1", "d9", "d9", "d9"]),
    )


def test_it_follows_the_protocol() -> None:
    assert isinstance(Dataset(), Plugin)
    assert Dataset().always_on


def test_shared_units_are_counted_once() -> None:
    finding = leaking_section().finding("dataset.shared_units")
    assert (finding.value, finding.status, finding.deterministic, finding.n) == (2, "warn", True, 5)
    assert finding.description.startswith("2 of 5 units have rows in more than one split.")
    assert "better than on new units" in finding.description


def test_shared_and_duplicate_items_are_told_apart() -> None:
    section = leaking_section()
    assert section.finding("dataset.shared_items").value == 1
    assert section.finding("dataset.duplicate_items").value == 3
    assert conflict_counts(section) == {
        ("train", "validation", "unit"): 1,
        ("train", "test", "unit"): 2,
        ("validation", "test", "unit"): 1,
        ("train", "validation", "item"): 0,
        ("train", "test", "item"): 1,
        ("validation", "test", "item"): 0,
        ("train", "train", "duplicate item"): 1,
        ("validation", "validation", "duplicate item"): 0,
        ("test", "test", "duplicate item"): 2,
    }


def test_nobody_is_named() -> None:
    text = leaking_section().model_dump_json()
    assert not any(name in text for name in ("ann", "eve", "d9", "train-0"))


def test_clean_data_is_said_to_be_clean() -> None:
    section = audit(
        split("train", [0, 1] * 10, units=[f"u{i}" for i in range(20)], digests=[f"d{i}" for i in range(20)]),
        split("test", [0, 1], units=["v1", "v2"], digests=["e1", "e2"]),
    )
    assert {finding.status for finding in section.findings} == {"info"}
    assert section.finding("dataset.shared_units").value == 0


def test_what_is_not_known_is_not_measured() -> None:
    section = audit(split("train", [0, 1]), split("test", [0, 1]))
    for name in ("shared_units", "shared_items", "duplicate_items"):
        assert section.finding(f"dataset.{name}").status == "not_measured"
    assert "data.unit" in section.finding("dataset.shared_units").reason
    assert "conflicts" not in section.tables


def test_units_known_for_one_split_only_are_not_measured() -> None:
    section = audit(split("train", [0, 1], units=["a", "b"]), split("test", [0, 1]))
    assert section.finding("dataset.shared_units").status == "not_measured"


@pytest.mark.parametrize(("n", "status"), [(9, "warn"), (10, "info"), (0, "warn")])
def test_the_smallest_class(n: int, status: str) -> None:
    finding = audit(split("train", [0] * 30 + [1] * n), split("test", [0, 1])).finding("dataset.smallest_class")
    assert (finding.value, finding.status) == (n, status)
    assert f"yes is the rarest class: {n} of {30 + n}" in finding.description


def test_without_train_the_smallest_class_is_not_measured() -> None:
    assert audit(split("test", [0, 1])).finding("dataset.smallest_class").status == "not_measured"


@pytest.mark.parametrize(
    ("train", "test", "missing", "n"),
    [([None] * 3, ["f", "m"], 0, 2), (["f", "m", "m"], [None] * 2, 2, 5), ([None, None, "f"], ["f", "m"], 2, 5)],
    ids=["nobody named them of train", "nobody named them of test", "some of train"],
)
def test_groups_are_missed_where_they_are_judged_or_some_are_known(
    train: list[str | None], test: list[str | None], missing: int, n: int
) -> None:
    section = audit(split("train", [0, 1, 1], sex=train), split("test", [0, 1], sex=test))
    finding = section.finding("dataset.missing_groups.sex")
    assert (finding.value, finding.n, finding.status) == (missing, n, "warn" if missing else "info")
    where = "of test" if n == 2 else "over all splits"
    assert finding.description == f"{missing} of {n} examples, {where}, have no value of sex." + (
        " They are in no group." if missing else ""
    )


def test_missing_groups_are_counted_and_shown() -> None:
    section = audit(
        split("train", [0, 1, 1], sex=["f", None, "m"]),
        split("test", [0, 1], sex=["f", float("nan")]),
    )
    finding = section.finding("dataset.missing_groups.sex")
    assert (finding.value, finding.status, finding.n) == (2, "warn", 5)
    counts = {(row["split"], row["group"]): row["n"] for row in section.tables["groups"]}
    assert counts == {
        ("train", "f"): 1,
        ("train", "m"): 1,
        ("train", "(missing)"): 1,
        ("test", "f"): 1,
        ("test", "m"): 0,
        ("test", "(missing)"): 1,
    }


def test_labels_are_counted_with_their_share() -> None:
    labels = leaking_section().tables["labels"]
    assert {"split": "test", "class": "yes", "n": 3, "share": 0.75} in labels
    assert np.sum([row["n"] for row in labels]) == 10


def test_validation_is_said_to_be_kept_apart() -> None:
    finding = leaking_section().finding("dataset.validation")
    assert (finding.value, finding.n, finding.status) == (2, 10, "info")
    assert "not trained on them" in finding.description
    assert not any("validation" in shown_finding.id for shown_finding in audit(split("test", [0, 1])).findings)


def test_remarks_of_the_reader_become_findings() -> None:
    remark = Remark("left_out_files", "Files", 3, "files", "3 files were left out.", n=9, names=["secret.txt"])
    facts = ModelFacts(name="toy", modality="image", classes=("no", "yes"), training=Training(mode="external"))
    splits = {"test": split("test", [0, 1])}
    audited = AuditedModel(facts=facts, seed=0, splits=splits, predictions=pd.DataFrame(), remarks=[remark])
    section = Dataset().audit(audited, DatasetOptions())
    finding = section.finding("dataset.left_out_files")
    assert (finding.value, finding.n, finding.status, finding.deterministic) == (3, 9, "warn", True)
    assert "secret" not in section.model_dump_json()  # names are for the terminal
