"""A bounded look at tables: small ones whole, of large ones the first whole rows."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from rft.data.tables.table_file import TableFile
from rft.errors import DataError
from rft.starter.tables import sample
from rft.starter.tables.sample import join_samples, sample_table


def test_a_column_knows_its_values_and_what_is_missing(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("sex,age\nf,30\nm,41\nf,\n", encoding="utf-8")
    read = sample_table(TableFile.from_path(tmp_path / "rows.csv"))
    sex, age = read.columns["sex"], read.columns["age"]
    assert (read.n, read.whole) == (3, True)
    assert (sex.counts, sex.repeats, sex.numbers) == ({"f": 2, "m": 1}, True, None)
    assert (age.n, age.missing, age.repeats) == (2, 1, False)
    np.testing.assert_array_equal(age.numbers, [30, 41, np.nan])


@pytest.mark.parametrize(
    "suffix", [".csv", *(pytest.param(suffix, marks=pytest.mark.slow) for suffix in (".tsv", ".jsonl")), ".parquet"]
)
def test_of_a_large_table_the_first_whole_rows_are_read(
    suffix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sample, "ENOUGH_ROWS", 50)
    frame = pd.DataFrame({"row": [f"{row:06}" for row in range(80_000)], "text": ["two\nlines"] * 80_000})
    path = tmp_path / f"rows{suffix}"
    write = {
        ".csv": lambda: frame.to_csv(path, index=False),
        ".tsv": lambda: frame.to_csv(path, index=False, sep="\t"),
        ".jsonl": lambda: frame.to_json(path, orient="records", lines=True),
        ".parquet": lambda: frame.to_parquet(path, index=False),
    }
    write[suffix]()
    read = sample_table(TableFile.from_path(path))
    assert not read.whole
    assert 50 <= read.n < 80_000
    assert list(read.columns["row"].counts) == [f"{row:06}" for row in range(read.n)]
    assert list(read.columns["text"].counts) == ["two\nlines"]


def test_another_separator_is_found(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("sex;age\nf;30\nm;41\n", encoding="utf-8")
    assert list(sample_table(TableFile.from_path(tmp_path / "rows.csv")).columns) == ["sex", "age"]


def test_columns_of_lists_and_bytes_are_left_out_and_images_are_known(tmp_path: Path) -> None:
    frame = pd.DataFrame({"image": [{"bytes": b"x", "path": None}] * 2, "boxes": [[1], [2]], "label": ["a", "b"]})
    frame.to_parquet(tmp_path / "rows.parquet")
    read = sample_table(TableFile.from_path(tmp_path / "rows.parquet"))
    assert (list(read.columns), read.bytes_columns) == (["label"], ("image",))


def test_what_cannot_be_read_is_said_as_everywhere(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("a,b\n1\n", encoding="utf-8")
    with pytest.raises(DataError, match="line 2 has 1 cells"):
        sample_table(TableFile.from_path(tmp_path / "rows.csv"))


def test_tables_are_joined_by_the_columns_that_all_have(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("x,y\n1,2\n", encoding="utf-8")
    (tmp_path / "b.csv").write_text("z,x\n1,3\n", encoding="utf-8")
    joined = join_samples(
        [sample_table(TableFile.from_path(tmp_path / "a.csv")), sample_table(TableFile.from_path(tmp_path / "b.csv"))]
    )
    assert (joined.n, {name: column.counts for name, column in joined.columns.items()}) == (2, {"x": {"1": 1, "3": 1}})
