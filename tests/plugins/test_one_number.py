"""One report, one number: every quantity that occurs twice has the same value, interval and n wherever it stands."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
import pytest

from tests.support import mitigation_cases as cases

pytest.importorskip("fairlearn")
from rft.plugins import AuditedModel
from rft.plugins.fairness import Fairness, FairnessOptions
from rft.plugins.performance import Performance, PerformanceOptions
from rft.plugins.privacy import PrivacyOptions
from rft.plugins.privacy.attacks.catalog import ATTACKS
from rft.plugins.privacy.attacks.membership import membership_chapter
from rft.plugins.privacy.chapter import PrivacyChapter
from rft.records import Row, Section

METRICS = ["accuracy", "selection_rate", "tpr", "fpr", "precision", "balanced_accuracy", "roc_auc", "log_loss"]
Key = tuple[str | None, ...]


@dataclass(frozen=True)
class Stated:
    """What one place says of a quantity; None where it does not state an end or n."""

    place: str
    value: float | None
    low: float | None = None
    high: float | None = None
    n: int | None = None


@cache
def audit_three_ways(rows_of_a_person: int) -> tuple[Section, Section, PrivacyChapter]:
    """Performance, fairness with mitigation and legal tables, and attacks, of one model on people with a tiny group."""
    sizes = {"train": 300, "validation": 300, "test": 300 * rows_of_a_person}
    planted = cases.audited_model(sizes, agree=0.5, rows_per_unit=rows_of_a_person)
    audited = with_tiny_group(planted, rows_of_a_person)
    fairness = FairnessOptions(
        metrics=[*METRICS, "rms_calibration_error"],
        tables=["four_fifths"],
        mitigation={"attribute": "region", "metric": "tpr", "methods": ["threshold"]},
    )
    return (
        Performance().audit(audited, PerformanceOptions()),
        Fairness().audit(audited, fairness),
        membership_chapter(audited, PrivacyOptions(shadows=None)),
    )


def with_tiny_group(audited: AuditedModel, rows_of_a_person: int) -> AuditedModel:
    """Put the first twelve people of test into a group of their own: too few to be compared, however many rows."""
    test = audited.splits["test"]
    groups = test.groups["region"].copy()
    groups[: 12 * rows_of_a_person] = "tiny"
    frame = audited.predictions.copy()
    frame.loc[frame["split"] == "test", "group_region"] = groups
    return replace(
        audited, predictions=frame, splits={**audited.splits, "test": replace(test, groups={"region": groups})}
    )


def of_finding(section: Section | PrivacyChapter, id: str) -> Stated:
    [finding] = [shown_finding for shown_finding in section.findings if shown_finding.id == id]
    low, high = (finding.interval.low, finding.interval.high) if finding.interval else (None, None)
    value = finding.value if isinstance(finding.value, (int, float)) else None
    return Stated(id, value, low, high, finding.n)


def of_row(place: str, row: Row, column: str = "value", *, ends: bool = True, n: str | None = "n") -> Stated:
    low, high = (row["low"], row["high"]) if ends else (None, None)
    return Stated(f"{place} {row.get('group') or ''}", row[column], low, high, row[n] if n else None)


def of_performance(section: Section) -> Iterator[tuple[Key, Stated]]:
    for row in section.tables["metrics"]:
        if row["split"] == "test":
            name = "yes_roc_auc" if row["metric"] == "roc_auc" else str(row["metric"])
            yield (name, "all"), of_row("performance.metrics", row)
            yield (name, "all"), of_finding(section, f"performance.{row['metric']}")
    for row in section.tables["by_class"]:
        if row["class"] == "yes":
            yield ("yes_tpr", "all"), Stated("performance.by_class", row["recall"])
            yield ("yes_precision", "all"), Stated("performance.by_class", row["precision"])
            yield ("positives", "all"), Stated("performance.by_class", row["n"])


def of_groups(section: Section) -> Iterator[tuple[Key, Stated]]:
    for row in section.tables["by_group"]:
        name = f"{row['class']}_{row['metric']}" if row["class"] else str(row["metric"])
        model = "" if row["model"] == "fine-tuned" else "mitigated "
        where = str(row["group"]) if row["attribute"] else "all"
        yield (model + name, where), of_row("by_group", row)
        if (name, where) == ("yes_tpr", "all"):
            yield (f"{model}positives", "all"), Stated("by_group", row["n_positive"])
    for row in section.tables["four_fifths"]:
        yield ("yes_selection_rate", str(row["group"])), of_row("four_fifths", row, "selection_rate", ends=False)


def of_gaps(section: Section) -> Iterator[tuple[Key, Stated]]:
    for row in section.tables["gaps"]:
        name = str(row["metric"])
        yield (f"{name} gap",), of_row("gaps", row, n=None)
        if row["finding"]:
            yield (f"{name} gap",), of_finding(section, f"fairness.{name}_gap.region")
    yield ("tpr gap",), of_finding(section, "fairness.mitigation.gap_before")
    yield ("ratio",), of_finding(section, "fairness.selection_rate_ratio.region")
    yield ("ratio",), of_finding(section, "fairness.four_fifths.region")


def of_mitigation(section: Section) -> Iterator[tuple[Key, Stated]]:
    yield ("accuracy", "all"), of_finding(section, "fairness.mitigation.accuracy_before")
    yield ("mitigated accuracy", "all"), of_finding(section, "fairness.mitigation.accuracy")
    for row in section.tables["overall"]:
        name = f"{row['class']}_{row['metric']}" if row["class"] else str(row["metric"])
        yield (name, "all"), Stated("overall", row["before"], n=row["n"])
        yield (f"mitigated {name}", "all"), Stated("overall", row["after"], n=row["n"])
    for row in section.tables["changes"]:
        if row["metric"] == "tpr":
            yield ("tpr gap",), Stated("changes", abs(row["before"]))
            yield ("mitigated tpr gap",), Stated("changes", abs(row["after"]))
    yield ("mitigated tpr gap",), of_finding(section, "fairness.mitigation.gap")


def of_attacks(chapter: PrivacyChapter) -> Iterator[tuple[Key, Stated]]:
    for row in chapter.tables["attacks"]:
        if row["attribute"] is None:
            fewest = min(row["n_members"], row["n_non_members"])
            yield (str(row["attack"]),), replace(of_row("attacks", row, "auc", n=None), n=fewest)
            yield (str(row["attack"]),), of_finding(chapter, ATTACKS[str(row["attack"])].finding_id)


def stated_twice(rows_of_a_person: int) -> dict[Key, list[Stated]]:
    performance, fairness, attacks = audit_three_ways(rows_of_a_person)
    quantities: dict[Key, list[Stated]] = defaultdict(list)
    for key, first in (
        *of_performance(performance),
        *of_groups(fairness),
        *of_gaps(fairness),
        *of_mitigation(fairness),
        *of_attacks(attacks),
    ):
        quantities[key].append(first)
    return {key: every for key, every in quantities.items() if len(every) > 1}


@pytest.mark.parametrize("rows_of_a_person", [pytest.param(1, marks=pytest.mark.slow), 4])
def test_what_is_stated_twice_is_stated_alike(rows_of_a_person: int) -> None:
    twice = stated_twice(rows_of_a_person)
    assert len(twice) >= 20
    for key, every in twice.items():
        for field in ("value", "low", "high", "n"):
            known = {number.place: getattr(number, field) for number in every if getattr(number, field) is not None}
            if known:
                first = next(iter(known.values()))
                assert list(known.values()) == pytest.approx([first] * len(known)), (key, field, known)


def test_people_are_counted_and_not_their_rows() -> None:
    performance, fairness, _ = audit_three_ways(4)
    assert performance.finding("performance.accuracy").n == 300
    everybody = [row for row in fairness.tables["by_group"] if row["attribute"] is None]
    assert {row["n"] for row in everybody} == {300}
    [tiny] = [
        row
        for row in fairness.tables["by_group"]
        if (row["group"], row["metric"], row["model"]) == ("tiny", "accuracy", "fine-tuned")
    ]
    assert (tiny["n"], tiny["status"]) == (12, "inconclusive (small sample)")


@pytest.mark.parametrize("rows_of_a_person", [pytest.param(1, marks=pytest.mark.slow), 4])
def test_mitigation_leaves_out_whom_the_section_leaves_out(rows_of_a_person: int) -> None:
    _, fairness, _ = audit_three_ways(rows_of_a_person)
    before = fairness.finding("fairness.mitigation.gap_before")
    gap = fairness.finding("fairness.tpr_gap.region")
    assert before.n == gap.n
    assert "tiny" in before.caveats
    assert "tiny" in gap.caveats


def test_two_calibration_errors_have_two_names() -> None:
    performance, fairness, _ = audit_three_ways(4)
    finding, shown_finding = (
        performance.finding("performance.ece"),
        fairness.finding("fairness.rms_calibration_error_gap.region"),
    )
    assert finding.title == "Expected calibration error"
    assert "root-mean-square calibration error" in shown_finding.title.lower()
    shown = [row for row in fairness.tables["by_group"] if row["metric"] == "rms_calibration_error"]
    assert np.isfinite([row["value"] for row in shown if row["value"] is not None]).all()
