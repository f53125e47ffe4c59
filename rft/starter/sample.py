"""A bounded look at a table: its columns as far as its first rows show them.

Tables of up to ``MOST_BYTES`` are read whole, since a file may be sorted by the very column that is looked for. Of
larger ones, the first rows are copied to a temporary file and read from there.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet
from pandas.api.types import union_categoricals

from rft.data.tables.columnar import column_names, read_columns
from rft.data.tables.embedded_images import embedded_images
from rft.data.tables.json_rows import is_array
from rft.errors import DataError

MOST_BYTES = 64_000_000
ROWS_AT_A_TIME = 1000


@dataclass(frozen=True)
class ColumnSample:
    """A column of the rows that were looked at.

    Attributes:
        name: in the file.
        values: (N,) texts as categories and codes; the code of an empty cell is -1.
    """

    name: str
    values: pd.Categorical

    @property
    def n(self) -> int:
        """How many cells hold something."""
        return int((self.values.codes >= 0).sum())

    @property
    def missing(self) -> int:
        """How many cells are empty."""
        return len(self.values) - self.n

    @cached_property
    def counts(self) -> dict[str, int]:
        """Value -> how many cells hold it, in the order of the values."""
        counts = np.bincount(self.values.codes[self.values.codes >= 0], minlength=len(self.values.categories))
        named = zip(map(str, self.values.categories), counts.tolist(), strict=True)
        return dict(sorted((value, count) for value, count in named if count))

    @property
    def distinct(self) -> int:
        """How many different values there are."""
        return len(self.counts)

    @property
    def repeats(self) -> bool:
        """Whether any value stands in more than one row."""
        return self.distinct < self.n

    @cached_property
    def numbers(self) -> np.ndarray | None:
        """(N,) the cells as float64, NaN where one is empty; None where any is no number."""
        parsed = pd.to_numeric(pd.Series(list(self.values.categories), dtype=object), errors="coerce")
        if not self.distinct or parsed.isna().any():
            return None
        cells: np.ndarray = np.append(parsed.to_numpy(np.float64), np.nan)[self.values.codes]
        return cells

    @cached_property
    def mean_words(self) -> float:
        """How many words a value has on average; 0 where there is no value."""
        return float(np.mean([len(value.split()) for value in self.counts])) if self.counts else 0.0


@dataclass(frozen=True)
class TableSample:
    """What was looked at of a table, or of several with the same columns.

    Attributes:
        columns: name -> its cells, all of the same N rows.
        images: columns that hold the bytes of images.
        whole: whether these are all rows.
    """

    columns: dict[str, ColumnSample]
    images: tuple[str, ...] = ()
    whole: bool = True

    @property
    def n(self) -> int:
        """How many rows were looked at."""
        return max((len(column.values) for column in self.columns.values()), default=0)


def sample_table(path: Path) -> TableSample:
    """Read the first rows of a table; raises ``DataError`` for one that cannot be read."""
    with _cut_table(path) as (head, whole):
        names = column_names(head)
        unique = [name for name in names if names.count(name) == 1]
        images = tuple(name for name in unique if embedded_images(head, name) is not None)
        columns = _read_readable(head, [name for name in unique if name not in images])
        return TableSample(columns, images, whole)


def join_samples(samples: Sequence[TableSample]) -> TableSample:
    """Return the rows of several tables, as far as all have the columns."""
    shared = [name for name in samples[0].columns if all(name in sample.columns for sample in samples)]
    columns = {
        name: ColumnSample(name, union_categoricals([sample.columns[name].values for sample in samples]))
        for name in shared
    }
    return TableSample(columns, whole=all(sample.whole for sample in samples))


def _read_readable(path: Path, names: Sequence[str]) -> dict[str, ColumnSample]:
    """Return the columns that hold texts or numbers; raises the error of the first where none does."""
    try:
        held = read_columns(path, names, []).texts
    except DataError as error:  # one column of lists, or a file that cannot be read at all
        held, first_error = {}, error
        for name in names:
            try:
                held |= read_columns(path, [name], []).texts
            except DataError:
                continue
        if not held:
            raise first_error from None
    return {name: ColumnSample(name, values.remove_unused_categories()) for name, values in held.items()}


@contextmanager
def _cut_table(path: Path) -> Iterator[tuple[Path, bool]]:
    """Yield a file with the first rows of a table under its name, and whether these are all."""
    suffix = path.suffix.lower()
    is_text = suffix in (".csv", ".tsv", ".jsonl")
    if not path.is_file() or path.stat().st_size <= MOST_BYTES or not (is_text or suffix == ".parquet"):
        yield path, True
        return
    if suffix == ".jsonl" and is_array(path):  # whose first bytes are no JSON
        yield path, True
        return
    with TemporaryDirectory() as folder:
        head = Path(folder) / path.name
        (_copy_lines if is_text else _copy_rows)(path, head)
        yield head, False


def _copy_lines(path: Path, head: Path) -> None:
    """Copy whole lines of a text, and whole rows where cells in quotes hold line ends."""
    with path.open("rb") as stream:
        content = stream.read(MOST_BYTES)
    end = content.rfind(b"\n")
    while end > 0 and path.suffix.lower() != ".jsonl" and content.count(b'"', 0, end) % 2:
        end = content.rfind(b"\n", 0, content.rfind(b'"', 0, end))
    head.write_bytes(content[: end + 1] or content)


def _copy_rows(path: Path, head: Path) -> None:
    """Copy rows of a parquet file, until they take up enough memory."""
    column_names(path)  # says what is wrong with a file that is no parquet
    file, held = pyarrow.parquet.ParquetFile(path), 0
    with pyarrow.parquet.ParquetWriter(head, file.schema_arrow) as writer:
        for batch in file.iter_batches(batch_size=ROWS_AT_A_TIME):
            writer.write_table(pa.Table.from_batches([batch]))
            held += batch.nbytes
            if held > MOST_BYTES:
                break
