"""Tables as people write them: no row lost to a stray quote, no shifted cell, no doubled name, true lines."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from rft.config.schema import DataConfig
from rft.data import Dataset, read_dataset
from rft.data.tables.columnar import Columns, read_columns
from rft.data.tables.kinds.delimited import _each_line_stands_alone, delimited_lines
from rft.data.tables.table_file import ColumnRequest, TableFile
from rft.errors import DataError

NAMES = ["text", "label", "split"]


def read_texts(path: Path, names: list[str]) -> Columns:
    return read_columns([TableFile.from_path(path)], ColumnRequest(names))


def table(path: Path, content: str | bytes) -> Columns:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return read_texts(path, NAMES)


def values(columns: Columns, name: str) -> list[str | None]:
    return [None if value is np.nan or value != value else str(value) for value in columns.texts[name]]


def lines_of(n: int, separator: str = "\t") -> list[str]:
    rows = [["text", "label", "split"]]
    rows += [[f"film number {row}", ("neg", "pos")[row % 2], ("train", "test")[row // 2 % 2]] for row in range(n)]
    return [separator.join(row) for row in rows]


class TestStrayQuotes:
    @pytest.mark.parametrize("suffix", ["tsv", "csv"])
    @pytest.mark.parametrize(
        "strays",
        [
            {11: '"film number 10'},
            {11: '"film number 10', 51: '"film number 50'},
            {11: '"film number 10', 31: 'film of 12"'},  # which RFC 4180 reads as one cell of 20 lines
            {1: '"film number 0'},
            {80: '"film number 79'},
            {7: 'a "great" film', 9: '5" disc'},
            {7: '"great" film'},
            {7: '"'},
            {7: '""', 9: '"'},
        ],
    )
    def test_where_lines_are_whole_rows_no_row_is_swallowed(
        self, tmp_path: Path, suffix: str, strays: dict[int, str]
    ) -> None:
        separator = "\t" if suffix == "tsv" else ","
        lines = lines_of(80, separator)
        for line, text in strays.items():
            lines[line] = separator.join([text, *lines[line].split(separator)[1:]])
        columns = table(tmp_path / f"d.{suffix}", "\n".join(lines) + "\n")
        texts = values(columns, "text")
        assert len(texts) == 80
        for line, text in strays.items():
            assert texts[line - 1] == (None if text == '""' else text)
        assert values(columns, "label") == ["neg", "pos"] * 40

    def test_otherwise_the_line_is_named(self, tmp_path: Path) -> None:
        lines = lines_of(40, ",")
        lines[5] = '"a film, and a good one",pos,train'  # a comma in quotes: lines alone are no rows here
        lines[20] = '"film number 19,neg,train'
        with pytest.raises(DataError, match=r"d\.csv: the quote that begins a cell in line 21 is never closed"):
            table(tmp_path / "d.csv", "\n".join(lines))
        lines[30] = '"another, film",neg,train'
        with pytest.raises(DataError, match="begins a cell in line 21 is closed in line 31 before the cell ends"):
            table(tmp_path / "d.csv", "\n".join(lines))
        lines[30] = 'a disc of 5",neg,train'
        with pytest.raises(DataError, match=r"the quote in line 21 makes one row of 11 lines that look like rows"):
            table(tmp_path / "d.csv", "\n".join(lines))

    def test_rows_are_known_by_their_values(self, tmp_path: Path) -> None:
        rows = ["text,label", '"one, two",a', "three,b", '"four,a', "five,b", 'six",b', "seven,a"]
        (tmp_path / "d.csv").write_text("\n".join(rows))
        with pytest.raises(DataError, match="the quote in line 4 makes one row of 3 lines"):
            read_texts(tmp_path / "d.csv", ["text", "label"])
        poem = ["text,label", '"one, two",a', '"Roses are red, violets', 'blue",b', "seven,a"]
        (tmp_path / "d.csv").write_text("\n".join(poem))
        columns = read_texts(tmp_path / "d.csv", ["text", "label"])
        assert list(columns.texts["text"])[1] == "Roses are red, violets\nblue"

    @pytest.mark.parametrize("separator", [",", "\t"])
    @pytest.mark.parametrize("end", ["\n", "\r\n"])
    def test_whatever_the_csv_module_writes_is_read_back(self, tmp_path: Path, separator: str, end: str) -> None:
        rng = np.random.default_rng(0)
        parts = ['"', '""', separator, "\n", "\r\n", "a", "b c", " ", "é", "x" * 20]
        for trial in range(60):
            rows = [["".join(rng.choice(parts, rng.integers(1, 7))) + "." for _ in NAMES] for _ in range(12)]
            stream = io.StringIO()
            quoting = csv.QUOTE_ALL if trial % 3 == 0 else csv.QUOTE_MINIMAL
            writer = csv.writer(stream, delimiter=separator, lineterminator=end, quoting=quoting)
            writer.writerows([NAMES, *rows])
            path = tmp_path / ("d.tsv" if separator == "\t" else "d.csv")
            columns = table(path, stream.getvalue())
            assert [list(row) for row in zip(*(values(columns, name) for name in NAMES), strict=True)] == rows

    def test_both_ways_read_the_same(self, tmp_path: Path) -> None:
        plain = "\n".join(lines_of(30, ","))
        quoted = "\n".join(",".join(f'"{cell}"' for cell in line.split(",")) for line in lines_of(30, ","))
        slow = plain.replace("film number 7,", '"film number 7",').replace("film number 9,", '"film\nnumber 9",')
        readings = [table(tmp_path / "d.csv", content) for content in (plain, quoted, slow)]
        assert not _each_line_stands_alone(TableFile.from_path(tmp_path / "d.csv"))
        for name in ("label", "split"):
            assert values(readings[0], name) == values(readings[1], name) == values(readings[2], name)
        assert values(readings[0], "text") == values(readings[1], "text")


class TestCells:
    @pytest.mark.parametrize(
        ("row", "said"),
        [
            ("Review 3,film,neg,train", "line 4 has 4 cells where the first line names 3 columns"),
            ("film,neg,train,", "line 4 has 4 cells"),
            ("film,neg", "line 4 has 2 cells"),
            ("film", "line 4 has 1 cells"),
            ('"film, bad",neg', "line 4 has 2 cells"),
        ],
    )
    def test_rows_of_another_length_are_refused(self, tmp_path: Path, row: str, said: str) -> None:
        lines = lines_of(8, ",")
        lines[3] = row
        with pytest.raises(DataError) as refused:
            table(tmp_path / "d.csv", "\n".join(lines))
        assert said in str(refused.value)

    def test_every_row_with_one_more_is_refused_too(self, tmp_path: Path) -> None:
        lines = lines_of(8, ",")
        with pytest.raises(DataError, match="line 2 has 4 cells"):
            table(
                tmp_path / "d.csv", "\n".join([lines[0], *(f"Review {n},{line}" for n, line in enumerate(lines[1:]))])
            )

    @pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
    def test_line_ends_of_every_system(self, tmp_path: Path, end: str) -> None:
        columns = table(tmp_path / "d.csv", "\ufeff" + end.join(lines_of(8, ",")) + end)
        assert values(columns, "label") == ["neg", "pos"] * 4

    def test_blank_lines_are_no_rows(self, tmp_path: Path) -> None:
        lines = lines_of(6, ",")
        columns = table(tmp_path / "d.csv", "\n".join([lines[0], "", *lines[1:4], "", "   ", *lines[4:], "", ""]))
        assert len(values(columns, "text")) == 6
        assert list(delimited_lines(TableFile.from_path(tmp_path / "d.csv"))) == [3, 4, 5, 8, 9, 10]

    def test_form_feeds_and_other_breaks_are_part_of_a_cell(self, tmp_path: Path) -> None:
        lines = lines_of(4, ",")
        lines[2] = "page one\fpage two\x0b\u2028\x85three,pos,train"
        assert values(table(tmp_path / "d.csv", "\n".join(lines)), "text")[1] == "page one\fpage two\x0b\u2028\x85three"


class TestNames:
    @pytest.mark.parametrize("suffix", ["csv", "tsv", "parquet"])
    def test_a_name_that_stands_twice_is_refused(self, tmp_path: Path, suffix: str) -> None:
        path = tmp_path / f"d.{suffix}"
        if suffix == "parquet":
            import pyarrow as pa
            import pyarrow.parquet as pq

            pq.write_table(pa.table([["a"], ["x"], ["test"], ["y"]], names=[*NAMES, "label"]), path)
        else:
            separator = "," if suffix == "csv" else "\t"
            path.write_text("\n".join(separator.join(row) for row in ([*NAMES, "label"], ["a", "x", "test", "y"])))
        with pytest.raises(DataError, match=r"has 2 columns 'label'\nRename all but one"):
            read_texts(path, NAMES)

    def test_a_key_that_stands_twice_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(DataError, match="line 2 cannot be read: the key 'label' stands twice"):
            table(
                tmp_path / "d.jsonl",
                '{"text": "a", "label": 0, "split": "test"}\n{"text": "a", "label": 0, "label": 1, "split": "test"}\n',
            )

    @pytest.mark.parametrize("near", ["Label", "label ", " LABEL", "la\u200bbel"])
    def test_a_name_that_is_almost_the_same_is_pointed_out(self, tmp_path: Path, near: str) -> None:
        columns = table(tmp_path / "d.csv", f"text,label,split,{near}\na,x,test,y\n")
        assert values(columns, "label") == ["x"]
        (remark,) = columns.remarks
        assert remark.id == "alike_columns"
        assert "'label', and not" in remark.description


class TestLines:
    def test_errors_name_the_line_in_spite_of_line_breaks_in_cells(self, tmp_path: Path) -> None:
        lines = lines_of(12, ",")
        for row in (1, 4, 8):
            lines[row] = '"film\n\nnumber",' + lines[row].split(",", 1)[1]
        lines[10] = "film,,test"
        (tmp_path / "d.csv").write_text("\n".join(lines))
        with pytest.raises(DataError, match=r"column 'label' is empty in line 17$"):
            read_manifest(tmp_path, "d.csv")

    def test_lines_of_json_may_be_blank(self, tmp_path: Path) -> None:
        rows = [json.dumps({"text": "a", "label": label, "split": "test"}) for label in ("x", "y", "", "x")]
        (tmp_path / "d.jsonl").write_text("\n\n".join(rows))
        with pytest.raises(DataError, match=r"column 'label' is empty in line 5$"):
            read_manifest(tmp_path, "d.jsonl")


def read_manifest(folder: Path, name: str, **changes: object) -> Dataset:
    columns = {"text": "text", "label": "label", "split": "split"}
    return read_dataset(DataConfig(manifest=name, **{**columns, **changes}), folder, 0)


def make_records(n: int = 12) -> list[dict[str, object]]:
    return [{"text": f"text {row}", "label": row % 2, "split": ("train", "test")[row // 6]} for row in range(n)]


class TestJson:
    @pytest.mark.parametrize("indent", [None, 2])
    def test_an_array_is_read(self, tmp_path: Path, indent: int | None) -> None:
        (tmp_path / "d.jsonl").write_text("\n " + json.dumps(make_records(), indent=indent), encoding="utf-8-sig")
        dataset = read_manifest(tmp_path, "d.jsonl")
        assert dataset.classes == ("0", "1")
        assert len(dataset.splits["train"]) == 6

    def test_numbers_of_two_kinds_are_pointed_out(self, tmp_path: Path) -> None:
        rows = make_records()
        rows[3]["label"] = 1.0
        (tmp_path / "d.jsonl").write_text("\n".join(map(json.dumps, rows)))
        dataset = read_manifest(tmp_path, "d.jsonl")
        assert dataset.classes == ("0", "1", "1.0")  # values stand as they are written
        (remark,) = dataset.remarks
        assert (remark.id, remark.status) == ("alike_labels", "warn")
        assert "'1' and '1.0'" in remark.description

    @pytest.mark.parametrize(
        ("value", "said"),
        [
            ("NaN", "column 'label' is empty in line 4"),
            ("null", "column 'label' is empty in line 4"),
            ('""', "column 'label' is empty in line 4"),
            ("[1]", "line 4: column 'label' holds list"),
            ('{"a": 1}', "line 4: column 'label' holds dict"),
            ("yes", "line 4 is no JSON"),
        ],
    )
    def test_what_is_no_label_is_named_with_its_line(self, tmp_path: Path, value: str, said: str) -> None:
        lines = [json.dumps(row) for row in make_records()]
        lines[3] = lines[3].replace('"label": 1', f'"label": {value}')
        (tmp_path / "d.jsonl").write_text("\n".join(lines))
        with pytest.raises(DataError) as refused:
            read_manifest(tmp_path, "d.jsonl")
        assert said in str(refused.value)


class TestParquet:
    @pytest.mark.parametrize(
        ("label", "classes"),
        [
            ([0, 1] * 6, ("0", "1")),
            ([0.0, 1.0] * 6, ("0.0", "1.0")),
            ([True, False] * 6, ("False", "True")),
            (pd.Categorical(["b", "a"] * 6), ("a", "b")),
            (pd.Categorical([3, 5] * 6), ("3", "5")),
            (pd.to_datetime(["2020-01-01", "2021-01-01"] * 6), ("2020-01-01 00:00:00", "2021-01-01 00:00:00")),
        ],
        ids=["whole", "decimal", "boolean", "category", "numbers as categories", "date"],
    )
    def test_values_are_read_as_they_stand(self, tmp_path: Path, label: object, classes: tuple[str, ...]) -> None:
        pd.DataFrame(make_records()).assign(label=label).to_parquet(tmp_path / "d.parquet")
        assert read_manifest(tmp_path, "d.parquet").classes == classes

    def test_bytes_are_refused(self, tmp_path: Path) -> None:
        pd.DataFrame(make_records()).assign(label=[b"a", b"b"] * 6).to_parquet(tmp_path / "d.parquet")
        with pytest.raises(DataError, match="column 'label' holds bytes"):
            read_manifest(tmp_path, "d.parquet")

    def test_empty_cells_are_named_by_row(self, tmp_path: Path) -> None:
        pd.DataFrame(make_records()).assign(label=["a", "b", None] * 4).to_parquet(tmp_path / "d.parquet")
        with pytest.raises(DataError, match=r"column 'label' is empty in 4 rows \(3, 6, 9, 12\)"):
            read_manifest(tmp_path, "d.parquet")


class TestSpelling:
    def test_labels_groups_units_and_splits_are_pointed_out(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        frame = pd.DataFrame(make_records()).astype(str)
        frame.loc[2, "label"] = "0 "
        frame["sex"] = ["F", "f", "M", "N/A"] * 3
        frame["who"] = [f"P{row // 2}" for row in range(12)]
        frame.loc[3, "who"] = "p1"
        frame.loc[11, "split"] = "Test"
        frame.to_csv(tmp_path / "d.csv", index=False)
        dataset = read_manifest(tmp_path, "d.csv", groups=["sex"], unit="who")
        assert {remark.id for remark in dataset.remarks} == {
            *("alike_labels", "alike_groups.sex", "alike_units", "missing_spellings.sex", "split_names")
        }
        assert dataset.classes == ("0", "0 ", "1")
        assert len(dataset.splits["test"]) == 6
        for named in ("'0' and '0 '", "'F' and 'f'", "'P1' and 'p1'", "'N/A'", "'Test' and 'test' as test"):
            assert named in caplog.text

    def test_classes_of_folders_too(self, tmp_path: Path) -> None:
        from PIL import Image

        for number, name in enumerate(("Square ", "square", "café", "cafe\u0301")):
            (tmp_path / "photos" / name).mkdir(parents=True)
            for shade in range(8):
                Image.new("RGB", (8, 8), (shade, number, 0)).save(tmp_path / "photos" / name / f"{shade}.png")
        dataset = read_dataset(DataConfig(folder="photos", test=0.5), tmp_path, 0)
        (remark,) = dataset.remarks
        assert remark.value == 2
        assert "'Square ' and 'square'; 'cafe\\u0301' and 'café'" in remark.description
