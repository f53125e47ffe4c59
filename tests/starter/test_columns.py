"""What columns may be: by their names and by their cells, never by a name alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd
import pytest

from rft.config.item_files import IMAGE_FILES
from rft.errors import DataError
from rft.starter.tables import columns
from rft.starter.tables.prediction_columns import find_prediction_columns
from rft.starter.tables.sample import ColumnSample, TableSample

N = 60
TEXTS = [f"this is a review that somebody wrote, number {row}" for row in range(N)]
PEOPLE = [f"person {row // 2}" for row in range(N)]
SEX = ["f", "m", "m"] * (N // 3)


def make_sample(cells: Mapping[str, Sequence[object]]) -> TableSample:
    """Return a table of which each cell is read as a text, and None is empty."""
    values = {name: [None if cell is None else str(cell) for cell in column] for name, column in cells.items()}
    return TableSample({name: ColumnSample(name, pd.Categorical(column)) for name, column in values.items()})


@pytest.mark.parametrize(
    ("name", "cells", "expected"),
    [
        ("Gender", SEX, "Gender"),
        ("patient_sex", SEX, "patient_sex"),
        ("ageGroup", ["18-29", "30-44"] * (N // 2), "ageGroup"),
        ("race", TEXTS, None),  # free text
        ("age", range(N), None),  # numbers
        ("country", [f"country {row // 2}" for row in range(N)], None),  # 30 of them
        ("sex", ["f"] * N, None),
        ("sex", [None] * N, None),
        ("skin", [0.5, 1.5] * (N // 2), None),  # measured
        ("page", SEX, None),
        ("scanner", SEX, None),
    ],
)
def test_groups_of_people_are_told_by_name_and_cells(name: str, cells: Sequence[object], expected: str | None) -> None:
    groups = columns.find_groups(make_sample({name: cells}), ())
    assert [guess.value for guess in groups.people] == ([expected] if expected else [])
    assert [guess.value for guess in groups.others] == [name] * (name in ("page", "scanner"))


def test_numbers_are_no_groups_and_the_reason_says_what_to_do() -> None:
    (age,) = columns.find_groups(make_sample({"age": range(18, 78)}), ()).unfit
    assert age.reason.startswith("60 numbers from 18 to 77; groups are categories, so write bands")
    assert columns.find_groups(make_sample({"age": [1, 2, 3] * 20}), ()).people[0].value == "age"


def test_values_are_counted_with_what_is_missing() -> None:
    (sex,) = columns.find_groups(make_sample({"sex": [*["f"] * 20, *["m"] * 39, None]}), ()).people
    assert sex.reason == "sex or gender, 2 values: m (39), f (20); empty in 1 rows"


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        ({"label": SEX, "source": SEX}, ["label"]),
        ({"label": SEX, "outcome": SEX}, ["label", "outcome"]),  # equals: for the user to choose
        ({"target": SEX, "biased": SEX, "gender": SEX}, ["target", "biased"]),  # whom a comment is about, or a label?
        ({"target": SEX, "gender": SEX}, ["target"]),
        ({"y_true": SEX, "kind": SEX}, ["y_true"]),
        ({"smiling": SEX, "gender": SEX}, ["smiling"]),  # one that is not called so, beside people's
        ({"bias": SEX, "topic": SEX}, ["bias", "topic"]),  # for the user to choose
        ({"class name": SEX, "rating": SEX}, ["class name", "rating"]),  # a class of what?
        ({"label": range(N), "text": TEXTS}, []),
    ],
)
def test_labels_are_what_is_called_so_or_left_to_choose(
    cells: dict[str, Sequence[object]], expected: list[str]
) -> None:
    assert [guess.value for guess in columns.find_label_columns(make_sample(cells), ())] == expected


def test_a_unit_is_called_after_people_and_its_values_repeat() -> None:
    cells = {
        "user": PEOPLE,
        "order_id": PEOPLE,
        "client": range(N),
        "patient": ["a", "b"] * 30,
        "speaker": [None, *PEOPLE[1:]],
        "who": PEOPLE,
        "age": [20 + row // 2 for row in range(N)],
        "price": [row // 2 + 0.5 for row in range(N)],
        "grade": ["a", "b", "c"] * (N // 3),
    }
    units = columns.find_unit_columns(make_sample(cells), ())
    assert [guess.value for guess in units] == ["user", "order_id", "who"]
    assert [columns.is_of_people(guess.value) for guess in units] == [True, False, False]
    assert units[0].reason == "30 values in 60 rows, so that values repeat"


def test_a_split_has_nothing_but_splits_in_its_cells() -> None:
    usual = make_sample({"part": ["Train", "val", "TEST"] * 20, "set": ["train", "extra"] * 30})
    found = columns.find_split_column(usual, (), needed={"train", "test"})
    assert found is not None
    assert (found.value, found.reason) == ("part", "3 values: TEST (20), Train (20), val (20)")
    assert columns.find_split_column(make_sample({"split": ["train"] * N}), (), needed={"train", "test"}) is None


def test_an_id_names_every_row_once() -> None:
    sample = make_sample({"id": range(N), "uuid": [*range(N - 1), 0]})
    assert columns.find_id_column(sample, ()).value == "id"
    assert columns.find_id_column(sample, {"id"}) is None


def test_texts_are_long_and_differ() -> None:
    cells = {
        "phrase": [f"only a phrase {row}" for row in range(N)],
        "comment": TEXTS,
        "same": ["one and the same long text"] * N,
    }
    assert [guess.value for guess in columns.find_text_columns(make_sample(cells), ())] == ["comment", "phrase"]


def test_images_are_names_of_files_that_are_there(tmp_path: Path) -> None:
    sample = make_sample({"page": ["a.html"] * 2, "file": ["a.png", "b.JPG"]})
    with pytest.raises(DataError, match=r"people\.csv: the column 'file' names images, and 'a\.png' is not"):
        columns.find_item_column(sample, tmp_path / "people.csv", IMAGE_FILES)
    for name in ("a.png", "b.JPG"):
        (tmp_path / name).touch()
    assert columns.find_item_column(sample, tmp_path / "people.csv", IMAGE_FILES).value == "file"
    pages = make_sample({"page": ["a.html"] * 2})
    assert columns.find_item_column(pages, tmp_path / "people.csv", IMAGE_FILES) is None


LABELS = ["yes", "no"] * (N // 2)
P_YES = [0.25, 0.75] * (N // 2)


def test_predictions_are_told_by_name_and_cells() -> None:
    decided = find_prediction_columns(make_sample({"label": LABELS, "y_pred": LABELS, "kind": LABELS}), None)
    assert decided is not None
    assert decided.names == ["y_pred"]
    single = find_prediction_columns(make_sample({"label": LABELS, "p_yes": P_YES}), None)
    assert single is not None
    assert (single.names, single.score_class) == (["p_yes"], "yes")
    cells = {"label": LABELS, "prob_yes": P_YES, "prob_no": [1 - p for p in P_YES]}
    several = find_prediction_columns(make_sample(cells), None)
    assert several is not None
    assert dict(several.scores) == {"yes": "prob_yes", "no": "prob_no"}


@pytest.mark.parametrize(
    "cells",
    [
        {"label": LABELS, "prediction": ["maybe", "no"] * (N // 2)},  # no label
        {"label": LABELS, "score": [1, 2] * (N // 2)},  # no probabilities
        {"label": LABELS, "confidence": [0, 1] * (N // 2)},  # decisions, or a flag
        {"text": TEXTS, "kind": LABELS},
    ],
)
def test_other_columns_are_no_predictions(cells: dict[str, Sequence[object]]) -> None:
    assert find_prediction_columns(make_sample(cells), None) is None


def test_scores_that_do_not_sum_to_one_are_not_taken_together() -> None:
    cells = {"label": LABELS, "p_yes": P_YES, "p_no": P_YES}
    taken = find_prediction_columns(make_sample(cells), None)
    assert taken is not None
    assert (taken.scores, taken.score.value if taken.score else None) == ((), "p_yes")


def test_the_predictions_of_a_run_are_known_by_their_columns() -> None:
    cells = dict.fromkeys(("split", "id", "label", "prediction", "score_yes", "group_sex"), LABELS)
    read = find_prediction_columns(make_sample(cells), None)
    assert read is not None
    assert read.rft
