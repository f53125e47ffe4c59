"""A unit is explained once on the page, and called by its column wherever it is counted or promised something."""

from __future__ import annotations

import html
import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import rft
from rft.records import AuditRun
from rft.report import open_run, render
from rft.report.render.model_card import model_card
from rft.report.render.public import make_public
from rft.report.views.page import view_run
from tests.support.example_run import example_run
from tests.support.hostile_text import HEBREW

pytest.importorskip("fairlearn")
ROWS, PHOTOS_OF_ONE = 240, 3
CONFIG = """\
name = "photos"

[data]
label = "label"
positive = "yes"
groups = ["place"]
unit = {unit}

[predictions]
file = "photos.csv"
prediction = "predicted"

[fairness]

[report]
suppress_below = {below}
"""


def audit_photos(folder: Path, column: str, *, below: int = 0) -> AuditRun:
    """Audit predictions for 240 photos of 80 people, who are named in a column."""
    rng = np.random.default_rng(0)
    person = np.repeat(np.arange(ROWS // PHOTOS_OF_ONE), PHOTOS_OF_ONE)
    label = rng.choice(["yes", "no"], ROWS)
    table = pd.DataFrame(
        {
            column: [f"p{number}" for number in person],
            "place": np.where(person % 2, "north", "south"),
            "label": label,
            "predicted": np.where(rng.random(ROWS) < 0.8, label, "no"),
        }
    )
    table.to_csv(folder / "photos.csv", index=False)
    quoted = '"' + column.replace("\\", "\\\\").replace('"', '\\"') + '"'
    (folder / "photos.toml").write_text(CONFIG.format(unit=quoted, below=below), encoding="utf-8")
    rft.audit(folder / "photos.toml", folder / "run")
    return open_run(folder / "run")


def list_texts(page: str) -> list[str]:
    """Return what a reader of a page sees, without the embedded run and the config."""
    shown = re.sub(r"<(script|style|pre|title)\b.*?</\1>", "", page, flags=re.DOTALL)
    return [html.unescape(text).strip() for text in re.split(r"<[^>]+>", shown) if text.strip()]


def test_the_page_says_what_a_unit_is_and_counts_by_its_column(tmp_path: Path) -> None:
    run = audit_photos(tmp_path, "face_id")
    meaning = "80 test units: a unit is all rows with one value of the column face_id"
    assert meaning in view_run(run).byline
    texts = list_texts(render(run))
    assert sum("a unit is" in text for text in texts) == 1
    assert texts.index(meaning) < next(index for index, text in enumerate(texts) if "units (face_id)" in text)
    for section in ("performance", "fairness"):
        counted = {column.label for columns in run.section(section).columns.values() for column in columns}
        assert "units (face_id)" in counted, section
    assert run.finding("dataset.shared_units").title == "Units (face_id) in two splits"
    assert " on test rows of 80 units (face_id)" in run.pillars[0].summary
    assert any("Rows of one unit (face_id) are not independent" in note for note in run.section("fairness").notes)
    data = {row[0]: row[2:] for row in view_run(run).data.rows}
    assert data["units (face_id)"] == ("80",)
    assert data["examples"] == ("240",)


def test_without_units_nothing_is_said_of_them() -> None:
    run = example_run()
    run = run.model_copy(update={"model": run.model.model_copy(update={"unit": None})})
    assert all("unit" not in part for part in view_run(run).byline)


def test_where_a_count_of_units_is_withheld_the_meaning_stands_alone() -> None:
    run = example_run()
    counts = {name: facts.model_copy(update={"n_units": None}) for name, facts in run.data.splits.items()}
    hidden = run.model_copy(update={"data": run.data.model_copy(update={"splits": counts})})
    assert "a unit is all images with one value of the column face_id" in view_run(hidden).byline
    assert any(part.startswith("32 train, 15 test units: a unit is") for part in view_run(run).byline)


def test_strangers_learn_what_a_unit_is_and_not_the_column(tmp_path: Path) -> None:
    run = audit_photos(tmp_path, "face_id", below=10)
    public = make_public(run)
    assert "face_id" in run.to_json()
    assert "face_id" not in public.to_json()
    assert "unit (" not in public.to_json()
    assert any(
        part.endswith("a unit is all rows with one value of a column that is not named here")
        for part in view_run(public).byline
    )
    assert " on test rows of 80 units" in public.pillars[0].summary


@pytest.mark.parametrize(
    "column",
    ['<img src=x onerror=alert(1)>"', HEBREW, "\u202eecaf", "x" * 300, "{units} %s {0}", "(a|b) \\1"],
    ids=["markup", "right to left", "override", "long", "braces", "pattern"],
)
def test_a_hostile_column_is_shown_as_it_is_called_and_no_more(column: str, tmp_path: Path) -> None:
    run = audit_photos(tmp_path, column, below=10)
    assert run.model.unit == column
    page, card = render(run), model_card(run)
    shown = "".join(list_texts(page))
    assert f"units ({column})".replace("\u202e", "<U+202E>") in shown
    assert "<img src=x" not in page
    assert "<img src=x" not in card
    assert "\u202e" not in page
    if column == HEBREW:
        assert f"the column <bdi>{HEBREW}</bdi>" in page
        assert f"units (<bdi>{HEBREW}</bdi>)" in page
    public = make_public(run).to_json()
    assert json.dumps(column, ensure_ascii=False)[1:-1] not in public
    assert "of 80 units" in public
