"""Layouts of the hub: folders of images with metadata tables, and images in the cells of parquet files."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import ClassVar

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet
import pytest
from PIL import Image

from rft.config.schema import DataConfig
from rft.data import Dataset, read_dataset
from rft.data.images.inputs import ImageInputs
from rft.data.images.preprocessing import plain_preprocessing
from rft.errors import DataError
from tests.support.audio_cases import encode_sound, make_tone

PLAIN = plain_preprocessing(resize=8, crop=8, interpolation="bilinear", mean=(0.5,) * 3, std=(0.5,) * 3)


def encode_png(colour: tuple[int, int, int] | None = None) -> bytes:
    content = io.BytesIO()
    Image.new("RGB", (8, 8), colour or tuple(os.urandom(3))).save(content, "PNG")
    return content.getvalue()


def with_metadata(root: Path, splits: tuple[str, ...] = ("train", "test"), n: int = 8, suffix: str = "csv") -> None:
    for split in splits:
        folder = root / "photos" / split
        folder.mkdir(parents=True, exist_ok=True)
        rows = []
        for number in range(n):
            (folder / f"{number}.png").write_bytes(encode_png())
            sex, label = ("f", "m")[number // 2 % 2], ("circle", "square")[number % 2]
            rows.append({"file_name": f"{number}.png", "label": label, "sex": sex, "who": f"{split}{number // 2}"})
        frame = pd.DataFrame(rows)
        if suffix == "csv":
            frame.to_csv(folder / "metadata.csv", index=False)
        elif suffix == "jsonl":
            frame.to_json(folder / "metadata.jsonl", orient="records", lines=True)
        else:
            frame.to_parquet(folder / "metadata.parquet")


def opened(root: Path, **changes: object) -> Dataset:
    return read_dataset(DataConfig(folder="photos", **changes), root, 0)


class TestMetadata:
    @pytest.mark.parametrize("suffix", ["csv", "jsonl", "parquet"])
    def test_labels_groups_and_units_come_from_the_table(self, tmp_path: Path, suffix: str) -> None:
        with_metadata(tmp_path, ("train", "valid", "test"), suffix=suffix)
        dataset = opened(tmp_path, groups=["sex"], unit="who")
        assert dataset.classes == ("circle", "square")
        assert {name: len(split) for name, split in dataset.splits.items()} == {"train": 8, "validation": 8, "test": 8}
        assert list(dataset.splits["test"].groups["sex"]) == ["f", "f", "m", "m"] * 2
        assert dataset.splits["train"].units[2] == "train1"
        assert dataset.splits["train"].ids[3] == "train/3.png"
        assert {file.path for file in dataset.inputs} >= {f"photos/train/metadata.{suffix}", "photos/test/0.png"}

    def test_a_table_without_labels_leaves_them_to_the_class_folders(self, tmp_path: Path) -> None:
        for number in range(12):
            place = tmp_path / "photos" / ("train", "test")[number % 2] / ("circle", "square")[number // 2 % 2]
            place.mkdir(parents=True, exist_ok=True)
            (place / f"{number}.png").write_bytes(encode_png())
        found = sorted((tmp_path / "photos").rglob("*.png"))
        names = [path.relative_to(tmp_path / "photos").as_posix() for path in found]
        table = pd.DataFrame({"file_name": names, "sex": ["f", "m"] * 6})
        table.to_csv(tmp_path / "photos" / "metadata.csv", index=False)
        dataset = opened(tmp_path, groups=["sex"])
        assert dataset.classes == ("circle", "square")
        test = dataset.splits["test"]
        assert [dataset.classes[label] for label in test.labels] == [Path(id).parts[1] for id in test.ids]
        assert len(dataset.splits["train"]) == len(test) == 6
        (tmp_path / "photos" / "loose.png").write_bytes(encode_png())
        loose = pd.concat([table, pd.DataFrame({"file_name": ["loose.png"], "sex": ["f"]})])
        loose.to_csv(tmp_path / "photos" / "metadata.csv", index=False)
        with pytest.raises(DataError, match=r"has no column 'label', and 'loose\.png' lies in no class folder"):
            opened(tmp_path, groups=["sex"])

    def test_one_table_may_name_images_of_all_splits(self, tmp_path: Path) -> None:
        with_metadata(tmp_path)
        whole = []
        for split in ("train", "test"):
            table = tmp_path / "photos" / split / "metadata.csv"
            part = pd.read_csv(table)
            whole.append(part.assign(file_name=f"{split}/" + part["file_name"]))
            table.unlink()
        pd.concat(whole).to_csv(tmp_path / "photos" / "metadata.csv", index=False)
        assert {name: len(split) for name, split in opened(tmp_path).splits.items()} == {"train": 8, "test": 8}

    def test_without_splits_a_fraction_decides(self, tmp_path: Path) -> None:
        with_metadata(tmp_path, ("",), n=40)
        dataset = opened(tmp_path, test=0.5)
        assert sum(map(len, dataset.splits.values())) == 40
        assert set(dataset.splits) == {"train", "test"}

    def test_images_that_no_table_names_are_counted(self, tmp_path: Path) -> None:
        with_metadata(tmp_path)
        (tmp_path / "photos" / "train" / "more.png").write_bytes(encode_png())
        (tmp_path / "photos" / "train" / ".hidden.png").write_bytes(encode_png())
        (remark,) = opened(tmp_path).remarks
        assert (remark.id, remark.value, remark.n) == ("unlisted_images", 1, 17)

    def test_what_is_wrong_is_named(self, tmp_path: Path) -> None:
        with_metadata(tmp_path)
        with pytest.raises(DataError, match=r"metadata\.csv: has no column 'mood'"):
            opened(tmp_path, label="mood")
        table = tmp_path / "photos" / "test" / "metadata.csv"
        whole = table.read_text()
        table.write_text(whole + "9.png,circle,f,x\n")
        with pytest.raises(
            DataError, match=r"test/metadata\.csv: names '9\.png', which is not there \(line 10 without"
        ):
            opened(tmp_path)
        table.write_text(whole + "9.png,circle,f,x\n,circle,f,x\n")
        with pytest.raises(DataError, match=r"'9\.png', which is not there \(2 lines \(10, 11\) without an image\)"):
            opened(tmp_path)
        table.write_text(whole + "0.png,circle,f,x\n")
        with pytest.raises(DataError, match=r"'test/0\.png' stands in more than one row"):
            opened(tmp_path)

    def test_an_image_of_another_split_does_not_stand_for_one_that_was_lost(self, tmp_path: Path) -> None:
        with_metadata(tmp_path)
        (tmp_path / "photos" / "train" / "3.png").unlink()
        with pytest.raises(DataError, match=r"train/metadata\.csv: names '3\.png', which is not there"):
            opened(tmp_path)

    def test_columns_need_a_table(self, tmp_path: Path) -> None:
        for name in ("a", "b"):
            (tmp_path / "photos" / name).mkdir(parents=True)
            (tmp_path / "photos" / name / "0.png").write_bytes(encode_png())
        with pytest.raises(DataError, match=r"holds no metadata table .* no use for data\.unit and data\.groups"):
            opened(tmp_path, groups=["sex"], unit="who")


class TestEmbedded:
    def table(self, path: Path, images: pa.Array, n: int, **options: object) -> None:
        labels = pa.array([row % 2 for row in range(n)])
        splits = pa.array([("train", "test")[row // 2 % 2] for row in range(n)])
        pa.parquet.write_table(pa.table({"image": images, "label": labels, "split": splits}), path, **options)

    def opened(self, root: Path, **changes: object) -> Dataset:
        columns = {"manifest": "d.parquet", "image": "image", "label": "label", "split": "split"}
        return read_dataset(DataConfig(**{**columns, **changes}), root, 0)

    @pytest.mark.parametrize("kind", ["struct", "binary", "large_binary"])
    def test_bytes_are_images(self, tmp_path: Path, kind: str) -> None:
        colours = [(10 * row, 255 - 10 * row, row) for row in range(20)]
        content = [encode_png(colour) for colour in colours]
        if kind == "struct":
            rows = [{"bytes": encoded, "path": f"c/{row}.png"} for row, encoded in enumerate(content)]
            images = pa.array(rows, pa.struct([("bytes", pa.binary()), ("path", pa.string())]))
        else:
            images = pa.array(content, pa.binary() if kind == "binary" else pa.large_binary())
        self.table(tmp_path / "d.parquet", images, 20, row_group_size=7)
        dataset = self.opened(tmp_path)
        assert dataset.classes == ("0", "1")
        for name, first in (("train", 0), ("test", 2)):
            split = dataset.splits[name]
            numbers = [row for row in range(20) if row % 4 in (first, first + 1)]
            inputs = ImageInputs(dataset.splits, PLAIN, 10**6)
            pixels = inputs.batch(name, range(len(split)))["pixels"][:, :, 0, 0].numpy() * 255
            assert np.allclose(pixels, np.array([colours[number] for number in numbers]))
            again = inputs.batch(name, [0], [1])["pixels"]  # an augmented view
            assert again.shape == (1, 3, 8, 8)
        assert [file.path for file in dataset.inputs] == ["d.parquet"]  # the images are in it

    def test_a_path_alone_is_relative_to_the_table(self, tmp_path: Path) -> None:
        (tmp_path / "c").mkdir()
        rows = []
        for row in range(8):
            (tmp_path / "c" / f"{row}.png").write_bytes(encode_png())
            rows.append({"bytes": None, "path": f"c/{row}.png"})
        self.table(
            tmp_path / "d.parquet", pa.array(rows, pa.struct([("bytes", pa.binary()), ("path", pa.string())])), 8
        )
        assert {file.path for file in self.opened(tmp_path).inputs} >= {"c/0.png", "d.parquet"}

    def test_damaged_and_empty_cells_are_named(self, tmp_path: Path) -> None:
        content: list[bytes | None] = [encode_png() for _ in range(12)]
        content[4] = b"\0\0\0\x18ftypheic...."
        self.table(tmp_path / "d.parquet", pa.array(content), 12)
        with pytest.raises(DataError, match=r"d\.parquet, row 5: is of the kind HEIC"):
            self.opened(tmp_path)
        assert self.opened(tmp_path, on_error="skip").skipped == 1
        content[4] = None
        self.table(tmp_path / "d.parquet", pa.array(content), 12)
        with pytest.raises(DataError, match=r"d\.parquet: column 'image' is empty in row 5"):
            self.opened(tmp_path)

    def test_texts_and_labels_are_no_bytes_still(self, tmp_path: Path) -> None:
        self.table(tmp_path / "d.parquet", pa.array([b"a"] * 4), 4)
        with pytest.raises(DataError, match=r"column 'image' holds (bytes|binary)"):
            self.opened(tmp_path, image=None, text="image")


def write_said(root: Path, *, table: str = "clips/{split}/metadata.csv") -> None:
    """Write recordings with what is said in them, as the hub's audiofolder lays them out, or in a table elsewhere."""
    rows: dict[str, list[dict[str, str]]] = {}
    for number in range(16):
        split = ("train", "test")[number // 8]
        place = root / "clips" / split / f"{number}.wav"
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(encode_sound(make_tone(0.05, hertz=200.0 + 40 * number)))
        said = {"file_name": place.name, "transcription": "NA" if number == 3 else f'He said "{number}".'}
        rows.setdefault(table.format(split=split), []).append(said | {"speaker": f"s{number // 2}"})
    for name, of_table in rows.items():
        pd.DataFrame(of_table).to_csv(root / name, index=False)


class TestTranscripts:
    KEYS: ClassVar = {"folder": "clips", "transcript": "transcription", "normalizer": "simple", "unit": "speaker"}

    @pytest.mark.parametrize("elsewhere", [False, True])
    def test_what_is_said_comes_from_the_table(self, tmp_path: Path, elsewhere: bool) -> None:
        write_said(tmp_path, **({"table": "said.csv"} if elsewhere else {}))
        named = {"metadata": "said.csv", "audio": "file_name"} if elsewhere else {}
        dataset = read_dataset(DataConfig(**self.KEYS, **named), tmp_path, 0)
        assert dataset.classes == ()
        assert {name: len(split) for name, split in dataset.splits.items()} == {"train": 8, "test": 8}
        train = dataset.splits["train"]
        assert list(train.transcripts) == ["NA" if row == 3 else f'He said "{row}".' for row in range(8)]
        assert [path.name for path in train.items] == [f"{row}.wav" for row in range(8)]
        assert train.units[5] == "s2"

    def test_a_row_without_a_transcript_is_refused(self, tmp_path: Path) -> None:
        write_said(tmp_path)
        path = tmp_path / "clips" / "test" / "metadata.csv"
        rows = pd.read_csv(path, keep_default_na=False)
        rows.loc[2, "transcription"] = ""
        rows.to_csv(path, index=False)
        with pytest.raises(DataError, match="column 'transcription' is empty"):
            read_dataset(DataConfig(**self.KEYS), tmp_path, 0)

    def test_a_folder_without_such_a_table_is_refused(self, tmp_path: Path) -> None:
        write_said(tmp_path)
        for path in (tmp_path / "clips").rglob("*.csv"):
            path.unlink()
        with pytest.raises(DataError, match=r"holds no metadata table .* no use for data\.transcript"):
            read_dataset(DataConfig(**self.KEYS), tmp_path, 0)

    def test_images_have_none(self) -> None:
        with pytest.raises(ValueError, match="transcript is a column of a table of recordings"):
            DataConfig(**self.KEYS, image="file_name")
