"""What the library datasets saves, names of classes that files bring along, and shards of WebDataset."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest

from rft.config.tables.data import DataConfig
from rft.data import Dataset, read_dataset
from rft.errors import DataError
from tests.data.test_hub_layouts import encode_png

IMAGES = pa.struct([("bytes", pa.binary()), ("path", pa.string())])


def labelled_table(labels: list[int | None], names: list[str], start: int = 0) -> pa.Table:
    """Return a table as datasets 5.2 writes it, with the names of its classes in the schema."""
    features = {"image": {"_type": "Image"}, "label": {"names": names, "_type": "ClassLabel"}}
    rows = [{"bytes": encode_png((row, row, row)), "path": None} for row in range(start, start + len(labels))]
    table = pa.table({"image": pa.array(rows, IMAGES), "label": pa.array(labels, pa.int64())})
    return table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})


def save_as_datasets_does(folder: Path, tables: list[pa.Table]) -> None:
    """Write what ``Dataset.save_to_disk`` of datasets 5.2 writes."""
    folder.mkdir(parents=True)
    names = [f"data-{number:05}-of-{len(tables):05}.arrow" for number in range(len(tables))]
    for name, table in zip(names, tables, strict=True):
        with pa.ipc.new_stream(str(folder / name), table.schema) as writer:
            writer.write_table(table)
    state = {"_data_files": [{"filename": name} for name in names], "_fingerprint": "0", "_split": None}
    (folder / "state.json").write_text(json.dumps(state))


def save_splits(folder: Path, *splits: str) -> None:
    """Write what ``DatasetDict.save_to_disk`` writes, with four examples in each split."""
    for number, split in enumerate(splits):
        save_as_datasets_does(folder / split, [labelled_table([0, 1, 0, 1], ["cat", "dog"], 10 * number)])
    (folder / "dataset_dict.json").write_text(json.dumps({"splits": splits}))


def opened(folder: Path, **changes: object) -> Dataset:
    return read_dataset(DataConfig(**{"image": "image", "label": "label", **changes}), folder, 0)


class TestSavedDatasets:
    def test_its_splits_and_classes_are_read(self, tmp_path: Path) -> None:
        save_splits(tmp_path / "saved", "train", "valid", "test")
        dataset = opened(tmp_path, manifest="saved")
        assert dataset.classes == ("cat", "dog")
        assert {name: split.labels.tolist() for name, split in dataset.splits.items()} == {
            name: [0, 1, 0, 1] for name in ("train", "validation", "test")
        }
        assert dataset.splits["test"].digests[1] == hashlib.sha256(encode_png((21, 21, 21))).hexdigest()
        assert [remark.id for remark in dataset.remarks] == ["split_names"]
        assert {file.path for file in dataset.inputs} == {
            "saved/dataset_dict.json",
            *(f"saved/{split}/state.json" for split in ("train", "valid", "test")),
            *(f"saved/{split}/data-00000-of-00001.arrow" for split in ("train", "valid", "test")),
        }

    def test_one_of_several_tables_needs_a_split(self, tmp_path: Path) -> None:
        tables = [labelled_table([0, 1] * 10, ["cat", "dog"], start) for start in (0, 20)]
        save_as_datasets_does(tmp_path / "saved", tables)
        dataset = opened(tmp_path, manifest="saved", test=0.4)
        assert sum(map(len, dataset.splits.values())) == 40
        assert read_dataset(
            DataConfig(manifest="saved", image="image", label="label"), tmp_path, 0, external=True
        ).splits.keys() == {"test"}
        with pytest.raises(DataError, match="holds one data set without splits\nGive either split"):
            opened(tmp_path, manifest="saved")

    def test_two_of_its_splits_may_be_named(self, tmp_path: Path) -> None:
        save_splits(tmp_path / "saved", "2019", "2020")
        with pytest.raises(DataError, match=r"saved: '2019' is no split\n.*data\.train and one with data\.test"):
            opened(tmp_path, manifest="saved")
        dataset = opened(tmp_path, train="saved/2019", test="saved/2020")
        assert {name: len(split) for name, split in dataset.splits.items()} == {"train": 4, "test": 4}

    def test_what_contradicts_it_is_refused(self, tmp_path: Path) -> None:
        save_splits(tmp_path / "saved", "train", "test")
        with pytest.raises(DataError, match=r"has splits of its own, .* data\.test\nRemove data\.test"):
            opened(tmp_path, manifest="saved", test=0.5)
        with pytest.raises(DataError, match=r'holds all splits of a data set\n.* train = "saved/train"'):
            opened(tmp_path, train="saved", test="saved")
        state = tmp_path / "saved" / "test" / "state.json"
        for content, said in (
            ({"_data_files": [{"filename": "../train/data-00000-of-00001.arrow"}]}, r"state\.json names no tables"),
            ({"_indices_files": [{"filename": "indices.arrow"}]}, "saved with rows left out or in another order"),
            ([], r"state\.json holds no object"),
        ):
            state.write_text(json.dumps(content))
            with pytest.raises(DataError, match=said):
                opened(tmp_path, manifest="saved")


class TestClassNames:
    def write(self, folder: Path, labels: list[int | None], names: list[str], name: str = "d.parquet") -> None:
        pa.parquet.write_table(labelled_table(labels, names), folder / name)

    def test_numbers_have_the_names_that_the_file_gives_them(self, tmp_path: Path) -> None:
        self.write(tmp_path, [2, 0, 2, 0], ["cat", "bird", "dog"], "a.parquet")
        self.write(tmp_path, [1, 0, 1, 0], ["dog", "cat"], "b.parquet")  # the same classes, numbered otherwise
        dataset = opened(tmp_path, train="a.parquet", test="b.parquet", positive="dog")
        assert dataset.classes == ("cat", "dog")
        assert dataset.splits["train"].labels.tolist() == [1, 0, 1, 0]
        assert dataset.splits["test"].labels.tolist() == [0, 1, 0, 1]

    def test_a_number_that_stands_for_no_class_is_empty(self, tmp_path: Path) -> None:
        self.write(tmp_path, [0, -1, 1], ["cat", "dog"])
        with pytest.raises(DataError, match="column 'label' is empty in row 2"):
            opened(tmp_path, manifest="d.parquet", test=0.5)
        self.write(tmp_path, [0, None, 7], ["cat", "dog"])
        with pytest.raises(DataError, match="column 'label' holds '7', and the file names 2 classes, from 0 on"):
            opened(tmp_path, manifest="d.parquet", test=0.5)

    @pytest.mark.parametrize("said", [b"no JSON", b"[]", b'{"info": {"features": {"label": {"_type": "Value"}}}}'])
    def test_what_says_nothing_of_classes_is_left_aside(self, tmp_path: Path, said: bytes) -> None:
        table = labelled_table([0, 1] * 20, []).replace_schema_metadata({"huggingface": said})
        pa.parquet.write_table(table, tmp_path / "d.parquet")
        assert opened(tmp_path, manifest="d.parquet", test=0.5).classes == ("0", "1")


def write_shard(path: Path, parts: dict[str, bytes], kind: bytes = tarfile.REGTYPE) -> None:
    with tarfile.open(path, "w") as archive:
        for name, content in parts.items():
            member = tarfile.TarInfo(name)
            member.type = kind if name.endswith(".link") else tarfile.REGTYPE
            member.size = 0 if member.type != tarfile.REGTYPE else len(content)
            archive.addfile(member, io.BytesIO(content))


def samples(n: int, start: int = 0) -> dict[str, bytes]:
    """Return the parts of n examples: an image, its class, and facts."""
    return {
        name: content
        for row in range(start, start + n)
        for name, content in {
            f"./a/{row:04}.png": encode_png((row, row, row)),
            f"./a/{row:04}.cls": b"%d\n" % (row % 2),
            f"./a/{row:04}.json": json.dumps({"sex": "fm"[row // 2 % 2], "age": row}).encode(),
        }.items()
    }


class TestShards:
    def test_images_are_read_where_they_lie(self, tmp_path: Path) -> None:
        for number in range(2):
            write_shard(tmp_path / f"train-{number}.tar", samples(4, 4 * number))
        write_shard(tmp_path / "test-0.tar", {"./._0008.png": b"", "readme": b"", **samples(4, 8)})
        dataset = opened(tmp_path, train="train-*.tar", test="test-*.tar", image="png", label="cls", groups=["sex"])
        assert dataset.classes == ("0", "1")
        train, test = dataset.splits["train"], dataset.splits["test"]
        assert train.labels.tolist() == [0, 1] * 4
        assert list(test.groups["sex"]) == ["f", "f", "m", "m"]
        assert [image.read_bytes() for image in train.items] == [encode_png((row, row, row)) for row in range(8)]
        assert test.items[3].name == "test-0.tar, row 4"
        assert [file.path for file in dataset.inputs] == ["train-0.tar", "train-1.tar", "test-0.tar"]

    def test_texts_and_keys(self, tmp_path: Path) -> None:
        parts: dict[str, bytes] = {}
        for row in range(20):
            parts |= {f"{row}.txt": b"text %d" % row, f"{row}.cls": b"ab"[row % 2 :][:1]}
        write_shard(tmp_path / "d.tar", parts)
        dataset = opened(tmp_path, manifest="d.tar", test=0.5, image=None, text="txt", label="cls", id="__key__")
        texts = {id: text for split in dataset.splits.values() for id, text in zip(split.ids, split.items, strict=True)}
        assert texts == {str(row): f"text {row}" for row in range(20)}

    def test_damage_and_gaps_are_named(self, tmp_path: Path) -> None:
        parts = samples(12)
        del parts["./a/0003.cls"]
        write_shard(tmp_path / "d.tar", parts)
        columns = {"manifest": "d.tar", "test": 0.5, "image": "png", "label": "cls"}
        with pytest.raises(DataError, match=r"d\.tar: column 'cls' is empty in row 4"):
            opened(tmp_path, **columns)
        with pytest.raises(DataError, match=r"has no column 'photograph'\nIts columns are __key__, png, cls, sex, age"):
            opened(tmp_path, **{**columns, "image": "photograph"})
        del parts["./a/0004.png"], parts["./a/0003.png"], parts["./a/0003.json"]
        write_shard(tmp_path / "d.tar", parts)
        with pytest.raises(DataError, match=r"d\.tar: column 'png' is empty in row 4"):
            opened(tmp_path, **columns)

    @pytest.mark.parametrize(
        ("parts", "said"),
        [
            ({"1.cls": b"a", "2.cls": b"b", "1.png": b""}, "the parts of '1' do not follow each other\nSort"),
            ({"1.cls": b"a", "1.CLS": b"b"}, r"holds '1\.CLS' twice"),
            ({"1.png": b"", "1.link": b""}, r"'1\.link' is no plain file"),
            ({"1.json": b"[1]"}, r"d\.tar, 1\.json: holds no object of JSON"),
            ({"1.png": b"", "1.json": b'{"png": 1}'}, "has the key 'png', which is a suffix too"),
            ({"1.png": b"", "1.cls": bytes(2**20 + 1)}, r"d\.tar, 1\.cls: has 1,048,577 bytes, which is no label"),
            ({"1.png": b"", "1.cls": b"\xff"}, r"d\.tar, 1\.cls: is no text in UTF-8"),
        ],
    )
    def test_what_is_no_shard_is_refused(self, tmp_path: Path, parts: dict[str, bytes], said: str) -> None:
        write_shard(tmp_path / "d.tar", parts, tarfile.SYMTYPE)
        with pytest.raises(DataError, match=said):
            opened(tmp_path, manifest="d.tar", test=0.5, image="png", label="cls")

    def test_a_compressed_one_says_what_to_do(self, tmp_path: Path) -> None:
        (tmp_path / "d.tar.gz").write_bytes(b"")
        with pytest.raises(DataError, match=r"is a \.tar file that is compressed as a whole.*\nUncompress it"):
            opened(tmp_path, manifest="d.tar.gz", test=0.5)
        (tmp_path / "d.tar").write_bytes(np.random.default_rng(0).bytes(2000))
        with pytest.raises(DataError, match=r"d\.tar: is no archive of tar"):
            opened(tmp_path, manifest="d.tar", test=0.5)
