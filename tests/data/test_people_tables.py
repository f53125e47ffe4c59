"""Tables of people beside class folders: which image a cell names, and what is said of those that name none."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from pydantic import ValidationError

from rft.config.schema import DataConfig
from rft.data import Dataset, read_dataset
from rft.errors import DataError
from tests.data.test_hub_layouts import encode_png

CLASSES = ("neutral", "smiling")
N = 16


def write_photos(root: Path, folders: tuple[str, ...] = CLASSES, n: int = N) -> pd.DataFrame:
    """Write photos in class folders, alternately; return who is in each: persons have two photos each."""
    rows = []
    for number in range(n):
        place = root / "photos" / folders[number % len(folders)] / f"{number:02}.png"
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(encode_png())
        rows.append({"file": place.relative_to(root).as_posix(), "gender": "fm"[number // 2 % 2], "who": number // 2})
    return pd.DataFrame(rows)


def read_photos(root: Path, metadata: str, **changes: object) -> Dataset:
    described = {"folder": "photos", "metadata": metadata, "image": "file", "test": 0.5}
    return read_dataset(DataConfig(**described | changes), root, 0)


def list_people(dataset: Dataset) -> dict[str, tuple[str, str, str]]:
    """Return what is known of each image, by its place."""
    return {
        id: (dataset.classes[label], gender, unit)
        for split in dataset.splits.values()
        for id, label, gender, unit in zip(split.ids, split.labels, split.groups["gender"], split.units, strict=True)
    }


SPELLINGS = {
    "a path from the table beside the folder": ("people.csv", lambda name: name),
    "a path from the table in the folder": ("photos/people.csv", lambda name: name.removeprefix("photos/")),
    "a path in the folder": ("people.csv", lambda name: name.removeprefix("photos/")),
    "a path from elsewhere": ("photos/people.csv", lambda name: name),
    "the name of the file alone": ("people.csv", lambda name: Path(name).name),
    "the name alone, within the folder": ("photos/people.csv", lambda name: Path(name).name),
    "backslashes": ("people.csv", lambda name: name.replace("/", "\\")),
    "a path from the folder of another table": ("more/people.csv", lambda name: f"../{name}"),
}


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_a_table_names_images_by_their_paths_or_the_ends_of_these(tmp_path: Path, spelling: str) -> None:
    people = write_photos(tmp_path)
    place, spell = SPELLINGS[spelling]
    (tmp_path / place).parent.mkdir(exist_ok=True)
    people.assign(file=people["file"].map(spell)).to_csv(tmp_path / place, index=False)
    dataset = read_photos(tmp_path, place, groups=["gender"], unit="who")
    assert list_people(dataset) == {
        row.file.removeprefix("photos/"): (Path(row.file).parent.name, row.gender, str(row.who))
        for row in people.itertuples()
    }
    assert dataset.remarks == []
    assert place in {file.path for file in dataset.inputs}


@pytest.mark.parametrize("kind", ["tsv", "jsonl", "parquet", "xlsx"])
def test_the_table_may_be_of_any_kind(tmp_path: Path, kind: str) -> None:
    people = write_photos(tmp_path)
    write = {
        "tsv": lambda path: people.to_csv(path, sep="\t", index=False),
        "jsonl": lambda path: people.to_json(path, orient="records", lines=True),
        "parquet": people.to_parquet,
        "xlsx": lambda path: people.to_excel(path, index=False),
    }[kind]
    write(tmp_path / f"people.{kind}")
    dataset = read_photos(tmp_path, f"people.{kind}", groups=["gender"])
    assert {name: set(split.groups["gender"]) for name, split in dataset.splits.items()} == {
        "train": {"f", "m"},
        "test": {"f", "m"},
    }


def test_a_name_of_several_images_is_refused_with_their_places(tmp_path: Path) -> None:
    people = write_photos(tmp_path)
    for number in (0, 2):
        (tmp_path / "photos" / "smiling" / f"{number:02}.png").write_bytes(encode_png())
    people.assign(file=people["file"].map(lambda name: Path(name).name)).to_csv(tmp_path / "people.csv", index=False)
    with pytest.raises(DataError) as caught:
        read_photos(tmp_path, "people.csv")
    assert str(caught.value) == (
        "people.csv: '00.png' is the name of 2 images, neutral/00.png and smiling/00.png, and 1 more names stand for "
        "several\nWrite the folder before such names: neutral/00.png."
    )
    people.to_csv(tmp_path / "people.csv", index=False)
    assert [(remark.id, remark.value) for remark in read_photos(tmp_path, "people.csv").remarks] == [
        ("unlisted_images", 2)
    ]


def test_a_file_beside_the_table_is_meant_before_one_of_its_name_elsewhere(tmp_path: Path) -> None:
    people = write_photos(tmp_path, ("train/neutral", "train/smiling", "test/neutral", "test/smiling"))
    (tmp_path / "photos" / "test" / "neutral" / "00.png").write_bytes(encode_png())
    named = people["file"].str.removeprefix("photos/train/")
    named[0] = "neutral/00.png"
    people.assign(file=named).to_csv(tmp_path / "photos" / "train" / "people.csv", index=False)
    dataset = read_photos(tmp_path, "photos/train/people.csv", test=None)
    assert "train/neutral/00.png" in dataset.splits["train"].ids
    assert "test/neutral/00.png" not in dataset.splits["test"].ids


def test_images_without_a_row_and_rows_without_an_image_are_counted(tmp_path: Path) -> None:
    people = write_photos(tmp_path)
    people.loc[2, "file"] = "photos/neutral/gone.png"
    people.loc[3, "file"] = None
    people.to_csv(tmp_path / "people.csv", index=False)
    dataset = read_photos(tmp_path, "people.csv", groups=["gender"])
    remarks = {remark.id: (remark.value, remark.n, list(remark.names)) for remark in dataset.remarks}
    assert remarks == {
        "rows_without_image": (2, N, ["photos/neutral/gone.png", "(empty)"]),
        "unlisted_images": (2, N, ["neutral/02.png", "smiling/03.png"]),
    }
    assert sum(map(len, dataset.splits.values())) == N - 2


def test_labels_and_splits_may_be_columns(tmp_path: Path) -> None:
    people = write_photos(tmp_path)
    people["mood"], people["part"] = ["sad", "glad"] * (N // 2), ["Train", "Train", "dev", "holdout"] * (N // 4)
    people.to_csv(tmp_path / "people.csv", index=False)
    dataset = read_photos(tmp_path, "people.csv", label="mood", split="part", test=None)
    assert dataset.classes == ("glad", "sad")
    assert {name: len(split) for name, split in dataset.splits.items()} == {"train": 8, "validation": 4, "test": 4}


def test_what_cannot_be_joined_is_said_with_what_to_do(tmp_path: Path) -> None:
    people = write_photos(tmp_path)
    people.rename(columns={"file": "photo"}).to_csv(tmp_path / "photo.csv", index=False)
    with pytest.raises(DataError, match=r"photo\.csv: has no column 'file'"):
        read_photos(tmp_path, "photo.csv")
    people.assign(file="x/" + people["file"]).to_csv(tmp_path / "other.csv", index=False)
    with pytest.raises(DataError, match=r"names no image of photos/ in its column 'file': there is no 'x/photos/neut"):
        read_photos(tmp_path, "other.csv")
    pd.concat([people, people[:1]]).to_csv(tmp_path / "twice.csv", index=False)
    with pytest.raises(DataError, match=r"'neutral/00\.png' stands in more than one row"):
        read_photos(tmp_path, "twice.csv")
    with pytest.raises(DataError, match=r"gone: no such folder"):
        read_photos(tmp_path, "twice.csv", folder="gone")
    with pytest.raises(ValidationError, match="metadata is a table about the files of a folder: give folder, too"):
        DataConfig(manifest="people.csv", image="file", label="mood", metadata="people.csv")
    folders = ("train/neutral", "train/smiling", "test/neutral", "test/smiling")
    split = write_photos(tmp_path / "split", folders).assign(part="train")
    split.to_csv(tmp_path / "split" / "people.csv", index=False)
    with pytest.raises(DataError, match=r"has test/ and train/ folders, so data\.split has nothing to say"):
        read_photos(tmp_path / "split", "people.csv", split="part", test=None)
