"""One table in several files, compressed, in other encodings, with other separators, and in kinds of many programs."""

from __future__ import annotations

import bz2
import gzip
import hashlib
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import openpyxl
import pandas as pd
import pyarrow as pa
import pytest

from rft.config.tables.data import DataConfig
from rft.data import Dataset, read_dataset
from rft.data.tables.columnar import Columns, read_columns
from rft.data.tables.table_file import ColumnRequest, TableFile, TextLayout
from rft.errors import DataError

ROWS = pd.DataFrame(
    {
        "text": [f"film, number {row}; “é”" for row in range(12)],
        "label": ["neg", "pos"] * 6,
        "split": ["train"] * 6 + ["test"] * 6,
    }
)
NAMES = list(ROWS)


def open_texts(folder: Path, **changes: object) -> Dataset:
    columns = {"text": "text", "label": "label"}
    return read_dataset(DataConfig(**{**columns, **changes}), folder, 0)


def texts_of(dataset: Dataset) -> list[str]:
    return [text for split in dataset.splits.values() for text in split.items]


def read_texts(path: Path, names: list[str] = NAMES, **layout: str) -> Columns:
    return read_columns([TableFile(path, path.name, None, TextLayout(**layout))], ColumnRequest(names))


def write_shards(folder: Path, suffix: str = "csv", n: int = 3) -> list[Path]:
    paths = [folder / f"part-{number}.{suffix}" for number in range(n)]
    for path, rows in zip(paths, np.array_split(np.arange(len(ROWS)), n), strict=True):
        part = ROWS.iloc[rows]
        part.to_csv(path, index=False) if suffix == "csv" else part.to_parquet(path, index=False)
    return paths


