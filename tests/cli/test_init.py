"""``rft init``: a config that runs as it stands, from a look at the data, flags and answers."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from rft.backbones.sources import hub
from rft.cli.main import app
from rft.pipeline.check import check_audit
from rft.starter import backbones
from rft.starter.tables import sample
from tests.conftest import write_images

RANDOM = ("--backbone", "torchvision/resnet18", "--weights", "random")


def invoke_rft(*arguments: object, answers: str | None = None) -> tuple[int, str, str]:
    done = CliRunner().invoke(app, [str(argument) for argument in arguments], input=answers)
    return done.exit_code, done.stdout, " ".join(done.stderr.split())


def read_config(folder: Path) -> dict[str, Any]:
    return tomllib.loads((folder / "audit.toml").read_text(encoding="utf-8"))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Go to an empty folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def portraits(folder: Path) -> Path:
    """Go to a folder with images of people, and a table that says more of them."""
    table = write_images(folder / "photos")
    table["gender"] = ["f", "f", "m", "m"] * 10
    table["age"] = 20 + np.arange(40)
    table.drop(columns="camera").to_csv(folder / "photos" / "images.csv", index=False)
    return folder


@pytest.fixture
def scores(folder: Path) -> Path:
    """Go to a folder with a table of predictions."""
    random = np.random.default_rng(0)
    label = random.random(400) < 0.5
    score = np.clip(0.2 + 0.6 * label + random.normal(0, 0.2, 400), 0.01, 0.99)
    columns = {"outcome": np.where(label, "yes", "no"), "p_yes": score.round(3), "sex": ["f", "m"] * 200}
    pd.DataFrame(columns).to_csv(folder / "scores.csv", index=False)
    return folder


def test_a_folder_of_photos_with_a_table_needs_nothing_but_the_favourable_class(portraits: Path) -> None:
    code, stdout, stderr = invoke_rft("init", "photos", "--positive", "red", *RANDOM)
    assert code == 0, stderr
    config = read_config(portraits)
    assert config["data"] == {
        "manifest": "photos/images.csv",
        "image": "file",
        "label": "colour",
        "positive": "red",
        "groups": ["gender"],
        "unit": "person",
        "split": "split",
    }
    assert config["model"] == {"backbone": "torchvision/resnet18", "weights": "random"}
    assert config.keys() == {"seed", "data", "model", "privacy", "fairness", "attribution"}
    text = (portraits / "audit.toml").read_text(encoding="utf-8")
    assert "# gender: sex or gender, 2 values: f (20), m (20)" in text
    assert "# age names no groups as it stands: 40 numbers from 20 to 59; groups are categories" in text
    assert 'unit = "person"' in text
    assert "20 values in 40 rows, so that values repeat" in text
    assert stdout.endswith("Written: audit.toml\nNext: rft check audit.toml, then rft audit audit.toml\n")
    assert check_audit(portraits / "audit.toml").problems == []


def test_without_the_favourable_class_fairness_is_left_out_with_the_reason(portraits: Path) -> None:
    code, stdout, _ = invoke_rft("init", "photos", *RANDOM)
    assert code == 0
    assert "[fairness] left out: it needs data.positive, the favourable class, which only you know" in stdout
    assert "fairness" not in read_config(portraits)
    placeholder = re.search(
        r'^# positive = "(.*)"', (portraits / "audit.toml").read_text(encoding="utf-8"), re.MULTILINE
    )
    assert placeholder is not None
    assert sorted(placeholder[1].split(" or ")) == ["blue", "red"], "neither class stands there to be uncommented"
    assert check_audit(portraits / "audit.toml").problems == []


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (("photos", "--group", "gender"), "--positive: --group needs the favourable class, which is never guessed Add"),
        (("photos", "--positive", "rot"), "--positive: 'rot' is no label The labels are blue and red."),
        (("photos", "--group", "gendr"), "--group: there is no column 'gendr' Did you mean 'gender'?"),
        (("photos", "--private", "3"), "--class: private training needs all classes of the task"),
        (("photos", "--population", "us"), "--population: is about private training: give --private EPSILON, too"),
        (("photos", "--weights", "random"), "--weights: says nothing without --backbone"),
        (
            ("photos", "--private", "0", "--class", "red", "--class", "blue"),
            "privacy.epsilon: expected a number above 0",
        ),
        (("nothing",), "nothing: no such file or folder"),
        (("photos/000.png",), "unknown kind of table '.png'"),
    ],
)
def test_what_is_wrong_or_missing_names_the_flag_and_writes_nothing(
    arguments: tuple[str, ...], problem: str, portraits: Path
) -> None:
    code, stdout, stderr = invoke_rft("init", *arguments)
    assert (code, stdout) == (2, "")
    assert problem in stderr
    assert not (portraits / "audit.toml").exists()


def test_a_label_that_is_not_certain_is_asked_for(folder: Path) -> None:
    write_images(folder / "data")
    code, _, stderr = invoke_rft("init", "data/images.csv", *RANDOM)
    assert code == 2
    assert (
        "--label: which column holds the labels? Only you know; 2 could: colour (2 values: blue (20), red (20)) "
        "and camera (2 values: left (20), right (20)) Name the column" in stderr
    )
    assert invoke_rft("init", "data/images.csv", "--label", "colour", *RANDOM)[0] == 0
    assert read_config(folder)["data"]["label"] == "colour"
    text = (folder / "audit.toml").read_text(encoding="utf-8")
    assert "# few values too, if these are groups: camera, 2 values: left (20), right (20)" in text


@pytest.mark.slow
def test_private_training_is_proposed_with_classes_and_population(portraits: Path) -> None:
    named = ("--class", "red", "--class", "blue", "--population", "london")
    assert invoke_rft("init", "photos", "--private", "2.5", *named, *RANDOM)[0] == 0
    config = read_config(portraits)
    assert (config["data"]["classes"], config["data"]["population"]) == (["red", "blue"], "london")
    assert config["privacy"] == {"epsilon": 2.5}
    assert check_audit(portraits / "audit.toml").problems == []


def test_a_config_that_is_there_stays(portraits: Path) -> None:
    (portraits / "audit.toml").write_text("mine", encoding="utf-8")
    code, _, stderr = invoke_rft("init", "photos")
    assert (code, "audit.toml: exists already Replace it with --force" in stderr) == (2, True)
    assert (portraits / "audit.toml").read_text(encoding="utf-8") == "mine"
    assert invoke_rft("init", "photos", "--force", *RANDOM)[0] == 0


@pytest.mark.parametrize("layout", ["{label}", "{split}/{label}"])
def test_class_folders_are_known(layout: str, folder: Path) -> None:
    table = write_images(folder / "flat")
    for row in table.itertuples():
        place = folder / "photos" / layout.format(label=row.colour, split=row.split)
        place.mkdir(parents=True, exist_ok=True)
        (folder / "flat" / str(row.file)).rename(place / str(row.file))
    code, stdout, _ = invoke_rft("init", "photos", *RANDOM)
    assert code == 0
    assert "[fairness] left out: it needs data.groups" in stdout
    expected: dict[str, Any] = {"folder": "photos"} | ({} if "split" in layout else {"test": 0.25})
    assert read_config(folder)["data"] == expected
    assert "class folders say nothing of people" in (folder / "audit.toml").read_text(encoding="utf-8")
    assert check_audit(folder / "audit.toml").problems == []


def test_a_folder_with_metadata_says_more(portraits: Path) -> None:
    table = pd.read_csv("photos/images.csv", dtype=str).drop(columns=["split", "age"])
    table.rename(columns={"file": "file_name", "colour": "label"}).to_csv("photos/metadata.csv", index=False)
    (portraits / "photos" / "images.csv").unlink()
    assert invoke_rft("init", "photos", "--positive", "blue", *RANDOM)[0] == 0
    assert read_config(portraits)["data"] == {
        "folder": "photos",
        "label": "label",
        "positive": "blue",
        "groups": ["gender"],
        "unit": "person",
        "test": 0.25,
    }
    assert check_audit(portraits / "audit.toml").problems == []


def test_a_folder_of_several_tables_asks_for_one(folder: Path) -> None:
    for name in ("a.csv", "b.csv"):
        (folder / name).write_text("text,label\n", encoding="utf-8")
    code, _, stderr = invoke_rft("init", ".")
    assert (code, "holds several tables: a.csv and b.csv Name the one to audit" in stderr) == (2, True)


def test_texts_get_a_backbone_for_texts(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backbones, "PACKAGES", {})
    monkeypatch.setattr(hub, "list_cached_models", lambda: [])
    texts = [f"this is comment number {row}, and it says something" for row in range(60)]
    frame = pd.DataFrame({"comment": texts, "toxic": ["0", "1"] * 30, "author": [f"a{row // 3}" for row in range(60)]})
    frame.to_csv("comments.csv", index=False)
    assert invoke_rft("init", "comments.csv")[0] == 0
    config = read_config(folder)
    assert config["data"] == {
        "manifest": "comments.csv",
        "text": "comment",
        "label": "toxic",
        "unit": "author",
        "test": 0.25,
    }
    assert config["model"]["backbone"] == "transformers/sentence-transformers/all-MiniLM-L6-v2"
    text = (folder / "audit.toml").read_text(encoding="utf-8")
    assert "the weights of no backbone were found on this machine: the first run downloads" in text


def test_a_table_of_predictions_goes_through_to_the_report(scores: Path) -> None:
    code, _, stderr = invoke_rft("init", "scores.csv")
    assert code == 2
    assert "--positive: the column 'p_yes' needs the favourable class" in stderr
    assert invoke_rft("init", "scores.csv", "--positive", "yes")[0] == 0
    config = read_config(scores)
    assert config == {
        "seed": 0,
        "data": {"label": "outcome", "positive": "yes", "groups": ["sex"]},
        "predictions": {"file": "scores.csv", "score": "p_yes"},
        "fairness": {},
    }
    assert invoke_rft("check", "audit.toml")[0] == 0
    assert invoke_rft("audit", "audit.toml", "--out", "run")[0] == 0
    assert (scores / "run" / "report.html").is_file()


def test_a_class_beyond_the_rows_that_were_looked_at_may_be_named(
    scores: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sample, "ENOUGH_ROWS", 10)
    table = pd.read_csv(scores / "scores.csv")
    pd.concat([table] * 400).to_csv(scores / "scores.csv", index=False)  # more than one block
    code, _, stderr = invoke_rft("init", "scores.csv", "--score", "p_yes", "--positive", "maybe")
    assert code == 0, stderr
    text = (scores / "audit.toml").read_text(encoding="utf-8")
    assert re.search(r"first [\d,\s]+ rows seen", text)


def test_a_score_of_the_other_class_is_refused(scores: Path) -> None:
    code, _, stderr = invoke_rft("init", "scores.csv", "--positive", "no")
    assert (code, "--score: 'p_yes' is named after 'yes', and the favourable class is 'no'" in stderr) == (2, True)


def test_a_terminal_asks_what_cannot_be_known(portraits: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rft.cli.prepare.init.is_watched", lambda: True)
    code, stdout, _ = invoke_rft("init", "photos", *RANDOM, answers="\n4\nnone of it\ngender\nred\n")
    assert code == 0, stdout
    assert "*  1  person" not in stdout
    assert " * 1  person" in stdout  # what is guessed is marked
    assert "4 is none of these." in stdout
    assert "none of it is none of these." in stdout
    assert read_config(portraits)["data"]["groups"] == ["gender"]
    assert read_config(portraits)["data"]["positive"] == "red"
    code, stdout, _ = invoke_rft("init", "photos", "--force", *RANDOM, answers="2\nnone\n")
    assert code == 0, stdout
    assert {"unit", "groups", "positive"}.isdisjoint(read_config(portraits)["data"])
    assert invoke_rft("init", "photos", "--force", "--yes", *RANDOM)[0] == 0
    code, _, stderr = invoke_rft("init", "photos", "--force", *RANDOM, answers="")
    assert (code, "interrupted" in stderr) == (130, True)


@pytest.mark.slow
def test_a_real_terminal_is_asked(portraits: Path) -> None:
    """In a pseudo-terminal the command asks; answers are typed by its other end."""
    mine, its = pty.openpty()
    command = [sys.executable, "-m", "rft", "init", "photos", *RANDOM]
    with subprocess.Popen(command, stdin=its, stdout=its, stderr=its, cwd=portraits, env=os.environ | {"TERM": "dumb"}):
        os.close(its)
        os.write(mine, b"\n\nred\n")
        said = b""
        try:
            while block := os.read(mine, 4096):
                said += block
        except OSError:  # the other end is closed
            pass
    os.close(mine)
    assert b"Which class is the favourable outcome" in said
    assert read_config(portraits)["data"]["positive"] == "red"


def test_a_column_of_splits_is_not_dropped_for_a_folder(folder: Path) -> None:
    table = write_images(folder / "photos").rename(columns={"file": "file_name", "colour": "label"})
    table.to_csv(folder / "photos" / "metadata.csv", index=False)
    assert invoke_rft("init", "photos", *RANDOM)[0] == 0
    assert read_config(folder)["data"] == {"folder": "photos", "label": "label", "unit": "person", "split": "split"}
    assert check_audit(folder / "audit.toml").problems == []
