"""How numbers and tables are written."""

from __future__ import annotations

import tomllib
from typing import Literal

import pytest

from rft import number_format
from rft.records import Section, Table, describe_columns
from rft.report.format import toml
from rft.report.views import group_table, tables
from rft.report.views.tables import TableView

SPACE = number_format.NARROW_SPACE


@pytest.mark.parametrize(
    ("value", "unit", "interval", "text"),
    [
        (0.83333, "fraction", (0.694, 0.917), "0.83"),
        (0.0213, "fraction", (0.011, 0.034), "0.021"),
        (0.5238, "fraction", None, "0.524"),
        (1.0, "fraction", None, "1.000"),
        (40.0, "examples", None, "40"),
        (12345.0, "examples", None, f"12{SPACE}345"),
        (2.998, "epsilon", None, "3.00"),
        (-0.18, "", None, "−0.180"),
        (0.0, "", None, "0.000"),
        (3.2e-5, "", None, "3.2 × 10⁻⁵"),
        (0.0004, "p", None, "< 0.001"),
        (0.9, "", (0.9, 0.9), "0.900"),
    ],
)
def test_quantity(value: float, unit: str, interval: tuple[float, float] | None, text: str) -> None:
    assert number_format.format_quantity(value, unit, interval) == text


@pytest.mark.parametrize(
    ("value", "interval", "rounding", "text"),
    [
        (3.004, None, "up", "3.01"),
        (3.0000001, None, "up", "3.00"),
        (2.9986, None, "up", "3.00"),
        (2.9986, None, "down", "2.99"),
        (2.9999999, None, "down", "3.00"),
        (0.469, (0.3, 0.6), "down", "0.46"),
        (0.461, (0.3, 0.6), "up", "0.47"),
        (0.469, None, "down", "0.469"),
        (-0.469, (-0.6, -0.3), "down", "−0.47"),
        (0.0, None, "up", "0.000"),
    ],
)
def test_an_upper_bound_is_rounded_up_and_a_lower_one_down(
    value: float, interval: tuple[float, float] | None, rounding: Literal["up", "down"], text: str
) -> None:
    assert number_format.format_quantity(value, "epsilon", interval, rounding) == text


def test_an_epsilon_is_an_upper_bound() -> None:
    assert number_format.format_epsilon(3.004) == "3.01"


def test_intervals_and_small_forms() -> None:
    assert number_format.format_interval(0.7, 0.92) == "[0.70, 0.92]"
    assert number_format.format_interval(-0.00001, 0.3) == "[0.00, 0.30]", "no minus in front of a zero"
    assert number_format.format_plain(1e-5) == "10⁻⁵"
    assert number_format.format_plain(0.001) == "0.001"
    assert number_format.format_duration(200) == "3 min 20 s"
    assert number_format.format_duration(59.7) == "1 min 0 s"
    assert number_format.format_date("2025-03-01T14:30:00+02:00") == "2025-03-01 12:30 UTC"
    assert number_format.format_date("yesterday") == "yesterday"


def view_table(table: Table, caption: str = "") -> TableView:
    return tables.view_table(table, describe_columns(table), caption=caption)


def test_a_table_keeps_its_digits_merges_intervals_and_moves_what_is_the_same_everywhere() -> None:
    shown = view_table(
        [
            {"model": "head", "group": "a", "value": 0.5, "low": 0.25, "high": 0.75, "n": 1200, "control": None},
            {"model": "head", "group": "b", "value": None, "low": None, "high": None, "n": 4, "control": None},
        ],
        caption="C",
    )
    assert shown.constants == (("model", "head"),)
    assert [column.label for column in shown.columns] == ["group", "value", "interval", "n"]
    assert shown.rows == (("a", "0.5", "[0.25, 0.75]", f"1{SPACE}200"), ("b", "not measured", "–", "4"))


