"""``rft init`` on photos in class folders with a table of the people in them, however that names the photos."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from rft.data import read_dataset
from rft.pipeline.check import check_audit
from rft.pipeline.plan import read_plan
from tests.cli.test_init import RANDOM, folder, invoke_rft, read_config
from tests.data.test_people_tables import SPELLINGS, write_photos

__all__ = ["folder"]  # a fixture

JOINED: dict[str, Any] = {"image": "file", "groups": ["gender"], "positive": "smiling", "unit": "person", "test": 0.25}


def write_people(folder: Path, place: str = "people.csv", spelling: str = "the name of the file alone") -> pd.DataFrame:
    people = write_photos(folder).rename(columns={"who": "person"})
    (folder / place).parent.mkdir(exist_ok=True)
    people.assign(file=people["file"].map(SPELLINGS[spelling][1])).to_csv(folder / place, index=False)
    return people


@pytest.mark.parametrize("spelling", sorted(SPELLINGS.keys() - {"a path from the folder of another table"}))
@pytest.mark.parametrize("named", ["the folder", "the table"])
def test_a_table_of_people_is_joined_with_class_folders(folder: Path, spelling: str, named: str) -> None:
    place = SPELLINGS[spelling][0]
    write_people(folder, place, spelling)
    code, stdout, stderr = invoke_rft(
        "init", "photos/" if named == "the folder" else place, "--positive", "smiling", *RANDOM
    )
    assert code == 0, stderr
    assert read_config(folder)["data"] == {"folder": "photos", "metadata": place} | JOINED
    assert f"metadata   {place}  (its column file names 16 of the 16 images)" in stdout
    assert check_audit(folder / "audit.toml").problems == []


def test_where_the_config_stands_elsewhere_paths_are_relative_to_it(folder: Path, monkeypatch: Any) -> None:
    write_people(folder)
    (folder / "audits").mkdir()
    assert invoke_rft("init", "photos", "--out", "audits/audit.toml", *RANDOM)[0] == 0
    assert read_config(folder / "audits")["data"]["metadata"] == "../people.csv"
    assert read_config(folder / "audits")["data"]["folder"] == "../photos"
    assert check_audit(folder / "audits" / "audit.toml").problems == []
    monkeypatch.chdir(folder / "photos")
    assert invoke_rft("init", ".", *RANDOM)[0] == 0
    assert read_config(folder / "photos")["data"]["metadata"] == "../people.csv"
    assert check_audit(folder / "photos" / "audit.toml").problems == []


def test_what_is_not_joined_is_counted_in_the_reason(folder: Path) -> None:
    people = write_people(folder)
    people.drop(index=[0, 1]).replace("photos/neutral/02.png", "gone.png").to_csv("people.csv", index=False)
    code, stdout, _ = invoke_rft("init", "photos", *RANDOM)
    assert code == 0
    assert (
        "its column file names 13 of the 16 images; the others are left out, counted and reported; "
        "1 row names no image: likewise" in stdout
    )
    plan = read_plan(folder / "audit.toml")
    dataset = read_dataset(plan.settings.core.data, folder, 0)
    assert sum(map(len, dataset.splits.values())) == 13


@pytest.mark.parametrize("path", ["photos", "people.csv"])
def test_names_of_several_images_are_refused_at_once(folder: Path, path: str) -> None:
    write_people(folder)
    (folder / "photos" / "smiling" / "00.png").write_bytes((folder / "photos" / "neutral" / "00.png").read_bytes())
    code, _, stderr = invoke_rft("init", path, *RANDOM)
    assert code == 2
    assert "people.csv: '00.png' is the name of 2 images" in stderr
    assert "neutral/00.png. " in f"{stderr} "
    assert not (folder / "audit.toml").exists()


def test_of_several_tables_about_the_photos_none_is_guessed(folder: Path) -> None:
    people = write_people(folder)
    people.to_csv("photos/more.csv", index=False)
    code, _, stderr = invoke_rft("init", "photos", *RANDOM)
    assert code == 2
    assert "several tables name images of it: photos/more.csv and " in stderr
    assert "Name the one to read: --metadata photos/more.csv" in stderr
    assert invoke_rft("init", "photos", "--metadata", "people.csv", *RANDOM)[0] == 0
    assert read_config(folder)["data"]["metadata"] == "people.csv"
    code, _, stderr = invoke_rft("init", "people.csv", "--metadata", "people.csv", "--force", *RANDOM)
    assert (code, "--metadata: is about the files of a folder: name the folder" in stderr) == (2, True)


def test_a_table_about_other_things_is_left_alone_and_said(folder: Path) -> None:
    write_photos(folder)
    pd.DataFrame({"file": ["notes.txt"], "gender": ["f"]}).to_csv("photos/notes.csv", index=False)
    (folder / "broken.parquet").write_bytes(b"no table")
    (folder / "00.png").write_bytes((folder / "photos" / "neutral" / "00.png").read_bytes())
    pd.DataFrame({"file": ["00.png"], "gender": ["f"]}).to_csv("others.csv", index=False)  # of a photo beside it
    assert invoke_rft("init", "photos", *RANDOM)[0] == 0
    assert read_config(folder)["data"] == {"folder": "photos", "test": 0.25}
    text = (folder / "audit.toml").read_text(encoding="utf-8")
    assert "# not read: notes.csv; --metadata FILE names another table" in text
    code, _, stderr = invoke_rft("init", "photos", "--metadata", "photos/notes.csv", "--force", *RANDOM)
    assert (code, "photos/notes.csv: no column names images of photos" in stderr) == (2, True)


def test_bare_names_in_metadata_mean_the_same_to_init_and_check(folder: Path) -> None:
    people = write_people(folder)
    (folder / "people.csv").unlink()
    bare = people.assign(file_name=people["file"].map(lambda name: Path(name).name)).drop(columns="file")
    bare.to_csv("photos/metadata.csv", index=False)
    assert invoke_rft("init", "photos", "--positive", "smiling", *RANDOM)[0] == 0
    expected = {"folder": "photos"} | {key: value for key, value in JOINED.items() if key != "image"}
    assert read_config(folder)["data"] == expected
    assert check_audit(folder / "audit.toml").problems == []


def test_images_that_are_not_there_are_said_of_the_table(folder: Path) -> None:
    pd.DataFrame({"file": ["a/x.jpg", "b/y.jpg"] * 4, "label": ["a", "b"] * 4}).to_csv("people.csv", index=False)
    code, _, stderr = invoke_rft("init", "people.csv", *RANDOM)
    assert code == 2
    assert stderr.startswith("rft: people.csv: the column 'file' names images, and 'a/x.jpg' is not there")


def test_a_column_of_labels_wins_over_class_folders_where_it_is_called_so(folder: Path) -> None:
    people = write_people(folder)
    people.assign(label=["x", "y"] * 8).to_csv("people.csv", index=False)
    assert invoke_rft("init", "photos", *RANDOM)[0] == 0
    assert read_config(folder)["data"]["label"] == "label"
    assert check_audit(folder / "audit.toml").classes == ("x", "y")