class TestSeveralFiles:
    def test_train_and_test_are_two_tables(self, tmp_path: Path) -> None:
        ROWS[:6].drop(columns="split").to_csv(tmp_path / "a.csv", index=False)
        ROWS[6:].drop(columns="split").to_parquet(tmp_path / "b.parquet", index=False)
        dataset = open_texts(tmp_path, train="a.csv", test="b.parquet")
        assert list(dataset.splits["train"].items) == list(ROWS["text"][:6])
        assert list(dataset.splits["test"].items) == list(ROWS["text"][6:])
        assert dataset.splits["test"].labels.tolist() == [0, 1] * 3
        assert not {*dataset.splits["train"].ids} & {*dataset.splits["test"].ids}
        digests = {name: hashlib.sha256((tmp_path / name).read_bytes()).hexdigest() for name in ("a.csv", "b.parquet")}
        assert {file.path: file.sha256 for file in dataset.inputs} == digests

    def test_validation_is_a_split_of_its_own(self, tmp_path: Path) -> None:
        for name in ("a", "b", "c"):
            ROWS[:4].assign(text=name + ROWS["text"]).to_csv(tmp_path / f"{name}.csv", index=False)
        dataset = open_texts(tmp_path, train="a.csv", validation="b.csv", test="c.csv")
        assert {name: split.items[0][0] for name, split in dataset.splits.items()} == {
            "train": "a",
            "validation": "b",
            "test": "c",
        }

    @pytest.mark.parametrize("suffix", ["csv", "parquet"])
    def test_a_pattern_stands_for_its_files_in_order(self, tmp_path: Path, suffix: str) -> None:
        paths = write_shards(tmp_path, suffix)
        dataset = open_texts(tmp_path, manifest=f"part-*.{suffix}", split="split")
        assert texts_of(dataset) == list(ROWS["text"])
        assert [file.path for file in dataset.inputs] == [path.name for path in paths]
        (tmp_path / "[x].csv").write_text(ROWS.to_csv(index=False))  # a name, and no pattern
        assert len(texts_of(open_texts(tmp_path, manifest="[x].csv", split="split"))) == 12

    def test_patterns_of_splits_in_folders_of_their_own(self, tmp_path: Path) -> None:
        for split in ("train", "test"):
            (tmp_path / split).mkdir()
            write_shards(tmp_path / split, n=2)
        dataset = open_texts(tmp_path, train="train/*.csv", test="test/*.csv")
        assert {name: len(split) for name, split in dataset.splits.items()} == {"train": 12, "test": 12}

    def test_errors_name_the_file_and_the_line(self, tmp_path: Path) -> None:
        paths = write_shards(tmp_path)
        paths[1].write_text(paths[1].read_text().replace(",pos,train", ",,train", 1))
        with pytest.raises(DataError, match=r"column 'label' is empty in line 3 of part-1\.csv$"):
            open_texts(tmp_path, manifest="part-*.csv", split="split")
        paths[2].write_text(paths[2].read_text().replace(",pos,test", ",,test"))
        with pytest.raises(DataError, match=r"in 3 lines \(3 of part-1\.csv; 3, 5 of part-2\.csv\)$"):
            open_texts(tmp_path, manifest="part-*.csv", split="split")
        paths[2].write_text("text,label,split\nfilm,neg\n")
        with pytest.raises(DataError, match=r"part-2\.csv: line 2 has 2 cells"):
            open_texts(tmp_path, manifest="part-*.csv", split="split")

    def test_an_id_in_two_files_is_named_with_both(self, tmp_path: Path) -> None:
        for name in ("a.csv", "b.csv"):
            ROWS[:4].assign(id=["1", "2", "3", name]).to_csv(tmp_path / name, index=False)
        with pytest.raises(DataError, match=r"the id '1' stands in 2 lines \(2 of a\.csv; 2 of b\.csv\)"):
            open_texts(tmp_path, train="a.csv", test="b.csv", id="id")

    def test_a_file_with_other_columns_is_named(self, tmp_path: Path) -> None:
        paths = write_shards(tmp_path)
        paths[1].write_text(paths[1].read_text().replace("text,label,split", "text,label,split,age", 1))
        with pytest.raises(DataError, match=r"part-1\.csv: has 'age' besides: its columns are not those of part-0"):
            open_texts(tmp_path, manifest="part-*.csv", split="split")
        paths[1].write_text("text,label\na,neg\n")
        with pytest.raises(DataError, match=r"part-1\.csv: has no column 'split'"):
            open_texts(tmp_path, manifest="part-*.csv", split="split")

    def test_values_of_another_kind_are_named(self, tmp_path: Path) -> None:
        for number, labels in enumerate((np.arange(4) % 2, np.arange(4) % 2 * 1.0)):
            ROWS[:4].assign(label=labels).to_parquet(tmp_path / f"{number}.parquet")
        with pytest.raises(DataError, match=r"1\.parquet: column 'label' holds decimal numbers, and whole numbers in"):
            open_texts(tmp_path, train="0.parquet", test="1.parquet")

    def test_images_are_relative_to_the_file_that_names_them(self, tmp_path: Path) -> None:
        from tests.conftest import write_images

        for split in ("train", "test"):
            write_images(tmp_path / split, n=4, seed=len(split))
        columns = {"train": "train/images.csv", "test": "test/images.csv", "image": "file", "label": "colour"}
        dataset = read_dataset(DataConfig(**columns), tmp_path, 0)
        assert dataset.splits["test"].items[1] == tmp_path / "test" / "001.png"
        assert {file.path for file in dataset.inputs} >= {"train/images.csv", "test/images.csv", "train/000.png"}

    @pytest.mark.parametrize(
        ("named", "said"),
        [
            ({"train": "x-*.csv", "test": "part-0.csv"}, r"x-\*\.csv: no file has such a name"),
            ({"train": "part-*.csv", "test": "part-0.csv"}, r"part-0\.csv: is in both data\.train and data\.test"),
            ({"manifest": "sub", "split": "split"}, "sub: is an empty folder"),
            ({"train": "part-0.csv", "test": "gone.csv"}, r"gone\.csv: no such file"),
        ],
    )
    def test_what_stands_for_no_table_is_named(self, tmp_path: Path, named: dict, said: str) -> None:
        write_shards(tmp_path)
        (tmp_path / "sub").mkdir()
        with pytest.raises(DataError, match=said):
            open_texts(tmp_path, **named)


