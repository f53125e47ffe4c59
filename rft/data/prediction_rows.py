"""What every table of predictions has, of classes or of transcripts: sources, complete rows, splits, ids and units."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
from pandas.api.extensions import ExtensionArray

from rft.data.manifest import hash_files
from rft.data.splits import SPLITS, expected_splits, split_named
from rft.data.tables.columnar import Columns, from_codes
from rft.data.tables.digest import digest_columns
from rft.data.tables.in_memory import TableInMemory
from rft.data.tables.places import Places
from rft.data.tables.table_file import TableFile
from rft.errors import DataError
from rft.records import InputFile

PACKED_TEXT = pd.StringDtype("pyarrow")  # packed, where numpy would hold an object a cell


def identify_sources(files: Sequence[TableFile], held: Columns, folder: Path) -> Iterator[InputFile]:
    """Yield what was read, with the hash of each file, or of the cells of a table in memory."""
    for file in files:
        if isinstance(file, TableInMemory):
            yield InputFile(file.address, digest_columns(held.texts, held.numbers))
        else:
            yield from hash_files([file], folder)


def keep_complete_rows(held: Columns, needed: Sequence[str], *, skip: bool) -> tuple[Columns, int]:
    """Return the columns without the rows that lack a text that is needed, or any number, and how many these are.

    Args:
        held: the columns.
        needed: those of texts in which no row may lack a value.
        skip: leave such rows out; otherwise they are refused.

    Raises:
        DataError: a row lacks something and is not to be skipped, or every row does.
    """
    texts = {name: held.texts[name].codes < 0 for name in dict.fromkeys(needed)}
    lacking = texts | {name: np.isnan(column) for name, column in held.numbers.items()}
    lacking = {name: mask for name, mask in lacking.items() if mask.any()}
    if not lacking:
        return held, 0
    if not skip:
        name, mask = next(iter(lacking.items()))
        kind = "empty or NaN" if name in held.numbers else "empty"
        remedy = 'Mend or remove such rows, or set data.on_error = "skip" to leave them out and count them.'
        raise DataError(
            f"column {name!r} is {kind} in {held.places.name_rows(mask)}", where=held.places.source, remedy=remedy
        )
    keep = ~np.logical_or.reduce(list(lacking.values()))
    if not keep.any():
        raise DataError(f"every row lacks something: {', '.join(lacking)}", where=held.places.source)
    return held.select_rows(keep), int(np.count_nonzero(~keep))


def check_ids(ids: pd.Categorical | None, places: Places) -> None:
    """Raise ``DataError`` for an id that stands twice."""
    if ids is None:
        return
    counts = np.bincount(ids.codes)
    if counts.max() > 1:
        twice = int(counts.argmax())
        rows = places.name_rows(ids.codes == twice)
        raise DataError(f"the id {ids.categories[twice]!r} stands in {rows}", where=places.source)


def read_splits(held: Columns, column: str | None) -> pd.Categorical:
    """Return which split each row is in: all are test where no column says otherwise."""
    if column is None:
        n = len(next(iter(held.texts.values())))
        return from_codes(np.full(n, SPLITS.index("test"), np.int8), SPLITS)
    values = held.texts[column]
    read = [split_named(name) for name in values.categories]
    unknown = np.isin(values.codes, [code for code, split in enumerate(read) if split is None])
    if unknown.any():
        first = str(values[int(unknown.argmax())])
        problem = f"the split {first!r} in {held.places.name_rows(unknown)} is none of those expected"
        raise DataError(problem, where=held.places.source, remedy=f"Expected {expected_splits()}.")
    codes = np.array([SPLITS.index(split) for split in read if split is not None], np.int8)
    return from_codes(codes[values.codes], SPLITS)


def pack_texts(values: pd.Categorical) -> ExtensionArray:
    """Return (N,) texts, packed."""
    packed: ExtensionArray = pd.Series(values.categories, dtype=PACKED_TEXT).array.take(values.codes)
    return packed


def number_rows(n: int) -> ExtensionArray:
    """Return the numbers of N rows, from 0 on, as ids."""
    return pd.Series(pa.array(np.arange(n)).cast(pa.string()), dtype=PACKED_TEXT).array
