"""The digest of a table that is in no file: of what was read of it, however the caller held it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

VERSION = "rft table 1"
MISSING = -1  # in the place of a length
CHUNK = 100_000  # texts that are joined at a time


def digest_columns(texts: Mapping[str, pd.Categorical], numbers: Mapping[str, np.ndarray]) -> str:
    """Return the sha256 of N rows as they were read, as hex.

    It is taken over the line ``rft table 1``, and then for each column, in the order of their names, over a line of
    JSON ``[name, "texts" or "numbers", N]`` and the cells. Texts are N int64 lengths of their UTF-8 bytes (-1 for a
    missing one), and those bytes; numbers are N float64 (one NaN, 0x7ff8000000000000, for all missing ones). All are
    little-endian. The order of rows counts. Other columns, an index, and the types that held the cells do not.

    Args:
        texts: column -> (N,) categories and codes; the code of a missing cell is -1.
        numbers: column -> (N,) float64.
    """
    total = hashlib.sha256(f"{VERSION}\n".encode())
    for name in sorted({*texts, *numbers}):
        if name in texts:
            _add_texts(total, name, texts[name])
        if name in numbers:
            total.update(f"{json.dumps([name, 'numbers', len(numbers[name])])}\n".encode())
            total.update(np.where(np.isnan(numbers[name]), np.nan, numbers[name]).astype("<f8").tobytes())
    return total.hexdigest()


def _add_texts(total: hashlib._Hash, name: str, column: pd.Categorical) -> None:
    """Hash the lengths and the bytes of (N,) texts."""
    total.update(f"{json.dumps([name, 'texts', len(column)])}\n".encode())
    categories = pa.array([str(name) for name in column.categories], pa.large_binary())
    lengths = np.append(pc.binary_length(categories).to_numpy(zero_copy_only=False), MISSING)
    total.update(lengths[column.codes].astype("<i8").tobytes())
    present = categories.take(pa.array(column.codes[column.codes >= 0].astype(np.int64)))
    for start in range(0, len(present), CHUNK):
        total.update(b"".join(present[start : start + CHUNK].to_pylist()))
