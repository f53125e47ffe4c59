"""The words of a run's record: what examples and units are called, and what a unit is."""

from __future__ import annotations

import pytest

from rft.records import ModelFacts
from tests.support.example_run import example_run

NOT_NAMED = "a unit is all images with one value of a column that is not named here"


def of_unit(column: str | None, modality: str = "image") -> ModelFacts:
    return example_run().model.model_copy(update={"unit": column, "modality": modality})


@pytest.mark.parametrize(
    ("column", "one", "many", "meaning"),
    [
        ("patient", "unit (patient)", "units (patient)", "a unit is all images with one value of the column patient"),
        ("unit", "unit", "units", "a unit is all images with one value of the column unit"),
        ("", "unit", "units", NOT_NAMED),
        (None, "unit", "units", ""),
    ],
)
def test_a_unit_is_named_by_its_column(column: str | None, one: str, many: str, meaning: str) -> None:
    model = of_unit(column)
    assert (model.name_unit(), model.name_units(), model.explain_unit()) == (one, many, meaning)
    assert (model.name_unit(declared=False), model.name_units(declared=False)) == ("example", "examples")


@pytest.mark.parametrize(
    ("modality", "items"), [("image", "images"), ("text", "texts"), ("predictions", "rows"), ("sound", "examples")]
)
def test_examples_are_called_by_their_kind(modality: str, items: str) -> None:
    model = of_unit("patient", modality)
    assert model.name_items() == items
    assert model.explain_unit() == f"a unit is all {items} with one value of the column patient"
