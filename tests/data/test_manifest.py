from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from rft.config.schema import DataConfig
from rft.data import read_dataset
from rft.errors import DataError
from tests.conftest import write_images


def data_config(**changes: object) -> DataConfig:
    base = {"manifest": "images.csv", "image": "file", "label": "colour", "groups": ["camera"], "unit": "person"}
    merged = {**base, "split": "split", **changes}
    return DataConfig(**{key: value for key, value in merged.items() if value is not None})


def rewrite_manifest(folder: Path, change: object) -> None:
    table = pd.read_csv(folder / "images.csv", dtype=str, keep_default_na=False)
    change(table).to_csv(folder / "images.csv", index=False)


def test_cells_are_strings_as_they_stand(tmp_path: Path) -> None:
    write_images(tmp_path)

    rewrite_manifest(tmp_path, lambda table: table.assign(camera=["001", "NA", "None", "", "1e5"] * 8))
    dataset = read_dataset(data_config(), tmp_path, 0)
    train = dataset.splits["train"]
    assert list(train.groups["camera"][:5]) == ["001", "NA", "None", None, "1e5"]
    assert train.units[0] == "000"
    assert dataset.facts().splits["train"].groups["camera"] == {"": 4, "001": 4, "1e5": 4, "NA": 4, "None": 4}
    assert dataset.facts().splits["train"].n_units == 10


@pytest.mark.parametrize("suffix", ["jsonl", "parquet"])
def test_whole_numbers_stay_whole_where_some_are_missing(tmp_path: Path, suffix: str) -> None:
    table = write_images(tmp_path).assign(camera=pd.array([1, None, 3, 4] * 10, dtype="Int64"))
    path = tmp_path / f"copy.{suffix}"
    table.to_json(path, orient="records", lines=True) if suffix == "jsonl" else table.to_parquet(path)
    train = read_dataset(data_config(manifest=path.name), tmp_path, 0).splits["train"]
    assert list(train.groups["camera"][:4]) == ["1", None, "3", "4"]


@pytest.mark.parametrize("suffix", ["csv", "tsv", "jsonl", "parquet"])
def test_every_kind_of_manifest_gives_the_same_splits(tmp_path: Path, suffix: str) -> None:
    table = write_images(tmp_path)
    path = tmp_path / f"copy.{suffix}"
    if suffix == "jsonl":
        table.to_json(path, orient="records", lines=True)
    elif suffix == "parquet":
        table.to_parquet(path)
    else:
        table.to_csv(path, index=False, sep="\t" if suffix == "tsv" else ",")
    dataset = read_dataset(data_config(manifest=path.name), tmp_path, 0)
    assert dataset.classes == ("blue", "red")
    assert list(dataset.splits["train"].units) == list(table["person"][:20])
    assert list(dataset.splits["test"].labels) == [1, 0] * 10


def test_a_fraction_keeps_units_together_and_follows_from_id_and_seed_alone(tmp_path: Path) -> None:
    write_images(tmp_path)
    half = data_config(split=None, test=0.5)
    first = read_dataset(half, tmp_path, 0)
    sides = {name: set(split.units) for name, split in first.splits.items()}
    assert not sides["train"] & sides["test"]
    rewrite_manifest(tmp_path, lambda table: table.drop(index=range(10)))
    fewer = read_dataset(half, tmp_path, 0)
    assert set(fewer.splits["test"].units) <= sides["test"]
    of_another_seed = read_dataset(half, tmp_path, 1)
    assert set(of_another_seed.splits["test"].units) != set(fewer.splits["test"].units)


def test_a_folder_of_classes_is_split_by_file(tmp_path: Path) -> None:
    write_images(tmp_path / "flat")
    for number, path in enumerate(sorted((tmp_path / "flat").glob("*.png"))):
        target = tmp_path / "photos" / ("red", "blue")[number % 2] / path.name
        target.parent.mkdir(parents=True, exist_ok=True)
        path.rename(target)
    dataset = read_dataset(DataConfig(folder="photos", test=0.4), tmp_path, 0)
    assert sum(len(split) for split in dataset.splits.values()) == 40
    assert dataset.splits["train"].units is None
    assert "red/000.png" in {*dataset.splits["train"].ids, *dataset.splits["test"].ids}


def test_a_folder_may_bring_its_own_splits(tmp_path: Path) -> None:
    for split in ("train", "test"):
        for label in ("cat", "dog"):
            write_images(tmp_path / "photos" / split / label, n=2, seed=hash((split, label)) % 1000)
    dataset = read_dataset(DataConfig(folder="photos"), tmp_path, 0)
    assert {name: len(split) for name, split in dataset.splits.items()} == {"train": 4, "test": 4}
    (tmp_path / "photos" / "test").rename(tmp_path / "photos" / "val")
    with pytest.raises(DataError, match="train/ and val/ but no folder for test"):
        read_dataset(DataConfig(folder="photos"), tmp_path, 0)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"manifest": "none.csv"}, "no such file"),
        ({"manifest": "none.docx"}, "unknown kind of table"),
        ({"label": "color"}, "has no column 'color'\nDid you mean 'colour'?"),
        ({"groups": ["lens"]}, "has no column 'lens'"),
        ({"positive": "rad"}, "data.positive is 'rad', which is no label\nDid you mean 'red'?"),
        ({"label": "file"}, "40 different labels in 40 rows look like numbers to regress on, or names"),
        ({"split": "camera"}, "'left' is no split"),
    ],
)
def test_wrong_settings_are_named(tmp_path: Path, changes: dict, message: str) -> None:
    write_images(tmp_path)
    with pytest.raises(DataError) as caught:
        read_dataset(data_config(**changes), tmp_path, 0)
    assert message in str(caught.value)


