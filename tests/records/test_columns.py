"""What columns mean is read from their roles, whatever they are called; what a plugin does not say is inferred."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from rft.disclosure.release import release_sections, restrict_for_card
from rft.disclosure.withheld import Withheld
from rft.plugins import discover_plugins
from rft.records import (
    About,
    Column,
    Columns,
    DataFacts,
    Finding,
    Section,
    SmallCells,
    SplitFacts,
    Table,
    describe_columns,
    find_column,
    list_columns,
    select_columns,
)
from rft.report.views import group_table, tables
from tests.support import ROOT

WITHHELD = Withheld(10, {"site": ("tiny",)}, {"test": frozenset({"rare"})})
FACTS = DataFacts(
    splits={"test": SplitFacts(n=90, n_units=None, labels={"rare": 4, "usual": 86}, groups={"site": {"tiny": 4}})},
    small_cells=SmallCells(below=10, groups={"site": ("tiny",)}, classes={"test": ("rare",)}),
)


def roles_of(table: Table, declared: Columns = ()) -> list[tuple[str, str]]:
    return [(name, column.role) for name, column in describe_columns(table, declared).items()]


def test_what_a_plugin_does_not_say_is_inferred_from_common_names_and_cells() -> None:
    row = {"n_seen": 3, "value": 0.5, "kind": "a", "label": "x", "p": 0.1, "seconds": 2.5, "flag": True, "n": 7}
    assert roles_of([row]) == [
        ("kind", "key"),
        ("label", "class"),
        ("value", "estimate"),
        ("p", "p"),
        ("seconds", "number"),
        ("n", "count"),
        ("n_seen", "count"),
        ("flag", "note"),
    ]
    assert roles_of([]) == []


def test_declared_columns_come_first_in_their_order_and_keep_their_roles_to_themselves() -> None:
    table: Table = [{"value": 0.5, "rate": 0.4, "who": "a", "group": "b"}]
    declared = list_columns({"who": "group", "rate": "estimate", "absent": "count"})
    assert roles_of(table, declared) == [("who", "group"), ("rate", "estimate"), ("group", "key"), ("value", "number")]
    assert find_column(describe_columns(table, declared), "count") is None
    assert select_columns({"t": declared, "u": declared}, ["t", "v"]) == {"t": declared}


@pytest.mark.parametrize("twice", [{"a": "estimate", "b": "estimate"}, {"a": "low", "b": "low"}])
def test_a_role_that_one_column_alone_can_have_is_not_declared_twice(twice: dict) -> None:
    with pytest.raises(ValidationError, match="declared twice"):
        Section(plugin="p", columns={"t": list_columns(twice)})
    with pytest.raises(ValidationError, match="declared twice"):
        Section(plugin="p", columns={"t": (Column(name="a", role="key"), Column(name="a", role="note"))})


def released_tables(table: Table, declared: Columns = ()) -> list[str]:
    section = Section(plugin="p", tables={"t": table}, columns={"t": declared} if declared else {})
    (shown,), _ = release_sections([section], FACTS, WITHHELD)
    return list(shown.tables)


def test_a_small_count_is_withheld_by_its_role_whatever_it_is_called() -> None:
    assert released_tables([{"ward": "a", "patients": 3}], list_columns({"patients": "count"})) == []
    assert released_tables([{"ward": "a", "patients": 30}], list_columns({"patients": "count"})) == ["t"]
    assert released_tables([{"ward": "a", "n_patients": 3}]) == [], "inferred on the safe side"
    assert released_tables([{"layer": "a", "n": 3}], list_columns({"n": "number"})) == ["t"], "no count of cases"
    assert released_tables([{"description": "n = 3 patients"}]) == ["t"], "no text is read"


def carded_tables(table: Table, declared: Columns = ()) -> list[str]:
    section = Section(plugin="p", tables={"t": table}, columns={"t": declared} if declared else {})
    (shown,), _ = restrict_for_card([section], FACTS, 10)
    return list(shown.tables)


def test_a_card_leaves_out_rows_about_withheld_groups_and_classes_by_role() -> None:
    assert carded_tables([{"by": "site", "rate": 0.5}], list_columns({"by": "attribute"})) == []
    assert carded_tables([{"by": "ward", "rate": 0.5}], list_columns({"by": "attribute"})) == ["t"]
    assert carded_tables([{"diagnosis": "rare", "rate": 0.5}], list_columns({"diagnosis": "class"})) == []
    assert carded_tables([{"diagnosis": "rare", "rate": 0.5}], list_columns({"diagnosis": "key"})) == ["t"]
    cleared = {"by": "site", "rate": None, "state": WITHHELD.reason}
    assert carded_tables([cleared], list_columns({"by": "attribute", "state": "status"})) == ["t"]


def carded_value(**changes: object) -> float | None:
    fields = {"id": "p.x", "title": "t", "status": "info", "value": 0.5, "n": 90, "description": "d"}
    (shown,), _ = restrict_for_card(
        [Section(plugin="p", findings=(Finding.model_validate(fields | changes),))], FACTS, 10
    )
    return shown.findings[0].value


@pytest.mark.parametrize(
    ("about", "value"),
    [
        (About(), 0.5),
        (About(attributes=("site",)), None),
        (About(attributes=("ward",)), 0.5),
        (About(classes=("rare",)), None),
        (About(classes=("usual",)), 0.5),
        (About(classes="all"), None),
    ],
)
def test_a_card_leaves_out_findings_about_withheld_groups_and_classes(about: About, value: float | None) -> None:
    assert carded_value(about=about) == value


@pytest.mark.parametrize(
    ("changes", "value"),
    [
        ({"value": 3, "unit": "patients", "deterministic": True}, None),
        ({"value": 3, "unit": "layers", "deterministic": True, "cases": "none"}, 3),
        ({"value": 3, "unit": "epsilon", "deterministic": True}, None),  # on the safe side, where a plugin says nothing
        ({"value": 2.5, "unit": "epsilon", "deterministic": True}, 2.5),
        ({"value": 1, "unit": "fraction", "deterministic": True}, 1),
        ({"value": 3, "deterministic": True}, 3),
        ({"value": 0.5, "n": 4}, None),
        ({"value": 0.5, "n": 4, "cases": "none"}, 0.5),
        ({"value": 0.0, "unit": "patients", "deterministic": True}, 0.0),
    ],
)
def test_a_finding_on_few_cases_is_withheld_by_what_it_says_of_cases(changes: dict, value: float | None) -> None:
    assert carded_value(**changes) == value


def test_any_table_with_the_roles_is_turned() -> None:
    declared = list_columns(
        {
            "by": "attribute",
            "who": "group",
            "measure": "metric",
            "rate": "estimate",
            "from": "low",
            "to": "high",
            "patients": "count",
            "state": "status",
        },
        spellings={"measure": {"tpr": "TPR", "fpr": "FPR"}},
    )
    row = {"by": "site", "who": "north", "from": 0.4, "to": 0.6, "patients": 50, "state": "ok"}
    table: Table = [
        row | {"measure": "tpr", "rate": 0.5},
        row | {"measure": "fpr", "rate": None, "from": None, "to": None, "state": "too few"},
    ]
    section = Section(plugin="p", tables={"t": table}, columns={"t": declared})
    (turned,) = group_table.list_group_tables(section, "t")
    assert (turned.title, turned.metrics) == ("Site", ("TPR", "FPR"))
    assert turned.rows[0].n == "50"
    assert [cell.value or cell.absence for cell in turned.rows[0].cells] == ["0.50", "too few"]
    with pytest.raises(ValueError, match="no column is its attribute or group or metric"):
        group_table.list_group_tables(Section(plugin="p", tables={"t": [{"value": 1.0}]}), "t")


def test_headings_and_spellings_are_the_plugins() -> None:
    declared = list_columns(
        {"how": "name", "share": "estimate", "from": "low", "to": "high"},
        labels={"share": "Share of all", "from": "by chance"},
        spellings={"how": {"dp_sgd": "DP-SGD"}},
    )
    table: Table = [
        {"how": "dp_sgd", "share": 0.5, "from": 0.4, "to": 0.6},
        {"how": "plain_sgd", "share": 0.4, "from": 0.3, "to": 0.5},
    ]
    view = tables.view_table(table, describe_columns(table, declared), caption="")
    assert [column.label for column in view.columns] == ["how", "Share of all", "by chance"]
    assert [row[0] for row in view.rows] == ["DP-SGD", "plain sgd"]


ROOMS = ("records", "disclosure", "verdict", "report", "cli")


def test_the_core_names_no_plugin_and_none_of_its_findings() -> None:
    names = tuple(f"{quote}{name}{end}" for name in discover_plugins() for quote in "\"'" for end in ('"', "'", "."))
    files = [path for room in ROOMS for path in sorted((ROOT / "rft" / room).rglob("*.py"))]
    files += [ROOT / "rft" / "callback.py", *sorted((ROOT / "reports" / "templates").glob("*.*"))]
    offenders = [
        f"{path.relative_to(ROOT)}: {line.strip()}"
        for path in files
        for line in path.read_text(encoding="utf-8").splitlines()
        if any(name in line for name in names)
    ]
    assert not offenders, "\n".join(offenders)
