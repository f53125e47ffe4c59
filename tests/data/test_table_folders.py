"""Folders of Parquet files with partitions, and patterns with braces: rows of one table, or a line that says why."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.dataset
import pytest

from rft.config.tables.data import DataConfig
from rft.data import Dataset, read_dataset
from rft.data.tables.listing import expand_braces, find_table_files
from rft.data.tables.table_file import TextLayout
from rft.errors import DataError
from tests.conftest import write_images

N = 40
ROWS = pd.DataFrame(
    {
        "text": [f"film {row}" for row in range(N)],
        "label": ["neg", "pos"] * (N // 2),
        "split": ["train", "test"] * (N // 4) + ["test", "train"] * (N // 4),
        "place": ["Köln/Süd", "a=b", None, "01"] * (N // 4),
        "unread": [b"\0"] * N,
    }
)
COLUMNS = {"text": "text", "label": "label", "split": "split"}


def write_partitions(folder: Path, *columns: str) -> None:
    """Write the rows as pandas and pyarrow write partitions, with the mark that Spark leaves."""
    ROWS.to_parquet(folder, partition_cols=list(columns), index=False)
    (folder / "_SUCCESS").touch()
    (folder / ".part.crc").touch()


def read_texts(folder: Path, **keys: object) -> Dataset:
    return read_dataset(DataConfig(**{**COLUMNS, **keys}), folder, 0)


class TestPartitions:
    def test_folders_are_columns(self, tmp_path: Path) -> None:
        write_partitions(tmp_path / "d", "split", "place")
        dataset = read_texts(tmp_path, manifest="d", groups=["place"])
        assert dataset.classes == ("neg", "pos")
        for name, split in dataset.splits.items():
            expected = ROWS[ROWS["split"] == name].sort_values("text")
            read = pd.DataFrame({"text": list(split.items), "place": split.groups["place"], "label": split.labels})
            read = read.sort_values("text")
            assert read["text"].tolist() == expected["text"].tolist()
            assert read["place"].fillna("none").tolist() == expected["place"].fillna("none").tolist()
            assert read["label"].map(dict(enumerate(dataset.classes))).tolist() == expected["label"].tolist()
        assert not [remark for remark in dataset.remarks if remark.id == "files_beside_tables"]

    def test_its_rows_are_those_of_pyarrow(self, tmp_path: Path) -> None:
        write_partitions(tmp_path / "d", "split", "place")
        peer = pa.dataset.dataset(tmp_path / "d", partitioning=pa.dataset.partitioning(flavor="hive"))
        table = peer.to_table(columns=["text", "split", "place"]).to_pandas()
        read = {
            (text, name, place)
            for name, split in read_texts(tmp_path, manifest="d", groups=["place"]).splits.items()
            for text, place in zip(split.items, split.groups["place"], strict=True)
        }
        assert read == set(table.astype(object).where(table.notna(), None).itertuples(index=False, name=None))

    @pytest.mark.parametrize("named", ["d", "d/*/*.parquet", "d/**/*.parquet", "d/split={test,train}/*.parquet"])
    def test_each_way_to_name_them_gives_the_same(self, tmp_path: Path, named: str) -> None:
        write_partitions(tmp_path / "d", "split")
        dataset = read_texts(tmp_path, manifest=named)
        assert {name: len(split) for name, split in dataset.splits.items()} == {"train": N // 2, "test": N // 2}
        files = sorted((tmp_path / "d").glob("*/*.parquet"))
        assert [(file.path, file.sha256) for file in dataset.inputs] == [
            (file.relative_to(tmp_path).as_posix(), hashlib.sha256(file.read_bytes()).hexdigest()) for file in files
        ]

    def test_at_a_url_of_a_file(self, tmp_path: Path) -> None:
        write_partitions(tmp_path / "d", "split")
        local, by_url = read_texts(tmp_path, manifest="d"), read_texts(tmp_path, manifest=f"file://{tmp_path}/d")
        assert [file.sha256 for file in local.inputs] == [file.sha256 for file in by_url.inputs]
        assert list(local.splits["train"].items) == list(by_url.splits["train"].items)

    def test_what_the_config_names_itself_is_no_column(self, tmp_path: Path) -> None:
        write_partitions(tmp_path / "d", "split")
        for train, test in (("d/split=train", "d/split=test"), ("d/split=train/*.parquet", "d/split=test/*.parquet")):
            dataset = read_texts(tmp_path, train=train, test=test, split=None)
            assert sorted(dataset.splits["train"].items) == sorted(ROWS["text"][ROWS["split"] == "train"])

    def test_images_are_relative_to_the_folder(self, tmp_path: Path) -> None:
        table = write_images(tmp_path / "d", 12)
        (tmp_path / "d" / "images.csv").unlink()
        table.to_parquet(tmp_path / "d", partition_cols=["split", "camera"])
        columns = {"image": "file", "label": "colour", "split": "split", "groups": ["camera"]}
        dataset = read_dataset(DataConfig(manifest="d", **columns), tmp_path, 0)
        images = {item for split in dataset.splits.values() for item in split.items}
        assert images == {tmp_path / "d" / name for name in table["file"]}
        (remark,) = (remark for remark in dataset.remarks if remark.id == "files_beside_tables")
        assert (remark.value, remark.n) == (12, 12 + len([*(tmp_path / "d").rglob("*.parquet")]))

    def test_a_column_that_is_read_of_a_folder_alone(self, tmp_path: Path) -> None:
        """The label of each file is its folder's, and of the file itself only texts are read."""
        write_partitions(tmp_path / "d", "label")
        dataset = read_texts(tmp_path, manifest="d")
        labels = dict(zip(ROWS["text"], ROWS["label"], strict=True))
        for split in dataset.splits.values():
            assert [labels[text] for text in split.items] == [dataset.classes[label] for label in split.labels]