class TestKinds:
    def write(self, path: Path) -> None:
        name, table = path.name, pa.Table.from_pandas(ROWS, preserve_index=False)
        plain = (
            path.with_suffix("") if path.suffix in (".gz", ".bz2", ".zst") else path.with_suffix(path.suffix.lower())
        )
        if plain.suffix in (".csv", ".tsv"):
            content = ROWS.to_csv(index=False, sep="\t" if plain.suffix == ".tsv" else ",").encode()
        elif plain.suffix in (".jsonl", ".ndjson"):
            content = ROWS.to_json(orient="records", lines=True).encode()
        elif plain.suffix == ".json":
            content = ROWS.to_json(orient="records", indent=1).encode()
        elif plain.suffix == ".xlsx":
            return ROWS.to_excel(path, index=False)
        else:
            stream = pa.BufferOutputStream()
            start = pa.ipc.new_stream if name.startswith("stream") else pa.ipc.new_file
            options = pa.ipc.IpcWriteOptions(compression="lz4" if plain.suffix == ".feather" else None)
            with start(stream, table.schema, options=options) as writer:
                writer.write_table(table, max_chunksize=5)
            content = stream.getvalue().to_pybytes()
        packers: dict[str, Callable[[bytes], bytes]] = {
            ".gz": gzip.compress,
            ".bz2": bz2.compress,
            ".zst": lambda plain: pa.compress(plain, "zstd", asbytes=True),
        }
        path.write_bytes(packers[path.suffix](content) if path.suffix in packers else content)
        return None

    @pytest.mark.parametrize(
        "name",
        [
            *("d.csv.gz", "d.tsv.bz2", "d.csv.zst", "d.jsonl.gz", "d.json.gz", "d.json", "d.ndjson", "D.CSV"),
            *("d.arrow", "stream.arrow", "d.feather", "d.xlsx"),
        ],
    )
    def test_every_kind_gives_the_same_examples(self, tmp_path: Path, name: str) -> None:
        self.write(tmp_path / name)
        dataset = open_texts(tmp_path, manifest=name, split="split")
        assert texts_of(dataset) == list(ROWS["text"])
        assert [dataset.classes[label] for label in dataset.splits["train"].labels] == list(ROWS["label"][:6])

    def test_an_error_in_a_compressed_file_names_its_line(self, tmp_path: Path) -> None:
        content = ROWS.to_csv(index=False).replace(",pos,", ",,", 1)
        (tmp_path / "d.csv.gz").write_bytes(gzip.compress(content.encode()))
        with pytest.raises(DataError, match=r"d\.csv\.gz: column 'label' is empty in line 3$"):
            open_texts(tmp_path, manifest="d.csv.gz", split="split")
        (tmp_path / "d.csv.gz").write_bytes(content.encode())
        with pytest.raises(DataError, match=r"d\.csv\.gz: cannot be read"):
            open_texts(tmp_path, manifest="d.csv.gz", split="split")

    @pytest.mark.parametrize(
        ("content", "said"),
        [
            (ROWS.to_json(), "with an object for each column or row, as pandas writes a table by itself"),
            (ROWS.to_json(orient="split"), 'as pandas writes a table with orient="split"'),
            (ROWS.to_json(orient="table"), 'as pandas writes a table with orient="(split|table)"'),
            (json.dumps({"rows": ROWS.to_dict("records")}), "with the rows within its key 'rows'"),
            (json.dumps({"text": "a", "label": "b"}, indent=2), "holds one object; expected a list of objects"),
        ],
    )
    def test_json_of_another_form_says_how_to_write_it(self, tmp_path: Path, content: str, said: str) -> None:
        (tmp_path / "d.json").write_text(content)
        with pytest.raises(DataError, match=said) as caught:
            read_texts(tmp_path / "d.json")
        assert 'orient="records"' in str(caught.value)

    def test_a_workbook_is_read_as_it_shows(self, tmp_path: Path) -> None:
        book = openpyxl.Workbook()
        sheet = book.active
        for row in ([], ["text", "label", "split", None], ["a", 1, "train"], [], ["b", 2, "test"], ["c", None, "test"]):
            sheet.append(row)
        book.create_sheet("empty")
        book.save(tmp_path / "d.xlsx")
        columns = read_texts(tmp_path / "d.xlsx")
        assert list(columns.texts["label"][:2]) == ["1", "2"]
        assert columns.places.name_rows(columns.texts["label"].codes < 0) == "row 6"
        book["empty"].append(["other"])
        book.save(tmp_path / "d.xlsx")
        with pytest.raises(DataError, match="has 2 sheets with content, 'Sheet' and 'empty'"):
            read_texts(tmp_path / "d.xlsx")

    def test_a_workbook_without_its_library_says_what_to_install(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        self.write(tmp_path / "d.xlsx")
        monkeypatch.setitem(sys.modules, "openpyxl", None)
        with pytest.raises(DataError, match=r'd\.xlsx: workbooks of Excel need openpyxl\npip install "rft\[excel\]"'):
            read_texts(tmp_path / "d.xlsx")

    @pytest.mark.parametrize(
        ("name", "said"),
        [
            ("d.xlsx", "is no workbook of Excel"),
            ("d.parquet.gz", r"is a \.parquet file that is compressed as a whole"),
            ("d.xls", r"unknown kind of table '\.xls'.*\nSave it as \.xlsx or \.csv"),
            ("d.pkl", "Pickled files can run code and are never read"),
            ("d.zip", r"data\.folder"),
            ("d.arrow", "cannot be read"),
        ],
    )
    def test_what_is_not_read_says_what_to_do(self, tmp_path: Path, name: str, said: str) -> None:
        (tmp_path / name).write_bytes(b"text,label\na,b\n")
        with pytest.raises(DataError, match=said):
            read_texts(tmp_path / name)


class TestSeparators:
    @pytest.mark.parametrize(("separator", "word"), [(";", "semicolons"), ("\t", "tabs"), ("|", "bars")])
    def test_another_one_is_found_where_it_alone_gives_the_columns(
        self, tmp_path: Path, separator: str, word: str
    ) -> None:
        (tmp_path / "d.csv").write_text(ROWS.to_csv(index=False, sep=separator))
        dataset = open_texts(tmp_path, manifest="d.csv", split="split")
        assert texts_of(dataset) == list(ROWS["text"])
        (remark,) = dataset.remarks
        assert (remark.id, remark.value) == ("separator", 1)
        assert f"d.csv was read as separated by {word}" in remark.description
        assert open_texts(tmp_path, manifest="d.csv", split="split", separator=separator).remarks == []

    def test_where_it_is_not_certain_it_is_asked_for(self, tmp_path: Path) -> None:
        (tmp_path / "d.csv").write_text("text;Label;split\na;x;test\n")
        with pytest.raises(DataError, match=r"has no column 'text'\nIt was .* by commas .* data\.separator = .;."):
            read_texts(tmp_path / "d.csv")
        (tmp_path / "d.csv").write_text("text;label;split,more\na;x;test,y\n")
        with pytest.raises(DataError, match="has no column 'text'"):
            read_texts(tmp_path / "d.csv")

    def test_every_row_must_agree(self, tmp_path: Path) -> None:
        (tmp_path / "d.csv").write_text("text;label;split\na;x;test\nb;x\n")
        with pytest.raises(DataError, match=r"line 3 has 2 cells .*\nPut a cell that holds a semicolon in quotes"):
            read_texts(tmp_path / "d.csv")

    def test_decimal_commas_are_no_numbers(self, tmp_path: Path) -> None:
        (tmp_path / "d.csv").write_text("label;score\na;0.5\nb;0,25\n")
        file = TableFile.from_path(tmp_path / "d.csv")
        with pytest.raises(DataError, match=r"holds '0,25' in line 3; expected a number\nWrite numbers with a point"):
            read_columns([file], ColumnRequest(["label"], ["score"]))

    def test_a_key_without_effect_is_refused(self, tmp_path: Path) -> None:
        ROWS.to_parquet(tmp_path / "d.parquet")
        for key, value in (("separator", ";"), ("encoding", "cp1252")):
            with pytest.raises(DataError, match=rf"data\.{key}: has no effect: d\.parquet has no {key} of its own"):
                open_texts(tmp_path, manifest="d.parquet", split="split", **{key: value})


class TestEncodings:
    @pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32"])
    @pytest.mark.parametrize("suffix", ["csv", "jsonl", "json"])
    def test_a_mark_at_the_beginning_says_it(self, tmp_path: Path, encoding: str, suffix: str) -> None:
        writers: dict[str, Any] = {
            "csv": ROWS.to_csv(index=False),
            "jsonl": ROWS.to_json(orient="records", lines=True, force_ascii=False),
            "json": ROWS.to_json(orient="records", force_ascii=False),
        }
        (tmp_path / f"d.{suffix}").write_bytes(writers[suffix].encode(encoding))
        dataset = open_texts(tmp_path, manifest=f"d.{suffix}", split="split")
        assert texts_of(dataset) == list(ROWS["text"])
        assert [remark.id for remark in dataset.remarks] == ([] if encoding == "utf-8-sig" else ["encoding"])

    def test_what_no_mark_says_the_config_says(self, tmp_path: Path) -> None:
        content = ROWS.to_csv(index=False)
        (tmp_path / "d.csv").write_bytes(content.encode("cp1252"))
        with pytest.raises(DataError, match=r'line 2 is no UTF-8\nSave it .* data\.encoding = "cp1252"'):
            read_texts(tmp_path / "d.csv")
        assert list(read_texts(tmp_path / "d.csv", encoding="cp1252").texts["text"]) == list(ROWS["text"])
        with pytest.raises(DataError, match=r"is no ascii, as data\.encoding says"):
            read_texts(tmp_path / "d.csv", encoding="ascii")
        (tmp_path / "d.csv").write_bytes(content.encode("utf-16-be"))
        with pytest.raises(DataError, match=r'UTF-16\nSave it as UTF-8, or set data\.encoding = "utf-16-be"'):
            read_texts(tmp_path / "d.csv")
        assert list(read_texts(tmp_path / "d.csv", encoding="utf-16-be").texts["text"]) == list(ROWS["text"])

    def test_excel_saves_unicode_text_with_tabs(self, tmp_path: Path) -> None:
        (tmp_path / "d.csv").write_bytes(ROWS.to_csv(index=False, sep="\t").encode("utf-16"))
        columns = read_texts(tmp_path / "d.csv")
        assert list(columns.texts["text"]) == list(ROWS["text"])
        assert {remark.id for remark in columns.remarks} == {"encoding", "separator"}
