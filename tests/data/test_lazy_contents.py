"""Contents of tables stay on disk: ten times as many take no more memory, but for what is held of each row."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest

from rft.data.items import SelectedItems, StoredTexts, select_items
from rft.data.tables.stored_cells import CellWriter
from rft.data.tables.table_file import TableFile
from rft.errors import DataError
from rft.runtime import memory

FILE = TableFile.from_path(Path("d.parquet"))
# What reading a manifest of texts takes at most, in bytes of the process alone: pages of files are not among them.
PROBE = """
import re, sys, threading, time
from pathlib import Path
from rft.config.tables.data import DataConfig
from rft.data import read_dataset

def held() -> int:
    return int(re.search(r"RssAnon:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) * 1024

manifest = Path(sys.argv[1])
config = DataConfig(manifest=manifest.name, text="text", label="label", split="split")
before, peak, done = held(), 0, False
def watch() -> None:
    global peak
    while not done:
        peak = max(peak, held())
        time.sleep(0.002)
watcher = threading.Thread(target=watch)
watcher.start()
dataset = read_dataset(config, manifest.parent, 0)
done = True
watcher.join()
print(peak - before, sum(len(text) for split in dataset.splits.values() for text in split.items))
"""


def list_texts(n: int) -> Iterator[dict[str, str]]:
    """Yield n rows with texts of 20 kB."""
    for row in range(n):
        yield {
            "text": f"{row} " + "word " * 4000 + "\nend",
            "label": "ab"[row % 2],
            "split": ("train", "test")[row // 2 % 2],
        }


def write_csv(path: Path, rows: Iterator[dict[str, str]]) -> None:
    with path.open("w") as stream:
        stream.write("text,label,split\n")
        for row in rows:
            stream.write(f'"{row["text"]}",{row["label"]},{row["split"]}\n')


def write_lines(path: Path, rows: Iterator[dict[str, str]]) -> None:
    with path.open("w") as stream:
        for row in rows:
            stream.write(json.dumps(row) + "\n")


def write_shard(path: Path, rows: Iterator[dict[str, str]]) -> None:
    with tarfile.open(path, "w") as archive:
        for number, row in enumerate(rows):
            parts = {"text": row.pop("text"), "json": json.dumps(row)}
            for suffix, part in parts.items():
                member = tarfile.TarInfo(f"{number}.{suffix}")
                member.size = len(part)
                archive.addfile(member, io.BytesIO(part.encode()))


def write_partitions(path: Path, rows: Iterator[dict[str, str]]) -> None:
    while block := list(islice(rows, 1000)):
        pa.parquet.write_to_dataset(pa.Table.from_pylist(block), path, partition_cols=["split"])


WRITERS = {"d.csv": write_csv, "d.jsonl": write_lines, "d.tar": write_shard, "folder": write_partitions}


@pytest.mark.skipif(not memory.is_measurable(), reason="this system does not say how much memory a process holds")
@pytest.mark.slow
@pytest.mark.parametrize("name", WRITERS)
def test_memory_does_not_grow_with_contents(tmp_path: Path, name: str) -> None:
    peaks = []
    for n in (2_000, 20_000):
        place = tmp_path / f"{n}" / name
        place.parent.mkdir()
        WRITERS[name](place, list_texts(n))
        total = sum(len(row["text"]) for row in list_texts(n))
        command = [sys.executable, "-c", PROBE, str(place)]
        peak, read = map(int, subprocess.run(command, capture_output=True, check=True, text=True).stdout.split())
        assert read == total
        peaks.append(peak)
    assert peaks[1] - peaks[0] < total / 10  # texts held in memory would take them all, twice while they are read


def stored(*chunks: pa.Array) -> CellWriter:
    writer = CellWriter("cell")
    for chunk in chunks:
        writer.append(pa.chunked_array([chunk]), FILE)
    return writer


class TestStoredCells:
    @pytest.mark.parametrize("kind", [pa.string(), pa.large_string(), pa.dictionary(pa.int32(), pa.string())])
    def test_cells_come_back_as_they_were(self, kind: pa.DataType) -> None:
        values = ["a", None, "", "é“x”\n", "long " * 10**5]
        cells = stored(pa.array(values, pa.string()).cast(kind), pa.nulls(2), pa.array(["z"])).finish()
        assert list(StoredTexts(cells)) == ["a", "", "", values[3], values[4], "", "", "z"]
        assert cells.empty.tolist() == [False, True, True, False, False, True, True, False]

    @pytest.mark.parametrize(
        ("values", "texts"),
        [([1, None, 3], ["1", "", "3"]), ([0.5, float("nan")], ["0.5", ""]), ([True, False], ["True", "False"])],
    )
    def test_numbers_are_texts(self, values: list, texts: list[str]) -> None:
        assert list(StoredTexts(stored(pa.array(values)).finish())) == texts

    def test_bytes_with_paths(self) -> None:
        rows = [{"bytes": b"\0\xff", "path": "once.png"}, {"bytes": None, "path": "a/b.png"}, None]
        cells = stored(pa.array(rows, pa.struct([("bytes", pa.binary()), ("path", pa.string())]))).finish()
        assert cells.are_bytes
        assert cells.read_bytes(0) == b"\0\xff"
        assert cells.paths == [None, "a/b.png", None]
        assert cells.empty.tolist() == [False, False, True]

    def test_kinds_are_not_mixed(self) -> None:
        with pytest.raises(DataError, match=r"d\.parquet: column 'cell' holds bytes, and texts in d\.parquet"):
            stored(pa.array(["a"]), pa.array([b"a"]))
        with pytest.raises(DataError, match="column 'cell' holds list<item: int64>; expected a text, or the bytes"):
            stored(pa.array([[1]]))

    def test_rows_of_rows(self) -> None:
        texts = StoredTexts(stored(pa.array([str(row) for row in range(10)])).finish())
        some = select_items(texts, np.array([7, 1, 1, 3]))
        assert isinstance(some, SelectedItems)
        assert [*some, some[-1], *some[1:3]] == ["7", "1", "1", "3", "3", "1", "1"]
        with pytest.raises(IndexError):
            some[4]
        assert select_items(["a", "b"], np.array([1])) == ["b"]


def test_a_row_group_is_read_at_a_time(tmp_path: Path) -> None:
    """Arrow's own count of what it holds, over a file of thirty times as much."""

    def blocks() -> Iterator[int]:
        from rft.data.tables.kinds.arrow_files import read_parquet
        from rft.data.tables.table_file import ColumnRequest

        for block in read_parquet(TableFile.from_path(path), ColumnRequest(["label"], contents=["image"])):
            assert block.num_rows
            yield pa.total_allocated_bytes() - before

    path = tmp_path / "d.parquet"
    content = np.random.default_rng(0).bytes(10**4)
    table = pa.table({"image": [content[row:] for row in range(3000)], "label": ["a", "b"] * 1500})
    size = table.nbytes
    pyarrow.parquet.write_table(table, path, row_group_size=100, use_dictionary=["label"])
    del table
    before = pa.total_allocated_bytes()
    assert max(blocks()) < size / 5