def set_cells(column: str, rows: object, value: str | list[str]) -> object:
    def change_table(table: pd.DataFrame) -> pd.DataFrame:
        table.loc[rows, column] = value
        return table

    return change_table


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (set_cells("colour", [3, 7], ""), "column 'colour' is empty in 2 lines (5, 9)"),
        (set_cells("person", [0], ""), "column 'person' is empty in line 2"),
        (
            set_cells("colour", range(40), "red"),
            "column 'colour': training has one class only, 'red', in 20 examples; at least two are needed\nName the",
        ),
        (
            set_cells("colour", range(20), "red"),
            "'blue' is in no training example: 10 other examples have it, and the 20 for training have 'red'\nEach",
        ),
        (
            set_cells("person", range(40), "p"),
            "the unit column 'person' has one value, 'p', in all 40 rows\nName the column that says whose",
        ),
        (
            set_cells("camera", range(40), [f"lens {number}" for number in range(40)]),
            "the group column 'camera' has 40 values in 40 rows; each row is a group of its own\nBin it",
        ),
        (set_cells("colour", [30], "green"), "the label 'green' is in no training example: 1 other example has it"),
        (
            set_cells("split", range(40), "train"),
            "column 'split': no example is in the test split: 40 in train\nWrite test there for some rows",
        ),
        (set_cells("file", [5], "gone.png"), "gone.png: no such image"),
        (lambda table: table.drop(index=range(40)), "holds no rows"),
    ],
)
def test_wrong_tables_are_named(tmp_path: Path, change: object, message: str) -> None:
    write_images(tmp_path)
    rewrite_manifest(tmp_path, change)
    with pytest.raises(DataError) as caught:
        read_dataset(data_config(), tmp_path, 0)
    assert message in str(caught.value)


def test_a_file_of_no_bytes_is_empty(tmp_path: Path) -> None:
    (tmp_path / "images.csv").write_bytes(b"")
    with pytest.raises(DataError, match="is empty"):
        read_dataset(data_config(), tmp_path, 0)


def test_unreadable_images_stop_the_run_or_are_counted(tmp_path: Path) -> None:
    write_images(tmp_path)
    path = tmp_path / "003.png"
    path.write_bytes(path.read_bytes()[:200])
    dataset = read_dataset(data_config(on_error="skip"), tmp_path, 0)
    assert dataset.facts().skipped == 1
    assert len(dataset.splits["train"]) == 19
    (tmp_path / "004.png").write_text("no image")
    with pytest.raises(DataError, match=r"004\.png: cannot be read as an image"):
        read_dataset(data_config(), tmp_path, 0)


def test_the_same_bytes_have_the_same_digest(tmp_path: Path) -> None:
    write_images(tmp_path)
    Image.open(tmp_path / "000.png").save(tmp_path / "001.png")
    digests = read_dataset(data_config(), tmp_path, 0).splits["train"].digests
    assert digests[0] == digests[1]
    assert len(np.unique(digests.astype(str))) == 19


def test_declared_classes_do_not_follow_from_the_labels(tmp_path: Path) -> None:
    write_images(tmp_path)
    assert read_dataset(data_config(classes=["red", "green", "blue"]), tmp_path, 0).classes == ("red", "green", "blue")
    with pytest.raises(DataError, match=r"the label 'blue' is none of data\.classes"):
        read_dataset(data_config(classes=["red", "bleu"]), tmp_path, 0)
    with pytest.raises(ValueError, match="names a class twice"):
        data_config(classes=["red", "red"])


def test_an_image_of_two_units_is_refused(tmp_path: Path) -> None:
    write_images(tmp_path)
    rewrite_manifest(tmp_path, lambda table: table.assign(file=["000.png", "000.png", "000.png", *table["file"][3:]]))
    with pytest.raises(DataError, match=r"000\.png is of two units, '000' and '001'"):
        read_dataset(data_config(), tmp_path, 0)


def test_a_share_of_test_far_from_the_one_asked_for_is_pointed_out(tmp_path: Path) -> None:
    write_images(tmp_path)
    outcomes = set()
    for seed in range(20):
        dataset = read_dataset(data_config(split=None, test=0.25), tmp_path, seed)
        n_test = len(dataset.splits["test"])
        remarks = [remark for remark in dataset.remarks if remark.id == "test_share"]
        assert len(remarks) == (not 8 <= n_test <= 12), "10 of 40 were asked for, a quarter more or less is near"
        for remark in remarks:
            assert (remark.value, remark.n) == (n_test, 40)
            assert f"0.25 was asked for, and {n_test} of 40 examples became test" in remark.description
        outcomes.add(bool(remarks))
    assert outcomes == {True, False}