class TestRefusals:
    def refuse(self, folder: Path, said: str, **keys: object) -> None:
        with pytest.raises(DataError, match=said):
            read_texts(folder, **{"manifest": "d", **keys})

    def test_a_folder_and_a_column_that_say_one_thing(self, tmp_path: Path) -> None:
        (tmp_path / "d" / "split=train").mkdir(parents=True)
        ROWS.to_parquet(tmp_path / "d" / "split=train" / "part-0.parquet")
        said = r"d/split=train/part-0\.parquet: has a column 'split', and lies in a folder split=\.\.\. that says it"
        self.refuse(tmp_path, said)

    def test_two_folders_that_say_one_thing(self, tmp_path: Path) -> None:
        (tmp_path / "d" / "split=train" / "split=test").mkdir(parents=True)
        ROWS.to_parquet(tmp_path / "d" / "split=train" / "split=test" / "part-0.parquet")
        self.refuse(tmp_path, "part-0.parquet: two of its folders say what 'split' is")

    def test_partitions_that_differ(self, tmp_path: Path) -> None:
        write_partitions(tmp_path / "d", "split")
        narrow = ROWS[["text"]].assign(label=range(N))
        place = tmp_path / "d" / "split=train" / "zz.parquet"
        narrow.to_parquet(place)
        self.refuse(tmp_path, r"d/split=train/zz\.parquet: lacks 'place' and 'unread': its columns are not those of")
        ROWS.drop(columns="split").assign(label=range(N)).to_parquet(place)
        self.refuse(tmp_path, r"zz\.parquet: column 'label' holds whole numbers, and texts in .*\.parquet")
        place.unlink()
        ROWS.drop(columns="split").to_parquet(tmp_path / "d" / "zz.parquet")
        self.refuse(tmp_path, r"zz\.parquet: has no column 'split'")

    def test_a_damaged_file(self, tmp_path: Path) -> None:
        write_partitions(tmp_path / "d", "split")
        place = tmp_path / "d" / "split=train" / "zz.parquet"
        ROWS.drop(columns="split").to_parquet(place)
        content = place.read_bytes()
        place.write_bytes(content[: len(content) // 2])
        self.refuse(tmp_path, r"d/split=train/zz\.parquet: cannot be read: ")

    def test_folders_without_a_plain_table(self, tmp_path: Path) -> None:
        (tmp_path / "d").mkdir()
        self.refuse(tmp_path, "d: is an empty folder\nA folder of tables holds")
        (tmp_path / "d" / "notes.md").touch()
        self.refuse(tmp_path, "d: is a folder, where a table is expected")
        ROWS.to_parquet(tmp_path / "d" / "part.parquet")
        (tmp_path / "d" / "part.tar").touch()
        self.refuse(tmp_path, r"d: holds files of \.parquet and \.tar\nName those that are meant by a pattern")
        for log, kind in (("_delta_log", "Delta Lake"), (".hoodie", "Apache Hudi"), ("metadata", "Iceberg")):
            (tmp_path / "d" / log).mkdir()
            (tmp_path / "d" / log / "v1.metadata.json").touch()
            self.refuse(tmp_path, f"d: is a table of {kind}, whose log says which of its files count")
            (tmp_path / "d" / log / "v1.metadata.json").unlink()
            (tmp_path / "d" / log).rmdir()

    def test_one_file_under_two_names(self, tmp_path: Path) -> None:
        (tmp_path / "d").mkdir()
        ROWS.to_parquet(tmp_path / "d" / "a.parquet")
        (tmp_path / "d" / "b.parquet").symlink_to(tmp_path / "d" / "a.parquet")
        self.refuse(tmp_path, r"b\.parquet: is the same file as a\.parquet")

    def test_folders_that_lead_in_circles_are_entered_once(self, tmp_path: Path) -> None:
        write_partitions(tmp_path / "d", "split")
        (tmp_path / "d" / "again").symlink_to(tmp_path / "d")
        assert sum(map(len, read_texts(tmp_path, manifest="d").splits.values())) == N


class TestBraces:
    @pytest.mark.parametrize(
        ("pattern", "names"),
        [
            ("a-{08..11}", ["a-08", "a-09", "a-10", "a-11"]),
            ("{8..11}", ["8", "9", "10", "11"]),
            ("{000..001}-{x,yz}.tar", ["000-x.tar", "000-yz.tar", "001-x.tar", "001-yz.tar"]),
            ("{a,a}{,b}", ["a", "ab"]),
            ("plain{1}", ["plain{1}"]),
        ],
    )
    def test_names(self, pattern: str, names: list[str]) -> None:
        assert expand_braces(pattern) == names

    @pytest.mark.parametrize("pattern", ["{9..1}", "{0..999999999999}", "{0..999}{0..999}"])
    def test_too_many_or_none(self, pattern: str) -> None:
        with pytest.raises(DataError, match="stand"):
            expand_braces(pattern)

    def test_each_of_them_must_be_there(self, tmp_path: Path) -> None:
        for number in (0, 1, 3):
            ROWS.to_parquet(tmp_path / f"part-{number}.parquet")
        with pytest.raises(DataError, match=r"part-2\.parquet: no such file"):
            read_texts(tmp_path, manifest="part-{0..3}.parquet")
        files = find_table_files("part-{0..1}.{parq*,csv*}", tmp_path, None, TextLayout())
        assert [file.name for file in files] == ["part-0.parquet", "part-1.parquet"]
