"""The items of a table, texts or files, as sequences that read one when it is asked for."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar, overload

import numpy as np

from rft.data.file_source import EmbeddedFile, FileSource
from rft.data.tables.places import Places
from rft.data.tables.stored_cells import StoredCells
from rft.errors import DataError

T = TypeVar("T", covariant=True)


class LazySequence(Sequence[T], Generic[T]):
    """Items that are read when they are asked for; ``read_item`` and ``__len__`` say what they are."""

    @abstractmethod
    def read_item(self, row: int) -> T:
        """Return one item."""

    @overload
    def __getitem__(self, row: int) -> T: ...

    @overload
    def __getitem__(self, row: slice) -> Sequence[T]: ...

    def __getitem__(self, row: int | slice) -> T | Sequence[T]:
        if isinstance(row, slice):
            return SelectedItems(self, np.arange(len(self))[row])
        if not -len(self) <= row < len(self):
            raise IndexError(row)
        return self.read_item(int(row) % len(self))


@dataclass(frozen=True, eq=False)
class SelectedItems(LazySequence[T]):
    """(M,) rows of other items."""

    items: Sequence[T]
    rows: np.ndarray

    def __len__(self) -> int:
        return len(self.rows)

    def read_item(self, row: int) -> T:
        """Return the item of a row."""
        return self.items[int(self.rows[row])]


@dataclass(frozen=True, eq=False)
class StoredTexts(LazySequence[str]):
    """The texts of a column."""

    cells: StoredCells

    def __len__(self) -> int:
        return len(self.cells)

    def read_item(self, row: int) -> str:
        """Return the text of a row, an empty one for an empty cell."""
        try:
            return self.cells.read_bytes(row).decode()
        except UnicodeDecodeError:
            raise DataError("the text is no UTF-8", remedy="Save it as UTF-8.") from None


@dataclass(frozen=True, eq=False)
class StoredFiles(LazySequence[FileSource]):
    """The images or recordings of a column: the bytes in its cells, or files that these name."""

    cells: StoredCells
    places: Places

    def __len__(self) -> int:
        return len(self.cells)

    def read_item(self, row: int) -> FileSource:
        """Return where the file of a row is."""
        if not self.cells.are_bytes:
            return self.places.file_of(row).locate_item(self.cells.read_bytes(row).decode())
        path = self.cells.paths[row] if self.cells.paths is not None else None
        if path:
            return self.places.file_of(row).locate_item(path)
        return EmbeddedFile(self.places.locate_row(row), self.cells, row)


def select_items(items: Sequence[Any], rows: np.ndarray) -> Sequence[Any]:
    """Return (M,) rows of items: a list of what is in memory, otherwise as lazily as before."""
    return SelectedItems(items, rows) if isinstance(items, LazySequence) else [items[row] for row in rows.tolist()]
