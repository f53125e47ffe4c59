"""The last look at what leaves the machine, what rules say of it, and a run on images from end to end."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import rft
from rft.config.schema import Rule
from rft.disclosure.release import release_sections, restrict_for_card
from rft.disclosure.withheld import Withheld
from rft.records import (
    About,
    Chapter,
    DataFacts,
    Figure,
    Finding,
    FindingDefinition,
    Interval,
    Section,
    SmallCells,
    SplitFacts,
)
from rft.report import render
from rft.verdict.policy import judge_rules

WITHHELD = Withheld(10, {"race": ("Asian", "Native")}, {"test": frozenset({"x", "y"})})
SMALL = "suppressed: fewer than 10"
RACE: dict[str, int | None] = {"Asian": 7, "Black": 40, "Native": 25, "White": 90}
LABELS: dict[str, int | None] = {"x": 4, "y": 38, "z": 120}
FACTS = DataFacts(splits={"test": SplitFacts(n=162, n_units=None, labels=LABELS, groups={"race": RACE})})


def make_finding(**changed: Any) -> Finding:
    fields: dict[str, Any] = {
        "id": "made.value",
        "title": "t",
        "status": "info",
        "value": 0.2,
        "interval": Interval(low=0.1, high=0.25, method="m"),
        "n": 130,
        "description": "m",
    }
    return Finding(**fields | changed)


def release_section(*findings: Finding, **more: Any) -> Section:
    (section,), _ = release_sections([Section(plugin="made", findings=findings, **more)], FACTS, WITHHELD)
    return section


def test_counts_of_the_data_are_withheld_by_group_and_class() -> None:
    _, data = release_sections([], FACTS, WITHHELD)
    assert data.splits["test"].groups == {"race": {"Asian": None, "Black": 40, "Native": None, "White": 90}}
    assert data.splits["test"].labels == {"x": None, "y": None, "z": 120}


def test_a_group_is_listed_in_every_split_so_that_none_tells_where_it_is_not() -> None:
    train_facts = SplitFacts(n=50, n_units=None, labels={}, groups={"race": {"Black": 50}})
    _, data = release_sections([], DataFacts(splits={"test": FACTS.splits["test"], "train": train_facts}), WITHHELD)
    assert data.splits["train"].groups["race"] == {"Black": 50, "Asian": None, "Native": None}


def test_a_finding_says_whom_it_leaves_out() -> None:
    [kept] = release_section(make_finding(about=About(attributes=("race",)))).findings
    assert (kept.value, kept.withheld) == (0.2, ("Asian", "Native"))
    assert "Withheld, and not part of this: Asian, Native." in kept.caveats
    [unaffected] = release_section(make_finding(about=About(attributes=("sex",)))).findings
    assert unaffected == make_finding(about=About(attributes=("sex",)))
    [crossed] = release_section(make_finding(about=About(attributes=("race x sex",)))).findings
    assert crossed.withheld == ("Asian", "Native")


def test_a_rule_cannot_pass_over_withheld_groups_and_can_fail_by_the_others() -> None:
    sections = [release_section(make_finding(about=About(attributes=("race",))))]
    outcomes = {
        bound: judge_rules([Rule(finding="made.value", max=bound, because="b")], sections).rules[0]
        for bound in (0.5, 0.05)
    }
    assert [outcomes[bound].outcome for bound in (0.5, 0.05)] == ["uncertain", "fail"]
    assert "Asian, Native: withheld (report.suppress_below), and not judged" in outcomes[0.5].explanation


def test_findings_that_count_few_are_not_measured() -> None:
    copies = make_finding(value=4, interval=None, unit="examples", deterministic=True)
    [few] = release_section(copies).findings
    assert (few.status, few.value, few.reason) == ("not_measured", None, SMALL)
    [none] = release_section(copies.model_copy(update={"value": 0.0})).findings
    assert none.value == 0
    [on_few] = release_section(make_finding(n=7)).findings
    assert on_few.reason == SMALL
    [absent] = release_section(
        FindingDefinition("made.value", "t", "m")
        .state_not_measured("Asian has 7")
        .model_copy(update={"about": About(attributes=("race",))})
    ).findings
    assert absent.reason == SMALL


def test_broken_integrity_is_never_withheld() -> None:
    broken = make_finding(status="fail", n=3, deterministic=True, interval=None, value=1.0)
    assert release_section(broken).findings == (broken,)
    assert judge_rules([], [release_section(broken)]).status == "fail"


def test_a_table_of_a_plugin_that_prints_a_small_count_goes_with_its_figures() -> None:
    section = release_section(
        tables={"few": [{"place": "a", "n": 3}, {"place": "b", "n": 50}], "many": [{"place": "a", "n": 30}]},
        captions={"few": "c"},
        figures=(Figure(id="f", kind="bars", table="few", encode={"x": "place", "y": "n"}, title="t", alt="a"),),
        chapters=(Chapter(title="c", tables=("few", "many"), figures=("f",)),),
    )
    assert list(section.tables) == ["many"]
    assert (section.figures, section.captions) == ((), {})
    assert (section.chapters[0].tables, section.chapters[0].figures) == (("many",), ())
    assert any("few" in note for note in section.notes)


def test_off_changes_nothing() -> None:
    sections = (Section(plugin="made", findings=(make_finding(n=3, about=About(attributes=("race",))),)),)
    assert release_sections(sections, FACTS, Withheld()) == (sections, FACTS)


def test_what_was_measured_with_a_small_group_does_not_stand_in_a_card() -> None:
    """Where ``suppress_below`` is not set, the report shows small groups, and a card must not."""
    facts = FACTS.model_copy(update={"small_cells": SmallCells(below=10, groups={"race": ("Asian", "Native")})})
    by_race, by_sex = (
        make_finding(about=About(attributes=("race",))),
        make_finding(id="made.other", about=About(attributes=("sex",))),
    )
    tables = {"race": [{"attribute": "race", "value": 0.3}], "sex": [{"attribute": "sex", "value": 0.3}]}
    (section,), data = restrict_for_card([Section(plugin="made", findings=(by_race, by_sex), tables=tables)], facts, 10)
    assert [shown_finding.value for shown_finding in section.findings] == [None, 0.2]
    assert list(section.tables) == ["sex"]
    assert data.splits["test"].groups["race"]["Asian"] is None
    (unknown,), data = restrict_for_card([Section(plugin="made", findings=(by_race, by_sex))], FACTS, 10)
    assert unknown.findings[0].value is None, "by the counts alone, where the run does not say"
    assert data.splits["test"].labels["x"] is None


def test_numbers_on_few_persons_are_withheld_however_many_rows_they_have(tiny: Path) -> None:
    """The twenty images of each split are of ten persons."""
    tiny.write_text(tiny.read_text() + "\n[report]\nsuppress_below = 15\n", encoding="utf-8")
    run = rft.audit(tiny)
    assert run.data.splits["test"].n_units is None
    assert {finding.reason for finding in run.section("performance").findings} == {
        "suppressed: fewer than 15 examples or units in test"
    }


def test_a_run_on_images_and_what_leaves_it(tiny: Path) -> None:
    """Cameras left and right, and both classes, have ten images in each split: fewer than fifteen."""
    pytest.importorskip("fairlearn")
    tiny.write_text(
        tiny.read_text().replace('unit = "person"\n', "")
        + "\n[fairness]\nmin_group_size = 2\nmin_reported_size = 2\n[report]\nsuppress_below = 15\n"
        '[[policy]]\nfinding = "fairness.accuracy_gap.camera"\nmax = 0.5\n',
        encoding="utf-8",
    )
    out = tiny.parent / "run"
    run = rft.audit(tiny, out)
    stored = json.loads((out / "audit.json").read_text(encoding="utf-8"))
    test = stored["data"]["splits"]["test"]
    assert (test["n"], test["groups"]) == (20, {"camera": {"left": None, "right": None}})
    assert set(test["labels"].values()) == {None}
    tables = {section["plugin"]: section["tables"] for section in stored["sections"]}
    groups = [row for row in tables["fairness"]["by_group"] if row["attribute"] == "camera"]
    assert {row["status"] for row in groups} == {"suppressed: fewer than 15"}
    assert {row[name] for row in groups for name in ("value", "low", "high", "n", "n_positive")} == {None}
    everybody = {row["metric"]: row for row in tables["fairness"]["by_group"] if row["attribute"] is None}
    assert everybody["accuracy"]["value"] is not None
    assert everybody["tpr"]["value"] is everybody["tpr"]["n_positive"] is None
    values = {finding["id"]: finding["value"] for section in stored["sections"] for finding in section["findings"]}
    assert values["performance.accuracy"] is not None
    for name in ("balanced_accuracy", "macro_f1", "roc_auc", "baseline_accuracy"):
        assert values[f"performance.{name}"] is None, "a mean over classes would give them back"
    assert values["backbone.majority_share"] is None
    assert values["dataset.smallest_class"] is None
    assert run.verdict.status == "uncertain"
    assert run.verdict.rules[-1].explanation == "not measured: suppressed: fewer than 15"
    card = (out / "model-card.md").read_text(encoding="utf-8")
    assert "## Groups\n\nNot shown: some of these numbers rest on fewer than 15 cases." in card
    assert "Balanced accuracy" in card.split("Not measured, or withheld")[1].splitlines()[0]
    assert "suppressed: fewer than 15" in render(run)
    assert pd.read_parquet(out / "predictions.parquet")["group_camera"].notna().all(), "predictions stay whole"