def test_a_status_that_only_says_that_all_was_measured_is_left_out_where_no_estimate_has_it_either() -> None:
    shown = view_table([{"label": "a", "n": 3, "status": "ok"}, {"label": "b", "n": 2, "status": "ok"}])
    assert shown.constants == ()
    assert [column.label for column in shown.columns] == ["label", "n"]
    some = view_table([{"label": "a", "n": 3, "status": "ok"}, {"label": "b", "n": 2, "status": "withheld"}])
    assert [column.label for column in some.columns] == ["label", "n", "status"]


def test_a_long_table_says_how_much_is_left_out() -> None:
    shown = view_table([{"k": k, "x": str(k)} for k in range(500)], caption="")
    assert len(shown.rows) == tables.MAX_SHOWN_ROWS
    assert shown.omitted == 300
    assert shown.long


def test_zero_is_a_value_and_absence_is_none() -> None:
    shown = view_table([{"a": "x", "rate": 0.0}, {"a": "y", "rate": None}], caption="")
    assert [row[1] for row in shown.rows] == ["0", "–"]
    status = describe_columns([{"status": None}])
    assert tables.explain_absence({"status": "too_few"}, status) == "too few"
    assert tables.explain_absence({"status": "measured"}, status) == "not measured"
    assert tables.matching_rows([{"a": None}, {"a": "x"}], {"a": None}) == [{"a": None}]


def test_groups_are_turned_into_rows_of_metrics() -> None:
    base = {"model": "m", "split": "test", "attribute": "sex", "class": None, "control": None}
    table = [
        {
            **base,
            "group": "f",
            "metric": "accuracy",
            "value": 0.8,
            "low": 0.6,
            "high": 0.9,
            "n": 20,
            "status": "measured",
        },
        {**base, "group": "f", "metric": "tpr", "value": None, "low": None, "high": None, "n": 2, "status": "too_few"},
        {
            **base,
            "group": "g",
            "metric": "accuracy",
            "value": 0.7,
            "low": 0.5,
            "high": 0.9,
            "n": 18,
            "status": "inconclusive (small sample)",
        },
    ]
    (block,) = group_table.list_group_tables(Section(plugin="p", tables={"t": table}), "t")
    assert (block.title, block.metrics) == ("Sex", ("accuracy", "tpr"))
    first, second = block.rows
    assert first.cells[0] == group_table.GroupCell("0.80", "[0.60, 0.90]", "")
    assert first.cells[1].absence == "too few"
    assert second.cells[0].remark == "inconclusive (small sample)", "a number that is not compared says so"
    assert second.cells[1].absence == tables.EMPTY, "a metric that was not asked of this group"
    assert group_table.list_group_tables(Section(plugin="p"), "t") == []


def test_the_config_comes_back_from_its_text() -> None:
    config = {
        "name": 'a "quoted" \\ name\n\x7f',
        "seed": 0,
        "odd key": True,
        "train": {"learning_rate": 1e-05, "epochs": 3, "none": None},
        "data": {"groups": ["a", "b"], "nested": {"x": [1, [2.5]]}},
        "policy": [{"finding": "a.b", "max": 0.1}, {"finding": "a.c", "table": {"k": 1}}],
        "empty": [],
    }
    expected = {**config, "train": {"learning_rate": 1e-05, "epochs": 3}}
    assert tomllib.loads(toml.dumps(config)) == expected


def test_a_status_that_says_no_more_than_the_value_has_no_column() -> None:
    rows = [{"group": "a", "value": 0.5, "status": "ok"}, {"group": "b", "value": None, "status": "too few"}]
    shown = view_table(rows, caption="")
    assert [column.label for column in shown.columns] == ["group", "value"]
    assert shown.rows[1] == ("b", "too few")
    rows[0]["status"] = "warn"
    assert [column.label for column in view_table(rows, caption="").columns] == ["group", "value", "status"]


def test_a_band_is_one_column_like_an_interval() -> None:
    rows = [{"value": 0.5, "low": 0.4, "high": 0.6, "band_low": 0.0, "band_high": 0.1}]
    shown = view_table(rows, caption="")
    assert [column.label for column in shown.columns] == ["value", "interval", "range"]
    assert shown.rows == (("0.5", "[0.4, 0.6]", "[0.0, 0.1]"),)
