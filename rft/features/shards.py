"""One file of features: rows of one shape, or of one shape but for their length, with the digest of each row's item.

The format is safetensors, whose tensors torch maps without reading them. ``items`` is (R, 32) uint8, ``features`` is
(R, ...) float32 or float16; where rows differ in length T they follow each other, (sum T, ...), and ``lengths`` is
(R,) int64.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from safetensors import safe_open
from safetensors.numpy import save as save_tensors
from torch import Tensor

from rft.features.cache_lock import FolderLock

DIGEST_BYTES = 32  # of a sha256
HEADER_BYTES = 4096  # that hold the header of a shard, which names three tensors


@dataclass(frozen=True)
class Layout:
    """The shape of a row; without its length T, where rows differ in that."""

    row_shape: tuple[int, ...]
    ragged: bool

    def __str__(self) -> str:
        return f"rows of shape {('T', *self.row_shape) if self.ragged else self.row_shape}".replace("'", "")


@dataclass(frozen=True)
class Shard:
    """The rows of a file.

    Attributes:
        values: (R, ...), or (sum T, ...) where rows differ in length T.
        lengths: (R,) of the rows; None where all have the same shape.
        lock: keeps others from removing the file while it is mapped.
    """

    values: Tensor
    lengths: np.ndarray | None
    lock: FolderLock | None = None

    @property
    def row_shape(self) -> tuple[int, ...]:
        """The shape of a row; without its length, where rows differ in that."""
        return tuple(self.values.shape[1:])

    @cached_property
    def _ends(self) -> np.ndarray:
        assert self.lengths is not None
        return np.cumsum(self.lengths)

    def row(self, number: int) -> Tensor:
        """Return one row of a shard whose rows differ in length, (T, ...)."""
        assert self.lengths is not None
        end = int(self._ends[number])
        return self.values[end - int(self.lengths[number]) : end]


def encode_shard(digests: list[str], rows: list[np.ndarray], *, ragged: bool) -> bytes:
    """Return the content of the file for R rows, (...) or (T, ...) each, and the sha256 of the item each came from."""
    tensors = {"items": np.stack([np.frombuffer(bytes.fromhex(digest), np.uint8) for digest in digests])}
    # NumPy keeps the strides of channels-last maps when it stacks them, and safetensors writes memory as it lies.
    tensors["features"] = np.ascontiguousarray(np.concatenate(rows) if ragged else np.stack(rows))
    if ragged:
        tensors["lengths"] = np.array([len(row) for row in rows], np.int64)
    return save_tensors(tensors)


def locate_items(begin: bytes) -> tuple[int, int] | None:
    """Return where in a file the digests of its items are, by its first ``HEADER_BYTES``; None where they do not say.

    The format begins with the length of its header, 8 bytes little-endian, and the header, JSON with places behind it.
    """
    size = int.from_bytes(begin[:8], "little")
    try:
        start, end = json.loads(begin[8 : 8 + size])["items"]["data_offsets"]
        return 8 + size + int(start), 8 + size + int(end)
    except (ValueError, LookupError, TypeError):
        return None


def split_digests(items: bytes) -> list[str]:
    """Return the digests that the bytes of ``items`` are, row by row."""
    return [items[start : start + DIGEST_BYTES].hex() for start in range(0, len(items), DIGEST_BYTES)]


def is_whole(path: Path) -> bool:
    """Tell whether a file has the sha256 that it is named after; safetensors itself accepts flipped bits."""
    with path.open("rb") as file:  # in pieces: a file may be larger than what memory there is to spare
        return hashlib.file_digest(file, "sha256").hexdigest() == path.stem


def read_index(path: Path) -> tuple[list[str], Layout]:
    """Return the digests of the items of a file, row by row, and how its rows are shaped."""
    with safe_open(path, "numpy") as file:
        items = [item.tobytes().hex() for item in file.get_tensor("items")]
        return items, Layout(tuple(file.get_slice("features").get_shape()[1:]), "lengths" in file.keys())  # noqa: SIM118


def open_shard(path: Path, *, mapped: bool, lock: FolderLock | None = None) -> Shard:
    """Return the rows of a file, in memory or, with ``mapped``, as pages that are read when they are touched.

    Args:
        path: the file.
        mapped: whether to map it.
        lock: to hold while its rows are mapped.
    """
    with safe_open(path, "pt") as file:
        values = file.get_tensor("features")
        lengths = file.get_tensor("lengths").numpy().copy() if "lengths" in file.keys() else None  # noqa: SIM118
    return Shard(values, lengths, lock) if mapped else Shard(values.clone(), lengths)
