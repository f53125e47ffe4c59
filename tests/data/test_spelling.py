"""Values that look like one another or like a missing one."""

from __future__ import annotations

import unicodedata

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from rft.data.tables.spelling import _normal_forms, find_alike, normal_form, quote_name, spelling_remarks

NFD = unicodedata.normalize("NFD", "café")


@pytest.mark.parametrize(
    "names",
    [
        ("neg", "neg "),
        ("neg", "\tneg"),
        ("Yes", "yes"),
        ("new york", "New  York", "new\u00a0york", "newyork"),
        ("café", NFD),
        ("1", "1.0", "01", "+1", "1.", "1.00"),
        ("0.5", "0.50", "00.5"),
        ("0", "0.0", "000"),
        ("-1", "-1.0"),
        ("True", "true", "TRUE"),
        ("yes", "yes\u200b", "\ufeffyes", "ye\u00ads", "yes\0"),
        ("18-25", "18–25", "18—25"),
        ("don't", "don’t"),
        ("straße", "STRASSE"),
        ("ﬁt", "fit"),
        ("１", "1"),
    ],
)
def test_other_spellings_of_one_name_are_alike(names: tuple[str, ...]) -> None:
    assert find_alike([*names, "something else", "2"]) == [tuple(sorted(names))]


@pytest.mark.parametrize(
    "names",
    [("1", "10"), ("1", "-1"), ("0.5", "5"), ("10", "1.0"), ("a1", "a01"), ("a", "ä"), ("<18", ">18"), ("", "0")],
)
def test_different_names_are_not(names: tuple[str, ...]) -> None:
    assert find_alike(names) == []


def test_the_quick_way_through_ascii_gives_the_same_forms() -> None:
    rng = np.random.default_rng(0)
    letters = list(" \t\0aAbZ019.+-'\"\x7f")
    names = sorted({"".join(rng.choice(letters, rng.integers(1, 8))) for _ in range(20_000)})
    assert _normal_forms(pa.array(names)).to_pylist() == [normal_form(name) for name in names]


def test_what_cannot_be_seen_is_escaped() -> None:
    assert quote_name("neg ") == "'neg '"
    assert quote_name("café") == "'café'"
    assert quote_name(NFD) == "'cafe\\u0301'"
    assert quote_name("a\u00a0b\u200b\u202e") == "'a\\xa0b\\u200b\\u202e'"


def categories(*values: str | None) -> pd.Categorical:
    return pd.Categorical(values)


def test_remarks_name_labels_and_groups_and_only_count_units() -> None:
    remarks = {
        remark.id: remark
        for remark in spelling_remarks(
            categories("pos", "pos ", "neg", "neg"),
            {"sex": categories("F", "f", "M", "N/A"), "site": categories("a", "b", None, "unknown")},
            categories("P1", "p1", "P2", "NA"),
        )
    }
    assert set(remarks) == {
        *("alike_labels", "alike_groups.sex", "alike_units"),
        *("missing_spellings.sex", "missing_spellings.site", "missing_units"),
    }
    assert "'pos' and 'pos '" in remarks["alike_labels"].description
    assert "'F' and 'f'" in remarks["alike_groups.sex"].description
    assert remarks["alike_units"].value == 1
    assert "P1" not in remarks["alike_units"].description
    assert remarks["alike_units"].names == ["'P1' and 'p1'"]
    assert (remarks["missing_spellings.sex"].value, remarks["missing_spellings.sex"].n) == (1, 4)
    assert "'N/A'" in remarks["missing_spellings.sex"].description


@pytest.mark.parametrize(
    "name",
    ["N/A", "NA", "na", "null", "NULL", "none", "None", "-", "--", "?", "unknown", "Unknown ", "nan", "NaN", "#N/A"],
)
def test_usual_spellings_of_missing_are_pointed_out(name: str) -> None:
    (remark,) = spelling_remarks(categories("a", "b"), {"g": categories(name, "x")}, None)
    assert (remark.id, remark.value, remark.status) == ("missing_spellings.g", 1, "warn")


def test_usual_values_are_not() -> None:
    groups = categories("other", "0", "nobody", "North", "None of these", "NaCl", "1", "prefer not to say")
    assert not list(spelling_remarks(categories("none", "some"), {"g": groups}, categories("u1", "u2")))
    (remark,) = spelling_remarks(categories("nan", "some"), {}, None)
    assert remark.id == "missing_labels"


@pytest.mark.slow
def test_millions_of_units_take_seconds() -> None:
    import time

    names = pd.Index([f"P{number:07}" for number in range(3_000_000)])
    start = time.process_time()
    assert find_alike(names) == []
    assert time.process_time() - start < 20
